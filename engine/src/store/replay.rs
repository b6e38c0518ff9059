//! Makes the changes of a log again, after a crash.
//!
//! 1. what matters of a document is the last change of its id: all others are left out, and the rest is made as one
//!    deletion and one addition  2. if a document is refused so, which the order of the changes may have allowed, they are
//!    made one after another

use std::collections::HashMap;

use super::apply::{Head, apply};
use super::change::{Change, Mode};
use super::log::{Entry, Operation, Pending};
use super::{Selection, StoreError};

/// Changes made again together, one after another.
const TOGETHER: usize = 64;

/// Makes the changes again that come after the number `applied`. Searches do not see them yet.
pub(super) fn replay(
    head: &mut Head<'_>,
    applied: u64,
    pending: Pending,
) -> Result<(), StoreError> {
    let Pending { operations, dropped } = pending;
    if dropped > 0 {
        tracing::warn!(
            bytes = dropped,
            "the log ends with a change that was not complete; it is dropped"
        );
    }
    if operations.is_empty() {
        return Ok(());
    }
    let (place, before) = (head.claim.place(), head.snapshot.clone());
    let count = operations.len();
    if let Err(error) = make(head, (applied, count), net(&operations)?) {
        tracing::warn!(%error, "the changes of the log are made one after another");
        head.claim.rewind(place);
        head.snapshot = before;
        let mut number = applied;
        for group in operations.chunks(TOGETHER) {
            let changes = group.iter().map(change).collect::<Result<Vec<_>, _>>()?;
            make(head, (number, group.len()), changes)?;
            number += group.len() as u64;
        }
    }
    tracing::info!(changes = count, "changes of the log were made again");
    Ok(())
}

/// Makes changes that stand for `count` of the log, after the number `after`.
fn make(
    head: &mut Head<'_>,
    (after, count): (u64, usize),
    changes: Vec<Change>,
) -> Result<(), StoreError> {
    let failed = |what: String| StoreError::NotReplayed {
        first: after + 1,
        last: after + count as u64,
        what,
    };
    for one in apply(head, changes) {
        let changed = one.outcome.map_err(|error| failed(error.to_string()))?;
        if let Some(refused) = changed.refused.first() {
            return Err(failed(format!("document `{}`: {}", refused.id, refused.reason)));
        }
    }
    Ok(())
}

/// What is left of the operations: ids to delete, then documents to put, in the order of their last change.
fn net(operations: &[Operation]) -> Result<Vec<Change>, StoreError> {
    // By id: the place of its last change, and the document if that put one.
    let mut last: HashMap<&str, (usize, Option<&Entry>)> = HashMap::new();
    let mut place = 0;
    for operation in operations {
        match operation {
            Operation::Put(entries) => {
                for entry in entries {
                    place += 1;
                    last.insert(entry.id(), (place, Some(entry)));
                }
            }
            Operation::Delete(ids) => {
                for id in ids {
                    place += 1;
                    last.insert(id, (place, None));
                }
            }
        }
    }
    let mut all: Vec<(&str, (usize, Option<&Entry>))> = last.into_iter().collect();
    all.sort_unstable_by_key(|(_, (place, _))| *place);
    let (mut ids, mut documents) = (Vec::new(), Vec::new());
    for (line, (id, (_, entry))) in (1..).zip(all) {
        match entry {
            None => ids.push(id.to_owned()),
            Some(entry) => documents.push(document(entry, line)?),
        }
    }
    let mut changes = Vec::new();
    if !ids.is_empty() {
        changes.push(Change::Delete(Selection::Ids(ids)));
    }
    if !documents.is_empty() {
        changes.push(Change::Put { documents, mode: Mode::Upsert });
    }
    Ok(changes)
}

fn change(operation: &Operation) -> Result<Change, StoreError> {
    Ok(match operation {
        Operation::Delete(ids) => Change::Delete(Selection::Ids(ids.clone())),
        Operation::Put(entries) => {
            let documents = (1..).zip(entries).map(|(line, entry)| document(entry, line));
            Change::Put { documents: documents.collect::<Result<_, _>>()?, mode: Mode::Upsert }
        }
    })
}

fn document(entry: &Entry, line: u64) -> Result<quarry_vectors::Document, StoreError> {
    let made = entry.clone().document(line);
    made.map_err(|error| StoreError::NotReplayed {
        first: line,
        last: line,
        what: format!("document `{}`: {error}", entry.id()),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use quarry_vectors::Document;

    use super::*;

    fn put(ids: &[(&str, &str)]) -> Operation {
        let entry = |(id, text): &(&str, &str)| {
            let (id, text) = ((*id).to_owned(), (*text).to_owned());
            Entry::from(&Document { id, text, ..Document::default() })
        };
        Operation::Put(ids.iter().map(entry).collect())
    }

    fn delete(ids: &[&str]) -> Operation {
        Operation::Delete(ids.iter().map(|id| (*id).to_owned()).collect())
    }

    #[test]
    fn the_last_change_of_an_id_is_left() {
        let operations = [
            put(&[("a", "1"), ("b", "1"), ("a", "2")]),
            delete(&["b", "c"]),
            put(&[("c", "3")]),
            put(&[("b", "4"), ("d", "4")]),
            delete(&["d", "e"]),
        ];
        let changes = net(&operations).unwrap();
        let [Change::Delete(Selection::Ids(ids)), Change::Put { documents, .. }] =
            changes.as_slice()
        else {
            panic!("{changes:?}")
        };
        assert_eq!(ids, &["d", "e"]);
        let of = |d: &Document| (d.id.clone(), d.text.clone());
        let expected = [("a", "2"), ("c", "3"), ("b", "4")];
        let expected = expected.map(|(id, text)| (id.to_owned(), text.to_owned()));
        assert_eq!(documents.iter().map(of).collect::<Vec<_>>(), expected);
        assert!(net(&[]).unwrap().is_empty());
    }
}
