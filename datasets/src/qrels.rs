//! Relevance judgements: BEIR's table and TREC's four columns, told apart by the first line.
//!
//! A first line that names its columns tells where they are. Without one, three columns between tabs
//! are query, document and grade, and four are TREC's query, iteration, document and grade: the iteration is
//! 0 or Q0 or the same on every line, or else the columns are others.

use std::collections::HashMap;
use std::path::Path;

use crate::error::DatasetError;
use crate::folder;
use crate::input::Input;
use crate::lines::{Line, Lines};
use crate::notice::Notice;
use crate::table_header::name;

/// Judgements: a grade for some pairs of query and document, queries in file order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Qrels {
    queries: Vec<String>,
    grades: HashMap<String, HashMap<String, i32>>,
    repeated: Option<Notice>,
}

impl Qrels {
    /// Reads `query TAB document TAB grade` (BEIR, with or without a header) or
    /// `query 0 document grade` (TREC), plain or compressed. A line that repeats an earlier one is
    /// left out.
    ///
    /// # Errors
    /// When the file cannot be read, a line has another shape, a grade is not a whole number of 32 bits,
    /// an id is empty, a pair is judged twice with different grades, or nothing is judged.
    pub fn read(path: &Path) -> Result<Self, DatasetError> {
        let mut qrels = Self::default();
        let (mut repeated, mut first_repeated) = (0, 0);
        let header = each_row(path, |line, Row { query, document, grade }| {
            if qrels.insert(query, document, grade) {
                return Ok(());
            }
            let before = qrels.judged(query).and_then(|judged| judged.get(document)).copied();
            match before {
                Some(before) if before != grade => {
                    let row = Row { query, document, grade };
                    Err(judged_twice(path, line, &row, before))
                }
                _ => {
                    repeated += 1;
                    if repeated == 1 {
                        first_repeated = line;
                    }
                    Ok(())
                }
            }
        })?;
        if qrels.is_empty() {
            let found = if header { "a line that names the columns" } else { "empty lines" };
            return Err(DatasetError::NoJudgements { path: path.to_owned(), found });
        }
        qrels.repeated = (repeated > 0).then(|| Notice::Repeated {
            path: path.to_owned(),
            what: "judgement",
            count: repeated,
            line: first_repeated,
        });
        Ok(qrels)
    }

    /// What is worth saying of the file that they were read from.
    #[must_use]
    pub fn notice(&self) -> Option<&Notice> {
        self.repeated.as_ref()
    }

    /// The same with the queries alone that `keep` takes.
    #[must_use]
    pub fn only(mut self, keep: impl Fn(&str) -> bool) -> Self {
        self.queries.retain(|query| keep(query));
        self.grades.retain(|query, _| keep(query));
        self
    }

    /// Adds a judgement; says whether the pair was new, and leaves the old grade if not.
    pub fn insert(&mut self, query: &str, document: &str, grade: i32) -> bool {
        if !self.grades.contains_key(query) {
            self.queries.push(query.to_owned());
            self.grades.insert(query.to_owned(), HashMap::new());
        }
        let Some(judged) = self.grades.get_mut(query) else { return false };
        if judged.contains_key(document) {
            return false;
        }
        judged.insert(document.to_owned(), grade);
        true
    }

    /// The queries that have judgements, in file order.
    #[must_use]
    pub fn queries(&self) -> &[String] {
        &self.queries
    }

    /// The judged documents of a query with their grades; `None` when it has none.
    #[must_use]
    pub fn judged(&self, query: &str) -> Option<&HashMap<String, i32>> {
        self.grades.get(query)
    }

    /// The number of judgements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.grades.values().map(HashMap::len).sum()
    }

    /// Whether nothing is judged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queries.is_empty()
    }
}

/// Reads the judgements of a file, of a BEIR folder's `qrels/SPLIT.tsv`, or of `qrels.SPLIT.tsv` in a
/// folder of MS MARCO.
///
/// # Errors
/// As [`Qrels::read`]; when the folder has no such split, which names those it has.
pub fn open_qrels(path: &Path, split: &str) -> Result<Qrels, DatasetError> {
    if path.is_dir() { Qrels::read(&folder::split(path, split)?) } else { Qrels::read(path) }
}

/// One judgement.
struct Row<'a> {
    query: &'a str,
    document: &'a str,
    grade: i32,
}

/// The error of a second line about a pair; the file is read again for the first.
fn judged_twice(path: &Path, line: u64, row: &Row<'_>, before: i32) -> DatasetError {
    let twice = |first| DatasetError::JudgedTwice {
        path: path.to_owned(),
        line,
        first,
        query: row.query.to_owned(),
        document: row.document.to_owned(),
        grade: row.grade,
        before,
    };
    let again = each_row(path, |first, found| {
        if (found.query, found.document) == (row.query, row.document) {
            return Err(twice(first));
        }
        Ok(())
    });
    again.err().unwrap_or_else(|| twice(line))
}

