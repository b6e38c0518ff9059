//! The schemas of what `--json` prints, docs/schemas: they are those of the types here, every command that has
//! the option has one, and real outputs hold to them.
//!
//! `QUARRY_WRITE_SCHEMAS=1 cargo test -p quarry-cli --test schemas` writes them anew.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

#[path = "../common/mod.rs"]
mod common;
mod models;
mod outputs;
mod parts;
mod validate;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::{names, ok, quarry, said, text, vectors};
use models::Model;
use outputs::{
    Add, DatasetList, DatasetPull, Delete, DenseAdd, DenseGraph, Eval, Export, Index, Inspect,
    Lists, Merge, Tokens, Tune, Upgrade,
};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// The answer of the server, from its description of itself.
fn answer() -> Value {
    let api = serde_json::to_string(&quarry_server::openapi()).unwrap();
    let api: Value =
        serde_json::from_str(&api.replace("#/components/schemas/", "#/$defs/")).unwrap();
    let all = api["components"]["schemas"].as_object().unwrap();
    let mut wanted = vec!["SearchResponse".to_owned()];
    let mut at = 0;
    while let Some(name) = wanted.get(at).cloned() {
        let content = all[&name].to_string();
        for part in content.split("#/$defs/").skip(1) {
            let name = part.split('"').next().unwrap().to_owned();
            if !wanted.contains(&name) {
                wanted.push(name);
            }
        }
        at += 1;
    }
    wanted.sort();
    let defs: serde_json::Map<String, Value> =
        wanted.into_iter().map(|name| (name.clone(), all[&name].clone())).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Search",
        "description": "`quarry search --json`, and the answer of the HTTP server",
        "$ref": "#/$defs/SearchResponse",
        "$defs": defs,
    })
}

/// The schemas by name of their file: the words of the command with hyphens.
fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("add", schema_of::<Add>()),
        ("dataset-list", schema_of::<DatasetList>()),
        ("dataset-pull", schema_of::<DatasetPull>()),
        ("delete", schema_of::<Delete>()),
        ("dense-add", schema_of::<DenseAdd>()),
        ("dense-graph", schema_of::<DenseGraph>()),
        ("eval", schema_of::<Eval>()),
        ("export", schema_of::<Export>()),
        ("index", schema_of::<Index>()),
        ("inspect", schema_of::<Inspect>()),
        ("lists", schema_of::<Lists>()),
        ("merge", schema_of::<Merge>()),
        ("model-show", schema_of::<Model>()),
        ("search", answer()),
        ("tokens-add", schema_of::<Tokens>()),
        ("tune", schema_of::<Tune>()),
        ("upgrade", schema_of::<Upgrade>()),
    ]
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas")
}

#[test]
fn the_files_are_up_to_date() {
    let write = std::env::var_os("QUARRY_WRITE_SCHEMAS").is_some();
    let mut want = BTreeSet::from(["README.md".to_owned()]);
    for (name, schema) in schemas() {
        let file = format!("{name}.json");
        let content = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if write {
            fs::write(folder().join(&file), &content).unwrap();
        }
        let found = fs::read_to_string(folder().join(&file)).unwrap_or_default();
        assert!(found == content, "{file}: QUARRY_WRITE_SCHEMAS=1 writes it anew");
        want.insert(file);
    }
    assert_eq!(names(&folder()).into_iter().collect::<BTreeSet<_>>(), want);
}

/// Commands of a help, with what they are below.
fn commands(below: &[&str], found: &mut Vec<Vec<String>>) {
    let help = ok(&[below, &["--help"]].concat());
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let inner: Vec<&str> = lines
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    if inner.is_empty() && help.contains("--json\n") {
        found.push(below.iter().map(|&word| word.to_owned()).collect());
    }
    for name in inner {
        commands(&[below, &[name]].concat(), found);
    }
}

#[test]
fn every_command_with_json_has_a_schema() {
    let mut found = Vec::new();
    commands(&[], &mut found);
    let found: BTreeSet<String> = found.into_iter().map(|words| words.join("-")).collect();
    let have: BTreeSet<String> = schemas().iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, have, "commands with --json (left) and schemas (right)");
}

/// Holds what a command prints against the file of its name.
#[track_caller]
fn holds(name: &str, args: &[&str]) {
    let printed: Value = serde_json::from_str(&ok(args)).unwrap();
    matches(name, &printed);
}

#[track_caller]
fn matches(name: &str, printed: &Value) {
    let file = fs::read(folder().join(format!("{name}.json"))).unwrap();
    let schema: Value = serde_json::from_slice(&file).unwrap();
    if let Err(why) = validate::check(&schema, &schema, printed, "$") {
        panic!("{name}: {why}\n{printed:#}");
    }
}

