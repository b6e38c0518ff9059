//! The exact ranking by the original weights, in 64 bits. If the file of vectors that the index was built from
//! is still there, searches are judged by it, instead of by the exact search over stored weights.
//!
//! 1. invert the queries' weights by term  2. score each document of the file that the index has for all
//!    queries  3. keep the k best scores per query, and the scores of the hits that were found
//!
//! Cost: one pass over the file, and O(postings of the queries' terms).

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};
use std::path::{Path, PathBuf};

use quarry_datasets::{CollectionOptions, DatasetError, open_collection};
use quarry_index::Index;
use quarry_searcher::{Outcome, Searcher};
use quarry_vectors::{DocId, InputVector, SparseVector, TermId, counted};

/// Overlap of the hits `found` with the exact top k by the original weights, and the file that holds these;
/// or the reason why the file cannot be used.
pub(super) fn judge(
    searcher: &Searcher,
    (queries, found): (&[SparseVector], &[Outcome]),
    k: usize,
) -> Result<(PathBuf, f64), String> {
    let (path, options) = source(searcher.index())?;
    let judge = Judge::read(searcher, (&path, &options), (queries, found), k)?;
    Ok((path, judge.overlap()))
}

/// The file of vectors that an index was built from, and how it was read; or why it cannot be used.
fn source(index: &Index) -> Result<(PathBuf, CollectionOptions), String> {
    let fact = |name: &str| index.manifest().build.get("job")?.pointer(&format!("/source/{name}"));
    let path = fact("input").and_then(|v| v.as_str()).map(PathBuf::from);
    let Some(path) = path else { return Err("the index does not name its input".into()) };
    if index.manifest().segments.len() != 1 || fact("texts").is_some_and(|v| !v.is_null()) {
        return Err("the index holds more than one input".into());
    }
    let bytes = path.metadata().map_err(|e| format!("{}: {e}", path.display()))?.len();
    if path.is_file() && fact("bytes").and_then(serde_json::Value::as_u64) != Some(bytes) {
        return Err(format!("{} is not the file that the index was built from", path.display()));
    }
    let ids = fact("doc_ids").and_then(|v| v.as_str()).map(PathBuf::from);
    #[expect(clippy::cast_possible_truncation, reason = "it was given as f32")]
    let scale = fact("scale").and_then(serde_json::Value::as_f64).map(|scale| scale as f32);
    Ok((path, CollectionOptions { ids, scale, ..CollectionOptions::default() }))
}

/// A row of an index: segment and row.
type Place = (usize, DocId);

/// Scores by the original weights.
#[derive(Debug)]
struct Judge {
    /// Per query: the best scores, at most k, smallest on top.
    best: Vec<BinaryHeap<Reverse<Score>>>,
    /// Per query: the scores of the hits that were found.
    found: Vec<HashMap<Place, f64>>,
}

/// Relative error of a 64-bit sum whose terms are added in another order.
const ROUNDING: f64 = 1e-12;

