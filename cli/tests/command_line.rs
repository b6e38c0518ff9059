//! The command line as a user meets it: results, messages and exit codes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::fs;

use common::{fails, ok, quarry, queries, text, vectors};

#[test]
fn index_search_and_inspect() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    vectors(&at("docs.jsonl"), 500, 1);
    queries(&at("queries.jsonl"));
    let (input, index, queries) = (at("docs.jsonl"), at("index"), at("queries.jsonl"));
    let message = ok(&["index", text(&input), "--out", text(&index)]);
    assert!(message.contains("generation 1, 500 documents"), "{message}");
    let inspected = ok(&["inspect", text(&index)]);
    assert!(inspected.contains("documents   500") && inspected.contains("forward"), "{inspected}");
    let json: serde_json::Value =
        serde_json::from_str(&ok(&["inspect", text(&index), "--json"])).unwrap();
    assert_eq!(json["manifest"]["segments"][0]["documents"], 500);

    let run = ok(&["search", text(&index), "--queries", text(&queries), "-k", "7"]);
    assert_eq!(run.lines().count(), 20 * 7);
    let first: Vec<&str> = run.lines().next().unwrap().split(' ').collect();
    assert_eq!((first[0], first[1], first[3], first[5]), ("q0", "Q0", "1", "quarry-sparse"));
    let words = ok(&["search", text(&index), "text 33", "--channel", "bm25", "-k", "3"]);
    assert!(words.starts_with("  1. "), "{words}");

    let again = fails(&["index", text(&input), "--out", text(&index)], 5);
    assert!(again.contains("--overwrite"), "{again}");
    ok(&["index", text(&input), "--out", text(&index), "--overwrite"]);
    let json: serde_json::Value =
        serde_json::from_str(&ok(&["inspect", text(&index), "--json"])).unwrap();
    assert_eq!(json["manifest"]["generation"], 2);
}

#[test]
fn what_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let nowhere = at("nowhere");
    let message = fails(&["inspect", text(&nowhere)], 3);
    assert!(message.contains("no such folder"), "{message}");
    fails(&["search", text(&nowhere), "a question"], 3);
    fails(&["index", text(&nowhere), "--out", text(&at("index"))], 4);
    fails(&["search"], 2);
    fails(&["frobnicate"], 2);

    fs::create_dir(at("home")).unwrap();
    fs::write(at("home/precious.txt"), "mine").unwrap();
    vectors(&at("docs.jsonl"), 10, 1);
    let message =
        fails(&["index", text(&at("docs.jsonl")), "--out", text(&at("home")), "--overwrite"], 5);
    assert!(message.contains("precious.txt") && message.contains("choose another"), "{message}");
    assert_eq!(fs::read_to_string(at("home/precious.txt")).unwrap(), "mine");
}

#[test]
fn bad_records_are_named_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let index = at("index");
    let refused = |lines: &str| {
        fs::write(at("docs.jsonl"), lines).unwrap();
        fails(&["index", text(&at("docs.jsonl")), "--out", text(&index), "--overwrite"], 4)
    };
    let good = "{\"id\":\"a\",\"vector\":{\"x\":1}}\n";
    let message = refused(&format!("{good}{{\"id\":\"b\",\"vector\":{{\"x\":-1}}}}\n"));
    assert!(message.contains("docs.jsonl") && message.contains('2'), "{message}");
    let message = refused(&format!("{good}{{\"id\":\"a\",\"vector\":{{\"x\":2}}}}\n"));
    for part in ["docs.jsonl, line 2", "line 1", "\"a\""] {
        assert!(message.contains(part), "{message}");
    }
    let message = refused(&format!("{good}not json\n"));
    assert!(message.contains('2'), "{message}");
    let message = refused(&format!("{good}{{\"id\":\"b\",\"text\":\"no vector\"}}\n"));
    assert!(message.contains("has no vector"), "{message}");
}

#[test]
fn evaluation_of_runs() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("run"), "q1 Q0 a 1 2.0 t\nq1 Q0 b 2 1.0 t\n").unwrap();
    fs::write(at("other"), "q1 Q0 b 1 2.0 t\nq2 Q0 c 1 1.0 t\n").unwrap();
    fs::write(at("qrels"), "q1 0 b 1\nq2 0 c 1\n").unwrap();
    let (run, other, qrels) = (at("run"), at("other"), at("qrels"));
    let args = ["eval", "--run", text(&run), "--qrels", text(&qrels), "--measures", "RR@10,R@10"];
    let out = ok(&args);
    assert!(out.contains("RR@10    0.2500") && out.contains("R@10     0.5000"), "{out}");
    let json = ok(&[args.as_slice(), &["--json", "--compare", text(&other)]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json.as_object().unwrap().keys().next().unwrap(), "RR@10");
    assert_eq!((json["RR@10"].as_f64(), json["unanswered"].as_u64()), (Some(0.25), Some(1)));
    assert_eq!(json["compared"]["RR@10"]["mean"], 1.0);
}

