//! The exact ranking by the weights that were given, in 64 bits: what an index's own exact search is judged
//! by, where the file of vectors that the index was made of is still there.
//!
//! 1. the queries' weights by term  2. each document of the file that the index has is scored for all
//!    queries at once  3. of each query the k best scores are kept
//!
//! Cost: one pass over the file, and O(postings of the queries' terms).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use quarry_datasets::{CollectionOptions, open_collection};
use quarry_index::Index;
use quarry_searcher::{Outcome, Searcher};
use quarry_vectors::{DocId, InputVector, SparseVector, TermId};

use crate::output::count;

/// The file of vectors that an index was made of, and how it was read; or why it cannot be used.
pub(crate) fn source(index: &Index) -> Result<(PathBuf, CollectionOptions), String> {
    let fact = |name: &str| index.manifest().build.get("job")?.pointer(&format!("/source/{name}"));
    let path = fact("input").and_then(|v| v.as_str()).map(PathBuf::from);
    let Some(path) = path else { return Err("the index does not name its input".into()) };
    if index.manifest().segments.len() != 1 || fact("texts").is_some_and(|v| !v.is_null()) {
        return Err("the index holds more than one input".into());
    }
    let bytes = path.metadata().map_err(|e| format!("{}: {e}", path.display()))?.len();
    if path.is_file() && fact("bytes").and_then(serde_json::Value::as_u64) != Some(bytes) {
        return Err(format!("{} is another file than the index was made of", path.display()));
    }
    let ids = fact("doc_ids").and_then(|v| v.as_str()).map(PathBuf::from);
    #[expect(clippy::cast_possible_truncation, reason = "it was given as f32")]
    let scale = fact("scale").and_then(serde_json::Value::as_f64).map(|scale| scale as f32);
    Ok((path, CollectionOptions { ids, scale, ..CollectionOptions::default() }))
}

/// What queries find, by the given weights.
#[derive(Debug)]
pub(crate) struct Judge {
    /// Of each query and document that matches, the score.
    scores: Vec<HashMap<(usize, DocId), f64>>,
    k: usize,
}

impl Judge {
    /// Scores the documents of `path` for all queries. Fails where it lacks a vector or a document of the
    /// index: then it cannot judge.
    pub(crate) fn read(
        searcher: &Searcher,
        (path, options): (&Path, &CollectionOptions),
        (queries, k): (&[SparseVector], usize),
    ) -> anyhow::Result<Self> {
        let index = searcher.index();
        let lexicon = index.lexicon().context("this index has no sparse channel")?;
        let mut by_term: HashMap<u32, Vec<(usize, f64)>> = HashMap::new();
        for (number, query) in queries.iter().enumerate() {
            for (term, weight) in query.iter() {
                by_term.entry(term).or_default().push((number, f64::from(weight)));
            }
        }
        let mut scores = vec![HashMap::new(); queries.len()];
        let mut seen = 0u64;
        for document in open_collection(path, options)? {
            let document = document?;
            let Some(place) = place(index, &document.id) else { continue };
            seen += 1;
            let mut add = |term: u32, weight: f32| {
                for (query, of_query) in by_term.get(&term).into_iter().flatten() {
                    *scores[*query].entry(place).or_insert(0.0) += of_query * f64::from(weight);
                }
            };
            match document.vector {
                Some(InputVector::Terms(vector)) => {
                    for (number, weight) in vector.iter() {
                        if let Some(TermId(term)) = index.term_of_number(number)? {
                            add(term, weight);
                        }
                    }
                }
                Some(InputVector::Tokens(tokens)) => {
                    for (token, weight) in tokens {
                        if let Some(TermId(term)) = lexicon.term(&token) {
                            add(term, weight);
                        }
                    }
                }
                None => bail!("{}: document `{}` has no vector", path.display(), document.id),
            }
        }
        let live: u64 = index.segments().iter().map(live).sum();
        if seen != live {
            bail!(
                "{}: has {} of the index's {} documents",
                path.display(),
                count(seen),
                count(live)
            );
        }
        Ok(Self { scores, k })
    }

    /// The share of the exact k best that were found, on average over queries that have any. Scores that
    /// f32 cannot tell from the k-th count as it.
    pub(crate) fn overlap(&self, found: &[Outcome]) -> f64 {
        let (mut sum, mut queries) = (0.0, 0u32);
        for (scores, found) in self.scores.iter().zip(found) {
            let mut best: Vec<f64> = scores.values().copied().collect();
            best.sort_by(|a, b| b.total_cmp(a));
            best.truncate(self.k);
            let Some(reach) = best.last() else { continue };
            let reaches = |score: f64| score >= reach * (1.0 - f64::from(f32::EPSILON));
            let of = |hit: &quarry_searcher::Hit| scores.get(&(hit.segment, hit.doc));
            let hits = found.hits.iter().take(best.len()).filter_map(of);
            let good = hits.filter(|score| reaches(**score)).count();
            #[expect(clippy::cast_precision_loss, reason = "a share")]
            let share = good as f64 / best.len() as f64;
            sum += share;
            queries += 1;
        }
        if queries == 0 { 1.0 } else { sum / f64::from(queries) }
    }
}

fn live(segment: &quarry_index::Segment) -> u64 {
    segment.entry().rows - segment.deleted().map_or(0, |deleted| deleted.len())
}

/// Where a document that is not deleted stands; split ones are not judged.
fn place(index: &Index, id: &str) -> Option<(usize, DocId)> {
    index.segments().iter().enumerate().find_map(|(number, segment)| {
        let gone = |doc: &DocId| segment.deleted().is_some_and(|d| d.contains(doc.0));
        segment.documents().find(id).find(|doc| !gone(doc)).map(|doc| (number, doc))
    })
}
