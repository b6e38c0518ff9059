//! Turns changes into generations of a collection.
//!
//! 1. of changes one after another that add documents: take the documents that fit, in order  2. add them as one
//!    generation, in which a document replaces an older one of its id  3. a document that only the build refuses is
//!    left out, and the others are tried again  4. deletions are a generation each
//!
//! Where several changes fail together, each is made alone, so that no change fails for another's sake.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;

use quarry_indexer::{BuildError, SealOptions};
use quarry_vectors::Document;

use super::StoreError;
use super::change::{Change, Changed, Mode, RefusalKind, Refused};
use super::check::Check;
use crate::write::{Add, Writer};
use crate::{Collection, EngineError};

/// Bytes that buffers and sorting may take.
pub(super) const MEMORY: u64 = 256 << 20;
/// Most documents that the build may refuse; then the change fails.
const MOST_REFUSED: usize = 16;

type Outcome = Result<Changed, StoreError>;

/// Documents to add.
#[derive(Debug, Clone)]
struct Put {
    documents: Vec<Document>,
    mode: Mode,
}

/// Applies changes in order; gives an outcome for each.
pub(super) fn apply(
    collection: &Collection,
    writer: &Writer,
    changes: Vec<Change>,
) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(changes.len());
    let mut puts: Vec<Put> = Vec::new();
    for change in changes {
        match change {
            Change::Put { documents, mode } => puts.push(Put { documents, mode }),
            Change::Delete(ids) => {
                outcomes.extend(put(collection, writer, &std::mem::take(&mut puts)));
                outcomes.push(delete(collection, writer, &ids));
            }
        }
    }
    outcomes.extend(put(collection, writer, &puts));
    outcomes
}

fn put(collection: &Collection, writer: &Writer, puts: &[Put]) -> Vec<Outcome> {
    if puts.is_empty() {
        return Vec::new();
    }
    match put_together(collection, writer, puts) {
        Ok(changed) => changed.into_iter().map(Ok).collect(),
        // All are made; to make each alone would be to make it twice.
        Err(StoreError::NotOpened { source }) => {
            let each = |_| Err(StoreError::NotOpened { source: Arc::clone(&source) });
            puts.iter().map(each).collect()
        }
        Err(error) if puts.len() == 1 => vec![Err(error)],
        Err(_) => {
            let alone = |one| put_together(collection, writer, std::slice::from_ref(one));
            // One change gives one answer.
            puts.iter().map(|one| alone(one).and_then(only)).collect()
        }
    }
}

fn only(mut changed: Vec<Changed>) -> Outcome {
    changed.pop().ok_or(StoreError::Interrupted)
}

/// A document's place: of which change, and which of its documents.
type Place = (usize, usize);

/// A document that was taken.
struct Taken {
    document: Document,
    place: Place,
    /// Whether there was one of its id before that change.
    replaces: bool,
}

/// The documents that fit, and what each change knows so far.
struct Selection {
    taken: Vec<Taken>,
    changed: Vec<Changed>,
}

fn put_together(
    collection: &Collection,
    writer: &Writer,
    puts: &[Put],
) -> Result<Vec<Changed>, StoreError> {
    // What an earlier change stored and could not open decides which ids are there.
    collection.reload_own()?;
    let mut unfit: HashMap<Place, String> = HashMap::new();
    loop {
        let Selection { taken, mut changed } = selected(collection, puts, &unfit);
        if let Some((place, reason)) = add(writer, &taken)? {
            if unfit.len() == MOST_REFUSED {
                return Err(StoreError::Setting {
                    param: "documents",
                    what: format!("more than {MOST_REFUSED} documents do not fit the collection"),
                });
            }
            // Chosen anew: what the document decided for those after it does not hold.
            unfit.insert(place, reason);
            continue;
        }
        opened(collection)?;
        let version = collection.snapshot().version();
        let mut replaced: HashSet<(usize, &str)> = HashSet::new();
        for one in &taken {
            let change = one.place.0;
            changed[change].accepted += 1;
            if one.replaces && replaced.insert((change, &one.document.id)) {
                changed[change].replaced += 1;
            }
        }
        changed.iter_mut().for_each(|one| one.version = version);
        return Ok(changed);
    }
}

