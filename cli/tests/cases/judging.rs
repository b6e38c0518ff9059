//! Judgements, runs and what is computed of them.

use serde_json::Value;

use super::{Case, Checks, assert_near, assert_says, ok, refused, run};

pub(super) const CHECKS: Checks = &[
    ("qrels-shapes", qrels_shapes),
    ("qrels-shapes: repeated lines", repeated_lines),
    ("qrels-shapes: a fourth column", a_fourth_column),
    ("qrels-shapes: headers", headers),
    ("run-shapes", run_shapes),
    ("float-grades", float_grades),
    ("ties", |case| expected_values(case, "qrels.txt")),
    ("negative-grades", |case| expected_values(case, "qrels.txt")),
    ("ndcg-depth", |case| expected_values(case, "qrels.txt")),
    ("missing-and-norel", |case| expected_values(case, "qrels.txt")),
    ("id-mismatch", id_mismatch),
    ("judged-query-missing", judged_query_missing),
    ("qrels-missing-doc", qrels_missing_doc),
    ("titles-and-ids", one_point),
    ("unicode-lines", one_point),
    ("beir-root", beir_root),
    ("beir-root: header alone", header_alone),
];

/// nDCG@10 of a run, or what was said when it was refused.
fn ndcg(run_file: &str, qrels: &str) -> Result<f64, String> {
    let did =
        run(&["eval", "--run", run_file, "--qrels", qrels, "--measures", "nDCG@10", "--json"]);
    match did.code {
        Some(0) => Ok(did.json()["nDCG@10"].as_f64().unwrap()),
        Some(4) => Err(did.err),
        code => panic!("{run_file}, {qrels}: code {code:?}: {}", did.err),
    }
}

fn qrels_shapes(case: &Case) {
    let run_file = case.file("run.trec");
    for good in ["crlf-bom.tsv", "four-tab.tsv", "hf-header.tsv"] {
        assert_eq!(ndcg(&run_file, &case.file(good)), Ok(1.0), "{good}");
    }
    for bad in ["five.txt", "json.json", "run.trec"] {
        assert_says(&ndcg(&run_file, &case.file(bad)).unwrap_err(), &[bad]);
    }
    // Read as what they mean, or refused by name; never another value.
    for either in ["five-beir.tsv", "quoted.tsv", "spaces3.txt", "trailing-tab.tsv"] {
        match ndcg(&run_file, &case.file(either)) {
            Ok(value) => assert_near(value, 1.0, 0.0),
            Err(said) => assert_says(&said, &[either]),
        }
    }
    // The run lacks the one query of these judgements.
    let said = ndcg(&run_file, &case.file("idspaces.tsv")).unwrap_err();
    assert_says(&said, &["judged query", "run.trec"]);
}

fn repeated_lines(case: &Case) {
    let run_file = case.file("run.trec");
    assert_eq!(ndcg(&run_file, &case.file("dup-same.tsv")), Ok(1.0));
    assert_says(
        &ndcg(&run_file, &case.file("dup-differ.tsv")).unwrap_err(),
        &["dup-differ.tsv", "line 3"],
    );
}

fn a_fourth_column(case: &Case) {
    match ndcg(&case.file("run.trec"), &case.file("four-tab-extra.tsv")) {
        Ok(value) => assert_near(value, 1.0, 0.0),
        Err(said) => assert_says(&said, &["four-tab-extra.tsv", "line 1"]),
    }
}

fn headers(case: &Case) {
    for file in ["msmarco-header.tsv", "qid-header.tsv"] {
        match ndcg(&case.file("run.trec"), &case.file(file)) {
            Ok(value) => assert_near(value, 1.0, 0.0),
            Err(said) => assert_says(&said, &[file, "header"]),
        }
    }
}

fn run_shapes(case: &Case) {
    let qrels = case.file("qrels.txt");
    for good in ["crlf-bom.trec", "msmarco.tsv", "msmarco-rank0.tsv", "tabs.trec", "zero-rank.trec"]
    {
        assert_eq!(ndcg(&case.file(good), &qrels), Ok(1.0), "{good}");
    }
    for bad in [
        "dup.trec",
        "five.trec",
        "huge.trec",
        "inf.trec",
        "nan.trec",
        "msmarco-dup-rank.tsv",
        "msmarco-score4.tsv",
        "tagspace.trec",
        "qrels.txt",
    ] {
        assert_says(&ndcg(&case.file(bad), &qrels).unwrap_err(), &[bad, "line"]);
    }
    // trec_eval holds scores in single precision: these are equal, and d2 stands first.
    assert_near(ndcg(&case.file("precision.trec"), &qrels).unwrap(), 0.630_929_8, 1e-6);
}

