//! Documents and queries as people have them.

use std::fs;

use super::{
    Case, Checks, assert_hits, assert_near, assert_says, not_run, ok, refused, run, run_within,
};

pub(super) const CHECKS: Checks = &[
    ("crlf", crlf),
    ("duplicates", duplicates),
    ("duplicates: queries and judgements", duplicate_queries),
    ("parts-duplicates", parts_duplicates),
    ("parts-folder", parts_folder),
    ("parts-folder: a header", a_header),
    ("empty-docs", empty_docs),
    ("empty-query", empty_query),
    ("foreign-shapes", foreign_shapes),
    ("foreign-shapes: named for what they are", foreign_names),
    ("foreign-shapes: memory", foreign_memory),
    ("hashed-dims", hashed_dims),
    ("hashed-dims: numbers", hashed_numbers),
    ("hashed-dims: memory", hashed_memory),
    ("long-terms", long_terms),
    ("many-components", many_components),
    ("odd-tokens", odd_tokens),
    ("odd-ids", odd_ids),
    ("special-chars", special_chars),
    ("tsv-odd", tsv_odd),
    ("other-vector-field", other_vector_field),
];

/// Indexes words alone; the number of documents.
fn words(input: &str, out: &str) -> u64 {
    let did = ok(&["index", input, "--out", out, "--channel", "bm25", "--no-tune", "--json"]);
    did.json()["documents"].as_u64().unwrap()
}

fn crlf(case: &Case) {
    let index = case.place("index");
    let (vocabulary, ids) = (case.file("vocab.txt"), case.file("ids.txt"));
    let input = ["index", &case.file("docs.bin"), "--out", &index, "--no-tune"];
    ok(&[&input[..], &["--vocab", &vocabulary, "--doc-ids", &ids]].concat());
    let found = ok(&["search", &index, "--queries", &case.file("q.jsonl"), "-k", "1"]);
    assert_hits(&found.of("q"), &[("d2", 2.0)]);
    let deleted = ok(&["delete", &index, "--ids", &case.file("del.txt"), "--json"]).json();
    assert_eq!(deleted["deleted"], 1);
}

fn duplicates(case: &Case) {
    let out = case.place("index");
    let did =
        ok(&["index", &case.file("corpus.jsonl"), "--out", &out, "--channel", "bm25", "--json"]);
    assert_eq!(did.json()["documents"], 2);
    assert_says(&did.err, &["note"]);
}

fn duplicate_queries(case: &Case) {
    let out = case.place("index");
    // Without the repeated document, which is another matter.
    let corpus = fs::read_to_string(case.file("corpus.jsonl")).unwrap();
    let two: Vec<&str> = corpus.lines().take(2).collect();
    words(&case.write("two.jsonl", &two.join("\n")), &out);
    let (queries, qrels) = (case.file("queries.jsonl"), case.file("qrels/test.tsv"));
    let eval = ["eval", &out, "--queries", &queries, "--qrels", &qrels, "--channel", "bm25"];
    let did = run(&[&eval[..], &["--json"]].concat());
    if did.code == Some(0) {
        assert_eq!(did.json()["nDCG@10"], 1.0);
    } else {
        assert_eq!(did.code, Some(4));
        assert_says(&did.err, &["queries.jsonl", "line 2"]);
    }
}

fn parts_duplicates(case: &Case) {
    let index = ["index", &case.file("parts"), "--out", &case.place("index"), "--channel", "bm25"];
    assert_says(&refused(&index), &["d1", "b.jsonl", "line 2"]);
}

fn parts_folder(case: &Case) {
    let out = case.place("index");
    let did = ok(&["index", &case.file("f"), "--out", &out, "--channel", "bm25", "--json"]);
    assert_eq!(did.json()["documents"], 3);
    assert_says(&did.err, &["README.md", "sub"]);
}

fn a_header(case: &Case) {
    let out = case.place("index");
    assert_eq!(words(&case.file("head.tsv"), &out), 2);
    let found = ok(&["search", &out, "text", "--channel", "bm25"]);
    assert!(found.out.is_empty(), "the header is no document: {}", found.out);
}

