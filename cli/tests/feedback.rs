//! Feedback on the command line: what is printed, what is refused, and runs that are composed of others.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{fails, ok, text};
use serde_json::Value;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../datasets/sample");

/// An index of the sample.
fn indexed(dir: &Path) -> PathBuf {
    let index = dir.join("ix");
    ok(&["index", SAMPLE, "--out", text(&index)]);
    index
}

#[test]
fn a_search_tells_its_new_query() {
    let dir = tempfile::tempdir().unwrap();
    let index = indexed(dir.path());
    let search = |more: &[&str]| {
        ok(&[&["search", text(&index), "why does bread go stale", "-k", "3"][..], more].concat())
    };
    let plain = search(&[]);
    assert_eq!(search(&["--feedback", "after", "--feedback-depth", "0"]), plain);
    let fed = search(&["--feedback", "after", "--explain"]);
    let first = fed.lines().next().unwrap();
    assert!(first.starts_with("new query, sparse: "), "{fed}");
    assert!(first.contains("bread ") && first.contains("; +"), "{fed}");
    let of = fed.lines().nth(1).unwrap();
    assert!(of.starts_with("     of: bread-05, ") && of.split(", ").count() == 3, "{fed}");
    let words = ["--feedback", "after", "--channel", "bm25", "--explain", "--feedback-terms", "4"];
    let words = search(&words);
    let terms = words.lines().next().unwrap();
    assert!(terms.starts_with("new query, bm25: "), "{words}");
    assert!((1..=4).contains(&terms.matches('+').count()), "{words}");
    assert_eq!(words.lines().nth(1).unwrap().split(", ").count(), 10, "{words}");

    let both = ["--channel", "sparse,bm25", "--feedback", "both", "--explain", "--json"];
    let answer: Value = serde_json::from_str(&search(&both)).unwrap();
    let expanded = answer["expanded"].as_array().unwrap();
    assert_eq!(expanded.len(), 2, "{answer}");
    let ids = |at: usize| expanded[at]["documents"].as_array().unwrap().clone();
    assert_eq!(ids(0)[..], ids(1)[..3]);
    assert!(answer["timings_us"]["second_search"].as_u64().unwrap() > 0, "{answer}");
    let before = [
        "--channel",
        "sparse,bm25",
        "--feedback",
        "before",
        "--feedback-channels",
        "sparse",
        "--feedback-weight",
        "0.4",
        "--json",
    ];
    let answer: Value = serde_json::from_str(&search(&before)).unwrap();
    assert!(answer.get("expanded").is_none(), "{answer}");
    assert!(answer["hits"][0]["scores"].get("bm25").is_none(), "{answer}");
}

#[test]
fn what_does_not_apply_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let index = indexed(dir.path());
    let search = |more: &[&str]| fails(&[&["search", text(&index), "bread"][..], more].concat(), 2);
    for (more, says) in [
        (&["--feedback-depth", "3"][..], "--feedback after"),
        (&["--feedback-weight", "0.3"], "--feedback after"),
        (&["--feedback", "before"], "--feedback before"),
        (&["--feedback", "both"], "--feedback both"),
        (&["--feedback", "after", "--channel", "maxsim"], "sparse, bm25 and dense can"),
        (&["--feedback", "after", "--feedback-channels", "bm25"], "not searched"),
        (&["--feedback", "after", "--feedback-channels", "sparse,sparse"], "twice"),
        (&["--feedback", "after", "--feedback-depth", "101"], "0 to 100"),
        (&["--feedback", "after", "--feedback-terms", "1001"], "1 to 1000"),
        (&["--feedback", "after", "--feedback-terms", "0"], "--feedback-terms"),
        (&["--feedback", "after", "--feedback-weight", "1.1"], "0 to 1"),
        (&["--feedback", "after", "--feedback-weight", "NaN"], "0 to 1"),
        (&["--feedback", "after", "--feedback-weight", "x"], "0.3"),
        (&["--feedback", "after", "--feedback-weight", "bm25=0.3"], "not fed back"),
        (&["--feedback", "after", "--feedback-weight", "sparse=0.3,sparse=0.2"], "two weights"),
        (&["--channel", "sparse,bm25", "--feedback", "before"], "name that one"),
        (
            &["--channel", "sparse,bm25", "--feedback", "after", "--feedback-weight", "0.3"],
            "name each",
        ),
        (
            &["--channel", "sparse,bm25", "--weights", "bm25=0", "--feedback", "both"],
            "--feedback both",
        ),
    ] {
        let error = search(more);
        assert!(error.contains(says), "{more:?}: {error}");
    }
    fails(&["eval", "--run", "a", "--qrels", "b", "--feedback", "after"], 2);
    fails(&["eval", "--run", "a", "--qrels", "b", "--feedback-depth", "3"], 2);
    fails(&["eval", text(&index), "--sets", SAMPLE, "--feedback", "after"], 2);
    let words = dir.path().join("words");
    ok(&["index", SAMPLE, "--out", text(&words), "--channel", "bm25"]);
    ok(&["search", text(&words), "bread", "--channel", "bm25", "--feedback", "after"]);
}

