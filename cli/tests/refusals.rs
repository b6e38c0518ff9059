//! What is refused, with which exit code, and what is left behind: values of options, combinations, and inputs
//! that do not belong together.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::fs;
use std::path::Path;

use common::{fails, names, ok, quarry, queries, said, text, vectors};

fn notes(args: &[&str]) -> String {
    let output = quarry(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    said(&output)
}

/// Values that no index is needed to refuse, or that are refused before anything is written: exit code 2.
#[test]
fn values_and_combinations_that_are_never_right() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    vectors(&at("docs.jsonl"), 30, 1);
    queries(&at("queries.jsonl"));
    fs::write(at("texts.jsonl"), "{\"_id\":\"a\",\"text\":\"granite\"}\n").unwrap();
    fs::write(at("vocab"), "a\nb\n").unwrap();
    fs::write(at("run"), "q0 Q0 d1 1 1 t\n").unwrap();
    fs::write(at("qrels"), "q0 0 d1 1\n").unwrap();
    let (docs, texts, index, out) =
        (at("docs.jsonl"), at("texts.jsonl"), at("index"), at("not-written"));
    ok(&["index", text(&docs), "--out", text(&index), "--no-tune"]);
    let (queries, vocab, run, qrels) = (at("queries.jsonl"), at("vocab"), at("run"), at("qrels"));
    let build = ["index", text(&docs), "--out", text(&out)];
    let encoding = ["index", text(&texts), "--out", text(&out)];
    let encode = ["encode", text(&texts), "--out", text(&out)];
    let search = ["search", text(&index), "--queries", text(&queries)];
    let one = ["search", text(&index), "granite"];
    let eval = ["eval", text(&index), "--queries", text(&queries), "--qrels", text(&qrels)];
    let export = ["export", text(&index), "--out", text(&out)];
    let serve = ["serve", text(&index), "--listen", "127.0.0.1:0"];
    let cases: &[(&[&str], &[&str])] = &[
        (&build, &["--memory", "1"]),
        (&build, &["--scale", "0"]),
        (&build, &["--scale", "nan"]),
        (&build, &["--lists", "seismic", "--n-postings", "0"]),
        (&build, &["--lists", "seismic", "--summary-energy", "0"]),
        (&build, &["--lists", "clusters", "--cluster-size", "0"]),
        (&build, &["--lists", "auto,impact"]),
        (&build, &["--field", "x:integer", "--field", "x:float"]),
        (&build, &["--model", "m"]),
        (&build, &["--provenance"]),
        (&build, &["--passages", "64"]),
        (&build, &["--doc-ids", text(&vocab)]),
        (&encoding, &["--passages", "9"]),
        (&encoding, &["--passages", "64", "--passage-overlap", "33"]),
        (&encoding, &["--max-tokens", "1"]),
        (&encoding, &["--texts", text(&texts)]),
        (&encode, &["--max-tokens", "1"]),
        (&encode, &["--queries", "--duplicates", "last"]),
        (&search, &["--overlap", "0"]),
        (&search, &["--overlap", "1.5"]),
        (&search, &["--method", "seismic", "--heap-factor", "0"]),
        (&search, &["--channel", "bm25", "--k1", "-1"]),
        (&search, &["--channel", "bm25", "--b", "2"]),
        (&search, &["--query-scale", "0"]),
        (&search, &["--vocab", text(&vocab)]),
        (&search, &["--channel", "bm25", "--vocab", text(&vocab)]),
        (&search, &["--channel", "maxsim", "--filter", "x:1"]),
        (&search, &["--channel", "maxsim", "--rerank"]),
        (&search, &["--rerank", "--form", "fp16", "--device", "cuda"]),
        (&search, &["--rerank", "--device", "cpu", "--device-memory", "1GiB"]),
        (&search, &["--rerank", "--alpha", "many"]),
        (&one, &["--vocab", text(&vocab)]),
        (&one, &["--json", "--channel", "maxsim"]),
        (&one, &["--json", "--channel", "bm25", "--k1", "2"]),
        (&eval, &["--measures", "nonsense@10"]),
        (&eval, &["--only", "99-100"]),
        (&eval, &["--only", "2-3"]),
        (&eval, &["--channel", "bm25", "--against-exact", "10"]),
        (&["eval", text(&index), "--qrels", text(&qrels)], &[]),
        (&["eval", text(&index), "--queries", text(&queries)], &[]),
        (&["eval", "--run", text(&run)], &[]),
        (&["eval", "--run", text(&run)], &["--collection", text(folder.path())]),
        (&export, &["--format", "csr", "--texts"]),
        (&export, &["--format", "ciff", "--queries", text(&queries)]),
        (&export, &["--format", "ciff", "--bits", "1"]),
        (&export, &["--format", "ciff", "--scale", "0"]),
        (&["merge", text(&index), text(&index)], &[]),
        (&["lists", text(&index), "--add", "seismic"], &["--n-postings", "0"]),
        (&["tune", text(&index), "--queries", text(&queries)], &["--most", "0"]),
        (&["add", text(&index), text(&docs)], &["--without-tokens"]),
        (&serve, &["--answer-bytes", "0"]),
        (&serve, &["--name", "a/b"]),
        (&serve, &["--device", "cpu", "--device-memory", "1GiB"]),
    ];
    for (command, options) in cases {
        let args = [*command, options].concat();
        let said = fails(&args, 2);
        assert!(said.contains("error:"), "{args:?}: {said}");
        assert!(!out.exists(), "{args:?}");
    }
    let said = fails(&["eval", "--run", text(&run), "--collection", text(folder.path())], 2);
    assert!(said.contains("--collection") && said.contains("--qrels"), "{said}");
    let said =
        fails(&["search", text(&index), "--queries", text(&queries), "--method", "impact"], 1);
    assert!(said.contains("`quarry lists DIR --add impact`"), "{said}");
}

