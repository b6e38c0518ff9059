//! Feedback over channels: which documents feed back, and what is answered.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::path::Path;

use quarry_engine::write::{Build, build_documents};
use quarry_engine::{
    Answer, Channel, ChannelWeight, Collection, Document, EngineError, Expansion,
    FeedbackCondition, FeedbackOptions, FusionMethod, FusionOptions, Hit, InputVector, Models,
    OpenOptions, Query, RerankOptions, Search, SearchOptions, SparseQuery, Writer,
};
use serde_json::json;

const DOCUMENTS: u32 = 80;

fn id(at: u32) -> String {
    format!("d{at:02}")
}

/// The weight of the term that all have, by which they rank.
fn rock(at: u32) -> f32 {
    1.0 + f32::from(u16::try_from(DOCUMENTS - at).unwrap()) / 8.0
}

/// Each has a term and a word of its own, and one of a group of five.
fn document(at: u32) -> Document {
    let stones = "stone ".repeat(1 + at as usize % 7);
    let vector = vec![
        ("rock".to_owned(), rock(at)),
        (format!("own{at}"), 4.0),
        (format!("group{}", at / 5), 2.0),
    ];
    Document {
        id: id(at),
        text: format!("{stones} word{at} sort{}", at % 16),
        fields: json!({"even": at.is_multiple_of(2)}).as_object().unwrap().clone(),
        vector: Some(InputVector::Tokens(vector)),
        ..Document::default()
    }
}

fn built(folder: &Path) -> Collection {
    let documents = (0..DOCUMENTS).map(|at| Ok::<_, Infallible>(document(at)));
    let build = Build { out: folder.to_path_buf(), ..Build::default() };
    build_documents(documents, json!("x"), &build, &Models::default(), &|_| {}).unwrap();
    Collection::open(folder, &OpenOptions::default()).unwrap()
}

fn asked() -> Query {
    let mut query = Query::sparse(SparseQuery::Tokens(vec![("rock".into(), 1.0)]));
    query.text = Some("stone".into());
    query
}

fn k(k: usize) -> SearchOptions {
    let mut options = SearchOptions::new(NonZeroUsize::new(k).unwrap());
    options.explain = true;
    options
}

fn both(count: usize) -> SearchOptions {
    k(count).fused([Channel::Sparse, Channel::Bm25], FusionOptions::default())
}

fn feedback(condition: FeedbackCondition) -> FeedbackOptions {
    FeedbackOptions::default().by(condition)
}

fn ids(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.id.as_str()).collect()
}

fn search(collection: &Collection, query: Query, options: SearchOptions) -> Answer {
    collection.search(&Search::new(query, options)).unwrap()
}

/// The weights of the new query on the sparse channel, by hand: 20 terms, a weight of .2.
fn by_hand(documents: &[u32]) -> Vec<(String, f64, bool)> {
    let mut sums: Vec<(String, f64)> = Vec::new();
    for at in documents {
        let Some(InputVector::Tokens(tokens)) = document(*at).vector else { continue };
        for (token, weight) in tokens {
            match sums.iter_mut().find(|(known, _)| *known == token) {
                Some((_, sum)) => *sum += f64::from(weight),
                None => sums.push((token, weight.into())),
            }
        }
    }
    assert!(sums.len() <= 20);
    let all: f64 = sums.iter().map(|(_, sum)| sum).sum();
    let weight = |(token, sum): (String, f64)| {
        let own = if token == "rock" { 0.8 } else { 0.0 };
        let added = token != "rock";
        (token, own + 0.2 * sum / all, added)
    };
    let mut terms: Vec<_> = sums.into_iter().map(weight).collect();
    terms.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    terms
}

#[track_caller]
fn assert_fed_by(answer: &Answer, documents: &[u32]) {
    let sparse = answer.expanded.iter().find(|e| e.channel == Channel::Sparse).unwrap();
    let wanted: Vec<String> = documents.iter().map(|at| id(*at)).collect();
    assert_eq!(sparse.documents, wanted);
    let wanted = by_hand(documents);
    assert_eq!(sparse.terms.len(), wanted.len(), "{:?}", sparse.terms);
    for (term, (token, weight, added)) in sparse.terms.iter().zip(&wanted) {
        assert_eq!((&term.token, term.added), (token, *added), "{:?}", sparse.terms);
        assert!((term.weight - weight).abs() < 1e-6, "{term:?} {weight}");
    }
}

