//! The progress bar of commands that write.

use quarry_engine::write::Reading;
use quarry_indexer::Event;

use crate::progress::Progress;

/// The stages of a build.
pub(crate) fn show(event: Event, reading: &Reading, progress: &Progress) {
    match event {
        Event::Resumed { documents } => {
            progress.stage(if reading.encodes() { "encoding" } else { "reading" }, documents);
        }
        Event::Documents { documents, components, this_run } => {
            #[expect(clippy::cast_precision_loss, reason = "a mean")]
            let mean = components as f64 / this_run.max(1) as f64;
            let total = reading.documents_total().map(|total| total.max(documents));
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
