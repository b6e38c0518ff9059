//! What a reader must refuse, and with which error (FORMAT.md, "Reading"). Each case spoils a copy
//! of the golden index with every kind of part in one way.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::type_complexity,
    dead_code,
    reason = "a test fails by it"
)]

mod golden_copy;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use golden_copy::{
    copy_of, copy_whole as copy, each_part, edit_manifest, file_in, golden, manifest_name,
    names_in, refusal, replace_part, whole,
};
use proptest::prelude::*;
use quarry_index::container::Part;
use quarry_index::{Index, IndexError, Verify, kinds};
use quarry_vectors::{DocId, TermId};
use serde_json::{Value, json};

/// All of [`quarry_index::kinds::all`]; tantivy's last.
const PARTS: [&str; 15] = [
    "lexicon",
    "documents",
    "deleted",
    "forward",
    "seismic",
    "impact",
    "words",
    "clusters",
    "calibration",
    "tokens",
    "neighbours",
    "dense",
    "provenance",
    "versions",
    "text",
];
const OWN_PARTS: &[&str] = PARTS.split_at(PARTS.len() - 1).0;
const ASSETS: [&str; 2] = ["tokenizer", "query-table"];

fn file_of(kind: &str) -> String {
    file_in(&whole(), kind)
}

/// The variant's name: what the tests compare.
fn kind_of(error: &IndexError) -> &'static str {
    match error {
        IndexError::Io { .. } => "Io",
        IndexError::NoIndex { .. } => "NoIndex",
        IndexError::Foreign { .. } => "Foreign",
        IndexError::Version { .. } => "Version",
        IndexError::Length { .. } => "Length",
        IndexError::Checksum { .. } => "Checksum",
        IndexError::Swapped { .. } => "Swapped",
        IndexError::Corrupt { .. } => "Corrupt",
        IndexError::UnknownPart { .. } => "UnknownPart",
        IndexError::Text { .. } => "Text",
        _ => "another",
    }
}

#[track_caller]
fn assert_refused(folder: &Path, allowed: &[&str], what: &str) {
    match refusal(folder) {
        None => panic!("{what}: opened"),
        Some(error) => {
            let found = kind_of(&error);
            assert!(allowed.contains(&found), "{what}: {error:?}, expected one of {allowed:?}");
        }
    }
}

/// The errors that a flipped bit at `at` of a part may give.
fn allowed_at(bytes: &[u8], at: usize) -> &'static [&'static str] {
    let trailer = bytes.len() - 64;
    let table = u64::from_le_bytes(bytes[trailer..trailer + 8].try_into().unwrap());
    let table = usize::try_from(table).unwrap();
    if at < 8 {
        &["Foreign"]
    } else if at < 16 {
        &["Version"]
    } else if at < 32 {
        &["Swapped"]
    } else if at < table {
        &["Checksum"]
    } else if at < trailer + 24 {
        // Places outside the file are seen before the checksum is computed.
        &["Checksum", "Corrupt"]
    } else if at < trailer + 48 {
        &["Checksum"]
    } else if at < trailer + 56 {
        &["Foreign"]
    } else {
        &["Checksum", "Swapped"]
    }
}

/// Where a part of this length is spoilt: the first and the last 512 bytes, and every eleventh between.
fn places(length: usize) -> impl Iterator<Item = usize> {
    (0..length).filter(move |at| *at < 512 || at + 512 > length || at % 11 == 0)
}

#[test]
fn every_kind_is_spoilt() {
    let all = kinds::all().map(|kind| kind.name).collect::<BTreeSet<_>>();
    assert_eq!(BTreeSet::from(PARTS), all);
    let found = golden_copy::kinds(&whole());
    assert!(PARTS.iter().chain(&ASSETS).all(|kind| found.contains(*kind)), "{found:?}");
}

