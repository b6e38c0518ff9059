//! Kinds of lists are added to a sealed index: a new generation.
//!
//! 1. take the folder for writing  2. segment by segment: impact-ordered and blocked lists are built
//!    from the forward index and become further parts of the same segment; clusters need another
//!    order of documents, so the segment is written back into shards and sealed anew, with all its
//!    lists  3. commit  4. collect what no generation in use names
//!
//! A crash before the commit leaves the old generation; what was written is collected by the next
//! writer.

use std::fs;
use std::path::{Path, PathBuf};

use quarry_index::clusters::ClusterParams;
use quarry_index::doctable::{self, DocTable};
use quarry_index::folder::{BUILD, FolderWriter};
use quarry_index::manifest::{PartEntry, SegmentEntry};
use quarry_index::seismic::SeismicParams;
use quarry_index::text::StoredDocument;
use quarry_index::tokens::{self, TokenStore, reorder};
use quarry_index::{Index, IndexError, Segment, Verify};
use quarry_vectors::{DocId, SparseVector};
use serde_json::{Map, Value};

use crate::BuildError;
use crate::build::{count_done, remove_build};
use crate::job::Job;
use crate::options::{BuildOptions, Event, LEAST_MEMORY, Levels, Lists};
use crate::seal::{Kept, SealJob, seal, write_lists};
use crate::spool::{self, ShardMeta, SpoolDoc, shard_path};

/// A shard ends when it has so many documents or their vectors and texts so many bytes.
const SHARD_DOCUMENTS: usize = 1 << 16;
const SHARD_BYTES: usize = 16 << 20;

/// Which lists are added, and how they are built.
#[derive(Debug, Clone)]
pub struct AddOptions {
    /// Impact-ordered lists.
    pub impact: bool,
    /// Seismic's blocked lists.
    pub seismic: Option<SeismicParams>,
    /// Clusters.
    pub clusters: Option<ClusterParams>,
    /// Bytes that buffers and sorting may take together.
    pub memory: u64,
}

