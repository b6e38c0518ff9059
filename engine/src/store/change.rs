//! What is asked of a collection, and what came of it.

use quarry_vectors::Document;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Patch, Selection};
use crate::Version;

/// A change of a collection.
#[derive(Debug, Clone)]
pub enum Change {
    /// Adds documents.
    Put {
        /// The documents. Their lines name them in the answer.
        documents: Vec<Document>,
        /// What happens to those whose ids are there, or are not.
        mode: Mode,
    },
    /// Deletes documents. A filter is resolved in this change's turn, so that every change before it counts, and none
    /// after it.
    Delete(Selection),
    /// Patches documents that are there. A filter is resolved as for a deletion.
    Patch {
        /// Which.
        selection: Selection,
        /// What changes.
        patch: Patch,
    },
}

impl Change {
    /// Whether it may need room for more than a few marks.
    pub(super) fn adds(&self) -> bool {
        !matches!(self, Self::Delete(_))
    }

    /// The ids of the documents that it changes, as far as it names them: a filter means what is there when it is made.
    pub(super) fn ids(&self) -> Vec<&str> {
        match self {
            Self::Put { documents, .. } => documents.iter().map(|d| d.id.as_str()).collect(),
            Self::Delete(Selection::Ids(ids))
            | Self::Patch { selection: Selection::Ids(ids), .. } => {
                ids.iter().map(String::as_str).collect()
            }
            Self::Delete(Selection::Filter(_))
            | Self::Patch { selection: Selection::Filter(_), .. } => Vec::new(),
        }
    }
}

/// When a change is answered. Each promises what those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Ack {
    /// When every later search sees it. A crash of the process loses nothing; a power cut may lose the last second.
    Received,
    /// When it is synced to the log: a power cut does not lose it.
    #[default]
    Synced,
    /// When it is in a sealed generation, which other processes can open.
    Sealed,
}

/// Which documents are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// All; one whose id is there replaces the old one.
    #[default]
    Upsert,
    /// Those whose ids are not there.
    Insert,
    /// Those whose ids are there.
    Update,
}

/// What a change did.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// The generation that has it.
    pub version: Version,
    /// Its number among the changes of the collection, from 1; of a change that changed nothing, that of the last one.
    pub sequence: u64,
    /// Documents taken. Of several with one id, the last stays.
    pub accepted: u64,
    /// Documents that the accepted ones replaced.
    pub replaced: u64,
    /// Documents of a patch whose vectors were made anew.
    pub encoded: u64,
    /// Documents deleted.
    pub deleted: u64,
    /// Ids to delete that no document has.
    pub unknown: Vec<String>,
    /// Documents not taken.
    pub refused: Vec<Refused>,
    /// Whether it was made before, under the same key: this is its answer again.
    pub replayed: bool,
    /// Where the time went.
    pub spent: Spent,
}

/// Where the time of a change went. Changes that are made together take the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Waiting for its texts to be encoded.
    pub queued: Duration,
    /// Encoding them, with others' that share their batches.
    pub encode: Duration,
    /// Waiting for its turn, and making the generation.
    pub write: Duration,
    /// Writing the log, and waiting for the disk.
    pub log: Duration,
}

impl Changed {
    pub(super) fn nothing(version: Version) -> Self {
        Self {
            version,
            sequence: 0,
            accepted: 0,
            replaced: 0,
            encoded: 0,
            deleted: 0,
            unknown: Vec::new(),
            refused: Vec::new(),
            replayed: false,
            spent: Spent::default(),
        }
    }
}

/// A document that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its line.
    pub line: u64,
    /// Its id.
    pub id: String,
    /// The kind of fault.
    pub kind: RefusalKind,
    /// What is wrong.
    pub reason: String,
}

/// Why a document was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The mode is insert, and its id is there.
    Exists,
    /// The mode is update, and its id is not there.
    NotFound,
    /// No vector can be made of its text.
    NotEncoded,
    /// A field or the vector does not fit the collection.
    Invalid,
    /// It would have more bytes than a document may have.
    TooLarge,
    /// Its condition does not hold.
    Conflict {
        /// The version of the document that is there; 0 if none is.
        current: u64,
    },
}
