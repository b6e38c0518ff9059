//! Feedback against the formulas, in 64 bits.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::collections::BTreeMap;
use std::time::Instant;

use common::{
    Built, Random, built, built_of_segments, coarse_vectors, id, top, vector, with_terms, with_text,
};
use proptest::prelude::*;
use quarry_index::text;
use quarry_searcher::{ChannelQuery, Expansion, Hit, Options, SearchError, WordWeight};
use quarry_vectors::{
    Document, EncodeError, EncodeQuery, InputVector, SparseVector, join_title_and_text,
};

const DIMENSION: u32 = 40;

/// What a term weighs in a question: every fifth is dropped.
struct Table;

fn of_table(term: u32) -> f32 {
    if term.is_multiple_of(5) { 0.0 } else { 0.25 + f32::from(u8::try_from(term % 7).unwrap()) }
}

impl EncodeQuery for Table {
    fn encode_query(&self, _: &str) -> Result<SparseVector, EncodeError> {
        Err(EncodeError("it has no words".into()))
    }

    fn term_weight(&self, term: u32) -> Option<f32> {
        Some(of_table(term))
    }
}

fn expansion(terms: usize, weight: f64) -> Expansion {
    Expansion { terms: top(terms), weight }
}

/// Where documents lie.
fn rows(built: &Built, ids: &[String]) -> Vec<Hit> {
    ids.iter().map(|id| built.searcher.find(id).unwrap()).collect()
}

fn heaviest(mut terms: Vec<(String, f64)>, n: usize) -> Vec<(String, f64)> {
    terms.retain(|(_, weight)| *weight > 0.0);
    terms.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    terms.truncate(n);
    terms
}

/// |q| ((1 - b) q / |q| + b e / |e|)
fn mixed(query: &[(String, f64)], added: &[(String, f64)], weight: f64) -> BTreeMap<String, f64> {
    let sum = |terms: &[(String, f64)]| terms.iter().map(|(_, weight)| weight).sum::<f64>();
    let (own, new) = (sum(query), sum(added));
    let mut all: BTreeMap<String, f64> = BTreeMap::new();
    for (term, of) in query {
        *all.entry(term.clone()).or_default() += if new > 0.0 { (1.0 - weight) * of } else { *of };
    }
    if own > 0.0 {
        for (term, of) in added {
            *all.entry(term.clone()).or_default() += own * weight * of / new;
        }
    }
    all.retain(|_, weight| *weight > 0.0);
    all
}

#[track_caller]
fn assert_close(found: &BTreeMap<String, f64>, wanted: &BTreeMap<String, f64>) {
    assert!(found.keys().eq(wanted.keys()), "{found:?} {wanted:?}");
    for (term, weight) in found {
        assert!((weight - wanted[term]).abs() <= 1e-5 * wanted[term], "{found:?} {wanted:?}");
    }
}

/// Terms by number, so that their order as names is that of numbers.
fn named(vector: &SparseVector) -> Vec<(String, f64)> {
    vector.iter().map(|(term, weight)| (format!("{term:09}"), weight.into())).collect()
}

