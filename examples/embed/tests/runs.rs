//! The example runs on the bundled sample.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::Path;
use std::process::Command;

use quarry_engine::Models;
use quarry_engine::write::{Build, Input, build};

#[test]
fn it_adds_searches_and_evaluates() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (sample, model) = (root.join("datasets/sample"), root.join("models/quarry-mini"));
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("sample.qry");
    let models = Models { bundled: Some(model.clone()), ..Models::default() };
    let how = Build { out: index.clone(), ..Build::default() };
    build(&Input::new(&sample), &how, &models, &|_, _| {}).unwrap();
    let program = env!("CARGO_BIN_EXE_quarry-embed");
    let output = Command::new(program).args([&index, &sample, &model]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "generation 2, 1 document added", "{said}");
    assert!(lines[1].starts_with("sparse: embedded-1 "), "{said}");
    assert!(lines[2].starts_with("bm25: embedded-1 "), "{said}");
    assert!(lines[3].starts_with("nDCG@10 0.4"), "{said}");
}
