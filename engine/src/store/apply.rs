//! Turns changes into generations of a collection, which searches do not see yet, and into operations for its log.
//!
//! 1. of changes one after another that add documents: take the documents that fit, in order  2. add them as one
//!    generation, in which a document replaces an older one of its id  3. a document that only the build refuses is
//!    left out, and the others are tried again  4. deletions are a generation each
//!
//! Where several changes fail together, each is made alone, so that no change fails for another's sake.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;

use quarry_index::claim::Claim;
use quarry_indexer::{BuildError, SealOptions};
use quarry_vectors::Document;

use super::StoreError;
use super::change::{Change, Changed, Mode, RefusalKind, Refused};
use super::check::Check;
use super::log::{Entry, Operation};
use crate::snapshot::Snapshot;
use crate::write::{Add, Writer};
use crate::{Collection, EngineError};

/// Bytes that buffers and sorting may take.
pub(super) const MEMORY: u64 = 256 << 20;
/// Most documents that the build may refuse; then the change fails.
const MOST_REFUSED: usize = 16;

type Outcome = Result<Changed, StoreError>;

/// A change that was made, or not.
pub(super) struct Applied {
    pub(super) outcome: Outcome,
    /// What changed, if anything did.
    pub(super) operation: Option<Operation>,
}

impl Applied {
    fn failed(error: StoreError) -> Self {
        Self { outcome: Err(error), operation: None }
    }
}

/// A collection's newest generation, whether searches see it or not.
pub(super) struct Head<'a> {
    pub(super) collection: &'a Collection,
    pub(super) writer: &'a Writer,
    pub(super) claim: &'a Claim,
    pub(super) snapshot: Arc<Snapshot>,
}

impl Head<'_> {
    /// Commits by `change`, and opens that. Where it fails, nothing has changed.
    fn advance<T>(
        &mut self,
        change: impl FnOnce(&Writer) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let place = self.claim.place();
        let made = change(self.writer).and_then(|made| {
            self.snapshot = self.collection.next(&self.snapshot)?;
            Ok(made)
        });
        if made.is_err() {
            self.claim.rewind(place);
        }
        made
    }
}

/// Documents to add.
#[derive(Debug, Clone)]
struct Put {
    documents: Vec<Document>,
    mode: Mode,
}

/// Applies changes in order; gives what became of each.
pub(super) fn apply(head: &mut Head<'_>, changes: Vec<Change>) -> Vec<Applied> {
    let mut all = Vec::with_capacity(changes.len());
    let mut puts: Vec<Put> = Vec::new();
    for change in changes {
        match change {
            Change::Put { documents, mode } => puts.push(Put { documents, mode }),
            Change::Delete(selection) => {
                all.extend(put(head, &std::mem::take(&mut puts)));
                all.push(delete(head, selection).unwrap_or_else(Applied::failed));
            }
        }
    }
    all.extend(put(head, &puts));
    all
}

fn put(head: &mut Head<'_>, puts: &[Put]) -> Vec<Applied> {
    if puts.is_empty() {
        return Vec::new();
    }
    match put_together(head, puts) {
        Ok(all) => all,
        Err(error) if puts.len() == 1 => vec![Applied::failed(error)],
        Err(_) => {
            // One change gives one answer.
            let only = |mut all: Vec<Applied>| all.pop().ok_or(StoreError::Interrupted);
            let mut alone = |one| put_together(head, std::slice::from_ref(one)).and_then(only);
            puts.iter().map(|one| alone(one).unwrap_or_else(Applied::failed)).collect()
        }
    }
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

fn put_together(head: &mut Head<'_>, puts: &[Put]) -> Result<Vec<Applied>, StoreError> {
    let mut unfit: HashMap<Place, String> = HashMap::new();
    loop {
        let Selection { taken, mut changed } = selected(&head.snapshot, puts, &unfit);
        if let Some((place, reason)) = head.advance(|writer| add(writer, &taken))? {
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
        let version = head.snapshot.version();
        let mut replaced: HashSet<(usize, &str)> = HashSet::new();
        let mut entries: Vec<Vec<Entry>> = vec![Vec::new(); puts.len()];
        for one in &taken {
            let change = one.place.0;
            entries[change].push(Entry::from(&one.document));
            changed[change].accepted += 1;
            if one.replaces && replaced.insert((change, &one.document.id)) {
                changed[change].replaced += 1;
            }
        }
        changed.iter_mut().for_each(|one| one.version = version);
        let made = changed.into_iter().zip(entries).map(|(changed, entries)| Applied {
            outcome: Ok(changed),
            operation: (!entries.is_empty()).then_some(Operation::Put(entries)),
        });
        return Ok(made.collect());
    }
}

/// Takes the documents that fit, in order, but for those that the build refused.
fn selected(snapshot: &Snapshot, puts: &[Put], unfit: &HashMap<Place, String>) -> Selection {
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

fn delete(head: &mut Head<'_>, selection: super::Selection) -> Result<Applied, StoreError> {
    let ids = match selection {
        super::Selection::Ids(ids) if ids.is_empty() => return Err(StoreError::NoIds),
        super::Selection::Ids(ids) => ids,
        by_filter => by_filter.resolve(&head.snapshot)?.ids,
    };
    if ids.is_empty() {
        let outcome = Ok(Changed::nothing(head.snapshot.version()));
        return Ok(Applied { outcome, operation: None });
    }
    let report = head.advance(|writer| Ok(writer.delete(ids.iter().map(String::as_str))?))?;
    let (deleted, unknown) = (report.deleted, report.unknown);
    let operation = (deleted > 0).then(|| Operation::Delete(ids));
    let version = head.snapshot.version();
    let changed = Changed { deleted, unknown, ..Changed::nothing(version) };
    Ok(Applied { outcome: Ok(changed), operation })
}
