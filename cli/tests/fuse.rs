//! `quarry fuse`: runs of several systems become one.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::fs;

use common::{fails, ok, quarry, said, text};

const A: &str = "1 Q0 x 1 4 a\n1 Q0 y 2 2 a\n2 Q0 x 1 1 a\n";
const B: &str = "1 Q0 z 1 9 b\n1 Q0 y 2 6 b\n";

#[test]
fn runs_become_one() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.run"), dir.path().join("b.run"));
    fs::write(&a, A).unwrap();
    fs::write(&b, B).unwrap();
    let rows = |out: &str| -> Vec<(String, String, f64)> {
        let row = |line: &str| {
            let columns: Vec<&str> = line.split(' ').collect();
            (columns[0].to_owned(), columns[2].to_owned(), columns[4].parse().unwrap())
        };
        out.lines().map(row).collect()
    };
    let wanted = |rows: &[(String, String, f64)], wanted: &[(&str, &str, f64)]| {
        assert_eq!(rows.len(), wanted.len(), "{rows:?}");
        for (found, wanted) in rows.iter().zip(wanted) {
            let same = (found.0.as_str(), found.1.as_str()) == (wanted.0, wanted.1);
            assert!(same && (found.2 - wanted.2).abs() < 1e-6, "{rows:?}");
        }
    };
    let both = ["fuse", text(&a), text(&b)];
    // z and x have 1 each, in runs of one weight both are first: the larger id.
    let max = ok(&both);
    wanted(
        &rows(&max),
        &[("1", "y", 0.5 + 6.0 / 9.0), ("1", "z", 1.0), ("1", "x", 1.0), ("2", "x", 1.0)],
    );
    let note = said(&quarry(&both).output().unwrap());
    assert!(note.contains("b.run has no ranking of 1 of 2 queries"), "{note}");
    let rrf = ok(&[&both[..], &["--fusion", "rrf", "--rrf-k", "1", "--weights", "1,0.5"]].concat());
    wanted(
        &rows(&rrf),
        &[("1", "y", 1.0 / 3.0 + 0.5 / 3.0), ("1", "x", 0.5), ("1", "z", 0.25), ("2", "x", 0.5)],
    );
    // The order of the runs changes nothing, nor does one without weight.
    assert_eq!(
        ok(&["fuse", text(&b), text(&a)]).lines().take(3).collect::<Vec<_>>(),
        max.lines().take(3).collect::<Vec<_>>()
    );
    let alone = ok(&["fuse", text(&a), text(&b), "--weights", "1,0", "-k", "1"]);
    wanted(&rows(&alone), &[("1", "x", 1.0), ("2", "x", 1.0)]);

    let out = dir.path().join("fused.run");
    ok(&[&both[..], &["--run", text(&out)]].concat());
    assert_eq!(fs::read_to_string(&out).unwrap(), max);
}

#[test]
fn what_cannot_be_fused_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.run"), dir.path().join("b.run"));
    fs::write(&a, A).unwrap();
    fs::write(&b, "1 Q0 x 1 -3 logits\n").unwrap();
    let both = ["fuse", text(&a), text(&b)];
    let with = |more: &[&str], code| fails(&[&both[..], more].concat(), code);
    let error = with(&[], 1);
    assert!(error.contains("query `1`") && error.contains("minmax"), "{error}");
    ok(&[&both[..], &["--fusion", "minmax"]].concat());
    for weights in ["1", "1,2,3", "1,-1", "1,NaN", "0,0", "1,inf"] {
        let error = with(&["--weights", weights], 2);
        assert!(error.contains("--weights"), "{weights}: {error}");
    }
    with(&["--rrf-k", "3"], 2);
    with(&["--fusion", "rrf", "--rrf-k", "-1"], 2);
    with(&["--window", "0"], 2);
    fails(&["fuse", text(&a)], 2);
    // No output over an input.
    with(&["--fusion", "rrf", "--run", text(&a), "--overwrite"], 2);
    assert_eq!(fs::read_to_string(&a).unwrap(), A);
}
