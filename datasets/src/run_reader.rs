//! Reading run files.
//!
//! A TREC run (six columns) goes by score, ties by id descending bytewise; its rank column is not
//! looked at. An MS MARCO run (three columns) goes by its rank. The first line tells which it is, or
//! that it is one of JSON lines, which goes by score. A line whose tabs make the right number of
//! columns is split at these alone, so that names may contain spaces.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use quarry_vectors::{Ranking, ScoredDoc};

use crate::error::DatasetError;
use crate::input::Input;
use crate::lines::{Line, Lines};
use crate::run_format::{RunFormat, RunRecord, is_score};

/// What a run file holds; the rankings of a TREC run are not in order yet.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    /// The tag of the first line; empty for MS MARCO.
    pub(crate) tag: String,
    /// Queries in the order of their first appearance.
    pub(crate) rankings: Vec<(String, Ranking)>,
}

pub(crate) fn read(path: &Path) -> Result<Parsed, DatasetError> {
    let mut format = None;
    let mut tag = String::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut queries: Vec<(String, Hits)> = Vec::new();
    Lines::new(Input::open_text(path)?).each_filled(|line| {
        let row = match *format.get_or_insert_with(|| looks(line.text)) {
            RunFormat::JsonLines => Row::of_json(line)?,
            format => Row::parse(line, &columns(line.text, format), format)?,
        };
        if tag.is_empty() {
            row.tag.as_ref().clone_into(&mut tag);
        }
        let place = match places.get(row.query.as_ref()) {
            Some(place) => *place,
            None => {
                places.insert(row.query.clone().into_owned(), queries.len());
                queries.push((row.query.clone().into_owned(), Hits::default()));
                queries.len() - 1
            }
        };
        match queries.get_mut(place) {
            Some((_, hits)) => hits.add(line, &row),
            None => Ok(()),
        }
    })?;
    let rankings = queries.into_iter().map(|(query, hits)| (query, hits.into_ranking())).collect();
    Ok(Parsed { tag, rankings })
}

/// The form that a first line is of.
fn looks(text: &str) -> RunFormat {
    if text.trim_ascii_start().starts_with('{') {
        return RunFormat::JsonLines;
    }
    let three = |columns: usize| columns == 3;
    if three(text.split('\t').count()) || three(text.split_ascii_whitespace().count()) {
        return RunFormat::MsMarco;
    }
    RunFormat::Trec
}

/// A line's columns: between tabs where these make the right number, else between white space.
fn columns(text: &str, format: RunFormat) -> Vec<&str> {
    let wanted = if format == RunFormat::MsMarco { 3 } else { 6 };
    let by_tabs: Vec<&str> = text.split('\t').take(wanted + 1).collect();
    if by_tabs.len() == wanted && by_tabs.iter().all(|cell| !cell.is_empty()) {
        return by_tabs;
    }
    text.split_ascii_whitespace().take(wanted + 1).collect()
}

/// One line.
struct Row<'a> {
    query: Cow<'a, str>,
    document: Cow<'a, str>,
    order: Order,
    tag: Cow<'a, str>,
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Score(f64),
    Rank(u64),
}

impl<'a> Row<'a> {
    fn of_json(line: Line<'a>) -> Result<Self, DatasetError> {
        let record: RunRecord<'a> = serde_json::from_str(line.text).map_err(|_| {
            let expected =
                "{\"query\": ID, \"document\": ID, \"rank\": N, \"score\": X, \"tag\": NAME}";
            line.malformed(expected, line.text)
        })?;
        if !is_score(record.score) {
            return Err(line.malformed("a finite score", line.text));
        }
        let RunRecord { query, document, score, tag, .. } = record;
        if query.is_empty() || document.is_empty() {
            return Err(DatasetError::EmptyId { path: line.path.to_owned(), at: line.at() });
        }
        Ok(Self { query, document, order: Order::Score(score + 0.0), tag })
    }

    fn parse(line: Line<'a>, columns: &[&'a str], format: RunFormat) -> Result<Self, DatasetError> {
        let row = |query: &'a str, document: &'a str, order, tag: &'a str| {
            Ok(Self { query: query.into(), document: document.into(), order, tag: tag.into() })
        };
        match (format, columns) {
            (RunFormat::MsMarco, &[query, document, rank]) => match rank.trim().parse() {
                Ok(rank) => row(query, document, Order::Rank(rank), ""),
                Err(_) => Err(line.malformed("a rank", rank)),
            },
            (RunFormat::MsMarco, _) => Err(line.malformed("query, document and rank", line.text)),
            (_, &[query, _, document, _, score, tag]) => match score.trim().parse::<f64>() {
                // Adding 0 makes -0 and 0 the tie that they are in trec_eval.
                Ok(s) if is_score(s) => row(query, document, Order::Score(s + 0.0), tag),
                _ => Err(line.malformed("a finite score", score)),
            },
            (_, found) => {
                let iteration = |text: &str| text == "0" || text.eq_ignore_ascii_case("q0");
                let expected = if found.len() == 4 && found.get(1).is_some_and(|c| iteration(c)) {
                    "query, Q0, document, rank, score, tag (or query, document, rank); these look like judgements"
                } else {
                    "query, Q0, document, rank, score, tag (or query, document, rank)"
                };
                Err(line.malformed(expected, line.text))
            }
        }
    }
}

/// The hits of one query so far.
#[derive(Debug, Default)]
struct Hits {
    documents: HashSet<String>,
    ranks: HashSet<u64>,
    hits: Vec<(u64, ScoredDoc)>,
}

impl Hits {
    fn add(&mut self, line: Line<'_>, row: &Row<'_>) -> Result<(), DatasetError> {
        if !self.documents.insert(row.document.clone().into_owned()) {
            return Err(DatasetError::RepeatedPair {
                path: line.path.to_owned(),
                line: line.number,
                query: row.query.clone().into_owned(),
                document: row.document.clone().into_owned(),
            });
        }
        let (rank, score) = match row.order {
            Order::Score(score) => (0, score),
            Order::Rank(rank) if self.ranks.insert(rank) => (rank, 0.0),
            Order::Rank(rank) => {
                return Err(line.malformed("a rank that is new in its query", &rank.to_string()));
            }
        };
        self.hits.push((rank, ScoredDoc { id: row.document.clone().into_owned(), score }));
        Ok(())
    }

    fn into_ranking(mut self) -> Ranking {
        if !self.ranks.is_empty() {
            self.hits.sort_by_key(|(rank, _)| *rank);
            let mut place = 0.0;
            for (_, hit) in &mut self.hits {
                place += 1.0;
                hit.score = 1.0 / place;
            }
        }
        self.hits.into_iter().map(|(_, hit)| hit).collect()
    }
}
