//! A collection is fetched into the cache, unpacked aside, and renamed to where it is found.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::event::PullEvent;
use super::registry::{Becomes, KnownCollection, RemoteFile};
use super::transfer::{Fetched, Transfer};
use super::{CollectionState, Collections, Pulled, RECORD, unpack};
use crate::error::DatasetError;
use crate::folder;

/// What is kept of a pull.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    name: String,
    licence: String,
    homepage: String,
    files: Vec<RecordedFile>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RecordedFile {
    address: String,
    bytes: u64,
    md5: String,
    sha256: String,
}

impl Collections {
    /// Fetches a collection into the cache, or finds it there. Progress is reported as it happens.
    ///
    /// # Errors
    /// When the name is unknown, another process is pulling it, a file cannot be fetched
    /// ([`DatasetError::Fetch`]; what has arrived stays) or is not the published one
    /// ([`DatasetError::FetchedOther`]; it is removed), an archive is damaged or holds no collection, or the
    /// disk refuses. The name cannot be used then.
    pub fn pull(
        &self,
        name: &str,
        progress: &dyn Fn(PullEvent<'_>),
    ) -> Result<Pulled, DatasetError> {
        let collection = self.find(name)?;
        let folder = self.cache.join(name);
        if self.state(collection) == CollectionState::Pulled {
            return Ok(Pulled { folder, was_there: true });
        }
        let downloads = self.downloads();
        fs::create_dir_all(&downloads).map_err(|e| DatasetError::open(&downloads, e))?;
        let _lock = lock(&downloads.join(format!("{}.lock", name.replace('/', "--"))), name)?;
        // Another process may have done it meanwhile.
        if self.state(collection) == CollectionState::Pulled {
            return Ok(Pulled { folder, was_there: true });
        }
        if folder.exists() {
            return Err(DatasetError::Foreign { path: folder });
        }
        let mut record = Record {
            name: name.to_owned(),
            licence: collection.licence.clone(),
            homepage: collection.homepage.clone(),
            files: Vec::new(),
        };
        for file in &collection.files {
            let address = self.address(file);
            let transfer = Transfer {
                name,
                address: &address,
                md5: &file.md5,
                bytes: file.bytes,
                to: &downloads.join(file.file_name()),
                retries: self.retries,
                progress,
            };
            let Fetched { bytes, sha256 } = transfer.run()?;
            record.files.push(RecordedFile { address, bytes, md5: file.md5.clone(), sha256 });
        }
        let aside = downloads.join(format!("{}.unpacked", name.replace('/', "--")));
        remove(&aside)?;
        let unpacked = self.unpack(collection, &aside, progress).inspect_err(|_| {
            // Nothing of what came out is left; why it was refused counts more than that.
            let _ = remove(&aside);
        })?;
        let path = unpacked.join(RECORD);
        let bytes =
            serde_json::to_vec_pretty(&record).map_err(|e| DatasetError::Write(e.into()))?;
        write_synced(&path, &bytes)?;
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent).map_err(|e| DatasetError::open(parent, e))?;
        }
        fs::rename(&unpacked, &folder).map_err(|e| DatasetError::open(&folder, e))?;
        remove(&aside)?;
        for file in &collection.files {
            let path = downloads.join(file.file_name());
            fs::remove_file(&path).map_err(|e| DatasetError::open(&path, e))?;
        }
        Ok(Pulled { folder, was_there: false })
    }

    fn address(&self, file: &RemoteFile) -> String {
        match &self.base {
            Some(base) => format!("{}/{}", base.trim_end_matches('/'), file.file_name()),
            None => file.address.clone(),
        }
    }

    /// Makes the collection's folder of the files that were fetched, under `aside`.
    fn unpack(
        &self,
        collection: &KnownCollection,
        aside: &Path,
        progress: &dyn Fn(PullEvent<'_>),
    ) -> Result<PathBuf, DatasetError> {
        let out = aside.join("collection");
        let made = |path: &Path| fs::create_dir_all(path).map_err(|e| DatasetError::open(path, e));
        made(&out)?;
        let mut more = |bytes| progress(PullEvent::Unpacked(bytes));
        for (at, file) in collection.files.iter().enumerate() {
            let from = self.downloads().join(file.file_name());
            progress(PullEvent::Unpacking { file: file.file_name() });
            match &file.becomes {
                Becomes::Zip(root) => {
                    let whole = aside.join(at.to_string());
                    made(&whole)?;
                    refused(unpack::zip(&from, &whole, &mut more), &from)?;
                    let root = whole.join(root);
                    if !root.is_dir() {
                        return Err(lacks(&from, &format!("no folder `{}`", root.display())));
                    }
                    merge(&root, &out)?;
                }
                Becomes::TarGz => refused(unpack::tar_gz(&from, &out, &mut more), &from)?,
                Becomes::File(name) => {
                    let to = out.join(name);
                    let bytes = fs::copy(&from, &to).map_err(|e| DatasetError::open(&to, e))?;
                    more(bytes);
                }
            }
        }
        let parts: Vec<PathBuf> = match collection.parts.as_slice() {
            [] => vec![out.clone()],
            parts => parts.iter().map(|part| out.join(part)).collect(),
        };
        for part in parts {
            let documents = ["corpus.jsonl", folder::MSMARCO_DOCUMENTS];
            if !documents.iter().any(|name| folder::find(&part, name).is_some()) {
                let what = format!("neither {} in `{}`", documents.join(" nor "), part.display());
                return Err(lacks(&self.downloads(), &what));
            }
        }
        Ok(out)
    }
}

/// Removes an archive that is refused: it will be refused again.
fn refused(result: Result<(), DatasetError>, archive: &Path) -> Result<(), DatasetError> {
    if matches!(result, Err(DatasetError::Archive { .. })) {
        fs::remove_file(archive).map_err(|e| DatasetError::open(archive, e))?;
    }
    result
}

fn lacks(path: &Path, what: &str) -> DatasetError {
    DatasetError::Archive { path: path.to_owned(), what: format!("{what} came out of it") }
}

/// Moves the entries of one folder into another.
fn merge(from: &Path, to: &Path) -> Result<(), DatasetError> {
    for entry in from.read_dir().map_err(|e| DatasetError::open(from, e))? {
        let entry = entry.map_err(|e| DatasetError::open(from, e))?;
        let target = to.join(entry.file_name());
        fs::rename(entry.path(), &target).map_err(|e| DatasetError::open(&target, e))?;
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<(), DatasetError> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(DatasetError::open(folder, e)),
        _ => Ok(()),
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), DatasetError> {
    let fail = |e| DatasetError::open(path, e);
    let mut file = File::create(path).map_err(fail)?;
    std::io::Write::write_all(&mut file, bytes).map_err(fail)?;
    file.sync_all().map_err(fail)
}

/// Holds off other processes that pull the same collection.
fn lock(path: &Path, name: &str) -> Result<File, DatasetError> {
    let fail = |e| DatasetError::open(path, e);
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DatasetError::BeingPulled { name: name.to_owned() }),
        Err(TryLockError::Error(error)) => Err(fail(error)),
    }
}
