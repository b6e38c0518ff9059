//! Changes what documents store, and encodes nothing: their vectors, origins, passages, token embeddings and dense vectors
//! are carried over as they are.
//!
//! 1. take the index  2. write the documents' rows into shards, with what they store now; those of segments that store their
//!    rows alike together  3. seal each of these as a new segment, with weights in the form that they have, and carry over
//!    the rest  4. delete the old rows  5. commit
//!
//! Cost: that of merging these rows, and looking up their ids.

use std::path::Path;

use quarry_index::features::Channels;
use quarry_index::text::StoredDocument;
use quarry_index::{Index, IndexError, Segment};
use quarry_vectors::{DocId, Document};
use serde_json::{Map, Value};

use super::merge::{merge_well, options};
use super::{Checked, Deletions, IndexWriter};
use crate::BuildError;
use crate::fields::Fields;
use crate::job::Job;
use crate::options::Event;
use crate::quantize::Stored;
use crate::seal::{Kept, SealJob, seal};
use crate::spool::{SpoolDoc, shard_paths};
use crate::unseal::{self, Carried, carried_over};

/// What a document stores from now on.
#[derive(Debug, Clone, PartialEq)]
pub struct Rewrite {
    /// Its id.
    pub id: String,
    /// Its title and text, if they are others; only for a document that is not split into passages.
    pub texts: Option<(String, String)>,
    /// All of its other fields.
    pub fields: Map<String, Value>,
    /// Its version.
    pub version: u64,
}

/// Rewrites documents that are there, each once; the new generation.
///
/// # Errors
/// If there is no index, another process writes to it, it holds an unfinished build; if a document is not there, is split
/// though its texts are others, or has a field that does not fit; or writing fails. Nothing is changed then.
pub fn rewrite(
    folder: &Path,
    rewrites: &[Rewrite],
    memory: u64,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<u64, BuildError> {
    // The rows were read before, by whoever looked at what they store; all other parts stay as they are.
    let writer = IndexWriter::take(folder, Checked::Rewritten, |_| false)?;
    let (index, build) = (writer.index(), writer.build());
    let segments = index.segments();
    if rewrites.is_empty() {
        let generation = index.manifest().generation;
        writer.leave()?;
        return Ok(generation);
    }
    let mut deletions = Deletions::new(segments);
    let places = rewrites.iter().map(|one| place(index, one)).collect::<Result<Vec<_>, _>>()?;
    for one in rewrites {
        deletions.delete(&one.id);
    }
    writer.begin(&Job::change())?;
    let mut fields = Fields::new(&index.manifest().fields);
    let versions = rewrites.iter().map(|one| (one.id.clone(), one.version)).collect();
    let mut manifest = index.manifest().clone();
    let mut sealed = Vec::new();
    for group in groups(segments, &places) {
        let (mut shards, mut rows) = (0, 0);
        let mut old: Vec<&Segment> = Vec::new();
        for at in group {
            let segment = &segments[at];
            let mut documents = Vec::new();
            for (one, place) in rewrites.iter().zip(&places).filter(|(_, p)| p.segment == at) {
                rewritten(segment, (one, place), &mut fields, &mut documents)?;
            }
            rows += documents.len() as u64;
            unseal::write(segment, (build, shards, shards), &documents)?;
            shards += 1;
            old.push(segment);
        }
        let options = options(memory, index, rows);
        let form = old.first().and_then(|segment| segment.forward()).map(Stored::of);
        let job = SealJob {
            storage: writer.storage(),
            build,
            shards: &shard_paths(build, shards),
            options: &options,
            tokens: None,
            ids_are_unique: true,
            kept: Some(Kept {
                dimension: index.lexicon().map_or(0, quarry_index::lexicon::Lexicon::len),
                stored: form,
            }),
            channels: Channels { sparse: index.has_sparse(), bm25: index.has_text() },
        };
        let mut segment = seal(job, progress)?.segment;
        let carried = Carried { old: &old, versions: Some(&versions) };
        segment.parts.extend(carried_over(carried, writer.storage(), &segment)?);
        for path in shard_paths(build, shards) {
            std::fs::remove_file(&path).map_err(IndexError::io(&path))?;
        }
        sealed.push(segment);
    }
    deletions.write(writer.storage(), &mut manifest.segments)?;
    manifest.fields.extend(fields.of_shard());
    manifest.features = index.features().clone();
    manifest.segments.extend(sealed);
    writer.commit(manifest)
}

/// Where a document's rows lie.
struct Place {
    segment: usize,
    rows: Vec<DocId>,
}

fn place(index: &Index, one: &Rewrite) -> Result<Place, BuildError> {
    let lacks =
        |what: &str| BuildError::Document { id: one.id.clone(), line: 0, what: what.to_owned() };
    let found = index.segments().iter().enumerate().rev().find_map(|(at, segment)| {
        let live = |doc: &DocId| segment.deleted().is_none_or(|gone| !gone.contains(doc.0));
        let rows: Vec<DocId> = segment.documents().find(&one.id).filter(live).collect();
        (!rows.is_empty()).then_some(Place { segment: at, rows })
    });
    let place = found.ok_or_else(|| lacks("no document of this id is there"))?;
    if one.texts.is_some() && place.rows.len() > 1 {
        return Err(lacks("it is split into passages, so its text cannot change without encoding"));
    }
    Ok(place)
}

/// The segments that have rows, those together whose rows one segment can have as they are.
fn groups(segments: &[Segment], places: &[Place]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let form = |s: &Segment| {
        let of_origins = s.provenance().map(|p| p.meta().pooled_by);
        let weights = s.forward().map(|f| (f.meta().quantization, f.meta().tolerance));
        (weights, of_origins, s.text().is_some())
    };
    let alike = |a: &Segment, b: &Segment| form(a) == form(b) && merge_well(a, b);
    for at in (0..segments.len()).filter(|at| places.iter().any(|p| p.segment == *at)) {
        let mut all = groups.iter_mut();
        match all.find(|group| group.first().is_some_and(|f| alike(&segments[*f], &segments[at]))) {
            Some(group) => group.push(at),
            None => groups.push(vec![at]),
        }
    }
    groups
}

/// The rows of a document with what they store from now on.
fn rewritten(
    segment: &Segment,
    (one, place): (&Rewrite, &Place),
    fields: &mut Fields,
    out: &mut Vec<SpoolDoc>,
) -> Result<(), BuildError> {
    let mut checked =
        Document { id: one.id.clone(), fields: one.fields.clone(), ..Document::default() };
    fields.apply(&mut checked)?;
    for doc in &place.rows {
        let mut row = unseal::document(segment, *doc)?;
        let fail = |what: String| BuildError::Document { id: one.id.clone(), line: 0, what };
        let mut stored = match row.stored.as_str() {
            "" => StoredDocument::default(),
            json => serde_json::from_str(json).map_err(|e| fail(e.to_string()))?,
        };
        stored.fields = checked.fields.clone();
        if let Some((title, text)) = &one.texts {
            (stored.title, stored.text) = (title.clone(), text.clone());
        }
        row.stored = match stored == StoredDocument::default() {
            true => String::new(),
            false => serde_json::to_string(&stored).map_err(|e| fail(e.to_string()))?,
        };
        out.push(row);
    }
    Ok(())
}
