//! Work shared out by hand: shards made by several runs of the binary, merged to what one run makes.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Numbers, fails, note, ok, quarry, queries, run_of, said, text, vectors};
use serde_json::Value;

/// Short texts: more than two runs of 1,024, some of them long enough to be split.
fn corpus(path: &Path, count: u64) {
    let words =
        ["glacier", "bread", "river", "iron", "violin", "comet", "salt", "paper", "bee", "tide"];
    let mut numbers = Numbers(3);
    let mut out = String::new();
    for id in 0..count {
        let length = if id % 97 == 0 { 40 } else { 3 };
        let picked: Vec<&str> =
            (0..length).map(|_| words[usize::try_from(numbers.below(10)).unwrap()]).collect();
        let year = 1990 + id % 30;
        writeln!(out, "{{\"_id\":\"{id}\",\"text\":\"{}\",\"year\":{year}}}", picked.join(" "))
            .unwrap();
    }
    fs::write(path, out).unwrap();
}

/// Length and checksum of every part but the calibration, by kind.
fn parts(index: &Path) -> BTreeMap<String, (u64, String)> {
    let shown: Value = serde_json::from_str(&ok(&["inspect", text(index), "--json"])).unwrap();
    let manifest = &shown["manifest"];
    let segments = manifest["segments"].as_array().unwrap();
    assert_eq!(segments.len(), 1);
    let parts = segments[0]["parts"].as_array().unwrap();
    parts
        .iter()
        .chain(manifest["assets"].as_array().unwrap())
        .filter(|part| part["kind"] != "calibration")
        .map(|part| {
            let at = |key: &str| part[key].as_str().unwrap().to_owned();
            (at("kind"), (part["bytes"].as_u64().unwrap(), at("checksum")))
        })
        .collect()
}

#[test]
fn an_index_of_shards_is_the_index_of_one_machine() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    corpus(&at("corpus.jsonl"), 2_500);
    let more = ["--passages", "32", "--passage-overlap", "4", "--lists", "impact,clusters"];
    let input = at("corpus.jsonl");
    let index = |out: &Path, extra: &[&str]| {
        // A shard is never measured.
        let tune: &[&str] = if extra.contains(&"--shard") { &[] } else { &["--no-tune"] };
        ok(&[&["index", text(&input), "--out", text(out)][..], tune, &more, extra].concat())
    };
    let one = at("one");
    index(&one, &[]);
    assert!(parts(&one).contains_key("clusters") && parts(&one).contains_key("text"));
    for of in [2, 3] {
        let shards: Vec<PathBuf> = (1..=of).map(|n| at(&format!("shard-{n}-{of}"))).collect();
        for (number, out) in (1..).zip(&shards) {
            let said = index(out, &["--shard", &format!("{number}/{of}")]);
            assert!(said.contains(&format!("shard {number}/{of}")), "{said}");
        }
        let merged = at(&format!("merged-{of}"));
        let mut args = vec!["merge", "--out", text(&merged)];
        args.extend(shards.iter().map(|s| text(s)));
        let said = ok(&args);
        assert!(said.contains("2,500 documents"), "{said}");
        assert_eq!(parts(&one), parts(&merged), "{of} shards");
        // A build that is resumed knows that it is done.
        let again = index(&merged, &["--resume"]);
        assert!(again.contains("complete already"), "{again}");
    }
    let (a, b) = (at("shard-1-2"), at("shard-2-3"));
    let out = at("out");
    let merge = |shards: &[&Path]| {
        let mut args = vec!["merge", "--out", text(&out)];
        args.extend(shards.iter().map(|s| text(s)));
        fails(&args, 5)
    };
    assert!(merge(&[&a]).contains("shard 2/2 is missing"));
    assert!(merge(&[&a, &b]).contains("shard 2/3"));
    assert!(merge(&[&a, &a]).contains("given twice"));
    assert!(merge(&[&a, &one]).contains("holds no shard"));
    let other = at("other");
    index(&other, &["--shard", "2/2", "--top-k", "5"]);
    let error = merge(&[&a, &other]);
    assert!(
        error.contains("shard 2/2 is of another build") && error.contains("encoder"),
        "{error}"
    );
    assert!(!out.join("CURRENT").exists());
    let error = fails(&["merge", text(&a)], 2);
    assert!(error.contains("--out INDEX SHARD..."), "{error}");
    let error = fails(&["index", text(&input), "--out", text(&a), "--shard", "1/2"], 5);
    assert!(error.contains("shard 1/2 of a build is there"), "{error}");
    let error = fails(&["index", text(&input), "--out", text(&at("x")), "--shard", "3/2"], 2);
    assert!(error.contains("2/3"), "{error}");
}