#[test]
fn depth_0_is_no_feedback() {
    let folder = tempfile::tempdir().unwrap();
    let collection = built(folder.path());
    let (sparse, bm25) = (k(50), k(50).on(Channel::Bm25));
    for options in [sparse, bm25, both(50)] {
        let plain = search(&collection, asked(), options.clone());
        let mut none = feedback(FeedbackCondition::After);
        none.depth = Some(0);
        let same = search(&collection, asked(), options.clone().fed_back(none));
        assert_eq!(same.hits, plain.hits);
        assert!(same.expanded.is_empty() && same.timings.second_round.is_zero());
        let fed = search(&collection, asked(), options.fed_back(FeedbackOptions::default()));
        assert_ne!(fed.hits, plain.hits);
        assert!(!fed.expanded.is_empty() && !fed.timings.second_round.is_zero());
    }
}

/// The best three feed back, and the new scores are dot products with the new query.
#[test]
fn the_best_documents_feed_back() {
    let folder = tempfile::tempdir().unwrap();
    let collection = built(folder.path());
    let answer = search(&collection, asked(), k(80).fed_back(FeedbackOptions::default()));
    assert_fed_by(&answer, &[0, 1, 2]);
    let query = by_hand(&[0, 1, 2]);
    for hit in &answer.hits {
        let at: u32 = hit.id[1..].parse().unwrap();
        let Some(InputVector::Tokens(tokens)) = document(at).vector else { continue };
        let of = |token: &str| query.iter().find(|term| term.0 == token).map_or(0.0, |t| t.1);
        let score: f64 = tokens.iter().map(|(t, weight)| of(t) * f64::from(*weight)).sum();
        assert!((hit.score - score).abs() < 2e-3 * score, "{hit:?} {score}");
        let matched: f64 = hit.matched.iter().flatten().map(|m| m.contribution).sum();
        assert!((hit.score - matched).abs() < 1e-5 * score);
    }
}

#[test]
fn neither_refused_nor_deleted_nor_excluded_documents_feed_back() {
    let folder = tempfile::tempdir().unwrap();
    let collection = built(folder.path());
    let fed = |options: SearchOptions, query| {
        let options = options.fed_back(FeedbackOptions::default());
        search(&collection, query, options)
    };
    let odd = fed(k(80).filtered("even:false"), asked());
    assert_fed_by(&odd, &[1, 3, 5]);
    assert!(odd.hits.iter().all(|hit| hit.id[1..].parse::<u32>().unwrap() % 2 == 1));
    let mut query = asked();
    query.excluded = vec!["d01".to_owned(), "no such".to_owned(), "d00".to_owned()];
    let without = fed(k(80), query.clone());
    assert_fed_by(&without, &[2, 3, 4]);
    // It may be found all the same.
    assert!(ids(&without.hits).contains(&"d01"));
    let fused = fed(both(80), query);
    for expanded in &fused.expanded {
        assert!(!expanded.documents.iter().any(|id| id == "d00" || id == "d01"), "{expanded:?}");
    }
    let writer = Writer::open(folder.path(), Models::default()).unwrap();
    writer.delete(["d00", "d02"]).unwrap();
    drop(writer);
    let collection = Collection::open(folder.path(), &OpenOptions::default()).unwrap();
    let options = k(80).fed_back(FeedbackOptions::default());
    assert_fed_by(&search(&collection, asked(), options), &[1, 3, 4]);
}

#[test]
fn conditions_are_what_their_names_say() {
    let folder = tempfile::tempdir().unwrap();
    let collection = built(folder.path());
    let fed = |options: SearchOptions, feedback: FeedbackOptions| {
        search(&collection, asked(), options.fed_back(feedback))
    };
    let fused = search(&collection, asked(), both(80));
    let first = |hits: &[Hit], n: usize| -> Vec<String> {
        hits.iter().take(n).map(|hit| hit.id.clone()).collect()
    };
    let of = |answer: &Answer, channel| {
        answer.expanded.iter().find(|e| e.channel == channel).unwrap().clone()
    };
    let after = fed(both(80), feedback(FeedbackCondition::After));
    // Each channel as it is fed back alone, then fused.
    let mut parts = Vec::new();
    for (channel, weight, depth) in [(Channel::Sparse, 1.0, 3), (Channel::Bm25, 0.3, 10)] {
        let plain = search(&collection, asked(), k(80).on(channel));
        let alone = fed(k(80).on(channel), feedback(FeedbackCondition::After));
        assert_eq!(of(&alone, channel), of(&after, channel));
        assert_eq!(of(&after, channel).documents, first(&plain.hits, depth));
        let best = alone.hits[0].score;
        let part = |hit: &Hit| (hit.id.clone(), weight * hit.score / best);
        parts.push(alone.hits.iter().map(part).collect::<Vec<_>>());
    }
    for hit in &after.hits {
        let found = parts.iter().flatten().filter(|(id, _)| *id == hit.id);
        let sum: f64 = found.map(|(_, part)| part).sum();
        assert!((hit.score - sum).abs() < 1e-6, "{hit:?} {sum}");
    }
    let both_ = fed(both(80), feedback(FeedbackCondition::Both));
    assert_eq!(of(&both_, Channel::Sparse).documents, first(&fused.hits, 3));
    assert_eq!(of(&both_, Channel::Bm25).documents, first(&fused.hits, 10));
    assert!(both_.hits.iter().all(|hit| hit.channels.sparse.is_some()));
    for channel in [Channel::Sparse, Channel::Bm25] {
        let mut before = feedback(FeedbackCondition::Before);
        before.channels = vec![channel];
        let before = fed(both(80), before);
        assert_eq!(before.expanded, [of(&both_, channel)]);
        for hit in &before.hits {
            let other = match channel {
                Channel::Sparse => hit.channels.bm25,
                _ => hit.channels.sparse,
            };
            assert!(other.is_none(), "{hit:?}");
        }
    }
    // Of the channels that are searched one may be fed back.
    let mut one = feedback(FeedbackCondition::After);
    one.channels = vec![Channel::Bm25];
    let one = fed(both(80), one);
    assert_eq!(one.expanded, [of(&after, Channel::Bm25)]);
    assert_ne!(one.hits, after.hits);
}