/// The table of conditions, and its runs: each is what a search with that condition writes.
#[test]
fn conditions_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let index = indexed(dir.path());
    let runs = dir.path().join("runs");
    let eval = ["eval", text(&index), "--collection", SAMPLE, "--measures", "nDCG@10,R@100"];
    let all = [&eval[..], &["--channel", "sparse,bm25", "--conditions", text(&runs)]].concat();
    let table = ok(&all);
    let names: Vec<&str> =
        table.lines().map(|line| line.split("  ").next().unwrap().trim()).collect();
    let wanted = [
        "condition",
        "none",
        "before sparse",
        "before bm25",
        "after sparse",
        "after bm25",
        "after sparse+bm25",
        "both sparse",
        "both bm25",
        "both sparse+bm25",
        "queries",
    ];
    assert_eq!(names, wanted, "{table}");
    for (name, more) in [
        ("none", &[][..]),
        ("before-sparse", &["--feedback", "before", "--feedback-channels", "sparse"]),
        ("after-bm25", &["--feedback", "after", "--feedback-channels", "bm25"]),
        ("both-sparse+bm25", &["--feedback", "both"]),
    ] {
        let path = dir.path().join(format!("{name}.run"));
        let one = ["--channel", "sparse,bm25", "--run", text(&path)];
        let printed = ok(&[&eval[..], &one, more].concat());
        let columns = |text: &str| -> Vec<String> {
            let columns = |line: &str| line.split(' ').take(5).collect::<Vec<_>>().join(" ");
            text.lines().map(columns).collect()
        };
        let run = fs::read_to_string(runs.join(format!("{name}.run"))).unwrap();
        assert_eq!(columns(&run), columns(&fs::read_to_string(path).unwrap()), "{name}");
        let row = table.lines().find(|line| line.starts_with(&name.replace('-', " "))).unwrap();
        let mean = printed.lines().next().unwrap().split_whitespace().nth(1).unwrap();
        assert!(row.contains(mean), "{row} {printed}");
    }
    // Runs are not replaced unless that is wanted; one channel has fewer conditions.
    fails(&all, 5);
    let one = [&eval[..], &["--conditions", text(&runs), "--overwrite", "--json"]].concat();
    let report: Value = serde_json::from_str(&ok(&one)).unwrap();
    let rows = report["conditions"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{report}");
    assert_eq!(rows[1]["condition"], "after");
    assert!(rows[1]["measures"]["nDCG@10"]["p"].is_number(), "{report}");
    for more in [
        &["--feedback", "after"][..],
        &["--feedback-depth", "0", "--overwrite"],
        &["--feedback-weight", "bm25=0.3", "--overwrite"],
        &["--run", "x"],
    ] {
        fails(&[&eval[..], &["--conditions", text(&runs)], more].concat(), 2);
    }
    fails(&["eval", "--run", "a", "--qrels", "b", "--conditions", "c"], 2);
    let file = fails(
        &[&eval[..], &["--channel", "sparse,bm25", "--conditions", text(&index.join("CURRENT"))]]
            .concat(),
        1,
    );
    assert!(file.contains("takes a folder"), "{file}");
}

