//! Collections by name: fetched once into a cache, checked, unpacked, and from then on folders like any
//! other.
//!
//! 1. find the name in the registry (`registry.rs`)  2. fetch each file into `CACHE/downloads`, or take the
//!    one that lies there, and compare its MD5 (`transfer.rs`)  3. unpack aside (`unpack.rs`), and see
//!    that a collection came out  4. rename the folder to `CACHE/NAME`: only then the name can be used
//!
//! A pull that was killed goes on where it was: what has arrived of a file stays.

mod event;
mod registry;
mod transfer;
mod unpack;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::DatasetError;
use crate::folder;
pub use event::PullEvent;
pub use registry::{Becomes, KnownCollection, RemoteFile, known_collections, read_collections};
pub use transfer::Retries;
use transfer::{Fetched, Transfer, part_of};

/// Written into a pulled folder: where it is from.
const RECORD: &str = "QUARRY-COLLECTION";
/// The cache's folder for what is on its way.
const DOWNLOADS: &str = "downloads";

/// The collections that are known, and the cache they are pulled into.
#[derive(Debug, Clone)]
pub struct Collections {
    /// The cache's folder.
    pub cache: PathBuf,
    /// Address of a folder (a mirror) that has all files, in place of where they are published.
    pub base: Option<String>,
    /// When a transfer is given up.
    pub retries: Retries,
    /// What is known.
    pub known: Vec<KnownCollection>,
}

/// How far a collection is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CollectionState {
    /// It can be used.
    Pulled,
    /// So many bytes have arrived.
    Begun(u64),
    /// Nothing of it is here.
    Absent,
}

/// A collection that was pulled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pulled {
    /// Its folder.
    pub folder: PathBuf,
    /// Whether it was there before.
    pub was_there: bool,
}

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
    /// The collections that are known to this crate, in a cache.
    #[must_use]
    pub fn new(cache: PathBuf) -> Self {
        Self { cache, base: None, retries: Retries::default(), known: known_collections() }
    }

    /// A collection by its name.
    ///
    /// # Errors
    /// [`DatasetError::UnknownCollection`].
    pub fn find(&self, name: &str) -> Result<&KnownCollection, DatasetError> {
        self.known.iter().find(|c| c.name == name).ok_or_else(|| {
            let hint = if registry::NOT_PUBLIC.contains(&name) {
                "BEIR does not hand it out freely; ask for it as its wiki says, and give its folder"
            } else {
                "`quarry dataset list` shows the names"
            };
            DatasetError::UnknownCollection { name: name.to_owned(), hint }
        })
    }

    /// The folder of a collection, or of a part of one, if `name` is known; `None` where it is not.
    ///
    /// # Errors
    /// [`DatasetError::NotPulled`] when it is known, but not there; [`DatasetError::ManyCollections`] when it is
    /// several collections, of which one has to be named.
    pub fn folder(&self, name: &str) -> Result<Option<PathBuf>, DatasetError> {
        let whole = self.known.iter().find(|c| c.name == name);
        let part_of = |c: &&KnownCollection| {
            let rest = name.strip_prefix(&c.name).and_then(|rest| rest.strip_prefix('/'));
            rest.is_some_and(|rest| c.parts.iter().any(|part| part == rest))
        };
        let Some(collection) = whole.or_else(|| self.known.iter().find(part_of)) else {
            return Ok(None);
        };
        if self.state(collection) != CollectionState::Pulled {
            return Err(DatasetError::NotPulled {
                name: name.to_owned(),
                pull: collection.name.clone(),
                cache: self.cache.clone(),
            });
        }
        if whole.is_some() && !collection.parts.is_empty() {
            let parts: Vec<String> =
                collection.parts.iter().map(|p| format!("{name}/{p}")).collect();
            return Err(DatasetError::ManyCollections {
                name: name.to_owned(),
                parts: parts.join(", "),
            });
        }
        Ok(Some(self.cache.join(name)))
    }

    /// How far a collection is.
    #[must_use]
    pub fn state(&self, collection: &KnownCollection) -> CollectionState {
        if self.cache.join(&collection.name).join(RECORD).is_file() {
            return CollectionState::Pulled;
        }
        let bytes = |path: &Path| fs::metadata(path).map_or(0, |m| m.len());
        let arrived = collection.files.iter().map(|file| {
            let to = self.downloads().join(file.file_name());
            bytes(&to) + bytes(&part_of(&to))
        });
        match arrived.sum() {
            0 => CollectionState::Absent,
            bytes => CollectionState::Begun(bytes),
        }
    }

    fn downloads(&self) -> PathBuf {
        self.cache.join(DOWNLOADS)
    }

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
/// Unpacks an archive, a ZIP or a tar compressed with gzip: for fuzzing.
///
/// # Errors
/// As [`Collections::pull`].
#[cfg(fuzzing)]
pub fn unpack_any(archive: &Path, into: &Path, zip: bool) -> Result<(), DatasetError> {
    if zip {
        unpack::zip(archive, into, &mut |_| {})
    } else {
        unpack::tar_gz(archive, into, &mut |_| {})
    }
}
