//! What is written is read back as it was; spoilt CIFF is refused, and takes no memory.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by it"
)]

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use prost::Message;
use quarry_datasets::export::{
    CiffExport, CiffReport, VectorRecord, Visit, write_ciff, write_csr, write_json_line,
    write_name, write_seismic_bin,
};
use quarry_datasets::{
    CollectionFormat, CollectionOptions, DatasetError, OutputFile, open_collection,
};
use quarry_vectors::{Document, InputVector, SparseVector};
use serde_json::{Map, Value, json};

type Rows = Vec<(String, SparseVector)>;

fn pass(rows: &Rows) -> impl Fn(Visit<'_, DatasetError>) -> Result<(), DatasetError> + '_ {
    |each| rows.iter().try_for_each(|(id, vector)| each(id, vector))
}

/// Documents with ids that are no ordinals; vectors may be empty.
fn rows() -> impl Strategy<Value = Rows> {
    let vector = prop::collection::btree_map(0u32..40, 0.001f32..60.0, 0..12);
    prop::collection::vec(vector, 0..25).prop_map(|vectors| {
        let vector = |v: BTreeMap<u32, f32>| SparseVector::from_pairs(v).unwrap();
        vectors.into_iter().enumerate().map(|(n, v)| (format!("d {n}é"), vector(v))).collect()
    })
}

/// Tokens that do not sort as their numbers do.
fn tokens(count: u32) -> Vec<String> {
    (0..count).map(|t| format!("{}t{t}", ["", "##", "é"][t as usize % 3])).collect()
}

fn read(path: &Path, options: &CollectionOptions) -> Result<Vec<Document>, DatasetError> {
    let mut reader = open_collection(path, options)?;
    let documents = reader.by_ref().collect::<Result<Vec<_>, _>>()?;
    assert_eq!(reader.bytes_read(), reader.bytes_total());
    assert!(reader.documents_total().is_none_or(|n| n == documents.len() as u64));
    Ok(documents)
}

fn by_number(documents: &[Document]) -> Rows {
    let terms = |d: &Document| match &d.vector {
        Some(InputVector::Terms(vector)) => (d.id.clone(), vector.clone()),
        other => panic!("{other:?}"),
    };
    documents.iter().map(terms).collect()
}

fn by_token(documents: &[Document], tokens: &[String]) -> Rows {
    let number =
        |token: &String| u32::try_from(tokens.iter().position(|t| t == token).unwrap()).unwrap();
    let terms = |d: &Document| match &d.vector {
        Some(InputVector::Tokens(pairs)) => {
            let pairs = pairs.iter().map(|(token, weight)| (number(token), *weight));
            (d.id.clone(), SparseVector::from_pairs(pairs).unwrap())
        }
        other => panic!("{other:?}"),
    };
    documents.iter().map(terms).collect()
}

fn ciff(out: &mut Vec<u8>, rows: &Rows, bits: u32, scale: Option<f64>, memory: u64) -> CiffReport {
    let tokens = tokens(40);
    let export =
        CiffExport { tokens: &tokens, bits, scale, step: None, memory, description: "a test" };
    write_ciff(out, &export, &pass(rows)).unwrap()
}

/// One heavy weight asks for a scale at which the others' impacts say nothing.
#[test]
fn impacts_that_cannot_hold_the_weights_are_refused() {
    let weights =
        |n: u16| (0..10u16).map(move |t| (u32::from(t), 0.5 + f32::from(n * 10 + t) / 100.0));
    let mut rows: Rows =
        (0..30).map(|n| (format!("d{n}"), SparseVector::from_pairs(weights(n)).unwrap())).collect();
    let tokens = tokens(40);
    let write = |rows: &Rows, bits| {
        let export = CiffExport {
            tokens: &tokens,
            bits,
            scale: None,
            step: None,
            memory: 1 << 20,
            description: "",
        };
        write_ciff(&mut Vec::new(), &export, &pass(rows))
    };
    assert_eq!(write(&rows, 8).unwrap().distorted, 0);
    let pairs = rows[17].1.iter().chain([(39, 65_504.0)]).collect::<Vec<_>>();
    rows[17].1 = SparseVector::from_pairs(pairs).unwrap();
    let refused = write(&rows, 8).unwrap_err().to_string();
    for part in ["300 of 301 postings", "65504", "`d17`", "--bits 24"] {
        assert!(refused.contains(part), "{refused}");
    }
    let report = write(&rows, 24).unwrap();
    assert_eq!((report.distorted, report.distorted_lists.len()), (0, 0));
    // A few distorted impacts are written and named.
    rows[3].1 = SparseVector::from_pairs([(5, 0.001), (6, 0.001)]).unwrap();
    let report = write(&rows, 24).unwrap();
    assert_eq!(report.distorted, 2);
    let lists: Vec<&str> = report.distorted_lists.iter().map(|l| l.token.as_str()).collect();
    assert_eq!(lists, [tokens[6].as_str(), tokens[5].as_str()]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn binary_files_and_lines_are_read_back_to_the_bit(rows in rows(), end in prop::sample::select(vec!["", ".gz", ".zst"])) {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(format!("{name}{end}"));
        let mut ids = OutputFile::create(&at("ids"), false).unwrap();
        rows.iter().for_each(|(id, _)| write_name(&mut ids, "id", id).unwrap());
        ids.commit().unwrap();
        for (name, format) in
            [("x.bin", CollectionFormat::SeismicBin), ("x.csr", CollectionFormat::BigAnnCsr)]
        {
            let mut out = OutputFile::create(&at(name), false).unwrap();
            let written = match format {
                CollectionFormat::SeismicBin => write_seismic_bin(&mut out, &pass(&rows)),
                _ => write_csr(&mut out, 40, &pass(&rows)),
            };
            prop_assert_eq!(written.unwrap().documents, rows.len() as u64);
            prop_assert!(!at(name).exists());
            let bytes = out.commit().unwrap();
            prop_assert_eq!(bytes, at(name).metadata().unwrap().len());
            let options = CollectionOptions {
                format: Some(format), ids: Some(at("ids")), ..CollectionOptions::default()
            };
            prop_assert_eq!(&by_number(&read(&at(name), &options).unwrap()), &rows);
        }
        let tokens = tokens(40);
        let mut lines = OutputFile::create(&at("x.jsonl"), false).unwrap();
        for (id, vector) in &rows {
            let vector: Vec<(String, f32)> =
                vector.iter().map(|(t, w)| (tokens[t as usize].clone(), w)).collect();
            let record =
                VectorRecord { id, title: "", text: "", fields: &Map::new(), vector: &vector };
            write_json_line(&mut lines, &record).unwrap();
        }
        lines.commit().unwrap();
        if !rows.is_empty() {
            let found = read(&at("x.jsonl"), &CollectionOptions::default()).unwrap();
            prop_assert_eq!(by_token(&found, &tokens), rows);
        }
    }

    /// Whatever the memory, and so the number of passes, on both sides.
    #[test]
    fn ciff_is_read_back_as_impacts(
        rows in rows(),
        bits in 7u32..25,
        memory in prop::sample::select(vec![0u64, 64, 300, 1 << 20]),
        end in prop::sample::select(vec!["", ".gz"]),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("x.ciff{end}"));
        let (mut one, mut other) = (Vec::new(), Vec::new());
        let report = ciff(&mut one, &rows, bits, None, memory);
        ciff(&mut other, &rows, bits, None, 1 << 20);
        prop_assert!(one == other, "the memory shows in the file");
        prop_assert_eq!(report.documents, rows.len() as u64);
        let mut file = OutputFile::create(&path, false).unwrap();
        std::io::Write::write_all(&mut file, &one).unwrap();
        file.commit().unwrap();
        let options = CollectionOptions { memory, ..CollectionOptions::default() };
        let found = by_token(&read(&path, &options).unwrap(), &tokens(40));
        let most = f64::from((1u32 << bits) - 1);
        let want: Rows = rows.iter().map(|(id, vector)| {
            let impact = |w: f32| (f64::from(w) * report.scale).round().clamp(1.0, most) as f32;
            let pairs = vector.iter().map(|(t, w)| (t, impact(w)));
            (id.clone(), SparseVector::from_pairs(pairs).unwrap())
        }).collect();
        prop_assert_eq!(&found, &want);
        let impacts = || found.iter().flat_map(|(_, v)| v.weights());
        prop_assert!(impacts().next().is_none() || impacts().any(|w| f64::from(*w) == most));
        for ((_, impacts), (_, weights)) in found.iter().zip(&rows) {
            for (impact, weight) in impacts.weights().iter().zip(weights.weights()) {
                let error = (f64::from(*weight) - f64::from(*impact) / report.scale).abs();
                prop_assert!(error <= report.max_error);
            }
        }
    }

    #[test]
    fn multiples_of_a_step_lose_nothing(
        levels in prop::collection::vec(prop::collection::btree_map(0u32..40, 1u16..256, 0..9), 1..9),
        step in prop::sample::select(vec![0.01f64, 1.0, 0.0371]),
    ) {
        let weight = |level: u16| (f64::from(level) * step) as f32;
        let rows: Rows = levels.iter().enumerate().map(|(n, v)| {
            let pairs = v.iter().map(|(t, level)| (*t, weight(*level)));
            (n.to_string(), SparseVector::from_pairs(pairs).unwrap())
        }).collect();
        let mut bytes = Vec::new();
        ciff(&mut bytes, &rows, 8, Some(1.0 / step), 1 << 20);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let found = by_token(&read(file.path(), &CollectionOptions::default()).unwrap(), &tokens(40));
        for ((_, impacts), levels) in found.iter().zip(&levels) {
            let levels: Vec<f32> = levels.values().map(|l| f32::from(*l)).collect();
            prop_assert_eq!(impacts.weights(), levels);
        }
    }

    #[test]
    fn damage_of_ciff_is_no_panic(
        rows in rows(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut bytes = Vec::new();
        ciff(&mut bytes, &rows, 24, None, 1 << 20);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let options = CollectionOptions { format: Some(CollectionFormat::Ciff), ..CollectionOptions::default() };
        let _ = read(file.path(), &options).map(|documents| documents.len());
    }
}

/// CIFF's messages, said again: what the crate writes is not asked how it is read.
#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(int32, tag = "1")]
    version: i32,
    #[prost(int32, tag = "2")]
    lists: i32,
    #[prost(int32, tag = "3")]
    documents: i32,
    #[prost(string, tag = "8")]
    description: String,
}

#[derive(Clone, PartialEq, Message)]
struct List {
    #[prost(string, tag = "1")]
    term: String,
    #[prost(int64, tag = "2")]
    df: i64,
    #[prost(int64, tag = "3")]
    cf: i64,
    #[prost(message, repeated, tag = "4")]
    postings: Vec<Pair>,
}

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(int32, tag = "1")]
    docid: i32,
    #[prost(int32, tag = "2")]
    tf: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(int32, tag = "1")]
    docid: i32,
    #[prost(string, tag = "2")]
    id: String,
}

