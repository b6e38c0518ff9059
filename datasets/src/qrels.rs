//! Relevance judgements: BEIR's table and TREC's four columns, told apart by the first line.

use std::collections::HashMap;
use std::path::Path;

use crate::error::DatasetError;
use crate::folder;
use crate::input::Input;
use crate::lines::{Line, Lines};

/// Judgements: a grade for some pairs of query and document, queries in file order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Qrels {
    queries: Vec<String>,
    grades: HashMap<String, HashMap<String, i32>>,
}

impl Qrels {
    /// Reads `query TAB document TAB grade` (BEIR, with or without its header) or
    /// `query 0 document grade` (TREC), plain or compressed.
    ///
    /// # Errors
    /// When the file cannot be read, a line has another shape, a grade is no integer of 32 bits,
    /// an id is empty, or a pair is judged twice.
    pub fn read(path: &Path) -> Result<Self, DatasetError> {
        let mut qrels = Self::default();
        let mut format = None;
        Lines::new(Input::open(path)?).each_filled(|line| {
            let shape = match format {
                Some(shape) => shape,
                None => {
                    let shape = shape(line)?;
                    format = Some(shape);
                    if shape == Shape::Beir && is_header(line.text) {
                        return Ok(());
                    }
                    shape
                }
            };
            let (query, document, grade) = split(line, shape)?;
            if query.is_empty() || document.is_empty() {
                return Err(DatasetError::EmptyId { path: path.to_owned(), at: line.at() });
            }
            let grade =
                grade.trim().parse().map_err(|_| line.malformed("an integer grade", grade))?;
            if qrels.insert(query, document, grade) {
                return Ok(());
            }
            Err(DatasetError::RepeatedPair {
                path: path.to_owned(),
                line: line.number,
                query: query.to_owned(),
                document: document.to_owned(),
            })
        })?;
        Ok(qrels)
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Beir,
    Trec,
}

fn shape(line: Line<'_>) -> Result<Shape, DatasetError> {
    if line.text.split('\t').count() == 3 {
        return Ok(Shape::Beir);
    }
    if line.text.split_ascii_whitespace().count() == 4 {
        return Ok(Shape::Trec);
    }
    Err(line.malformed("query, document, grade (tabs) or query, 0, document, grade", line.text))
}

fn is_header(text: &str) -> bool {
    text.split('\t').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("query-id"))
}

fn split<'a>(line: Line<'a>, shape: Shape) -> Result<(&'a str, &'a str, &'a str), DatasetError> {
    let wrong = |expected| Err(line.malformed(expected, line.text));
    match shape {
        Shape::Beir => {
            let mut columns = line.text.split('\t');
            match (columns.next(), columns.next(), columns.next(), columns.next()) {
                (Some(query), Some(document), Some(grade), None) => Ok((query, document, grade)),
                _ => wrong("query, document and grade, separated by tabs"),
            }
        }
        Shape::Trec => {
            let mut columns = line.text.split_ascii_whitespace();
            let four = (columns.next(), columns.next(), columns.next(), columns.next());
            match (four, columns.next()) {
                ((Some(query), Some(_), Some(document), Some(grade)), None) => {
                    Ok((query, document, grade))
                }
                _ => wrong("query, 0, document and grade"),
            }
        }
    }
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
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, want) in [
            ("q 0 d 1\nq 0 d 2\n", "line 2: document \"d\" stands twice for query \"q\""),
            ("q 0 d 1.5\n", "line 1: expected an integer grade, found \"1.5\""),
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