#[test]
fn a_flipped_bit_anywhere_in_a_part() {
    for kind in PARTS {
        let folder = copy();
        let path = folder.path().join(file_of(kind));
        let bytes = fs::read(&path).unwrap();
        for at in places(bytes.len()) {
            let mut spoilt = bytes.clone();
            spoilt[at] ^= 1 << (at % 8);
            fs::write(&path, &spoilt).unwrap();
            let what = format!("{kind}, byte {at} of {}", bytes.len());
            assert_refused(folder.path(), allowed_at(&bytes, at), &what);
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_in_json() {
    let folder = copy();
    let manifest = manifest_name(folder.path());
    let assets = ASSETS.map(file_of);
    let cases: [(&str, &[&str]); 4] = [
        (&assets[0], &["Checksum"]),
        (&assets[1], &["Checksum"]),
        (&manifest, &["Checksum"]),
        ("CURRENT", &["Foreign", "Corrupt", "Length", "Checksum"]),
    ];
    for (name, allowed) in cases {
        let path = folder.path().join(name);
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            for bit in [at % 8, 5] {
                let mut spoilt = bytes.clone();
                spoilt[at] ^= 1 << bit;
                fs::write(&path, &spoilt).unwrap();
                assert_refused(folder.path(), allowed, &format!("{name}, byte {at}, bit {bit}"));
            }
        }
        fs::write(&path, &bytes).unwrap();
    }
}

#[test]
fn cut_and_grown_files() {
    for name in names_in(&whole()) {
        let folder = copy();
        let path = folder.path().join(&name);
        let bytes = fs::read(&path).unwrap();
        let allowed: &[&str] = if name == "CURRENT" { &["Foreign"] } else { &["Length"] };
        let content = bytes.trim_ascii_end().len();
        for length in [0, 1, 7, 63, 64, 127, content / 2, content - 8, content - 1] {
            let length = length.min(content - 1);
            fs::write(&path, &bytes[..length]).unwrap();
            assert_refused(folder.path(), allowed, &format!("{name} cut to {length}"));
        }
        fs::write(&path, [bytes.as_slice(), b"x"].concat()).unwrap();
        assert_refused(folder.path(), allowed, &format!("{name} grown by a byte"));
    }
}

#[test]
fn a_cut_part_is_refused_without_a_manifest() {
    let folder = copy();
    let path = folder.path().join(file_of("forward"));
    let bytes = fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        for verify in [Verify::Full, Verify::Envelope] {
            let error = Part::open(&path, "forward", 1..3, verify).unwrap_err();
            assert_eq!(kind_of(&error), "Foreign", "cut to {length}: {error}");
        }
    }
}

#[test]
fn another_part_in_its_place() {
    for (kind, other) in PARTS.into_iter().zip(PARTS.into_iter().cycle().skip(1)) {
        let folder = copy();
        let stranger = fs::read(folder.path().join(file_of(other))).unwrap();
        fs::write(folder.path().join(file_of(kind)), &stranger).unwrap();
        assert_refused(folder.path(), &["Length"], kind);
        edit_manifest(folder.path(), |manifest| {
            each_part(manifest, |part| {
                if part["kind"] == kind {
                    part["bytes"] = stranger.len().into();
                }
            });
        });
        match refusal(folder.path()).unwrap() {
            IndexError::Swapped { found, expected, path } => {
                assert_eq!(found, format!("part kind `{other}`"));
                assert_eq!(expected, format!("`{kind}`"));
                assert!(path.ends_with(file_of(kind)));
            }
            error => panic!("{kind}: {error:?}"),
        }
    }
}

#[test]
fn a_part_of_the_same_kind_from_another_build() {
    for kind in PARTS {
        let folder = copy();
        let whole = copy();
        let mut bytes = fs::read(folder.path().join(file_of(kind))).unwrap();
        // A sound part that differs in a reserved byte: same kind, same length.
        bytes[40] = 1;
        replace_part(whole.path(), kind, &mut bytes);
        assert!(refusal(whole.path()).is_none(), "{kind}: reserved bytes have no meaning");
        fs::write(folder.path().join(file_of(kind)), &bytes).unwrap();
        assert_refused(folder.path(), &["Swapped"], kind);
    }
}

#[test]
fn foreign_bytes() {
    for name in names_in(&whole()) {
        let folder = copy();
        let path = folder.path().join(&name);
        let length = usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
        fs::write(&path, &b"PK\x03\x04 something else ".repeat(length)[..length]).unwrap();
        let allowed: &[&str] =
            if name == "CURRENT" || name.ends_with(".qry") { &["Foreign"] } else { &["Checksum"] };
        assert_refused(folder.path(), allowed, &name);
    }
}

#[test]
fn other_versions() {
    #[track_caller]
    fn assert_version(folder: &Path, name: &str, number: u32) {
        let error = refusal(folder).unwrap();
        match &error {
            IndexError::Version { what, found, oldest, newest, .. } => {
                assert_eq!((what.as_str(), *found), (name, number));
                assert_eq!(*oldest..=*newest, read(name));
                let derived = kinds::find(name).is_some_and(|kind| kind.derived);
                let way_on = match (number < *oldest, derived) {
                    (false, _) => "a newer quarry".to_owned(),
                    (true, true) => format!("`quarry upgrade {}", folder.display()),
                    (true, false) => "build the index again".to_owned(),
                };
                assert!(error.to_string().contains(&way_on), "{error}");
            }
            other => panic!("{name} {number}: {other:?}"),
        }
    }
    /// The versions that are read.
    fn read(name: &str) -> std::ops::RangeInclusive<u32> {
        match name {
            "seismic" => 2..=2,
            "index format" | "container" => 1..=1,
            "lexicon" => 1..=2,
            kind => 1..=kinds::find(kind).unwrap().version,
        }
    }
    for number in [0u32, 1, 2, 7_000_000, u32::MAX - 1] {
        for kind in PARTS {
            let places = [(8, "container"), (12, kind)];
            for (at, what) in places.into_iter().filter(|place| !read(place.1).contains(&number)) {
                let folder = copy();
                let mut bytes = fs::read(folder.path().join(file_of(kind))).unwrap();
                bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
                replace_part(folder.path(), kind, &mut bytes);
                assert_version(folder.path(), what, number);
            }
        }
        if read("index format").contains(&number) {
            continue;
        }
        let folder = copy();
        edit_manifest(folder.path(), |manifest| {
            // A newer format may say everything else in other words.
            *manifest = json!({"magic": "quarry-index", "format": number, "fragments": []});
        });
        assert_version(folder.path(), "index format", number);
    }
}

#[test]
fn unknown_kinds_of_parts() {
    let add = |folder: &Path, place: &str, required: bool| {
        fs::write(folder.join("future.qry"), b"of a later release").unwrap();
        edit_manifest(folder, |manifest| {
            let list = match place {
                "assets" => &mut manifest["assets"],
                _ => &mut manifest["segments"][0]["parts"],
            };
            list.as_array_mut().unwrap().push(json!({
                "kind": "deletions", "version": 3, "file": "future.qry", "bytes": 18,
                "checksum": "0000000000000000", "required": required,
            }));
        });
    };
    for place in ["assets", "segments"] {
        let folder = copy();
        add(folder.path(), place, false);
        let index = Index::open(folder.path(), Verify::Full).unwrap();
        walk(&index);
        drop(index);
        fs::remove_file(folder.path().join("future.qry")).unwrap();
        assert_refused(folder.path(), &["Io"], "an unknown part that is missing");
        let folder = copy();
        add(folder.path(), place, true);
        match refusal(folder.path()).unwrap() {
            IndexError::UnknownPart { kind, version, path } => {
                assert_eq!((kind.as_str(), version), ("deletions", 3));
                assert!(path.ends_with(manifest_name(folder.path())));
            }
            error => panic!("{error:?}"),
        }
    }
}

#[test]
fn unknown_keys_of_the_manifest_are_skipped() {
    let folder = copy();
    edit_manifest(folder.path(), |manifest| {
        manifest["later"] = json!({"a": 1});
        manifest["segments"][0]["later"] = json!([]);
        each_part(manifest, |part| part["later"] = json!(true));
    });
    assert!(refusal(folder.path()).is_none());
}

#[test]
fn missing_files() {
    for name in names_in(&whole()).into_iter().filter(|n| n != "CURRENT") {
        let folder = copy();
        fs::remove_file(folder.path().join(&name)).unwrap();
        match refusal(folder.path()).unwrap() {
            IndexError::Io { path, source } => {
                assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
                assert!(path.ends_with(&name));
            }
            // Not the file that is lacking is said to be damaged, but the one that names it.
            IndexError::Corrupt { path, what } if name.starts_with("manifest-") => {
                assert!(path.ends_with("CURRENT") && what.contains(&name), "{what}");
            }
            error => panic!("{name}: {error:?}"),
        }
    }
}

#[test]
fn no_index() {
    let interrupted = |folder: &Path| match refusal(folder).unwrap() {
        IndexError::NoIndex { interrupted, .. } => interrupted,
        error => panic!("{error:?}"),
    };
    let folder = copy();
    fs::remove_file(folder.path().join("CURRENT")).unwrap();
    assert!(!interrupted(folder.path()));
    fs::create_dir(folder.path().join("build")).unwrap();
    assert!(!interrupted(folder.path()), "that may be anybody's");
    fs::write(folder.path().join("build/job.json"), "{}").unwrap();
    assert!(interrupted(folder.path()));
    let nowhere = refusal(&folder.path().join("nowhere")).unwrap();
    assert!(matches!(nowhere, IndexError::NoFolder { .. }), "{nowhere:?}");
}

#[test]
fn current_of_something_else() {
    for content in ["", "{}", "MANIFEST-000004\n", "null", "[]", "{\"magic\": \"quarry-index\"}"] {
        let folder = copy();
        fs::write(folder.path().join("CURRENT"), content).unwrap();
        assert_refused(folder.path(), &["Foreign"], content);
    }
    let folder = copy();
    fs::write(folder.path().join(manifest_name(folder.path())), "{}").unwrap();
    edit_manifest(folder.path(), |manifest| *manifest = json!({"format": 1}));
    assert_refused(folder.path(), &["Foreign"], "a manifest without magic");
    edit_manifest(folder.path(), |manifest| {
        *manifest = json!({"magic": "quarry-index", "format": 1});
    });
    assert_refused(folder.path(), &["Corrupt"], "a manifest that lacks fields");
}

#[test]
fn names_that_leave_the_folder() {
    for name in ["../outside.qry", "a/b.qry", "a\\b.qry", "..", ".hidden", "/etc/passwd"] {
        let folder = copy();
        edit_manifest(folder.path(), |manifest| {
            manifest["segments"][0]["parts"][1]["file"] = json!(name);
        });
        assert_refused(folder.path(), &["Corrupt"], name);
    }
    let folder = copy();
    let path = folder.path().join("CURRENT");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("manifest-", "../manifest-")).unwrap();
    assert_refused(folder.path(), &["Corrupt"], "CURRENT that names a path");
}

