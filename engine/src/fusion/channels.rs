//! What several channels found of one query becomes one ranking.

use std::collections::HashMap;

use quarry_searcher::{Hit, Searcher};

use super::fuse::{List, Scored, fuse};
use super::options::{ChannelWeight, FusionOptions};
use crate::EngineError;
use crate::channel::Channel;

/// What a channel found.
#[derive(Debug, Clone, Copy)]
pub struct FoundOn<'a> {
    /// The channel, and what it counts.
    pub weighted: ChannelWeight,
    /// Its hits, best first.
    pub hits: &'a [Hit],
}

impl FoundOn<'_> {
    /// The channel.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.weighted.channel
    }
}

/// Fuses by document: of one that was split, each channel's best passage counts, and the hit is the passage of
/// the heaviest channel that found it.
pub(crate) fn of_channels(
    searcher: &Searcher,
    found: &[FoundOn<'_>],
    options: &FusionOptions,
) -> Result<Vec<Hit>, EngineError> {
    let mut found = found.to_vec();
    found.sort_by(|a, b| {
        let heavier = b.weighted.weight.total_cmp(&a.weighted.weight);
        heavier.then_with(|| a.channel().cmp(&b.channel()))
    });
    let passages = searcher.index().segments().iter().any(|s| s.documents().has_passages());
    // Where no document was split, a row is a document.
    let mut firsts: HashMap<&str, (usize, u32)> = HashMap::new();
    let mut places: HashMap<(usize, u32), Hit> = HashMap::new();
    let mut lists = Vec::with_capacity(found.len());
    for on in &found {
        let mut hits = Vec::with_capacity(on.hits.len());
        for hit in on.hits {
            let row = (hit.segment, hit.doc.0);
            let key = if passages { *firsts.entry(searcher.id(hit)).or_insert(row) } else { row };
            places.entry(key).or_insert(*hit);
            hits.push(Scored { key, score: hit.score });
        }
        lists.push(List { weight: on.weighted.weight, hits });
    }
    let id = |key: &(usize, u32)| places.get(key).map_or("", |hit| searcher.id(hit));
    let fused = fuse(&lists, options.method, options.rrf_k, |a, b| id(b).cmp(id(a)));
    let fused = fused.map_err(|error| EngineError::NotAboveZero {
        list: format!("the channel {}", found[error.list].channel().name()),
        query: None,
        best: error.best,
    })?;
    let hit = |scored: &Scored<(usize, u32)>| {
        places.get(&scored.key).map(|hit| Hit { score: scored.score, ..*hit })
    };
    Ok(fused.iter().filter_map(hit).collect())
}
