//! Makes runs from rankings of rows, and one ranking from those of two stages.

use std::num::NonZeroUsize;

use quarry_datasets::Run;
use quarry_searcher::{Hit, Searcher};
use quarry_vectors::Query;

use crate::EngineError;

/// The hits of reranking, followed by the remaining hits of the first stage in their order, with lower scores.
#[must_use]
pub fn followed(best: &[Hit], first: &[Hit]) -> Vec<Hit> {
    let mut all = best.to_vec();
    let same = |a: &Hit, b: &Hit| (a.segment, a.doc) == (b.segment, b.doc);
    #[expect(clippy::cast_possible_truncation, reason = "a second stage's scores are f32")]
    let mut score = best.last().map_or(0.0, |hit| hit.score.min(0.0) as f32);
    for hit in first.iter().filter(|hit| !best.iter().any(|b| same(b, hit))) {
        score -= 1.0;
        all.push(Hit { score: score.into(), ..*hit });
    }
    all
}

/// Makes a run from rankings, one per query in the same order, cut at `depth`.
///
/// # Errors
/// If two queries have the same id, or a document occurs twice in a ranking.
pub fn run_of<'a>(
    searcher: &Searcher,
    tag: &str,
    queries: &[Query],
    rankings: impl IntoIterator<Item = &'a [Hit]>,
    depth: NonZeroUsize,
) -> Result<Run, EngineError> {
    let mut run = Run::new(tag);
    for (query, hits) in queries.iter().zip(rankings) {
        let hits = &hits[..hits.len().min(depth.get())];
        run.insert(&query.id, searcher.ranking(hits))?;
    }
    Ok(run)
}

#[cfg(test)]
mod tests {
    use quarry_vectors::DocId;

    use super::*;

    #[test]
    fn hits_that_reranking_left_out_follow() {
        let hit = |doc, score| Hit { segment: 0, doc: DocId(doc), score };
        let all = followed(
            &[hit(3, 0.9), hit(1, 0.4)],
            &[hit(1, 9.0), hit(2, 8.0), hit(3, 7.0), hit(4, 6.0)],
        );
        let order: Vec<u32> = all.iter().map(|hit| hit.doc.0).collect();
        assert_eq!(order, [3, 1, 2, 4]);
        assert!(all.windows(2).all(|pair| pair[0].score > pair[1].score), "{all:?}");
    }
}
