//! Options that would do nothing are refused, with what to do; those that apply are honoured on every way.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::fs;

use common::{fails, ok, text, vectors};

#[test]
fn options_that_do_nothing_are_refused() {
    // None of these looks for the index first.
    let search = ["search", "nowhere", "a question"];
    let file = ["search", "nowhere", "--queries", "q.jsonl"];
    let eval = ["eval", "nowhere", "--collection", "c"];
    let run = ["eval", "--run", "r", "--qrels", "q"];
    let sets = ["eval", "nowhere", "--sets", "s"];
    let index = ["index", "docs", "--out", "x"];
    let cases: &[(&[&str], &str)] = &[
        (&search, "--explain --channel bm25"),
        (&search, "--explain --channel maxsim"),
        (&search, "--k1 1.2"),
        (&search, "--b 0.5"),
        (&search, "--k1 1.2 --channel maxsim"),
        (&search, "--fields text"),
        (&search, "--run x.run"),
        (&search, "--run-format tabs"),
        (&search, "--query-format text"),
        (&search, "--query-scale 2"),
        (&search, "--vector-field v"),
        (&search, "--overlap 0.9 --method exact"),
        (&search, "--overlap 0.9 --method scan"),
        (&search, "--overlap 0.9 --channel bm25"),
        (&search, "--method exact --channel bm25"),
        (&search, "--preload --channel bm25"),
        (&search, "--model m --channel bm25"),
        (&search, "--encode-device cpu --channel bm25"),
        (&search, "--postings 10"),
        (&search, "--candidates 10"),
        (&search, "--query-cut 10"),
        (&search, "--heap-factor 0.5"),
        (&search, "--postings 10 --method exact"),
        (&search, "--postings 10 --method seismic"),
        (&search, "--query-cut 3 --method impact"),
        (&search, "--heap-factor 0.5 --method clusters"),
        (&search, "--overlap 0.9 --method impact --postings 9 --candidates 9"),
        (&search, "--overlap 0.9 --method seismic --query-cut 9 --heap-factor 0.5"),
        (&search, "--exact-rerank"),
        (&search, "--token-model m"),
        (&search, "--device cpu"),
        (&search, "--device-memory 1GiB"),
        (&search, "--form fp16"),
        (&search, "--depth 10"),
        (&search, "--alpha off"),
        (&file, "--fields text"),
        (&file, "--overwrite"),
        (&eval, "--query-format text"),
        (&eval, "--rerank-k 5"),
        (&eval, "--no-exhaustive"),
        (&eval, "--rerank --per-query"),
        (&eval, "--rerank --compare r"),
        (&eval, "--rerank --against-exact 10"),
        (&eval, "--run-format tabs"),
        (&eval, "--overwrite"),
        (&run, "--method exact"),
        (&run, "--channel bm25"),
        (&run, "--rerank"),
        (&run, "--filter a:b"),
        (&run, "--only 1-2"),
        (&run, "--split dev"),
        (&run, "--query-format text"),
        (&run, "--overwrite"),
        (&["eval", "nowhere", "--queries", "q", "--against-exact", "10"], "--measures RR@10"),
        (&["eval", "nowhere", "--queries", "q", "--against-exact", "10"], "--per-query"),
        (&["eval", "nowhere", "--queries", "q", "--against-exact", "10"], "--ties msmarco"),
        (&sets, "--rerank"),
        (&sets, "--no-exhaustive"),
        (&sets, "--ignore-pairs p"),
        (&sets, "--query-scale 2"),
        (&index, "--overwrite --resume"),
        (&index, "--channel maxsim"),
        (&index, "--channel bm25 --top-k 5"),
        (&index, "--channel bm25 --max-tokens 5"),
        (&index, "--channel bm25 --lists impact"),
        (&index, "--channel bm25 --levels u8"),
        (&index, "--channel bm25 --scale 100"),
        (&index, "--channel bm25 --vector-field v"),
        (&index, "--n-postings 100"),
        (&index, "--lists impact --cluster-size 100"),
        (&index, "--cluster-size 100"),
        (&index, "--cluster-components 100"),
        (&index, "--lists clusters --summary-energy 0.5"),
        (&index, "--shard 1/2 --no-tune"),
        (&index, "--token-model m"),
        (&["add", "nowhere", "docs"], "--n-postings 100"),
        (&["encode", "q", "--queries", "--out", "x"], "--top-k 5"),
        (&["encode", "q", "--queries", "--out", "x"], "--max-tokens 5"),
        (&["export", "nowhere", "--format", "csr", "--out", "x"], "--bits 8"),
        (&["export", "nowhere", "--format", "jsonl", "--out", "x"], "--scale 2"),
        (&["export", "nowhere", "--format", "csr", "--out", "x"], "--memory 1GiB"),
        (&["export", "nowhere", "--format", "csr", "--out", "x"], "--query-scale 2"),
        (&["export", "nowhere", "--format", "csr", "--out", "x", "--queries", "q"], "--passages"),
        (&["lists", "nowhere", "--add", "impact"], "--n-postings 100"),
        (&["lists", "nowhere", "--add", "seismic"], "--cluster-size 100"),
        (&["tokens", "add", "nowhere"], "--centroids 16"),
        (&["tune", "nowhere"], "--most 10"),
        (&["tune", "nowhere"], "--model m"),
        (&["tune", "nowhere"], "--vector-field v"),
        (&["inspect", "nowhere"], "--overwrite"),
        (&["model", "show", "nowhere"], "--overwrite"),
    ];
    for (command, options) in cases {
        let args: Vec<&str> = command.iter().copied().chain(options.split(' ')).collect();
        fails(&args, 2);
    }
    let error = fails(&["search", "nowhere", "x", "--k1", "1.2"], 2);
    assert!(error.contains("--k1 does nothing here: it is BM25's; add --channel bm25"), "{error}");
    // With what they need they are taken: these fail for the index alone.
    for options in [
        "--k1 1.2 --channel bm25",
        "--fields text --json",
        "--overlap 0.9 --method impact --postings 9",
        "--query-cut 3 --method seismic",
        "--exact-rerank --rerank",
        "--form fp16 --channel maxsim",
    ] {
        let args: Vec<&str> = search.iter().copied().chain(options.split(' ')).collect();
        fails(&args, 3);
    }
}