fn numbered(vectors: &[SparseVector], from: usize) -> Vec<Document> {
    let ids = (from..).map(id);
    vectors.iter().zip(ids).map(|(vector, id)| with_terms(&id, vector)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Also over several segments.
    #[test]
    fn rocchio_is_its_formula(
        vectors in coarse_vectors(DIMENSION),
        more in coarse_vectors(DIMENSION),
        query in prop::collection::btree_map(0..DIMENSION, 1u8..9, 0..6),
        picks in prop::collection::vec(0usize..1000, 0..6),
        (terms, weight) in (1usize..30, 0.0f64..=1.0),
        table in any::<bool>(),
    ) {
        // Both have all terms, so that their lexicons are one.
        let whole = SparseVector::new((0..DIMENSION).collect(), vec![0.5; 40]).unwrap();
        let vectors = [vec![whole.clone()], vectors].concat();
        let more = [vec![whole], more].concat();
        let built = built_of_segments(
            vec![numbered(&vectors, 0), numbered(&more, 500)],
            |_| {},
        );
        let all: BTreeMap<String, &SparseVector> = vectors.iter().zip((0..).map(id))
            .chain(more.iter().zip((500..).map(id))).map(|(vector, id)| (id, vector)).collect();
        let query = vector(&query.iter().map(|(t, w)| (*t, f32::from(*w) / 4.0)).collect::<Vec<_>>());
        let mut picks: Vec<String> =
            picks.iter().map(|at| all.keys().nth(at % all.len()).unwrap().clone()).collect();
        picks.sort();
        picks.dedup();
        let expansion = expansion(terms, weight);
        let encoder: Option<&dyn EncodeQuery> = if table { Some(&Table) } else { None };
        let found = built.searcher.rocchio(&query, &rows(&built, &picks), &expansion, encoder).unwrap();
        let mut sums: BTreeMap<String, f64> = BTreeMap::new();
        for document in &picks {
            for (term, weight) in all[document].iter() {
                let side = if table { f64::from(of_table(term)) } else { 1.0 };
                *sums.entry(format!("{term:09}")).or_default() += side * f64::from(weight);
            }
        }
        let added = heaviest(sums.into_iter().collect(), terms);
        assert_close(&named(&found).into_iter().collect(), &mixed(&named(&query), &added, weight));
        // What was left in memory by the call changes nothing.
        let again = built.searcher.rocchio(&query, &rows(&built, &picks), &expansion, encoder).unwrap();
        prop_assert_eq!(found, again);
    }
}

const VOCABULARY: [&str; 12] = [
    "rock", "rocks", "river", "the", "granite", "sea", "quartz", "and", "igneous", "lava", "ash",
    "dune",
];

fn texts() -> impl Strategy<Value = Vec<Document>> {
    let text = prop::collection::vec(prop::sample::select(&VOCABULARY[..]), 0..12)
        .prop_map(|words| words.join(" "));
    // Every document has a word of its own, so that some words are rare.
    prop::collection::vec(text, 1..30).prop_map(|texts| {
        let texts = texts.iter().enumerate();
        texts.map(|(at, text)| with_text(&id(at), "title", &format!("{text} own{at}"))).collect()
    })
}

fn counts(text: &str) -> BTreeMap<String, f64> {
    let mut counts = BTreeMap::new();
    for word in text::words(text) {
        *counts.entry(word.term).or_default() += 1.0;
    }
    counts
}

/// RM3 as its formula says, over whole collections.
fn relevance_model(
    all: &[Document],
    question: &str,
    documents: &[(String, f64)],
    expansion: &Expansion,
) -> BTreeMap<String, f64> {
    let bags: BTreeMap<&str, BTreeMap<String, f64>> = all
        .iter()
        .map(|d| (d.id.as_str(), counts(&join_title_and_text(&d.title, &d.text, " "))))
        .collect();
    let total = f64::from(u32::try_from(all.len()).unwrap());
    let share = |word: &str| {
        f64::from(u32::try_from(bags.values().filter(|b| b.contains_key(word)).count()).unwrap())
            / total
    };
    let query: Vec<(String, f64)> =
        counts(question).into_iter().filter(|(word, _)| share(word) > 0.0).collect();
    let scored = documents.iter().all(|(_, score)| *score > 0.0);
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for (id, score) in documents {
        let rare = bags[id.as_str()].clone().into_iter().filter(|(word, _)| share(word) <= 0.1);
        let kept = heaviest(rare.collect(), expansion.terms.get());
        let all: f64 = kept.iter().map(|(_, count)| count).sum();
        for (word, count) in kept {
            *sums.entry(word).or_default() += if scored { *score } else { 1.0 } * count / all;
        }
    }
    let added = heaviest(sums.into_iter().collect(), expansion.terms.get());
    mixed(&query, &added, expansion.weight)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Also over several segments.
    #[test]
    fn rm3_is_its_formula(
        first in texts(),
        second in texts(),
        question in prop::collection::vec(prop::sample::select(&VOCABULARY[..]), 0..5),
        picks in prop::collection::vec((0usize..1000, -1i8..20), 0..6),
        (terms, weight) in (1usize..8, 0.0f64..=1.0),
    ) {
        let mut second = second;
        for (number, document) in second.iter_mut().enumerate() {
            document.id = id(500 + number);
        }
        let all = [first.clone(), second.clone()].concat();
        let built = built_of_segments(vec![first, second], |_| {});
        let question = format!("{} absent", question.join(" "));
        let mut picks: Vec<(String, f64)> = picks.iter()
            .map(|(at, score)| (all[at % all.len()].id.clone(), f64::from(*score))).collect();
        picks.sort_by(|a, b| a.0.cmp(&b.0));
        picks.dedup_by(|a, b| a.0 == b.0);
        let hits: Vec<Hit> = picks.iter()
            .map(|(id, score)| Hit { score: *score, ..built.searcher.find(id).unwrap() }).collect();
        let expansion = expansion(terms, weight);
        let found = built.searcher.rm3(&question, &hits, &expansion, None).unwrap();
        let found: BTreeMap<String, f64> =
            found.into_iter().map(|word| (word.word, word.weight)).collect();
        assert_close(&found, &relevance_model(&all, &question, &picks, &expansion));
    }

    /// A question's words with their counts are the question.
    #[test]
    fn weighted_words_are_bm25(
        documents in texts(),
        question in prop::collection::vec(prop::sample::select(&VOCABULARY[..]), 0..5),
    ) {
        let built = built(documents, |_| {});
        let question = question.join(" ");
        let weighted = |by: f64| -> Vec<WordWeight> {
            let mut words: Vec<WordWeight> = Vec::new();
            for word in text::words(&question) {
                match words.iter_mut().find(|known| known.word == word.term) {
                    Some(known) => known.weight += by,
                    None => words.push(WordWeight { word: word.term, weight: by }),
                }
            }
            words
        };
        let search = |query: ChannelQuery<'_>| {
            built.hits(&built.searcher.search(&query, &Options::new(top(100))).unwrap())
        };
        let plain = search(ChannelQuery::Words(&question));
        prop_assert_eq!(&search(ChannelQuery::Weighted(&weighted(1.0))), &plain);
        // A power of two changes no digit of a score.
        let half: Vec<_> = plain.into_iter().map(|(id, score)| (id, score / 2.0)).collect();
        prop_assert_eq!(search(ChannelQuery::Weighted(&weighted(0.5))), half);
    }
}