/// A run, or queries, that have nothing to do with the judgements are no result of zero.
#[test]
fn judgements_of_other_queries_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    vectors(&at("docs.jsonl"), 30, 1);
    queries(&at("queries.jsonl"));
    fs::write(at("run"), "q0 Q0 d1 1 1 t\n").unwrap();
    fs::write(at("other"), "x0 Q0 d1 1 1 t\n").unwrap();
    fs::write(at("qrels"), "q0 0 d1 1\n").unwrap();
    fs::write(at("others"), "x1 0 d1 1\nx2 0 d2 1\n").unwrap();
    let (run, other, qrels, others) = (at("run"), at("other"), at("qrels"), at("others"));
    let said = fails(&["eval", "--run", text(&run), "--qrels", text(&others)], 4);
    assert!(said.contains("none of the 2 judged queries is among the queries of"), "{said}");
    ok(&["eval", "--run", text(&run), "--qrels", text(&qrels)]);
    let compared = ["eval", "--run", text(&run), "--qrels", text(&qrels), "--compare"];
    let said = fails(&[&compared[..], &[text(&other)]].concat(), 4);
    assert!(said.contains("the judged query is not among") && said.contains("other"), "{said}");
    let (docs, index, queries) = (at("docs.jsonl"), at("index"), at("queries.jsonl"));
    ok(&["index", text(&docs), "--out", text(&index), "--no-tune"]);
    let eval = ["eval", text(&index), "--queries", text(&queries), "--qrels"];
    fails(&[&eval[..], &[text(&others)]].concat(), 4);
    ok(&[&eval[..], &[text(&qrels)]].concat());
}

fn left_over(folder: &Path) -> Vec<String> {
    names(folder).into_iter().filter(|name| name.contains(".part")).collect()
}

#[test]
fn encode_refuses_an_id_twice_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let record = |id: &str, text: &str| format!("{{\"_id\":\"{id}\",\"text\":\"{text}\"}}\n");
    let twice = record("1", "bees") + &record("2", "ice") + &record("1", "honey");
    fs::write(at("docs.jsonl"), &twice).unwrap();
    let (docs, out) = (at("docs.jsonl"), at("out.jsonl"));
    let encode = ["encode", text(&docs), "--out", text(&out)];
    let said = fails(&encode, 4);
    for part in ["line 3", "line 1", "\"1\"", "--duplicates last"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(left_over(folder.path()).is_empty(), "{:?}", names(folder.path()));
    ok(&[&encode[..], &["--duplicates", "last"]].concat());
    let lines = fs::read_to_string(&out).unwrap();
    assert!(lines.lines().count() == 2 && lines.contains("honey"), "{lines}");
    fs::remove_file(&out).unwrap();
    fs::write(at("same.jsonl"), record("1", "bees") + &record("1", "bees")).unwrap();
    let same = at("same.jsonl");
    let said = notes(&["encode", text(&same), "--out", text(&out)]);
    assert!(said.contains("1 document was left out"), "{said}");
    assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), 1);
    fs::remove_file(&out).unwrap();

    // What is not there, and queries.
    fails(&["encode", text(&at("nowhere")), "--out", text(&out)], 4);
    fs::write(at("q.tsv"), "1\tbees\n2\tice\n1\thoney\n").unwrap();
    let said = fails(&["encode", text(&at("q.tsv")), "--queries", "--out", text(&out)], 4);
    assert!(said.contains("line 3") && said.contains("line 1"), "{said}");
    assert!(left_over(folder.path()).is_empty(), "{:?}", names(folder.path()));

    // A whole run of 1,024 is kept, for --resume.
    let many: String = (0..1100).map(|id| record(&format!("d{id}"), "ice")).collect();
    fs::write(at("docs.jsonl"), many.clone() + "not json\n").unwrap();
    fails(&encode, 4);
    assert_eq!(left_over(folder.path()), ["out.jsonl.part", "out.jsonl.part.json"]);
    fs::write(at("docs.jsonl"), many).unwrap();
    let said = notes(&[&encode[..], &["--resume"]].concat());
    assert!(said.contains("1,024 vectors were taken"), "{said}");
    assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), 1100);
}

