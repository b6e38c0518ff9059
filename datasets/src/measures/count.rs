//! Counts as numbers.

/// A count as a factor of a measure; exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts of documents are far below 2^53")]
pub(super) fn number(count: usize) -> f64 {
    count as f64
}
