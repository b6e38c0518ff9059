//! An index of which a part has no token embeddings: the others are rescored among themselves, and a
//! document without embeddings keeps the place that the first stage gave it.
//!
//! Scores descend all the same, so that a ranking written down is read as it was: such a document's lies
//! just below that of the one before it, and not below that of the one after it.

use std::cmp::Ordering;

use quarry_index::Index;
use quarry_searcher::{Hit, RerankQuery, Reranked, SearchError};

/// The total order of hits.
type Order<'a> = dyn Fn(&Hit, &Hit) -> Ordering + 'a;

/// Rescores with `one` the candidates that have embeddings. `order` is the total order of hits.
pub(crate) fn around(
    index: &Index,
    query: &RerankQuery<'_>,
    (k, order): (usize, &Order<'_>),
    one: impl FnOnce(&RerankQuery<'_>) -> Result<Reranked, SearchError>,
) -> Result<Reranked, SearchError> {
    let has = |hit: &Hit| index.segments()[hit.segment].tokens().is_some();
    if query.candidates.iter().all(has) {
        return one(query);
    }
    let with: Vec<Hit> = query.candidates.iter().filter(|hit| has(hit)).copied().collect();
    let mut found = one(&RerankQuery { tokens: query.tokens, candidates: &with })?;
    let without = query.candidates.len() - with.len();
    found.stats.candidates += without as u64;
    found.stats.without_tokens = without as u64;
    found.hits = woven(query.candidates, found.hits, k, has);
    found.hits.sort_by(order);
    Ok(found)
}

/// The candidates without embeddings at their places, the rescored ones in order at the others.
fn woven(candidates: &[Hit], rescored: Vec<Hit>, k: usize, has: impl Fn(&Hit) -> bool) -> Vec<Hit> {
    if rescored.is_empty() {
        return candidates.iter().filter(|hit| !has(hit)).take(k).copied().collect();
    }
    let mut rescored = rescored.into_iter();
    let mut hits: Vec<(Hit, bool)> = Vec::new();
    for place in candidates {
        if has(place) {
            hits.extend(rescored.next().map(|hit| (hit, true)));
        } else {
            hits.push((*place, false));
        }
    }
    hits.truncate(k);
    let scored_from = |hits: &[(Hit, bool)]| hits.iter().find(|h| h.1).map(|h| h.0.score);
    for at in 0..hits.len() {
        if hits[at].1 {
            continue;
        }
        let before = at.checked_sub(1).map(|before| hits[before].0.score);
        let after = scored_from(&hits[at..]);
        hits[at].0.score = match (before, after) {
            (Some(before), Some(after)) => below(before).max(after),
            (Some(before), None) => below(before),
            // The first of all: above the first that was rescored, by as many steps as lie between.
            (None, Some(after)) => {
                let steps = hits[at..].iter().take_while(|h| !h.1).count();
                (0..steps).fold(after, |score, _| above(score))
            }
            (None, None) => hits[at].0.score,
        };
    }
    hits.into_iter().map(|hit| hit.0).collect()
}

/// The next lower score that f32, in which scores are printed, tells apart.
#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is wanted")]
fn below(score: f64) -> f64 {
    f64::from((score as f32).next_down())
}

/// The next higher one.
#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is wanted")]
fn above(score: f64) -> f64 {
    f64::from((score as f32).next_up())
}

#[cfg(test)]
mod tests {
    use quarry_vectors::DocId;

    use super::*;

    fn hit(doc: u32, score: f64) -> Hit {
        Hit { segment: 0, doc: DocId(doc), score }
    }

    /// Odd documents have no embeddings.
    fn weave(candidates: &[u32], rescored: &[(u32, f64)], k: usize) -> Vec<(u32, f64)> {
        let candidates: Vec<Hit> =
            (0u8..).zip(candidates).map(|(n, doc)| hit(*doc, 99.0 - f64::from(n))).collect();
        let rescored = rescored.iter().map(|(doc, score)| hit(*doc, *score)).collect();
        let woven = woven(&candidates, rescored, k, |hit| hit.doc.0 % 2 == 0);
        woven.into_iter().map(|hit| (hit.doc.0, hit.score)).collect()
    }

    #[test]
    fn who_has_no_embeddings_keeps_the_place() {
        let found = weave(&[2, 1, 4, 6, 3], &[(6, 9.0), (2, 5.0), (4, -1.0)], 10);
        let docs: Vec<u32> = found.iter().map(|hit| hit.0).collect();
        assert_eq!(docs, [6, 1, 2, 4, 3]);
        assert!(found.windows(2).all(|w| w[0].1 > w[1].1), "{found:?}");
        assert_eq!((found[0].1, found[2].1, found[3].1), (9.0, 5.0, -1.0));
        // At the front, several at once, and cut at k.
        let found = weave(&[1, 3, 2, 4], &[(4, 2.0), (2, 1.0)], 3);
        let docs: Vec<u32> = found.iter().map(|hit| hit.0).collect();
        assert_eq!(docs, [1, 3, 4]);
        assert!(found.windows(2).all(|w| w[0].1 > w[1].1), "{found:?}");
        // Fewer were rescored than there are places: nobody is left out for it.
        let found = weave(&[2, 4, 1, 6], &[(4, 2.0)], 10);
        assert_eq!(found.iter().map(|hit| hit.0).collect::<Vec<_>>(), [4, 1]);
        // Where nobody was rescored the first scores stay.
        assert_eq!(weave(&[1, 3], &[], 10), [(1, 99.0), (3, 98.0)]);
        // Between equal scores there is no room.
        let found = weave(&[2, 1, 4], &[(2, 5.0), (4, 5.0)], 10);
        assert!(found.iter().all(|hit| (hit.1 - 5.0).abs() < 1e-5), "{found:?}");
        assert!(found.windows(2).all(|w| w[0].1 >= w[1].1), "{found:?}");
    }
}
