//! The text part: one tantivy index of one segment, all its files in one file of ours.
//!
//! tantivy's document numbers are the segment's own (the same documents in the same order). It
//! holds the postings and field norms that BM25 needs, and the stored documents. Packing its files
//! into one part keeps one commit point and one checksum, and lets object storage fetch it whole.

mod analysis;
mod layout;
mod pack;
mod packed;
mod read;
mod write;

pub use analysis::{Word, stem, unstemmed, words};
pub(crate) use layout::READABLE;
pub use layout::{KIND, StoredDocument, TextFields, VERSION};
pub use read::TextIndex;
pub use write::{TextWriter, clear_work};
