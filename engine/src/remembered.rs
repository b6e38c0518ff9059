//! The sources of an index's models, of its sparse and of its dense vectors: the manifest records folder or name, so
//! that users need not give them again.
//!
//! An index may come from anywhere, so the recorded source is not trusted: nothing is downloaded. A model is
//! only taken from an existing folder or the hub's cache, and its checksums must be those in the index.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use quarry_encoders::Hub;
use quarry_indexer::DENSE_MODEL_FROM;
use quarry_vectors::{EncodeError, EncodeQuery, SparseVector};
use serde_json::{Map, Value, json};

use crate::EngineError;
use crate::model_source::ModelSource;

/// Key of the sparse model in the manifest's build description.
const KEY: &str = "model_from";

/// Records the source of the sparse model in a build description.
pub(crate) fn record(source: &ModelSource, description: &mut Map<String, Value>) {
    if let Some(from) = of(source) {
        description.insert(KEY.into(), from);
    }
}

/// What is recorded of a model's source; the bundled one needs no record.
pub(crate) fn of(source: &ModelSource) -> Option<Value> {
    // Absolute, since later commands may run in another folder.
    let absolute = |given: &String| match Path::new(given).canonicalize() {
        Ok(folder) if folder.is_dir() => folder.display().to_string(),
        _ => given.clone(),
    };
    match source {
        ModelSource::Bundled => None,
        ModelSource::Named(given) => Some(json!({"documents": absolute(given)})),
        ModelSource::Pair { documents, queries } => {
            Some(json!({"documents": absolute(documents), "queries": absolute(queries)}))
        }
    }
}

/// The sparse model named in a build description, as folders, if it is on this machine.
pub(crate) fn find(description: &Map<String, Value>, hub: Option<&Hub>) -> Option<ModelSource> {
    read(description.get(KEY)?, hub)
}

/// The same of the dense model.
pub(crate) fn find_dense(
    description: &Map<String, Value>,
    hub: Option<&Hub>,
) -> Option<ModelSource> {
    read(description.get(DENSE_MODEL_FROM)?, hub)
}

fn read(from: &Value, hub: Option<&Hub>) -> Option<ModelSource> {
    let there = |side: &str| {
        let given = from.get(side)?.as_str()?;
        let path = Path::new(given);
        if path.is_absolute() {
            return path.is_dir().then(|| given.to_owned());
        }
        hub.filter(|_| Hub::is_name(given))?.cached(given)?.to_str().map(str::to_owned)
    };
    let documents = there("documents")?;
    Some(match from.get("queries") {
        None => ModelSource::Named(documents),
        Some(_) => ModelSource::Pair { documents, queries: there("queries")? },
    })
}

type Open = dyn Fn() -> Result<Arc<dyn EncodeQuery>, EngineError> + Send + Sync;

/// A query encoder that is only opened for the first text, so searches with vectors or words need not wait.
pub(crate) struct Later {
    open: Box<Open>,
    opened: OnceLock<Arc<dyn EncodeQuery>>,
}

impl Later {
    pub(crate) fn new(
        open: impl Fn() -> Result<Arc<dyn EncodeQuery>, EngineError> + Send + Sync + 'static,
    ) -> Self {
        Self { open: Box::new(open), opened: OnceLock::new() }
    }
}

impl EncodeQuery for Later {
    fn encode_query(&self, text: &str) -> Result<SparseVector, EncodeError> {
        if let Some(encoder) = self.opened.get() {
            return encoder.encode_query(text);
        }
        let opened = (self.open)().map_err(|error| EncodeError(Box::new(error)))?;
        self.opened.get_or_init(|| opened).encode_query(text)
    }
}
