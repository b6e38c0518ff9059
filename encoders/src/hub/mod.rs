//! Models by name, from a Hugging Face hub into its cache layout.
//!
//! `fetch.rs` has the steps of a fetch, `client.rs` the requests and who is told the token, `cache.rs` the
//! layout. Without the feature `download` models in the cache are found, and fetching one is an error.

mod cache;
#[cfg(feature = "download")]
mod client;
#[cfg(feature = "download")]
mod fetch;

use std::fs;
use std::path::{Path, PathBuf};

use self::cache::Place;
use crate::{EncoderError, MANIFEST_FILE};

/// Names of graphs.
const GRAPHS: [&str; 3] = ["model.onnx", "onnx/model.onnx", "vespa_colbert.onnx"];

/// A hub and a cache.
#[derive(Clone)]
pub struct Hub {
    /// Address, such as `https://huggingface.co`.
    pub endpoint: String,
    /// The cache's folder (`.../huggingface/hub`).
    pub cache: PathBuf,
    /// Sent to the endpoint as a bearer token; not to where its answers lead.
    pub token: Option<String>,
    /// Whether nothing is to be fetched.
    pub offline: bool,
}

/// What happens during a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HubEvent<'a> {
    /// A file's transfer begins, or goes on.
    File {
        /// Its name.
        name: &'a str,
        /// Its length in bytes.
        bytes: u64,
    },
    /// Bytes of it arrived.
    Bytes(u64),
    /// The hub lists a file that it does not have, and that a model can do without.
    Absent {
        /// Its name.
        name: &'a str,
    },
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A token is not for logs.
        f.debug_struct("Hub")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("token", &self.token.as_ref().map(|_| "..."))
            .field("offline", &self.offline)
            .finish()
    }
}

impl Hub {
    /// Whether a text is a name such as `org/name`.
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        let plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        text.split_once('/').is_some_and(|(org, name)| plain(org) && plain(name))
    }

    /// The folder of a model that the cache holds whole, as far as its files tell: an encoder's graph
    /// or weights are there. Nothing is fetched.
    #[must_use]
    pub fn cached(&self, name: &str) -> Option<PathBuf> {
        let place = Place::of(&self.cache, name);
        let folder = place.snapshot(&place.main()?);
        let mut known = ["config.json", "modules.json", MANIFEST_FILE].iter();
        if !known.any(|file| folder.join(file).exists()) {
            return None;
        }
        let network = |folder: &Path| {
            let mut whole = GRAPHS.iter().chain(&["model.safetensors"]);
            whole.any(|file| folder.join(file).exists())
        };
        // sentence-transformers may have a folder for each module.
        let inner =
            || fs::read_dir(&folder).into_iter().flatten().flatten().any(|e| network(&e.path()));
        let whole = network(&folder) || folder.join(MANIFEST_FILE).exists() || inner();
        whole.then_some(folder)
    }

    /// The folder of a model: the cache's, or fetched.
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub fn get(
        &self,
        name: &str,
        progress: &dyn Fn(HubEvent<'_>),
    ) -> Result<PathBuf, EncoderError> {
        match self.cached(name) {
            Some(folder) => Ok(folder),
            None => self.pull(name, progress),
        }
    }
}

#[cfg(not(feature = "download"))]
impl Hub {
    /// Refuses: this crate was built without its feature `download`.
    ///
    /// # Errors
    /// [`EncoderError::Hub`], always.
    pub fn pull(
        &self,
        name: &str,
        _progress: &dyn Fn(HubEvent<'_>),
    ) -> Result<PathBuf, EncoderError> {
        Err(EncoderError::Hub {
            name: name.to_owned(),
            doing: "fetching".to_owned(),
            reason: format!(
                "it is not in the cache {}, and this program was built without the feature `download`; give a \
                 folder, or build it with that feature",
                self.cache.display()
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_folders() {
        assert!(Hub::is_name("naver/splade-v3"));
        for folder in ["models", "./models/a", "/a/b", "a/b/c", "../b", "a/", "a/.b", "a b/c"] {
            assert!(!Hub::is_name(folder), "{folder}");
        }
    }
}
