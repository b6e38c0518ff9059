//! Upgrades an index of an earlier version, into another folder.
//!
//! 1. look at the versions of its parts: if all are current, there is nothing to do
//! 2. open the parts that cannot be rebuilt from others (vectors, ids, texts, embeddings, origins) and
//!    verify every byte; lists and calibration tables may be of any version
//! 3. for each segment: write the documents that are not deleted back into shards and seal them, with
//!    weights as they were stored and the kinds of lists that the segment had
//! 4. commit
//!
//! The old folder is only read. Cost: that of building the index, without encoding.

use std::fs;
use std::path::Path;

use quarry_index::clusters;
use quarry_index::container::Part;
use quarry_index::features::Channels;
use quarry_index::folder::{BUILD, FolderWriter, read_current};
use quarry_index::lexicon::{self, Lexicon};
use quarry_index::manifest::{FORMAT, Manifest, PartEntry, SegmentEntry};
use quarry_index::seismic;
use quarry_index::{Index, IndexError, Segment, Storage, Verify, impact, kinds, names};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use uuid::Uuid;

use crate::BuildError;
use crate::build::{count_done, exists};
use crate::job::{Job, Work};
use crate::options::{Event, LEAST_MEMORY, Levels, Lists, SealOptions, WordLists};
use crate::quantize::Stored;
use crate::seal::{Kept, SealJob, Sealed, seal};
use crate::spool::shard_paths;
use crate::terms::{Grown, Known};
use crate::unseal::{Carried, carried_over, unseal};
use crate::workspace::{self, Found};

/// Key in the manifest's build description that names the index it was made from.
const UPGRADED: &str = "upgraded_from";

/// The result of an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct UpgradeReport {
    /// Kinds of parts whose version was not current, and `format` if the manifest's was not. If it is
    /// empty, nothing was written.
    pub outdated: Vec<String>,
    /// Documents in the new index.
    pub documents: u64,
    /// Segments in the new index.
    pub segments: usize,
    /// Deleted rows of the old index that were dropped.
    pub dropped: u64,
}

