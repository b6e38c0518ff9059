//! The first line of a tab-separated file, where it names the columns.
//!
//! One cell has to name ids, another texts or titles, by names that such tables use: `id TAB text`, DPR's
//! `id TAB text TAB title`, `query_id TAB query`. Other columns are kept as fields of their names. A document
//! of that id and text is not expected.

use crate::error::DatasetError;
use crate::lines::Line;

const IDS: [&str; 14] = [
    "id",
    "docid",
    "documentid",
    "did",
    "pid",
    "passageid",
    "qid",
    "queryid",
    "corpusid",
    "docno",
    "topicid",
    "topic",
    "num",
    "uid",
];
const TEXTS: [&str; 10] = [
    "text",
    "passage",
    "passagetext",
    "contents",
    "content",
    "body",
    "document",
    "query",
    "querytext",
    "question",
];

/// Longest name of a column that is kept.
const LONGEST: usize = 40;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Column {
    Id,
    Title,
    Text,
    /// Kept as a field of this name.
    Kept(String),
}

/// Which column holds what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Columns(Vec<Column>);

/// The cells of a line.
#[derive(Debug, Default)]
pub(crate) struct Cells<'a> {
    pub(crate) id: &'a str,
    pub(crate) title: &'a str,
    pub(crate) text: &'a str,
    /// Names and values of other columns.
    pub(crate) kept: Vec<(String, &'a str)>,
}

impl Columns {
    /// The columns that a line names; `None` if it is not a header.
    pub(crate) fn of_header(line: &str) -> Option<Self> {
        let columns = line.split('\t').map(|cell| {
            let plain = name(cell);
            match plain.as_str() {
                id if IDS.contains(&id) => Some(Column::Id),
                text if TEXTS.contains(&text) => Some(Column::Text),
                "title" => Some(Column::Title),
                _ => kept(cell).map(Column::Kept),
            }
        });
        let columns: Vec<Column> = columns.collect::<Option<_>>()?;
        let count = |wanted: &Column| columns.iter().filter(|column| *column == wanted).count();
        let once = |wanted: &Column| count(wanted) <= 1;
        let whole = count(&Column::Id) == 1
            && [Column::Title, Column::Text].iter().all(once)
            && columns.iter().all(|column| !matches!(column, Column::Kept(_)) || once(column))
            && count(&Column::Title) + count(&Column::Text) > 0;
        whole.then_some(Self(columns))
    }

    /// Takes a line apart; a text or title in the last column may contain tabs.
    pub(crate) fn cells<'a>(&self, line: Line<'a>) -> Result<Cells<'a>, DatasetError> {
        let mut cells = Cells::default();
        let mut parts = line.text.splitn(self.0.len(), '\t');
        for column in &self.0 {
            let Some(cell) = parts.next() else {
                return Err(
                    line.malformed("a column for each that the first line names", line.text)
                );
            };
            match column {
                Column::Id => cells.id = cell,
                Column::Title => cells.title = cell,
                Column::Text => cells.text = cell,
                Column::Kept(name) => cells.kept.push((name.clone(), cell)),
            }
        }
        let spilled = match self.0.last() {
            Some(Column::Id) => cells.id.contains('\t'),
            Some(Column::Kept(_)) => cells.kept.last().is_some_and(|last| last.1.contains('\t')),
            _ => false,
        };
        if spilled {
            return Err(line.malformed("a column for each that the first line names", line.text));
        }
        if cells.id.is_empty() {
            return Err(DatasetError::EmptyId { path: line.path.to_owned(), at: line.at() });
        }
        Ok(cells)
    }
}

/// The name of a column that is kept: a word or two.
fn kept(cell: &str) -> Option<String> {
    let cell = cell.trim_matches(['"', '\'', '#', ' ', '\r']);
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
    let named = !cell.is_empty()
        && cell.len() <= LONGEST
        && cell.chars().all(plain)
        && cell.starts_with(char::is_alphabetic)
        && cell.split(' ').count() <= 2;
    named.then(|| cell.to_owned())
}

/// A column's name without case, hyphens, underscores, quotes and a `#` before it.
pub(crate) fn name(cell: &str) -> String {
    let plain = |c: &char| !matches!(c, '-' | '_' | ' ' | '"' | '\'' | '#');
    cell.trim().chars().filter(plain).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn headers_are_told_from_records() {
        for header in [
            "id\ttext",
            "id\ttext\ttitle",
            "_id\tTitle\tText",
            "query_id\tquery",
            "pid\tpassage",
            "docid\turl\ttitle\tbody",
            "id\tlabel\ttext",
            "#id\ttext",
            "\"id\"\t\"text\"",
            "topic\ttitle",
        ] {
            assert!(Columns::of_header(header).is_some(), "{header}");
        }
        for record in [
            "0\tThe presence of communication",
            "id\tthe text of a document",
            "text\tid of it\tx",
            "id",
            "id\turl",
            "id\tid",
            "text\ttitle",
            "id\ttext\ttext",
            "id\tlabel\tlabel\ttext",
            "id\ttext\tof a passage, which goes on",
            "",
        ] {
            assert!(Columns::of_header(record).is_none(), "{record}");
        }
    }

    #[test]
    fn cells_go_by_the_header() {
        let line = |text| Line { path: Path::new("f"), number: 2, text };
        let dpr = Columns::of_header("id\ttext\ttitle").unwrap();
        let cells = dpr.cells(line("7\tbody\thead\tand more")).unwrap();
        assert_eq!((cells.id, cells.text, cells.title), ("7", "body", "head\tand more"));
        assert!(
            dpr.cells(line("7\tbody"))
                .unwrap_err()
                .to_string()
                .contains("line 2: expected a column")
        );
        assert!(dpr.cells(line("\tbody\thead")).is_err());
        let swapped = Columns::of_header("text\tid").unwrap();
        assert_eq!(swapped.cells(line("body\t7")).unwrap().id, "7");
        assert!(swapped.cells(line("body\t7\t8")).is_err());
    }
}
