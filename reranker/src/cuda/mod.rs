//! MaxSim on an NVIDIA GPU.
//!
//! | module | what |
//! |---|---|
//! | `driver`, `memory`, `stream` | the CUDA driver as safe types; the only calls of it |
//! | `kernels` | the machine code, embedded |
//! | `corpus` | token embeddings in device memory |
//! | `gather` | batches of queries with candidates |
//! | `exhaustive` | batches of queries with all documents |
//!
//! Kernels lie in `cuda/`, with their plans in their heads. The same sources run on a host without a
//! GPU in the test `cuda_host`.

mod corpus;
mod driver;
mod error;
mod exhaustive;
mod gather;
mod kernels;
mod memory;
mod stream;

pub use corpus::{Corpus, HostRows, Kind, Resident};
pub use driver::{DeviceMemory, Gpu};
pub use error::CudaError;
pub use exhaustive::{Exhaustive, Found, Searched, best_of};
pub use gather::{Gatherer, QueryRows, Scores, Wave};
pub use kernels::{Capability, Kernels};
pub use memory::{DeviceBuffer, HostBuffer};
pub use stream::{Event, Stream};

/// MaxSim of a document without tokens.
pub const EMPTY_SCORE: f32 = 0.0;
