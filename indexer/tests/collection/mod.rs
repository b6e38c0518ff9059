//! Synthetic collections, a fake encoder, and the comparison of two indexes.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "a panic fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Mutex;

use quarry_index::container::Part;
use quarry_index::{Index, Verify};
use quarry_indexer::{
    BuildError, BuildOptions, BuildReport, EncoderSetup, IngestOptions, LEAST_MEMORY, Lists,
    SealOptions, build,
};
use quarry_vectors::{Document, EncodeDocument, EncodeError, InputVector, Passage, SparseVector};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

/// Default options of the tests: lists at any size, shards of 16 documents.
pub(crate) fn options(out: &Path) -> BuildOptions {
    BuildOptions {
        out: out.to_path_buf(),
        source: json!({"input": "synthetic"}),
        ingest: IngestOptions { shard_documents: 16, ..IngestOptions::default() },
        seal: SealOptions {
            memory: LEAST_MEMORY,
            seed: 7,
            lists: Lists::SEISMIC,
            ..SealOptions::default()
        },
        ..BuildOptions::default()
    }
}

/// Builds from documents that can all be read.
pub(crate) fn build_all(
    documents: Vec<Document>,
    encoder: Option<&EncoderSetup<'_>>,
    options: &BuildOptions,
) -> Result<BuildReport, BuildError> {
    build(documents.into_iter().map(Ok::<_, io::Error>), encoder, options, &|_| {})
}

pub(crate) fn open(folder: &Path) -> Index {
    Index::open(folder, Verify::Full).unwrap()
}

pub(crate) fn document(id: &str, line: u64) -> Document {
    Document { id: id.to_owned(), line, ..Document::default() }
}

pub(crate) fn with_tokens(mut document: Document, tokens: &[(&str, f32)]) -> Document {
    let tokens = tokens.iter().map(|(token, weight)| ((*token).to_owned(), *weight)).collect();
    document.vector = Some(InputVector::Tokens(tokens));
    document
}

pub(crate) fn with_terms(mut document: Document, terms: &[(u32, f32)]) -> Document {
    let vector = SparseVector::from_pairs(terms.iter().copied()).unwrap();
    document.vector = Some(InputVector::Terms(vector));
    document
}

/// A number that depends only on the arguments.
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    xxh3_64(&[a.to_le_bytes(), b.to_le_bytes()].concat())
}

/// `count` documents with words drawn from a skewed vocabulary; every eleventh has no text, every
/// seventh has a title, every fifth has another field.
pub(crate) fn texts(count: u64) -> Vec<Document> {
    (0..count)
        .map(|number| {
            let mut document = document(&format!("doc-{number}"), number + 1);
            let words = if number % 11 == 10 { 0 } else { 3 + mix(number, 0) % 20 };
            let word = |at| {
                let draw = mix(number, at + 1);
                format!("w{}", (draw % 300).min((draw >> 20) % 300))
            };
            document.text = (0..words).map(word).collect::<Vec<_>>().join(" ");
            if number % 7 == 0 {
                document.title = format!("Title {number}");
            }
            if number % 5 == 0 {
                document.fields.insert("number".into(), json!(number));
            }
            document
        })
        .collect()
}

/// The same documents with vectors by token: a weight for each word.
pub(crate) fn vectors(count: u64) -> Vec<Document> {
    let mut documents = texts(count);
    for document in &mut documents {
        let mut tokens: BTreeMap<String, f32> = BTreeMap::new();
        for (at, word) in (0u16..).zip(document.text.split_whitespace()) {
            *tokens.entry(word.to_owned()).or_default() += 0.3 + f32::from(at % 7) * 0.21;
        }
        document.vector = Some(InputVector::Tokens(tokens.into_iter().collect()));
    }
    documents
}

/// An encoder whose weights depend on the passage and on the batch, like those of a quantised model.
#[derive(Debug, Default)]
pub(crate) struct FakeEncoder {
    /// Sizes of the batches it was given.
    pub(crate) batches: Mutex<Vec<usize>>,
    /// Number of vectors that it leaves out.
    pub(crate) short_by: usize,
    /// Whether it fails.
    pub(crate) fails: bool,
}

/// Size of the fake encoder's vocabulary.
pub(crate) const VOCABULARY: u32 = 400;

impl EncodeDocument for FakeEncoder {
    fn encode_documents(&self, passages: &[Passage<'_>]) -> Result<Vec<SparseVector>, EncodeError> {
        self.batches.lock().unwrap().push(passages.len());
        if self.fails {
            return Err(EncodeError("the model is tired".into()));
        }
        let batch: f32 =
            passages.iter().map(|p| f32::from(u8::try_from(p.text.len() % 100).unwrap())).sum();
        passages[self.short_by..]
            .iter()
            .map(|passage| {
                let words = passage.title.split_whitespace().chain(passage.text.split_whitespace());
                SparseVector::from_pairs(words.map(|word| {
                    let term = u32::try_from(xxh3_64(word.as_bytes()) % u64::from(VOCABULARY));
                    (term.unwrap(), 0.5 + batch / 10_000.0)
                }))
                .map_err(|e| EncodeError(Box::new(e)))
            })
            .collect()
    }

    fn truncated(&self) -> u64 {
        3
    }
}

pub(crate) fn setup<'a>(encoder: &'a FakeEncoder, name: &str) -> EncoderSetup<'a> {
    EncoderSetup {
        encoder,
        identity: json!({"name": name}),
        tokens: (0..VOCABULARY).map(|t| format!("t{t}")).collect(),
        tokenizer: Some(b"{\"tokenizer\": 1}".to_vec()),
        query_table: Some(b"{\"table\": 1}".to_vec()),
        passages: None,
        provenance: false,
    }
}

/// All bytes of an index by kind of part. The text part is split into its files, by file extension and
/// without the list of files, since tantivy names its files at random.
pub(crate) fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let index = open(folder);
    let mut out = BTreeMap::new();
    for part in index.manifest().parts() {
        let path = folder.join(&part.file);
        if part.kind != "text" {
            out.insert(part.kind.clone(), fs::read(&path).unwrap());
            continue;
        }
        let text = Part::open(&path, "text", 2..3, Verify::Full).unwrap();
        let meta: Value = text.json("meta").unwrap();
        let files = text.bytes("files").unwrap();
        for file in meta["files"].as_array().unwrap() {
            let name = file["name"].as_str().unwrap();
            if name == "meta.json" {
                continue;
            }
            let at = |key: &str| usize::try_from(file[key].as_u64().unwrap()).unwrap();
            let bytes = files[at("offset")..at("offset") + at("bytes")].to_vec();
            let ending = name.split_once('.').unwrap().1;
            assert!(out.insert(format!("text.{ending}"), bytes).is_none());
        }
    }
    out
}

/// Asserts that two indexes hold the same bytes.
#[track_caller]
pub(crate) fn assert_same(a: &Path, b: &Path) {
    let (a, b) = (contents(a), contents(b));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (kind, bytes) in &a {
        assert!(*bytes == b[kind], "the parts `{kind}` differ");
    }
}

pub(crate) fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The file names that belong to the current generation.
pub(crate) fn expected_names(folder: &Path) -> BTreeSet<String> {
    let index = open(folder);
    let mut names: BTreeSet<String> = index.manifest().parts().map(|p| p.file.clone()).collect();
    names.extend(["CURRENT".to_owned(), "LOCK".to_owned()]);
    names.insert(format!("manifest-{}.json", index.manifest().generation));
    names
}
