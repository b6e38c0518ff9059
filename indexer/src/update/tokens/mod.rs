//! Adds token embeddings to a sealed index, as a new generation.
//!
//! 1. lock the folder for writing
//! 2. with an encoder: encode stored texts in the segments' order and spool them, a shard at a time
//!    (`spool.rs`), so that an interrupted run can be resumed after the last shard
//! 3. pool rows (`pool.rs`), find centroids if the form needs them (`centroids.rs`), write the part
//! 4. commit, then remove files that no generation in use names
//!
//! A crash before the commit leaves the old generation.

mod centroids;
mod pool;
mod spool;

pub(crate) use spool::{encode_shard, encoded_before};

use std::path::{Path, PathBuf};

use quarry_index::manifest::PartEntry;
use quarry_index::tokens::{self, Centroids, Form, TokensKept, TokensOptions, TokensWriter};
use quarry_index::{Index, IndexError, Segment, Storage, names};
use quarry_vectors::{DocId, EncodeTokens, TokenEmbeddings};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::spool::{Spool, wrong_rows};
use super::{Checked, IndexWriter};
use crate::BuildError;
use crate::job::Job;
use crate::options::Event;

/// How token embeddings are stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenOptions {
    /// The storage forms; at least one.
    pub forms: Vec<Form>,
    /// Pooling factor, 1 to 64: similar rows of a document are merged until one of every `pool` is left.
    pub pool: usize,
    /// Number of centroids of the form `4bit`, 1 to 65,536.
    pub centroids: usize,
    /// Whether to replace existing embeddings.
    pub replace: bool,
    /// Where the embeddings come from, for the manifest.
    pub source: Value,
}

/// Source of the token embeddings.
pub enum TokenInput<'a> {
    /// Encodes the index's stored texts. Resumes an interrupted run of the same source.
    Encoder(&'a dyn EncodeTokens),
    /// The number of dimensions, and a function that gives the rows of a document by its id.
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
    /// Options that store embeddings of further segments as the index stores those it has.
    #[must_use]
    pub fn like(kept: &TokensKept) -> Self {
        Self {
            forms: kept.forms.clone(),
            pool: kept.pool,
            centroids: kept.centroids.max(1),
            replace: false,
            source: kept.source.clone(),
        }
    }

    /// The description of these embeddings that the index keeps.
    pub(crate) fn kept(&self, dims: usize) -> TokensKept {
        let mut forms = self.forms.clone();
        forms.sort_unstable();
        forms.dedup();
        let (pool, centroids) = (self.pool, self.centroids);
        TokensKept { dims, forms, pool, centroids, source: self.source.clone() }
    }

    /// Fails if these embeddings cannot be compared with those that some segments have.
    fn check_fits(&self, dims: usize, kept: &TokensKept, path: &Path) -> Result<(), BuildError> {
        let given = self.kept(dims);
        let alike = (kept.dims, &kept.forms, kept.pool) == (given.dims, &given.forms, given.pool);
        if alike && kept.same_source(&given.source) {
            return Ok(());
        }
        let text = |of: &TokensKept| {
            let forms: Vec<&str> = of.forms.iter().map(|form| form.name()).collect();
            let (dims, pool) = (of.dims, of.pool);
            format!("{} ({dims} dimensions as {}, pooled by {pool})", of.source, forms.join("+"))
        };
        let (made_by, given) = (text(kept), text(&given));
        Err(BuildError::OtherTokens { path: path.to_path_buf(), made_by, given })
    }

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

/// Adds token embeddings to every segment of the index in `folder` that lacks them, or to all segments with
/// `options.replace`. Returns the new generation.
///
/// # Errors
/// If there is no index; if every segment has embeddings and they are not to be replaced, or some have
/// embeddings of another source or form; if there are no texts to encode; if the index holds an unfinished
/// build; if rows are zero or of another dimension; if writing fails. The old generation then stays.
pub fn add_tokens(
    folder: &Path,
    options: &TokenOptions,
    mut input: TokenInput<'_>,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<u64, BuildError> {
    options.check()?;
    let job = Job::tokens(&options.source);
    let writer = IndexWriter::take(folder, Checked::All, |was| *was == job)?;
    let (index, build) = (writer.index(), writer.build());
    let dims = match &input {
        TokenInput::Encoder(encoder) => encoder.dims(),
        TokenInput::Rows(dims, _) => *dims,
    };
    let fills = !options.replace && index.segments().iter().any(|s| s.tokens().is_some());
    let kept = index.features().tokens.clone().filter(|_| fills);
    if fills && index.without_tokens().next().is_none() {
        return Err(BuildError::HasTokens { path: folder.to_path_buf() });
    }
    if let Some(kept) = &kept {
        options.check_fits(dims, kept, folder)?;
    }
    if matches!(input, TokenInput::Encoder(_)) && !index.has_text() {
        return Err(IndexError::Missing {
            path: folder.to_path_buf(),
            part: "texts".into(),
            hint: "give token embeddings with --npy, --lengths and --ids".into(),
        }
        .into());
    }
    writer.begin(&job)?;
    let mut manifest = index.manifest().clone();
    let mut centroids = if fills { centroids_of(index) } else { None };
    for (entry, segment) in manifest.segments.iter_mut().zip(index.segments()) {
        if fills && (segment.tokens().is_some() || entry.documents == 0) {
            continue;
        }
        let at = Place { storage: writer.storage(), build, segment };
        let part = at.write(&mut input, options, &mut centroids, progress)?;
        entry.parts.retain(|p| p.kind != tokens::KIND);
        entry.parts.push(part);
    }
    manifest.features = index.features().clone();
    manifest.features.tokens = Some(kept.unwrap_or_else(|| options.kept(dims)));
    writer.commit(manifest)
}

/// The centroids of the form `4bit`, which all segments of an index share.
pub(crate) fn centroids_of(index: &Index) -> Option<Centroids> {
    let stores = index.segments().iter().filter_map(|s| s.tokens());
    stores.into_iter().find_map(|store| {
        let (rows, dims) = (store.residual()?, store.meta().dims);
        let of_one = |row: &[f32]| row.get(..dims).unwrap_or_default().to_vec();
        let values = rows.centroids.chunks_exact(rows.stride).flat_map(of_one).collect();
        Some(Centroids { values })
    })
}

/// A segment that gets token embeddings.
pub(crate) struct Place<'a> {
    pub(crate) storage: &'a Storage,
    /// The folder of unfinished work.
    pub(crate) build: &'a Path,
    pub(crate) segment: &'a Segment,
}

