//! MaxSim as it is written down: the oracle of every kernel.

use quarry_vectors::TokenEmbeddings;

/// The sum over the query's rows of the largest dot product with a row of the document, in f64. A
/// document without rows adds nothing for any row: its MaxSim is 0, as is that of a query without.
#[must_use]
pub fn maxsim(query: &TokenEmbeddings, document: &TokenEmbeddings) -> f64 {
    if document.is_empty() {
        return 0.0;
    }
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    query.rows().map(|q| document.rows().map(|d| dot(q, d)).fold(f64::NEG_INFINITY, f64::max)).sum()
}
