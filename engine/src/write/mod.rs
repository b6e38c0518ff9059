//! Writing: builds an index, changes it, or writes vectors to a file.
//!
//! To build, call [`build`] (a collection on disk) or [`build_documents`] (an iterator). To change an index,
//! use [`Writer`]. Nothing is printed: results are returned, and progress goes to a callback.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use quarry_engine::Models;
//! use quarry_engine::write::{Add, Build, Input, Writer, build};
//!
//! # fn main() -> Result<(), quarry_engine::EngineError> {
//! let models = Models { bundled: Some("models/quarry-mini".into()), ..Models::default() };
//! let how = Build { out: "index".into(), calibrate: true, ..Build::default() };
//! let built = build(&Input::new("corpus.jsonl"), &how, &models, &|_, _| {})?;
//! println!("{} documents", built.report.documents);
//! let writer = Writer::open(Path::new("index"), models)?;
//! writer.add(&Input::new("more.jsonl"), &Add::default(), &|_, _| {})?;
//! writer.delete(["doc-7"])?;
//! # Ok(())
//! # }
//! ```

mod build;
mod calibrate;
mod dense;
mod encode;
mod encoded_file;
mod encoded_text;
mod encoding;
mod files;
mod graph;
mod input;
mod known;
mod rules;
pub(crate) mod setting;
mod shards;
mod target;
mod text_encoders;
mod tokens;
mod unfinished;
mod writer;

pub use crate::error::WriteError;
pub use build::{Build, Built, Calibration, build, build_documents};
pub use calibrate::{Calibrate, Calibrated, GivenQueries};
pub use dense::{DenseFrom, StoreDense};
pub use encode::{Encode, EncodeEvent, Encoded, encode};
pub use encoded_file::merge_encoded;
pub(crate) use encoded_text::{EncodedRow, EncodedText};
pub use encoding::{Encoding, PassageSize, TextsAs};
pub use graph::GraphOptions;
pub use input::{Input, InputReport, Reading};
pub(crate) use known::Known;
pub use setting::Setting;
pub use shards::{BuiltShard, build_shard, merge_shards};
pub(crate) use text_encoders::TextEncoders;
pub use tokens::{StoreTokens, TokensFrom};
pub use writer::{Add, Added, NewDense, NewTokens, Writer};

/// Callback for the progress of reading a collection and building an index; may be called from any thread.
pub type OnProgress<'a> = &'a (dyn Fn(quarry_indexer::Event, &Reading) + Sync);
