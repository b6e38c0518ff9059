//! Makes the changes of a log again, after a crash.
//!
//! 1. what matters of a document is the last change of its id: all others are left out, and the rest is made as one
//!    deletion and one addition  2. if a document is refused so, which the order of the changes may have allowed, they are
//!    made one after another

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::apply::apply;
use super::change::{Change, Mode};
use super::guard::Guard;
use super::head::{Head, Numbers, Step, Task, Texts};
use super::log::{Entry, Operation};
use super::{Selection, StoreError};

/// Changes made again together, one after another.
const TOGETHER: usize = 64;

/// Makes the changes again that come after the number `applied`. Searches do not see them yet.
pub(super) fn replay(
    head: &mut Head<'_>,
    applied: u64,
    operations: &[Operation],
) -> Result<(), StoreError> {
    if operations.is_empty() {
        return Ok(());
    }
    let (place, before) = (head.claim.place(), head.snapshot.clone());
    let made = make_all(head, applied, operations);
    if made.is_err() {
        head.claim.rewind(place);
        head.snapshot = before;
    }
    made
}

fn make_all(head: &mut Head<'_>, applied: u64, operations: &[Operation]) -> Result<(), StoreError> {
    let (place, before) = (head.claim.place(), head.snapshot.clone());
    let count = operations.len();
    if let Err(error) = make(head, (applied, count), net(operations, applied + 1)?) {
        if error.is_full() {
            return Err(error);
        }
        tracing::warn!(%error, "the changes of the log are made one after another");
        head.claim.rewind(place);
        head.snapshot = before;
        let mut number = applied;
        for group in operations.chunks(TOGETHER) {
            let tasks = (number + 1..)
                .zip(group)
                .filter_map(|(number, operation)| operation.did().map(|did| again(did, number)));
            let tasks = tasks.collect::<Result<Vec<_>, _>>()?.concat();
            make(head, (number, group.len()), tasks)?;
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
    tasks: Vec<Task>,
) -> Result<(), StoreError> {
    let failed = |what: String| StoreError::NotReplayed {
        first: after + 1,
        last: after + count as u64,
        what,
    };
    for one in apply(head, tasks) {
        // That the disk is full is an error that passes.
        let changed = one.outcome.map_err(|error| match error.is_full() {
            true => error,
            false => failed(error.to_string()),
        })?;
        if let Some(refused) = changed.refused.first() {
            return Err(failed(format!("document `{}`: {}", refused.id, refused.reason)));
        }
    }
    Ok(())
}

/// The last change of an id.
struct Last<'a> {
    /// Its place among all.
    place: usize,
    /// The document, if it put one.
    entry: Option<Cow<'a, Entry>>,
    /// The document's version.
    version: u64,
}

/// What is left of the operations, of which the first has the number `first`: ids to delete, then documents to put, in the
/// order of their last change.
fn net<'a>(operations: &'a [Operation], first: u64) -> Result<Vec<Task>, StoreError> {
    let mut last: HashMap<&str, Last<'_>> = HashMap::new();
    let mut place = 0;
    for (version, operation) in (first..).zip(operations) {
        let mut note = |id: &'a str, entry: Option<&'a Entry>| {
            place += 1;
            let entry = entry.map(|entry| match last.get(id).map(|last| &last.entry) {
                Some(Some(before)) if entry.is_carried() => Cow::Owned(entry.over(before)),
                _ => Cow::Borrowed(entry),
            });
            last.insert(id, Last { place, entry, version });
        };
        match operation.did() {
            Some(Operation::Put(entries)) => {
                entries.iter().for_each(|entry| note(entry.id(), Some(entry)));
            }
            Some(Operation::Delete(ids)) => ids.iter().for_each(|id| note(id, None)),
            Some(Operation::Keyed(_)) | None => {}
        }
    }
    let mut all: Vec<(&str, Last<'_>)> = last.into_iter().collect();
    all.sort_unstable_by_key(|(_, last)| last.place);
    let (mut ids, mut documents, mut carried) = (Vec::new(), Vec::new(), Vec::new());
    let mut texts = Texts::new();
    let mut versions = HashMap::new();
    for (line, (id, last)) in (1..).zip(all) {
        match last.entry {
            None => ids.push(id.to_owned()),
            Some(entry) => {
                let to = if entry.is_carried() { &mut carried } else { &mut documents };
                to.push(document(&entry, line)?);
                if !entry.is_carried() {
                    texts.push(entry.text().map(|text| Ok(Arc::new(text))));
                }
                versions.insert(id.to_owned(), last.version);
            }
        }
    }
    let mut tasks = Vec::new();
    let mut add = |step, texts, numbers| {
        tasks.push(Task { step, texts, guard: Guard::default(), numbers });
    };
    if !ids.is_empty() {
        add(Step::Change(Change::Delete(Selection::Ids(ids))), Texts::new(), Numbers::Next);
    }
    if !carried.is_empty() {
        add(Step::Carry(carried), Texts::new(), Numbers::Of(versions.clone()));
    }
    if !documents.is_empty() {
        let put = Change::Put { documents, mode: Mode::Upsert };
        add(Step::Change(put), texts, Numbers::Of(versions));
    }
    Ok(tasks)
}

/// The change of this number again.
fn again(operation: &Operation, number: u64) -> Result<Vec<Task>, StoreError> {
    let task =
        |step, texts| Task { step, texts, guard: Guard::default(), numbers: Numbers::This(number) };
    match operation {
        Operation::Delete(ids) => {
            let delete = Change::Delete(Selection::Ids(ids.clone()));
            Ok(vec![task(Step::Change(delete), Texts::new())])
        }
        Operation::Put(entries) => {
            let (mut documents, mut carried) = (Vec::new(), Vec::new());
            for (line, entry) in (1..).zip(entries) {
                let to = if entry.is_carried() { &mut carried } else { &mut documents };
                to.push(document(entry, line)?);
            }
            let put = Change::Put { documents, mode: Mode::Upsert };
            let put_again = entries.iter().filter(|entry| !entry.is_carried());
            let texts =
                put_again.map(|entry| entry.text().map(|text| Ok(Arc::new(text)))).collect();
            Ok(vec![task(Step::Carry(carried), Texts::new()), task(Step::Change(put), texts)])
        }
        // None is within another.
        Operation::Keyed(_) => Err(StoreError::Interrupted),
    }
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
        let tasks = net(&operations, 10).unwrap();
        let [first, second] = tasks.as_slice() else { panic!("{tasks:?}") };
        let Step::Change(Change::Delete(Selection::Ids(ids))) = &first.step else {
            panic!("{first:?}")
        };
        assert_eq!(ids, &["d", "e"]);
        let Step::Change(Change::Put { documents, .. }) = &second.step else {
            panic!("{second:?}")
        };
        assert_eq!(["a", "b", "c"].map(|id| second.numbers.of(0, id)), [10, 13, 12]);
        let of = |d: &Document| (d.id.clone(), d.text.clone());
        let expected = [("a", "2"), ("c", "3"), ("b", "4")];
        let expected = expected.map(|(id, text)| (id.to_owned(), text.to_owned()));
        assert_eq!(documents.iter().map(of).collect::<Vec<_>>(), expected);
        assert!(net(&[], 1).unwrap().is_empty());
        // A patch is made of what was put before it, or of what is there.
        let carried = |id: &str, text: &str| {
            let document = Document { id: id.into(), text: text.into(), ..Document::default() };
            Operation::Put(vec![Entry::from(&document).carried()])
        };
        let operations = [
            put(&[("a", "1")]),
            carried("a", "2"),
            carried("b", "3"),
            delete(&["c"]),
            carried("b", "4"),
        ];
        let tasks = net(&operations, 1).unwrap();
        let [_, Task { step: Step::Carry(kept), .. }, Task { step: Step::Change(put), .. }] =
            tasks.as_slice()
        else {
            panic!("{tasks:?}")
        };
        let Change::Put { documents, .. } = put else { panic!("{put:?}") };
        assert_eq!(
            [of(&kept[0]), of(&documents[0])],
            [("b", "4"), ("a", "2")].map(|(i, t)| (i.to_owned(), t.to_owned()))
        );
    }
}
