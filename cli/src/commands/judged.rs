//! What judgements and an index, or a run, have to do with each other: documents that no search can
//! find, queries that cannot count. Without this, judgements of another collection are a silent zero.

use std::collections::BTreeSet;

use quarry_datasets::measures::Evaluation;
use quarry_datasets::{Qrels, Run};
use quarry_searcher::Searcher;
use serde_json::{Map, Value, json};

use crate::output::{count, note};

/// What was found out about judgements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Judgements {
    /// Documents that are judged, each once.
    pub(crate) documents: usize,
    /// Those of them that the index lacks.
    pub(crate) missing: usize,
    example: Option<String>,
    /// Queries without a relevant document: they count as zero, whatever is found.
    hopeless: usize,
}

/// The judged documents, each once.
fn documents(qrels: &Qrels) -> BTreeSet<&str> {
    let judged = qrels.queries().iter().filter_map(|query| qrels.judged(query));
    judged.flat_map(|judged| judged.keys().map(String::as_str)).collect()
}

impl Judgements {
    /// Looks every judged document up in the index.
    pub(crate) fn of(searcher: &Searcher, qrels: &Qrels) -> Self {
        let documents = documents(qrels);
        let mut missing = documents.iter().filter(|id| searcher.find(id).is_none());
        let example = missing.next().map(|id| (*id).to_owned());
        Self {
            missing: usize::from(example.is_some()) + missing.count(),
            documents: documents.len(),
            example,
            hopeless: hopeless(qrels),
        }
    }

    /// Says what is worth it; `name` stands before, if there is one.
    pub(crate) fn tell(&self, name: &str) {
        if let Some(example) = &self.example {
            note(format!(
                "note: {name}{} of {} judged documents are not in the index, such as {example:?}: no search finds them",
                count(self.missing as u64),
                count(self.documents as u64)
            ));
        }
        tell_hopeless(name, self.hopeless);
    }

    /// For a report as JSON.
    pub(crate) fn report(&self, out: &mut Map<String, Value>) {
        out.insert("judged_documents".into(), json!(self.documents));
        out.insert("judged_documents_missing".into(), json!(self.missing));
    }
}

/// Queries without a document of grade 1 or more.
fn hopeless(qrels: &Qrels) -> usize {
    let relevant = |query: &&String| {
        qrels.judged(query).is_some_and(|judged| judged.values().any(|grade| *grade >= 1))
    };
    qrels.queries().iter().filter(|query| !relevant(query)).count()
}

fn tell_hopeless(name: &str, hopeless: usize) {
    if hopeless > 0 {
        note(format!(
            "note: {name}{} judged queries have no relevant document and count as zero",
            count(hopeless as u64)
        ));
    }
}

/// Says where a run and judgements have nothing in common.
pub(crate) fn tell_of_run(run: &Run, qrels: &Qrels) {
    tell_hopeless("", hopeless(qrels));
    let answered = qrels.queries().iter().filter(|query| run.ranking(query).is_some());
    let any_judged = |query: &String| {
        let (ranking, judged) = (run.ranking(query).unwrap_or_default(), qrels.judged(query));
        ranking.iter().any(|hit| judged.is_some_and(|judged| judged.contains_key(&hit.id)))
    };
    let (mut rankings, mut met) = (0, false);
    for query in answered {
        rankings += usize::from(run.ranking(query).is_some_and(|ranking| !ranking.is_empty()));
        met |= any_judged(query);
    }
    if rankings > 0 && !met {
        note(format!(
            "note: none of the {} judged documents is in the run's rankings of the judged queries: are the \
             judgements of another collection?",
            count(documents(qrels).len() as u64)
        ));
    }
}

/// Says how many queries of a mean had no ranking.
pub(crate) fn tell_unanswered(evaluation: &Evaluation) {
    if evaluation.unanswered() > 0 {
        note(format!(
            "note: {} of {} judged queries have no ranking and count as zero",
            count(evaluation.unanswered() as u64),
            count(evaluation.queries().len() as u64)
        ));
    }
}
