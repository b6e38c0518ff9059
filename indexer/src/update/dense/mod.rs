//! Dense vectors become a part of a sealed index: a new generation.
//!
//! 1. take the folder for writing  2. from an encoder: stored texts are encoded in the segments' order and spooled, a
//!    shard at a time (`spool.rs`), so that a run that was stopped goes on after the last shard
//! 3. segment by segment: read each row's vector, write the part
//! 4. commit, then collect what no generation in use names
//!
//! A crash before the commit leaves the old generation.

mod spool;

use std::path::Path;

use quarry_index::dense::{self, DenseKept, DenseOptions, DenseStorage, DenseWriter};
use quarry_index::manifest::PartEntry;
use quarry_index::{IndexError, Segment, Storage, names, neighbours};
use quarry_vectors::{DenseVector, DocId, EncodeDense};
use serde_json::Value;

use self::spool::{Spool, wrong};
use super::{Checked, IndexWriter};
use crate::BuildError;
use crate::job::Job;
use crate::options::Event;

/// Rows between two reports of progress.
const STEP: u64 = 1 << 12;

/// Key in a manifest's build description: where the model of the dense vectors was found.
pub const DENSE_MODEL_FROM: &str = "dense_model_from";

/// What is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct AddDenseOptions {
    /// How vectors are stored.
    pub storage: DenseStorage,
    /// Whether vectors that are there already are replaced.
    pub replace: bool,
    /// Where they come from, for the record.
    pub source: Value,
    /// Where the model was found, which the manifest keeps as [`DENSE_MODEL_FROM`]; `None` for one that needs no
    /// record, or files.
    pub model_from: Option<Value>,
}

/// Where the vectors come from.
pub enum DenseInput<'a> {
    /// The index's stored texts, encoded. Goes on where an interrupted run of the same source ended.
    Encoder(&'a dyn EncodeDense),
    /// Vectors by document id, of this many dimensions; `None` for a document without.
    Rows(usize, &'a mut dyn FnMut(&str) -> Result<Option<DenseVector>, BuildError>),
}

impl std::fmt::Debug for DenseInput<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Encoder(encoder) => write!(f, "Encoder({} dimensions)", encoder.dims()),
            Self::Rows(dims, _) => write!(f, "Rows({dims} dimensions)"),
        }
    }
}

/// Adds dense vectors to every segment of the index in `folder` that lacks them, or to all of them where they are
/// to be replaced, and returns the new generation. Deleted documents get none.
///
/// # Errors
/// When there is no index; every segment has vectors and they are not to be replaced, or some have them of another
/// source, form or number of dimensions; there are no texts to encode; an unfinished build lies there; a vector is of other dimensions or cannot
/// be stored; the disk refuses. The old generation then stays.
pub fn add_dense(
    folder: &Path,
    options: &AddDenseOptions,
    mut input: DenseInput<'_>,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<u64, BuildError> {
    let job = Job::dense(&options.source);
    let writer = IndexWriter::take(folder, Checked::All, |was| *was == job)?;
    let index = writer.index();
    let dims = match &input {
        DenseInput::Encoder(encoder) => encoder.dims(),
        DenseInput::Rows(dims, _) => *dims,
    };
    let AddDenseOptions { storage, ref source, .. } = *options;
    let given = DenseKept { dims, storage, source: source.clone() };
    let fills = !options.replace && index.segments().iter().any(|s| s.dense().is_some());
    let kept = index.features().dense.clone().filter(|_| fills);
    if fills && index.without_dense().next().is_none() {
        return Err(BuildError::HasDense { path: folder.to_path_buf() });
    }
    if let Some(kept) = kept.as_ref().filter(|kept| !kept.fits(&given)) {
        let (made_by, given) = (told(kept), told(&given));
        return Err(BuildError::OtherDense { path: folder.to_path_buf(), made_by, given });
    }
    if matches!(input, DenseInput::Encoder(_)) && !index.has_text() {
        return Err(IndexError::Missing {
            path: folder.to_path_buf(),
            part: "texts".into(),
            hint: "give dense vectors with --rows and --ids".into(),
        }
        .into());
    }
    writer.begin(&job)?;
    let kept = kept.unwrap_or(given);
    let mut manifest = index.manifest().clone();
    for (entry, segment) in manifest.segments.iter_mut().zip(index.segments()) {
        if fills && (segment.dense().is_some() || entry.documents == 0) {
            continue;
        }
        let at = Place { storage: writer.storage(), build: writer.build(), segment };
        let part = at.write(&kept, &mut input, progress)?;
        // A graph of the old vectors says nothing about the new ones.
        entry.parts.retain(|p| p.kind != dense::KIND && p.kind != neighbours::KIND);
        entry.parts.push(part);
    }
    manifest.features = index.features().clone();
    manifest.features.dense = Some(kept);
    match options.model_from.clone() {
        Some(from) => manifest.build.insert(DENSE_MODEL_FROM.into(), from),
        None => manifest.build.remove(DENSE_MODEL_FROM),
    };
    writer.commit(manifest)
}

fn told(kept: &DenseKept) -> String {
    format!("{} ({} dimensions as {})", kept.made_by(), kept.dims, kept.storage.name())
}

/// A segment that gets dense vectors.
pub(super) struct Place<'a> {
    pub(super) storage: &'a Storage,
    /// The folder of unfinished work.
    pub(super) build: &'a Path,
    pub(super) segment: &'a Segment,
}

impl Place<'_> {
    /// Writes the part.
    pub(super) fn write(
        &self,
        kept: &DenseKept,
        input: &mut DenseInput<'_>,
        progress: &(dyn Fn(Event) + Sync),
    ) -> Result<PartEntry, BuildError> {
        let (segment, id) = (self.segment, self.segment.entry().id);
        let mut read: Reader<'_> = match input {
            DenseInput::Encoder(encoder) => {
                let spool = Spool::new(self.build, id, &kept.source);
                spool.fill(segment, *encoder, progress)?;
                let read = spool.reader(segment)?;
                Box::new(move |doc| Ok(read(doc)))
            }
            DenseInput::Rows(_, rows) => Box::new(|doc| rows(segment.documents().id(doc))),
        };
        let file = names::next_part(id, dense::KIND);
        let DenseKept { dims, storage, source } = kept.clone();
        let options = DenseOptions { dims, storage, source };
        let mut part = DenseWriter::create(&self.storage.path(&file), options)?;
        let rows = u32::try_from(segment.documents().len()).unwrap_or(u32::MAX);
        progress(Event::Stage { name: "dense vectors", total: u64::from(rows) });
        for doc in (0..rows).map(DocId) {
            let gone = segment.deleted().is_some_and(|deleted| deleted.contains(doc.0));
            let vector = if gone { None } else { read(doc)? };
            let id = segment.documents().id(doc);
            part.push(vector.as_ref()).map_err(|error| wrong(id, error))?;
            if part.len().is_multiple_of(STEP) {
                progress(Event::Step { done: part.len() });
            }
        }
        let (written, _) = part.finish()?;
        Ok(PartEntry::new(dense::KIND, dense::VERSION, &file, written, false))
    }
}

/// Gives a row's vector.
type Reader<'a> = Box<dyn FnMut(DocId) -> Result<Option<DenseVector>, BuildError> + 'a>;
