//! What documents of a segment are scored by.

use crate::methods::query::QueryTable;
use crate::methods::wide::WideTable;

/// Scores the documents of a segment for one query.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scorer<'a> {
    /// Weights of 30 bits by the kernels; what a unit of their sums is worth.
    Narrow(&'a QueryTable, f64),
    /// Levels of several layers, or weights far apart.
    Wide(&'a WideTable),
}