fn header(lists: i32, documents: i32) -> Vec<u8> {
    Header { version: 1, lists, documents, description: String::new() }
        .encode_length_delimited_to_vec()
}

fn list(term: &str, df: i64, postings: &[(i32, i32)]) -> Vec<u8> {
    let postings = postings.iter().map(|(docid, tf)| Pair { docid: *docid, tf: *tf }).collect();
    List { term: term.into(), df, cf: 0, postings }.encode_length_delimited_to_vec()
}

fn record(docid: i32, id: &str) -> Vec<u8> {
    Record { docid, id: id.into() }.encode_length_delimited_to_vec()
}

fn read_bytes(bytes: &[u8]) -> Result<Vec<Document>, DatasetError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let format = Some(CollectionFormat::Ciff);
    read(file.path(), &CollectionOptions { format, ..CollectionOptions::default() })
}

#[test]
fn ciff_of_others_is_read_and_spoilt_files_are_refused() {
    // Terms in any order: the format asks for none.
    let lists = [list("b", 2, &[(0, 3), (2, 1)]), list("a", 1, &[(1, 7)]), list("z", 1, &[(1, 0)])];
    let records = [record(0, "x"), record(1, "y"), record(2, "z")];
    let sound = [vec![header(3, 3)], lists.to_vec(), records.to_vec()].concat().concat();
    let documents = read_bytes(&sound).unwrap();
    let pairs = |d: &Document| match &d.vector {
        Some(InputVector::Tokens(pairs)) => pairs.clone(),
        other => panic!("{other:?}"),
    };
    let found: Vec<_> = documents.iter().map(|d| (d.id.as_str(), pairs(d))).collect();
    let one = |t: &str, w: f32| vec![(t.to_owned(), w)];
    assert_eq!(found, [("x", one("b", 3.0)), ("y", one("a", 7.0)), ("z", one("b", 1.0))]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &sound).unwrap();
    let looked = open_collection(file.path(), &CollectionOptions::default()).unwrap();
    assert_eq!(looked.format(), CollectionFormat::Ciff);

    for cut in 0..sound.len() {
        let error = read_bytes(&sound[..cut]).unwrap_err();
        assert!(matches!(error, DatasetError::Truncated { .. }), "cut at {cut}: {error}");
    }
    let of = |lists: &[Vec<u8>], records: &[Vec<u8>]| {
        let counts = (i32::try_from(lists.len()).unwrap(), i32::try_from(records.len()).unwrap());
        [vec![header(counts.0, counts.1)], lists.to_vec(), records.to_vec()].concat().concat()
    };
    let with = |bad: Vec<u8>| of(&[lists[0].clone(), bad], &records);
    let cases = [
        (with(list("c", 2, &[(0, 1)])), "postings list 1: expected as many postings as its df"),
        (with(list("c", 2, &[(0, 1), (0, 1)])), "postings list 1: expected docids that ascend"),
        (with(list("c", 2, &[(2, 1), (-1, 1)])), "docids that ascend"),
        (with(list("c", 1, &[(-1, 1)])), "docids that ascend"),
        (with(list("c", 1, &[(3, 1)])), "docid 3 of 3 documents"),
        (with(list("c", 2, &[(i32::MAX, 1), (i32::MAX, 1)])), "docids of the documents"),
        (with(list("c", 1, &[(0, -1)])), "frequencies of 0 to 16777216"),
        (with(list("c", 1, &[(0, i32::MAX)])), "frequencies of 0 to 16777216"),
        (with(list("", 1, &[(0, 1)])), "expected a term"),
        (with(list("b", 1, &[(0, 1)])), "postings list 1: expected a term that has no list before"),
        (with(vec![3, 0x0a, 0x01, 0xff]), "postings list 1: expected a message of CIFF"),
        (
            of(&lists, &[record(0, "x"), record(2, "y")]),
            "record 1: expected docids from 0 in order",
        ),
        (of(&lists, &[record(-1, "x")]), "docids from 0 in order"),
        (of(&lists[..1], &[record(0, "x"), record(1, "")]), "document record 1: the id is empty"),
        ([sound.clone(), vec![0]].concat(), "expected the end of the file"),
        ([header(-1, 3), lists.concat(), records.concat()].concat(), "numbers of lists"),
        // As many as a header can announce: refused for what is not there, without room for it.
        (header(i32::MAX, i32::MAX), "postings list 0: the file ends before"),
        ([header(0, i32::MAX), records.concat()].concat(), "document record 3: the file ends"),
        ([header(1, 0), vec![0xff, 0xff, 0xff, 0xff, 0x07]].concat(), "the file ends before"),
        ([header(1, 0), vec![0xff, 0xff, 0xff, 0xff, 0x7f]].concat(), "at most 2147483647"),
        ([header(1, 0), vec![0xff; 9]].concat(), "at most five bytes"),
    ];
    for (bytes, want) in cases {
        let error = read_bytes(&bytes).unwrap_err().to_string();
        assert!(error.contains(want), "{want}: {error}");
    }
    let mut later = sound;
    later[2] = 2;
    assert!(read_bytes(&later).unwrap_err().to_string().contains("version 1 of CIFF"));
}

