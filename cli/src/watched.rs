//! A collection watched while it is read: how far it is, and the progress bar of a build.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quarry_datasets::{CollectionReader, DatasetError};
use quarry_indexer::Event;
use quarry_vectors::Document;

use crate::progress::Progress;

/// How much of the input was read, across threads.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) total: u64,
    bytes: AtomicU64,
    documents: AtomicU64,
    pub(crate) repairs: AtomicU64,
}

/// The documents of a collection, counted as they are read.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) reader: CollectionReader,
    pub(crate) seen: Arc<Seen>,
}

impl Iterator for Watched {
    type Item = Result<Document, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.reader.next();
        self.seen.bytes.store(self.reader.bytes_read(), Ordering::Relaxed);
        self.seen.repairs.store(self.reader.repairs(), Ordering::Relaxed);
        if next.is_some() {
            self.seen.documents.fetch_add(1, Ordering::Relaxed);
        }
        next
    }
}

impl Seen {
    /// Of an input of so many bytes.
    pub(crate) fn of(total: u64) -> Self {
        Self { total, ..Self::default() }
    }

    /// Documents that the collection will turn out to have, judged by the bytes read so far.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate"
    )]
    fn estimate(&self) -> Option<u64> {
        let (bytes, documents) =
            (self.bytes.load(Ordering::Relaxed), self.documents.load(Ordering::Relaxed));
        if bytes == 0 || self.total == 0 {
            return None;
        }
        Some((documents as f64 * self.total as f64 / bytes as f64).round() as u64)
    }
}

/// The stages of a build.
pub(crate) fn show(
    event: Event,
    progress: &Progress,
    seen: &Seen,
    total: Option<u64>,
    encoding: bool,
) {
    match event {
        Event::Resumed { documents } => {
            progress.stage(if encoding { "encoding" } else { "reading" }, documents)
        }
        Event::Documents { documents, components, this_run } => {
            #[expect(clippy::cast_precision_loss, reason = "a mean")]
            let mean = components as f64 / this_run.max(1) as f64;
            let total = total.or_else(|| seen.estimate()).map(|t| t.max(documents));
            progress.set(documents, total, "documents", &format!("{mean:.1} components"));
        }
        Event::Stage { .. } | Event::Step { .. } => show_stage(event, progress),
    }
}

/// The stages of sealing.
pub(crate) fn show_stage(event: Event, progress: &Progress) {
    match event {
        Event::Stage { name, total } => {
            progress.stage(name, 0);
            progress.set(0, Some(total), "", "");
        }
        Event::Step { done } => progress.set(done, None, "", ""),
        Event::Resumed { .. } | Event::Documents { .. } => {}
    }
}