/// Takes the documents that fit, in order, but for those that the build refused.
fn selected(collection: &Collection, puts: &[Put], unfit: &HashMap<Place, String>) -> Selection {
    let snapshot = collection.snapshot();
    let mut changed = vec![Changed::nothing(snapshot.version()); puts.len()];
    let mut check = Check::of(snapshot.index());
    let mut taken: Vec<Taken> = Vec::new();
    let mut earlier: HashSet<String> = HashSet::new();
    for (at, put) in puts.iter().enumerate() {
        let mut own: HashSet<&str> = HashSet::new();
        for (position, document) in put.documents.iter().enumerate() {
            let id = document.id.as_str();
            let replaces = earlier.contains(id) || snapshot.searcher().find(id).is_some();
            let there = replaces || own.contains(id);
            let place = (at, position);
            let mut refuse = |kind, reason| {
                let (line, id) = (document.line, document.id.clone());
                changed[at].refused.push(Refused { line, id, kind, reason });
            };
            match put.mode {
                Mode::Insert if there => {
                    refuse(RefusalKind::Exists, "a document of this id is there".to_owned());
                    continue;
                }
                Mode::Update if !there => {
                    refuse(RefusalKind::NotFound, "no document of this id is there".to_owned());
                    continue;
                }
                _ => {}
            }
            if let Some(reason) = unfit.get(&place) {
                refuse(RefusalKind::Invalid, reason.clone());
                continue;
            }
            let mut document = document.clone();
            match check.apply(&mut document) {
                Ok(()) => {
                    own.insert(id);
                    taken.push(Taken { document, place, replaces });
                }
                Err(reason) => refuse(RefusalKind::Invalid, reason),
            }
        }
        earlier.extend(own.into_iter().map(str::to_owned));
    }
    Selection { taken, changed }
}

/// Commits the documents; or names one that the build refuses, and nothing is committed.
fn add(writer: &Writer, taken: &[Taken]) -> Result<Option<(Place, String)>, StoreError> {
    if taken.is_empty() {
        return Ok(None);
    }
    let seal = SealOptions { memory: MEMORY, ..SealOptions::default() };
    let how = Add { seal, merge: false, ..Add::default() };
    // A line is the place among these, by which an error names the document.
    let documents = (1..)
        .zip(taken)
        .map(|(line, one)| Ok::<_, Infallible>(Document { line, ..one.document.clone() }));
    let (line, reason) = match writer.add_documents(documents, &how, &|_| {}) {
        Ok(_) => return Ok(None),
        Err(EngineError::Build(BuildError::Document { line, what, .. })) => (line, what),
        Err(EngineError::Build(BuildError::Vector { line, source, .. })) => {
            (line, source.to_string())
        }
        Err(error) => return Err(error.into()),
    };
    let at = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
    match taken.get(at) {
        Some(one) => Ok(Some((one.place, reason))),
        None => Err(StoreError::Setting { param: "documents", what: reason }),
    }
}

fn delete(collection: &Collection, writer: &Writer, ids: &[String]) -> Outcome {
    if ids.is_empty() {
        return Err(StoreError::NoIds);
    }
    let report = writer.delete(ids.iter().map(String::as_str))?;
    opened(collection)?;
    let version = collection.snapshot().version();
    let (deleted, unknown) = (report.deleted, report.unknown);
    Ok(Changed { deleted, unknown, ..Changed::nothing(version) })
}

/// Opens what was committed.
fn opened(collection: &Collection) -> Result<(), StoreError> {
    let opened = collection.reload_own().map(drop);
    opened.map_err(|source| StoreError::NotOpened { source: Arc::new(source) })
}
