//! A build may be killed at any moment: readers find the old index or the new one, whole; the next
//! build cleans up; an interrupted one can be continued.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Numbers, fails, names, note, ok, quarry, queries, run_of, text, vectors};

const KILLS: u32 = 50;

#[test]
fn killed_builds_leave_the_old_index_or_the_new() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    vectors(&at("old.jsonl"), 3_000, 1);
    vectors(&at("new.jsonl"), 5_000, 2);
    queries(&at("queries.jsonl"));
    let build = |input: &str, out: &Path| {
        let input = at(input);
        let mut command = quarry(&[
            "index",
            text(&input),
            "--out",
            text(out),
            "--overwrite",
            "--lists",
            "seismic,clusters",
            "--no-tune",
        ]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    assert!(build("new.jsonl", &at("new")).status().unwrap().success());
    let new = run_of(&at("new"), &at("queries.jsonl"));
    let index = at("index");
    assert!(build("old.jsonl", &index).status().unwrap().success());
    let old = run_of(&index, &at("queries.jsonl"));
    assert_ne!(old, new);

    // How long an undisturbed build takes decides the moments.
    let begun = Instant::now();
    assert!(build("new.jsonl", &at("timed")).status().unwrap().success());
    let whole = begun.elapsed();

    let mut numbers = Numbers(99);
    let (mut stayed, mut changed) = (0, 0);
    for kill in 0..KILLS {
        let mut child = build("new.jsonl", &index).spawn().unwrap();
        let step = whole.mul_f64(1.2) / KILLS;
        let jitter = u32::try_from(numbers.below(1000)).unwrap();
        std::thread::sleep(step * kill + step * jitter / 1000);
        child.kill().unwrap();
        child.wait().unwrap();
        ok(&["inspect", text(&index)]);
        let found = run_of(&index, &at("queries.jsonl"));
        if found == old {
            stayed += 1;
        } else {
            assert_eq!(found, new, "kill {kill}: neither the old ranking nor the new");
            changed += 1;
            assert!(build("old.jsonl", &index).status().unwrap().success());
        }
    }
    note(&format!(
        "{KILLS} kills over {whole:?}: {stayed} left the old index, {changed} the new one"
    ));
    assert!(stayed > 0, "no kill came before the commit");

    assert!(build("new.jsonl", &index).status().unwrap().success());
    assert_eq!(run_of(&index, &at("queries.jsonl")), new);
    let kinds: Vec<String> = names(&index)
        .iter()
        .map(|n| n.split_once('-').map_or(n.clone(), |(_, kind)| kind.to_owned()))
        .filter(|k| !k.ends_with(".json"))
        .collect();
    let mut sorted = kinds.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        [
            "CURRENT",
            "LOCK",
            "clusters.qry",
            "documents.qry",
            "forward.qry",
            "lexicon.qry",
            "seismic.qry",
            "text.qry"
        ],
        "files of other generations were left behind: {:?}",
        names(&index)
    );
}

/// Kills of each kind of change; `QUARRY_KILLS` sets another number.
const KILLS_OF_CHANGES: u32 = 12;

