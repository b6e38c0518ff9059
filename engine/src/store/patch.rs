//! Patches documents (JSON merge patch, RFC 7396): resolved to whole documents, so that the log has what came of it.
//!
//! 1. the selection is resolved to ids in the change's turn  2. each document is read as the changes before left it, and
//!    patched  3. where nothing that is encoded changes, the document is written again with its vectors as they are
//!    (`carry`); else it is put like one that was sent whole

use quarry_index::text::StoredDocument;
use quarry_indexer::{AsBuilt, Rewrite};
use quarry_vectors::Document;

use super::change::{Changed, Mode, RefusalKind, Refused};
use super::check::Check;
use super::guard::Guard;
use super::head::{Applied, Head, MEMORY, Numbers, conflict};
use super::log::{Entry, Operation};
use super::put::{Put, put};
use super::{Patch, Selection, StoreError};

/// Most bytes of all documents of a patch: they are held together.
const MOST_BYTES: usize = 64 << 20;

/// Documents after a patch.
#[derive(Default)]
struct Patched {
    /// Those whose vectors stay.
    carried: Vec<Document>,
    /// Those that are encoded.
    whole: Vec<Document>,
}

/// Patches documents.
pub(super) fn patch(
    head: &mut Head<'_>,
    (selection, patch): (Selection, &Patch),
    guard: &Guard,
) -> Result<Applied, StoreError> {
    let ids = match selection {
        Selection::Ids(ids) if ids.is_empty() => return Err(StoreError::NoIds),
        Selection::Ids(ids) => ids,
        by_filter => by_filter.resolve(&head.snapshot)?.ids,
    };
    let mut changed = Changed::nothing(head.snapshot.version());
    let patched = patched(head, (&ids, patch), guard, &mut changed)?;
    if guard.atomic && !(changed.refused.is_empty() && changed.unknown.is_empty()) {
        return Ok(Applied { outcome: Ok(changed), operation: None });
    }
    let (place, before, next) = (head.claim.place(), head.snapshot.clone(), head.next);
    let made = make(head, patched, guard, &mut changed);
    head.next = next;
    match made {
        Ok(entries) if !guard.atomic || changed.refused.is_empty() => {
            changed.version = head.snapshot.version();
            let operation = (!entries.is_empty()).then_some(Operation::Put(entries));
            Ok(Applied { outcome: Ok(changed), operation })
        }
        made => {
            head.claim.rewind(place);
            head.snapshot = before;
            made?;
            let refused = changed.refused;
            let changed = Changed { refused, ..Changed::nothing(head.snapshot.version()) };
            Ok(Applied { outcome: Ok(changed), operation: None })
        }
    }
}

/// The documents as they are after the patch.
fn patched(
    head: &Head<'_>,
    (ids, patch): (&[String], &Patch),
    guard: &Guard,
    changed: &mut Changed,
) -> Result<Patched, StoreError> {
    let snapshot = &head.snapshot;
    let built = AsBuilt::of(snapshot.index());
    let encodes = built.encoder.is_some();
    let beside = built.tokens.is_some() || built.dense.is_some();
    let mut check = Check::of(snapshot.index());
    let mut patched = Patched::default();
    let mut seen = std::collections::HashSet::new();
    let mut bytes = 0usize;
    for (at, id) in ids.iter().enumerate().filter(|(_, id)| seen.insert(id.as_str())) {
        let line = at as u64 + 1;
        let current = head.version_of(id);
        if guard.forbids(at, current) {
            changed.refused.push(conflict((line, id), current));
            continue;
        }
        let Some(hit) = snapshot.searcher().find(id) else {
            changed.unknown.push(id.clone());
            continue;
        };
        let stored = snapshot.searcher().stored_whole(&hit).map_err(crate::EngineError::from)?;
        let stored = stored.ok_or(crate::EngineError::NothingStored)?;
        let after = patch.apply(stored.clone());
        let same = (&after.title, &after.text) == (&stored.title, &stored.text);
        let StoredDocument { title, text, fields } = after;
        let mut document =
            Document { id: id.clone(), title, text, fields, line, ..Document::default() };
        let size = size(&document);
        bytes = bytes.saturating_add(size);
        if bytes > MOST_BYTES {
            let what = format!(
                "the documents have more than {MOST_BYTES} bytes after it; patch fewer at once"
            );
            return Err(StoreError::Setting { param: "patch", what });
        }
        if size > patch.most {
            let reason =
                format!("it would have {size} bytes, and a document has at most {}", patch.most);
            let kind = RefusalKind::TooLarge;
            changed.refused.push(Refused { line, id: id.clone(), kind, reason });
            continue;
        }
        let mut refuse = |reason: String| {
            let kind = RefusalKind::Invalid;
            changed.refused.push(Refused { line, id: id.clone(), kind, reason });
        };
        if !same && beside && !encodes {
            let reason = "its vector was brought, and what the collection makes of its text beside it would be another: \
                          put the document whole";
            refuse(reason.to_owned());
        } else if let Err(reason) = check.fields(&mut document) {
            refuse(reason);
        } else if same || !encodes {
            patched.carried.push(document);
        } else {
            patched.whole.push(document);
        }
    }
    Ok(patched)
}

/// Bytes of title, text and other fields, these as JSON.
fn size(document: &Document) -> usize {
    let fields = serde_json::to_vec(&document.fields).map_or(0, |json| json.len());
    document.title.len() + document.text.len() + fields
}

/// Writes the documents; gives them for the log.
fn make(
    head: &mut Head<'_>,
    Patched { carried, whole }: Patched,
    guard: &Guard,
    changed: &mut Changed,
) -> Result<Vec<Entry>, StoreError> {
    let number = head.next;
    carry(head, &carried, &Numbers::This(number))?;
    changed.accepted += carried.len() as u64;
    let mut entries: Vec<Entry> = carried.iter().map(|one| Entry::from(one).carried()).collect();
    if !whole.is_empty() {
        let put_one = Put {
            documents: whole,
            texts: Vec::new(),
            mode: Mode::Update,
            guard: Guard { atomic: guard.atomic, ..Guard::default() },
            numbers: Numbers::This(number),
        };
        for Applied { outcome, operation } in put(head, &[put_one]) {
            let Changed { accepted, refused, .. } = outcome?;
            changed.accepted += accepted;
            changed.encoded += accepted;
            changed.refused.extend(refused);
            if let Some(Operation::Put(put)) = operation {
                entries.extend(put);
            }
        }
    }
    Ok(entries)
}

/// Writes documents that are there with what they store now, and with the vectors that they have.
pub(super) fn carry(
    head: &mut Head<'_>,
    documents: &[Document],
    numbers: &Numbers,
) -> Result<(), StoreError> {
    if documents.is_empty() {
        return Ok(());
    }
    let mut rewrites = Vec::with_capacity(documents.len());
    for one in documents {
        let hit = head.snapshot.searcher().find(&one.id);
        let stored = match hit {
            Some(hit) => head.snapshot.searcher().stored_whole(&hit),
            None => Ok(None),
        };
        let stored = stored.map_err(crate::EngineError::from)?.unwrap_or_default();
        let same = (&stored.title, &stored.text) == (&one.title, &one.text);
        rewrites.push(Rewrite {
            id: one.id.clone(),
            texts: (!same).then(|| (one.title.clone(), one.text.clone())),
            fields: one.fields.clone(),
            version: numbers.of(head.next, &one.id),
        });
    }
    head.advance(|writer| Ok(writer.rewrite(&rewrites, MEMORY)?)).map(drop)
}
