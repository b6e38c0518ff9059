//! Blocked inverted lists with summaries, as Seismic has them (arXiv:2404.18812).
//!
//! A term's list is a run of blocks; a block is a run of postings (documents, ascending) with a
//! summary: the coordinate-wise maximum of its documents' vectors, cut to a share of its mass, its
//! weights in one byte times a scale of the block. Summaries are stored by term (`summary`).

mod layout;
mod lists;
mod summary;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use layout::READABLE;
pub use layout::{
    BlockData, KIND, SMALL_SEGMENT, SeismicMeta, SeismicParams, TINY_SEGMENT, VERSION,
};
pub use lists::{Lists, SeismicLists, Sizes, Tables};
pub use summary::{GROUP, LAST, Page, SLACK, Summaries};
pub use write::{ListData, SeismicWriter};
