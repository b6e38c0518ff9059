#![doc = include_str!("../README.md")]

mod cpu;
pub mod cuda;
mod gpu;
mod kernels;
pub mod oracle;
mod partial;
pub mod prune;
mod query;

pub use cpu::CpuReranker;
pub use gpu::{Device, GpuReranker, open};
pub use kernels::{Kernels, Scored, Scratch};
pub use query::{LANES, QueryRows};
