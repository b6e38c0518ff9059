//! The record of a finished share: its number, its build, its input and its files.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use quarry_index::clusters::ClusterParams;
use quarry_index::container::hex;
use quarry_index::fields::FieldRules;
use quarry_index::seismic::SeismicParams;
use quarry_index::{IndexError, Storage};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_64;

use super::Share;
use crate::BuildError;
use crate::options::{BuildOptions, Levels, Lists, SealOptions, WordLists};
use crate::update::tokens::TokenOptions;

/// File name of the record. It is written last, so its presence means that the share is finished.
pub(super) const RECORD: &str = "shard-of-build.json";
const MAGIC: &str = "quarry-shard-of-build";
const VERSION: u32 = 2;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    magic: String,
    version: u32,
    /// The share, as `2/3`.
    pub(super) shard: String,
    /// Identifies the build.
    pub(super) facts: Map<String, Value>,
    pub(super) input: Input,
    pub(super) sealing: Sealing,
    /// The user's options, for the manifest.
    pub(super) description: Map<String, Value>,
    /// Memory limit for sealing, in bytes.
    pub(super) memory: u64,
    /// Passages cut off at the encoder's longest input, in the run that finished the share.
    pub(super) truncated: u64,
    /// Its shards, by number.
    pub(super) shards: BTreeMap<usize, Spooled>,
    /// Checksums of vocabulary, tokenizer and query table, by file name.
    pub(super) files: BTreeMap<String, String>,
    pub(super) tokens: Option<Tokens>,
    /// XXH3-64 of the record with this field empty.
    checksum: String,
}

/// The whole input, as each machine has read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Input {
    pub(super) documents: u64,
    pub(super) shards: usize,
    pub(super) digest: String,
}

/// The options of sealing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sealing {
    seed: u64,
    levels: Levels,
    lists: Lists,
    #[serde(default)]
    words: WordLists,
    seismic: SeismicParams,
    clusters: ClusterParams,
    pub(super) ids_are_unique: bool,
    fields: FieldRules,
}

/// A shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spooled {
    pub(super) documents: u64,
    pub(super) rows: u64,
    pub(super) checksum: String,
}

/// Token embeddings, one file per shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Tokens {
    pub(super) dims: usize,
    pub(super) options: TokenOptions,
}

impl Sealing {
    pub(super) fn of(options: &BuildOptions) -> Self {
        let (seal, ingest) = (&options.seal, &options.ingest);
        Self {
            seed: seal.seed,
            levels: seal.levels,
            lists: seal.lists,
            words: seal.words,
            seismic: seal.seismic,
            clusters: seal.clusters,
            ids_are_unique: ingest.ids_are_unique,
            fields: seal.fields.clone(),
        }
    }

    /// The options as `SealOptions`.
    pub(super) fn options(&self, memory: u64) -> SealOptions {
        SealOptions {
            memory,
            seed: self.seed,
            levels: self.levels,
            lists: self.lists,
            words: self.words,
            seismic: self.seismic,
            clusters: self.clusters,
            fields: self.fields.clone(),
        }
    }
}

impl Record {
    pub(super) fn new(share: Share, facts: Map<String, Value>, options: &BuildOptions) -> Self {
        Self {
            magic: MAGIC.to_owned(),
            version: VERSION,
            shard: share.to_string(),
            facts,
            input: Input { documents: 0, shards: 0, digest: String::new() },
            sealing: Sealing::of(options),
            description: options.description.clone(),
            memory: options.seal.memory,
            truncated: 0,
            shards: BTreeMap::new(),
            files: BTreeMap::new(),
            tokens: None,
            checksum: String::new(),
        }
    }

    pub(super) fn share(&self, folder: &Path) -> Result<Share, BuildError> {
        let corrupt = |what: String| IndexError::corrupt(&folder.join(RECORD), what).into();
        self.shard.parse().map_err(corrupt)
    }

    /// Reads the record of a folder; `None` if the share is not finished or there is none.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, BuildError> {
        let path = folder.join(RECORD);
        let bytes = match Storage::of(folder).read(RECORD) {
            Ok(bytes) => bytes,
            Err(IndexError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let record: Self = serde_json::from_slice(&bytes)
            .map_err(|e| IndexError::corrupt(&path, format!("record of a shard: {e}")))?;
        if record.magic != MAGIC {
            let expected = "the record of a shard of a build".to_owned();
            return Err(IndexError::Foreign { path, expected }.into());
        }
        if record.version != VERSION {
            let what =
                format!("record of version {}, this program reads {VERSION}", record.version);
            return Err(IndexError::corrupt(&path, what).into());
        }
        let expected = record.sum(&path)?;
        if record.checksum != expected {
            return Err(
                IndexError::Checksum { path, found: expected, expected: record.checksum }.into()
            );
        }
        Ok(Some(record))
    }

    fn sum(&self, path: &Path) -> Result<String, BuildError> {
        let bare = Self { checksum: String::new(), ..self.clone() };
        let bytes =
            serde_json::to_vec(&bare).map_err(|e| IndexError::corrupt(path, e.to_string()))?;
        Ok(hex(xxh3_64(&bytes)))
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), BuildError> {
        let path = folder.join(RECORD);
        let whole = Self { checksum: self.sum(&path)?, ..self.clone() };
        let bytes = serde_json::to_vec_pretty(&whole)
            .map_err(|e| IndexError::corrupt(&path, e.to_string()))?;
        Ok(Storage::of(folder).replace(RECORD, &bytes)?)
    }

    /// Reads a file beside the record and checks it against the recorded checksum.
    pub(super) fn file(&self, folder: &Path, name: &str) -> Result<Option<Vec<u8>>, BuildError> {
        let Some(checksum) = self.files.get(name) else { return Ok(None) };
        let bytes = Storage::of(folder).read(name)?;
        if hex(xxh3_64(&bytes)) != *checksum {
            let what = "it is not the file that the record names";
            return Err(IndexError::corrupt(&folder.join(name), what).into());
        }
        Ok(Some(bytes))
    }

    /// Writes a file beside the record and records its checksum.
    pub(super) fn add_file(
        &mut self,
        folder: &Path,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), BuildError> {
        Storage::of(folder).replace(name, bytes)?;
        self.files.insert(name.to_owned(), hex(xxh3_64(bytes)));
        Ok(())
    }
}

/// Whether a folder holds a share of a build, finished or not, and no index.
#[must_use]
pub fn is_share(folder: &Path) -> bool {
    folder.join(RECORD).is_file() || folder.join(crate::job::FILE).is_file()
}

/// Path of the token embeddings of a shard.
pub(super) fn tokens_path(folder: &Path, shard: usize) -> PathBuf {
    folder.join(format!("tokens-{shard:06}.qry"))
}