#[test]
fn added_documents_get_the_lists_of_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    vectors(&at("docs.jsonl"), 50, 1);
    let (docs, plain, seismic) = (at("docs.jsonl"), at("plain"), at("seismic"));
    ok(&["index", text(&docs), "--out", text(&plain), "--no-tune"]);
    let lists = ["--lists", "seismic", "--n-postings", "100"];
    ok(&[&["index", text(&docs), "--out", text(&seismic), "--no-tune"][..], &lists].concat());
    let add = |index: &'static str| {
        move |folder: &Path| ["add".to_owned(), text(&folder.join(index)).to_owned()]
    };
    for (index, given, code) in [
        ("plain", &["--lists", "impact"][..], 5),
        ("plain", &["--lists", "none"], 0),
        ("plain", &[], 0),
        ("seismic", &["--lists", "impact"], 5),
        ("seismic", &["--lists", "seismic"], 5),
        ("seismic", &["--lists", "seismic", "--n-postings", "100"], 0),
        ("seismic", &["--lists", "none"], 5),
        ("seismic", &[], 0),
    ] {
        let words = add(index)(folder.path());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = quarry(&[&words[..], &[text(&docs)], given].concat()).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{index} {given:?}: {said}");
        assert!(code == 0 || said.contains("leave --lists out"), "{said}");
    }
}

#[test]
fn a_default_overlap_that_short_passages_cannot_have_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("docs.jsonl"), "{\"_id\":\"a\",\"text\":\"granite and marble\"}\n").unwrap();
    let (docs, index) = (at("docs.jsonl"), at("index"));
    let build = ["index", text(&docs), "--out", text(&index), "--overwrite", "--no-tune"];
    let said = notes(&[&build[..], &["--passages", "32"]].concat());
    assert!(said.contains("16 in place of the default 32"), "{said}");
    let said = notes(&[&build[..], &["--passages", "32", "--passage-overlap", "16"]].concat());
    assert!(!said.contains("in place of"), "{said}");
    let said = notes(&[&build[..], &["--passages", "64"]].concat());
    assert!(!said.contains("in place of"), "{said}");
}

/// What refuses the last collection is the error, and is not a note besides.
#[test]
fn a_refused_set_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let (root, dir) = (folder.path().join("beir"), folder.path().join("indexes"));
    let at = root.join("bees");
    fs::create_dir_all(at.join("qrels")).unwrap();
    fs::write(at.join("corpus.jsonl"), "{\"_id\":\"1\",\"text\":\"all about honey\"}\n").unwrap();
    fs::write(at.join("queries.jsonl"), "{\"_id\":\"q\",\"text\":\"honey\"}\n").unwrap();
    fs::write(at.join("qrels/test.tsv"), "query-id\tcorpus-id\tscore\nq\t1\t1\n").unwrap();
    let eval = ["eval", text(&dir), "--sets", text(&root)];
    ok(&eval);
    let said = fails(&[&eval[..], &["--overlap", "0.5"]].concat(), 5);
    assert_eq!(said.matches("bees").count(), said.matches("error: ").count() + 1, "{said}");
    assert!(!said.contains("left out"), "{said}");
}

/// Where nobody knows how much there is, the last line says how much there was.
#[test]
fn progress_ends_with_the_count() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    vectors(&at("docs.jsonl"), 3_000, 1);
    let (docs, index) = (at("docs.jsonl"), at("index"));
    let said = notes(&["index", text(&docs), "--out", text(&index), "--no-tune"]);
    let last = said.lines().rfind(|line| line.starts_with("reading: ")).unwrap_or_default();
    assert!(last.contains("3,000"), "{said}");
}
