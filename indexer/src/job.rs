//! The record of unfinished work, beside its shards: whose work it is, and for a build what has to be
//! the same for it to be continued.
//!
//! The record is also the mark of a folder: what carries none was not made by us, and is not touched.

use std::fs;
use std::path::Path;

use quarry_index::{IndexError, Storage};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::BuildError;
use crate::options::{BuildOptions, EncoderSetup};

pub(crate) use quarry_index::folder::JOB as FILE;
/// Version of what shards and this record look like; another one cannot be resumed.
const VERSION: u32 = 4;
const MAGIC: &str = "quarry-build";
/// How every record begins.
const HEAD: &[u8] = b"{\n  \"magic\": \"quarry-build\"";
/// Facts that every build has; records without `magic` are known by them.
const FACTS: [&str; 6] =
    ["version", "source", "encoder", "shard_documents", "vocabulary_terms", "provenance"];

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Work {
    /// An index, or a share of one, is built: its shards are worth going on with.
    #[default]
    Build,
    /// Token embeddings are added: so are theirs.
    Tokens,
    /// Dense vectors are added: so are theirs.
    Dense,
    /// Documents are added, segments merged, lists added, shares joined: begun again when interrupted.
    Change,
}

/// What identifies unfinished work.
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

    /// The mark of work that is begun again when it is interrupted.
    pub(crate) fn change() -> Self {
        Self::of(Work::Change, Map::new())
    }

    /// Token embeddings of this source are added.
    pub(crate) fn tokens(source: &Value) -> Self {
        Self::of(Work::Tokens, Map::from_iter([("source".to_owned(), source.clone())]))
    }

    /// Dense vectors of this source are added.
    pub(crate) fn dense(source: &Value) -> Self {
        Self::of(Work::Dense, Map::from_iter([("source".to_owned(), source.clone())]))
    }

    fn of(work: Work, facts: Map<String, Value>) -> Self {
        // Through text, so that a record read back compares equal.
        let facts =
            serde_json::to_string(&facts).and_then(|t| serde_json::from_str(&t)).unwrap_or(facts);
        Self { magic: MAGIC.to_owned(), work, facts }
    }

    /// The same with one more fact.
    pub(crate) fn with(mut self, what: &str, value: Value) -> Self {
        self.facts.insert(what.to_owned(), value);
        self
    }

    /// What is being done.
    pub(crate) fn work(&self) -> Work {
        self.work
    }

    /// For the manifest, so that a finished build is known again.
    pub(crate) fn facts(&self) -> &Map<String, Value> {
        &self.facts
    }

    /// The record in a folder; none where there is none, or one that is not ours.
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

    /// Whether a file is the beginning of a record: a crash came while it was written.
    pub(crate) fn is_begun(path: &Path) -> bool {
        let file = fs::symlink_metadata(path).is_ok_and(|m| m.is_file() && m.len() < 1 << 20);
        file && fs::read(path).is_ok_and(|b| b.starts_with(HEAD) || HEAD.starts_with(&b))
    }

    /// Refuses to continue a build that was another one.
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
#[allow(clippy::unwrap_used, reason = "a test fails by it")]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_known_whole_and_begun() {
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
