//! Rankings and the one total order of hits.

use std::cmp::Ordering;

use serde::Serialize;

/// A hit: a document's own id and its score in original weight units.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoredDoc {
    /// The collection's name of the document.
    pub id: String,
    /// Score; larger is better.
    pub score: f32,
}

/// Hits of one query, best first.
pub type Ranking = Vec<ScoredDoc>;

/// The order of hits everywhere in Quarry: higher score first, of equal scores the id that is
/// larger bytewise (`trec_eval`'s order). `Less` means that `a` stands before `b`.
#[must_use]
pub fn better(a: (f32, &[u8]), b: (f32, &[u8])) -> Ordering {
    b.0.total_cmp(&a.0).then_with(|| b.1.cmp(a.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_go_by_id_descending() {
        let mut hits = [(1.0, "b"), (2.0, "a"), (1.0, "c"), (1.0, "10"), (1.0, "9")];
        hits.sort_by(|a, b| better((a.0, a.1.as_bytes()), (b.0, b.1.as_bytes())));
        assert_eq!(hits.map(|h| h.1), ["a", "c", "b", "9", "10"]);
    }
}
