//! What commands that write say of their input and of the index, besides their tables.

use std::path::Path;

use quarry_engine::write::InputReport;
use quarry_indexer::BuildReport;

use crate::output::{bytes, count, line, note};

/// The result of a build, in a line.
pub(crate) fn print_report(out: &Path, report: &BuildReport) -> anyhow::Result<()> {
    if report.already_complete {
        line(format!(
            "{}: complete already: {} documents",
            out.display(),
            count(report.documents)
        ))?;
        return Ok(());
    }
    let (of, what) = if report.rows == report.documents {
        (String::new(), "document")
    } else {
        (format!(" in {} passages", count(report.rows)), "passage")
    };
    line(format!(
        "{}: generation {}, {} documents{of}, {:.1} components a {what}, {}",
        out.display(),
        report.generation,
        count(report.documents),
        report.mean_components,
        bytes(report.bytes)
    ))?;
    Ok(())
}

/// What a user should know of the input.
pub(crate) fn tell_input(input: &InputReport) {
    for notice in &input.notices {
        note(format!("note: {notice}"));
    }
    if let Some(first) = &input.first_spaced {
        note(format!(
            "note: {} ids contain white space, such as {first}: runs hold them with --run-format tabs or jsonl",
            count(input.spaced)
        ));
    }
}

/// Things a user should know, besides the result.
pub(crate) fn tell_build(report: &BuildReport, input: &InputReport) {
    tell_input(input);
    if report.documents == 0 {
        note("warning: no documents there: the index is empty; `quarry add` adds some");
    }
    if report.resumed_documents > 0 {
        note(format!(
            "note: {} documents were taken from the interrupted build",
            count(report.resumed_documents)
        ));
    }
    tell_truncated(report.truncated);
    if let Some(error) = report.max_relative_error.filter(|error| *error > 0.0) {
        note(format!("note: weights are stored with a relative error of at most {error:.1e}"));
    }
    if report.empty_vectors > 0 && report.mean_components > 0.0 {
        note(format!(
            "note: {} documents have empty vectors; only BM25 finds them",
            count(report.empty_vectors)
        ));
    }
    if !report.unmet_fields.is_empty() {
        note(format!(
            "note: no document has the fields of --field: {}",
            report.unmet_fields.join(", ")
        ));
    }
    tell_repairs(input);
}

/// Says how many passages were cut.
pub(crate) fn tell_truncated(truncated: u64) {
    if truncated > 0 {
        note(format!("note: {} passages were cut at the model's longest input", count(truncated)));
    }
}

/// Says how many documents were repaired.
pub(crate) fn tell_repairs(input: &InputReport) {
    let repairs = input.repairs;
    if repairs > 0 {
        note(format!("note: doubly encoded UTF-8 was repaired in {} documents", count(repairs)));
    }
}
