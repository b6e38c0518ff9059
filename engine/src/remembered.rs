//! Where an index's model came from: its manifest keeps folder or name, so that nobody has to name it again.
//!
//! An index may come from anywhere, so what it names is never fetched, and decides nothing: a model is taken
//! from a folder that is there or from the hub's cache, and its checksums have to be those of the index.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use quarry_encoders::Hub;
use quarry_vectors::{EncodeError, EncodeQuery, SparseVector};
use serde_json::{Map, Value, json};

use crate::EngineError;
use crate::model_source::ModelSource;

/// Key of the manifest's build description.
const KEY: &str = "model_from";

/// Notes where a model is taken from; the bundled one is found without.
pub(crate) fn record(source: &ModelSource, description: &mut Map<String, Value>) {
    // From wherever a later command is called, a relative path would lead elsewhere.
    let absolute = |given: &String| match Path::new(given).canonicalize() {
        Ok(folder) if folder.is_dir() => folder.display().to_string(),
        _ => given.clone(),
    };
    let from = match source {
        ModelSource::Bundled => return,
        ModelSource::Named(given) => json!({"documents": absolute(given)}),
        ModelSource::Pair { documents, queries } => {
            json!({"documents": absolute(documents), "queries": absolute(queries)})
        }
    };
    description.insert(KEY.into(), from);
}

/// The model that a build description names, if it is on this machine: as folders.
pub(crate) fn find(description: &Map<String, Value>, hub: Option<&Hub>) -> Option<ModelSource> {
    let from = description.get(KEY)?;
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

/// A query encoder that is opened for the first text: searches with vectors or words do not wait for it.
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
