//! Encodes texts into a file of vectors: one line of JSON per text, `{"id": ..., "vector": {token: weight}}`.
//!
//! 1. open the model, and lock the unfinished file (`unfinished.rs`)  2. encode batches of 1,024 documents; of
//!    N machines, each encodes every N-th batch  3. write a shard's record (`encoded_file.rs`)  4. rename the
//!    file to its final name

use std::fs::File;
use std::io::{BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use quarry_datasets::{
    CollectionOptions, CollectionReader, Duplicates, Notice, OutputFile, QueryOptions,
    open_collection, read_queries,
};
use quarry_encoders::{Device, Model};
use quarry_indexer::Share;
use quarry_vectors::{Document, EncodeDocument, Passage, SparseVector};
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::Xxh3;

use super::encoded_file::{CHUNK, ShardRecord, check_record};
use super::unfinished::{Record, Unfinished};
use super::{Encoding, WriteError};
use crate::error::io;
use crate::{EngineError, ModelSource, Models};

/// Options of encoding texts into a file.
#[derive(Debug, Clone)]
pub struct Encode {
    /// The output file. Until it is finished it is `FILE.part`, with its record `FILE.part.json`.
    pub out: PathBuf,
    /// Replace the file if it is there.
    pub overwrite: bool,
    /// Continue an interrupted run; without it, the run starts over.
    pub resume: bool,
    /// Whether the input holds queries. They are encoded with the model's query side and its own bounds of
    /// tokens and components.
    pub queries: bool,
    /// What to do with documents that share an id but differ. Such queries are always refused.
    pub duplicates: Duplicates,
    /// This machine's shard, if several machines share the work; for documents only.
    pub share: Option<Share>,
    /// The model; by default the bundled one.
    pub model: Option<ModelSource>,
    /// Device for the model's network.
    pub device: Device,
    /// Bytes that the vocabulary products of a batch may take in each session.
    pub memory: Option<u64>,
    /// Number of sessions; by default the number of cores.
    pub sessions: Option<NonZeroUsize>,
    /// Most tokens of a passage; the rest is cut off. By default the model's own limit.
    pub max_tokens: Option<u32>,
    /// Most components of a vector, keeping the heaviest; 0 for all. By default the model's own limit.
    pub top_k: Option<u32>,
}

/// Progress of an encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodeEvent<'a> {
    /// The file of an interrupted run is started over, although it could be resumed.
    BegunAgain {
        /// The file.
        path: &'a Path,
    },
    /// Encoding begins; the vectors of an interrupted run are kept.
    Begun {
        /// Number of vectors already there.
        done: u64,
    },
    /// Documents done so far, including those of an interrupted run; for a shard, documents read.
    Documents {
        /// Number of documents.
        done: u64,
        /// Number of documents in the input, if its format tells.
        total: Option<u64>,
    },
}

/// The result of an encoding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Vectors in the file.
    pub vectors: u64,
    /// Passages cut off at the model's longest input, in this run.
    pub truncated: u64,
    /// Notices of the reader.
    pub notices: Vec<Notice>,
}

impl Default for Encode {
    /// Documents, with the bundled model.
    fn default() -> Self {
        Self {
            out: PathBuf::new(),
            overwrite: false,
            resume: false,
            queries: false,
            duplicates: Duplicates::Refuse,
            share: None,
            model: None,
            device: Device::default(),
            memory: None,
            sessions: None,
            max_tokens: None,
            top_k: None,
        }
    }
}

impl Encode {
    fn encoding(&self) -> Encoding {
        Encoding {
            model: self.model.clone(),
            device: self.device,
            memory: self.memory,
            sessions: self.sessions,
            max_tokens: self.max_tokens,
            top_k: self.top_k,
            ..Encoding::default()
        }
    }
}

