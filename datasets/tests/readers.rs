//! Every format read from files made here, plain and compressed.

#![allow(clippy::unwrap_used, clippy::cast_possible_wrap, reason = "helpers of tests")]

use std::io::Write;
use std::path::{Path, PathBuf};

use quarry_datasets::{
    CollectionFormat, CollectionOptions, DatasetError, QueryFormat, QueryOptions, open_collection,
    open_qrels, open_queries,
};
use quarry_vectors::{Document, InputVector, SparseVector};
use tempfile::TempDir;

fn write(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut w = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    w.write_all(bytes).unwrap();
    w.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn documents(path: &Path) -> Result<Vec<Document>, DatasetError> {
    open_collection(path, &CollectionOptions::default())?.collect()
}

/// A collection with its progress checked, from a file in each compression.
fn in_all_compressions(bytes: &[u8], format: CollectionFormat) -> Vec<Document> {
    let dir = TempDir::new().unwrap();
    let mut results = Vec::new();
    for (name, bytes) in [("a", bytes.to_vec()), ("b", gzip(bytes)), ("c", zstd(bytes))] {
        let path = write(&dir, name, &bytes);
        let mut reader = open_collection(&path, &CollectionOptions::default()).unwrap();
        assert_eq!(reader.format(), format);
        let documents: Vec<Document> = reader.by_ref().map(Result::unwrap).collect();
        assert_eq!(reader.bytes_total(), bytes.len() as u64);
        assert_eq!(reader.bytes_read(), bytes.len() as u64);
        assert!(reader.documents_total().is_none_or(|n| n == documents.len() as u64));
        results.push(documents);
    }
    assert!(results.iter().all(|r| r == &results[0]));
    results.swap_remove(0)
}

fn terms(document: &Document) -> &SparseVector {
    match &document.vector {
        Some(InputVector::Terms(vector)) => vector,
        other => panic!("{other:?}"),
    }
}

fn bin(vectors: &[(&[u32], &[f32])]) -> Vec<u8> {
    let mut out = u32::try_from(vectors.len()).unwrap().to_le_bytes().to_vec();
    for (terms, weights) in vectors {
        out.extend(u32::try_from(terms.len()).unwrap().to_le_bytes());
        out.extend(terms.iter().flat_map(|t| t.to_le_bytes()));
        out.extend(weights.iter().flat_map(|w| w.to_le_bytes()));
    }
    out
}

fn csr(columns: i64, rows: &[(&[i32], &[f32])]) -> Vec<u8> {
    let nnz: usize = rows.iter().map(|r| r.0.len()).sum();
    let mut out = Vec::new();
    for n in [rows.len() as i64, columns, nnz as i64, 0] {
        out.extend(n.to_le_bytes());
    }
    let mut end = 0;
    for (terms, _) in rows {
        end += terms.len() as i64;
        out.extend(end.to_le_bytes());
    }
    out.extend(rows.iter().flat_map(|r| r.0).flat_map(|t| t.to_le_bytes()));
    out.extend(rows.iter().flat_map(|r| r.1).flat_map(|w| w.to_le_bytes()));
    out
}

#[test]
fn json_lines() {
    let text = "\u{feff}{\"_id\":\"a\",\"title\":\"T\",\"text\":\"x\"}\r\n\r\n{\"id\":2,\"contents\":\"y\",\"vector\":{\"t\":3}}";
    let got = in_all_compressions(text.as_bytes(), CollectionFormat::JsonLines);
    assert_eq!((got[0].id.as_str(), got[0].title.as_str(), got[0].line), ("a", "T", 1));
    assert_eq!((got[1].id.as_str(), got[1].text.as_str(), got[1].line), ("2", "y", 3));
    assert_eq!(got[1].vector, Some(InputVector::Tokens(vec![("t".into(), 3.0)])));
}

#[test]
fn ms_marco() {
    let text = "0\tItâ€™s 5Â°C\n1\tplain\ttab\n\n2\t\n";
    let got = in_all_compressions(text.as_bytes(), CollectionFormat::MsMarco);
    let texts: Vec<&str> = got.iter().map(|d| d.text.as_str()).collect();
    assert_eq!(texts, ["It’s 5°C", "plain\ttab", ""]);
    let dir = TempDir::new().unwrap();
    let path = write(&dir, "collection.tsv", text.as_bytes());
    let mut reader = open_collection(&path, &CollectionOptions::default()).unwrap();
    assert_eq!((reader.by_ref().count(), reader.repairs()), (3, 1));
    let raw = CollectionOptions { repair_encoding: false, ..CollectionOptions::default() };
    let mut reader = open_collection(&path, &raw).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().text, "Itâ€™s 5Â°C");
    assert_eq!(reader.repairs(), 0);
}

