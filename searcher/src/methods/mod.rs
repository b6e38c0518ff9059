//! Searches of one segment, or of several like one: one algorithm a file.

pub(crate) mod bm25;
pub(crate) mod collect;
pub(crate) mod dense;
pub(crate) mod impact;
pub(crate) mod query;
pub(crate) mod scan;
pub(crate) mod scorer;
pub(crate) mod scratch;
pub(crate) mod seismic;
pub(crate) mod wide;
