#![doc = include_str!("../README.md")]

mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod device;
#[cfg(feature = "cuda")]
mod gpu;
mod kernels;
mod open;
pub mod oracle;
mod partial;
pub mod prune;
mod query;

pub use cpu::CpuReranker;
pub use device::Device;
#[cfg(feature = "cuda")]
pub use gpu::GpuReranker;
pub use kernels::{Kernels, Scored, Scratch};
pub use open::open;
pub use query::{LANES, QueryRows};
