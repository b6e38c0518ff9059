//! ```no_run
//! use std::path::Path;
//! use quarry_index::{Index, IndexError, Verify};
//!
//! fn main() -> Result<(), IndexError> {
//!     // `Full` compares every file with its checksum.
//!     let index = Index::open(Path::new("my-index"), Verify::Full)?;
//!     let manifest = index.manifest();
//!     println!("generation {}: {} documents", manifest.generation, manifest.documents());
//!     for segment in index.segments() {
//!         println!("impact lists: {}", segment.impact().is_some());
//!     }
//!     Ok(())
//! }
//! ```
//!
#![doc = include_str!("../README.md")]

pub mod calibration;
mod checksum;
pub mod claim;
pub mod clusters;
pub mod container;
pub mod deleted;
pub mod dense;
pub mod doctable;
pub mod durable;
mod error;
pub mod features;
pub mod fields;
mod files;
pub mod folder;
#[doc = include_str!("../FORMAT.md")]
pub mod format {}
pub mod forward;
mod guard;
pub mod impact;
pub mod kinds;
pub mod lexicon;
pub mod manifest;
mod map;
pub mod names;
pub mod neighbours;
mod open;
mod pages;
mod part;
pub mod provenance;
mod segment;
pub mod seismic;
mod spill;
pub mod storage;
pub mod strings;
pub mod text;
pub mod tokens;
pub mod versions;
pub mod words;

pub use checksum::PartChecksum;
pub use container::Verify;
pub use error::IndexError;
pub use guard::guarded;
pub use kinds::{QUERY_TABLE, TOKENIZER};
pub use map::MappedFile;
pub use open::Index;
pub use segment::Segment;
pub use storage::Storage;
