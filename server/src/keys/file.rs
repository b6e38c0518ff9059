//! The file of keys: a JSON object with the list `keys`.
//!
//! A change takes a lock beside the file (`FILE.lock`), reads the file, and puts a new one in its place by a rename. So a
//! server and `quarry key` can both change it, and who reads it sees it whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::record::{Fault, KeyRecord, NewKey};

/// Most bytes of the file.
const MOST_BYTES: u64 = 16 << 20;
/// Most keys.
const MOST_KEYS: usize = 10_000;

/// Why a file of keys cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is not a file of keys.
    #[error("{}: not a file of keys: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A key as it shall be made is not valid.
    #[error(transparent)]
    Key(#[from] Fault),
    /// There are too many.
    #[error("{}: it has {MOST_KEYS} keys, the most; remove some", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
}

/// The place of a file of keys.
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: PathBuf,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    keys: Vec<KeyRecord>,
}

/// Which state of the file was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
}

impl KeyFile {
    /// The file at `path`; nothing is read yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All keys, in the order in which they were made.
    ///
    /// # Errors
    /// If the file is not there, cannot be read, or is not a file of keys.
    pub fn read(&self) -> Result<Vec<KeyRecord>, KeyFileError> {
        let file = File::open(&self.path).map_err(|e| self.io(e))?;
        let mut bytes = Vec::new();
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|e| self.io(e))?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(self.invalid(format!("more than {MOST_BYTES} bytes")));
        }
        let content: Content =
            serde_json::from_slice(&bytes).map_err(|e| self.invalid(e.to_string()))?;
        for key in &content.keys {
            key.check().map_err(|fault| {
                self.invalid(format!("the key {}: {fault}", key.id.escape_debug()))
            })?;
        }
        let mut ids: Vec<&str> = content.keys.iter().map(|key| key.id.as_str()).collect();
        ids.sort_unstable();
        if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(self.invalid(format!("the key {} is there twice", twice[0])));
        }
        Ok(content.keys)
    }

    /// Adds a key; makes the file if it is not there, readable by its owner only.
    ///
    /// # Errors
    /// As [`Self::read`], or if the file cannot be written.
    pub fn add(&self, key: &NewKey) -> Result<(), KeyFileError> {
        self.change(|keys| {
            if keys.len() >= MOST_KEYS {
                return Err(KeyFileError::Full { path: self.path.clone() });
            }
            keys.push(key.record.clone());
            Ok(true)
        })?;
        Ok(())
    }

    /// Removes the key with this id; false if there is none.
    ///
    /// # Errors
    /// As [`Self::read`], or if the file cannot be written.
    pub fn remove(&self, id: &str) -> Result<bool, KeyFileError> {
        self.change(|keys| {
            let before = keys.len();
            keys.retain(|key| key.id != id);
            Ok(keys.len() < before)
        })
    }

    /// Writes the file if `change` says so.
    fn change(
        &self,
        change: impl FnOnce(&mut Vec<KeyRecord>) -> Result<bool, KeyFileError>,
    ) -> Result<bool, KeyFileError> {
        let mut lock = self.path.clone().into_os_string();
        lock.push(".lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(lock);
        let lock = lock.map_err(|e| self.io(e))?;
        lock.lock().map_err(|e| self.io(e))?;
        let mut keys = match self.read() {
            Err(KeyFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Vec::new()
            }
            read => read?,
        };
        let changed = change(&mut keys)?;
        if changed {
            self.write(&Content { keys }).map_err(|e| self.io(e))?;
        }
        Ok(changed)
    }

    fn write(&self, content: &Content) -> io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        // Its mode is 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut file, content)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    }

    pub(super) fn stamp(&self) -> Result<Stamp, KeyFileError> {
        let metadata = self.path.metadata().map_err(|e| self.io(e))?;
        Ok(Stamp { modified: metadata.modified().ok(), bytes: metadata.len() })
    }

    fn io(&self, source: io::Error) -> KeyFileError {
        KeyFileError::Io { path: self.path.clone(), source }
    }

    fn invalid(&self, message: String) -> KeyFileError {
        KeyFileError::Invalid { path: self.path.clone(), message }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;
    use crate::keys::{KeyRequest, Scope};

    fn key() -> NewKey {
        let scopes = vec![Scope::Admin];
        let collections = vec!["*".to_owned()];
        let name = String::new();
        let (filter, expires_at, rate) = (None, None, None);
        NewKey::make(KeyRequest { name, scopes, collections, filter, expires_at, rate }).unwrap()
    }

    #[test]
    fn keys_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::new(folder.path().join("keys.json"));
        assert!(matches!(file.read(), Err(KeyFileError::Io { .. })));
        let keys = [key(), key()];
        // From several threads, none is lost.
        std::thread::scope(|scope| {
            for key in &keys {
                scope.spawn(|| file.add(key).unwrap());
            }
        });
        assert_eq!(file.read().unwrap().len(), 2);
        assert!(!file.remove("nobody").unwrap());
        assert!(file.remove(&keys[0].record.id).unwrap());
        assert_eq!(file.read().unwrap(), [keys[1].record.clone()]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = file.path().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn what_is_no_file_of_keys_is_refused_and_left() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::new(folder.path().join("keys.json"));
        let twice = {
            let record = serde_json::to_string(&key().record).unwrap();
            format!(r#"{{"keys":[{record},{record}]}}"#)
        };
        let deep = "[".repeat(100_000);
        for text in ["", "[]", "{}", r#"{"keys":[{}]}"#, r#"{"keys":[],"more":1}"#, &twice, &deep] {
            std::fs::write(file.path(), text).unwrap();
            assert!(matches!(file.read(), Err(KeyFileError::Invalid { .. })), "{text:.20}");
            assert!(file.add(&key()).is_err());
            assert_eq!(std::fs::read_to_string(file.path()).unwrap(), *text);
        }
    }
}
