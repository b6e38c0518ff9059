//! MS MARCO's `id TAB text`, of passages and of queries, and tables whose first line names the columns.
//!
//! Nothing is quoted in these files. Without names, all that follows the first tab is text.

use quarry_vectors::{Document, Query};
use serde_json::Value;

use crate::double_encoding::repair_double_encoding;
use crate::error::{DatasetError, excerpt};
use crate::lines::Line;
use crate::notice::Notice;
use crate::table_header::{Cells, Columns};

/// How the lines of one file are taken apart.
#[derive(Debug, Default)]
pub(crate) struct Table {
    columns: Option<Columns>,
    /// What is worth saying about the first line.
    pub(crate) notice: Option<Notice>,
}

impl Table {
    /// The cells of a line; none of the line that names the columns.
    fn cells<'a>(&mut self, line: Line<'a>) -> Result<Option<Cells<'a>>, DatasetError> {
        if line.number == 1
            && let Some(columns) = Columns::of_header(line.text)
        {
            self.columns = Some(columns);
            let (path, line) = (line.path.to_owned(), excerpt(line.text));
            self.notice = Some(Notice::Header { path, line });
            return Ok(None);
        }
        match &self.columns {
            Some(columns) => columns.cells(line).map(Some),
            None => {
                let (id, text) = columns(line)?;
                Ok(Some(Cells { id, text, ..Cells::default() }))
            }
        }
    }

    /// Reads a passage, unless the line names the columns; says whether its text had to be repaired.
    pub(crate) fn document(
        &mut self,
        line: Line<'_>,
        repair: bool,
    ) -> Result<Option<(Document, bool)>, DatasetError> {
        let Some(cells) = self.cells(line)? else { return Ok(None) };
        let mut repaired = false;
        let mut take = |raw: &str| {
            let text = if repair { repair_double_encoding(raw) } else { raw.into() };
            repaired |= matches!(text, std::borrow::Cow::Owned(_));
            text.into_owned()
        };
        let mut document = Document {
            id: cells.id.to_owned(),
            title: take(cells.title),
            text: take(cells.text),
            line: line.number,
            ..Document::default()
        };
        for (name, value) in cells.kept {
            document.fields.insert(name, Value::String(value.to_owned()));
        }
        Ok(Some((document, repaired)))
    }

    /// Reads a question, unless the line names the columns.
    pub(crate) fn query(&mut self, line: Line<'_>) -> Result<Option<Query>, DatasetError> {
        let cells = self.cells(line)?;
        Ok(cells.map(|cells| {
            let text = if cells.text.is_empty() { cells.title } else { cells.text };
            Query { id: cells.id.to_owned(), text: text.to_owned(), vector: None }
        }))
    }
}

/// The two columns of a line.
pub(crate) fn columns<'a>(line: Line<'a>) -> Result<(&'a str, &'a str), DatasetError> {
    let Some((id, text)) = line.text.split_once('\t') else {
        return Err(line.malformed("an id, a tab and text", line.text));
    };
    if id.is_empty() {
        return Err(DatasetError::EmptyId { path: line.path.to_owned(), at: line.at() });
    }
    Ok((id, text))
}
