//! What judgements and an index, or a run, have to do with each other, as it is told: judgements of another
//! collection would be a silent zero.

use std::path::Path;

use quarry_datasets::measures::Evaluation;
use quarry_datasets::{Qrels, Run};
use quarry_engine::evaluate::{IndexJudgements, RunJudgements};
use serde_json::{Map, Value, json};

use crate::exit::BadInput;
use crate::output::{agreeing, count, counted, note};

/// Says what is worth it of an index's judgements; `name` stands before, if there is one.
pub(crate) fn tell_of_index(judged: &IndexJudgements, name: &str) {
    if let Some(example) = &judged.example {
        note(format!(
            "note: {name}{} of {} {} not in the index, such as {example:?}: no search finds {}",
            count(judged.missing as u64),
            counted(judged.documents as u64, "judged document"),
            agreeing(judged.missing as u64, "is", "are"),
            agreeing(judged.missing as u64, "it", "them")
        ));
    }
    tell_hopeless(name, judged.hopeless);
}

/// An index's judgements in a report as JSON.
pub(crate) fn report(judged: &IndexJudgements, out: &mut Map<String, Value>) {
    out.insert("judged_documents".into(), json!(judged.documents));
    out.insert("judged_documents_missing".into(), json!(judged.missing));
}

fn tell_hopeless(name: &str, hopeless: usize) {
    if hopeless > 0 {
        note(format!(
            "note: {name}{} {} no relevant document and {} as zero",
            counted(hopeless as u64, "judged query"),
            agreeing(hopeless as u64, "has", "have"),
            agreeing(hopeless as u64, "counts", "count")
        ));
    }
}

/// Says where a run and judgements have nothing in common.
pub(crate) fn tell_of_run(run: &Run, qrels: &Qrels) {
    let judged = RunJudgements::of(run, qrels);
    tell_hopeless("", judged.hopeless);
    if judged.rankings > 0 && !judged.met {
        note(format!(
            "note: none of the {} is in the run's rankings of the judged queries: are the judgements of another \
             collection?",
            counted(judged.documents as u64, "judged document")
        ));
    }
}

/// Refuses judgements of other queries than those of `what`: means of zeros would look like a result.
pub(crate) fn expect_judged<'a>(
    mut queries: impl Iterator<Item = &'a str>,
    qrels: &Qrels,
    what: &str,
) -> Result<(), BadInput> {
    let judged = qrels.queries().len() as u64;
    if judged == 0 || queries.any(|query| qrels.judged(query).is_some()) {
        return Ok(());
    }
    Err(BadInput(format!(
        "{} among the queries of {what}: the judgements are of other queries",
        match judged {
            1 => "the judged query is not".to_owned(),
            _ => format!("none of the {} is", counted(judged, "judged query")),
        }
    )))
}

/// Says how many queries of a mean had no ranking.
pub(crate) fn tell_unanswered(evaluation: &Evaluation) {
    if evaluation.unanswered() > 0 {
        note(format!(
            "note: {} of {} {} no ranking and {} as zero",
            count(evaluation.unanswered() as u64),
            counted(evaluation.queries().len() as u64, "judged query"),
            agreeing(evaluation.unanswered() as u64, "has", "have"),
            agreeing(evaluation.unanswered() as u64, "counts", "count")
        ));
    }
}

/// Whether a collection is one whose queries are documents, by its name.
pub(crate) fn is_arguana(collection: Option<&Path>) -> bool {
    let name = collection
        .and_then(|c| c.canonicalize().ok())
        .and_then(|c| Some(c.file_name()?.to_owned()));
    name.is_some_and(|n| n.eq_ignore_ascii_case("arguana"))
}
