//! Run files as outputs: begun before anything is searched, and given their name when they are whole.

use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;
use quarry_datasets::{OutputFile, Run, RunFormat};
use quarry_index::Index;
use quarry_vectors::{DocId, Query};

use crate::output::count;

/// Form of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum RunFormatArg {
    /// query Q0 id rank score tag
    #[default]
    Trec,
    /// The same six columns separated by tabs: ids may contain spaces
    Tabs,
    /// query TAB id TAB rank
    Msmarco,
    /// One JSON object per line: ids may contain anything
    Jsonl,
}

impl From<RunFormatArg> for RunFormat {
    fn from(arg: RunFormatArg) -> Self {
        match arg {
            RunFormatArg::Trec => Self::Trec,
            RunFormatArg::Tabs => Self::TrecTabs,
            RunFormatArg::Msmarco => Self::MsMarco,
            RunFormatArg::Jsonl => Self::JsonLines,
        }
    }
}

/// Where a run goes: a file, or standard output.
#[derive(Debug)]
pub(crate) struct RunTarget {
    format: RunFormat,
    file: Option<OutputFile>,
}

impl RunTarget {
    /// Begins the file, if one is given.
    pub(crate) fn begin(
        path: Option<&Path>,
        format: RunFormatArg,
        overwrite: bool,
    ) -> anyhow::Result<Self> {
        let file = path.map(|path| OutputFile::create(path, overwrite)).transpose()?;
        Ok(Self { format: format.into(), file })
    }

    /// Refuses ids that the run cannot hold before anything is searched: those of the queries, and for a
    /// file those of every document that could be found.
    pub(crate) fn check(&self, index: &Index, queries: &[Query]) -> anyhow::Result<()> {
        for query in queries {
            self.format.check("query", &query.id)?;
        }
        if self.format == RunFormat::JsonLines || self.file.is_none() {
            return Ok(());
        }
        let (mut many, mut worst) = (0, None);
        let mut last = "";
        for segment in index.segments() {
            let documents = segment.documents();
            for row in (0u32..).take(documents.len()) {
                if segment.deleted().is_some_and(|deleted| deleted.contains(row)) {
                    continue;
                }
                let id = documents.id(DocId(row));
                // The passages of a document follow each other.
                if std::mem::replace(&mut last, id) == id {
                    continue;
                }
                let Err(error) = self.format.check("document", id) else { continue };
                many += 1;
                // The form named in the message must take all of them.
                let needs_more = RunFormat::TrecTabs.check("document", id).is_err();
                if worst.is_none() || needs_more {
                    worst = Some(error);
                }
            }
        }
        match worst {
            None => Ok(()),
            Some(error) => Err(error).with_context(|| {
                let documents = if many == 1 { "document" } else { "documents" };
                format!(
                    "nothing was searched: {} {documents} of the index cannot be named",
                    count(many)
                )
            }),
        }
    }

    /// Writes the run; a file gets its name.
    pub(crate) fn write(self, run: &Run) -> anyhow::Result<()> {
        match self.file {
            Some(mut file) => {
                run.write(&mut file, self.format)?;
                file.commit()?;
            }
            None => {
                // All of it is printed, or nothing.
                for query in run.queries() {
                    for hit in run.ranking(query).unwrap_or_default() {
                        self.format.check("document", &hit.id)?;
                    }
                }
                let mut out = std::io::BufWriter::new(crate::terminal::stdout());
                run.write(&mut out, self.format)?;
                std::io::Write::flush(&mut out).context("standard output")?;
            }
        }
        Ok(())
    }
}