#[test]
fn batches_and_wishes_for_fewer_hits_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let collection = built(folder.path());
    let queries: Vec<Query> = (0..12)
        .map(|at| {
            let tokens = vec![("rock".into(), 0.5), (format!("group{at}"), 1.0)];
            let mut query = Query::sparse(SparseQuery::Tokens(tokens));
            query.text = Some(format!("stone sort{at}"));
            query.excluded = (0..at).map(id).collect();
            query
        })
        .collect();
    for condition in [FeedbackCondition::After, FeedbackCondition::Both] {
        for method in [FusionMethod::Max, FusionMethod::MinMax, FusionMethod::Z, FusionMethod::Rrf]
        {
            let mut options = both(40).fed_back(feedback(condition));
            options.fusion = FusionOptions::default().by(method);
            let together = collection.search_batch(&queries, &options).unwrap();
            for (query, answer) in queries.iter().zip(together) {
                let answer = answer.unwrap();
                let alone = search(&collection, query.clone(), options.clone());
                assert_eq!(alone.hits, answer.hits, "{condition:?} {method:?}");
                assert_eq!(alone.expanded, answer.expanded);
                let mut few = options.clone();
                few.k = NonZeroUsize::new(7).unwrap();
                assert_eq!(search(&collection, query.clone(), few).hits, answer.hits[..7]);
            }
        }
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let collection = built(folder.path());
    let refused = |options: SearchOptions, feedback: FeedbackOptions, wanted: &str| {
        let options = options.fed_back(feedback);
        let error = collection.search(&Search::new(asked(), options.clone())).unwrap_err();
        let EngineError::Feedback { option, .. } = error else {
            unreachable!("{error}");
        };
        assert_eq!(option, wanted);
        assert!(options.fed_channels().is_err());
    };
    let with = |change: &dyn Fn(&mut FeedbackOptions)| {
        let mut options = FeedbackOptions::default();
        change(&mut options);
        options
    };
    for condition in [FeedbackCondition::Before, FeedbackCondition::Both] {
        refused(k(10), feedback(condition), "condition");
        // A channel without weight is as if absent.
        let fusion = FusionOptions::default().weighted(Channel::Bm25, 0.0);
        let options = k(10).fused([Channel::Sparse, Channel::Bm25], fusion);
        refused(options, feedback(condition), "condition");
    }
    refused(both(10), feedback(FeedbackCondition::Before), "channels");
    refused(k(10), with(&|f| f.channels = vec![Channel::Bm25]), "channels");
    refused(k(10), with(&|f| f.channels = vec![Channel::Sparse; 2]), "channels");
    refused(k(10).on(Channel::Maxsim), FeedbackOptions::default(), "channels");
    refused(k(10), with(&|f| f.depth = Some(101)), "depth");
    let terms = NonZeroUsize::new(1001).unwrap();
    refused(k(10), with(&|f| f.sparse.terms = terms), "terms");
    for weight in [-0.1, 1.5, f64::NAN] {
        let terms = NonZeroUsize::MIN;
        refused(k(10), with(&|f| f.bm25 = Expansion { terms, weight }), "weight");
    }
    // Reranking has nothing to do with it, and is refused for its own reasons.
    let options = k(10).fed_back(FeedbackOptions::default()).reranked(RerankOptions::default());
    assert!(collection.search(&Search::new(asked(), options)).is_err());
    let weight = ChannelWeight { channel: Channel::Bm25, weight: 0.0 };
    assert_eq!(both(10).weights().unwrap().len(), 2);
    let mut one = both(10).fed_back(FeedbackOptions::default());
    one.fusion.weights = vec![weight];
    assert_eq!(one.fed_channels().unwrap(), [Channel::Sparse]);
}
