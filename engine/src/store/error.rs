//! Why a store refuses.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quarry_index::IndexError;
use quarry_indexer::BuildError;

use super::room::Low;
use crate::EngineError;

/// Why a collection is not made, opened, changed or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store has no collection of this name.
    #[error("no collection is named `{name}`")]
    NotFound {
        /// The name.
        name: String,
    },
    /// There is one of this name, made otherwise.
    #[error("there is a collection `{name}` already, made with another `{differs}`")]
    Exists {
        /// The name.
        name: String,
        /// The first setting that differs.
        differs: &'static str,
    },
    /// There is a folder of this name that no store made.
    #[error(
        "`{name}` was not made by a request ({found}), so no request removes it or makes another in its place: what lies in its folder is left as it is; move the folder away by hand"
    )]
    NotOurs {
        /// Its name.
        name: String,
        /// What shows that.
        found: String,
    },
    /// The store's folder holds something else under the name that the store needs.
    #[error("{}: not made by quarry; a folder of collections needs this name for itself", path.display())]
    Foreign {
        /// The path.
        path: PathBuf,
    },
    /// The store's folder is an index itself.
    #[error(
        "{}: is an index, and a folder of collections holds such folders; `quarry serve {}` serves an index", path.display(), path.display()
    )]
    IsIndex {
        /// The path.
        path: PathBuf,
    },
    /// The file of aliases is damaged.
    #[error(
        "{}: the aliases: {what}; restore the file from a backup, or remove it to go on without aliases", path.display()
    )]
    DamagedAliases {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// An alias would have the name of a collection, or of something else in the folder.
    #[error(
        "`{name}` is there already, as a collection or in another way, so no alias can have this name"
    )]
    Shadows {
        /// The name.
        name: String,
    },
    /// There is no such alias.
    #[error("no alias is named `{name}`")]
    NoAlias {
        /// The name.
        name: String,
    },
    /// What concerns a collection itself was asked of an alias.
    #[error(
        "`{name}` is an alias; say the name of the collection itself, or remove the alias first"
    )]
    IsAlias {
        /// The name.
        name: String,
    },
    /// A collection is not removed while an alias names it.
    #[error("the collection `{name}` is not removed while it is named by the alias `{}`", aliases.join("`, `"))]
    Aliased {
        /// The collection.
        name: String,
        /// Its aliases.
        aliases: Vec<String>,
    },
    /// There would be too many aliases.
    #[error("there would be more than {most} aliases")]
    TooManyAliases {
        /// The most there can be.
        most: usize,
    },
    /// The collection has no snapshot of this name.
    #[error("the collection `{collection}` has no snapshot `{name}`")]
    NoSnapshot {
        /// The collection.
        collection: String,
        /// The snapshot's name.
        name: String,
    },
    /// The collection has a snapshot of this name.
    #[error("the collection `{collection}` has a snapshot `{name}` already")]
    SnapshotExists {
        /// The collection.
        collection: String,
        /// The snapshot's name.
        name: String,
    },
    /// An archive is not a snapshot's, or not as it was written.
    #[error("the archive is refused: {what}")]
    Archive {
        /// What is wrong.
        what: String,
    },
    /// A store is to follow another one, and has a collection that was not taken from there.
    #[error(
        "`{name}` was not taken from a leader: a server that follows another one needs a folder of its own, or an empty one"
    )]
    NotFollowed {
        /// The collection.
        name: String,
    },
    /// What a leader says or gives cannot be used.
    #[error("what the leader gives cannot be used: {what}")]
    Leader {
        /// What is wrong.
        what: String,
    },
    /// A setting cannot be had.
    #[error("{param}: {what}")]
    Setting {
        /// Its name.
        param: &'static str,
        /// What is wrong, and what to do.
        what: String,
    },
    /// Another request had this one's key.
    #[error("another request was sent with the key `{key}`")]
    OtherRequest {
        /// The key.
        key: String,
    },
    /// No ids are given.
    #[error("no ids are given")]
    NoIds,
    /// Too many bytes of texts wait to be encoded.
    #[error("{waiting} bytes of texts wait to be encoded, and there is no room for these")]
    EncodeQueueFull {
        /// The bytes.
        waiting: u64,
        /// How long it takes until there is room, as measured.
        again: Duration,
    },
    /// The collection was removed meanwhile.
    #[error("the collection was removed")]
    Removed,
    /// The thread that applied this change ended without an answer.
    #[error("the change was interrupted by a fault; whether it was made is unknown")]
    Interrupted,
    /// The record of a collection cannot be read or written.
    #[error("{}: the record of the collection: {source}", folder.display())]
    Record {
        /// The collection's folder.
        folder: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The record of a collection is of another version.
    #[error(
        "{}: the record of the collection has version {found}, and this quarry reads {known}: a later quarry made it",
        folder.display()
    )]
    RecordVersion {
        /// The collection's folder.
        folder: PathBuf,
        /// Its version.
        found: u32,
        /// The one that is read.
        known: u32,
    },
    /// The log of a collection is damaged, or not its own.
    #[error(
        "{}: byte {offset}: {what}. Changes that the log alone has are lost if it is removed; restore it from a backup, or remove the file to go on without them", path.display()
    )]
    DamagedLog {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// A change that the log has cannot be made again.
    #[error("changes {first} to {last} of the log cannot be made again: {what}")]
    NotReplayed {
        /// Number of the first of the changes that it is among.
        first: u64,
        /// Number of the last.
        last: u64,
        /// Why.
        what: String,
    },
    /// The change could not be logged, so it was not made.
    #[error("the change was not made, since it cannot be logged: {source}")]
    NotLogged {
        /// The error.
        source: Arc<StoreError>,
    },
    /// The change was made and logged, and could not be sealed.
    #[error(
        "the change is made, found by searches and in the log; it could not be sealed: {source}"
    )]
    NotSealed {
        /// The error.
        source: Arc<StoreError>,
    },
    /// Less is free than a floor.
    #[error("{0}: no documents are taken until there is more; searches and deletions go on")]
    Low(Low),
    /// Changes of the log could not be made when the collection was opened.
    #[error(
        "{changes} changes of the log wait to be made again, since the disk was full: nothing is changed until there is room; searches see the state before them"
    )]
    Unmade {
        /// How many.
        changes: usize,
    },
    /// A log came into the folder of an open collection.
    #[error(
        "{}: came into the folder while the collection was open, so its changes are not in it; stop the server and start it again, or take the folder out and move it in as a whole", path.display()
    )]
    LateLog {
        /// The file.
        path: PathBuf,
    },
    /// The log was stopped by an error of the disk.
    #[error(
        "writes have stopped after an error of the disk ({why}); a restart reads what it holds"
    )]
    LogStopped {
        /// The error.
        why: String,
    },
    /// The task was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// More tasks wait than may.
    #[error("{most} tasks are waiting already: try again when one has ended")]
    TooManyTasks {
        /// Most that may wait.
        most: usize,
    },
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Opening, encoding or writing failed.
    #[error(transparent)]
    Engine(Box<EngineError>),
}

