//! The help, and the guide's pages about it: exit codes and environment variables stand in both.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::ok;

/// Words of capitals, as variables are named, in the first column of these lines.
fn variables<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let plain = |c: char| c.is_ascii_uppercase() || c == '_';
    let names = lines.flat_map(|line| line.split(|c| !plain(c)));
    names.filter(|name| name.len() > 3 && !name.starts_with('_')).map(str::to_owned).collect()
}

#[test]
fn exit_codes_and_variables_are_those_of_the_guide() {
    let help = ok(&["--help"]);
    let (codes, names) =
        help.split_once("Exit codes:").unwrap().1.split_once("Environment").unwrap();
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide/reference.md");
    let guide = fs::read_to_string(guide).unwrap();
    let section = |name: &str| {
        let rest = guide.split_once(&format!("## {name}\n")).unwrap().1;
        rest.split("\n## ").next().unwrap().to_owned()
    };
    for code in 0..=5 {
        assert!(codes.lines().any(|l| l.trim_start().starts_with(&format!("{code}  "))), "{code}");
        assert!(section("Exit codes").contains(&format!("\n| {code} |")), "{code}");
    }
    let in_help = variables(names.lines().filter_map(|line| line.get(..28)));
    let table = section("Environment variables");
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let in_guide = variables(rows.filter_map(|row| row.split('|').nth(1)));
    assert_eq!(in_help, in_guide, "in the help (left) and in the guide (right)");
    assert!(in_help.contains("HOME") && in_help.len() > 10, "{in_help:?}");
}

/// The summary of -h is shorter, and both name what is required first.
#[test]
fn help_is_grouped() {
    for command in ["index", "search", "eval", "serve", "export"] {
        let (long, short) = (ok(&[command, "--help"]), ok(&[command, "-h"]));
        assert!(short.len() < long.len(), "{command}");
        for help in [&long, &short] {
            assert!(help.contains("\nGeneral:\n"), "{help}");
            assert!(!help.contains("\nOptions:\n"), "{help}");
        }
    }
    let index = ok(&["index", "--help"]);
    assert!(index.find("\nRequired:\n").unwrap() < index.find("\nInput:\n").unwrap(), "{index}");
}
