//! Indexes and their changes: what is found, and with which score.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Case, Checks, assert_hits, assert_near, assert_says, ok, run};

pub(super) const CHECKS: Checks = &[
    ("add-new-terms", add_new_terms),
    ("ordinal-ids", ordinal_ids),
    ("outlier-weight", outlier_weight),
    ("outlier-weight: merged", outliers_merged),
    ("outlier-weight: whole impacts", whole_impacts),
    ("tie-cut", tie_cut),
    ("update-while-serving", tokens_are_kept_up),
];

fn add_new_terms(case: &Case) {
    let named = case.place("named");
    ok(&["index", &case.file("docs.jsonl"), "--out", &named, "--no-tune"]);
    ok(&["add", &named, &case.file("new.jsonl")]);
    let found = ok(&["search", &named, "--queries", &case.file("q.jsonl"), "--method", "exact"]);
    assert_hits(&found.of("0"), &[("a", 5.0), ("c", 4.0), ("b", 1.0)]);
    assert_hits(&found.of("1"), &[("c", 2.0)]);

    let numbered = case.place("numbered");
    ok(&["index", &case.file("docs.bin"), "--out", &numbered, "--no-tune"]);
    ok(&["add", &numbered, &case.file("new.bin"), "--doc-ids", &case.file("ids.txt")]);
    let found = ok(&["search", &numbered, "--queries", &case.file("q.bin"), "--method", "exact"]);
    assert_hits(&found.of("0"), &[("0", 5.0), ("n0", 4.0), ("1", 1.0)]);
    assert_hits(&found.of("1"), &[("n0", 1.0)]);
}

fn documents(index: &str) -> u64 {
    let shown = ok(&["inspect", index, "--json"]).json();
    shown["manifest"]["segments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["documents"].as_u64().unwrap())
        .sum()
}

fn ordinal_ids(case: &Case) {
    let index = case.place("index");
    ok(&["index", &case.file("batch1.bin"), "--out", &index, "--no-tune"]);
    let added = run(&["add", &index, &case.file("batch2.bin")]);
    if added.code == Some(0) {
        assert_eq!(documents(&index), 8, "{}", added.out);
        let found = ok(&["search", &index, "--queries", &case.file("q.bin"), "--method", "exact"]);
        assert_eq!(found.hits().len(), 8);
    } else {
        assert_says(&added.err, &["--doc-ids"]);
        assert_eq!(documents(&index), 5);
    }
}

type Vectors = Vec<(String, BTreeMap<String, f64>)>;

fn vectors(path: &str) -> Vectors {
    let read = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        let vector = value["vector"].as_object().unwrap();
        let weights = vector.iter().map(|(token, w)| (token.clone(), w.as_f64().unwrap()));
        (value["id"].as_str().unwrap().to_owned(), weights.collect())
    };
    std::fs::read_to_string(path).unwrap().lines().map(read).collect()
}

/// Exact search against sums in 64 bits over the weights as given: at least .999 of the ten best, every
/// score within a thousandth. Scores nearer to each other than that may stand either way round.
fn assert_exact(index: &str, documents: &Vectors, queries: &str) {
    let found = ok(&["search", index, "--queries", queries, "--method", "exact", "-k", "10"]);
    let (mut kept, mut total) = (0usize, 0usize);
    for (query, weights) in vectors(queries) {
        let mut scores: Vec<(String, f64)> = documents
            .iter()
            .map(|(id, vector)| {
                let sum = weights.iter().filter_map(|(t, w)| vector.get(t).map(|v| v * w)).sum();
                (id.clone(), sum)
            })
            .filter(|hit: &(String, f64)| hit.1 > 0.0)
            .collect();
        scores.sort_by(|a, b| b.1.total_cmp(&a.1));
        let of: BTreeMap<&str, f64> = scores.iter().map(|s| (s.0.as_str(), s.1)).collect();
        let cut = scores.get(9).map_or(0.0, |s| s.1);
        let hits = found.of(&query);
        assert_eq!(hits.len(), scores.len().min(10), "query {query}");
        for (id, score) in hits {
            assert_near(score, of[id.as_str()], 1e-3);
            kept += usize::from(of[id.as_str()] >= cut * (1.0 - 1e-3));
            total += 1;
        }
    }
    assert!(kept * 1000 >= total * 999, "{kept} of {total}");
}

fn outlier_weight(case: &Case) {
    for (documents, queries) in [
        ("docs.jsonl", "queries.jsonl"),
        ("docs-outlier.jsonl", "queries.jsonl"),
        ("docs-outlier.jsonl", "queries-outlier.jsonl"),
        ("docs-outlier30.jsonl", "queries.jsonl"),
        ("docs-common.jsonl", "queries-common1e6.jsonl"),
        ("tiny.jsonl", "queries.jsonl"),
    ] {
        let index = case.place(documents);
        let file = case.file(documents);
        ok(&["index", &file, "--out", &index, "--no-tune", "--overwrite"]);
        assert_exact(&index, &vectors(&file), &case.file(queries));
    }
    light_terms_decide(&case.place("docs-common.jsonl"), &case.file("queries-common1e6.jsonl"));
    // The rankings beside the case, by another program.
    let found = ok(&[
        "search",
        &case.place("docs-outlier.jsonl"),
        "--queries",
        &case.file("queries.jsonl"),
        "--method",
        "exact",
    ]);
    let want = std::fs::read_to_string(case.file("expected.trec")).unwrap();
    let same = want.lines().filter(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        found.of(fields[0]).iter().any(|hit| hit.0 == fields[2])
    });
    let (same, all) = (same.count(), want.lines().count());
    assert!(same * 1000 >= all * 999, "{same} of {all}");
}

