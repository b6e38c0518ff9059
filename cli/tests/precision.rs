//! Weights of any range through the program: what is printed of their errors, and what judges them.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use common::{Numbers, ok, quarry, said};

/// Documents of weights between .01 and 3, one of which has a weight of 65,504 besides.
fn outlier(path: &Path) {
    let mut numbers = Numbers(7);
    let mut out = String::new();
    for id in 0..300 {
        let mut weights: Vec<String> = (0..30)
            .map(|t| {
                format!(
                    "\"t{}\":0.{:06}",
                    40 * t / 30 + 40 * (id % 3),
                    10_000 + numbers.below(900_000)
                )
            })
            .collect();
        weights.dedup();
        if id == 17 {
            weights.push("\"spam\":65504".to_owned());
        }
        writeln!(out, "{{\"id\":\"d{id}\",\"vector\":{{{}}}}}", weights.join(",")).unwrap();
    }
    fs::write(path, out).unwrap();
}

#[test]
fn exact_search_is_judged_by_the_given_weights() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    outlier(Path::new(&at("docs.jsonl")));
    let query = "{\"id\":\"q\",\"vector\":{\"t1\":1.5,\"t5\":0.7,\"t44\":1.1}}\n";
    fs::write(at("q.jsonl"), query).unwrap();
    let built = quarry(&["index", &at("docs.jsonl"), "--out", &at("i.qry")]).output().unwrap();
    assert!(built.status.success(), "{}", said(&built));
    assert!(said(&built).contains("relative error of at most"), "{}", said(&built));
    assert!(ok(&["inspect", &at("i.qry")]).contains("relative "));
    let (queries, index) = (at("q.jsonl"), at("i.qry"));
    let eval =
        ["eval", &index, "--queries", &queries, "--against-exact", "10", "--method", "exact"];
    let judged = quarry(&eval).output().unwrap();
    assert!(said(&judged).contains("judged by the weights of"), "{}", said(&judged));
    let overlap = String::from_utf8(judged.stdout).unwrap();
    assert!(overlap.contains("overlap@10  1.0000"), "{overlap}");
    // Without the file the stored weights judge, and that is said.
    fs::remove_file(at("docs.jsonl")).unwrap();
    let judged = quarry(&eval).output().unwrap();
    assert!(said(&judged).contains("judged by the stored weights"), "{}", said(&judged));
}
