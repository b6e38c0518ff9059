//! The crate's tests through its public interface. They need ONNX Runtime, which `make build` puts
//! where it is found; without it they fail and say so.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod dense;
mod dense_golden;
mod families;
mod golden;
#[cfg(feature = "download")]
mod hub;
mod multivector;
mod passages;
mod provenance;
mod refusals;
mod shapes;
mod slices;
mod tokens;
