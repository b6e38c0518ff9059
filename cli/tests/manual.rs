//! Manual pages and completion scripts: one page for each command, none of them empty.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::collections::BTreeSet;
use std::fs;

use common::{fails, names, ok, text};

/// The commands that a help lists.
fn listed(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines.take_while(|line| line.starts_with("  ")).filter_map(|line| {
        let name = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '))?;
        name.split_whitespace().next().map(str::to_owned)
    });
    names.filter(|name| name != "help").collect()
}

#[test]
fn every_command_has_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("manual");
    let said = ok(&["manual", text(&dir)]);
    let mut want = BTreeSet::from(["quarry.1".to_owned()]);
    for command in listed(&ok(&["--help"])) {
        for inner in listed(&ok(&[&command, "--help"])) {
            want.insert(format!("quarry-{command}-{inner}.1"));
        }
        want.insert(format!("quarry-{command}.1"));
    }
    assert!(want.len() > 20 && want.contains("quarry-dataset-pull.1"), "{want:?}");
    let pages = names(&dir.join("man1"));
    assert_eq!(pages.iter().cloned().collect::<BTreeSet<_>>(), want);
    assert!(said.contains(&format!("{} manual pages", pages.len())), "{said}");
    for page in pages {
        let content = fs::read_to_string(dir.join("man1").join(&page)).unwrap();
        for part in [".TH", ".SH NAME", ".SH SYNOPSIS", "\\-\\-help"] {
            assert!(content.contains(part), "{page} lacks {part}: {content}");
        }
    }
    let index = fs::read_to_string(dir.join("man1/quarry-index.1")).unwrap();
    assert!(index.contains("passage\\-overlap"), "{index}");
    let scripts = names(&dir.join("completions"));
    assert_eq!(scripts, ["_quarry", "_quarry.ps1", "quarry.bash", "quarry.elv", "quarry.fish"]);
    for script in scripts {
        let content = fs::read_to_string(dir.join("completions").join(&script)).unwrap();
        assert!(content.contains("passage-overlap"), "{script}");
    }
    // Files that are there stay, unless they are to be replaced.
    fails(&["manual", text(&dir)], 5);
    ok(&["manual", text(&dir), "--overwrite"]);
}