#[test]
fn what_the_input_makes_useless_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    vectors(&at("vectors.jsonl"), 10, 1);
    fs::write(at("texts.jsonl"), "{\"_id\":\"a\",\"text\":\"granite\"}\n").unwrap();
    fs::write(at("vocab"), "a\nb\n").unwrap();
    let vocab = at("vocab");
    for (input, options) in [
        ("vectors.jsonl", &["--max-tokens", "5"][..]),
        ("vectors.jsonl", &["--top-k", "5"]),
        ("vectors.jsonl", &["--encode-memory", "1GiB"]),
        ("vectors.jsonl", &["--raw-encoding"]),
        ("vectors.jsonl", &["--vocab", text(&vocab)]),
        ("vectors.jsonl", &["--channel", "bm25"]),
        ("texts.jsonl", &["--scale", "100"]),
        ("texts.jsonl", &["--vocab", text(&vocab)]),
    ] {
        let (input, out) = (at(input), at("x"));
        let error = fails(&[&["index", text(&input), "--out", text(&out)], options].concat(), 2);
        assert!(error.contains("does nothing here"), "{options:?}: {error}");
        assert!(!out.exists(), "{options:?}");
    }
}

/// What an input turns out to hold decides as well, and before anything is built.
#[test]
fn options_that_do_nothing_with_this_input_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    vectors(&at("docs.jsonl"), 20, 1);
    let (index, queries) = (at("index"), at("q.tsv"));
    ok(&["index", text(&at("docs.jsonl")), "--out", text(&index), "--no-tune"]);
    ok(&["export", text(&index), "--format", "seismic", "--out", text(&at("docs.bin"))]);
    fs::write(&queries, "1\tgranite\n").unwrap();
    let search = ["search", text(&index), "--queries"];
    let error = fails(&[&search[..], &[text(&queries), "--query-scale", "2"]].concat(), 2);
    assert!(error.contains("--query-scale") && error.contains("brings texts"), "{error}");
    let error = fails(&[&search[..], &[text(&at("docs.bin")), "--vector-field", "v"]].concat(), 2);
    assert!(error.contains("--vector-field") && error.contains("JSON lines"), "{error}");
    let (new, given) = (at("new"), at("docs.bin"));
    let build = ["index", text(&given), "--out", text(&new)];
    let error = fails(&[&build[..], &["--tokens"]].concat(), 2);
    assert!(error.contains("token embeddings are made of texts"), "{error}");
    let error = fails(&[&build[..], &["--vector-field", "v"]].concat(), 2);
    assert!(error.contains("--vector-field"), "{error}");
    assert!(!new.exists(), "nothing was begun");
}
