//! The write-ahead log of a collection: changes that are acknowledged before they are in a sealed generation.
//!
//! 1. a group of changes is appended as one frame (`frame.rs`) and synced, by one call for all who wait
//! 2. when a generation is sealed that contains them all ([`Log::clear`]), the file goes  3. opened after a crash, it
//!    gives the changes that no sealed generation contains, in order (`operation.rs`)
//!
//! The file is `log-N.qlog` in the collection's folder, N the number of its first change. It is made by the first change
//! after a seal. An error of the disk stops the log: what the disk then holds is known only after it is opened again.

mod frame;
mod operation;

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use quarry_index::durable::sync_file;
use quarry_index::{Storage, names};
use uuid::Uuid;

use frame::{Frame, HEAD, Head, frames};
pub(super) use operation::{Entry, Keyed, Operation};

use super::StoreError;
use super::error::io;

/// A log that is open for appending.
#[derive(Debug)]
pub(super) struct Log {
    storage: Storage,
    index: Uuid,
    file: Option<OpenFile>,
    /// Names of its files: only these are removed.
    names: Vec<String>,
    /// Number of the next operation.
    next: u64,
    /// Why nothing more is appended.
    broken: Option<String>,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    path: PathBuf,
    /// Bytes of whole frames.
    end: u64,
    /// Bytes that are synced.
    synced: u64,
}

/// What a log had that no sealed generation contains.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// The operations, in order.
    pub(super) operations: Vec<Operation>,
    /// Bytes at the end that a crash left incomplete, and that were dropped.
    pub(super) dropped: u64,
}

impl Log {
    /// Opens the log of the index in `folder`, whose sealed generation contains the operations up to `applied`.
    ///
    /// # Errors
    /// [`StoreError::DamagedLog`] if it is another index's, or synced bytes are damaged; or the disk refuses.
    pub(super) fn open(
        folder: &Path,
        index: Uuid,
        applied: u64,
    ) -> Result<(Self, Pending), StoreError> {
        let storage = Storage::of(folder);
        let mut pending = Pending::default();
        let mut last = applied;
        let mut files: Vec<(u64, String)> = storage
            .names()?
            .into_iter()
            .filter_map(|name| Some((names::log(&name)?, name)))
            .collect();
        files.sort_unstable();
        let count = files.len();
        let own = files.iter().map(|(_, name)| name.clone()).collect();
        let firsts: Vec<u64> = files.iter().map(|(first, _)| *first).collect();
        for (at, (first, name)) in files.into_iter().enumerate() {
            // The generation has all of it: a power cut may bring back, in any state, what was removed.
            if firsts.get(at + 1).is_some_and(|next| *next <= applied.saturating_add(1)) {
                continue;
            }
            let path = storage.path(&name);
            let damaged = |offset: usize, what: &str| StoreError::DamagedLog {
                path: path.clone(),
                offset: offset as u64,
                what: what.to_owned(),
            };
            if !path.symlink_metadata().is_ok_and(|found| found.is_file()) {
                return Err(damaged(0, "it is not a file, but a link or a folder"));
            }
            let bytes = fs::read(&path).map_err(io(&path))?;
            // The head is synced before the file has its name.
            let head = Head::read(&bytes).map_err(|what| damaged(0, &what))?;
            if head != (Head { index, first }) {
                return Err(damaged(0, "it is the log of another index"));
            }
            let found =
                frames(&bytes).map_err(|at| damaged(at, "a change that was synced is damaged"))?;
            let torn = bytes.len() - found.end;
            if torn > 0 && at + 1 < count {
                return Err(damaged(found.end, "a change is damaged, and later ones follow"));
            }
            let mut expected = first;
            for (frame, json) in found.frames {
                let operations: Vec<Operation> = serde_json::from_slice(&bytes[json.clone()])
                    .map_err(|error| damaged(json.start, &error.to_string()))?;
                if frame.first != expected || operations.len() as u64 != u64::from(frame.count) {
                    return Err(damaged(json.start, "the numbers of the changes do not follow on"));
                }
                let after = frame.first.checked_add(u64::from(frame.count));
                let after = after.ok_or_else(|| damaged(json.start, "its numbers have no end"))?;
                for (number, operation) in (frame.first..after).zip(operations) {
                    if number > last && number - last != 1 {
                        return Err(damaged(
                            json.start,
                            &format!("change {} is missing", last + 1),
                        ));
                    }
                    if number > last {
                        pending.operations.push(operation);
                        last = number;
                    }
                }
                expected = after;
            }
            if torn > 0 {
                let cut = File::options().write(true).open(&path);
                cut.and_then(|file| file.set_len(found.end as u64).and_then(|()| sync_file(&file)))
                    .map_err(io(&path))?;
                pending.dropped += torn as u64;
            }
        }
        let log = Self {
            storage,
            index,
            file: None,
            names: own,
            next: last.saturating_add(1),
            broken: None,
        };
        Ok((log, pending))
    }