impl StoreError {
    /// What may be said of it to whom the server's files are none of their business; `None`: that it failed.
    pub(super) fn shown(&self) -> Option<String> {
        match self {
            Self::NotFound { .. }
            | Self::Exists { .. }
            | Self::NotOurs { .. }
            | Self::Setting { .. }
            | Self::NoSnapshot { .. }
            | Self::SnapshotExists { .. }
            | Self::Archive { .. }
            | Self::NoIds
            | Self::Removed
            | Self::Low(_)
            | Self::Unmade { .. }
            | Self::Cancelled => Some(self.to_string()),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("the disk is full".to_owned())
            }
            _ => None,
        }
    }

    /// Whether it comes of a disk without space.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = next {
            let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
            if matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) {
                return true;
            }
            next = error.source();
        }
        false
    }
}

impl From<EngineError> for StoreError {
    fn from(error: EngineError) -> Self {
        Self::Engine(Box::new(error))
    }
}

impl From<IndexError> for StoreError {
    fn from(error: IndexError) -> Self {
        EngineError::from(error).into()
    }
}

impl From<BuildError> for StoreError {
    fn from(error: BuildError) -> Self {
        EngineError::from(error).into()
    }
}

/// For `map_err`.
pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<'_> {
    move |source| StoreError::Io { path: path.to_owned(), source }
}