/// Writes the index in `from` to the folder `out`, with all parts in their current versions. If they are
/// current already, nothing is written.
///
/// # Errors
/// If there is no index in `from`; if a part that cannot be rebuilt is damaged or of a version that cannot
/// be read; if `out` holds an index and `overwrite` is not set, or files that are not ours; if another
/// process writes there; if reading or writing fails.
pub fn upgrade(
    from: &Path,
    (out, overwrite): (&Path, bool),
    memory: u64,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<UpgradeReport, BuildError> {
    let (manifest, lease) = read_current(from)?;
    let outdated = outdated(&manifest);
    let mut report = UpgradeReport {
        outdated,
        documents: manifest.documents(),
        segments: manifest.segments.len(),
        dropped: 0,
    };
    if report.outdated.is_empty() {
        return Ok(report);
    }
    let index = Index::open_sources(from, Verify::Full)?;
    drop(lease);
    let mut writer = FolderWriter::create(out, &workspace::mark)?;
    if let Some(current) = writer.current().filter(|_| !overwrite || same(from, out)) {
        return Err(exists(current, out));
    }
    let build = writer.storage().path(BUILD);
    match workspace::look(&build)? {
        Found::Ours(job) if job.work() == Work::Build && !overwrite => {
            let documents = count_done(&build)?;
            return Err(BuildError::Interrupted { path: out.to_path_buf(), documents });
        }
        Found::Foreign(name) => return Err(workspace::foreign(&build, name)),
        Found::Ours(_) | Found::Nothing => workspace::clear(&build)?,
    }
    writer.collect()?;
    workspace::begin(&build, &Job::change())?;
    let mut upgraded = Manifest {
        format: FORMAT,
        uuid: Uuid::new_v4(),
        written_by: format!("quarry {}", env!("CARGO_PKG_VERSION")),
        features: index.features().clone(),
        assets: Vec::new(),
        segments: Vec::new(),
        ..index.manifest().clone()
    };
    let source = json!({"uuid": manifest.uuid, "generation": manifest.generation, "written_by": manifest.written_by});
    upgraded.build.insert(UPGRADED.into(), source);
    for segment in index.segments() {
        let deleted = segment.deleted().map_or(0, roaring::RoaringBitmap::len);
        report.dropped += deleted;
        // A segment without documents is dropped; the manifest still holds the features of the index.
        if deleted == segment.entry().rows {
            continue;
        }
        upgraded.segments.push(anew(
            &index,
            segment,
            (writer.storage(), &build),
            memory,
            progress,
        )?);
    }
    upgraded.assets = assets(&index, &writer)?;
    report.segments = upgraded.segments.len();
    report.documents = upgraded.documents();
    drop(index);
    writer.commit(upgraded)?;
    workspace::clear(&build)?;
    writer.collect()?;
    Ok(report)
}

/// The kinds of parts whose version is older than the current one.
fn outdated(manifest: &Manifest) -> Vec<String> {
    let mut found = Vec::new();
    if manifest.format != FORMAT {
        found.push("format".to_owned());
    }
    for part in manifest.parts() {
        let known = kinds::find(&part.kind);
        if known.is_some_and(|kind| kind.version > part.version) && !found.contains(&part.kind) {
            found.push(part.kind.clone());
        }
    }
    found
}

fn same(from: &Path, out: &Path) -> bool {
    let whole = |path: &Path| fs::canonicalize(path).ok();
    whole(from).is_some() && whole(from) == whole(out)
}

/// Writes the documents of a segment that are not deleted as a segment of the new index.
fn anew(
    index: &Index,
    segment: &Segment,
    (storage, build): (&Storage, &Path),
    memory: u64,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<SegmentEntry, BuildError> {
    let shards = shard_paths(build, unseal(segment, (build, 0), progress)?);
    let options = options(index, segment, memory);
    let job = SealJob {
        storage,
        build,
        shards: &shards,
        options: &options,
        tokens: None,
        ids_are_unique: true,
        kept: Some(Kept {
            dimension: index.lexicon().map_or(0, Lexicon::len),
            stored: segment.forward().map(Stored::of),
        }),
        channels: Channels { sparse: segment.forward().is_some(), bm25: segment.text().is_some() },
    };
    let Sealed { segment: mut entry, .. } = seal(job, progress)?;
    for path in &shards {
        fs::remove_file(path).map_err(IndexError::io(path))?;
    }
    entry.parts.extend(carried_over(Carried::of(&[segment]), storage, &entry)?);
    Ok(entry)
}

/// Build options that give the kinds of lists that the segment has, with the parameters they were built
/// with where those can be read, else the defaults.
fn options(index: &Index, segment: &Segment, memory: u64) -> SealOptions {
    let part = |kind: &str| {
        let found = segment.entry().parts.iter().find(|part| part.kind == kind);
        found.map(|part| index.storage().path(&part.file))
    };
    let (blocked, grouped) = (part(seismic::KIND), part(clusters::KIND));
    let of_blocked = blocked.as_ref().and_then(|path| built_with(path, seismic::KIND, "meta"));
    let of_grouped = grouped.as_ref().and_then(|path| built_with(path, clusters::KIND, "clusters"));
    SealOptions {
        memory: memory.max(LEAST_MEMORY),
        seed: index.manifest().seed,
        levels: Levels::Auto,
        lists: Lists::These {
            impact: part(impact::KIND).is_some(),
            seismic: blocked.is_some(),
            clusters: grouped.is_some(),
        },
        words: WordLists::of(index.features()),
        seismic: of_blocked.unwrap_or_else(crate::default_seismic),
        clusters: of_grouped.unwrap_or_else(crate::default_clusters),
        fields: index.manifest().fields.clone(),
    }
}

/// The parameters that lists of any version were built with, if they can be read.
fn built_with<T: DeserializeOwned>(path: &Path, kind: &str, section: &str) -> Option<T> {
    #[derive(Deserialize)]
    struct Meta<T> {
        params: T,
    }
    let part = Part::open(path, kind, 0..u32::MAX, Verify::Full).ok()?;
    part.json::<Meta<T>>(section).ok().map(|meta| meta.params)
}

/// Rewrites the lexicon and copies the encoder's files.
fn assets(index: &Index, writer: &FolderWriter) -> Result<Vec<PartEntry>, BuildError> {
    let id = Uuid::new_v4();
    let mut assets = Vec::new();
    if index.lexicon().is_some() {
        let name = names::part(id, lexicon::KIND);
        let known = Known::of(index);
        assets.push(Grown::of(&known, None, (&[], &[], 0)).write(writer.storage(), &name)?);
    }
    for part in index.manifest().assets.iter().filter(|part| part.kind != lexicon::KIND) {
        if let Some(bytes) = index.asset(&part.kind) {
            let name = names::asset(id, &part.kind);
            assets.push(writer.write_asset(&part.kind, &name, bytes, part.required)?);
        }
    }
    Ok(assets)
}