#[test]
fn without_weight_or_documents_a_query_stays_as_it_is() {
    let documents = vec![
        Document { text: "red stone".into(), ..with_terms("a", &vector(&[(1, 2.0), (2, 1.0)])) },
        Document { text: "blue water".into(), ..with_terms("b", &vector(&[(2, 2.0), (3, 1.0)])) },
    ];
    let built = built(documents, |_| {});
    let query = vector(&[(1, 0.3), (3, 0.7)]);
    let a = built.searcher.find("a").unwrap();
    let found = |hits: &[Hit], weight| {
        built.searcher.rocchio(&query, hits, &expansion(9, weight), None).unwrap()
    };
    assert_eq!(found(&[], 0.5), query);
    assert_eq!(found(&[a], 0.0), query);
    let sum: f32 = found(&[a], 0.5).weights().iter().sum();
    assert!((sum - 1.0).abs() < 1e-6);
    let words = built.searcher.rm3("stone stone water", &[], &expansion(9, 0.5), None).unwrap();
    let words: Vec<(&str, f64)> = words.iter().map(|w| (w.word.as_str(), w.weight)).collect();
    assert_eq!(words, [("stone", 2.0), ("water", 1.0)]);
    for (terms, weight) in [(9, -0.1), (9, 1.1), (9, f64::NAN), (1001, 0.5)] {
        let (found, wrong) = (expansion(terms, weight), |error: SearchError| {
            assert!(matches!(error, SearchError::Param { .. }), "{error}");
        });
        wrong(built.searcher.rocchio(&query, &[a], &found, None).unwrap_err());
        wrong(built.searcher.rm3("stone", &[a], &found, None).unwrap_err());
    }
    let over = built.searcher.rm3("stone", &[a], &expansion(9, 0.5), Some(Instant::now()));
    assert!(matches!(over.unwrap_err(), SearchError::Timeout));
}