#[test]
fn json_answers_and_completions() {
    let folder = tempfile::tempdir().unwrap();
    let demo = folder.path().join("demo");
    let shown = ok(&["demo", "--out", text(&demo)]);
    assert!(shown.contains("\nreranked ") && shown.contains("matched:"), "{shown}");
    let index = demo.join("index");
    let answer =
        ok(&["search", text(&index), "why does bread go stale", "--json", "--explain", "-k", "2"]);
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let hit = &answer["hits"][0];
    assert_eq!(hit["id"], "bread-05");
    let sum: f64 = hit["matched"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["contribution"].as_f64().unwrap())
        .sum();
    assert!((sum - hit["score"].as_f64().unwrap()).abs() < 1e-6, "{answer}");
    for shell in ["bash", "zsh", "fish"] {
        assert!(ok(&["completions", shell]).contains("quarry"));
    }
}

#[test]
fn encoded_vectors_can_be_indexed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(
        at("corpus.jsonl"),
        "{\"_id\":\"1\",\"title\":\"Bees\",\"text\":\"make honey\"}\n{\"_id\":\"2\",\"text\":\"\"}\n\
         {\"_id\":\"3\",\"text\":\"glaciers move slowly\"}\n",
    )
    .unwrap();
    let (corpus, encoded, index) = (at("corpus.jsonl"), at("vectors.jsonl"), at("index"));
    ok(&["encode", text(&corpus), "--out", text(&encoded)]);
    assert_eq!(fs::read_to_string(&encoded).unwrap().lines().count(), 3);
    fails(&["encode", text(&corpus), "--out", text(&encoded)], 5);
    ok(&["index", text(&encoded), "--out", text(&index)]);
    fs::write(at("q.tsv"), "q\twhat moves slowly\n").unwrap();
    let (q, vectors) = (at("q.tsv"), at("q.jsonl"));
    ok(&["encode", text(&q), "--out", text(&vectors), "--queries"]);
    let run = ok(&["search", text(&index), "--queries", text(&vectors)]);
    assert!(run.starts_with("q Q0 3 1 "), "{run}");
    let message = fails(&["search", text(&index), "what moves"], 1);
    assert!(message.contains("no query encoder"), "{message}");
}

#[test]
fn long_documents_are_found_by_their_best_passage() {
    let folder = tempfile::tempdir().unwrap();
    let (corpus, index) = (folder.path().join("corpus.jsonl"), folder.path().join("index"));
    let about = |word: &str| format!("{word} are what this sentence speaks of. ").repeat(12);
    let long = format!("{}{}{}", about("glaciers"), about("volcanoes"), about("beetles"));
    let records = format!(
        "{{\"_id\":\"long\",\"title\":\"Nature\",\"text\":\"{long}\"}}\n\
         {{\"_id\":\"short\",\"text\":\"beetles\"}}\n{{\"_id\":\"none\",\"text\":\"\"}}\n"
    );
    fs::write(&corpus, records).unwrap();
    let build = ["index", text(&corpus), "--out", text(&index), "--passages", "64"];
    let said = ok(&build);
    assert!(said.contains("3 documents in ") && said.contains(" components a passage"), "{said}");
    for (question, ordinals) in [("glaciers", 0..2), ("volcanoes", 2..5), ("beetles", 4..9)] {
        for channel in ["sparse", "bm25"] {
            let asked = ["search", text(&index), question, "--channel", channel, "--json"];
            let answer = ok(&[&asked[..], &["--fields", "text"]].concat());
            let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
            let hits = answer["hits"].as_array().unwrap();
            assert!(hits.iter().filter(|h| h["id"] == "long").count() == 1, "{answer}");
            let hit = hits.iter().find(|h| h["id"] == "long").unwrap();
            let ordinal = hit["passage"]["ordinal"].as_u64().unwrap();
            assert!(ordinals.contains(&ordinal), "{question}, {channel}: {answer}");
            let at = |side: &str| usize::try_from(hit["passage"][side].as_u64().unwrap()).unwrap();
            assert_eq!(hit["fields"]["text"], long[at("start")..at("end")]);
        }
    }
    let shown = ok(&["search", text(&index), "volcanoes", "-k", "1"]);
    assert!(shown.contains("long [passage "), "{shown}");
    let message = fails(&["index", text(&corpus), "--out", text(&index), "--passages", "9"], 2);
    assert!(message.contains("16 to 256"), "{message}");
    let bm25 = folder.path().join("bm25");
    let words = ["index", text(&corpus), "--out", text(&bm25), "--channel", "bm25"];
    let message = fails(&[&words[..], &["--passages", "64"]].concat(), 2);
    assert!(message.contains("a model encodes"), "{message}");
}

