//! Reading run files.
//!
//! A TREC run (six columns) goes by score, ties by id descending bytewise; its rank column is not
//! looked at. An MS MARCO run (three columns) goes by its rank. The first line tells which it is.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use quarry_vectors::{Ranking, ScoredDoc};

use crate::error::DatasetError;
use crate::input::Input;
use crate::lines::{Line, Lines};
use crate::run_format::RunFormat;

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
    Lines::new(Input::open(path)?).each_filled(|line| {
        let columns: Vec<&str> = line.text.split_ascii_whitespace().take(7).collect();
        let format = *format.get_or_insert(match columns.len() {
            3 => RunFormat::MsMarco,
            _ => RunFormat::Trec,
        });
        let row = Row::parse(line, &columns, format)?;
        if tag.is_empty() {
            row.tag.clone_into(&mut tag);
        }
        let place = match places.get(row.query) {
            Some(place) => *place,
            None => {
                places.insert(row.query.to_owned(), queries.len());
                queries.push((row.query.to_owned(), Hits::default()));
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

/// One line.
struct Row<'a> {
    query: &'a str,
    document: &'a str,
    order: Order,
    tag: &'a str,
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Score(f32),
    Rank(u64),
}

impl<'a> Row<'a> {
    fn parse(line: Line<'a>, columns: &[&'a str], format: RunFormat) -> Result<Self, DatasetError> {
        match (format, columns) {
            (RunFormat::Trec, &[query, _, document, _, score, tag]) => match score.parse::<f32>() {
                // Adding 0 makes -0 and 0 the tie that they are in trec_eval.
                Ok(s) if s.is_finite() => {
                    Ok(Self { query, document, order: Order::Score(s + 0.0), tag })
                }
                _ => Err(line.malformed("a finite score", score)),
            },
            (RunFormat::MsMarco, &[query, document, rank]) => match rank.parse() {
                Ok(rank) => Ok(Self { query, document, order: Order::Rank(rank), tag: "" }),
                Err(_) => Err(line.malformed("a rank", rank)),
            },
            (RunFormat::Trec, _) => {
                let expected = "query, Q0, document, rank, score, tag (or query, document, rank)";
                Err(line.malformed(expected, line.text))
            }
            (RunFormat::MsMarco, _) => Err(line.malformed("query, document and rank", line.text)),
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
        if !self.documents.insert(row.document.to_owned()) {
            return Err(DatasetError::RepeatedPair {
                path: line.path.to_owned(),
                line: line.number,
                query: row.query.to_owned(),
                document: row.document.to_owned(),
            });
        }
        let (rank, score) = match row.order {
            Order::Score(score) => (0, score),
            Order::Rank(rank) if self.ranks.insert(rank) => (rank, 0.0),
            Order::Rank(rank) => {
                return Err(line.malformed("a rank that is new in its query", &rank.to_string()));
            }
        };
        self.hits.push((rank, ScoredDoc { id: row.document.to_owned(), score }));
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
