//! Models as they are exported.

use std::process::Command;

use serde_json::Value;

use super::{Case, Checks, not_run, ok, run};

pub(super) const CHECKS: Checks =
    &[("batch-independence", batch_independence), ("model-shapes", model_shapes)];

/// The vectors that the bundled model gives a file of documents, by id.
fn vectors(case: &Case, file: &str) -> Vec<(String, Value)> {
    let out = case.place(&format!("{file}.vectors"));
    ok(&["encode", &case.file(file), "--out", &out]);
    let read = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        (value["id"].as_str().unwrap().to_owned(), value["vector"].clone())
    };
    std::fs::read_to_string(out).unwrap().lines().map(read).collect()
}

/// A text's vector does not depend on what it is encoded with.
fn batch_independence(case: &Case) {
    let mixed = vectors(case, "mixed.jsonl");
    for file in ["alone.jsonl", "mid-alone.jsonl"] {
        let alone = vectors(case, file);
        let (id, vector) = &alone[0];
        assert!(vector.as_object().unwrap().len() > 3);
        let beside = mixed.iter().find(|found| found.0 == *id);
        assert_eq!(Some(vector), beside.map(|found| &found.1), "{file}, {id}");
    }
}

/// Whatever `model show` takes can be indexed with; what it cannot be is said there, in words.
fn model_shapes(case: &Case) {
    let python = |args: &[&str]| {
        Command::new("python3").args(args).output().is_ok_and(|output| output.status.success())
    };
    if !python(&["-c", "import onnx"]) {
        return not_run("model-shapes: needs the Python package onnx");
    }
    let bundled = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/quarry-mini");
    let variants = case.place("variants");
    assert!(python(&[&case.file("make.py"), bundled, &variants]));
    let input = case.write("docs.jsonl", "{\"_id\":\"a\",\"text\":\"granite is a hard stone\"}\n");
    let names = super::common::names(std::path::Path::new(&variants));
    assert!(names.len() > 5);
    for name in names {
        let model = format!("{variants}/{name}");
        let shown = run(&["model", "show", &model]);
        if shown.code == Some(0) {
            let out = case.place(&format!("{name}.qry"));
            let did = run(&["index", &input, "--out", &out, "--model", &model, "--no-tune"]);
            assert_eq!(did.code, Some(0), "{name} was shown, and fails late: {}", did.err);
        } else {
            assert!(shown.err.len() > 40, "{name}: {}", shown.err);
        }
    }
}