#[test]
fn lines_keep_titles_texts_and_fields() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.jsonl");
    let Value::Object(fields) = json!({"year": 1998, "tags": ["a"], "place": {"city": "Oslo"}})
    else {
        unreachable!()
    };
    let Value::Object(names) = json!({"id": "7", "contents": {"kept": true}}) else {
        unreachable!()
    };
    let vector = vec![("b".to_owned(), 0.1f32), ("a".to_owned(), 16_777_216.0)];
    let records = [("x", "T", "line\none", &fields), ("y", "", "", &names)];
    let mut out = OutputFile::create(&path, false).unwrap();
    for (id, title, text, fields) in records {
        let record = VectorRecord { id, title, text, fields, vector: &vector };
        write_json_line(&mut out, &record).unwrap();
    }
    out.commit().unwrap();
    let found = read(&path, &CollectionOptions::default()).unwrap();
    for (document, (id, title, text, fields)) in found.iter().zip(records) {
        let here = (document.id.as_str(), document.title.as_str(), document.text.as_str());
        assert_eq!(here, (id, title, text));
        assert_eq!(&document.fields, fields);
        assert_eq!(document.vector, Some(InputVector::Tokens(vector.clone())));
    }
    assert!(matches!(OutputFile::create(&path, false), Err(DatasetError::Exists { .. })));
    drop(OutputFile::create(&path, true).unwrap());
    assert_eq!(folder.path().read_dir().unwrap().count(), 1, "a file given up leaves nothing");
}