#[test]
fn parts_that_do_not_fit_together() {
    let cases: [(&str, fn(&mut Value)); 4] = [
        ("rows", |m| m["segments"][0]["rows"] = json!(16)),
        ("no document table", |m| {
            let parts = m["segments"][0]["parts"].as_array_mut().unwrap();
            parts.retain(|p| p["kind"] != "documents");
        }),
        ("no lexicon", |m| {
            m["assets"].as_array_mut().unwrap().retain(|p| p["kind"] != "lexicon");
        }),
        ("twice the same segment's id table", |m| m["segments"][0]["parts"][0]["bytes"] = json!(1)),
    ];
    for (what, edit) in cases {
        let folder = copy();
        edit_manifest(folder.path(), edit);
        assert_refused(folder.path(), &["Corrupt", "Length"], what);
    }
}

/// Reads everything that an index gives out.
fn walk(index: &Index) {
    if let Some(lexicon) = index.lexicon() {
        for term in 0..lexicon.len().min(1000) {
            let token = lexicon.token(TermId(term));
            let _ = lexicon.term(&token);
        }
        let _ = lexicon.term("rock");
        let _ = lexicon.token(TermId(u32::MAX));
    }
    for segment in index.segments() {
        let documents = segment.documents();
        for row in (0..).take(documents.len()) {
            let id = documents.id(DocId(row));
            let _ = documents.find(id).count();
            let _ = documents.passage(DocId(row));
        }
        let _ = documents.find("d07").count();
        if let Some(forward) = segment.forward() {
            for row in (0..).take(forward.len()) {
                let _ = forward.record(DocId(row)).iter().map(|c| u64::from(c.0)).sum::<u64>();
                let _ = forward.vector(DocId(row));
            }
            forward.scan::<IndexError>(|_, record| record.iter().try_for_each(|_| Ok(()))).unwrap();
        }
        if let Some(lists) = segment.impact() {
            let view = lists.view().unwrap();
            for term in (0..lists.meta().lists.min(1000) + 1).map(TermId) {
                let _ = view.directory(term).map(|d| (d.len(), d.high(15), d.typical(0)));
                let _ = quarry_index::impact::decode(view.meta(), view.postings(term)).len();
            }
        }
        if let Some(words) = segment.words() {
            let view = words.lists().view().unwrap();
            for list in (0..words.lists().meta().lists.min(1000) + 1).map(TermId) {
                let _ = quarry_index::impact::decode(view.meta(), view.postings(list)).len();
                let _ = words.number(u64::from(list.0)).unwrap();
            }
        }
        let _ = segment.calibration().map(|c| c.curves.len());
        let _ = segment.deleted().map(|rows| rows.iter().map(u64::from).sum::<u64>());
        if let Some(origins) = segment.provenance() {
            for row in (0..).take(documents.len()) {
                let components = segment.forward().map_or(0, |f| f.record(DocId(row)).len());
                let _ = origins.origins(DocId(row), components);
            }
        }
        if let Some(tokens) = segment.tokens() {
            for row in (0..).take(tokens.documents()) {
                let _ = (tokens.rows(DocId(row)), tokens.document(DocId(row)));
            }
            let _ = (tokens.int8(), tokens.fp16(), tokens.residual(), tokens.signs());
        }
        if let Some(clusters) = segment.clusters() {
            let runs = clusters.runs().unwrap();
            for cluster in 0..clusters.meta().clusters.min(1000) + 1 {
                let _ = runs.rows(cluster);
            }
            let view = clusters.summaries().view().unwrap();
            for term in (0..clusters.summaries().meta().lists.min(1000) + 1).map(TermId) {
                let _ = quarry_index::impact::decode(view.meta(), view.postings(term)).len();
            }
        }
        if let Some(lists) = segment.seismic() {
            let view = lists.view().unwrap();
            lists.sizes().unwrap();
            for term in 0..lists.meta().lists.min(1000) + 1 {
                assert_eq!(view.decode(TermId(term)).len(), view.blocks(TermId(term)).len());
                for block in view.blocks(TermId(term)) {
                    let _ = view.docs(block).iter().map(|d| u64::from(*d)).sum::<u64>();
                    let _ = view.scale(block);
                }
            }
        }
    }
}