#[test]
fn binary_vectors() {
    let bytes = bin(&[(&[1, 5], &[0.5, 2.0]), (&[], &[]), (&[0, 7], &[0.0, 1.0])]);
    let got = in_all_compressions(&bytes, CollectionFormat::SeismicBin);
    assert_eq!(got.iter().map(|d| d.id.as_str()).collect::<Vec<_>>(), ["0", "1", "2"]);
    assert_eq!((terms(&got[0]).terms(), terms(&got[0]).weights()), (&[1, 5][..], &[0.5, 2.0][..]));
    assert_eq!((terms(&got[1]).len(), terms(&got[2]).terms()), (0, &[7][..]));

    let bytes = csr(9, &[(&[5, 1], &[2.0, 0.5]), (&[], &[]), (&[8, 3, 3], &[0.0, 1.0, 2.0])]);
    let got = in_all_compressions(&bytes, CollectionFormat::BigAnnCsr);
    assert_eq!((terms(&got[0]).terms(), terms(&got[0]).weights()), (&[1, 5][..], &[0.5, 2.0][..]));
    assert_eq!((terms(&got[2]).terms(), terms(&got[2]).weights()), (&[3][..], &[3.0][..]));
    assert_eq!((got[2].id.as_str(), got[2].line), ("2", 2));
    assert!(in_all_compressions(&csr(9, &[]), CollectionFormat::BigAnnCsr).is_empty());
}

#[test]
fn scales_divide() {
    let dir = TempDir::new().unwrap();
    let scaled = CollectionOptions { scale: Some(100.0), ..CollectionOptions::default() };
    let path = write(&dir, "v.bin", &bin(&[(&[3], &[250.0])]));
    let document = open_collection(&path, &scaled).unwrap().next().unwrap().unwrap();
    assert_eq!(terms(&document).weights(), [2.5]);
    for wrong in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let options = CollectionOptions { scale: Some(wrong), ..CollectionOptions::default() };
        assert!(matches!(open_collection(&path, &options), Err(DatasetError::Scale(_))));
    }
}