    /// A log in the folder that this one did not have when it was opened, nor made.
    pub(super) fn other(&self) -> Result<Option<PathBuf>, StoreError> {
        let all = self.storage.names()?;
        let other = all.iter().find(|n| names::log(n).is_some() && !self.names.contains(n));
        Ok(other.map(|name| self.storage.path(name)))
    }

    /// Number of the last operation.
    pub(super) fn last(&self) -> u64 {
        self.next - 1
    }

    /// Bytes that are appended and not in a sealed generation.
    pub(super) fn bytes(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.end)
    }

    /// Whether there are bytes that are not synced.
    pub(super) fn is_behind(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.synced < file.end)
    }

    /// Fails if an earlier error stopped the log.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match &self.broken {
            Some(why) => Err(StoreError::LogStopped { why: why.clone() }),
            None => Ok(()),
        }
    }

    /// Appends operations as one frame; they are whole in the file, or not there. Not synced.
    ///
    /// # Errors
    /// If the disk refuses. The log stops if what is in the file is unknown then.
    pub(super) fn append(&mut self, operations: &[Operation]) -> Result<(), StoreError> {
        self.check()?;
        let json = serde_json::to_vec(operations).map_err(|source| StoreError::Record {
            folder: self.storage.folder().to_owned(),
            source,
        })?;
        let count = u32::try_from(operations.len()).unwrap_or(u32::MAX);
        let first = self.next;
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let name = names::log_file(first);
                let path = self.storage.path(&name);
                if !self.names.contains(&name) && path.symlink_metadata().is_ok() {
                    let what = "a file of this name is there that is not this log's".to_owned();
                    return Err(StoreError::DamagedLog { path, offset: 0, what });
                }
                let file = begin(&self.storage, Head { index: self.index, first })?;
                self.names.push(name);
                self.file.insert(file)
            }
        };
        let frame = Frame { first, count, synced: file.synced }.bytes(&json);
        if let Err(source) = file.file.write_all(&frame) {
            // A full disk may have taken a part.
            let cut = file.file.set_len(file.end);
            let back = cut.and_then(|()| file.file.seek(SeekFrom::Start(file.end)));
            if let Err(error) = back {
                self.broken = Some(format!("{}: {error}", file.path.display()));
            }
            return Err(StoreError::Io { path: file.path.clone(), source });
        }
        file.end += frame.len() as u64;
        self.next += u64::from(count);
        Ok(())
    }

    /// Takes the last operations back, after an error that came before anybody was told of them.
    pub(super) fn take_back(&mut self, bytes: u64, last: u64) {
        let Some(file) = &mut self.file else { return };
        let cut = file.file.set_len(bytes.max(HEAD as u64));
        match cut.and_then(|()| file.file.seek(SeekFrom::Start(bytes.max(HEAD as u64)))) {
            Ok(end) => (file.end, self.next) = (end, last + 1),
            Err(error) => self.broken = Some(format!("{}: {error}", file.path.display())),
        }
    }

    /// Syncs what was appended.
    ///
    /// # Errors
    /// If the disk refuses: then the log stops.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        self.check()?;
        let Some(file) = self.file.as_mut().filter(|file| file.synced < file.end) else {
            return Ok(());
        };
        match sync_file(&file.file) {
            Ok(()) => {
                file.synced = file.end;
                Ok(())
            }
            Err(source) => {
                // Which bytes the disk has is unknown from here on.
                self.broken = Some(format!("{}: {source}", file.path.display()));
                Err(StoreError::Io { path: file.path.clone(), source })
            }
        }
    }

    /// Removes the log's files: a sealed generation contains all of its operations.
    ///
    /// # Errors
    /// If the system refuses. What is left says nothing new.
    pub(super) fn clear(&mut self) -> Result<(), StoreError> {
        self.file = None;
        while let Some(name) = self.names.last() {
            self.storage.remove(name)?;
            self.names.pop();
        }
        Ok(())
    }
}

/// Whether a file is a log, by its name and its first bytes.
pub(super) fn is_log(path: &Path) -> bool {
    let named = path.file_name().and_then(|name| names::log(name.to_str()?)).is_some();
    let mut head = [0; HEAD];
    let mut read = || File::open(path).and_then(|mut file| file.read_exact(&mut head));
    named && read().is_ok() && Head::read(&head).is_ok()
}

