//! `quarry delete DIR ID...`

use std::path::PathBuf;

use quarry_engine::EngineError;
use quarry_engine::write::{WriteError, Writer};

use crate::exit::BadInput;
use crate::models::models;
use crate::output::{agreeing, counted, line, note};
use crate::told::told;

/// Delete documents of an index
///
/// Unknown ids are reported and ignored. Deleted documents take space, and count in BM25's statistics, until
/// their segment is merged. A running server keeps the generation that it opened.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the index
    dir: PathBuf,
    /// Ids of documents
    #[arg(value_name = "ID", required_unless_present = "ids")]
    id: Vec<String>,
    /// File of ids to delete, one a line
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// Print a report as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut ids = args.id.clone();
    if let Some(file) = &args.ids {
        let text = crate::files::text(file)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        ids.extend(text.lines().filter(|l| !l.is_empty()).map(str::to_owned));
    }
    let deleted = Writer::open(&args.dir, models())
        .and_then(|writer| writer.delete(ids.iter().map(String::as_str)));
    let report = match deleted {
        Ok(report) => report,
        Err(EngineError::Write(WriteError::NoIds)) => {
            return Err(BadInput("no ids: the file has none".to_owned()).into());
        }
        Err(error) => return Err(told(error)),
    };
    if args.json {
        return crate::output::json(&report);
    }
    if let Some(first) = report.unknown.first() {
        let many = report.unknown.len() as u64;
        note(format!(
            "note: {} {} of no document, such as {first}",
            counted(many, "id"),
            agreeing(many, "is", "are")
        ));
    }
    line(format!(
        "{}: generation {}, {} deleted",
        args.dir.display(),
        report.generation,
        counted(report.deleted, "document")
    ))?;
    Ok(())
}
