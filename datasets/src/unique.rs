//! Documents of one id: those that are the same to the letter are left out, others are refused, or the
//! last is taken.
//!
//! Refusing: of every document a hash of its id and one of its content are kept, 16 bytes; only where an id
//! comes again with other content the collection is read again, for the place of the first. Taking the last:
//! the collection is read once before, to learn which one that is; 24 bytes an id.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;

use quarry_vectors::{Document, InputVector};
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_128};

use crate::error::DatasetError;

/// What becomes of documents that have one id and are not the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicates {
    /// They are refused.
    Refuse,
    /// The last is taken.
    Last,
}

/// What was seen so far, or is known beforehand.
#[derive(Debug)]
pub(crate) enum Unique {
    Refuse(HashMap<u64, u64>),
    /// Of each id the number of its last document, and the number of the next one.
    Last(HashMap<u128, u64>, u64),
}

/// What to do with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is handed on.
    New,
    /// It is left out.
    LeftOut,
    /// Its id was seen with other content, or another id has the same hash.
    Other,
}

impl Unique {
    pub(crate) fn refusing() -> Self {
        Self::Refuse(HashMap::new())
    }

    /// Goes through all documents beforehand.
    pub(crate) fn last(
        documents: impl Iterator<Item = Result<Document, DatasetError>>,
    ) -> Result<Self, DatasetError> {
        let mut last = HashMap::new();
        for (number, document) in (0..).zip(documents) {
            last.insert(xxh3_128(document?.id.as_bytes()), number);
        }
        Ok(Self::Last(last, 0))
    }

    pub(crate) fn judge(&mut self, document: &Document) -> Verdict {
        match self {
            Self::Refuse(seen) => match seen.entry(xxh3_64(document.id.as_bytes())) {
                Entry::Vacant(entry) => {
                    entry.insert(content(document));
                    Verdict::New
                }
                Entry::Occupied(entry) if *entry.get() == content(document) => Verdict::LeftOut,
                Entry::Occupied(_) => Verdict::Other,
            },
            Self::Last(last, next) => {
                let number = *next;
                *next += 1;
                match last.get(&xxh3_128(document.id.as_bytes())) {
                    Some(last) if *last != number => Verdict::LeftOut,
                    _ => Verdict::New,
                }
            }
        }
    }
}

/// A hash of all of a document but its place.
fn content(document: &Document) -> u64 {
    let mut hash = Xxh3::new();
    let mut take = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for text in [&document.id, &document.title, &document.text] {
        take(text.as_bytes());
    }
    if !document.fields.is_empty() {
        // Values that came from JSON can be written as JSON.
        take(&serde_json::to_vec(&document.fields).unwrap_or_default());
    }
    match &document.vector {
        None => {}
        Some(InputVector::Tokens(pairs)) => {
            for (token, weight) in pairs {
                take(token.as_bytes());
                take(&weight.to_le_bytes());
            }
        }
        Some(InputVector::Terms(vector)) => {
            for (term, weight) in vector.iter() {
                take(&term.to_le_bytes());
                take(&weight.to_le_bytes());
            }
        }
    }
    hash.digest()
}

/// Where documents were left out.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    pub(crate) count: u64,
    pub(crate) first: Option<(PathBuf, u64)>,
}

impl LeftOut {
    pub(crate) fn add(&mut self, path: &std::path::Path, line: u64) {
        self.count += 1;
        self.first.get_or_insert_with(|| (path.to_owned(), line));
    }
}
