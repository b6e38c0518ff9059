//! What changes are applied to, and what they are applied as.

use std::collections::HashMap;
use std::sync::Arc;

use quarry_index::claim::Claim;
use quarry_vectors::Document;

use super::StoreError;
use super::change::{Change, Changed, RefusalKind, Refused};
use super::guard::Guard;
use super::log::Operation;
use crate::Collection;
use crate::snapshot::Snapshot;
use crate::write::{EncodedText, Writer};

/// Bytes that buffers and sorting may take.
pub(super) const MEMORY: u64 = 256 << 20;

type Outcome = Result<Changed, StoreError>;

/// What was made of texts, by document, or why it could not be; where there is less than documents, nothing was tried.
pub(super) type Texts = Vec<Option<Result<Arc<EncodedText>, String>>>;

/// What is to be done.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A change.
    Change(Change),
    /// Documents that are there are written with their vectors as they are: a patch is made again.
    Carry(Vec<Document>),
}

/// A change that is to be made.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) step: Step,
    /// What was made of the texts of its documents; what is not there is made when the change is.
    pub(super) texts: Texts,
    pub(super) guard: Guard,
    pub(super) numbers: Numbers,
}

/// Which versions documents get.
#[derive(Debug, Clone, Default)]
pub(super) enum Numbers {
    /// The next number, which the change gets if it changes something.
    #[default]
    Next,
    /// This number: the change is made again.
    This(u64),
    /// By id: changes are made again together.
    Of(HashMap<String, u64>),
}

impl Numbers {
    /// The version of a document that is written now.
    pub(super) fn of(&self, next: u64, id: &str) -> u64 {
        match self {
            Self::Next => next,
            Self::This(number) => *number,
            Self::Of(numbers) => numbers.get(id).copied().unwrap_or(next),
        }
    }
}

/// A change that was made, or not.
pub(super) struct Applied {
    pub(super) outcome: Outcome,
    /// What changed, if anything did.
    pub(super) operation: Option<Operation>,
}

impl Applied {
    pub(super) fn failed(error: StoreError) -> Self {
        Self { outcome: Err(error), operation: None }
    }

    /// Whether the change gets a number: it changed something, or its answer is kept.
    pub(super) fn is_numbered(&self, guard: &Guard) -> bool {
        self.outcome.is_ok() && (self.operation.is_some() || guard.key.is_some())
    }
}

/// A collection's newest generation, whether searches see it or not.
pub(super) struct Head<'a> {
    pub(super) collection: &'a Collection,
    pub(super) writer: &'a Writer,
    pub(super) claim: &'a Claim,
    pub(super) snapshot: Arc<Snapshot>,
    /// Number of the next change.
    pub(super) next: u64,
}

impl Head<'_> {
    /// Commits by `change`, and opens that. Where it fails, nothing has changed.
    pub(super) fn advance<T>(
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

    /// The version of a document; 0 if it is not there.
    pub(super) fn version_of(&self, id: &str) -> u64 {
        self.snapshot.version_of(id).unwrap_or(0)
    }
}

/// The refusal of a document whose condition does not hold.
pub(super) fn conflict((line, id): (u64, &str), current: u64) -> Refused {
    let reason = match current {
        0 => "no document of this id is there".to_owned(),
        current => format!("the document has the version {current}"),
    };
    Refused { line, id: id.to_owned(), kind: RefusalKind::Conflict { current }, reason }
}