#[test]
fn damaged_binaries_are_refused() {
    let dir = TempDir::new().unwrap();
    let message = |name: &str, bytes: &[u8]| -> String {
        let path = write(&dir, name, bytes);
        let format = if name.contains("bin") {
            CollectionFormat::SeismicBin
        } else {
            CollectionFormat::BigAnnCsr
        };
        let options = CollectionOptions { format: Some(format), ..CollectionOptions::default() };
        let all: Result<Vec<Document>, _> =
            open_collection(&path, &options).and_then(Iterator::collect);
        all.unwrap_err().to_string()
    };
    let good = bin(&[(&[1, 5], &[0.5, 2.0]), (&[2], &[1.0])]);
    for cut in 0..good.len() {
        let said = message("cut.bin", &good[..cut]);
        assert!(said.contains("the file ends before"), "{cut}: {said}");
        message("cut.bin.gz", &gzip(&good[..cut]));
    }
    assert!(
        message("more.bin", &[&good[..], &[0]].concat()).contains("expected the end of the file")
    );
    for (vector, want) in [
        ((&[1, 2][..], &[1.0, f32::NAN][..]), "vector 0: weight NaN of \"2\""),
        ((&[1], &[-1.0]), "vector 0: weight -1 of \"1\""),
        ((&[1], &[f32::INFINITY]), "vector 0: weight inf of \"1\""),
    ] {
        let said = message("bad.bin", &bin(&[vector]));
        assert!(said.contains(want), "{said}");
    }
    // Four thousand million components are announced, none are there.
    let absurd = [1u32.to_le_bytes(), u32::MAX.to_le_bytes()].concat();
    assert!(message("absurd.bin", &absurd).contains("at most 33554432 components"));
    let large = [1u32.to_le_bytes(), (1u32 << 25).to_le_bytes()].concat();
    assert!(message("large.bin", &large).contains("ends before the end of the vector"));

    let good = csr(9, &[(&[5, 1], &[2.0, 0.5]), (&[2], &[1.0])]);
    for cut in 0..good.len() {
        message("cut.csr", &good[..cut]);
        message("cut.csr.gz", &gzip(&good[..cut]));
    }
    assert!(message("more.csr", &[&good[..], &[0]].concat()).contains("32 + 8 * rows"));
    assert!(message("more.csr.gz", &gzip(&[&good[..], &[0]].concat())).contains("end of the file"));
    for (at, value, want) in [
        (0, -1i64, "shape of a matrix"),
        (0, i64::MAX, "shape of a matrix"),
        (8, 1 << 40, "shape of a matrix"),
        (8, 5, "vector 0: expected a column of the matrix, found \"5\""),
        (24, 1, "rows that start at 0"),
        (32, 9, "vector 0: expected a row of at most"),
        (40, 1, "vector 1: expected a row of at most"),
        (40, 2, "rows that cover all components"),
    ] {
        let mut bytes = good.clone();
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        for (name, bytes) in [("bad.csr", bytes.clone()), ("bad.csr.gz", gzip(&bytes))] {
            let said = message(name, &bytes);
            assert!(said.contains(want), "{name} {at} {value}: {said}");
        }
    }
    assert!(message("minus.csr", &csr(9, &[(&[-1], &[1.0])])).contains("found \"-1\""));
    assert!(message("nan.csr", &csr(9, &[(&[1], &[f32::NAN])])).contains("weight NaN of \"1\""));
}

#[test]
fn folders() {
    let dir = TempDir::new().unwrap();
    write(
        &dir,
        "corpus.jsonl.gz",
        &gzip(b"{\"_id\":\"d\",\"title\":\"\",\"text\":\"x\",\"metadata\":{}}\n"),
    );
    write(
        &dir,
        "queries.jsonl",
        b"{\"_id\":\"q1\",\"text\":\"one\"}\n{\"_id\":\"q2\",\"text\":\"two\"}\n",
    );
    let options = QueryOptions::default();
    assert_eq!(open_queries(dir.path(), &options).unwrap().len(), 2);
    write(&dir, "qrels/dev.tsv", b"query-id\tcorpus-id\tscore\nq2\td\t1\n");
    let said = open_queries(dir.path(), &options).unwrap_err().to_string();
    assert!(said.contains("test.tsv: no such file") && said.ends_with("; there is dev"), "{said}");
    let dev = QueryOptions { split: Some("dev".into()), ..QueryOptions::default() };
    assert_eq!(open_queries(dir.path(), &dev).unwrap()[0].id, "q2");
    let all = QueryOptions { split: None, ..QueryOptions::default() };
    assert_eq!(open_queries(dir.path(), &all).unwrap().len(), 2);
    assert_eq!(open_qrels(dir.path(), "dev").unwrap().len(), 1);
    assert!(open_qrels(dir.path(), "test").is_err());
    assert_eq!(documents(dir.path()).unwrap()[0].id, "d");

    let parts = TempDir::new().unwrap();
    assert!(matches!(documents(parts.path()), Err(DatasetError::UnknownFormat { .. })));
    write(&parts, "part1.jsonl.zst", &zstd(b"{\"id\":\"b\",\"text\":\"\"}\n"));
    write(&parts, "part0.jsonl", b"{\"id\":\"a\",\"text\":\"\"}\n");
    write(&parts, "README.md", b"no part");
    let mut reader = open_collection(parts.path(), &CollectionOptions::default()).unwrap();
    let ids: Vec<String> = reader.by_ref().map(|d| d.unwrap().id).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(reader.bytes_read(), reader.bytes_total());
    write(&parts, "part2.jsonl", b"{}");
    assert!(documents(parts.path()).unwrap_err().to_string().contains("part2.jsonl, line 1"));
}

