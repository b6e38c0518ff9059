//! Turns changes into generations of a collection, which searches do not see yet, and into operations for its log.
//!
//! 1. changes one after another that add documents are made together (`put.rs`)  2. deletions are a generation each
//!
//! Every change has a number, which is the version of the documents that it writes (`head.rs`).

use super::change::{Change, Changed};
use super::guard::Guard;
use super::head::{Applied, Head, Step, Task, conflict};
use super::log::Operation;
use super::patch::{carry, patch};
use super::put::{Put, put};
use super::{Selection, StoreError};

/// Applies changes in order; gives what became of each.
pub(super) fn apply(head: &mut Head<'_>, tasks: Vec<Task>) -> Vec<Applied> {
    let mut all = Vec::with_capacity(tasks.len());
    let mut puts: Vec<Put> = Vec::new();
    for Task { step, texts, guard, numbers } in tasks {
        match step {
            Step::Change(Change::Put { documents, mode }) => {
                puts.push(Put { documents, texts, mode, guard, numbers });
            }
            Step::Change(Change::Patch { selection, patch: members }) => {
                all.extend(put(head, &std::mem::take(&mut puts)));
                let patched = patch(head, (selection, &members), &guard);
                let patched = patched.unwrap_or_else(Applied::failed);
                head.next += u64::from(patched.is_numbered(&guard));
                all.push(patched);
            }
            Step::Carry(documents) => {
                all.extend(put(head, &std::mem::take(&mut puts)));
                let carried = carry(head, &documents, &numbers);
                let outcome = carried.map(|()| Changed::nothing(head.snapshot.version()));
                all.push(Applied { outcome, operation: None });
            }
            Step::Change(Change::Delete(selection)) => {
                all.extend(put(head, &std::mem::take(&mut puts)));
                let deleted = delete(head, selection, &guard).unwrap_or_else(Applied::failed);
                head.next += u64::from(deleted.is_numbered(&guard));
                all.push(deleted);
            }
        }
    }
    all.extend(put(head, &puts));
    all
}

fn delete(head: &mut Head<'_>, selection: Selection, guard: &Guard) -> Result<Applied, StoreError> {
    let mut ids = match selection {
        Selection::Ids(ids) if ids.is_empty() => return Err(StoreError::NoIds),
        Selection::Ids(ids) => ids,
        by_filter => by_filter.resolve(&head.snapshot)?.ids,
    };
    let mut refused = Vec::new();
    if !guard.conditions.is_empty() {
        let mut kept = Vec::with_capacity(ids.len());
        for (at, id) in ids.into_iter().enumerate() {
            let current = head.version_of(&id);
            match guard.forbids(at, current) {
                true => refused.push(conflict((at as u64 + 1, &id), current)),
                false => kept.push(id),
            }
        }
        ids = kept;
    }
    if ids.is_empty() || (guard.atomic && !refused.is_empty()) {
        let changed = Changed { refused, ..Changed::nothing(head.snapshot.version()) };
        return Ok(Applied { outcome: Ok(changed), operation: None });
    }
    let report = head.advance(|writer| Ok(writer.delete(ids.iter().map(String::as_str))?))?;
    let (deleted, unknown) = (report.deleted, report.unknown);
    let operation = (deleted > 0).then_some(Operation::Delete(ids));
    let version = head.snapshot.version();
    let changed = Changed { deleted, unknown, refused, ..Changed::nothing(version) };
    Ok(Applied { outcome: Ok(changed), operation })
}
