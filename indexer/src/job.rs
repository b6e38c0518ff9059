//! The record of an unfinished build, beside its shards: what has to be the same for the build to
//! be continued.

use std::io::{ErrorKind, Write};
use std::path::Path;

use quarry_index::{IndexError, read_file};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::BuildError;
use crate::options::{BuildOptions, EncoderSetup};

pub(crate) const FILE: &str = "job.json";
/// Version of what shards and this record look like; another one cannot be resumed.
const VERSION: u32 = 3;

/// What identifies a build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    facts: Map<String, Value>,
}

impl Job {
    pub(crate) fn new(options: &BuildOptions, encoder: Option<&EncoderSetup<'_>>) -> Self {
        let mut facts = Map::new();
        facts.insert("version".into(), json!(VERSION));
        facts.insert("source".into(), options.source.clone());
        facts.insert("encoder".into(), encoder.map_or(Value::Null, |e| e.identity.clone()));
        facts.insert("shard_documents".into(), json!(options.shard_documents));
        facts.insert("vocabulary_terms".into(), json!(options.vocabulary.as_ref().map(Vec::len)));
        facts.insert("provenance".into(), json!(encoder.is_some_and(|e| e.provenance)));
        if !options.fields.is_empty() {
            facts.insert("fields".into(), json!(options.fields));
        }
        // Through text, so that a record read back compares equal.
        let facts =
            serde_json::to_string(&facts).and_then(|t| serde_json::from_str(&t)).unwrap_or(facts);
        Self { facts }
    }

    /// The same with one more fact.
    pub(crate) fn with(mut self, what: &str, value: Value) -> Self {
        self.facts.insert(what.to_owned(), value);
        self
    }

    /// For the manifest, so that a finished build is known again.
    pub(crate) fn facts(&self) -> &Map<String, Value> {
        &self.facts
    }

    pub(crate) fn read(build: &Path) -> Result<Option<Self>, BuildError> {
        let path = build.join(FILE);
        let bytes = match read_file(&path) {
            Ok(bytes) => bytes,
            Err(IndexError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let job = serde_json::from_slice(&bytes).map_err(|e| {
            IndexError::corrupt(&path, format!("record of an unfinished build: {e}"))
        })?;
        Ok(Some(job))
    }

    pub(crate) fn write(&self, build: &Path) -> Result<(), BuildError> {
        let path = build.join(FILE);
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|e| IndexError::corrupt(&path, e.to_string()))?;
        let mut file = tempfile::NamedTempFile::new_in(build).map_err(IndexError::io(&path))?;
        file.write_all(&bytes).map_err(IndexError::io(&path))?;
        file.as_file().sync_all().map_err(IndexError::io(&path))?;
        file.persist(&path).map_err(|e| IndexError::Io { path: path.clone(), source: e.error })?;
        Ok(())
    }

    /// Refuses to continue a build that was another one.
    pub(crate) fn check_same(&self, now: &Self, folder: &Path) -> Result<(), BuildError> {
        for (what, value) in &now.facts {
            let was = self.facts.get(what).unwrap_or(&Value::Null);
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