#[test]
fn what_a_format_cannot_hold_is_said() {
    let mut out = Vec::new();
    for name in ["", "a\nb", "a\r", "\u{feff}a"] {
        assert!(write_name(&mut out, "id", name).is_err(), "{name:?}");
    }
    let rows: Rows = vec![("x".into(), SparseVector::new(vec![41], vec![2.0]).unwrap())];
    let error = write_csr(&mut out, 41, &pass(&rows)).unwrap_err().to_string();
    assert!(error.contains("term 41 of `x`"), "{error}");
    let same = vec!["a".to_owned(); 42];
    let refused = |tokens: &[String], bits, scale, rows: &Rows| {
        let export = CiffExport { tokens, bits, scale, step: None, memory: 99, description: "" };
        write_ciff(&mut Vec::new(), &export, &pass(rows)).unwrap_err().to_string()
    };
    assert!(refused(&tokens(41), 8, None, &rows).contains("has no token"));
    assert!(refused(&tokens(42), 1, None, &rows).contains("2 to 24"));
    assert!(
        refused(&tokens(42), 8, Some(200.0), &rows).contains("exceeds the largest impact, 255")
    );
    assert!(refused(&tokens(42), 8, Some(f64::NAN), &rows).contains("a scale of NaN"));
    let rows: Rows = vec![("x".into(), SparseVector::new(vec![1, 2], vec![2.0, 1.0]).unwrap())];
    assert!(refused(&same, 8, None, &rows).contains("two terms have the token \"a\""));
}

