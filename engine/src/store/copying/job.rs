//! Puts the documents of one collection into another one until both are level.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard};

use quarry_vectors::Document;
use serde_json::{Value, json};

use super::super::change::{Ack, Change};
use super::super::live::Live;
use super::super::tasks::Work;
use super::super::watcher::Watcher;
use super::super::{Selection, StoreError};
use super::source::{Place, Source};
use crate::snapshot::Snapshot;

/// Documents put together.
const TOGETHER: usize = 256;
/// Bytes of text put together, about.
const TOGETHER_BYTES: usize = 4 << 20;
/// So few changes are made while others wait.
const FEW: usize = 32;
/// Documents that may be refused; then the copy fails.
const MOST_REFUSED: usize = 10_000;
/// Refused documents that the result names.
const NAMED: usize = 100;

/// What is copied, and into what.
pub(in crate::store) struct Copying<'a> {
    pub(in crate::store) old: &'a Arc<Live>,
    pub(in crate::store) new: &'a Arc<Live>,
    /// Whether documents bring their vectors into the new one.
    pub(in crate::store) vectors: bool,
    pub(in crate::store) work: &'a Work,
}

/// Makes both level, and closes the new one. No change of the old one is made until what it gives is dropped.
pub(in crate::store) type Level<'l, 'o> =
    &'l mut dyn FnMut() -> Result<MutexGuard<'o, ()>, StoreError>;

/// Copies all documents and what changes meanwhile, until little is left; `publish` does the rest.
pub(in crate::store) fn copy<'o>(
    copying: &Copying<'o>,
    publish: impl FnOnce(Level<'_, 'o>) -> Result<(), StoreError>,
) -> Result<Value, StoreError> {
    let Copying { old, new, work, .. } = *copying;
    let (watcher, snapshot) = old.watch()?;
    let mut put = Putting { copying, refused: BTreeMap::new() };
    put.all(&snapshot)?;
    drop(snapshot);
    loop {
        let left = watcher.waiting();
        if left <= FEW {
            break;
        }
        work.stage("catching up", Some(left as u64));
        put.changed(&taken(&watcher)?)?;
    }
    work.stage("finishing", None);
    // What is merged later is merged by the collection that the new one becomes.
    new.end_merges();
    let mut sequence = 0;
    publish(&mut || {
        let turn = old.hold()?;
        put.changed(&taken(&watcher)?)?;
        new.close()?;
        sequence = old.progress().visible;
        Ok(turn)
    })?;
    let named = put.refused.iter().take(NAMED);
    let rejected: Vec<Value> =
        named.map(|(id, reason)| json!({"id": id, "message": reason})).collect();
    Ok(json!({
        "documents": new.collection().snapshot().index().manifest().documents(),
        "from_seq": sequence,
        "refused": put.refused.len(),
        "rejected": rejected,
    }))
}

fn taken(watcher: &Watcher) -> Result<BTreeSet<String>, StoreError> {
    watcher.take().ok_or_else(|| StoreError::Setting {
        param: "from",
        what: "the collection was replaced by other means while it was copied; begin again"
            .to_owned(),
    })
}

struct Putting<'a> {
    copying: &'a Copying<'a>,
    /// By id, why it was not taken.
    refused: BTreeMap<String, String>,
}

impl Putting<'_> {
    /// Puts every document of a generation.
    fn all(&mut self, snapshot: &Snapshot) -> Result<(), StoreError> {
        let Copying { vectors, work, .. } = *self.copying;
        let source = Source { snapshot, vectors };
        work.stage("copying", Some(snapshot.index().manifest().documents()));
        let (mut place, mut done) = (Place::default(), 0);
        loop {
            work.check()?;
            let documents = source.next(&mut place, (TOGETHER, TOGETHER_BYTES))?;
            if documents.is_empty() {
                return Ok(());
            }
            done += documents.len() as u64;
            self.put(documents)?;
            work.done(done);
        }
    }

    /// Makes documents in the new collection what they are now in the old one.
    fn changed(&mut self, ids: &BTreeSet<String>) -> Result<(), StoreError> {
        let Copying { old, new, vectors, work } = *self.copying;
        let ids: Vec<&String> = ids.iter().collect();
        let mut done = 0;
        for some in ids.chunks(TOGETHER) {
            work.check()?;
            let snapshot = old.collection().snapshot();
            let source = Source { snapshot: &snapshot, vectors };
            let (mut there, mut gone) = (Vec::new(), Vec::new());
            for &id in some {
                match source.find(id)? {
                    Some(document) => there.push(document),
                    None => {
                        self.refused.remove(id);
                        gone.push(id.clone());
                    }
                }
            }
            let before = self.put(there)?;
            // One that does not fit takes the place of none.
            gone.extend(before);
            if !gone.is_empty() {
                new.change(Change::Delete(Selection::Ids(gone)), Ack::Received)?;
            }
            done += some.len() as u64;
            work.done(done);
        }
        Ok(())
    }

    /// Puts documents; gives the ids of those that are refused.
    fn put(&mut self, documents: Vec<Document>) -> Result<Vec<String>, StoreError> {
        if documents.is_empty() {
            return Ok(Vec::new());
        }
        let new = self.copying.new;
        for document in &documents {
            self.refused.remove(&document.id);
        }
        let changed =
            new.change(Change::Put { documents, mode: super::super::Mode::Upsert }, Ack::Received)?;
        let mut ids = Vec::new();
        for refused in changed.refused {
            ids.push(refused.id.clone());
            self.refused.insert(refused.id, refused.reason);
        }
        if self.refused.len() > MOST_REFUSED {
            let (id, reason) = self.refused.first_key_value().unzip();
            let (id, reason) = (id.map_or("", String::as_str), reason.map_or("", String::as_str));
            return Err(StoreError::Setting {
                param: "from",
                what: format!(
                    "more than {MOST_REFUSED} documents do not fit what was asked for, such as `{id}`: {reason}"
                ),
            });
        }
        // As a store does with the collections that it serves.
        new.tend()?;
        Ok(ids)
    }
}