/// One term of all documents weighs a million times as much as the others, which decide the order all the same:
/// at least .999 of the ten best, and the scores of a run tell every hit from the next.
fn light_terms_decide(index: &str, queries: &str) {
    let overlap = ["eval", index, "--queries", queries, "--against-exact", "10", "--json"];
    let judged = ok(&[&overlap[..], &["--method", "exact"]].concat()).json();
    assert!(judged["overlap@10"].as_f64().unwrap() >= 0.999, "{judged}");
    let found = ok(&["search", index, "--queries", queries, "--method", "exact", "-k", "10"]);
    for (query, _) in vectors(queries) {
        let scores: Vec<f64> = found.of(&query).iter().map(|hit| hit.1).collect();
        assert!(scores.windows(2).all(|two| two[0] > two[1]), "{query}: {scores:?}");
    }
}

/// A merge with a segment that has a heavy weight does not touch the others.
fn outliers_merged(case: &Case) {
    let (index, documents) = (case.place("index"), vectors(&case.file("docs-outlier.jsonl")));
    let all = std::fs::read_to_string(case.file("docs-outlier.jsonl")).unwrap();
    let heavy = |line: &&str| line.contains(": 65504");
    let healthy: Vec<&str> = all.lines().filter(|line| !heavy(line)).collect();
    let first = case.write("healthy.jsonl", &healthy.join("\n"));
    let second = case.write("heavy.jsonl", all.lines().find(heavy).unwrap());
    ok(&["index", &first, "--out", &index, "--no-tune"]);
    ok(&["add", &index, &second]);
    assert_exact(&index, &documents, &case.file("queries.jsonl"));
    ok(&["merge", &index, "--no-tune"]);
    assert_exact(&index, &documents, &case.file("queries.jsonl"));
}

fn whole_impacts(case: &Case) {
    let documents = [("a", 100_000, 1), ("b", 100_001, 3), ("c", 99_999, 2)];
    let lines = documents
        .map(|(id, x, y)| format!("{{\"id\":\"{id}\",\"vector\":{{\"x\":{x},\"y\":{y}}}}}"));
    let file = case.write("impacts.jsonl", &lines.join("\n"));
    let index = case.place("index");
    ok(&["index", &file, "--out", &index, "--no-tune"]);
    let queries = case.file("impacts-q.jsonl");
    let found = ok(&["search", &index, "--queries", &queries, "--method", "exact"]);
    assert_hits(&found.of("q"), &[("b", 100_001.0), ("a", 100_000.0), ("c", 99_999.0)]);
    assert_hits(&found.of("qy"), &[("b", 3.0), ("c", 2.0), ("a", 1.0)]);
}

/// Equal scores at the cut, over two segments, by every method that proves its ranking.
fn tie_cut(case: &Case) {
    let want = std::fs::read_to_string(case.file("expected.trec")).unwrap();
    let want: Vec<&str> = want.lines().map(|line| line.split(' ').nth(2).unwrap()).collect();
    let (two, one) = (case.place("two"), case.place("one"));
    ok(&["index", &case.file("part1.jsonl"), "--out", &two, "--no-tune", "--lists", "impact"]);
    ok(&["add", &two, &case.file("part2.jsonl"), "--lists", "impact"]);
    ok(&["index", &case.file("all.jsonl"), "--out", &one, "--no-tune"]);
    for (index, method) in [(&two, "exact"), (&two, "scan"), (&one, "exact"), (&one, "auto")] {
        let search = ["search", index, "--queries", &case.file("q.jsonl"), "--method", method];
        let found = ok(&[&search[..], &["-k", "8"]].concat());
        let ids: Vec<String> = found.of("q").into_iter().map(|hit| hit.0).collect();
        assert_eq!(ids, want, "{index} {method}");
    }
}

/// What is added gets token embeddings where the index has them, and a merge keeps them.
fn tokens_are_kept_up(case: &Case) {
    let index = case.place("index");
    ok(&["index", &case.file("base.jsonl"), "--out", &index, "--tokens", "--no-tune"]);
    ok(&["add", &index, &case.file("d.jsonl")]);
    let rerank = ["search", &index, "granite", "--rerank", "--json"];
    let ids = |found: Value| -> Vec<String> {
        let hits = found["hits"].as_array().unwrap().iter();
        hits.map(|hit| hit["id"].as_str().unwrap().to_owned()).collect()
    };
    let found = ids(ok(&rerank).json());
    assert!(found.contains(&"d".to_owned()) && found.contains(&"a".to_owned()), "{found:?}");
    ok(&["merge", &index, "--no-tune"]);
    assert_eq!(ids(ok(&rerank).json()), found);
    // Deleted and added again.
    ok(&["delete", &index, "a"]);
    assert!(!ids(ok(&rerank).json()).contains(&"a".to_owned()));
    ok(&["add", &index, &case.file("a2.jsonl")]);
    ok(&["merge", &index, "--no-tune"]);
    let found = ok(&["search", &index, "basalt volcanic", "--rerank", "--json"]).json();
    assert_eq!(ids(found)[0], "a");
}
