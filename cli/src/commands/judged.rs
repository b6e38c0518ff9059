//! What judgements and an index, or a run, have to do with each other, as it is told: judgements of another
//! collection would be a silent zero.

use quarry_datasets::measures::Evaluation;
use quarry_datasets::{Qrels, Run};
use quarry_engine::evaluate::{IndexJudgements, RunJudgements};
use serde_json::{Map, Value, json};

use crate::output::{count, note};

/// Says what is worth it of an index's judgements; `name` stands before, if there is one.
pub(crate) fn tell_of_index(judged: &IndexJudgements, name: &str) {
    if let Some(example) = &judged.example {
        note(format!(
            "note: {name}{} of {} judged documents are not in the index, such as {example:?}: no search finds them",
            count(judged.missing as u64),
            count(judged.documents as u64)
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
            "note: {name}{} judged queries have no relevant document and count as zero",
            count(hopeless as u64)
        ));
    }
}

/// Says where a run and judgements have nothing in common.
pub(crate) fn tell_of_run(run: &Run, qrels: &Qrels) {
    let judged = RunJudgements::of(run, qrels);
    tell_hopeless("", judged.hopeless);
    if judged.rankings > 0 && !judged.met {
        note(format!(
            "note: none of the {} judged documents is in the run's rankings of the judged queries: are the \
             judgements of another collection?",
            count(judged.documents as u64)
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