#[test]
fn query_files() {
    let dir = TempDir::new().unwrap();
    let read = |name: &str, bytes: &[u8], format| {
        let path = write(&dir, name, bytes);
        open_queries(&path, &QueryOptions { format, ..QueryOptions::default() })
    };
    let text = read("a.tsv", b"1\t a question\n", QueryFormat::Auto).unwrap();
    assert_eq!((text[0].id.as_str(), text[0].text.as_str()), ("1", " a question"));
    let encoded = read("a.tsv.gz", &gzip(b"1\ta b a\n"), QueryFormat::Anserini).unwrap();
    let want = vec![("a".to_owned(), 2.0), ("b".to_owned(), 1.0)];
    assert_eq!(encoded[0].vector, Some(InputVector::Tokens(want)));
    let json = b"{\"id\":7,\"vector\":{\"a\":1.5}}\n";
    let json = read("q.jsonl", json, QueryFormat::Auto).unwrap();
    assert_eq!((json[0].id.as_str(), json[0].text.as_str()), ("7", ""));
    let binary = bin(&[(&[1], &[1.0]), (&[2], &[1.0])]);
    assert_eq!(read("q", &binary, QueryFormat::Auto).unwrap()[1].id, "1");
    let matrix = csr(4, &[(&[1], &[1.0])]);
    assert_eq!(read("m", &matrix, QueryFormat::Auto).unwrap()[0].id, "0");
    assert!(read("bad.jsonl", b"{\"id\":7}\n", QueryFormat::Auto).is_err());
    assert!(read("none", b"", QueryFormat::Auto).is_err());
    assert!(read("none", b"", QueryFormat::Text).unwrap().is_empty());
}

#[test]
fn the_first_error_ends_the_stream() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, "c", b"1\ta\n\tb\n3\tc\n");
    let mut reader = open_collection(&path, &CollectionOptions::default()).unwrap();
    assert!(reader.next().unwrap().is_ok());
    assert!(matches!(reader.next(), Some(Err(DatasetError::EmptyId { .. }))));
    assert!(reader.next().is_none());
    let path = write(&dir, "u", b"one word\n");
    assert!(documents(&path).is_err());
    for empty in [&b""[..], b"\n\n"] {
        assert!(documents(&write(&dir, "e", empty)).unwrap().is_empty());
    }
    assert!(matches!(documents(&dir.path().join("absent")), Err(DatasetError::Open { .. })));
}

#[test]
fn readers_can_move_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<quarry_datasets::CollectionReader>();
    is_send::<DatasetError>();
}

#[test]
fn vectors_get_the_texts_of_another_file() {
    let dir = TempDir::new().unwrap();
    let vectors = write(&dir, "v.bin", &bin(&[(&[7], &[1.0]), (&[8], &[1.0])]));
    let read = |texts: &[u8]| {
        let texts = Some(write(&dir, "texts", texts));
        let options = CollectionOptions { texts, ..CollectionOptions::default() };
        open_collection(&vectors, &options)?.collect::<Result<Vec<_>, _>>()
    };
    let found = read(b"p1\tone text\np2\tanother\n").unwrap();
    let seen: Vec<_> =
        found.iter().map(|d| (d.id.as_str(), d.text.as_str(), terms(d).terms()[0])).collect();
    assert_eq!(seen, [("p1", "one text", 7), ("p2", "another", 8)]);
    let fields = read(
        br#"{"_id":"a","title":"t","text":"x","year":1999}
{"_id":"b","text":"y"}"#,
    );
    assert_eq!(fields.unwrap()[0].fields["year"], 1999);
    for (texts, expected) in [
        ("p1\tone\n", "the texts end before document 1"),
        ("p1\tone\np2\ttwo\np3\tthree\n", "the vectors end before line 3"),
    ] {
        let error = read(texts.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("v.bin"), "{error}");
    }
    // Vectors with ids of their own must have the same.
    let own = write(&dir, "own.jsonl", br#"{"id":"p2","vector":{"ice":1.0}}"#);
    let texts = Some(write(&dir, "texts", b"p1\tone\n"));
    let options = CollectionOptions { texts, ..CollectionOptions::default() };
    let error = open_collection(&own, &options).unwrap().next().unwrap().unwrap_err().to_string();
    assert!(error.contains(r#"line 1 has "p1" for "p2""#), "{error}");
}
