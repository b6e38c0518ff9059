//! Documents that a Python iterator gives, one JSON object each.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyIterator;
use quarry_engine::{Document, EngineError, read_sent_document};

use crate::errors;

/// Documents taken from the iterator while Python's lock is held once.
const AT_ONCE: usize = 256;

/// Why there are no more documents.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// Python's code raised; what it raised is in [`Raised`].
    #[error("the iterator of documents raised an exception")]
    Raised,
    /// Ctrl-C.
    #[error("interrupted")]
    Cancelled,
}

/// What Python's code raised, to be raised again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Raised(Arc<Mutex<Option<PyErr>>>);

impl Raised {
    fn keep(&self, error: PyErr) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// The exception to raise for an error of the engine: Python's own, if that was the cause.
    pub(crate) fn or(&self, py: Python<'_>, error: &EngineError) -> PyErr {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.unwrap_or_else(|| errors::raised(py, error, None))
    }
}

/// The documents of an iterator of JSON texts, some at once.
pub(crate) struct Documents {
    iterator: Py<PyIterator>,
    raised: Raised,
    cancel: Arc<AtomicBool>,
    taken: std::vec::IntoIter<Result<Document, Ended>>,
    number: u64,
    ended: bool,
}

impl Documents {
    pub(crate) fn new(iterator: Py<PyIterator>, raised: Raised, cancel: Arc<AtomicBool>) -> Self {
        let taken = Vec::new().into_iter();
        Self { iterator, raised, cancel, taken, number: 0, ended: false }
    }

    fn take_some(&mut self) {
        let mut taken = Vec::with_capacity(AT_ONCE);
        Python::attach(|py| {
            let iterator = self.iterator.bind(py);
            while taken.len() < AT_ONCE && !self.ended {
                let Some(next) = iterator.clone().next() else {
                    self.ended = true;
                    break;
                };
                let read = next.and_then(|json| {
                    let text: std::borrow::Cow<'_, str> = json.extract()?;
                    read_sent_document(&text, self.number + 1, &[]).map_err(|refused| {
                        let at = usize::try_from(self.number).ok();
                        let name = refused.id.map(|id| format!(" {id:?}")).unwrap_or_default();
                        errors::input(py, &format!("document{name}: {}", refused.reason), at)
                    })
                });
                self.number += 1;
                taken.push(read.map_err(|error| {
                    self.raised.keep(error);
                    self.ended = true;
                    Ended::Raised
                }));
            }
        });
        self.taken = taken.into_iter();
    }
}

impl Iterator for Documents {
    type Item = Result<Document, Ended>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cancel.load(Ordering::Relaxed) {
            self.ended = true;
            return Some(Err(Ended::Cancelled));
        }
        if let Some(document) = self.taken.next() {
            return Some(document);
        }
        if self.ended {
            return None;
        }
        self.take_some();
        self.taken.next()
    }
}