/// Hands every judgement and its line to `each`; says whether there was a header.
fn each_row(
    path: &Path,
    mut each: impl FnMut(u64, Row<'_>) -> Result<(), DatasetError>,
) -> Result<bool, DatasetError> {
    let mut shape: Option<Shape> = None;
    let mut header = false;
    Lines::new(Input::open_text(path)?).each_filled(|line| {
        let shape = match &mut shape {
            Some(shape) => shape,
            None => {
                let found = Shape::of(line)?;
                header = matches!(found, Shape::Named { .. });
                let shape = shape.insert(found);
                if header {
                    return Ok(());
                }
                shape
            }
        };
        let (query, document, grade) = shape.split(line)?;
        if query.is_empty() || document.is_empty() {
            return Err(DatasetError::EmptyId { path: path.to_owned(), at: line.at() });
        }
        let grade = whole(grade.trim()).ok_or_else(|| {
            let expected = if line.number == 1 {
                "a whole grade in the last column, or a first line that names query-id, corpus-id and score"
            } else {
                "a whole grade, such as 1"
            };
            line.malformed(expected, grade)
        })?;
        each(line.number, Row { query, document, grade })
    })?;
    Ok(header)
}

/// `2` and `2.0`.
fn whole(grade: &str) -> Option<i32> {
    if let Ok(grade) = grade.parse() {
        return Some(grade);
    }
    let (before, after) = grade.split_once('.')?;
    (!after.is_empty() && after.bytes().all(|b| b == b'0')).then(|| before.parse().ok()).flatten()
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    /// Columns that the first line names, of this many in all.
    Named {
        query: usize,
        document: usize,
        grade: usize,
        columns: usize,
    },
    Beir,
    /// With the iteration of the first line, and its number.
    Trec {
        iteration: String,
        first: u64,
    },
}

impl Shape {
    fn of(line: Line<'_>) -> Result<Self, DatasetError> {
        let cells: Vec<&str> = line.text.split('\t').collect();
        if let Some(named) = Self::named(line, &cells)? {
            return Ok(named);
        }
        if cells.len() == 3 {
            return Ok(Self::Beir);
        }
        let columns = trec_columns(line.text);
        if let &[_, iteration, _, _] = columns.as_slice() {
            return Ok(Self::Trec { iteration: iteration.to_owned(), first: line.number });
        }
        let expected = if columns.len() == 6 {
            "query, document, grade (tabs) or query, 0, document, grade; six columns are those of a run"
        } else {
            "query, document, grade (tabs) or query, 0, document, grade"
        };
        Err(line.malformed(expected, line.text))
    }

    /// The shape of a first line that names query, document and grade.
    fn named(line: Line<'_>, cells: &[&str]) -> Result<Option<Self>, DatasetError> {
        let find = |names: &[&str]| {
            cells.iter().position(|cell| names.contains(&name(cell.trim_matches('"')).as_str()))
        };
        let query = find(&["queryid", "qid", "query", "topicid", "topic"]);
        let document = find(&[
            "corpusid",
            "docid",
            "documentid",
            "did",
            "pid",
            "passageid",
            "doc",
            "document",
            "docno",
        ]);
        let grade =
            find(&["score", "rel", "relevance", "grade", "label", "judgement", "judgment", "qrel"]);
        let (Some(query), Some(document), Some(grade)) = (query, document, grade) else {
            return Ok(None);
        };
        if cells.iter().any(|cell| cell.starts_with('"')) {
            return Err(
                line.malformed("columns that are not quoted: ids would keep the quotes", line.text)
            );
        }
        Ok(Some(Self::Named { query, document, grade, columns: cells.len() }))
    }

    fn split<'a>(&self, line: Line<'a>) -> Result<(&'a str, &'a str, &'a str), DatasetError> {
        let wrong = |expected| Err(line.malformed(expected, line.text));
        match self {
            Self::Named { query, document, grade, columns } => {
                let cells: Vec<&str> = line.text.split('\t').collect();
                // An empty cell at the end is a tab too many, not a column.
                let extra = cells.len() == columns + 1 && cells.last() == Some(&"");
                match (cells.get(*query), cells.get(*document), cells.get(*grade)) {
                    (Some(query), Some(document), Some(grade))
                        if cells.len() == *columns || extra =>
                    {
                        Ok((query, document, grade))
                    }
                    _ => wrong("the columns that the first line names, separated by tabs"),
                }
            }
            Self::Beir => match line.text.split('\t').collect::<Vec<_>>().as_slice() {
                &[query, document, grade] => Ok((query, document, grade)),
                _ => wrong("query, document and grade, separated by tabs"),
            },
            Self::Trec { iteration, first } => match trec_columns(line.text).as_slice() {
                &[query, found, document, grade] => {
                    let usual = |text: &str| text == "0" || text.eq_ignore_ascii_case("q0");
                    if found == iteration || (usual(found) && usual(iteration)) {
                        return Ok((query, document, grade));
                    }
                    let expected = "query, iteration, document and grade, with 0, Q0 or one iteration on \
                         every line (a first line may name other columns: query-id, corpus-id, score)";
                    let differ = format!("{found} in place of line {first}'s {iteration}");
                    Err(line.malformed(expected, &differ))
                }
                _ => wrong("query, 0, document and grade"),
            },
        }
    }
}