fn float_grades(case: &Case) {
    let run_file = case.file("run.trec");
    // (1 + 2 / log2(3)) / (2 + 1 / log2(3)), and 1.
    let want = f64::midpoint((1.0 + 2.0 / 3f64.log2()) / (2.0 + 1.0 / 3f64.log2()), 1.0);
    assert_near(ndcg(&run_file, &case.file("qrels.tsv")).unwrap(), want, 1e-6);
    let said = ndcg(&run_file, &case.file("qrels-fraction.tsv")).unwrap_err();
    assert_says(&said, &["qrels-fraction.tsv", "line 2", "0.2"]);
}

/// The values of pytrec_eval and ir_measures beside the case.
fn expected_values(case: &Case, qrels: &str) {
    let want = std::fs::read_to_string(case.file("expected.txt")).unwrap();
    let want: Vec<(&str, f64)> = want
        .lines()
        .map(|line| {
            line.split_once(' ').map(|(name, value)| (name, value.parse().unwrap())).unwrap()
        })
        .collect();
    let names: Vec<&str> = want.iter().map(|w| w.0).collect();
    let (run_file, qrels) = (case.file("run.trec"), case.file(qrels));
    let eval = ["eval", "--run", &run_file, "--qrels", &qrels, "--measures", &names.join(",")];
    let found = ok(&[&eval[..], &["--json"]].concat()).json();
    for (name, value) in want {
        let found = found[name].as_f64().unwrap();
        assert!((found - value).abs() < 6e-7, "{name}: {found}, expected {value}");
    }
    let each = ok(&[&eval[..], &["--per-query"]].concat());
    assert!(!each.out.contains("-0.0000"), "{}", each.out);
}

/// A BM25 index of the case's collection.
fn words(case: &Case, collection: &str) -> String {
    let out = case.place("words");
    ok(&["index", collection, "--out", &out, "--channel", "bm25", "--no-tune"]);
    out
}

/// Means of a collection's evaluation by BM25, and what was noted.
fn evaluated(index: &str, collection: &str) -> (Value, String) {
    let did = ok(&["eval", index, "--collection", collection, "--channel", "bm25", "--json"]);
    (did.json(), did.err)
}

fn id_mismatch(case: &Case) {
    let index = words(case, &case.file(""));
    let (means, notes) = evaluated(&index, &case.file(""));
    assert_eq!(means["nDCG@10"], 0.0);
    assert_says(&notes, &["2 of 2", "judged documents"]);
}

fn judged_query_missing(case: &Case) {
    let index = words(case, &case.file(""));
    let (means, _) = evaluated(&index, &case.file(""));
    assert_near(means["nDCG@10"].as_f64().unwrap(), 0.5, 1e-6);
}

fn qrels_missing_doc(case: &Case) {
    let collection = case.file("arguana");
    let index = words(case, &collection);
    let (means, notes) = evaluated(&index, &collection);
    assert_near(means["nDCG@10"].as_f64().unwrap(), 0.5, 1e-6);
    assert_says(&notes, &["1 of 2", "judged documents"]);
    let did = ok(&[
        "eval",
        &index,
        "--collection",
        &collection,
        "--channel",
        "bm25",
        "--ignore-identical-ids",
        "false",
        "--json",
    ]);
    assert_near(did.json()["nDCG@10"].as_f64().unwrap(), 0.315_465, 1e-5);
}

fn one_point(case: &Case) {
    let index = words(case, &case.file(""));
    let (means, _) = evaluated(&index, &case.file(""));
    assert_near(means["nDCG@10"].as_f64().unwrap(), 1.0, 1e-9);
}

fn beir_root(case: &Case) {
    let out = case.place("results");
    let did = run(&["eval", &out, "--sets", &case.file("")]);
    let all = format!("{}{}", did.out, did.err);
    // The sets that can be used stand in the table, the nested one as one.
    for set in ["good", "cqadupstack"] {
        let row = did.out.lines().find(|line| line.contains(set));
        let row = row.unwrap_or_else(|| panic!("{set} is not in the table: {all}"));
        assert!(row.contains("1.0000"), "{row}");
    }
    // The others are named.
    assert_says(&did.err, &["nojudged", "broken", "nodev"]);
    let mean = did.out.lines().find(|line| line.contains("mean")).unwrap_or_default();
    assert!(mean.contains("1.0000"), "unusable sets are no zeros: {}", did.out);
}

fn header_alone(case: &Case) {
    let (set, run_file) = (case.file("nojudged"), case.write("run.trec", "7 Q0 01 1 1.0 r\n"));
    let qrels = format!("{set}/qrels/test.tsv");
    assert_says(&refused(&["eval", "--run", &run_file, "--qrels", &qrels]), &["test.tsv"]);
}
