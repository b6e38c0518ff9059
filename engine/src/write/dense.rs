//! Dense vectors for an index: by a model over its own texts, or from files that another program wrote.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use quarry_datasets::NamedDenseRows;
use quarry_encoders::DenseOptions;
use quarry_index::dense::{DenseStorage, MOST_DIMS};
use quarry_index::{Index, Verify};
use quarry_indexer::{AddDenseOptions, BuildError, DenseInput, Event, add_dense};
use quarry_vectors::{DocId, counted};
use serde_json::json;

use super::WriteError;
use crate::{EngineError, ModelSource, Models, remembered};

/// Examples that a message gives.
const EXAMPLES: usize = 3;

/// Where dense vectors come from.
#[derive(Debug, Clone)]
pub enum DenseFrom {
    /// A model, over the index's own texts.
    Model {
        /// Which.
        model: ModelSource,
        /// Longest text in tokens; as the index has it, else the model's own.
        max_tokens: Option<u32>,
        /// Dimensions of a vector, the model's first ones; as the index has it, else the model's own.
        dims: Option<u32>,
    },
    /// Files of vectors.
    Files {
        /// Vectors of all documents, documents x dimensions (.npy); a row of zeros is a document without.
        rows: PathBuf,
        /// The documents' ids, one a line, in the order of the rows.
        ids: PathBuf,
    },
}

/// How dense vectors are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreDense {
    /// The form; if not given that of the index, else int8.
    pub storage: Option<DenseStorage>,
    /// Whether vectors that are there already are replaced.
    pub replace: bool,
}

/// Adds dense vectors to an index.
pub(super) fn add(
    folder: &Path,
    models: &Models,
    from: &DenseFrom,
    store: StoreDense,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<u64, EngineError> {
    let index = Index::open(folder, Verify::Envelope)?;
    let has = index.features().dense.clone().filter(|_| !store.replace);
    let storage = store.storage.or(has.as_ref().map(|has| has.storage)).unwrap_or_default();
    let (rows, ids) = match from {
        DenseFrom::Files { rows, ids } => (rows, ids),
        DenseFrom::Model { model, max_tokens, dims } => {
            let model = models.dense_source(has.is_some().then_some(&index), model);
            // A generation that is open keeps its files.
            drop(index);
            let (max_tokens, dims) = (*max_tokens, *dims);
            let how = DenseOptions { max_tokens, dims, ..DenseOptions::default() };
            let made = models.dense_encoder(has.as_ref(), &model, &how).map_err(of_documents)?;
            let (source, model_from) = (made.identity, remembered::of(&model));
            let options = AddDenseOptions { storage, replace: store.replace, source, model_from };
            let input = DenseInput::Encoder(made.encoder.as_ref());
            return Ok(add_dense(folder, &options, input, progress)?);
        }
    };
    let name = rows.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut vectors = NamedDenseRows::open(rows, ids)?;
    let dims = vectors.dims();
    if dims > MOST_DIMS {
        return Err(wrong(format!(
            "{}: rows of {dims} dimensions; expected at most {MOST_DIMS}",
            rows.display()
        ))
        .into());
    }
    check_documents(&index, &vectors, ids, store.replace)?;
    drop(index);
    let source = json!({ "file": name });
    let options = AddDenseOptions { storage, replace: store.replace, source, model_from: None };
    let mut read = |id: &str| {
        let found = vectors.vector(id);
        let found = found.ok_or_else(|| wrong(format!("no row for document `{id}`")))?;
        found.map_err(|e| BuildError::Input(e.into()))
    };
    Ok(add_dense(folder, &options, DenseInput::Rows(dims, &mut read), progress)?)
}

/// What an error of a query says, said of documents.
pub(super) fn of_documents(error: EngineError) -> EngineError {
    match error {
        EngineError::NoDenseEncoder { imported: Some(file) } => EngineError::ImportedDense { file },
        other => other,
    }
}

fn wrong(what: String) -> BuildError {
    BuildError::Input(what.into())
}

/// The files must be about documents of the index alone, and about all that get vectors.
fn check_documents(
    index: &Index,
    rows: &NamedDenseRows,
    path: &Path,
    replace: bool,
) -> Result<(), EngineError> {
    let fills = !replace && index.segments().iter().any(|s| s.dense().is_some());
    let given: BTreeSet<&str> = rows.ids().iter().map(String::as_str).collect();
    let mut strange = given.clone();
    let (mut lacking, mut there) = (BTreeSet::new(), BTreeSet::new());
    for segment in index.segments() {
        let documents = segment.documents();
        let has = fills && segment.dense().is_some();
        for row in 0..documents.len() {
            let doc = DocId(u32::try_from(row).unwrap_or(u32::MAX));
            if segment.deleted().is_some_and(|deleted| deleted.contains(doc.0)) {
                continue;
            }
            let id = documents.id(doc);
            if documents.find(id).count() > 1 {
                return Err(WriteError::SplitDocument { id: id.to_owned() }.into());
            }
            strange.remove(id);
            match given.contains(id) {
                true if has => drop(there.insert(id)),
                false if !has => drop(lacking.insert(id)),
                _ => {}
            }
        }
    }
    let told = |ids: &BTreeSet<&str>, noun: &str, where_: &str| {
        let some: Vec<String> = ids.iter().take(EXAMPLES).map(|id| format!("`{id}`")).collect();
        wrong(format!(
            "{}: {} {where_}, such as {}: the files are about other documents",
            path.display(),
            counted(ids.len() as u64, noun),
            some.join(", ")
        ))
    };
    if !lacking.is_empty() {
        return Err(told(&lacking, "document", "of the index not in it").into());
    }
    if !strange.is_empty() {
        return Err(told(&strange, "id", "not in the index").into());
    }
    let whole = index.segments().iter().all(|s| s.dense().is_some());
    if let Some(id) = there.first().filter(|_| !whole) {
        return Err(wrong(format!(
            "{}: {} in segments that have dense vectors already, such as `{id}`: leave them out, or replace all",
            path.display(),
            counted(there.len() as u64, "document")
        ))
        .into());
    }
    Ok(())
}