#[test]
fn unverified_damage_does_not_panic() {
    // Also of the versions before.
    let old = |kind: &str| golden_copy::kinds(&golden()).contains(kind).then(golden);
    for (kind, from) in OWN_PARTS
        .iter()
        .flat_map(|kind| old(kind).into_iter().chain([whole()]).map(move |from| (*kind, from)))
    {
        let folder = copy_of(&from);
        let path = folder.path().join(file_in(&from, kind));
        let bytes = fs::read(&path).unwrap();
        let mut opened = 0;
        for at in places(bytes.len()) {
            let mut spoilt = bytes.clone();
            spoilt[at] ^= if at % 2 == 0 { 1 } else { 1 << 7 };
            fs::write(&path, &spoilt).unwrap();
            if let Ok(index) = Index::open(folder.path(), Verify::Envelope) {
                walk(&index);
                opened += 1;
            }
        }
        assert!(opened > 0, "{kind}: damaged data is not seen by the envelope alone");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whoever computes a checksum over nonsense gets an error or nonsense, but no panic.
    #[test]
    fn nonsense_under_a_valid_checksum_does_not_panic(
        (kind, old) in (prop::sample::select(OWN_PARTS), any::<bool>()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        words in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(&[0u32, 1, 12, 13, 255, u32::MAX][..])),
            0..4,
        ),
    ) {
        // Also of the versions before.
        let old = old && golden_copy::kinds(&golden()).contains(kind);
        let from = if old { golden() } else { whole() };
        let folder = copy_of(&from);
        let mut bytes = fs::read(from.join(file_in(&from, kind))).unwrap();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        for (at, value) in words {
            let at = at.index(bytes.len() / 4) * 4;
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        replace_part(folder.path(), kind, &mut bytes);
        for verify in [Verify::Full, Verify::Envelope] {
            if let Ok(index) = Index::open(folder.path(), verify) {
                walk(&index);
            }
        }
    }
}
