//! Measures over all judged queries.

use quarry_vectors::ScoredDoc;

use super::count::number;
use super::judged::Judged;
use super::name::Measure;
use crate::ignored::Ignored;
use crate::qrels::Qrels;
use crate::run::Run;

/// In which order documents of equal score stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TieOrder {
    /// By id descending, as `trec_eval` has it, and with it most of `ir_measures`.
    #[default]
    Trec,
    /// By id ascending, as `ir_measures`' provider of MS MARCO's script has it, which it takes for RR@k
    /// where that is installed.
    MsMarco,
}

/// How [`evaluate`] reads a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct EvaluateOptions<'a> {
    /// Results that are left out, for sets where a query is itself a document.
    pub ignored: Option<&'a Ignored>,
    /// The order of equal scores.
    pub ties: TieOrder,
}

/// The values of some measures for every judged query.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    measures: Vec<Measure>,
    queries: Vec<String>,
    values: Vec<Vec<f64>>,
    unanswered: usize,
}

impl Evaluation {
    /// The measures, as they were given.
    #[must_use]
    pub fn measures(&self) -> &[Measure] {
        &self.measures
    }

    /// The queries judged, in the order of the judgements.
    #[must_use]
    pub fn queries(&self) -> &[String] {
        &self.queries
    }

    /// The values of the measure at `index` of [`Self::measures`], in the order of
    /// [`Self::queries`]; `None` past the last measure.
    #[must_use]
    pub fn values(&self, index: usize) -> Option<&[f64]> {
        self.values.get(index).map(Vec::as_slice)
    }

    /// Each measure with its mean over all judged queries; zero if nothing is judged.
    pub fn means(&self) -> impl Iterator<Item = (Measure, f64)> + '_ {
        self.measures.iter().zip(&self.values).map(|(measure, values)| {
            let sum: f64 = values.iter().sum::<f64>() + 0.0;
            (*measure, if values.is_empty() { 0.0 } else { sum / number(values.len()) })
        })
    }

    /// How many judged queries had no ranking in the run, and so count zero.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.unanswered
    }
}

/// Measures a run by all queries that have judgements: one without a ranking counts zero, and
/// rankings of queries without judgements are not looked at.
#[must_use]
pub fn evaluate(
    run: &Run,
    qrels: &Qrels,
    measures: &[Measure],
    options: EvaluateOptions<'_>,
) -> Evaluation {
    let queries = qrels.queries().to_vec();
    let mut values = vec![Vec::with_capacity(queries.len()); measures.len()];
    let mut unanswered = 0;
    for query in &queries {
        let ranking = run.ranking(query).unwrap_or_else(|| {
            unanswered += 1;
            &[]
        });
        let ids = in_order(ranking, options.ties)
            .into_iter()
            .map(|hit| hit.id.as_str())
            .filter(|id| !options.ignored.is_some_and(|ignored| ignored.contains(query, id)));
        let Some(grades) = qrels.judged(query) else { continue };
        let judged = Judged::new(ids, grades);
        for (measure, values) in measures.iter().zip(&mut values) {
            // A sum of nothing is -0 in floats.
            values.push(measure.value(&judged) + 0.0);
        }
    }
    Evaluation { measures: measures.to_vec(), queries, values, unanswered }
}

fn in_order(ranking: &[ScoredDoc], ties: TieOrder) -> Vec<&ScoredDoc> {
    // trec_eval reads scores as f32: what ties there ties here.
    #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is wanted")]
    let score = |hit: &ScoredDoc| hit.score as f32;
    let mut hits: Vec<&ScoredDoc> = ranking.iter().collect();
    hits.sort_by(|a, b| {
        score(b).total_cmp(&score(a)).then_with(|| match ties {
            TieOrder::Trec => b.id.cmp(&a.id),
            TieOrder::MsMarco => a.id.cmp(&b.id),
        })
    });
    hits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_have_no_sign() {
        let mut qrels = Qrels::default();
        qrels.insert("none", "a", 0);
        qrels.insert("empty", "a", 1);
        let mut run = Run::new("t");
        run.insert("none", vec![]).unwrap();
        for name in ["nDCG@10", "AP", "RR", "P@5", "R@5", "Success@1", "Judged@5"] {
            let options = EvaluateOptions::default();
            let evaluation = evaluate(&run, &qrels, &[name.parse().unwrap()], options);
            let values = evaluation.values(0).unwrap().iter().copied();
            for value in values.chain(evaluation.means().map(|m| m.1)) {
                assert!(value == 0.0 && value.is_sign_positive(), "{name}: {value}");
            }
        }
    }

    #[test]
    fn equal_scores_stand_in_the_order_wanted() {
        let mut qrels = Qrels::default();
        qrels.insert("q", "a", 1);
        let mut run = Run::new("t");
        let hit = |id: &str, score| ScoredDoc { id: id.to_owned(), score };
        run.insert("q", vec![hit("z", 2.0), hit("a", 1.0), hit("b", 1.0)]).unwrap();
        let rr = |ties| {
            let options = EvaluateOptions { ties, ..EvaluateOptions::default() };
            let evaluation = evaluate(&run, &qrels, &["RR@10".parse().unwrap()], options);
            evaluation.values(0).unwrap()[0]
        };
        assert_eq!((rr(TieOrder::Trec), rr(TieOrder::MsMarco)), (1.0 / 3.0, 0.5));
    }

    #[test]
    fn a_query_can_be_dropped_from_its_own_ranking() {
        let mut qrels = Qrels::default();
        qrels.insert("q", "d", 1);
        let mut run = Run::new("t");
        let hit = |id: &str, score| ScoredDoc { id: id.to_owned(), score };
        run.insert("q", vec![hit("q", 2.0), hit("d", 1.0)]).unwrap();
        let measures = ["RR@1".parse().unwrap(), "RR".parse().unwrap()];
        let means = |drop_self| -> Vec<f64> {
            let ignored = &Ignored::new(drop_self);
            let options = EvaluateOptions { ignored: Some(ignored), ..EvaluateOptions::default() };
            let evaluation = evaluate(&run, &qrels, &measures, options);
            evaluation.means().map(|m| m.1).collect()
        };
        assert_eq!(means(false), [0.0, 0.5]);
        assert_eq!(means(true), [1.0, 1.0]);
    }
}
