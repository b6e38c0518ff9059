//! A collection watched while it is read: how far it is, and the progress bar of a build.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quarry_datasets::{CollectionReader, DatasetError, Notice, RunFormat};
use quarry_indexer::Event;
use quarry_vectors::Document;

use crate::output::{count, note};
use crate::progress::Progress;

/// How much of the input was read, across threads.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) total: u64,
    bytes: AtomicU64,
    documents: AtomicU64,
    pub(crate) repairs: AtomicU64,
    /// Documents left out, since their ids repeat.
    pub(crate) repeated: AtomicU64,
    rest: Mutex<Rest>,
}

/// What is said at the end.
#[derive(Debug, Default)]
struct Rest {
    notices: Vec<Notice>,
    /// Ids that a run in TREC's form cannot hold, and the first.
    spaced: u64,
    first_spaced: Option<String>,
    /// The file that is read.
    path: PathBuf,
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
        self.seen.repeated.fetch_max(self.reader.repeated(), Ordering::Relaxed);
        let mut rest = self.seen.rest();
        if rest.path != self.reader.path() {
            self.reader.path().clone_into(&mut rest.path);
        }
        match &next {
            None => rest.notices.extend(self.reader.take_notices()),
            Some(Err(_)) => {}
            Some(Ok(document)) => {
                self.seen.documents.fetch_add(1, Ordering::Relaxed);
                if RunFormat::Trec.check("document", &document.id).is_err() {
                    rest.spaced += 1;
                    let place = || format!("{:?}", document.id);
                    rest.first_spaced.get_or_insert_with(place);
                }
            }
        }
        drop(rest);
        next
    }
}

impl Seen {
    /// Of an input of so many bytes.
    pub(crate) fn of(total: u64) -> Self {
        Self { total, ..Self::default() }
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file that is read.
    pub(crate) fn path(&self) -> PathBuf {
        self.rest().path.clone()
    }

    /// What a user should know of the input.
    pub(crate) fn tell(&self) {
        let rest = self.rest();
        for notice in &rest.notices {
            note(format!("note: {notice}"));
        }
        if let Some(first) = &rest.first_spaced {
            note(format!(
                "note: {} ids contain white space, such as {first}: runs hold them with --run-format tabs or jsonl",
                count(rest.spaced)
            ));
        }
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
