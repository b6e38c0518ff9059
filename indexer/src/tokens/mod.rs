//! Token embeddings become a part of a sealed index: a new generation.
//!
//! 1. take the folder for writing
//! 2. from an encoder: stored texts are encoded in the segments' order and spooled, a shard at a time
//!    (`spool.rs`), so that a run that was stopped goes on after the last shard
//! 3. pool rows (`pool.rs`), find centroids where the form needs them (`centroids.rs`), write the part
//! 4. commit, then collect what no generation in use names
//!
//! A crash before the commit leaves the old generation.

mod centroids;
mod pool;
mod spool;

pub(crate) use spool::{encode_shard, encoded_before};

use std::path::Path;

use quarry_index::folder::{BUILD, FolderWriter};
use quarry_index::manifest::PartEntry;
use quarry_index::tokens::{self, Centroids, Form, RowError, TokensOptions, TokensWriter};
use quarry_index::{Index, IndexError, Verify};
use quarry_vectors::{DocId, EncodeTokens, TokenEmbeddings};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::build::{count_done, remove_build};
use crate::job::Job;
use crate::options::Event;
use crate::{BuildError, tokens::spool::Spool};

/// Documents that are asked for together.
const BATCH: usize = 64;

/// What is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenOptions {
    /// The forms; at least one.
    pub forms: Vec<Form>,
    /// Rows of a document are pooled to one for so many, at least 1.
    pub pool: usize,
    /// Centroids of the form `4bit`, at least 1.
    pub centroids: usize,
    /// Whether embeddings that are there already are replaced.
    pub replace: bool,
    /// Where the embeddings come from, for the record.
    pub source: Value,
}

/// Where the rows come from.
pub enum TokenInput<'a> {
    /// The index's stored texts, encoded. Goes on where an interrupted run of the same source ended.
    Encoder(&'a dyn EncodeTokens),
    /// Rows by document id, of so many dimensions.
    Rows(usize, &'a mut dyn FnMut(&str) -> Result<TokenEmbeddings, BuildError>),
}

impl std::fmt::Debug for TokenInput<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Encoder(encoder) => write!(f, "Encoder({} dimensions)", encoder.dims()),
            Self::Rows(dims, _) => write!(f, "Rows({dims} dimensions)"),
        }
    }
}

impl TokenOptions {
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let wrong = |name, found: String, expected| BuildError::Param { name, found, expected };
        if self.forms.is_empty() {
            return Err(wrong("forms", "none".into(), "at least one of int8, fp16, 4bit, 1bit"));
        }
        if self.pool == 0 || self.pool > 64 {
            return Err(wrong("pool", self.pool.to_string(), "a number from 1 to 64"));
        }
        if self.centroids == 0 || self.centroids > 1 << 16 {
            return Err(wrong("centroids", self.centroids.to_string(), "a number from 1 to 65536"));
        }
        Ok(())
    }
}

/// Adds token embeddings to every segment of the index in `folder` and returns the new generation.
///
/// # Errors
/// When there is no index, it has embeddings and they are not to be replaced, or has no texts to
/// encode; an unfinished build lies there; rows are zero or of other dimensions; the disk refuses.
/// The old generation then stays.
pub fn add_tokens(
    folder: &Path,
    options: &TokenOptions,
    mut input: TokenInput<'_>,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<u64, BuildError> {
    options.check()?;
    let mut writer = FolderWriter::open(folder)?;
    let build = folder.join(BUILD);
    if Job::read(&build)?.is_some() {
        let documents = count_done(&build)?;
        return Err(BuildError::Interrupted { path: folder.to_path_buf(), documents });
    }
    let index = Index::open(folder, Verify::Full)?;
    if !options.replace && index.segments().iter().any(|s| s.tokens().is_some()) {
        return Err(BuildError::HasTokens { path: folder.to_path_buf() });
    }
    if matches!(input, TokenInput::Encoder(_)) && !index.has_text() {
        return Err(IndexError::Missing {
            path: folder.to_path_buf(),
            part: "texts".into(),
            hint: "give token embeddings with --npy, --lengths and --ids".into(),
        }
        .into());
    }
    let mut manifest = index.manifest().clone();
    let mut replaced = Vec::new();
    for (entry, segment) in manifest.segments.iter_mut().zip(index.segments()) {
        let (dims, mut read): (usize, Reader<'_>) = match &mut input {
            TokenInput::Encoder(encoder) => {
                let spool = Spool::new(&build, entry.id, &options.source)?;
                spool.fill(segment, *encoder, progress)?;
                (encoder.dims(), Box::new(spool.reader(segment)?))
            }
            TokenInput::Rows(dims, rows) => {
                let ids = segment.documents();
                (*dims, Box::new(move |doc| rows(ids.id(doc))))
            }
        };
        let file =
            format!("{}-{}-{}.qry", entry.id.simple(), tokens::KIND, Uuid::new_v4().simple());
        let path = folder.join(&file);
        let ids = segment.documents();
        let rows = Rows { documents: ids.len(), dims, id: &|doc| ids.id(doc).to_owned() };
        let written = write(&path, &rows, options, &mut read, progress)?;
        replaced.extend(entry.parts.extract_if(.., |p| p.kind == tokens::KIND));
        entry.parts.push(PartEntry::new(tokens::KIND, tokens::VERSION, &file, written, false));
    }
    // A generation that is open is kept: let go of it, so that its files can be collected.
    drop(index);
    let generation = writer.commit(manifest)?.generation;
    remove_build(&build)?;
    writer.collect()?;
    Ok(generation)
}

/// Gives a document's rows.
pub(crate) type Reader<'a> = Box<dyn FnMut(DocId) -> Result<TokenEmbeddings, BuildError> + 'a>;

/// The rows of a segment that get embeddings.
pub(crate) struct Rows<'a> {
    pub(crate) documents: usize,
    pub(crate) dims: usize,
    /// A row's document, for messages.
    pub(crate) id: &'a dyn Fn(DocId) -> String,
}

/// Writes the part of a segment.
pub(crate) fn write(
    path: &Path,
    rows: &Rows<'_>,
    options: &TokenOptions,
    read: &mut Reader<'_>,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<quarry_index::container::Written, BuildError> {
    let Rows { documents, dims, .. } = *rows;
    let mut pooled = |doc: DocId| {
        let rows = read(doc)?;
        Ok::<_, BuildError>(if options.pool > 1 { pool::pool(&rows, options.pool) } else { rows })
    };
    let centroids = if options.forms.contains(&Form::Residual) {
        progress(Event::Stage { name: "centroids", total: documents as u64 });
        centroids::find(documents, dims, options.centroids, &mut pooled)?
    } else {
        Centroids::default()
    };
    let part = TokensOptions {
        dims,
        forms: options.forms.clone(),
        pool: options.pool,
        centroids,
        source: options.source.clone(),
    };
    let mut part = TokensWriter::create(path, part)?;
    progress(Event::Stage { name: "token embeddings", total: documents as u64 });
    for doc in 0..documents {
        let doc = DocId(u32::try_from(doc).unwrap_or(u32::MAX));
        part.push(&pooled(doc)?).map_err(|e| wrong_rows((rows.id)(doc), e))?;
        if part.len().is_multiple_of(1 << 10) {
            progress(Event::Step { done: part.len() as u64 });
        }
    }
    Ok(part.finish()?.0)
}

/// The error that names the document.
fn wrong_rows(id: String, error: RowError) -> BuildError {
    match error {
        RowError::Index(error) => error.into(),
        other => BuildError::Tokens { id, what: other.to_string() },
    }
}
