//! Measures against values that `ir_measures` and `trec_eval` gave for the same synthetic data
//! (`fixtures/make_measures.py`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use quarry_datasets::measures::{EvaluateOptions, Measure, evaluate};
use quarry_datasets::{Qrels, Run};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

#[test]
fn values_equal_trec_eval() {
    let text = std::fs::read_to_string(fixture("measures.expected.tsv")).unwrap();
    let mut expected: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for line in text.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        expected.insert((columns[1], columns[0]), columns[2].parse().unwrap());
    }
    let mut names: Vec<&str> = expected.keys().map(|k| k.0).collect();
    names.dedup();
    assert!(names.len() >= 20);
    let measures: Vec<Measure> = names.iter().map(|n| n.parse().unwrap()).collect();

    let run = Run::read(&fixture("measures.run")).unwrap();
    let qrels = Qrels::read(&fixture("measures.qrels")).unwrap();
    assert!(run.ranking("q98").is_none() && qrels.judged("q99").is_none());
    let evaluation = evaluate(&run, &qrels, &measures, EvaluateOptions::default());
    assert_eq!((evaluation.queries().len(), evaluation.unanswered()), (42, 1));

    for (at, (measure, mean)) in evaluation.means().enumerate() {
        let name = names[at];
        assert_eq!(measure.to_string(), name);
        assert!((mean - expected[&(name, "all")]).abs() < 1e-6, "{name}: {mean}");
        for (query, value) in evaluation.queries().iter().zip(evaluation.values(at).unwrap()) {
            let want = expected.get(&(name, query.as_str())).copied().unwrap_or(0.0);
            assert!((value - want).abs() < 1e-6, "{name} of {query}: {value}, expected {want}");
        }
    }
}

#[test]
fn judged_counts_all_grades() {
    let mut qrels = Qrels::default();
    qrels.insert("q", "a", 0);
    qrels.insert("q", "b", -1);
    let hit = |id: &str, score| quarry_vectors::ScoredDoc { id: id.to_owned(), score };
    let mut run = Run::new("t");
    run.insert("q", vec![hit("a", 3.0), hit("x", 2.0), hit("b", 1.0), hit("y", 0.0)]).unwrap();
    let measures = ["Judged@1", "Judged@2", "Judged@10"].map(|m| m.parse().unwrap());
    let evaluation = evaluate(&run, &qrels, &measures, EvaluateOptions::default());
    assert_eq!(evaluation.means().map(|m| m.1).collect::<Vec<_>>(), [1.0, 0.5, 0.5]);
}
