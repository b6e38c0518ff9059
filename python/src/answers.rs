//! Answers as JSON.

use quarry_engine::{
    Answer, ChannelScores, Description, ExpandedQuery, Hit, Matched, Method, Placed, Version,
    Warning,
};
use quarry_vectors::printed;
use serde_json::{Value, json};

/// An answer with all its parts.
pub(crate) fn answer(answer: &Answer) -> Value {
    json!({
        "generation": answer.version.generation,
        "method": answer.method.name(),
        "hits": answer.hits.iter().map(hit).collect::<Vec<_>>(),
        "expanded": answer.expanded.iter().map(expanded).collect::<Vec<_>>(),
        "warnings": answer.warnings.iter().map(Warning::to_string).collect::<Vec<_>>(),
        "seconds": {
            "encode": answer.timings.encode.as_secs_f64(),
            "retrieve": answer.timings.retrieve.as_secs_f64(),
            "rerank": answer.timings.rerank.as_secs_f64(),
            "fetch": answer.timings.fetch.as_secs_f64(),
        },
    })
}

fn hit(hit: &Hit) -> Value {
    json!({
        "rank": hit.rank,
        "id": hit.id,
        "score": hit.score,
        "channels": channels(&hit.channels),
        "rerank": hit.rerank,
        "passage": hit.passage.as_ref().map(|passage| json!({
            "ordinal": passage.ordinal,
            "bytes": [passage.bytes.start, passage.bytes.end],
        })),
        "fields": hit.fields,
        "matched": hit.matched.as_ref().map(|all| all.iter().map(matched).collect::<Vec<_>>()),
    })
}

fn channels(scores: &ChannelScores) -> Value {
    let placed = |placed: &Option<Placed>| {
        placed.map(|placed| json!({"rank": placed.rank, "score": placed.score}))
    };
    let all = [
        ("sparse", placed(&scores.sparse)),
        ("bm25", placed(&scores.bm25)),
        ("dense", placed(&scores.dense)),
        ("maxsim", placed(&scores.maxsim)),
    ];
    all.into_iter().filter_map(|(name, placed)| Some((name.to_owned(), placed?))).collect()
}

fn matched(matched: &Matched) -> Value {
    let word = matched.origin.as_ref().and_then(|origin| origin.place.as_ref()?.word.clone());
    json!({
        "token": matched.token,
        "query_weight": shortest(matched.query_weight),
        "document_weight": shortest(matched.document_weight),
        "contribution": matched.contribution,
        "word": word,
    })
}

/// The shortest decimal of a weight.
fn shortest(weight: f32) -> f64 {
    printed(&[f64::from(weight)])[0]
}

fn expanded(expanded: &ExpandedQuery) -> Value {
    let terms = expanded.terms.iter();
    json!({
        "channel": expanded.channel.name(),
        "documents": expanded.documents,
        "terms": terms
            .map(|term| json!({"token": term.token, "weight": term.weight, "added": term.added}))
            .collect::<Vec<_>>(),
    })
}

/// What an index is and can do.
pub(crate) fn description(description: &Description) -> Value {
    let channels = |channels: &[quarry_engine::Channel]| {
        channels.iter().map(|channel| channel.name()).collect::<Vec<_>>()
    };
    json!({
        "version": version(description.version),
        "documents": description.documents,
        "encoders": description.encoders,
        "channels": channels(&description.channels),
        "text_queries": channels(&description.text_queries),
        "methods": description.methods.iter().copied().map(Method::name).collect::<Vec<_>>(),
        "rerank": description.rerank,
        "stored_fields": description.stored_fields,
    })
}

fn version(version: Version) -> Value {
    json!({"index": version.index.to_string(), "generation": version.generation})
}
