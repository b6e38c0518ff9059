//! MS MARCO's `id TAB text`, of passages and of queries.
//!
//! Nothing is quoted in these files; all that follows the first tab is text.

use quarry_vectors::{Document, Query};

use crate::double_encoding::repair_double_encoding;
use crate::error::DatasetError;
use crate::lines::Line;

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

/// Reads a passage; says whether its text had to be repaired.
pub(crate) fn document(line: Line<'_>, repair: bool) -> Result<(Document, bool), DatasetError> {
    let (id, raw) = columns(line)?;
    let repaired = if repair { repair_double_encoding(raw) } else { raw.into() };
    let changed = matches!(repaired, std::borrow::Cow::Owned(_));
    let document = Document {
        id: id.to_owned(),
        text: repaired.into_owned(),
        line: line.number,
        ..Document::default()
    };
    Ok((document, changed))
}

/// Reads a question.
pub(crate) fn query(line: Line<'_>) -> Result<Query, DatasetError> {
    let (id, text) = columns(line)?;
    Ok(Query { id: id.to_owned(), text: text.to_owned(), vector: None })
}