impl Place<'_> {
    /// Writes the part. If no centroids are given, finds them and leaves them in `centroids` for the next
    /// segment: segments with the same centroids can be merged.
    pub(crate) fn write(
        &self,
        input: &mut TokenInput<'_>,
        options: &TokenOptions,
        centroids: &mut Option<Centroids>,
        progress: &(dyn Fn(Event) + Sync),
    ) -> Result<PartEntry, BuildError> {
        let (segment, id) = (self.segment, self.segment.entry().id);
        let ids = segment.documents();
        let (dims, mut read): (usize, Reader<'_>) = match input {
            TokenInput::Encoder(encoder) => {
                let spool = Spool::new(self.build, id, &options.source);
                spool.fill(segment, *encoder, progress)?;
                (encoder.dims(), Box::new(spool.reader(segment)?))
            }
            TokenInput::Rows(dims, rows) => {
                let gone = |doc: DocId| segment.deleted().is_some_and(|rows| rows.contains(doc.0));
                let read = move |doc| match gone(doc) {
                    true => Ok(TokenEmbeddings::default()),
                    false => rows(ids.id(doc)),
                };
                (*dims, Box::new(read))
            }
        };
        let file = names::next_part(id, tokens::KIND);
        let rows = Rows { documents: ids.len(), dims, id: &|doc| ids.id(doc).to_owned() };
        let to = (self.storage.path(&file), centroids);
        let written = write(to, &rows, options, &mut read, progress)?;
        Ok(PartEntry::new(tokens::KIND, tokens::VERSION, &file, written, false))
    }
}

/// Returns a document's rows.
pub(crate) type Reader<'a> = Box<dyn FnMut(DocId) -> Result<TokenEmbeddings, BuildError> + 'a>;

/// The documents of a segment that get embeddings.
pub(crate) struct Rows<'a> {
    pub(crate) documents: usize,
    pub(crate) dims: usize,
    /// A document's id, for error messages.
    pub(crate) id: &'a dyn Fn(DocId) -> String,
}

/// Writes the part of a segment. Finds centroids if the form needs them and none are given.
pub(crate) fn write(
    (path, shared): (PathBuf, &mut Option<Centroids>),
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
    let centroids = match (&shared, options.forms.contains(&Form::Residual)) {
        (Some(centroids), true) => centroids.clone(),
        (None, true) => {
            progress(Event::Stage { name: "centroids", total: documents as u64 });
            let found = centroids::find(documents, dims, options.centroids, &mut pooled)?;
            shared.insert(found).clone()
        }
        (_, false) => Centroids::default(),
    };
    let part = TokensOptions {
        dims,
        forms: options.forms.clone(),
        pool: options.pool,
        centroids,
        source: options.source.clone(),
    };
    let mut part = TokensWriter::create(&path, part)?;
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