/// A query that is a document itself does not feed on itself.
#[test]
fn what_is_ignored_does_not_feed_back() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let corpus = "{\"_id\":\"q\",\"text\":\"glacier glacier ice moves\"}\n\
        {\"_id\":\"a\",\"text\":\"glacier rock\"}\n{\"_id\":\"b\",\"text\":\"rock slides\"}\n\
        {\"_id\":\"c\",\"text\":\"ice moves slowly here\"}\n";
    let more: String =
        (0..40).map(|n| format!("{{\"_id\":\"x{n}\",\"text\":\"word{n}\"}}\n")).collect();
    fs::write(at("corpus.jsonl"), format!("{corpus}{more}")).unwrap();
    fs::write(at("queries.jsonl"), "{\"_id\":\"q\",\"text\":\"glacier\"}\n").unwrap();
    fs::create_dir(at("qrels")).unwrap();
    fs::write(at("qrels/test.tsv"), "query-id\tcorpus-id\tscore\nq\tb\t1\n").unwrap();
    ok(&["index", text(&at("corpus.jsonl")), "--out", text(&at("ix")), "--channel", "bm25"]);
    let eval = |ignore: &str| {
        let run = at(&format!("{ignore}.run"));
        let args = ["eval", text(&at("ix")), "--collection", text(dir.path()), "--channel", "bm25"]
            .map(str::to_owned);
        let more = ["--feedback", "after", "--feedback-depth", "1", "--run", text(&run)]
            .map(str::to_owned);
        let all: Vec<String> = args
            .into_iter()
            .chain(more)
            .chain([format!("--ignore-identical-ids={ignore}")])
            .collect();
        ok(&all.iter().map(String::as_str).collect::<Vec<_>>());
        fs::read_to_string(run).unwrap()
    };
    // The query's own document would bring `ice` and `moves`; the other one brings `rock`.
    let own = eval("false");
    assert!(own.contains(" c ") && !own.contains(" b "), "{own}");
    let without = eval("true");
    assert!(
        without.contains(" b ") && !without.contains(" c ") && !without.contains(" q "),
        "{without}"
    );
}

/// The documents that feed back, of an answer in JSON.
fn fed_by(answer: &str) -> Vec<Value> {
    let answer: Value = serde_json::from_str(answer).unwrap();
    answer["expanded"][0]["documents"].as_array().unwrap().clone()
}