/// A score that can be ordered; never NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Score(f64);

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Judge {
    /// Scores the documents of `path` for all queries; `found` are the hits to judge. Fails if the file lacks a
    /// document of the index, or the vector of one.
    fn read(
        searcher: &Searcher,
        (path, options): (&Path, &CollectionOptions),
        (queries, found): (&[SparseVector], &[Outcome]),
        k: usize,
    ) -> Result<Self, String> {
        let index = searcher.index();
        let lexicon = index.lexicon().ok_or("this index has no sparse channel")?;
        let mut by_term: HashMap<u32, Vec<(usize, f64)>> = HashMap::new();
        for (number, query) in queries.iter().enumerate() {
            for (term, weight) in query.iter() {
                by_term.entry(term).or_default().push((number, f64::from(weight)));
            }
        }
        let places = |outcome: &Outcome| {
            outcome.hits.iter().map(|hit| ((hit.segment, hit.doc), 0.0)).collect()
        };
        let mut judge = Self {
            best: queries.iter().map(|_| BinaryHeap::new()).collect(),
            found: found.iter().map(places).collect(),
        };
        let mut sums = Sums { of_queries: vec![0.0; queries.len()], touched: Vec::new() };
        let mut seen = 0u64;
        let failed = |error: DatasetError| error.to_string();
        for document in open_collection(path, options).map_err(failed)? {
            let document = document.map_err(failed)?;
            let Some(place) = place(index, &document.id) else { continue };
            seen += 1;
            match document.vector {
                Some(InputVector::Terms(vector)) => {
                    for (number, weight) in vector.iter() {
                        if let Some(TermId(term)) =
                            index.term_of_number(number).map_err(|e| e.to_string())?
                        {
                            sums.add(by_term.get(&term), weight);
                        }
                    }
                }
                Some(InputVector::Tokens(tokens)) => {
                    for (token, weight) in tokens {
                        if let Some(TermId(term)) = lexicon.term(&token) {
                            sums.add(by_term.get(&term), weight);
                        }
                    }
                }
                None => {
                    let (path, id) = (path.display(), &document.id);
                    return Err(format!("{path}: document `{id}` has no vector"));
                }
            }
            sums.drain(|query, score| judge.take(query, (place, score), k));
        }
        let live: u64 = index.segments().iter().map(live).sum();
        if seen != live {
            let path = path.display();
            let live = counted(live, "document");
            return Err(format!("{path}: has only {seen} of the index's {live}"));
        }
        Ok(judge)
    }

    /// Records a document's score for a query.
    fn take(&mut self, query: usize, (place, score): (Place, f64), k: usize) {
        if let Some(known) = self.found[query].get_mut(&place) {
            *known = score;
        }
        let best = &mut self.best[query];
        if best.len() < k {
            best.push(Reverse(Score(score)));
        } else if best.peek().is_some_and(|least| least.0.0 < score) {
            best.pop();
            best.push(Reverse(Score(score)));
        }
    }

    /// Mean share of the exact k best that were found, over queries with any hits. Scores that equal the k-th
    /// but for rounding count as found.
    fn overlap(&self) -> f64 {
        let (mut sum, mut queries) = (0.0, 0u32);
        for (best, found) in self.best.iter().zip(&self.found) {
            let Some(Reverse(Score(reach))) = best.peek() else { continue };
            let reaches = |score: &&f64| **score >= reach * (1.0 - ROUNDING);
            let good = found.values().filter(reaches).count().min(best.len());
            #[expect(clippy::cast_precision_loss, reason = "a share")]
            let share = good as f64 / best.len() as f64;
            sum += share;
            queries += 1;
        }
        if queries == 0 { 1.0 } else { sum / f64::from(queries) }
    }
}

/// A document's scores for all queries.
#[derive(Debug)]
struct Sums {
    of_queries: Vec<f64>,
    touched: Vec<usize>,
}

impl Sums {
    fn add(&mut self, queries: Option<&Vec<(usize, f64)>>, weight: f32) {
        for (query, of_query) in queries.into_iter().flatten() {
            let sum = &mut self.of_queries[*query];
            if *sum == 0.0 {
                self.touched.push(*query);
            }
            *sum += of_query * f64::from(weight);
        }
    }

    fn drain(&mut self, mut each: impl FnMut(usize, f64)) {
        for query in self.touched.drain(..) {
            each(query, std::mem::take(&mut self.of_queries[query]));
        }
    }
}

fn live(segment: &quarry_index::Segment) -> u64 {
    segment.entry().rows - segment.deleted().map_or(0, |deleted| deleted.len())
}

/// The row of a document that is not deleted; `None` if it was split into passages.
fn place(index: &Index, id: &str) -> Option<(usize, DocId)> {
    index.segments().iter().enumerate().find_map(|(number, segment)| {
        let gone = |doc: &DocId| segment.deleted().is_some_and(|d| d.contains(doc.0));
        segment.documents().find(id).find(|doc| !gone(doc)).map(|doc| (number, doc))
    })
}
