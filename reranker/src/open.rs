//! Opens the second stage where it was asked for.

use std::sync::Arc;

use quarry_index::Index;
use quarry_searcher::{Rerank, SearchError};

use crate::cpu::CpuReranker;
use crate::device::Device;

/// Opens the second stage of an index. With `Auto` and no usable GPU, one line of the log says why the CPU takes
/// over. Rows take at most `budget` bytes of a GPU's memory; `None`: what is free, less a reserve.
///
/// # Errors
/// When the index has no token embeddings, or `Cuda` was asked for and cannot be had.
pub fn open(
    index: Arc<Index>,
    device: Device,
    budget: Option<usize>,
) -> Result<Arc<dyn Rerank>, SearchError> {
    let cpu = CpuReranker::new(Arc::clone(&index))?;
    if device == Device::Cpu {
        return Ok(Arc::new(cpu));
    }
    match on_gpu(index, device, budget) {
        Ok(gpu) => Ok(gpu),
        Err(why) if device == Device::Auto => {
            tracing::info!("reranking runs on the CPU: {why}");
            Ok(Arc::new(cpu))
        }
        Err(why) => Err(SearchError::Device {
            device: "cuda".into(),
            what: format!("{why}; use --device auto or cpu to rerank on the CPU"),
        }),
    }
}

/// The second stage on a GPU, or why there is none.
#[cfg(feature = "cuda")]
fn on_gpu(
    index: Arc<Index>,
    device: Device,
    budget: Option<usize>,
) -> Result<Arc<dyn Rerank>, String> {
    let gpu = crate::gpu::GpuReranker::new(index, device == Device::Auto, budget);
    gpu.map(|gpu| -> Arc<dyn Rerank> { Arc::new(gpu) }).map_err(|why| why.to_string())
}

#[cfg(not(feature = "cuda"))]
fn on_gpu(_: Arc<Index>, _: Device, _: Option<usize>) -> Result<Arc<dyn Rerank>, String> {
    Err("this program was built without the feature `cuda`".to_owned())
}
