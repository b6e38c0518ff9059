//! What several channels found of one query becomes one ranking.

use std::collections::{HashMap, HashSet};

use quarry_searcher::{Hit, Options, Searcher};

use super::fuse::{List, Scored, fuse};
use super::options::{ChannelWeight, FusionMethod, FusionOptions};
use crate::EngineError;
use crate::channel::Channel;
use crate::query::EncodedQuery;

/// What a channel found.
#[derive(Debug, Clone, Copy)]
pub struct FoundOn<'a> {
    /// The channel, and what it counts.
    pub weighted: ChannelWeight,
    /// What it was asked.
    pub query: &'a EncodedQuery,
    /// Its hits, best first; of split documents, passages ([`Options::passages`](quarry_searcher::Options)).
    pub hits: &'a [Hit],
}

impl FoundOn<'_> {
    /// The channel.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.weighted.channel
    }
}

/// A row, by its segment.
type Row = (usize, u32);

/// Fuses by row; of a document that was split, its best passage is the hit.
///
/// Where scores are subtracted from, what other channels found is scored by this one as well, with the parameters of
/// `rows`: the lists are of the channel's own length, and a document below their end is not as far below it as 0 says.
pub(crate) fn of_channels(
    searcher: &Searcher,
    found: &[FoundOn<'_>],
    (options, params): (&FusionOptions, &Options<'_>),
) -> Result<Vec<Hit>, EngineError> {
    let mut found = found.to_vec();
    found.sort_by(|a, b| {
        let heavier = b.weighted.weight.total_cmp(&a.weighted.weight);
        heavier.then_with(|| a.channel().cmp(&b.channel()))
    });
    let mut rows: HashMap<Row, Hit> = HashMap::new();
    for hit in found.iter().flat_map(|on| on.hits) {
        rows.entry((hit.segment, hit.doc.0)).or_insert(*hit);
    }
    let subtracts = matches!(options.method, FusionMethod::MinMax | FusionMethod::Z);
    let mut lists = Vec::with_capacity(found.len());
    for on in &found {
        let scored = |hit: &Hit| Scored { key: (hit.segment, hit.doc.0), score: hit.score };
        let hits: Vec<Scored<Row>> = on.hits.iter().map(scored).collect();
        let scored = match subtracts && !hits.is_empty() {
            true => lacking(searcher, on.query, (&rows, &hits), params)?,
            false => Vec::new(),
        };
        lists.push(List { weight: on.weighted.weight, hits, scored });
    }
    let id = |key: &Row| rows.get(key).map_or("", |hit| searcher.id(hit));
    let fused = fuse(&lists, options.method, options.rrf_k, |a, b| id(b).cmp(id(a)).then(a.cmp(b)));
    let fused = fused.map_err(|error| EngineError::NotAboveZero {
        list: format!("the channel {}", found[error.list].channel().name()),
        query: None,
        best: error.best,
    })?;
    let hit =
        |scored: &Scored<Row>| rows.get(&scored.key).map(|hit| Hit { score: scored.score, ..*hit });
    let mut hits: Vec<Hit> = fused.iter().filter_map(hit).collect();
    if searcher.index().segments().iter().any(|segment| segment.documents().has_passages()) {
        searcher.keep_best_passages(&mut hits);
    }
    Ok(hits)
}

/// The rows that a list lacks, scored as its channel does; not those that it cannot score.
fn lacking(
    searcher: &Searcher,
    query: &EncodedQuery,
    (rows, hits): (&HashMap<Row, Hit>, &[Scored<Row>]),
    params: &Options<'_>,
) -> Result<Vec<Scored<Row>>, EngineError> {
    let Some(query) = query.of_rows(&[]) else { return Ok(Vec::new()) };
    let there: HashSet<Row> = hits.iter().map(|hit| hit.key).collect();
    let mut lacking: Vec<Row> = rows.keys().copied().filter(|row| !there.contains(row)).collect();
    // Sums of floats must not hang on the order of a map.
    lacking.sort_unstable();
    let asked: Vec<Hit> = lacking.iter().filter_map(|row| rows.get(row)).copied().collect();
    let scores = searcher.scores_of(&query, &asked, params)?;
    let scored = |(key, score): (&Row, Option<f64>)| Some(Scored { key: *key, score: score? });
    Ok(lacking.iter().zip(scores).filter_map(scored).collect())
}