/// Makes a file with its head, synced, open at its end.
fn begin(storage: &Storage, head: Head) -> Result<OpenFile, StoreError> {
    let name = names::log_file(head.first);
    storage.replace(&name, &head.bytes())?;
    storage.sync()?;
    let path = storage.path(&name);
    let file = File::options().append(true).open(&path).map_err(io(&path))?;
    let end = HEAD as u64;
    Ok(OpenFile { file, path, end, synced: end })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    fn delete(id: &str) -> Operation {
        Operation::Delete(vec![id.to_owned()])
    }

    #[test]
    fn changes_come_back_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let (path, index) = (folder.path(), Uuid::new_v4());
        let (mut log, pending) = Log::open(path, index, 4).unwrap();
        assert!(pending.operations.is_empty());
        assert_eq!((log.last(), log.bytes()), (4, 0));
        log.append(&[delete("a"), delete("b")]).unwrap();
        assert!(log.is_behind());
        log.sync().unwrap();
        log.append(&[delete("c")]).unwrap();
        let (before, last) = (log.bytes(), log.last());
        log.append(&[delete("never")]).unwrap();
        log.take_back(before, last);
        log.append(&[delete("d")]).unwrap();
        log.sync().unwrap();
        assert_eq!(log.last(), 8);
        drop(log);
        let (mut log, pending) = Log::open(path, index, 4).unwrap();
        let all = [delete("a"), delete("b"), delete("c"), delete("d")];
        assert_eq!(pending.operations, all);
        // What a sealed generation contains is not given again.
        assert_eq!(Log::open(path, index, 6).unwrap().1.operations, all[2..]);
        assert!(Log::open(path, index, 8).unwrap().1.operations.is_empty());
        // A second file goes on.
        log.append(&[delete("e")]).unwrap();
        log.sync().unwrap();
        assert_eq!(Log::open(path, index, 7).unwrap().1.operations, [delete("d"), delete("e")]);
        // A generation of before the first file: something is missing.
        let error = Log::open(path, index, 3).unwrap_err();
        assert!(error.to_string().contains("change 4 is missing"), "{error}");
        assert!(Log::open(path, Uuid::new_v4(), 8).is_err());
        // A log that somebody put there is noticed, and stays; so does one that is no file.
        assert!(log.other().unwrap().is_none());
        #[cfg(unix)]
        {
            let link = path.join(names::log_file(70));
            std::os::unix::fs::symlink("nowhere", &link).unwrap();
            assert_eq!(log.other().unwrap(), Some(link.clone()));
            assert!(Log::open(path, index, 9).unwrap_err().to_string().contains("a link"));
            fs::remove_file(link).unwrap();
        }
        // A file of that name that somebody else put there stays.
        fs::write(path.join(names::log_file(77)), "a diary").unwrap();
        log.clear().unwrap();
        assert_eq!(Storage::of(path).names().unwrap(), [names::log_file(77)]);
        log.append(&[delete("f")]).unwrap();
        assert_eq!(log.last(), 10);
    }

    #[test]
    fn a_torn_end_is_dropped_and_damage_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, index) = (folder.path(), Uuid::new_v4());
        let (mut log, _) = Log::open(path, index, 0).unwrap();
        let mut ends = Vec::new();
        for id in ["a", "b", "c"] {
            log.append(&[delete(id)]).unwrap();
            log.sync().unwrap();
            ends.push(usize::try_from(log.bytes()).unwrap());
        }
        drop(log);
        let file = path.join(names::log_file(1));
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..ends[2] - 1]).unwrap();
        let (mut log, pending) = Log::open(path, index, 0).unwrap();
        assert_eq!(pending.operations, [delete("a"), delete("b")]);
        assert_eq!(pending.dropped, (ends[2] - 1 - ends[1]) as u64);
        assert_eq!(fs::metadata(&file).unwrap().len(), ends[1] as u64);
        log.append(&[delete("d")]).unwrap();
        drop(log);
        let again = Log::open(path, index, 0).unwrap().1;
        assert_eq!(again.operations, [delete("a"), delete("b"), delete("d")]);
        fs::remove_file(path.join(names::log_file(3))).unwrap();
        let mut damaged = whole;
        damaged[ends[0] + 60] ^= 1;
        fs::write(&file, damaged).unwrap();
        let error = Log::open(path, index, 0).unwrap_err().to_string();
        assert!(error.contains(&format!("byte {}", ends[0])), "{error}");
        // What a generation has and a later log follows is not read, in whatever state a power cut brought it back.
        begin(&Storage::of(path), Head { index, first: 4 }).unwrap();
        let (log, pending) = Log::open(path, index, 3).unwrap();
        assert!(pending.operations.is_empty() && log.last() == 3);
        assert!(Log::open(path, index, 2).is_err());
    }
}
