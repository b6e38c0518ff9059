//! Turns changes into generations of a collection.
//!
//! 1. of changes one after another that add documents: take the documents that fit, in order  2. add them as one
//!    generation, in which a document replaces an older one of its id  3. a document that only the build refuses is
//!    left out, and the others are tried again  4. deletions are a generation each
//!
//! Where several changes fail together, each is made alone, so that no change fails for another's sake.

use std::collections::HashSet;
use std::convert::Infallible;

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

/// A document that was taken.
struct Taken {
    document: Document,
    /// Which change it is of.
    change: usize,
    /// Its line there.
    line: u64,
    /// Whether there was one of its id before that change.
    replaces: bool,
}

fn put_together(
    collection: &Collection,
    writer: &Writer,
    puts: &[Put],
) -> Result<Vec<Changed>, StoreError> {
    let snapshot = collection.snapshot();
    let mut changed = vec![Changed::nothing(snapshot.version()); puts.len()];
    let mut check = Check::of(snapshot.index());
    let mut taken: Vec<Taken> = Vec::new();
    let mut earlier: HashSet<String> = HashSet::new();
    for (at, put) in puts.iter().enumerate() {
        let mut own: HashSet<&str> = HashSet::new();
        for document in &put.documents {
            let id = document.id.as_str();
            let replaces = earlier.contains(id) || snapshot.searcher().find(id).is_some();
            let there = replaces || own.contains(id);
            let refused = |kind, reason| Refused {
                line: document.line,
                id: document.id.clone(),
                kind,
                reason,
            };
            match put.mode {
                Mode::Insert if there => {
                    let reason = "a document of this id is there".to_owned();
                    changed[at].refused.push(refused(RefusalKind::Exists, reason));
                    continue;
                }
                Mode::Update if !there => {
                    let reason = "no document of this id is there".to_owned();
                    changed[at].refused.push(refused(RefusalKind::NotFound, reason));
                    continue;
                }
                _ => {}
            }
            let mut document = document.clone();
            match check.apply(&mut document) {
                Ok(()) => {
                    own.insert(id);
                    let line = document.line;
                    taken.push(Taken { document, change: at, line, replaces });
                }
                Err(reason) => {
                    changed[at].refused.push(refused(RefusalKind::Invalid, reason));
                }
            }
        }
        earlier.extend(own.into_iter().map(str::to_owned));
    }
    // The files of the old generation are only collected when nobody holds it.
    drop((snapshot, check));
    add(writer, &mut taken, &mut changed)?;
    opened(collection)?;
    let version = collection.snapshot().version();
    let mut replaced: HashSet<(usize, &str)> = HashSet::new();
    for one in &taken {
        changed[one.change].accepted += 1;
        if one.replaces && replaced.insert((one.change, &one.document.id)) {
            changed[one.change].replaced += 1;
        }
    }
    changed.iter_mut().for_each(|one| one.version = version);
    Ok(changed)
}

/// Commits the documents. Those that the build refuses are moved to the refused of their change.
fn add(writer: &Writer, taken: &mut Vec<Taken>, changed: &mut [Changed]) -> Result<(), StoreError> {
    let seal = SealOptions { memory: MEMORY, ..SealOptions::default() };
    let how = Add { seal, merge: false, ..Add::default() };
    for _ in 0..MOST_REFUSED {
        if taken.is_empty() {
            return Ok(());
        }
        // Numbered anew, so that a refusal names one of them.
        for (line, one) in (1..).zip(taken.iter_mut()) {
            one.document.line = line;
        }
        let documents = taken.iter().map(|one| Ok::<_, Infallible>(one.document.clone()));
        let (line, reason) = match writer.add_documents(documents, &how, &|_| {}) {
            Ok(_) => return Ok(()),
            Err(EngineError::Build(BuildError::Document { line, what, .. })) => (line, what),
            Err(EngineError::Build(BuildError::Vector { line, source, .. })) => {
                (line, source.to_string())
            }
            Err(error) => return Err(error.into()),
        };
        let at = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
        if at >= taken.len() {
            return Err(StoreError::Setting { param: "documents", what: reason });
        }
        let Taken { document, change, line, .. } = taken.remove(at);
        let refused = Refused { line, id: document.id, kind: RefusalKind::Invalid, reason };
        changed[change].refused.push(refused);
    }
    Err(StoreError::Setting {
        param: "documents",
        what: format!("more than {MOST_REFUSED} documents do not fit the collection"),
    })
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
    opened.map_err(|source| StoreError::NotOpened { source: Box::new(source) })
}