fn empty_docs(case: &Case) {
    let out = case.place("index");
    let input = case.file("docs.jsonl");
    let did = ok(&["index", &input, "--out", &out, "--tokens", "--no-tune", "--json"]);
    assert_eq!(did.json()["documents"], 7);
    for further in [&[][..], &["--rerank"], &["--channel", "bm25"], &["--channel", "maxsim"]] {
        let found = ok(&[&["search", &out, "granite"][..], further].concat());
        let first = found.out.lines().next().unwrap_or_default();
        assert!(first.contains("  a") || first.contains("  e"), "{further:?}: {}", found.out);
    }
}

fn empty_query(case: &Case) {
    let out = case.place("index");
    let documents = case.write("docs.jsonl", "{\"_id\":\"d\",\"text\":\"granite stone\"}\n");
    ok(&["index", &documents, "--out", &out, "--no-tune"]);
    for file in ["queries.jsonl", "queries.tsv"] {
        for channel in ["bm25", "sparse"] {
            let queries = case.file(file);
            let search = ["search", &out, "--queries", &queries, "--channel", channel];
            let found = ok(&search);
            assert_eq!(found.of("q1").len(), 1, "{file} {channel}");
            assert!(found.of("q2").is_empty(), "{file} {channel}: {}", found.out);
        }
    }
}

/// Every file with the code that is right; where two stand, either reading is.
const SHAPES: [(&str, &[i32]); 27] = [
    ("array.json", &[0, 4]),
    ("bigcount.bin", &[4]),
    ("bignnz.bin", &[4]),
    ("bulk.jsonl", &[4]),
    ("f16.csr", &[4]),
    ("idx64.csr", &[4]),
    ("indptr32.csr", &[4]),
    ("infinity.jsonl", &[4]),
    ("latin1.jsonl", &[4]),
    ("m.npy", &[4]),
    ("m.npz", &[4]),
    ("milvus.jsonl", &[0, 4]),
    ("nan.bin", &[4]),
    ("nan.jsonl", &[4]),
    ("neg.jsonl", &[4]),
    ("opensearch.jsonl", &[4]),
    ("pairs.jsonl", &[0, 4]),
    ("pretty.json", &[0, 4]),
    ("qdrant.jsonl", &[0, 4]),
    ("surrogate.jsonl", &[4]),
    ("text-list.jsonl", &[4]),
    ("text-null.jsonl", &[0]),
    ("title-int.jsonl", &[0, 4]),
    ("trailing.bin", &[4]),
    ("truncated.bin", &[4]),
    ("truncated.csr", &[4]),
    ("utf16.jsonl", &[4]),
];

fn foreign_shapes(case: &Case) {
    for entry in fs::read_dir(&case.files).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README" || SHAPES.iter().any(|shape| shape.0 == name), "{name}");
    }
    for (name, codes) in SHAPES {
        let did = run(&[
            "index",
            &case.file(name),
            "--out",
            &case.place(&format!("{name}.qry")),
            "--no-tune",
        ]);
        assert!(codes.contains(&did.code.unwrap()), "{name}: {:?}: {}", did.code, did.err);
        if did.code == Some(4) {
            assert_says(&did.err, &[name]);
        }
    }
    // Vectors under another name are taken or refused, never left to be encoded as text.
    let milvus = run(&[
        "index",
        &case.file("milvus.jsonl"),
        "--out",
        &case.place("milvus"),
        "--no-tune",
        "--json",
    ]);
    match milvus.code {
        Some(0) => assert_eq!(milvus.json()["mean_components"], 2.0),
        _ => assert_says(&milvus.err, &["sparse_vector", "--vector-field"]),
    }
}

fn foreign_names(case: &Case) {
    for (name, word) in [
        ("nan.jsonl", "NaN"),
        ("infinity.jsonl", "Infinity"),
        ("latin1.jsonl", "UTF-8"),
        ("utf16.jsonl", "UTF-16"),
        ("m.npz", "npz"),
        ("m.npy", "npy"),
        ("neg.jsonl", "-0.5"),
        ("text-list.jsonl", "text"),
    ] {
        let index = ["index", &case.file(name), "--out", &case.place(word), "--no-tune"];
        // The name of the file alone says nothing.
        let said = refused(&index).replace(name, "");
        assert_says(&said, &[word]);
    }
}

fn foreign_memory(case: &Case) {
    for name in ["bigcount.bin", "bignnz.bin", "truncated.bin"] {
        let did = run_within(
            2048,
            &["index", &case.file(name), "--out", &case.place(&format!("{name}.qry"))],
        );
        assert_eq!(did.code, Some(4), "{name}: {}", did.err);
    }
}