#[test]
fn encoded_shards_are_put_together() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    corpus(&at("corpus.jsonl"), 2_500);
    let input = at("corpus.jsonl");
    let encode = |out: &Path, extra: &[&str]| {
        ok(&[&["encode", text(&input), "--out", text(out)][..], extra].concat())
    };
    let one = at("one.jsonl");
    encode(&one, &[]);
    let shards = ["1/2", "2/2"].map(|shard| {
        let out = at(&format!("{}.jsonl", &shard[..1]));
        encode(&out, &["--shard", shard]);
        out
    });
    assert_eq!(fs::read_to_string(&shards[0]).unwrap().lines().count(), 1024 + 452);
    let merged = at("merged.jsonl");
    let [a, b] = [text(&shards[0]), text(&shards[1])];
    let shown = ok(&["merge", "--out", text(&merged), b, a]);
    assert!(shown.contains("2,500 vectors"), "{shown}");
    assert!(fs::read(&one).unwrap() == fs::read(&merged).unwrap());
    let merge = |shards: &[&str]| {
        let out = at("no.jsonl");
        let error = fails(&[&["merge", "--out", text(&out)][..], shards].concat(), 5);
        assert!(!out.exists());
        error
    };
    assert!(merge(&[a]).contains("shard 2/2 is missing"));
    assert!(merge(&[a, a]).contains("given twice"));
    assert!(merge(&[a, text(&one)]).contains("quarry encode --shard"));
    let other = at("other.jsonl");
    encode(&other, &["--shard", "2/2", "--top-k", "5"]);
    assert!(merge(&[a, text(&other)]).contains("`encoder`"));
    let three = at("three.jsonl");
    encode(&three, &["--shard", "2/3"]);
    assert!(merge(&[a, text(&three)]).contains("2/3"));
    let whole = fs::read(a).unwrap();
    fs::write(b, "{}\n").unwrap();
    assert!(merge(&[a, b]).contains("it is not the file"));
    // An unfinished file is continued as the shard that it is of, or not at all.
    let (cut, half) = (at("cut.jsonl"), at("half.jsonl"));
    fs::write(&cut, fs::read_to_string(&input).unwrap() + "{\"id\": \"cut\n").unwrap();
    let encode_half = |input: &Path, more: &[&str]| {
        let all = [&["encode", text(input), "--out", text(&half)][..], more].concat();
        quarry(&all).output().unwrap()
    };
    assert!(!encode_half(&cut, &["--shard", "1/2"]).status.success());
    assert!(at("half.jsonl.part").exists() && at("half.jsonl.part.json").exists());
    let output = encode_half(&input, &["--resume", "--shard", "2/2"]);
    assert!(said(&output).contains("cannot resume: it is of shard 1/2"), "{}", said(&output));
    let output = encode_half(&input, &["--resume", "--shard", "1/2"]);
    assert!(said(&output).contains("1,024 vectors were taken"), "{}", said(&output));
    assert!(output.status.success() && fs::read(&half).unwrap() == whole);
    assert!(!at("half.jsonl.part").exists() && !at("half.jsonl.part.json").exists());
}

/// Kills of a merge; `QUARRY_KILLS` sets another number.
const KILLS: u32 = 12;

#[test]
fn a_killed_merge_leaves_nothing_or_the_whole() {
    let kills = std::env::var("QUARRY_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    vectors(&at("v.jsonl"), 4_000, 1);
    queries(&at("q.jsonl"));
    let (input, one, index) = (at("v.jsonl"), at("one"), at("index"));
    let lists = ["--lists", "impact,clusters"];
    ok(&[&["index", text(&input), "--out", text(&one), "--no-tune"][..], &lists].concat());
    let shards = [at("a"), at("b")];
    for (shard, out) in ["1/2", "2/2"].iter().zip(&shards) {
        let args = ["index", text(&input), "--out", text(out), "--shard", shard];
        ok(&[&args[..], &lists[..]].concat());
    }
    let merge = |out: &Path| {
        let mut command =
            quarry(&["merge", "--no-tune", "--out", text(out), text(&shards[0]), text(&shards[1])]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let begun = Instant::now();
    assert!(merge(&at("timed")).status().unwrap().success());
    let whole = begun.elapsed().max(Duration::from_millis(1));
    let wanted = run_of(&one, &at("q.jsonl"));
    let mut numbers = Numbers(17);
    let (mut nothing, mut done) = (0, 0);
    for kill in 0..kills {
        let mut child = merge(&index).spawn().unwrap();
        let jitter = u32::try_from(numbers.below(1000)).unwrap();
        let step = whole.mul_f64(1.1) / kills;
        std::thread::sleep(step * kill + step * jitter / 1000);
        child.kill().unwrap();
        child.wait().unwrap();
        if index.join("CURRENT").exists() {
            assert_eq!(parts(&one), parts(&index), "kill {kill}");
            assert_eq!(run_of(&index, &at("q.jsonl")), wanted);
            fs::remove_dir_all(&index).unwrap();
            done += 1;
        } else {
            fails(&["inspect", text(&index)], 3);
            nothing += 1;
        }
    }
    note(&format!("{kills} kills over {whole:?}: {nothing} left nothing, {done} the whole index"));
    assert!(nothing > 0, "no kill came before the commit");
    assert!(merge(&index).status().unwrap().success());
    assert_eq!(parts(&one), parts(&index));
    assert!(!index.join("build").exists());
}
