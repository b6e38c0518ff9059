//! Adds documents: those of several changes as one generation.
//!
//! 1. take the documents that fit, in order  2. add them as one generation, in which a document replaces an older one of
//!    its id  3. a document that only the build refuses is left out, and the others are tried again
//!
//! Where several changes fail together, each is made alone, so that no change fails for another's sake.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;

use quarry_indexer::{BuildError, SealOptions};
use quarry_vectors::Document;

use super::StoreError;
use super::change::{Changed, Mode, RefusalKind, Refused};
use super::check::Check;
use super::guard::Guard;
use super::head::{Applied, Head, MEMORY, Numbers, Texts, conflict};
use super::log::{Entry, Operation};
use crate::EngineError;
use crate::write::{Add, EncodedText, Known, Writer};

/// Most documents that the build may refuse; then the change fails.
const MOST_REFUSED: usize = 16;

/// Documents to add.
#[derive(Debug, Clone)]
pub(super) struct Put {
    pub(super) documents: Vec<Document>,
    pub(super) texts: Texts,
    pub(super) mode: Mode,
    pub(super) guard: Guard,
    pub(super) numbers: Numbers,
}

/// Makes these changes; gives what became of each.
pub(super) fn put(head: &mut Head<'_>, puts: &[Put]) -> Vec<Applied> {
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
    text: Option<Arc<EncodedText>>,
    place: Place,
    /// Whether there was one of its id before that change.
    replaces: bool,
    version: u64,
}

/// The documents that fit, and what each change knows so far.
struct Selected {
    taken: Vec<Taken>,
    changed: Vec<Changed>,
    /// Number of the change after these.
    next: u64,
}

fn put_together(head: &mut Head<'_>, puts: &[Put]) -> Result<Vec<Applied>, StoreError> {
    let mut unfit: HashMap<Place, String> = HashMap::new();
    loop {
        let Selected { taken, mut changed, next } = selected(head, puts, &unfit);
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
        head.next = next;
        let version = head.snapshot.version();
        let mut replaced: HashSet<(usize, &str)> = HashSet::new();
        let mut entries: Vec<Vec<Entry>> = vec![Vec::new(); puts.len()];
        for one in &taken {
            let change = one.place.0;
            entries[change].push(Entry::from(&one.document).with(one.text.as_deref()));
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
fn selected(head: &Head<'_>, puts: &[Put], unfit: &HashMap<Place, String>) -> Selected {
    let snapshot = &head.snapshot;
    let mut changed = vec![Changed::nothing(snapshot.version()); puts.len()];
    let mut check = Check::of(snapshot.index());
    let mut taken: Vec<Taken> = Vec::new();
    let mut next = head.next;
    // Versions of documents that changes before wrote.
    let mut earlier: HashMap<String, u64> = HashMap::new();
    for (at, put) in puts.iter().enumerate() {
        let (before, known) = (taken.len(), put.guard.atomic.then(|| check.clone()));
        let mut own: HashMap<&str, u64> = HashMap::new();
        for (position, document) in put.documents.iter().enumerate() {
            let id = document.id.as_str();
            let was = earlier.get(id).copied().unwrap_or_else(|| head.version_of(id));
            let current = own.get(id).copied().unwrap_or(was);
            let place = (at, position);
            let refused = &mut changed[at].refused;
            let mut refuse = |kind, reason| {
                let (line, id) = (document.line, document.id.clone());
                refused.push(Refused { line, id, kind, reason });
            };
            if put.guard.forbids(position, current) {
                refused.push(conflict((document.line, id), current));
                continue;
            }
            match put.mode {
                Mode::Insert if current != 0 => {
                    refuse(RefusalKind::Exists, "a document of this id is there".to_owned());
                    continue;
                }
                Mode::Update if current == 0 => {
                    refuse(RefusalKind::NotFound, "no document of this id is there".to_owned());
                    continue;
                }
                _ => {}
            }
            if let Some(reason) = unfit.get(&place) {
                refuse(RefusalKind::Invalid, reason.clone());
                continue;
            }
            let text = match put.texts.get(position) {
                Some(Some(Err(reason))) => {
                    let reason = format!("its text cannot be encoded: {reason}");
                    refuse(RefusalKind::NotEncoded, reason);
                    continue;
                }
                Some(Some(Ok(text))) => Some(Arc::clone(text)),
                Some(None) | None => None,
            };
            let mut document = document.clone();
            match check.apply(&mut document) {
                Ok(()) => {
                    let version = put.numbers.of(next, id);
                    own.insert(id, version);
                    taken.push(Taken { document, text, place, replaces: was != 0, version });
                }
                Err(reason) => refuse(RefusalKind::Invalid, reason),
            }
        }
        if let Some(known) = known.filter(|_| !changed[at].refused.is_empty()) {
            taken.truncate(before);
            own.clear();
            check = known;
        }
        next += u64::from(taken.len() > before || put.guard.key.is_some());
        earlier.extend(own.into_iter().map(|(id, version)| (id.to_owned(), version)));
    }
    Selected { taken, changed, next }
}

/// Commits the documents; or names one that the build refuses, and nothing is committed.
fn add(writer: &Writer, taken: &[Taken]) -> Result<Option<(Place, String)>, StoreError> {
    if taken.is_empty() {
        return Ok(None);
    }
    let seal = SealOptions { memory: MEMORY, ..SealOptions::default() };
    let versions = taken.iter().map(|one| (one.document.id.clone(), one.version)).collect();
    let how = Add { seal, merge: false, versions: Some(versions), ..Add::default() };
    // A line is the place among these, by which an error names the document.
    let documents = (1..)
        .zip(taken)
        .map(|(line, one)| Ok::<_, Infallible>(Document { line, ..one.document.clone() }));
    let known = taken.iter().filter_map(|one| Some((&one.document, one.text.as_ref()?)));
    let writer = writer.knowing(Known::of(known));
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
