//! An index with every kind of part: vectors with their origins, texts, all lists, token embeddings, a
//! calibration table, a deleted document, the encoder's files.
#![allow(clippy::unwrap_used, dead_code, reason = "a panic fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use quarry_index::calibration::Calibration;
use quarry_index::tokens::Form;
use quarry_indexer::{
    AddTokens, Adding, BuildError, BuildOptions, EncoderSetup, Lists, TokenInput, TokenOptions,
    add, add_tokens, build, delete, store_calibration,
};
use quarry_vectors::{
    Document, EncodeDocument, EncodeError, EncodeTokens, Origin, Passage, PooledBy, SparseVector,
    TokenEmbeddings, Traced,
};
use serde_json::{Value, json};

use super::collection::{mix, options, texts};

const VOCABULARY: u32 = 200;
pub(crate) const ALL: Lists = Lists::These { impact: true, seismic: true, clusters: true };

/// A term for each word, with default origins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words;

impl Words {
    fn one(passage: &Passage<'_>) -> Traced {
        let words = passage.text.split_whitespace();
        let terms: BTreeMap<u32, f32> = words
            .map(|word| {
                let hash = word.bytes().fold(7, |h, b| mix(h, u64::from(b)));
                let term = u32::try_from(hash % u64::from(VOCABULARY)).unwrap();
                (term, 0.5 + f32::from(u8::try_from(hash >> 56).unwrap()) / 64.0)
            })
            .collect();
        let vector = SparseVector::from_pairs(terms).unwrap();
        let origins = vec![Origin::default(); vector.len()];
        Traced { vector, origins }
    }
}

impl EncodeDocument for Words {
    fn encode_documents(&self, passages: &[Passage<'_>]) -> Result<Vec<SparseVector>, EncodeError> {
        Ok(passages.iter().map(|p| Self::one(p).vector).collect())
    }

    fn traces(&self) -> Option<PooledBy> {
        Some(PooledBy::Max)
    }

    fn trace_documents(&self, passages: &[Passage<'_>]) -> Result<Vec<Traced>, EncodeError> {
        Ok(passages.iter().map(Self::one).collect())
    }
}

/// One row per word, which depends only on the word.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows;

pub(crate) const DIMS: usize = 8;

impl EncodeTokens for Rows {
    fn dims(&self) -> usize {
        DIMS
    }

    fn encode_passages(
        &self,
        passages: &[Passage<'_>],
    ) -> Result<Vec<TokenEmbeddings>, EncodeError> {
        let one = |passage: &Passage<'_>| {
            let values = passage.text.split_whitespace().flat_map(|word| {
                let seed = word.bytes().fold(1, |h, b| mix(h, u64::from(b)));
                (0..DIMS as u64)
                    .map(move |d| f32::from(u8::try_from(mix(seed, d) % 200).unwrap()) - 99.5)
            });
            TokenEmbeddings::new(DIMS, values.collect()).map_err(|e| EncodeError(Box::new(e)))
        };
        passages.iter().map(one).collect()
    }

    fn encode_question(&self, _: &str) -> Result<TokenEmbeddings, EncodeError> {
        Ok(TokenEmbeddings::default())
    }
}

pub(crate) fn setup() -> EncoderSetup<'static> {
    EncoderSetup {
        encoder: &Words,
        identity: json!({"name": "words"}),
        tokens: (0..VOCABULARY).map(|t| format!("t{t}")).collect(),
        tokenizer: Some(b"{\"tokenizer\": 1}".to_vec()),
        query_table: Some(b"{\"table\": 1}".to_vec()),
        passages: None,
        provenance: true,
    }
}

pub(crate) fn source() -> Value {
    json!({"model_name": "rows", "sha256": "of rows"})
}

pub(crate) fn token_options(forms: &[Form]) -> TokenOptions {
    TokenOptions { forms: forms.to_vec(), pool: 1, centroids: 4, replace: false, source: source() }
}

pub(crate) fn read(
    documents: Vec<Document>,
) -> impl Iterator<Item = Result<Document, io::Error>> + Send {
    documents.into_iter().map(Ok)
}

pub(crate) fn all_lists(folder: &Path) -> BuildOptions {
    {
        let mut built = options(folder);
        built.seal.lists = ALL;
        built
    }
}

/// Documents with ids that `texts` does not use.
pub(crate) fn more(from: u64, count: u64) -> Vec<Document> {
    let mut documents = texts(from + count);
    let mut documents = documents.split_off(usize::try_from(from).unwrap());
    documents.iter_mut().for_each(|d| d.id = format!("more-{}", d.id));
    documents
}

/// Adds documents with all that the index has.
pub(crate) fn add_more(folder: &Path, documents: Vec<Document>) -> Result<u64, BuildError> {
    let (mut options, source) = (options(folder), source());
    options.seal.lists = Lists::Auto;
    let adding =
        Adding { tokens: AddTokens::Encoder(&Rows, &source), merge: true, ..Adding::new(&options) };
    add(read(documents), Some(&setup()), &adding, &|_| {}).map(|report| report.generation)
}

/// An index of one segment with all kinds of parts.
pub(crate) fn whole(folder: &Path, forms: &[Form]) {
    build(read(texts(40)), Some(&setup()), &all_lists(folder), &|_| {}).unwrap();
    add_tokens(folder, &token_options(forms), TokenInput::Encoder(&Rows), &|_| {}).unwrap();
    delete(folder, ["doc-3"]).unwrap();
    let (measured, _) = quarry_index::folder::read_current(folder).unwrap();
    let table = Calibration {
        source: "documents".into(),
        queries: 1,
        kernels: "scalar".into(),
        units: Vec::new(),
        curves: Vec::new(),
    };
    store_calibration(folder, &measured, &[Some(table)]).unwrap();
}

/// All files of a folder with their contents.
pub(crate) fn bytes(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let content =
                if path.is_dir() { b"a folder".to_vec() } else { fs::read(&path).unwrap() };
            (path.file_name().unwrap().to_str().unwrap().to_owned(), content)
        })
        .collect()
}

pub(crate) fn copied(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for (name, content) in bytes(from) {
        fs::write(to.path().join(name), content).unwrap();
    }
    to
}
