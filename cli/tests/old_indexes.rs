//! Indexes that earlier versions wrote, with the rankings that these gave: they open and give them still,
//! or they are refused with a command that makes an index of them which does.
//!
//! A folder of `tests/old` has the indexes of one version; its name is the last commit that wrote them so.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{fails, names, ok, quarry, said, text};
use serde_json::{Value, json};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

/// Hits of each query, in order.
type Rankings = BTreeMap<String, Vec<(String, f64)>>;

/// How a ranking must agree with the recorded one.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Agrees {
    /// The same documents in the same order, with the same scores.
    Exactly,
    /// It has as much of the exact ranking as the recorded one, or all but a twentieth of it.
    Approximately,
    /// The same documents and scores as long as nothing deleted was left out: BM25 counts rows.
    Words,
}

/// Index, name of its recorded rankings, options of the search, how they agree.
const SEARCHES: [(&str, &str, &str, Agrees); 21] = [
    ("texts", "auto", "--queries questions.jsonl --method auto", Agrees::Approximately),
    ("texts", "exact", "--queries questions.jsonl --method exact", Agrees::Exactly),
    ("texts", "scan", "--queries questions.jsonl --method scan", Agrees::Exactly),
    ("texts", "impact", "--queries questions.jsonl --method impact", Agrees::Approximately),
    ("texts", "seismic", "--queries questions.jsonl --method seismic", Agrees::Approximately),
    ("texts", "clusters", "--queries questions.jsonl --method clusters", Agrees::Approximately),
    (
        "texts",
        "filtered",
        "--queries questions.jsonl --method exact --filter 'year:[1960 TO 2000] AND NOT topic:bees'",
        Agrees::Exactly,
    ),
    (
        "texts",
        "dated",
        "--queries questions.jsonl --method exact \
         --filter 'printed:[1995-01-01T00:00:00Z TO 2005-01-01T00:00:00Z]'",
        Agrees::Exactly,
    ),
    ("texts", "bm25", "--queries questions.jsonl --channel bm25", Agrees::Words),
    ("texts", "rerank-int8", "--form int8 $RERANK", Agrees::Exactly),
    ("texts", "rerank-fp16", "--form fp16 $RERANK", Agrees::Exactly),
    ("texts", "rerank-4bit", "--form 4bit $RERANK", Agrees::Exactly),
    ("texts", "rerank-1bit", "--form 1bit $RERANK", Agrees::Exactly),
    (
        "texts",
        "maxsim",
        "--queries questions.jsonl --channel maxsim --token-model $TOKENS --device cpu",
        Agrees::Exactly,
    ),
    ("passages", "exact", "--queries questions.jsonl --method exact", Agrees::Exactly),
    ("passages", "impact", "--queries questions.jsonl --method impact", Agrees::Approximately),
    ("passages", "bm25", "--queries questions.jsonl --channel bm25", Agrees::Words),
    ("numbers", "exact", "--queries asked.bin --method exact", Agrees::Exactly),
    ("whole", "exact", "--queries asked-whole.bin --method exact", Agrees::Exactly),
    ("whole", "seismic", "--queries asked-whole.bin --method seismic", Agrees::Approximately),
    ("words", "bm25", "--queries questions.jsonl --channel bm25", Agrees::Words),
];

const RERANK: &str = "--queries questions.jsonl --rerank --token-model $TOKENS --device cpu \
                      --alpha off --beta off --weight 0";

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/old")
}

/// The folders of old indexes.
fn versions() -> Vec<PathBuf> {
    let all = names(&here()).into_iter().map(|name| here().join(name)).filter(|path| path.is_dir());
    let all: Vec<PathBuf> = all.collect();
    assert!(!all.is_empty());
    all
}

/// A search as it was recorded, in the folder of the recorded files.
fn search(version: &Path, index: &Path, options: &str) -> Output {
    let tokens =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../encoders/tests/multivector/colbert-bert");
    let options = options.replace("$RERANK", RERANK).replace("$TOKENS", text(&tokens));
    let script = format!("exec \"$0\" search \"$1\" -k 10 {options}");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_quarry")]).arg(index).current_dir(version);
    command.output().unwrap()
}

fn read(run: &str) -> Rankings {
    let mut found = Rankings::new();
    for line in run.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let hits = found.entry(fields[0].to_owned()).or_default();
        hits.push((fields[2].to_owned(), fields[4].parse().unwrap()));
    }
    found
}

fn recorded(version: &Path, index: &str, name: &str) -> Rankings {
    read(&fs::read_to_string(version.join(format!("{index}.{name}.run"))).unwrap())
}

fn ids(hits: &[(String, f64)]) -> Vec<&str> {
    hits.iter().map(|hit| hit.0.as_str()).collect()
}

/// The share of the hits of `of` that `found` has.
fn overlap(found: &Rankings, of: &Rankings) -> f64 {
    let total: usize = of.values().map(Vec::len).sum();
    let shared = of.iter().map(|(query, hits)| {
        let here = found.get(query).map(|hits| ids(hits)).unwrap_or_default();
        hits.iter().filter(|hit| here.contains(&hit.0.as_str())).count()
    });
    f64::from(u32::try_from(shared.sum::<usize>()).unwrap())
        / f64::from(u32::try_from(total.max(1)).unwrap())
}