#[test]
fn outputs_of_builds_and_changes() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/sample/corpus.jsonl");
    let corpus = fs::read_to_string(sample).unwrap();
    let few: Vec<&str> = corpus.lines().take(40).collect();
    fs::write(at("few.jsonl"), few.join("\n")).unwrap();
    let more: Vec<&str> = corpus.lines().skip(40).take(3).collect();
    fs::write(at("more.jsonl"), more.join("\n")).unwrap();
    let (few, more, ix) = (at("few.jsonl"), at("more.jsonl"), at("ix"));
    let build = ["index", text(&few), "--out", text(&ix), "--json", "--provenance", "--tokens"];
    let more_options = ["--lists", "impact,seismic,clusters", "--field", "x:integer"];
    holds("index", &[&build[..], &more_options].concat());
    holds("dense-add", &["dense", "add", text(&ix), "--json"]);
    holds("dense-graph", &["dense", "graph", text(&ix), "--json"]);
    holds("inspect", &["inspect", text(&ix), "--json"]);
    holds("add", &["add", text(&ix), text(&more), "--json"]);
    holds("delete", &["delete", text(&ix), "nobody", "--json"]);
    holds("merge", &["merge", text(&ix), "--json"]);
    holds("merge", &["merge", text(&ix), "--json"]);
    let search = ["search", text(&ix), "why does bread go stale", "--json", "--explain"];
    holds("search", &search);
    holds("search", &[&search[..4], &["--rerank", "--fields", "title,text,nothing"]].concat());
    holds("search", &[&search[..4], &["--channel", "bm25"]].concat());
    holds("search", &[&search[..4], &["--channel", "sparse,bm25,dense"]].concat());

    let (one, two, joined) = (at("one"), at("two"), at("joined"));
    for (out, shard) in [(&one, "1/2"), (&two, "2/2")] {
        let args = ["index", text(&few), "--out", text(out), "--shard", shard, "--json"];
        holds("index", &args);
    }
    let merge = ["merge", "--out", text(&joined), text(&one), text(&two), "--json"];
    holds("merge", &merge);
    holds("lists", &["lists", text(&joined), "--add", "seismic", "--json"]);
    holds("lists", &["lists", text(&joined), "--add", "seismic", "--json"]);
    holds("tokens-add", &["tokens", "add", text(&joined), "--json", "--store", "int8,fp16"]);
    for (format, out) in [("ciff", at("x.ciff")), ("jsonl", at("x.jsonl"))] {
        holds(
            "export",
            &["export", text(&joined), "--format", format, "--out", text(&out), "--json"],
        );
    }
    let part = at("v1.jsonl");
    ok(&["encode", text(&more), "--out", text(&part), "--shard", "1/1"]);
    let whole = at("v.jsonl");
    holds("merge", &["merge", "--out", text(&whole), text(&part), "--json"]);
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/old/ec0f12f/texts");
    holds("upgrade", &["upgrade", text(&old), text(&at("upgraded")), "--no-tune", "--json"]);
    // An index of vectors alone, without names.
    let (bare, vectors) = (at("bare"), at("x.bin"));
    ok(&["export", text(&joined), "--format", "seismic", "--out", text(&vectors)]);
    holds("index", &["index", text(&vectors), "--out", text(&bare), "--json"]);
    holds("inspect", &["inspect", text(&bare), "--json"]);
}

#[test]
fn outputs_of_measuring() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    vectors(&at("docs.jsonl"), 12_000, 1);
    let (docs, ix) = (at("docs.jsonl"), at("ix"));
    ok(&["index", text(&docs), "--out", text(&ix), "--lists", "impact", "--no-tune"]);
    holds("tune", &["tune", text(&ix), "--json"]);
    holds("inspect", &["inspect", text(&ix), "--json"]);

    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/sample");
    let (sample, set) = (text(&sample).to_owned(), at("sets/sample"));
    fs::create_dir_all(set.join("qrels")).unwrap();
    for file in ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"] {
        fs::copy(Path::new(&sample).join(file), set.join(file)).unwrap();
    }
    fs::create_dir_all(at("sets/broken/qrels")).unwrap();
    let dir = at("indexes");
    holds("eval", &["eval", text(&dir), "--sets", text(&at("sets")), "--json"]);
    let (ix, run) = (dir.join("sample"), dir.join("runs/sample.bm25.trec"));
    let eval = ["eval", text(&ix), "--collection", &sample, "--json"];
    let more = ["--against-exact", "10", "--per-query", "--compare", text(&run)];
    holds("eval", &[&eval[..], &more].concat());
    holds("eval", &[&eval[..], &["--rerank"]].concat());
    holds("eval", &[&eval[..], &["--rerank", "--no-exhaustive"]].concat());
    let conditions = dir.join("conditions");
    let both = ["--channel", "sparse,bm25", "--conditions", text(&conditions)];
    holds("eval", &[&eval[..], &both].concat());
}

#[test]
fn outputs_of_collections_and_models() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let list = quarry(&["dataset", "list", "--json", "--cache", text(&cache)]).output().unwrap();
    assert!(list.status.success(), "{}", said(&list));
    matches("dataset-list", &serde_json::from_slice(&list.stdout).unwrap());
    // `dataset pull` needs a server: cli/tests/collections.rs has one; its keys are three.
    matches("dataset-pull", &json!({"name": "beir/x", "folder": "/x", "was_there": true}));
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/quarry-mini");
    holds("model-show", &["model", "show", text(&models), "--json"]);
    for name in ["splade-bert", "splade-v3-doc"] {
        holds("model-show", &["model", "show", text(&common::model(&dir, name)), "--json"]);
    }
    let tokens = common::token_model(&dir, "colbert-bert");
    holds("model-show", &["model", "show", text(&tokens), "--json"]);
}

#[test]
fn what_does_not_hold_is_found() {
    let schema = schema_of::<Delete>();
    let check = |value: &Value| validate::check(&schema, &schema, value, "$");
    let good = json!({"generation": 1, "deleted": 0, "unknown": []});
    check(&good).unwrap();
    for bad in [
        json!({"generation": 1, "deleted": 0}),
        json!({"generation": 1, "deleted": 0, "unknown": [], "more": 1}),
        json!({"generation": -1, "deleted": 0, "unknown": []}),
        json!({"generation": 1.5, "deleted": 0, "unknown": []}),
        json!({"generation": 1, "deleted": 0, "unknown": [1]}),
        json!([]),
    ] {
        assert!(check(&bad).is_err(), "{bad}");
    }
}
