//! Calibrates the search methods of an index and stores the tables in it.

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

/// Options of calibration.
#[derive(Debug, Clone)]
pub struct Calibrate {
    /// Queries similar to the expected ones; without them, synthetic queries from the index's documents.
    pub queries: Option<GivenQueries>,
    /// The model that encodes synthetic queries; by default the copies in the index. If queries need a network
    /// and no model is given, synthetic queries are made from the documents' vectors.
    pub model: Option<ModelSource>,
    /// How much to verify before calibrating; calibrating damaged parts is worthless.
    pub verify: Verify,
}

impl Default for Calibrate {
    /// Synthetic queries; the files are not verified, as just after a build.
    fn default() -> Self {
        Self { queries: None, model: None, verify: Verify::Envelope }
    }
}

/// Queries to calibrate with.
#[derive(Debug, Clone)]
pub struct GivenQueries {
    /// Their source, for the record.
    pub source: String,
    /// Their vectors, none of them empty.
    pub vectors: Vec<SparseVector>,
}

/// The result of calibration.
#[derive(Debug, Clone)]
pub struct Calibrated {
    /// A table per segment; `None` if the segment leaves no choice of method.
    pub tables: Vec<Option<Calibration>>,
    /// The generation that holds the tables, if there are any.
    pub generation: Option<u64>,
    /// Whether queries need a network that was not given, so that synthetic queries were made from vectors.
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
    // Drop the reader first: the files of an open generation are not removed.
    drop((searcher, index));
    let store = || store_calibration(folder, &measured, &tables);
    let generation = stored.then(store).transpose()?;
    Ok(Calibrated { tables, generation, lacks_network })
}
