//! A query set, read as a whole.

use std::collections::HashMap;
use std::path::Path;

use quarry_vectors::Query;

use crate::collection::{check_scale, open_collection};
use crate::detect::{Looks, look};
use crate::error::{DatasetError, Position};
use crate::input::Input;
use crate::lines::Lines;
use crate::notice::Notice;
use crate::options::{CollectionFormat, CollectionOptions, QueryFormat, QueryOptions};
use crate::qrels::Qrels;
use crate::tab_separated::Table;
use crate::{anserini_queries, folder, json_record};

/// Queries, and what is worth saying of their file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QuerySet {
    /// The queries, in file order, each id once.
    pub queries: Vec<Query>,
    /// Notices, such as lines that repeat others.
    pub notices: Vec<Notice>,
}

/// As [`read_queries`], without the notices.
///
/// # Errors
/// As [`read_queries`].
pub fn open_queries(path: &Path, options: &QueryOptions) -> Result<Vec<Query>, DatasetError> {
    read_queries(path, options).map(|read| read.queries)
}

/// Reads all queries of a file or of a folder of BEIR or MS MARCO, in file order; of a folder those of the
/// split that are judged. A query that repeats an earlier one to the letter is left out. Texts may be
/// empty.
///
/// # Errors
/// When it cannot be read, is in no known format, or a record is damaged; when two queries have one id;
/// when the split of a folder is not there, or [`QueryOptions::scale`] is not a finite number above 0.
pub fn read_queries(path: &Path, options: &QueryOptions) -> Result<QuerySet, DatasetError> {
    check_scale(options.scale)?;
    if options.format == QueryFormat::Beir || path.is_dir() {
        return of_folder(path, options);
    }
    let input = Input::open(path)?;
    let format = match options.format {
        QueryFormat::Auto if input.head().iter().all(u8::is_ascii_whitespace) => {
            let expected = "a query a line: id TAB text, or {\"id\": ..., \"text\": ...}";
            return Err(DatasetError::Empty { path: path.to_owned(), expected });
        }
        QueryFormat::Auto => match look(&input)? {
            Looks::JsonLines => QueryFormat::JsonLines,
            Looks::TabSeparated => QueryFormat::Text,
            Looks::SeismicBin => QueryFormat::SeismicBin,
            Looks::BigAnnCsr => QueryFormat::BigAnnCsr,
            Looks::Ciff => {
                return Err(DatasetError::UnknownFormat {
                    path: path.to_owned(),
                    expected: "queries; this is CIFF, which holds documents",
                });
            }
        },
        named => named,
    };
    let scale = options.scale;
    let vector_field = options.vector_field.as_deref();
    let mut table = Table::default();
    let mut set = Growing { path, ..Growing::default() };
    match format {
        QueryFormat::SeismicBin => return vectors(path, CollectionFormat::SeismicBin, scale),
        QueryFormat::BigAnnCsr => return vectors(path, CollectionFormat::BigAnnCsr, scale),
        _ => input.refuse_foreign()?,
    }
    let rules = json_record::Rules { scale, vector_field, kept: &[] };
    Lines::new(input).each_filled(|line| {
        let query = match format {
            QueryFormat::Text => table.query(line)?,
            QueryFormat::Anserini => Some(anserini_queries::query(line, scale)?),
            _ => Some(json_record::query(line, rules)?),
        };
        query.map_or(Ok(()), |query| set.push(query, line.number))
    })?;
    let mut read = set.finish();
    read.notices.extend(table.notice);
    Ok(read)
}

/// Queries so far, with the line of each.
#[derive(Debug)]
struct Growing<'a> {
    path: &'a Path,
    queries: Vec<Query>,
    lines: Vec<u64>,
    places: HashMap<String, usize>,
    repeated: u64,
    first_repeated: u64,
}

impl Default for Growing<'_> {
    fn default() -> Self {
        Self {
            path: Path::new(""),
            queries: Vec::new(),
            lines: Vec::new(),
            places: HashMap::new(),
            repeated: 0,
            first_repeated: 0,
        }
    }
}

impl Growing<'_> {
    fn push(&mut self, query: Query, line: u64) -> Result<(), DatasetError> {
        let Some(&place) = self.places.get(&query.id) else {
            self.places.insert(query.id.clone(), self.queries.len());
            self.queries.push(query);
            self.lines.push(line);
            return Ok(());
        };
        if self.queries.get(place) == Some(&query) {
            self.repeated += 1;
            if self.repeated == 1 {
                self.first_repeated = line;
            }
            return Ok(());
        }
        Err(DatasetError::RepeatedQuery {
            path: self.path.to_owned(),
            at: Position::Line(line),
            first: Position::Line(self.lines.get(place).copied().unwrap_or(0)),
            id: query.id,
        })
    }

    fn finish(self) -> QuerySet {
        let notice = Notice::Repeated {
            path: self.path.to_owned(),
            what: "query",
            count: self.repeated,
            line: self.first_repeated,
        };
        let notices = if self.repeated > 0 { vec![notice] } else { Vec::new() };
        QuerySet { queries: self.queries, notices }
    }
}

fn of_folder(folder: &Path, options: &QueryOptions) -> Result<QuerySet, DatasetError> {
    let (file, format) = if folder::is_msmarco(folder) {
        let split = options.split.as_deref().unwrap_or("SPLIT");
        (folder::msmarco_queries(folder, split)?, QueryFormat::Text)
    } else {
        (folder::require(folder, "queries.jsonl")?, QueryFormat::JsonLines)
    };
    let mut read = read_queries(&file, &QueryOptions { format, ..options.clone() })?;
    if let Some(split) = &options.split
        && (format == QueryFormat::Text || folder.join("qrels").is_dir())
    {
        let qrels = Qrels::read(&folder::split(folder, split)?)?;
        read.queries.retain(|query| qrels.judged(&query.id).is_some());
    }
    Ok(read)
}

fn vectors(
    path: &Path,
    format: CollectionFormat,
    scale: Option<f32>,
) -> Result<QuerySet, DatasetError> {
    let options = CollectionOptions { format: Some(format), scale, ..CollectionOptions::default() };
    let queries = open_collection(path, &options)?.map(|document| {
        let document = document?;
        Ok(Query { id: document.id, text: document.text, vector: document.vector })
    });
    Ok(QuerySet { queries: queries.collect::<Result<_, _>>()?, notices: Vec::new() })
}
