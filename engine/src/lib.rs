#![doc = include_str!("../README.md")]

mod error;
mod models;

pub use error::EngineError;
pub use models::{MadeBy, ModelSource, Models, identity, needs_network, token_options};

pub mod evaluate;
pub mod write;

pub use write::{WriteError, Writer};
