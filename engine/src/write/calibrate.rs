//! An index measures its search methods and keeps the tables.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quarry_encoders::Device;
use quarry_index::calibration::Calibration;
use quarry_index::{Index, Verify};
use quarry_indexer::{Event, store_calibration};
use quarry_searcher::{CalibrationProgress, CalibrationQueries, Searcher, calibrate};
use quarry_vectors::{EncodeQuery, SparseVector};

use crate::{EngineError, ModelSource, Models, needs_network};

/// How an index is measured.
#[derive(Debug, Clone)]
pub struct Calibrate {
    /// Queries like those that will be asked; made of the index's documents unless given.
    pub queries: Option<GivenQueries>,
    /// The model for made queries; the index's own copies unless given. Where queries go through a network
    /// and no model is given, they are made of the documents' vectors.
    pub model: Option<ModelSource>,
    /// Which bytes are checked before: what a damaged part says is not worth measuring.
    pub verify: Verify,
}

impl Default for Calibrate {
    /// Made queries; files are taken to be whole, as those that were written a moment ago.
    fn default() -> Self {
        Self { queries: None, model: None, verify: Verify::Envelope }
    }
}

/// Queries to measure with.
#[derive(Debug, Clone)]
pub struct GivenQueries {
    /// Where they come from, for the record.
    pub source: String,
    /// Their vectors, none of them empty.
    pub vectors: Vec<SparseVector>,
}

/// What was measured.
#[derive(Debug, Clone)]
pub struct Calibrated {
    /// Of each segment its table; `None` where there is nothing to choose.
    pub tables: Vec<Option<Calibration>>,
    /// The generation that keeps them, where there are any.
    pub generation: Option<u64>,
    /// Whether queries go through a network that was not given: made ones were made of vectors.
    pub lacks_network: bool,
}

pub(super) fn run(
    folder: &Path,
    models: &Models,
    how: &Calibrate,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<Calibrated, EngineError> {
    let index = Arc::new(Index::open(folder, how.verify)?);
    if !index.has_sparse() {
        return Ok(Calibrated { tables: Vec::new(), generation: None, lacks_network: false });
    }
    let searcher = Searcher::new(Arc::clone(&index));
    let network = how.queries.is_none() && needs_network(&index)?;
    let remembered = || models.remembered(&index).filter(|_| network);
    let model = how.model.clone().or_else(remembered);
    let lacks_network = network && model.is_none();
    let side: Option<Arc<dyn EncodeQuery>> = match &how.queries {
        None if !lacks_network => models.query_encoder(&index, model.as_ref(), Device::Cpu)?,
        _ => None,
    };
    let queries = match (&how.queries, &side) {
        (Some(given), _) => {
            CalibrationQueries::Given { source: &given.source, vectors: &given.vectors }
        }
        (None, Some(encoder)) => {
            CalibrationQueries::MadeTexts { encoder: encoder.as_ref(), by_network: network }
        }
        (None, None) => CalibrationQueries::MadeVectors,
    };
    let announced = AtomicUsize::new(0);
    let heard = |CalibrationProgress { done, total }| {
        if announced.swap(total, Ordering::Relaxed) != total {
            progress(Event::Stage { name: "tuning", total: total as u64 });
        }
        progress(Event::Step { done: done as u64 });
    };
    let tables = calibrate(&searcher, queries, index.manifest().seed, &heard)?;
    let stored = tables.iter().any(Option::is_some);
    let measured = index.manifest().clone();
    // A generation that is open is kept: let go of it, so that its files can be collected.
    drop((searcher, index));
    let store = || store_calibration(folder, &measured, &tables);
    let generation = stored.then(store).transpose()?;
    Ok(Calibrated { tables, generation, lacks_network })
}
