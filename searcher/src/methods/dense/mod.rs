//! Dense vectors: exactly, by comparing every row, or by a walk over the segment's graph of near rows.

pub(crate) mod query;
pub(crate) mod scan;
pub(crate) mod search;
pub(crate) mod walk;
