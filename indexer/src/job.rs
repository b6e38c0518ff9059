//! The record of unfinished work, stored beside its shards: what kind of work it is and, for a build, what
//! must be unchanged to resume it.
//!
//! The record also marks the folder as ours: a folder without one is never touched.

use std::fs;
use std::path::Path;

use quarry_index::{IndexError, Storage};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::BuildError;
use crate::options::{BuildOptions, EncoderSetup};

pub(crate) use quarry_index::folder::JOB as FILE;
/// Version of the formats of shards and of this record; work of another version cannot be resumed.
const VERSION: u32 = 4;
const MAGIC: &str = "quarry-build";
/// The first bytes of every record.
const HEAD: &[u8] = b"{\n  \"magic\": \"quarry-build\"";
/// Facts that every build has; they identify records that lack `magic`.
const FACTS: [&str; 6] =
    ["version", "source", "encoder", "shard_documents", "vocabulary_terms", "provenance"];

/// The kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Work {
    /// Building an index or a share of one. Its shards are kept for resuming.
    #[default]
    Build,
    /// Adding token embeddings. Its shards are kept for resuming.
    Tokens,
    /// Dense vectors are added: so are theirs.
    Dense,
    /// Adding documents or lists, merging segments, joining shares: started over after an interruption.
    Change,
}

/// Identifies unfinished work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    #[serde(default)]
    magic: String,
    #[serde(default)]
    work: Work,
    facts: Map<String, Value>,
}

impl Job {
    pub(crate) fn new(options: &BuildOptions, encoder: Option<&EncoderSetup<'_>>) -> Self {
        let mut facts = Map::new();
        facts.insert("version".into(), json!(VERSION));
        facts.insert("source".into(), options.source.clone());
        facts.insert("encoder".into(), encoder.map_or(Value::Null, |e| e.identity.clone()));
        facts.insert("shard_documents".into(), json!(options.ingest.shard_documents));
        let terms = options.ingest.vocabulary.as_ref().map(Vec::len);
        facts.insert("vocabulary_terms".into(), json!(terms));
        facts.insert("provenance".into(), json!(encoder.is_some_and(|e| e.provenance)));
        if let Some(passages) = encoder.and_then(|e| e.passages) {
            facts.insert("passages".into(), json!([passages.tokens, passages.overlap]));
        }
        if !options.seal.fields.is_empty() {
            facts.insert("fields".into(), json!(options.seal.fields));
        }
        Self::of(Work::Build, facts)
    }

    /// The record of work that is started over after an interruption.
    pub(crate) fn change() -> Self {
        Self::of(Work::Change, Map::new())
    }

    /// The record of adding token embeddings from this source.
    pub(crate) fn tokens(source: &Value) -> Self {
        Self::of(Work::Tokens, Map::from_iter([("source".to_owned(), source.clone())]))
    }

    /// Dense vectors of this source are added.
    pub(crate) fn dense(source: &Value) -> Self {
        Self::of(Work::Dense, Map::from_iter([("source".to_owned(), source.clone())]))
    }

    fn of(work: Work, facts: Map<String, Value>) -> Self {
        // Converted to text and back, so that a record read from disk compares equal.
        let facts =
            serde_json::to_string(&facts).and_then(|t| serde_json::from_str(&t)).unwrap_or(facts);
        Self { magic: MAGIC.to_owned(), work, facts }
    }

    /// Adds a fact.
    pub(crate) fn with(mut self, what: &str, value: Value) -> Self {
        self.facts.insert(what.to_owned(), value);
        self
    }

    /// The kind of work.
    pub(crate) fn work(&self) -> Work {
        self.work
    }

    /// The facts, stored in the manifest so that a finished build is recognised.
    pub(crate) fn facts(&self) -> &Map<String, Value> {
        &self.facts
    }

    /// Reads the record of a folder; `None` if there is none, or if it is not ours.
    pub(crate) fn read(build: &Path) -> Result<Option<Self>, BuildError> {
        let path = build.join(FILE);
        if !fs::symlink_metadata(&path).is_ok_and(|m| m.is_file()) {
            return Ok(None);
        }
        let bytes = fs::read(&path).map_err(IndexError::io(&path))?;
        let job = serde_json::from_slice(&bytes).ok();
        Ok(job.filter(|job: &Self| {
            job.magic == MAGIC
                || (job.magic.is_empty() && FACTS.iter().all(|fact| job.facts.contains_key(*fact)))
        }))
    }

    pub(crate) fn write(&self, build: &Path) -> Result<(), BuildError> {
        let path = build.join(FILE);
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|e| IndexError::corrupt(&path, e.to_string()))?;
        Ok(Storage::of(build).replace(FILE, &bytes)?)
    }

    /// Whether a file is a record cut short by a crash.
    pub(crate) fn is_begun(path: &Path) -> bool {
        let file = fs::symlink_metadata(path).is_ok_and(|m| m.is_file() && m.len() < 1 << 20);
        file && fs::read(path).is_ok_and(|b| b.starts_with(HEAD) || HEAD.starts_with(&b))
    }

    /// Fails if the unfinished build is a different one.
    pub(crate) fn check_same(&self, now: &Self, folder: &Path) -> Result<(), BuildError> {
        for what in now.facts.keys().chain(self.facts.keys()) {
            let [was, value] = [self, now].map(|job| job.facts.get(what).unwrap_or(&Value::Null));
            if was != value {
                return Err(BuildError::ResumeMismatch {
                    path: folder.to_path_buf(),
                    what: what.clone(),
                    was: was.to_string(),
                    now: value.to_string(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    #[test]
    fn complete_and_partial_records_are_recognised() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        assert!(Job::read(folder.path()).unwrap().is_none());
        Job::tokens(&json!("x")).write(folder.path()).unwrap();
        assert_eq!(Job::read(folder.path()).unwrap().unwrap(), Job::tokens(&json!("x")));
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.starts_with(HEAD));
        for cut in [0, 1, HEAD.len(), bytes.len() - 1] {
            fs::write(&path, &bytes[..cut]).unwrap();
            assert!(Job::is_begun(&path), "{cut}");
            assert!(Job::read(folder.path()).unwrap().is_none(), "{cut}");
        }
        for foreign in ["{}", "{\"facts\":{}}", "{\"magic\":\"webpack\",\"facts\":{}}", "job"] {
            fs::write(&path, foreign).unwrap();
            assert!(!Job::is_begun(&path), "{foreign}");
            assert!(Job::read(folder.path()).unwrap().is_none(), "{foreign}");
        }
    }
}
