//! What the part holds, for its writer and its reader.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Name of the part kind.
pub const KIND: &str = "seismic";
/// Version written.
pub const VERSION: u32 = 2;
/// Versions read (end exclusive).
pub(crate) const READABLE: Range<u32> = VERSION..VERSION + 1;

/// Segments of at most this many rows need no lists: scoring every document costs about as much as
/// a careful approximation.
pub const SMALL_SEGMENT: u64 = 10_000;

/// A segment of at most this many rows that is added to an index gets no lists, whatever the others have: their tables
/// cover the whole vocabulary, which takes longer to write than a scan of these rows does.
pub const TINY_SEGMENT: u64 = 512;

/// How lists were cut, blocked and summarised.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SeismicParams {
    /// Static pruning keeps about `n_postings` x dimension postings: the largest of the segment.
    pub n_postings: u32,
    /// No list keeps more than `n_postings` x `max_fraction`.
    pub max_fraction: f32,
    /// Postings of a document that are kept whatever their weight: its heaviest ones.
    pub min_per_document: u32,
    /// Blocks of a list: this share of its postings.
    pub centroid_fraction: f32,
    /// Blocks of at most this many documents are dissolved into others.
    pub min_cluster_size: u32,
    /// Components of a document that decide its block.
    pub document_cut: u32,
    /// Share of a summary's mass that is kept, in (0, 1].
    pub summary_energy: f32,
}

/// What the part says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeismicMeta {
    /// How it was built.
    pub params: SeismicParams,
    /// Seed of every random choice.
    pub seed: u64,
    /// Number of lists: the dimension.
    pub lists: u32,
    /// Blocks of all lists.
    pub blocks: u64,
    /// Postings of all blocks.
    pub postings: u64,
    /// Components of all summaries.
    pub summary_components: u64,
}

/// One block while it is being written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BlockData {
    /// Documents, ascending.
    pub docs: Vec<u32>,
    /// Summary: terms, ascending.
    pub terms: Vec<u32>,
    /// Summary: one byte a term.
    pub levels: Vec<u8>,
    /// What one level is worth, in levels of the forward index.
    pub scale: f32,
}

/// A group's summaries: place in units of 16 bytes, end of its blocks, pages, keys, entries.
pub(super) type Group = [u32; 5];
