//! Names of collections in place of folders: the cache that the environment or an option names.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::bail;
use quarry_datasets::collections::{Collections, read_collections};

/// Where pulled collections are kept.
const CACHE: &str = "QUARRY_DATASETS";
/// Address of a mirror.
const BASE: &str = "QUARRY_DATASETS_BASE";
/// File of further collections.
const REGISTRY: &str = "QUARRY_DATASETS_REGISTRY";

/// Where collections are kept, and what is known of them.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct CollectionsArgs {
    /// Folder of pulled collections [env: QUARRY_DATASETS] [default: quarry/datasets in the user's cache]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// File of more collections, in the form of `quarry dataset list --json`
    /// [env: QUARRY_DATASETS_REGISTRY]
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
}

fn set(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

impl CollectionsArgs {
    /// The collections; `base` is a mirror's address.
    pub(crate) fn open(&self, base: Option<&str>) -> anyhow::Result<Collections> {
        let cache = match (&self.cache, set(CACHE), set("XDG_CACHE_HOME"), set("HOME")) {
            (Some(given), ..) => given.clone(),
            (None, Some(given), ..) => PathBuf::from(given),
            (None, None, Some(caches), _) => Path::new(&caches).join("quarry/datasets"),
            (None, None, None, Some(home)) => Path::new(&home).join(".cache/quarry/datasets"),
            (None, None, None, None) => {
                bail!("HOME is not set, so there is no cache; set {CACHE} to a folder")
            }
        };
        let mut collections = Collections::new(cache);
        collections.base = base.map(str::to_owned).or_else(|| set(BASE));
        if let Some(file) = self.registry.clone().or_else(|| set(REGISTRY).map(PathBuf::from)) {
            let more = read_collections(&file)?;
            collections.known.retain(|known| more.iter().all(|m| m.name != known.name));
            collections.known.extend(more);
        }
        Ok(collections)
    }
}

/// The file or folder that is meant: itself where it is there, else that of a pulled collection.
pub(crate) fn place(given: &Path) -> anyhow::Result<PathBuf> {
    let name = match given.to_str() {
        Some(name) if !given.exists() => name.trim_end_matches('/'),
        _ => return Ok(given.to_owned()),
    };
    let collections = CollectionsArgs::default().open(None)?;
    match collections.folder(name)? {
        Some(folder) => Ok(folder),
        None => {
            if name.starts_with("beir/") {
                collections.find(name)?;
            }
            // Who opens it says what is wrong.
            Ok(given.to_owned())
        }
    }
}