/// Between tabs where these make four, else between white space.
fn trec_columns(text: &str) -> Vec<&str> {
    let by_tabs: Vec<&str> = text.split('\t').take(5).collect();
    if by_tabs.len() == 4 && by_tabs.iter().all(|cell| !cell.is_empty()) {
        return by_tabs;
    }
    text.split_ascii_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Qrels, DatasetError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qrels");
        std::fs::write(&path, text).unwrap();
        Qrels::read(&path)
    }

    #[test]
    fn both_shapes_give_the_same() {
        let beir =
            read("\u{feff}query-id\tcorpus-id\tscore\r\nq2\td 1\t2\r\nq1\td2\t-1\r\n").unwrap();
        assert_eq!(beir.queries(), ["q2", "q1"]);
        assert_eq!(beir.judged("q2").unwrap()["d 1"], 2);
        let bare = read("q2\td 1\t2\n\nq1\td2\t-1\n").unwrap();
        assert_eq!(beir, bare);
        let trec = read("q2 0 d1 2\nq1\tQ0\td2  -1\n").unwrap();
        assert_eq!(trec.judged("q1").unwrap()["d2"], -1);
        assert_eq!((trec.len(), trec.queries().len()), (2, 2));
        let named = read("query_id\trun\tdoc_id\trel\tnote\nq2\tx\td1\t2.0\tn\n").unwrap();
        assert_eq!(named.judged("q2").unwrap()["d1"], 2);
        let spaces = read("q 2\t0\td 1\t2\nq 2\tQ0\td 2\t-1.00\n").unwrap();
        assert_eq!(spaces.judged("q 2").unwrap()["d 2"], -1);
        let tab_too_many = read("query-id\tcorpus-id\tscore\nq\td\t1\t\n").unwrap();
        assert_eq!(tab_too_many.judged("q").unwrap()["d"], 1);
    }

    #[test]
    fn a_repeated_line_is_harmless_and_a_contradiction_is_not() {
        let header = "query-id\tcorpus-id\tscore\n";
        let qrels = read(&format!("{header}q\td\t1\nq\td\t1\nq\td\t1\n")).unwrap();
        assert_eq!(qrels.len(), 1);
        let said = qrels.notice().unwrap().to_string();
        assert!(said.contains("2 judgements were left out") && said.ends_with("line 3"), "{said}");
        let error =
            read(&format!("{header}p\td\t1\nq\td\t1\n\nq\td\t2\n")).unwrap_err().to_string();
        assert!(error.contains("line 5") && error.contains("but 1 on line 3"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, want) in [
            (
                "q 0 d 1\nq 0 d 2\n",
                "line 2: document \"d\" is judged 2 for query \"q\", but 1 on line 1",
            ),
            ("q 0 d 1.5\n", "line 1: expected a whole grade in the last column"),
            ("q 0 d 1\nq 0 e 0.2\n", "line 2: expected a whole grade, such as 1, found \"0.2\""),
            (
                "a\tb\tc\nq\td\t1\n",
                "line 1: expected a whole grade in the last column, or a first line that names",
            ),
            ("\"query-id\"\t\"corpus-id\"\t\"score\"\n\"q\"\t\"d\"\t1\n", "not quoted"),
            (
                "q1\td1\t1\t5\nq1\td2\t0\t5\n",
                "line 2: expected query, iteration, document and grade, with 0, Q0 or one iteration on every line",
            ),
            ("q Q0 d 1 2.0 r\n", "six columns are those of a run"),
            ("{\"q1\": {\"d1\": 1}}", "line 1: expected query, document, grade"),
            ("query-id\tcorpus-id\tscore\n", "no judgement is in it, only a line that names"),
            ("", "no judgement is in it"),
            ("q 0 d 1\nq d 1\n", "line 2: expected query, 0, document and grade"),
            ("q\td\t1\nq\td2\n", "line 2: expected query, document and grade"),
            ("q\t\t1\n", "line 1: the id is empty"),
            ("one\n", "line 1: expected query, document, grade (tabs) or"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(want), "{text:?}: {message}");
        }
    }
}