#[test]
fn an_index_without_what_feeds_back_says_so() {
    let vectors = built(vec![with_terms("a", &vector(&[(1, 1.0)]))], |_| {});
    let error = vectors.searcher.rm3("x", &[], &expansion(9, 0.5), None).unwrap_err();
    assert!(matches!(error, SearchError::NoText), "{error}");
    let words = built(vec![with_text("a", "", "stone")], |_| {});
    let query = vector(&[(1, 1.0)]);
    let error = words.searcher.rocchio(&query, &[], &expansion(9, 0.5), None).unwrap_err();
    assert!(matches!(error, SearchError::NoSparse), "{error}");
}

/// Prints what an expansion takes: `cargo test --release --test feedback -- --ignored --nocapture`.
#[test]
#[ignore = "it measures"]
fn times() {
    let mut random = Random(7);
    let tokens: Vec<String> = (0..30_522).map(|at| format!("t{at}")).collect();
    let documents: Vec<Document> = (0..2000)
        .map(|at| {
            let pairs = (0..128).map(|_| {
                let weight = 0.1 + f32::from(u16::try_from(random.below(300)).unwrap()) / 100.0;
                (tokens[random.below(30_522) as usize].clone(), weight)
            });
            let pairs: BTreeMap<String, f32> = pairs.collect();
            let vector = Some(InputVector::Tokens(pairs.into_iter().collect()));
            let words: Vec<&str> =
                (0..200).map(|_| tokens[random.below(9000) as usize].as_str()).collect();
            Document { id: id(at), text: words.join(" "), vector, ..Document::default() }
        })
        .collect();
    let built = built(documents, |_| {});
    let query = vector(&[(5, 1.0), (77, 0.5), (900, 2.0), (1500, 1.0), (2000, 0.3), (30_000, 1.0)]);
    for (depth, terms) in [(3, 20), (5, 20), (10, 50)] {
        let expansion = expansion(terms, 0.2);
        let rounds = 2000;
        let hits = |round: usize| -> Vec<Hit> {
            (0..depth)
                .map(|at| built.searcher.find(&id((round * 17 + at * 131) % 2000)).unwrap())
                .collect()
        };
        let all: Vec<Vec<Hit>> = (0..rounds).map(hits).collect();
        let mut best = f64::MAX;
        let started = Instant::now();
        for hits in &all {
            let one = Instant::now();
            built.searcher.rocchio(&query, hits, &expansion, Some(&Table)).unwrap();
            best = best.min(one.elapsed().as_secs_f64());
        }
        let mean = started.elapsed().as_secs_f64() / 2000.0;
        let (mean, best) = (mean * 1e6, best * 1e6);
        println!("rocchio, depth {depth}, {terms} terms: mean {mean:.1} us, best {best:.1} us");
        let started = Instant::now();
        for hits in all.iter().take(200) {
            built.searcher.rm3("t5 t77 t900", hits, &expansion, None).unwrap();
        }
        let mean = started.elapsed().as_secs_f64() / 200.0 * 1e6;
        println!("rm3, depth {depth}, {terms} terms: mean {mean:.0} us");
    }
}