#[test]
fn an_index_is_changed_and_filtered() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let record = |id: &str, text: &str, year: u32| {
        format!("{{\"_id\":\"{id}\",\"text\":\"{text}\",\"year\":{year},\"topic\":\"ice\"}}\n")
    };
    let first = record("1", "glaciers move slowly", 1998) + &record("2", "bees make honey", 1999);
    fs::write(at("a.jsonl"), first).unwrap();
    let second = record("3", "glaciers carry stones", 2003)
        + &record("1", "glaciers are melting", 2004)
        + &record("3", "glaciers carve valleys", 2005);
    fs::write(at("b.jsonl"), second).unwrap();
    let (a, b, index) = (at("a.jsonl"), at("b.jsonl"), at("index"));
    ok(&["index", text(&a), "--out", text(&index), "--max-tokens", "64"]);
    let said = ok(&["add", text(&index), text(&b), "--json", "--duplicates", "last"]);
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&report["added"], &report["replaced"], &report["repeated"]),
        (&2.into(), &1.into(), &1.into())
    );
    let found = |more: &[&str]| {
        let asked = ["search", text(&index), "glaciers", "--json", "--fields", "text,year"];
        let answer: serde_json::Value =
            serde_json::from_str(&ok(&[&asked[..], more].concat())).unwrap();
        let hits = answer["hits"].as_array().unwrap().clone();
        let mut found: Vec<String> = hits
            .iter()
            .map(|h| format!("{} {}", h["id"].as_str().unwrap(), h["fields"]["year"]))
            .collect();
        found.sort();
        found
    };
    for channel in ["sparse", "bm25"] {
        let within = |more: &[&str]| found(&[&["--channel", channel], more].concat());
        assert_eq!(within(&[]), ["1 2004", "3 2005"]);
        assert_eq!(within(&["--filter", "year:[2000 TO 2004] AND topic:ice"]), ["1 2004"]);
        assert!(within(&["--filter", "year:1998"]).is_empty());
    }
    let message = fails(&["search", text(&index), "glaciers", "--filter", "colour:red"], 1);
    assert!(message.contains("no document has a field `colour`"), "{message}");
    let said = ok(&["delete", text(&index), "3", "nobody"]);
    assert!(said.contains("1 document deleted"), "{said}");
    assert_eq!(found(&[]), ["1 2004"]);
    let said = ok(&["merge", text(&index)]);
    assert!(said.contains("2 segments merged, 2 deleted rows dropped"), "{said}");
    assert_eq!(found(&[]), ["1 2004"]);
    assert!(ok(&["merge", text(&index)]).contains("nothing to merge"));
    // Vectors of another kind, or texts cut elsewhere, do not fit.
    let other = ["add", text(&index), text(&b), "--max-tokens", "32", "--duplicates", "last"];
    let message = fails(&other, 5);
    assert!(message.contains("built with the encoder"), "{message}");
    let message = fails(&["add", text(&at("nowhere")), text(&b)], 3);
    assert!(message.contains("no index"), "{message}");
}