fn hashed_dims(case: &Case) {
    let out = case.place("names");
    ok(&["index", &case.file("docs.jsonl"), "--out", &out, "--no-tune"]);
    let found = ok(&["search", &out, "--queries", &case.file("q.jsonl"), "--method", "exact"]);
    assert_hits(&found.of("q1"), &[("0", 1.7), ("2", 0.2)]);
    assert_hits(&found.of("q2"), &[("2", 3.0)]);
    assert_hits(&found.of("q3"), &[("1", 1.0)]);
}

/// Term numbers of 32 bits: taken with their values, or refused in words.
fn hashed_numbers(case: &Case) {
    let scored = |index: &str, queries: &str| {
        ok(&["search", index, "--queries", &case.file(queries), "--method", "exact"])
    };
    for (name, queries) in
        [("docs-sorted-m1.bin", "q-sorted.bin"), ("docs-under2to31.csr", "q-sorted.bin")]
    {
        let out = case.place(name);
        let did = run_within(3072, &["index", &case.file(name), "--out", &out, "--no-tune"]);
        if did.code != Some(0) {
            assert_says(&did.err, &["term", "--vocab"]);
            continue;
        }
        let found = run(&["search", &out, "--queries", &case.file(queries), "--method", "exact"]);
        if found.code == Some(0) {
            assert_near(found.of("0")[0].1, 1.7, 1e-3);
        } else {
            // The queries' largest number is beyond what a term may be.
            assert_says(&found.err, &["4294967295"]);
        }
    }
    for name in ["docs-sorted.bin", "docs.bin", "badcol.csr"] {
        let out = case.place(name);
        let did = run_within(3072, &["index", &case.file(name), "--out", &out, "--no-tune"]);
        match (name, did.code) {
            ("badcol.csr", code) => assert_eq!(code, Some(4), "{}", did.err),
            (_, Some(0)) => assert_near(scored(&out, "qbin.bin").of("0")[0].1, 1.7, 1e-3),
            _ => assert_says(&did.err, &[name]),
        }
    }
    // A term twice in a vector: one rule, or a refusal.
    for name in ["dup.bin", "dup-sorted.bin", "dup.csr", "dup.jsonl"] {
        let did =
            run_within(3072, &["index", &case.file(name), "--out", &case.place(name), "--no-tune"]);
        assert!([Some(0), Some(4)].contains(&did.code), "{name}: {:?}: {}", did.code, did.err);
    }
    let did = run_within(
        3072,
        &["index", &case.file("hash28.bin"), "--out", &case.place("28"), "--no-tune"],
    );
    assert_eq!(did.code, Some(0), "{}", did.err);
}

/// 10,001 vectors with term numbers up to 2^31: memory follows the terms that there are.
fn hashed_memory(case: &Case) {
    let large = case.place("large.bin");
    let made = std::process::Command::new("python3")
        .args([&case.file("make_large.py"), &large])
        .current_dir(case.room.path())
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        return not_run("hashed-dims: memory: python3 is not installed");
    }
    let out = case.place("index");
    let index = ["index", &large, "--out", &out, "--memory", "512MiB"];
    let did = run_within(3072, &index);
    if did.code == Some(0) {
        let found = run_within(
            3072,
            &["search", &out, "--queries", &large, "-k", "1", "--method", "exact"],
        );
        assert_eq!(found.code, Some(0), "{}", found.err);
        assert_eq!(found.hits().len(), 10_001);
        assert!(found.hits().iter().all(|hit| hit.0 == hit.1), "each is nearest to itself");
    } else {
        assert_says(&did.err, &["term", "--vocab"]);
    }
}

fn long_terms(case: &Case) {
    let out = case.place("index");
    ok(&["index", &case.file("docs.jsonl"), "--out", &out, "--no-tune"]);
    let found = ok(&["search", &out, "--queries", &case.file("q.jsonl"), "--method", "exact"]);
    assert_hits(&found.of("q"), &[("other", 300.0), ("problem", 200.0)]);
    assert_eq!(words(&case.file("text.jsonl"), &case.place("words")), 3);
    assert_eq!(ok(&["search", &case.place("words"), "short", "--channel", "bm25"]).code, Some(0));
}

