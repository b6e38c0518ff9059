//! Rankings of many queries.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::Path;

use quarry_vectors::{Ranking, ScoredDoc, better};

use crate::error::DatasetError;
use crate::run_format::{RunFormat, is_score, write_ranking};
use crate::run_reader;

/// All rankings of a system, queries in the order in which they came.
///
/// Every ranking is in [`better`]'s order and names no document twice.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Run {
    tag: String,
    queries: Vec<String>,
    rankings: HashMap<String, Ranking>,
}

impl Run {
    /// An empty run; `tag` names the system.
    #[must_use]
    pub fn new(tag: &str) -> Self {
        Self { tag: tag.to_owned(), ..Self::default() }
    }

    /// Adds a query's ranking and puts it in order, as reading it from a file would.
    ///
    /// # Errors
    /// When the query is there already, a score is not finite or beyond the range of 32 bits, or a document stands twice.
    pub fn insert(&mut self, query: &str, mut ranking: Ranking) -> Result<(), DatasetError> {
        let fail = |reason| Err(DatasetError::Ranking { query: query.to_owned(), reason });
        if self.rankings.contains_key(query) {
            return fail("it has a ranking already".to_owned());
        }
        let mut seen = HashSet::with_capacity(ranking.len());
        for hit in &mut ranking {
            if !is_score(hit.score) {
                return fail(format!("the score of {:?} is {}", hit.id, hit.score));
            }
            hit.score += 0.0; // makes -0 and 0 the tie that they are in trec_eval
        }
        if let Some(twice) = ranking.iter().find(|hit| !seen.insert(hit.id.as_str())) {
            return fail(format!("document {:?} stands twice", twice.id));
        }
        sort(&mut ranking);
        self.queries.push(query.to_owned());
        self.rankings.insert(query.to_owned(), ranking);
        Ok(())
    }

    /// The name of the system; empty for an MS MARCO run.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The queries, in the order in which they came.
    #[must_use]
    pub fn queries(&self) -> &[String] {
        &self.queries
    }

    /// A query's ranking, best first; `None` when the run has none.
    #[must_use]
    pub fn ranking(&self, query: &str) -> Option<&[ScoredDoc]> {
        self.rankings.get(query).map(Vec::as_slice)
    }

    /// Reads a run in any [`RunFormat`], plain or compressed. The hits of an MS MARCO run get
    /// 1 / (place in the ranking) as score.
    ///
    /// # Errors
    /// When the file cannot be read, a line has another shape, a score is not a finite number, or a
    /// document (or, for MS MARCO, a rank) stands twice in a query.
    pub fn read(path: &Path) -> Result<Self, DatasetError> {
        let parsed = run_reader::read(path)?;
        let mut run = Self::new(&parsed.tag);
        for (query, mut ranking) in parsed.rankings {
            sort(&mut ranking);
            run.queries.push(query.clone());
            run.rankings.insert(query, ranking);
        }
        Ok(run)
    }

    /// Writes all rankings, queries in their order.
    ///
    /// # Errors
    /// When writing fails, or an id, a query or the tag cannot stand in such a run, so that it could not
    /// be read back: [`RunFormat::check`] tells beforehand.
    pub fn write(&self, out: &mut impl Write, format: RunFormat) -> Result<(), DatasetError> {
        for query in &self.queries {
            let ranking = self.rankings.get(query).map_or(&[][..], Vec::as_slice);
            write_ranking(out, query, ranking, &self.tag, format)?;
        }
        out.flush().map_err(DatasetError::Write)
    }
}

fn sort(ranking: &mut Ranking) {
    ranking.sort_by(|a, b| better((a.score, a.id.as_bytes()), (b.score, b.id.as_bytes())));
}
