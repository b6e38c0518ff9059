//! Converts an answer to the API's response.

use std::time::Duration;

use quarry_engine::{Answer, Hit as Found, Matched, RerankStats, TokenOrigin, WarningKind};
use quarry_vectors::{Field, PooledBy};

use super::version::version;
use crate::api::{
    ApiError, Channel, ExpandedQuery, ExpandedTerm, Hit, MatchedToken, Origin, Passage, Ranks,
    RerankReport, Scores, SearchResponse, Timings, Warning, WarningCode,
};

/// `fused`: whether several channels were searched.
pub(crate) fn response(answer: Answer, fused: bool) -> Result<SearchResponse, ApiError> {
    let timings = answer.timings;
    let shown = !answer.expanded.is_empty();
    Ok(SearchResponse {
        index: version(answer.version),
        method: answer.method.into(),
        partial: false,
        timings_us: Timings {
            encode: micros(timings.encode),
            search: micros(timings.retrieve),
            feedback: micros(timings.feedback),
            second_search: micros(timings.second_round),
            fuse: micros(timings.fuse),
            tokens: micros(timings.tokens),
            rerank: micros(timings.rerank),
        },
        expanded: shown.then(|| answer.expanded.into_iter().filter_map(expanded).collect()),
        rerank: answer.rerank.map(report),
        warnings: answer.warnings.iter().map(warning).collect(),
        hits: answer.hits.into_iter().map(|found| hit(found, fused)).collect::<Result<_, _>>()?,
    })
}

/// On a channel that requests can name.
fn expanded(found: quarry_engine::ExpandedQuery) -> Option<ExpandedQuery> {
    let terms = found.terms.into_iter().map(|term| ExpandedTerm {
        token: term.token,
        weight: term.weight,
        added: term.added,
    });
    let (channel, documents) = (Channel::of(found.channel)?, found.documents);
    Some(ExpandedQuery { channel, documents, terms: terms.collect() })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn report(report: quarry_engine::RerankReport) -> RerankReport {
    let device = report.device;
    let RerankStats { candidates, pruned, skipped, scored, rescored, without_tokens } =
        report.stats;
    RerankReport { device, candidates, pruned, skipped, scored, rescored, without_tokens }
}

fn warning(warning: &quarry_engine::Warning) -> Warning {
    let code = match warning.kind {
        WarningKind::EmptyText | WarningKind::EmptyVector | WarningKind::EmptyWords => {
            WarningCode::EmptyQuery
        }
        WarningKind::UnknownFields | WarningKind::NothingStored => WarningCode::UnknownFields,
        WarningKind::NoTokens => WarningCode::NoTokens,
        WarningKind::EveryPosting => WarningCode::EveryPosting,
        _ => WarningCode::UnknownTokens,
    };
    let (message, count) = (warning.to_string(), warning.names.len());
    Warning { code, message, count, names: warning.first_names().to_vec() }
}

fn hit(found: Found, fused: bool) -> Result<Hit, ApiError> {
    // Clients may read scores as f32.
    if found.score > f64::from(f32::MAX) {
        return Err(ApiError::invalid("query.sparse", "weights so large overflow scores"));
    }
    let channels = found.channels;
    Ok(Hit {
        rank: found.rank,
        id: found.id,
        score: found.score,
        scores: Scores {
            sparse: channels.sparse.map(|placed| placed.score),
            bm25: channels.bm25.map(|placed| placed.score),
            dense: channels.dense.map(|placed| placed.score),
            rerank: found.rerank,
        },
        ranks: fused.then(|| Ranks {
            sparse: channels.sparse.map(|placed| placed.rank),
            bm25: channels.bm25.map(|placed| placed.rank),
            dense: channels.dense.map(|placed| placed.rank),
        }),
        passage: found.passage.map(|p| Passage {
            ordinal: p.ordinal,
            start: p.bytes.start,
            end: p.bytes.end,
        }),
        fields: found.fields,
        matched: found.matched.map(|matched| matched.into_iter().map(token).collect()),
    })
}

fn token(matched: Matched) -> MatchedToken {
    MatchedToken {
        token: matched.token,
        query_weight: matched.query_weight,
        document_weight: matched.document_weight,
        contribution: matched.contribution,
        origin: matched.origin.map(origin),
    }
}

fn origin(found: TokenOrigin) -> Origin {
    let TokenOrigin { position, pooled_by, place } = found;
    let field = place.as_ref().map(|place| match place.field {
        Field::Title => "title",
        Field::Text => "text",
    });
    let bytes = place.as_ref().map(|place| place.bytes.clone());
    Origin {
        position,
        pooled_by: match pooled_by {
            PooledBy::Max => "max",
            PooledBy::Sum => "sum",
        },
        field,
        start: bytes.as_ref().map(|bytes| bytes.start),
        end: bytes.as_ref().map(|bytes| bytes.end),
        word: place.and_then(|place| place.word),
    }
}