/// Encodes a collection, or queries, into a file of vectors.
///
/// # Errors
/// If the file exists and is not to be replaced; if the input has vectors or repeats an id; if an unfinished
/// file belongs to another run; if reading the input, the model or writing fails. Complete batches of 1,024
/// vectors in the unfinished file stay and can be resumed.
pub fn encode(
    input: &Path,
    options: &Encode,
    models: &Models,
    progress: &dyn Fn(EncodeEvent<'_>),
) -> Result<Encoded, EngineError> {
    OutputFile::check(&options.out, options.overwrite)?;
    let encoding = options.encoding();
    let model = models.open(&encoding.source(None))?;
    let json = |source| EngineError::Json { what: "the model's identity", source };
    let identity = serde_json::to_value(model.identity(&encoding.options())?).map_err(json)?;
    let facts = json!({"model": identity, "run_on": encoding.run_on()});
    if options.share.is_some() {
        check_record(&options.out, options.overwrite)?;
    }
    let mut of = json!({"documents": facts, "queries": options.queries});
    if options.duplicates == Duplicates::Last {
        of["duplicates"] = json!("last");
    }
    let wanted = Record::new(options.share, &of);
    let unfinished = Unfinished::take(&options.out, &wanted, options.resume)?;
    if unfinished.begun_again {
        progress(EncodeEvent::BegunAgain { path: unfinished.path() });
    }
    progress(EncodeEvent::Begun { done: unfinished.done });
    match write_vectors(input, options, &model, &facts, &unfinished, progress) {
        Ok(encoded) => {
            unfinished.finish()?;
            Ok(encoded)
        }
        Err(error) => {
            unfinished.give_up();
            Err(error)
        }
    }
}

/// Encodes into the unfinished file.
fn write_vectors(
    input: &Path,
    options: &Encode,
    model: &Model,
    facts: &Value,
    unfinished: &Unfinished,
    progress: &dyn Fn(EncodeEvent<'_>),
) -> Result<Encoded, EngineError> {
    let encoding = options.encoding();
    let mut lines = Lines {
        out: BufWriter::new(&unfinished.file),
        path: unfinished.path(),
        tokens: model.vocabulary().tokens(),
    };
    let encoded = if options.queries {
        queries(input, &encoding, model, &mut lines, unfinished.done)?
    } else {
        let duplicates = Some(options.duplicates);
        let how = CollectionOptions { duplicates, ..CollectionOptions::default() };
        let encoder = model.document_encoder(&encoding.options())?;
        let mut work = Documents {
            reader: open_collection(input, &how)?,
            encoder: encoder.as_ref(),
            share: options.share,
            skip: unfinished.done,
            read: 0,
            done: 0,
            hash: Xxh3::new(),
        };
        work.encode(&mut lines, progress)?;
        if let Some(share) = options.share {
            let digest = format!("{:016x}", work.hash.digest());
            let input = json!({"documents": work.read, "digest": digest});
            ShardRecord::of(unfinished.path(), share, (facts.clone(), input), work.done)?
                .write(&options.out)?;
        }
        Encoded {
            vectors: work.done,
            truncated: encoder.truncated(),
            notices: work.reader.take_notices(),
        }
    };
    lines.flush()?;
    Ok(encoded)
}

/// The file being written.
struct Lines<'a> {
    out: BufWriter<&'a File>,
    path: &'a Path,
    tokens: &'a [String],
}

impl Lines<'_> {
    fn push(&mut self, id: &str, vector: &SparseVector) -> Result<(), EngineError> {
        let json = |source| EngineError::Json { what: "a vector", source };
        let mut weights = Map::new();
        for (term, weight) in vector.iter() {
            let token = self.tokens.get(term as usize);
            let token = token.ok_or(WriteError::BeyondVocabulary { term })?;
            // Through text: the fewest digits that parse to the same f32.
            let number: Value = serde_json::from_str(&weight.to_string()).map_err(json)?;
            weights.insert(token.clone(), number);
        }
        let mut line = serde_json::to_vec(&json!({"id": id, "vector": weights})).map_err(json)?;
        line.push(b'\n');
        self.out.write_all(&line).map_err(io(self.path))
    }

    fn flush(&mut self) -> Result<(), EngineError> {
        self.out.flush().map_err(io(self.path))
    }
}

/// The documents of a collection, on their way into a file.
struct Documents<'a> {
    reader: CollectionReader,
    encoder: &'a dyn EncodeDocument,
    share: Option<Share>,
    /// Number of vectors from an earlier run.
    skip: u64,
    read: u64,
    done: u64,
    hash: Xxh3,
}

impl Documents<'_> {
    fn encode(
        &mut self,
        lines: &mut Lines<'_>,
        progress: &dyn Fn(EncodeEvent<'_>),
    ) -> Result<(), EngineError> {
        let total = self.reader.documents_total();
        for run in 0.. {
            let chunk: Vec<Document> =
                self.reader.by_ref().take(CHUNK).collect::<Result<_, _>>()?;
            if chunk.is_empty() {
                break;
            }
            self.read += chunk.len() as u64;
            if let Some(document) = chunk.iter().find(|document| document.vector.is_some()) {
                let path = self.reader.path().to_owned();
                let (line, id) = (document.line, document.id.clone());
                return Err(WriteError::HasVector { path, line, id }.into());
            }
            if let Some(share) = self.share {
                chunk.iter().for_each(|document| take_text(&mut self.hash, document));
                if !share.owns(run) {
                    continue;
                }
            }
            // Done by an earlier run.
            if self.done < self.skip {
                self.done += chunk.len() as u64;
                continue;
            }
            let passages: Vec<Passage<'_>> =
                chunk.iter().map(|d| Passage { title: &d.title, text: &d.text }).collect();
            let vectors = self.encoder.encode_documents(&passages)?;
            for (document, vector) in chunk.iter().zip(&vectors) {
                lines.push(&document.id, vector)?;
            }
            lines.flush()?;
            self.done += chunk.len() as u64;
            let done = if self.share.is_some() { self.read } else { self.done };
            progress(EncodeEvent::Documents { done, total });
        }
        if self.done < self.skip {
            let path = lines.path.to_owned();
            return Err(WriteError::TooMany { path, there: self.skip, given: self.done }.into());
        }
        Ok(())
    }
}

/// Adds the encoded text of a document to a hash.
fn take_text(hash: &mut Xxh3, document: &Document) {
    for text in [&document.id, &document.title, &document.text] {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
}

fn queries(
    input: &Path,
    encoding: &Encoding,
    model: &Model,
    lines: &mut Lines<'_>,
    skip: u64,
) -> Result<Encoded, EngineError> {
    let options =
        Encoding { device: encoding.device, memory: encoding.memory, ..Encoding::default() };
    let encoder = model.question_encoder(&options.options())?;
    let read = read_queries(input, &QueryOptions::default())?;
    if let Some(query) = read.queries.iter().find(|query| query.vector.is_some()) {
        return Err(WriteError::QueryHasVector { id: query.id.clone() }.into());
    }
    let skip = usize::try_from(skip).unwrap_or(usize::MAX);
    for query in read.queries.iter().skip(skip) {
        lines.push(&query.id, &encoder.encode_query(&query.text)?)?;
    }
    Ok(Encoded { vectors: read.queries.len() as u64, truncated: 0, notices: read.notices })
}