fn many_components(case: &Case) {
    let out = case.place("index");
    ok(&["index", &case.file("docs.jsonl"), "--out", &out, "--no-tune"]);
    let found = ok(&["search", &out, "--queries", &case.file("q5000.jsonl"), "--method", "exact"]);
    let hits = found.of("q");
    assert_eq!(hits[0].0, "big");
    assert_near(hits[0].1, 9948.526, 1e-3);
}

/// Query i has token i alone, which document i has with the weight i + 1.
fn odd_tokens(case: &Case) {
    let out = case.place("index");
    ok(&["index", &case.file("docs.jsonl"), "--out", &out, "--no-tune"]);
    let found = ok(&["search", &out, "--queries", &case.file("q.jsonl"), "--method", "exact"]);
    for number in 0..15 {
        let hits = found.of(&format!("q{number}"));
        assert_eq!(hits.len(), 1, "q{number}: {hits:?}");
        assert_eq!(hits[0].0, format!("d{number}"));
        assert_near(hits[0].1, f64::from(number + 1), 1e-3);
    }
}

/// A run that cannot be written leaves the one that is there.
fn odd_ids(case: &Case) {
    let out = case.place("index");
    assert_eq!(words(&case.file("docs.jsonl"), &out), 19);
    let good = "q1 Q0 good 1 1.0 a-good-run\n";
    for queries in ["queries.jsonl", "queries-spaces.jsonl"] {
        let run_file = case.write("run.trec", good);
        let queries = case.file(queries);
        let search = [
            "search",
            &out,
            "--queries",
            &queries,
            "--channel",
            "bm25",
            "-k",
            "30",
            "--run",
            &run_file,
        ];
        assert_ne!(run(&search).code, Some(0), "a run is there already");
        assert_eq!(fs::read_to_string(&run_file).unwrap(), good);
        let did = run(&[&search[..], &["--overwrite"]].concat());
        if did.code == Some(0) {
            // Then every line has its six fields.
            let run = fs::read_to_string(&run_file).unwrap();
            assert!(run.lines().all(|line| line.split([' ', '\t']).count() == 6), "{run}");
        } else {
            assert_eq!(fs::read_to_string(&run_file).unwrap(), good, "{}", did.err);
        }
        let left: Vec<String> = super::common::names(case.room.path());
        assert!(!left.iter().any(|name| name.contains("tmp") || name.contains("part")), "{left:?}");
    }
}

fn special_chars(case: &Case) {
    let out = case.place("index");
    ok(&["index", &case.file("docs.jsonl"), "--out", &out, "--no-tune"]);
    let questions = fs::read_to_string(case.file("queries.txt")).unwrap();
    let lines: Vec<String> = questions
        .lines()
        .enumerate()
        .map(|(at, q)| serde_json::json!({"_id": format!("q{at}"), "text": q}).to_string())
        .collect();
    assert!(lines.len() > 40);
    let queries = case.write("queries.jsonl", &lines.join("\n"));
    for channel in ["bm25", "sparse"] {
        let found = ok(&["search", &out, "--queries", &queries, "--channel", channel]);
        assert!(found.hits().len() > 20, "{channel}: {}", found.out);
    }
    // Each by itself, as a person types it.
    for question in questions.lines() {
        ok(&["search", &out, "--channel", "bm25", "--", question]);
    }
}

fn tsv_odd(case: &Case) {
    let out = case.place("index");
    assert_eq!(words(&case.file("collection.tsv"), &out), 5);
    let found = ok(&["search", &out, "--queries", &case.file("queries.tsv"), "--channel", "bm25"]);
    let ids: Vec<(String, String)> = found.hits().into_iter().map(|hit| (hit.0, hit.1)).collect();
    assert_eq!(ids, [("q1".into(), "1".into()), ("q2".into(), "0".into())]);
}

fn other_vector_field(case: &Case) {
    let (out, input) = (case.place("index"), case.file("docs.jsonl"));
    let index = ["index", &input, "--out", &out, "--no-tune", "--json"];
    let mut did = run(&index);
    if did.code != Some(0) {
        assert_says(&did.err, &["sparse_vector", "--vector-field"]);
        did = ok(&[&index[..], &["--vector-field", "sparse_vector"]].concat());
    }
    let mean = did.json()["mean_components"].as_f64().unwrap();
    assert!((mean - 100.0).abs() < 2.0, "the vectors are those given: {mean}");
    let shown = ok(&["inspect", &out, "--json"]).out;
    assert!(!shown.contains("tok15171"), "no token became a field");
}