#[track_caller]
fn assert_same(found: &Rankings, want: &Rankings, tolerance: f64, what: &str) {
    assert_eq!(found.len(), want.len(), "{what}");
    for (query, want) in want {
        let found = &found[query];
        assert_eq!(found.len(), want.len(), "{what}, query {query}");
        for (at, (found, want)) in found.iter().zip(want).enumerate() {
            let near = (found.1 - want.1).abs() <= tolerance * want.1.abs();
            assert!(
                near && found.0 == want.0,
                "{what}, query {query}, rank {}: {found:?}, {want:?}",
                at + 1
            );
        }
    }
}

/// Every recorded search over the indexes that `place` names; `anew` where they were written again.
fn assert_rankings(version: &Path, place: &dyn Fn(&str) -> PathBuf, anew: bool) {
    for (index, name, options, agrees) in SEARCHES {
        let what = format!("{}, {index}, {name}", version.display());
        let output = search(version, &place(index), options);
        assert!(output.status.success(), "{what}: {}", said(&output));
        let found = read(&String::from_utf8(output.stdout).unwrap());
        let want = recorded(version, index, name);
        match agrees {
            Agrees::Words if anew => {
                assert!(overlap(&found, &want) >= 0.9, "{what}: {}", overlap(&found, &want));
            }
            // Rounded anew, a score may differ in its fourth digit.
            Agrees::Exactly | Agrees::Words => {
                assert_same(&found, &want, if anew { 1e-3 } else { 1e-6 }, &what);
            }
            Agrees::Approximately => {
                let exact = recorded(version, index, "exact");
                let (now, before) = (overlap(&found, &exact), overlap(&want, &exact));
                // Fewer rows and other blocks: near enough, when written again.
                let least = if anew { before - 0.1 } else { before.min(0.95) };
                assert!(now >= least, "{what}: {now}, {before} then");
            }
        }
    }
    // The words that weights come from.
    let texts = place("texts");
    let question = ["search", text(&texts), "how does a glacier move", "-k", "5", "--explain"];
    let origins = |shown: &str| -> Vec<String> {
        shown
            .split("from \"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .collect()
    };
    let then = fs::read_to_string(version.join("texts.explained")).unwrap();
    assert!(origins(&then).len() > 10);
    assert_eq!(origins(&ok(&question)), origins(&then));
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for name in names(from) {
        fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

/// Runs a command as it was printed, with the program under test as `quarry`.
fn as_printed(dir: &TempDir, command: &str) {
    let bin = dir.path().join("bin");
    if !bin.exists() {
        fs::create_dir(&bin).unwrap();
        let wrapper = format!("#!/bin/sh\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_quarry"));
        fs::write(bin.join("quarry"), wrapper).unwrap();
    }
    let script = format!("quarry() {{ sh '{}' \"$@\"; }}; {command}", text(&bin.join("quarry")));
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", said(&output));
}

/// The command between backquotes of a message.
fn command_of(message: &str) -> &str {
    let start =
        message.find("`quarry upgrade ").unwrap_or_else(|| panic!("no way on: {message}")) + 1;
    &message[start..start + message[start..].find('`').unwrap()]
}

/// Where the index can be read: it, or what the command that its refusal prints made of it.
fn readable(dir: &TempDir, at: &Path) -> PathBuf {
    let output = quarry(&["search", text(at), "x", "--channel", "bm25"]).output().unwrap();
    let refused = output.status.code() == Some(3) && said(&output).contains("version");
    if !refused {
        return at.to_path_buf();
    }
    let message = said(&output);
    as_printed(dir, command_of(&message));
    let out = at.with_file_name(format!("{}.upgraded", at.file_name().unwrap().to_str().unwrap()));
    assert!(out.join("CURRENT").is_file(), "{message}");
    out
}

#[test]
fn old_indexes_give_their_rankings_or_name_the_way() {
    for version in versions() {
        let dir = tempfile::tempdir().unwrap();
        let mut places = BTreeMap::new();
        for index in names(&version).into_iter().filter(|name| version.join(name).is_dir()) {
            let at = dir.path().join(&index);
            copied(&version.join(&index), &at);
            places.insert(index, readable(&dir, &at));
        }
        let anew = places.values().any(|place| text(place).ends_with(".upgraded"));
        assert_rankings(&version, &|index| places[index].clone(), anew);
    }
}

/// `quarry upgrade` makes indexes of this version, with what the old ones had, or says that they are.
#[test]
fn upgraded_indexes_give_the_rankings_of_the_old_ones() {
    for version in versions() {
        let dir = tempfile::tempdir().unwrap();
        for index in names(&version).into_iter().filter(|name| version.join(name).is_dir()) {
            let at = dir.path().join(&index);
            copied(&version.join(&index), &at);
            outdate(&at);
            let before = names(&at);
            let out = dir.path().join(format!("{index}.upgraded"));
            let report: Value =
                serde_json::from_str(&ok(&["upgrade", text(&at), text(&out), "--json"])).unwrap();
            assert!(!report["outdated"].as_array().unwrap().is_empty(), "{index}: {report}");
            assert_eq!(names(&at), before, "an upgrade only reads");
            let again = fails(&["upgrade", text(&out), text(&dir.path().join("again"))], 5);
            assert!(again.contains("nothing to upgrade"), "{again}");
            assert!(!dir.path().join("again").exists());
            let refused = quarry(&["upgrade", text(&at), text(&out)]).output().unwrap();
            assert_eq!(refused.status.code(), Some(5), "{}", said(&refused));
            ok(&["upgrade", text(&at), text(&out), "--overwrite"]);
        }
        let place = |index: &str| dir.path().join(format!("{index}.upgraded"));
        assert_rankings(&version, &place, true);
        // Nothing is lost on the way: the kinds of parts, but for what deletions left.
        for index in ["texts", "passages", "numbers", "whole", "words"] {
            let kinds = |at: &Path| -> Vec<String> {
                let shown: Value =
                    serde_json::from_str(&ok(&["inspect", text(at), "--json"])).unwrap();
                let mut kinds: Vec<String> = shown["manifest"]["segments"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .flat_map(|segment| segment["parts"].as_array().unwrap())
                    .map(|part| part["kind"].as_str().unwrap().to_owned())
                    .filter(|kind| kind != "deleted" && kind != "calibration")
                    .collect();
                kinds.sort();
                kinds
            };
            assert_eq!(kinds(&place(index)), kinds(&version.join(index)), "{index}");
        }
        // What is added goes on as before: the same model, passages and fields.
        let more = dir.path().join("more.jsonl");
        fs::write(&more, "{\"_id\": \"new\", \"text\": \"A rope of ice.\", \"year\": 2001}\n")
            .unwrap();
        let words = ok(&["add", text(&place("words")), text(&more), "--json"]);
        assert_eq!(serde_json::from_str::<Value>(&words).unwrap()["added"], 1);
    }
}

/// Lists of a version that no reader knows any more are made anew by the command that is printed, also
/// in a folder whose name a shell would take apart.
#[test]
fn lists_of_a_version_that_is_not_read_any_more() {
    for version in versions() {
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("it's an index");
        copied(&version.join("texts"), &odd);
        let mut places = 0;
        edit(&odd, |part| {
            let lists = ["seismic", "impact", "clusters"].contains(&part["kind"].as_str().unwrap());
            places += u32::from(lists);
            lists.then_some(0)
        });
        assert_eq!(places, 9);
        let upgraded = readable(&dir, &odd);
        assert!(text(&upgraded).ends_with("it's an index.upgraded"));
        let output = search(&version, &upgraded, "--queries questions.jsonl --method exact");
        let found = read(&String::from_utf8(output.stdout).unwrap());
        assert_same(&found, &recorded(&version, "texts", "exact"), 1e-3, "lists made anew");
    }
}

/// Makes an index one of another version, also where its own is the current one.
fn outdate(folder: &Path) {
    edit(folder, |part| {
        let lists = ["seismic", "impact", "clusters"].contains(&part["kind"].as_str().unwrap());
        lists.then_some(0)
    });
    // Every segment has a document table; the manifest's word is enough to have it written again.
    edit_manifest(folder, |manifest| {
        for segment in manifest["segments"].as_array_mut().unwrap() {
            for part in segment["parts"].as_array_mut().unwrap() {
                if part["kind"] == "documents" {
                    part["version"] = json!(0);
                }
            }
        }
    });
}

/// Gives parts another version, with checksums that fit.
fn edit(folder: &Path, mut version: impl FnMut(&Value) -> Option<u32>) {
    edit_manifest(folder, |manifest| {
        for segment in manifest["segments"].as_array_mut().unwrap() {
            for part in segment["parts"].as_array_mut().unwrap() {
                let Some(version) = version(part) else { continue };
                let path = folder.join(part["file"].as_str().unwrap());
                let mut bytes = fs::read(&path).unwrap();
                bytes[12..16].copy_from_slice(&version.to_le_bytes());
                let end = bytes.len() - 8;
                let checksum = xxh3_64(&bytes[..end]);
                bytes[end..].copy_from_slice(&checksum.to_le_bytes());
                fs::write(&path, bytes).unwrap();
                part["version"] = json!(version);
                part["checksum"] = json!(format!("{checksum:016x}"));
            }
        }
    });
}

fn edit_manifest(folder: &Path, change: impl FnOnce(&mut Value)) {
    let current = folder.join("CURRENT");
    let mut value: Value = serde_json::from_slice(&fs::read(&current).unwrap()).unwrap();
    let path = folder.join(value["manifest"].as_str().unwrap());
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    let bytes = serde_json::to_vec_pretty(&manifest).unwrap();
    fs::write(&path, &bytes).unwrap();
    value["bytes"] = json!(bytes.len());
    value["checksum"] = json!(format!("{:016x}", xxh3_64(&bytes)));
    fs::write(&current, serde_json::to_vec_pretty(&value).unwrap()).unwrap();
}