#[test]
fn all_collections_of_a_folder_in_one_table() {
    let folder = tempfile::tempdir().unwrap();
    let (root, dir) = (folder.path().join("beir"), folder.path().join("indexes"));
    for (name, word) in [("bees", "honey"), ("ice", "glaciers")] {
        let at = root.join(name);
        fs::create_dir_all(at.join("qrels")).unwrap();
        let corpus = format!(
            "{{\"_id\":\"1\",\"text\":\"all about {word}\"}}\n{{\"_id\":\"2\",\"text\":\"nothing of it\"}}\n"
        );
        fs::write(at.join("corpus.jsonl"), corpus).unwrap();
        let query = format!("{{\"_id\":\"q\",\"text\":\"{word}\"}}\n");
        fs::write(at.join("queries.jsonl"), query).unwrap();
        let qrels = "query-id\tcorpus-id\tscore\nq\t1\t1\n";
        fs::write(at.join("qrels/test.tsv"), qrels).unwrap();
    }
    fs::create_dir(root.join("no-collection")).unwrap();
    let asked = ["eval", text(&dir), "--sets", text(&root)];
    let shown = ok(&[&asked[..], &["--measures", "RR@10,R@100"]].concat());
    let rows: Vec<Vec<&str>> = shown.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["RR@10", "bm25", "sparse", "reranked", "queries"]);
    assert_eq!(rows[1], ["bees", "1.0000", "1.0000", "1.0000", "1"]);
    assert_eq!(rows[2], ["ice", "1.0000", "1.0000", "1.0000", "1"]);
    assert_eq!(rows[3], ["mean", "1.0000", "1.0000", "1.0000"]);
    assert_eq!(rows[5][0], "R@100");
    let run = fs::read_to_string(dir.join("runs/ice.sparse.trec")).unwrap();
    assert!(run.starts_with("q Q0 1 1 "), "{run}");
    // The second time the indexes are there.
    let json: serde_json::Value =
        serde_json::from_str(&ok(&[&asked[..], &["--json"]].concat())).unwrap();
    assert_eq!(json["ice"]["bm25"]["nDCG@10"], 1.0);
    let message = fails(&["eval", text(&dir), "--sets", text(&dir)], 1);
    assert!(message.contains("no folder with a corpus.jsonl"), "{message}");
    fails(&[&asked[..], &["--only", "1-2"]].concat(), 2);
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    vectors(&at("docs.jsonl"), 2_000, 1);
    queries(&at("queries.jsonl"));
    let index = at("index");
    ok(&["index", text(&at("docs.jsonl")), "--out", text(&index)]);
    let queries = at("queries.jsonl");
    let mut child = quarry(&["search", text(&index), "--queries", text(&queries), "-k", "1000"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

/// From an index that keeps it to the words of a hit, through adding and merging; where it is not kept,
/// nothing is said of it.
#[test]
fn hits_name_the_words_that_matched() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let corpus = "{\"_id\":\"1\",\"title\":\"Photosynthesis\",\"text\":\"Plants turn sunlight, water and \
         carbon dioxide into sugar.\"}\n{\"_id\":\"2\",\"text\":\"Glaciers carve valleys.\"}\n";
    fs::write(at("corpus.jsonl"), corpus).unwrap();
    fs::write(at("more.jsonl"), "{\"_id\":\"3\",\"text\":\"Bees make honey from nectar.\"}\n")
        .unwrap();
    let (input, index, more) = (at("corpus.jsonl"), at("index"), at("more.jsonl"));
    ok(&["index", text(&input), "--out", text(&index), "--provenance"]);
    // As it was built, without being told.
    ok(&["add", text(&index), text(&more)]);
    let explained = |question: &str| {
        let args = ["search", text(&index), question, "--json", "--explain", "-k", "1"];
        let answer: serde_json::Value = serde_json::from_str(&ok(&args)).unwrap();
        answer["hits"][0].clone()
    };
    let check = || {
        let hit = explained("how do plants use sunlight");
        assert_eq!(hit["id"], "1");
        let of = |token: &str| {
            let matched = hit["matched"].as_array().unwrap().iter().find(|m| m["token"] == token);
            matched.unwrap()["origin"].clone()
        };
        let word = &of("sunlight");
        assert_eq!((&word["word"], &word["field"]), (&"sunlight".into(), &"text".into()), "{hit}");
        assert_eq!(
            (&word["start"], &word["end"], &word["pooled_by"]),
            (&12.into(), &20.into(), &"max".into())
        );
        let hit = explained("where does honey come from");
        assert_eq!(
            (&hit["id"], &hit["matched"][0]["origin"]["word"]),
            (&"3".into(), &"honey".into())
        );
    };
    check();
    let shown = ok(&["search", text(&index), "sunlight", "--explain", "-k", "1"]);
    assert!(shown.contains("from \"sunlight\" (token "), "{shown}");
    ok(&["merge", text(&index)]);
    check();
    let inspected = ok(&["inspect", text(&index)]);
    assert!(inspected.contains("provenance  3 rows"), "{inspected}");

    let plain = at("plain");
    ok(&["index", text(&input), "--out", text(&plain)]);
    let shown = ok(&["search", text(&plain), "sunlight", "--explain", "-k", "1"]);
    assert!(shown.contains("matched: ") && !shown.contains("from "), "{shown}");
    vectors(&at("docs.jsonl"), 10, 1);
    let message =
        fails(&["index", text(&at("docs.jsonl")), "--out", text(&at("other")), "--provenance"], 2);
    assert!(message.contains("no model encodes"), "{message}");
}
