//! Compares judgements with an index or a run: finds judged documents that no search can return, and queries
//! without relevant documents.

use std::collections::BTreeSet;

use quarry_datasets::{Qrels, Run};
use quarry_searcher::Searcher;

/// Judgements compared with an index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexJudgements {
    /// Number of distinct judged documents.
    pub documents: usize,
    /// How many of them are not in the index, so that no search finds them.
    pub missing: usize,
    /// An example of a missing document.
    pub example: Option<String>,
    /// Queries without a relevant document, which score zero in any case.
    pub hopeless: usize,
}

impl IndexJudgements {
    /// Looks up every judged document in the index.
    #[must_use]
    pub fn of(searcher: &Searcher, qrels: &Qrels) -> Self {
        Self::by(qrels, |id| searcher.find(id).is_some())
    }

    fn by(qrels: &Qrels, has: impl Fn(&str) -> bool) -> Self {
        let documents = documents(qrels);
        let mut missing = documents.iter().filter(|id| !has(id));
        let example = missing.next().map(|id| (*id).to_owned());
        Self {
            missing: usize::from(example.is_some()) + missing.count(),
            documents: documents.len(),
            example,
            hopeless: hopeless(qrels),
        }
    }
}

/// Judgements compared with a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunJudgements {
    /// Number of distinct judged documents.
    pub documents: usize,
    /// Queries without a relevant document, which score zero in any case.
    pub hopeless: usize,
    /// Judged queries with a ranking.
    pub rankings: usize,
    /// Whether any judged document is in the ranking of its query. If none is, the judgements may belong to
    /// another collection.
    pub met: bool,
}

impl RunJudgements {
    /// Compares the rankings of the judged queries with their judgements.
    #[must_use]
    pub fn of(run: &Run, qrels: &Qrels) -> Self {
        let mut found = Self {
            documents: documents(qrels).len(),
            hopeless: hopeless(qrels),
            ..Self::default()
        };
        for query in qrels.queries() {
            let (ranking, judged) = (run.ranking(query).unwrap_or_default(), qrels.judged(query));
            found.rankings += usize::from(!ranking.is_empty());
            found.met |= ranking.iter().any(|hit| judged.is_some_and(|j| j.contains_key(&hit.id)));
        }
        found
    }
}

/// The distinct judged documents.
fn documents(qrels: &Qrels) -> BTreeSet<&str> {
    let judged = qrels.queries().iter().filter_map(|query| qrels.judged(query));
    judged.flat_map(|judged| judged.keys().map(String::as_str)).collect()
}

/// Number of queries without a document of grade 1 or more.
fn hopeless(qrels: &Qrels) -> usize {
    let relevant = |query: &&String| {
        qrels.judged(query).is_some_and(|judged| judged.values().any(|grade| *grade >= 1))
    };
    qrels.queries().iter().filter(|query| !relevant(query)).count()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use quarry_vectors::ScoredDoc;

    use super::*;

    fn qrels() -> Qrels {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qrels.txt");
        std::fs::write(&path, "q1 0 a 1\nq1 0 b 0\nq2 0 c 0\n").unwrap();
        Qrels::read(&path).unwrap()
    }

    #[test]
    fn documents_that_an_index_lacks_are_counted() {
        let found = IndexJudgements::by(&qrels(), |id| id == "b");
        assert_eq!((found.documents, found.missing, found.hopeless), (3, 2, 1));
        assert_eq!(found.example.as_deref(), Some("a"));
    }

    #[test]
    fn a_run_of_another_collection_is_recognised() {
        let of = |id: &str| {
            let mut run = Run::new("x");
            run.insert("q1", vec![ScoredDoc { id: id.to_owned(), score: 1.0 }]).unwrap();
            RunJudgements::of(&run, &qrels())
        };
        assert_eq!((of("b").met, of("b").rankings), (true, 1));
        assert!(!of("z").met);
    }
}