fn copied(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn killed_changes_happened_or_did_not() {
    let kills = std::env::var("QUARRY_KILLS").ok().and_then(|n| n.parse().ok());
    let kills: u32 = kills.unwrap_or(KILLS_OF_CHANGES);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    vectors(&at("base.jsonl"), 2_000, 1);
    vectors(&at("more.jsonl"), 3_000, 2);
    queries(&at("queries.jsonl"));
    let (base, more, index) = (at("base"), at("more.jsonl"), at("index"));
    ok(&["index", text(&at("base.jsonl")), "--out", text(&base), "--lists", "impact", "--no-tune"]);
    vectors(&at("few.jsonl"), 500, 3);
    ok(&["add", text(&base), text(&at("few.jsonl"))]);
    ok(&["delete", text(&base), "d1200", "d3", "d77"]);
    let ids: String = (400..1_900).map(|n| format!("d{n}\n")).collect();
    fs::write(at("ids"), ids).unwrap();
    let ids = at("ids");
    let changes: [&[&str]; 3] = [
        &["add", text(&index), text(&more)],
        &["delete", text(&index), "--ids", text(&ids)],
        &["merge", text(&index), "--no-tune"],
    ];
    let state = |dir: &Path| {
        let shown: serde_json::Value =
            serde_json::from_str(&ok(&["inspect", text(dir), "--json"])).unwrap();
        let segments = shown["manifest"]["segments"].as_array().unwrap().len();
        (segments, run_of(dir, &at("queries.jsonl")))
    };
    let old = state(&base);
    let mut numbers = Numbers(41);
    for change in changes {
        copied(&base, &index);
        let begun = Instant::now();
        ok(change);
        let (whole, new) = (begun.elapsed(), state(&index));
        assert_ne!(old, new, "{change:?}");
        copied(&base, &index);
        let mut stayed = 0;
        for kill in 0..kills {
            let mut command = quarry(change);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            let step = whole.mul_f64(1.1) / kills;
            let jitter = u32::try_from(numbers.below(1000)).unwrap();
            std::thread::sleep(step * kill + step * jitter / 1000);
            child.kill().unwrap();
            child.wait().unwrap();
            let found = state(&index);
            if found == old {
                stayed += 1;
            } else {
                assert_eq!(found, new, "{change:?}, kill {kill}: neither before nor after");
                copied(&base, &index);
            }
        }
        note(&format!("{kills} kills of `{}` over {whole:?}: {stayed} left it undone", change[0]));
        assert!(stayed > 0, "no kill came before the commit");
        // What kills left behind in the folder stays there for this one.
        ok(change);
        assert_eq!(state(&index), new, "what kills left behind disturbs it");
        assert!(!index.join("build").exists());
    }
}

#[test]
fn an_interrupted_encode_is_continued() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut numbers = Numbers(3);
    let words =
        ["glacier", "bread", "river", "iron", "violin", "comet", "salt", "paper", "bee", "tide"];
    let lines: String = (0..2_600)
        .map(|id| {
            let mut word = || words[usize::try_from(numbers.below(10)).unwrap()];
            format!("{{\"_id\":\"{id}\",\"text\":\"{} {} {}\"}}\n", word(), word(), word())
        })
        .collect();
    fs::write(at("corpus.jsonl"), lines).unwrap();
    let input = at("corpus.jsonl");
    let (whole, index) = (at("whole"), at("index"));
    ok(&["index", text(&input), "--out", text(&whole)]);

    let mut child = quarry(&["index", text(&input), "--out", text(&index)])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !index.join("build/shard-000000.qry").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the build ended before it could be killed");
        assert!(begun.elapsed() < Duration::from_secs(600), "no shard was ever written");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let message = fails(&["inspect", text(&index)], 3);
    assert!(message.contains("--resume"), "{message}");
    let message = fails(&["index", text(&input), "--out", text(&index)], 5);
    assert!(message.contains("interrupted build") && message.contains("--resume"), "{message}");
    let report = ok(&["index", text(&input), "--out", text(&index), "--resume", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert!(report["resumed_documents"].as_u64().unwrap() >= 1024, "{report}");
    assert_eq!(report["documents"], 2_600);

    fs::write(at("queries.tsv"), "1\tsweet bees\n2\tsalt of a river\n3\tpaper violin\n").unwrap();
    let queries = at("queries.tsv");
    let run = |dir: &Path| ok(&["search", text(dir), "--queries", text(&queries), "-k", "100"]);
    assert_eq!(run(&index), run(&whole), "a resumed build ranks as an uninterrupted one");
    let again = ok(&["index", text(&input), "--out", text(&index), "--resume", "--json"]);
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!(again["already_complete"], true);
}
