//! The on-disk index: bytes become immutable structures and back. Writers and readers of each part
//! stand side by side; what goes into a part is the `indexer`'s business, what is done with it the
//! `searcher`'s. `FORMAT.md` in this folder specifies every byte.

pub mod calibration;
pub mod container;
pub mod doctable;
mod error;
pub mod folder;
pub mod forward;
pub mod impact;
pub mod lexicon;
pub mod manifest;
mod map;
mod open;
mod pages;
pub mod seismic;
pub mod strings;
pub mod text;

pub use container::Verify;
pub use error::IndexError;
pub use map::MappedFile;
pub use open::{Index, QUERY_TABLE, Segment, TOKENIZER};
pub use pages::Pages;
