//! Collections by name: fetched once into a cache, checked, unpacked, and from then on folders like any
//! other.
//!
//! 1. find the name in the registry (`registry.rs`)  2. (`pull.rs`) fetch each file into `CACHE/downloads`, or take the
//!    one that lies there, and compare its MD5 (`transfer.rs`)  3. unpack aside (`unpack.rs`), and see
//!    that a collection came out  4. rename the folder to `CACHE/NAME`: only then the name can be used
//!
//! A pull that was killed goes on where it was: what has arrived of a file stays. Without the feature `download`
//! a pull is an error; collections in the cache are found all the same.

mod event;
#[cfg(feature = "download")]
mod pull;
mod registry;
mod retries;
#[cfg(feature = "download")]
mod transfer;
#[cfg(feature = "download")]
mod unpack;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::DatasetError;
pub use event::PullEvent;
pub use registry::{Becomes, KnownCollection, RemoteFile, known_collections, read_collections};
pub use retries::Retries;

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
}

#[cfg(not(feature = "download"))]
impl Collections {
    /// Refuses: this crate was built without its feature `download`.
    ///
    /// # Errors
    /// [`DatasetError::UnknownCollection`], else [`DatasetError::NoDownloads`]; never anything else.
    pub fn pull(
        &self,
        name: &str,
        _progress: &dyn Fn(PullEvent<'_>),
    ) -> Result<Pulled, DatasetError> {
        self.find(name)?;
        Err(DatasetError::NoDownloads { name: name.to_owned() })
    }
}

/// Where a file is while it arrives.
pub(super) fn part_of(to: &Path) -> PathBuf {
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    PathBuf::from(part)
}

#[cfg(all(fuzzing, feature = "download"))]
pub use unpack::any as unpack_any;