/// Adds lists to every segment of the index in `folder` that lacks them. Returns the new
/// generation, or none when nothing was lacking.
///
/// # Errors
/// When there is no index or it has no vectors, an unfinished build lies there, another process
/// writes there, a parameter is out of range, or the disk refuses; the old generation then stays.
pub fn add_lists(
    folder: &Path,
    add: &AddOptions,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<Option<u64>, BuildError> {
    let mut writer = FolderWriter::open(folder)?;
    let build = folder.join(BUILD);
    if Job::read(&build)?.is_some() {
        let documents = count_done(&build)?;
        return Err(BuildError::Interrupted { path: folder.to_path_buf(), documents });
    }
    remove_build(&build)?;
    writer.collect()?;
    let index = Index::open(folder, Verify::Full)?;
    if !index.has_sparse() {
        return Err(IndexError::Missing {
            path: folder.to_path_buf(),
            part: "vectors".into(),
            hint: "lists are built over vectors".into(),
        }
        .into());
    }
    let mut manifest = index.manifest().clone();
    let seed = manifest.seed;
    let mut changed = false;
    for (entry, segment) in manifest.segments.iter_mut().zip(index.segments()) {
        let lacks = Lists::These {
            impact: add.impact && segment.impact().is_none(),
            seismic: add.seismic.is_some() && segment.seismic().is_none(),
            clusters: add.clusters.is_some() && segment.clusters().is_none(),
        };
        if lacks == Lists::NONE {
            continue;
        }
        changed = true;
        let options = options(folder, (add, seed), segment, lacks);
        options.check()?;
        fs::create_dir_all(&build).map_err(IndexError::io(&build))?;
        if lacks.clusters(entry.rows) {
            *entry = sealed_anew(segment, &build, &options, progress)?;
        } else if let Some(forward) = segment.forward() {
            let job = SealJob {
                folder,
                build: &build,
                shards: 0,
                options: &options,
                encoder: None,
                kept: None,
            };
            entry.parts.extend(write_lists(&job, entry.id, (forward, None), progress)?);
        }
    }
    // A generation that is open is kept: let go of it, so that its files can be collected.
    drop(index);
    let generation = if changed { Some(writer.commit(manifest)?.generation) } else { None };
    remove_build(&build)?;
    writer.collect()?;
    Ok(generation)
}

/// The options of a build that would leave what is wanted. A segment that is sealed anew gets all
/// lists that it had, as they were made.
fn options(
    folder: &Path,
    (add, seed): (&AddOptions, u64),
    segment: &Segment,
    lacks: Lists,
) -> BuildOptions {
    let had = segment.seismic().map(|lists| lists.meta().params);
    let lists = match lacks {
        Lists::These { impact, seismic, clusters: true } => Lists::These {
            impact: impact || segment.impact().is_some(),
            seismic: seismic || had.is_some(),
            clusters: true,
        },
        other => other,
    };
    BuildOptions {
        out: folder.to_path_buf(),
        overwrite: false,
        resume: false,
        memory: add.memory.max(LEAST_MEMORY),
        seed,
        levels: Levels::Auto,
        lists,
        seismic: had.or(add.seismic).unwrap_or_else(crate::default_seismic),
        clusters: add.clusters.unwrap_or_else(crate::default_clusters),
        shard_documents: SHARD_DOCUMENTS,
        description: Map::new(),
        source: Value::Null,
        ids_are_unique: true,
        vocabulary: None,
    }
}

/// The same documents as a new segment.
fn sealed_anew(
    segment: &Segment,
    build: &Path,
    options: &BuildOptions,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<SegmentEntry, BuildError> {
    let Some(forward) = segment.forward() else {
        return Ok(segment.entry().clone());
    };
    let meta = forward.meta();
    let shards = unseal(segment, build, progress)?;
    let kept = Kept { dimension: meta.dimension, quantization: meta.quantization };
    let folder: PathBuf = options.out.clone();
    let job = SealJob { folder: &folder, build, shards, options, encoder: None, kept: Some(kept) };
    let sealed = seal(job, progress)?;
    for number in 0..shards {
        let path = shard_path(build, number);
        fs::remove_file(&path).map_err(IndexError::io(&path))?;
    }
    let mut entry = sealed.segment;
    if let Some(store) = segment.tokens() {
        entry.parts.push(tokens_in_order(segment, store, &folder, &entry)?);
    }
    Ok(entry)
}

/// The token embeddings of the same documents, in the new segment's order.
fn tokens_in_order(
    old: &Segment,
    store: &TokenStore,
    folder: &Path,
    new: &SegmentEntry,
) -> Result<PartEntry, BuildError> {
    let Some(documents) = new.parts.iter().find(|p| p.kind == doctable::KIND) else {
        return Err(IndexError::corrupt(folder, "a segment without a document table").into());
    };
    let path = folder.join(&documents.file);
    let documents = DocTable::open(&path, Verify::Envelope)?;
    let order = (0..documents.len())
        .map(|row| {
            let row = DocId(u32::try_from(row).unwrap_or(u32::MAX));
            let (id, passage) = (documents.id(row), documents.passage(row));
            old.documents()
                .find(id)
                .find(|doc| old.documents().passage(*doc) == passage)
                .ok_or_else(|| IndexError::corrupt(&path, format!("document `{id}` is new")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let name = FolderWriter::part_name(new.id, tokens::KIND);
    let written = reorder(store, &folder.join(&name), &order)?;
    Ok(PartEntry::new(tokens::KIND, tokens::VERSION, &name, written, false))
}

/// Writes a segment's documents into shards; says into how many.
fn unseal(
    segment: &Segment,
    build: &Path,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<usize, BuildError> {
    let Some(forward) = segment.forward() else { return Ok(0) };
    progress(Event::Stage { name: "documents", total: forward.len() as u64 });
    let (mut shards, mut bytes) = (0, 0);
    let mut documents = Vec::new();
    let rows = u32::try_from(forward.len()).unwrap_or(u32::MAX);
    for doc in (0..rows).map(DocId) {
        let vector = forward.vector(doc);
        let stored = match segment.text() {
            Some(text) => match text.stored(doc)? {
                empty if empty == StoredDocument::default() => String::new(),
                stored => serde_json::to_string(&stored).map_err(|e| BuildError::Document {
                    id: segment.documents().id(doc).to_owned(),
                    line: 0,
                    what: format!("cannot be stored: {e}"),
                })?,
            },
            None => String::new(),
        };
        let id = segment.documents().id(doc).to_owned();
        bytes += 100 + id.len() + stored.len() + 8 * vector.len();
        // A whole document among split ones has the bytes 0..0.
        let passage = segment.documents().passage(doc).filter(|p| !p.bytes.is_empty());
        documents.push(SpoolDoc { id, line: 0, passage, stored, vector });
        if documents.len() >= SHARD_DOCUMENTS || bytes >= SHARD_BYTES {
            write(build, shards, &documents, segment.text().is_some())?;
            progress(Event::Step { done: u64::from(doc.0) + 1 });
            (shards, bytes) = (shards + 1, 0);
            documents.clear();
        }
    }
    if !documents.is_empty() {
        write(build, shards, &documents, segment.text().is_some())?;
        shards += 1;
    }
    Ok(shards)
}

fn write(
    build: &Path,
    number: usize,
    documents: &[SpoolDoc],
    has_text: bool,
) -> Result<(), BuildError> {
    let vectors = || documents.iter().map(|d| &d.vector);
    let last = |v: &SparseVector| v.terms().last().map_or(0, |t| t.saturating_add(1));
    let meta = ShardMeta {
        documents: documents.iter().filter(|d| d.is_first()).count() as u64,
        rows: documents.len() as u64,
        components: vectors().map(|v| v.len() as u64).sum(),
        empty_vectors: vectors().filter(|v| v.is_empty()).count() as u64,
        has_text,
        has_vectors: true,
        dimension: vectors().map(last).max().unwrap_or(0),
        ..ShardMeta::default()
    };
    spool::write(&shard_path(build, number), documents, &meta, false)
}
