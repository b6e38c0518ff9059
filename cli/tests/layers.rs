//! Imports between our crates point one way: exactly the edges that ARCHITECTURE.md draws.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

use std::collections::BTreeMap;
use std::process::Command;

/// Crate, and the crates of ours that it may depend on (outside tests).
const LAYERS: [(&str, &[&str]); 14] = [
    ("vectors", &[]),
    ("transfer", &[]),
    ("index", &["vectors"]),
    ("encoders", &["transfer", "vectors"]),
    ("datasets", &["transfer", "vectors"]),
    ("searcher", &["index", "vectors"]),
    ("reranker", &["index", "searcher", "vectors"]),
    ("indexer", &["index", "vectors"]),
    ("engine", &["datasets", "encoders", "index", "indexer", "reranker", "searcher", "vectors"]),
    ("embed", &["engine"]),
    ("python", &["engine", "vectors"]),
    ("server", &["engine", "transfer", "vectors"]),
    ("benches", &["datasets", "index", "indexer", "reranker", "searcher", "vectors"]),
    ("cli", &["datasets", "encoders", "engine", "index", "indexer", "server", "vectors"]),
];

#[test]
fn imports_point_one_way() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap().strip_prefix("quarry-").unwrap().to_owned();
        let folder = package["manifest_path"].as_str().unwrap();
        assert!(folder.ends_with(&format!("/{name}/Cargo.toml")), "{name} lies in {folder}");
        let dependencies =
            package["dependencies"].as_array().unwrap().iter().filter(|d| d["kind"].is_null());
        let mut ours: Vec<String> = dependencies
            .filter_map(|d| d["name"].as_str().unwrap().strip_prefix("quarry-").map(str::to_owned))
            .collect();
        ours.sort();
        found.insert(name, ours);
    }
    let wanted: BTreeMap<String, Vec<String>> = LAYERS
        .iter()
        .map(|(name, deps)| ((*name).to_owned(), deps.iter().map(|d| (*d).to_owned()).collect()))
        .collect();
    assert_eq!(found, wanted, "edges between crates (left: found, right: allowed)");
    // The list itself has no way back: a crate only uses crates that stand before it.
    for (at, (name, dependencies)) in LAYERS.iter().enumerate() {
        for dependency in *dependencies {
            let place = LAYERS.iter().position(|l| l.0 == *dependency);
            assert!(place.is_some_and(|p| p < at), "{name} -> {dependency}");
        }
    }
}
