//! What commands that write say of their input and of the index, besides their tables.

use std::path::Path;

use quarry_engine::write::InputReport;
use quarry_indexer::BuildReport;

use crate::output::{agreeing, bytes, counted, line, note};

/// The result of a build, in a line.
pub(crate) fn print_report(out: &Path, report: &BuildReport) -> anyhow::Result<()> {
    if report.already_complete {
        line(format!(
            "{}: complete already: {}",
            out.display(),
            counted(report.documents, "document")
        ))?;
        return Ok(());
    }
    let (of, what) = if report.rows == report.documents {
        (String::new(), "document")
    } else {
        (format!(" in {}", counted(report.rows, "passage")), "passage")
    };
    line(format!(
        "{}: generation {}, {}{of}, {:.1} components a {what}, {}",
        out.display(),
        report.generation,
        counted(report.documents, "document"),
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
            "note: {} {} white space, such as {first}: runs hold {} with --run-format tabs or jsonl",
            counted(input.spaced, "id"),
            agreeing(input.spaced, "contains", "contain"),
            agreeing(input.spaced, "it", "them")
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
            "note: {} {} taken from the interrupted build",
            counted(report.resumed_documents, "document"),
            agreeing(report.resumed_documents, "was", "were")
        ));
    }
    tell_truncated(report.truncated);
    if let Some(error) = report.max_relative_error.filter(|error| *error > 0.0) {
        note(format!("note: weights are stored with a relative error of at most {error:.1e}"));
    }
    if report.empty_vectors > 0 && report.mean_components > 0.0 {
        note(format!(
            "note: {} {}; only BM25 finds {}",
            counted(report.empty_vectors, "document"),
            agreeing(report.empty_vectors, "has an empty vector", "have empty vectors"),
            agreeing(report.empty_vectors, "it", "them")
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
        note(format!(
            "note: {} {} cut at the model's longest input",
            counted(truncated, "passage"),
            agreeing(truncated, "was", "were")
        ));
    }
}

/// Says how many documents were repaired.
pub(crate) fn tell_repairs(input: &InputReport) {
    let repairs = input.repairs;
    if repairs > 0 {
        note(format!(
            "note: doubly encoded UTF-8 was repaired in {}",
            counted(repairs, "document")
        ));
    }
}