#[test]
fn ids_beside_vectors_have_to_fit() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let rows: Rows = vec![("x".into(), SparseVector::default()); 2];
    let mut out = OutputFile::create(&at("x.bin"), false).unwrap();
    write_seismic_bin(&mut out, &pass(&rows)).unwrap();
    out.commit().unwrap();
    let read = |ids: &str| {
        std::fs::write(at("ids"), ids).unwrap();
        let options = CollectionOptions { ids: Some(at("ids")), ..CollectionOptions::default() };
        read(&at("x.bin"), &options)
    };
    let ids: Vec<String> = read("a\nb\n").unwrap().into_iter().map(|d| d.id).collect();
    assert_eq!(ids, ["a", "b"]);
    assert!(matches!(read("a\n"), Err(DatasetError::Ids { found: 1, vectors: 2, .. })));
    assert!(matches!(read("a\nb\nc\n"), Err(DatasetError::Ids { found: 3, vectors: 2, .. })));
    assert!(matches!(read("a\n\n"), Err(DatasetError::EmptyId { .. })));
    std::fs::write(at("x.jsonl"), "{\"id\":1,\"text\":\"x\"}").unwrap();
    let options = CollectionOptions { ids: Some(at("ids")), ..CollectionOptions::default() };
    let error = open_collection(&at("x.jsonl"), &options).unwrap_err();
    assert!(matches!(error, DatasetError::HasIds { .. }), "{error}");
}