#[test]
fn documents_feed_back_as_they_are_reranked() {
    let dir = tempfile::tempdir().unwrap();
    let index = indexed(dir.path());
    ok(&["tokens", "add", text(&index)]);
    let search = ["search", text(&index), "why does bread go stale", "--json"];
    for channel in ["sparse", "bm25", "sparse,bm25"] {
        let on = [&search[..], &["--channel", channel, "--rerank"]].concat();
        let plain: Value = serde_json::from_str(&ok(&[&on[..], &["-k", "10"]].concat())).unwrap();
        let hits = plain["hits"].as_array().unwrap();
        let fed = ok(&[&on[..], &["--feedback-from", "reranked", "--explain"]].concat());
        let by = fed_by(&fed);
        assert!(by.len() >= 3, "{channel}: {fed}");
        let best: Vec<Value> = hits.iter().take(3).map(|hit| hit["id"].clone()).collect();
        assert_eq!(by[..3], best[..], "{channel}: {fed}");
        let fed: Value = serde_json::from_str(&fed).unwrap();
        assert!(fed["hits"][0]["scores"]["rerank"].is_number(), "the second round is reranked");
        assert!(fed["timings_us"]["second_search"].as_u64().unwrap() > 0, "{fed}");
    }
    // The same by names of conditions, and in batches.
    let from = |more: &[&str]| ok(&[&search[..], &["-k", "3", "--explain"], more].concat());
    let own = ["--channel", "sparse,bm25", "--feedback-from", "own"];
    let after = ["--channel", "sparse,bm25", "--feedback", "after"];
    assert_eq!(fed_by(&from(&own)), fed_by(&from(&after)));
    let fused = ["--channel", "sparse,bm25", "--feedback-from", "fused"];
    let both = ["--channel", "sparse,bm25", "--feedback", "both"];
    assert_eq!(fed_by(&from(&fused)), fed_by(&from(&both)));
    let eval = [
        "eval",
        text(&index),
        "--collection",
        SAMPLE,
        "--rerank",
        "--depth",
        "20",
        "--json",
        "--only",
        "1-12",
        "--measures",
        "nDCG@10",
        "--no-exhaustive",
    ];
    let value = |more: &[&str]| -> Value {
        serde_json::from_str(&ok(&[&eval[..], more].concat())).unwrap()
    };
    let plain = value(&[]);
    let reranked = value(&["--feedback-from", "reranked"]);
    let found = value(&["--feedback", "after"]);
    let first = |of: &Value| of["first_stage"]["nDCG@10"].as_f64().unwrap();
    assert_ne!(first(&reranked), first(&plain));
    assert_ne!(reranked["reranked"], found["reranked"]);
}

#[test]
fn a_ranking_that_does_not_feed_back_is_refused() {
    let refused = |more: &[&str], says: &str| {
        let error = fails(&[&["search", "ix", "x"][..], more].concat(), 2);
        assert!(error.contains(says), "{more:?}: {error}");
    };
    refused(&["--feedback-from", "reranked"], "add --rerank");
    refused(&["--feedback-from", "reranked", "--feedback", "after"], "add --rerank");
    let two = ["--channel", "sparse,bm25", "--rerank"];
    let after = [&two[..], &["--feedback-from", "reranked", "--feedback", "after"]].concat();
    refused(&after, "--feedback-from reranked does not go with --feedback after");
    let own = [&two[..], &["--feedback-from", "own", "--feedback", "both"]].concat();
    refused(&own, "--feedback-from own does not go with --feedback both");
    let fused = [&two[..], &["--feedback-from", "fused", "--feedback", "after"]].concat();
    refused(&fused, "--feedback-from fused does not go with --feedback after");
    refused(&["--feedback-from", "fused"], "several channels");
}

/// Of a document split into passages the best one feeds back, and no document feeds back twice.
#[test]
fn passages_feed_back() {
    let dir = tempfile::tempdir().unwrap();
    let (corpus, index) = (dir.path().join("corpus.jsonl"), dir.path().join("ix"));
    let ice = "The glacier carries a moraine of stones down to the valley. ".repeat(6);
    let stars = "Telescopes show distant stars in the night sky. ".repeat(40);
    let mut lines = format!("{{\"_id\":\"a\",\"text\":\"{stars}{ice}{stars}\"}}\n");
    for n in 0..40 {
        lines += &format!("{{\"_id\":\"x{n}\",\"text\":\"The number {n} of many.\"}}\n");
    }
    lines += "{\"_id\":\"b\",\"text\":\"A glacier is ice.\"}\n";
    fs::write(&corpus, lines).unwrap();
    ok(&["index", text(&corpus), "--out", text(&index), "--passages", "48"]);
    for channel in ["sparse", "bm25"] {
        let search = ["search", text(&index), "glacier", "--feedback", "after", "--explain"];
        let found = ok(&[&search[..], &["--channel", channel, "-k", "2"]].concat());
        let (query, of) = found.split_once('\n').unwrap();
        let of = of.lines().next().unwrap();
        assert_eq!(of.matches("a, b").count() + of.matches("b, a").count(), 1, "{found}");
        assert!(query.contains("stone"), "{found}");
        if channel == "bm25" {
            assert!(query.contains("+morain") && !query.contains("telescop"), "{found}");
        }
    }
}
