//! What is asked of a collection, and what came of it.

use quarry_vectors::Document;

use super::Selection;
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
    /// Documents deleted.
    pub deleted: u64,
    /// Ids to delete that no document has.
    pub unknown: Vec<String>,
    /// Documents not taken.
    pub refused: Vec<Refused>,
}

impl Changed {
    pub(super) fn nothing(version: Version) -> Self {
        let (unknown, refused) = (Vec::new(), Vec::new());
        Self { version, sequence: 0, accepted: 0, replaced: 0, deleted: 0, unknown, refused }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The mode is insert, and its id is there.
    Exists,
    /// The mode is update, and its id is not there.
    NotFound,
    /// A field or the vector does not fit the collection.
    Invalid,
}
