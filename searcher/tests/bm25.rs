//! BM25 against a naive implementation of its formula.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::collections::BTreeMap;

use common::{Built, built, built_of_segments, id, top, with_text};
use proptest::prelude::*;
use quarry_index::text;
use quarry_searcher::{Bm25Options, ChannelQuery, Method, Options};
use quarry_vectors::{Document, better, join_title_and_text};

const VOCABULARY: [&str; 16] = [
    "rock",
    "rocks",
    "river",
    "the",
    "Granite",
    "granites",
    "of",
    "sea",
    "sea-level",
    "quartz",
    "and",
    "M\u{fc}ller",
    "2024",
    "igneous",
    "lava",
    "is",
];

/// Length of a document as field norms keep it: one byte, exact to 39, then three bits of mantissa
/// over a base of 24; rounded down.
fn rounded_length(length: u32) -> u32 {
    let of = |byte: u32| {
        if byte < 24 {
            return byte;
        }
        let (mantissa, shift) = ((byte - 24) & 7, (byte - 24) >> 3);
        24 + if shift == 0 { mantissa } else { (mantissa | 8) << (shift - 1) }
    };
    (0..=255).map(of).take_while(|l| *l <= length).last().unwrap()
}

fn words(text: &str) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for word in text::words(text) {
        *counts.entry(word.term).or_default() += 1;
    }
    counts
}

/// Scores of all documents that share a word with the question, in 64 bits.
fn naive(documents: &[Document], question: &str, k1: f64, b: f64) -> BTreeMap<String, f64> {
    let bags: Vec<_> =
        documents.iter().map(|d| words(&join_title_and_text(&d.title, &d.text, " "))).collect();
    let lengths: Vec<u32> = bags.iter().map(|bag| bag.values().sum()).collect();
    let total: u32 = lengths.iter().sum();
    let count = f64::from(u32::try_from(documents.len()).unwrap());
    let mean = f64::from(total) / count;
    let mut scores = BTreeMap::new();
    for (word, qtf) in words(question) {
        let frequency =
            u32::try_from(bags.iter().filter(|b| b.contains_key(&word)).count()).unwrap();
        let df = f64::from(frequency);
        let idf = (1.0 + (count - df + 0.5) / (df + 0.5)).ln();
        for ((document, bag), length) in documents.iter().zip(&bags).zip(&lengths) {
            let Some(tf) = bag.get(&word).map(|tf| f64::from(*tf)) else { continue };
            let norm = k1 * (1.0 - b + b * f64::from(rounded_length(*length)) / mean);
            *scores.entry(document.id.clone()).or_default() +=
                f64::from(qtf) * idf * tf / (tf + norm);
        }
    }
    scores
}

/// The k best of `want`: scores to f32's precision; of documents that score alike (to the bit, in
/// the naive form) those with the larger ids.
#[track_caller]
fn assert_ranks(built: &Built, question: &str, params: &Options<'_>, want: &BTreeMap<String, f64>) {
    let outcome = built.searcher.search(&ChannelQuery::Words(question), params).unwrap();
    assert_eq!(outcome.method, Method::Exact);
    let hits = built.hits(&outcome);
    assert_eq!(hits.len(), want.len().min(params.k.get()), "{question:?}");
    for (id, score) in &hits {
        let naive = want.get(id).unwrap_or_else(|| panic!("{id} shares no word"));
        assert!((score - naive).abs() <= naive * 1e-5, "{id}: {score}, naive {naive}");
    }
    assert!(
        hits.windows(2)
            .all(|w| better((w[0].1, w[0].0.as_bytes()), (w[1].1, w[1].0.as_bytes())).is_lt())
    );
    let Some((last, score)) = hits.last() else { return };
    let last_naive = want[last];
    for (id, naive) in want.iter().filter(|w| hits.iter().all(|h| h.0 != *w.0)) {
        assert!(*naive <= score * (1.0 + 1e-5), "{id} ({naive}) is missing");
        assert!(*naive != last_naive || id.as_bytes() < last.as_bytes(), "{id} before {last}");
    }
}

fn collection() -> impl Strategy<Value = Vec<Document>> {
    let text = |most| {
        prop::collection::vec(prop::sample::select(&VOCABULARY[..]), 0..most)
            .prop_map(|words| words.join(" "))
    };
    // Long documents as well: lengths beyond 40 are rounded.
    let body = prop_oneof![4 => text(8), 1 => text(400)];
    prop::collection::vec((text(3), body), 1..40).prop_map(|texts| {
        let pairs = texts.iter().enumerate();
        pairs.map(|(n, (title, text))| with_text(&id(n), title, text)).collect()
    })
}

fn question() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop_oneof![8 => prop::sample::select(&VOCABULARY[..]), 1 => Just("absent")],
        0..7,
    )
    .prop_map(|words| words.join(", "))
}

/// Bodies and titles may all be empty; then there is no text part to search.
fn has_text(documents: &[Document]) -> bool {
    documents.iter().any(|d| !d.title.is_empty() || !d.text.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn scores_follow_the_formula(
        documents in collection(),
        question in question(),
        (k1, b) in prop_oneof![Just((0.9f32, 0.4f32)), (0.0f32..3.0, 0.0f32..=1.0)],
    ) {
        prop_assume!(has_text(&documents));
        let built = built(documents.clone(), |_| {});
        let want = naive(&documents, &question, f64::from(k1), f64::from(b));
        for k in [1, 3, 1000] {
            assert_ranks(&built, &question, &Options { bm25: Bm25Options { k1, b }, ..Options::new(top(k)) }, &want);
        }
    }

    /// Statistics are those of all segments together.
    #[test]
    fn segments_share_their_statistics(
        first in collection(), second in collection(), question in question(),
    ) {
        prop_assume!(has_text(&first) && has_text(&second));
        let mut second = second;
        for (number, document) in second.iter_mut().enumerate() {
            document.id = id(500 + number);
        }
        let all = [first.clone(), second.clone()].concat();
        let built = built_of_segments(vec![first, second], |_| {});
        let want = naive(&all, &question, f64::from(0.9f32), f64::from(0.4f32));
        for k in [1, 5, 1000] {
            assert_ranks(&built, &question, &Options::new(top(k)), &want);
        }
    }
}

#[test]
fn lengths_are_rounded_as_field_norms_are() {
    let known =
        [(0, 0), (39, 39), (40, 40), (41, 40), (42, 42), (55, 54), (57, 56), (63, 60), (1000, 984)];
    for (length, want) in known {
        assert_eq!(rounded_length(length), want);
    }
}

#[test]
fn words_of_a_question_count_as_often_as_they_stand() {
    let documents =
        vec![with_text("a", "", "quartz"), with_text("b", "", "lava"), with_text("c", "", "sea")];
    let built = built(documents, |_| {});
    let score = |question: &str| {
        let outcome =
            built.searcher.search(&ChannelQuery::Words(question), &Options::new(top(1))).unwrap();
        built.hits(&outcome)[0].clone()
    };
    let (once, twice) = (score("quartz"), score("Quartz, quartz?"));
    assert_eq!((once.0.as_str(), twice.0.as_str()), ("a", "a"));
    assert!((twice.1 - 2.0 * once.1).abs() < 1e-6);
    assert_eq!(score("quartz lava lava").0, "b");
}

/// More documents than one window of accumulators, all but a few of one score.
#[test]
fn ties_over_many_windows() {
    let documents: Vec<Document> = (0..10_000)
        .map(|n| with_text(&n.to_string(), "", if n % 2 == 0 { "lava flow" } else { "sea level" }))
        .collect();
    let want = naive(&documents, "lava", f64::from(0.9f32), f64::from(0.4f32));
    let built = built(documents, |_| {});
    for k in [1, 10, 4_999, 5_000, 5_001] {
        assert_ranks(&built, "lava", &Options::new(top(k)), &want);
    }
    assert!(
        built
            .searcher
            .search(&ChannelQuery::Words("the of and"), &Options::new(top(3)))
            .unwrap()
            .hits
            .is_empty()
    );
    assert!(
        built
            .searcher
            .search(&ChannelQuery::Words(""), &Options::new(top(3)))
            .unwrap()
            .hits
            .is_empty()
    );
}

#[test]
fn a_batch_is_its_questions_one_by_one() {
    let documents: Vec<Document> =
        (0..50).map(|n| with_text(&id(n), VOCABULARY[n % 16], VOCABULARY[n * 7 % 16])).collect();
    let built = built(documents, |_| {});
    let params = Options::new(top(5));
    let batch = built
        .searcher
        .search_batch(
            &VOCABULARY.iter().map(|q| ChannelQuery::Words(q)).collect::<Vec<_>>(),
            &params,
        )
        .unwrap();
    for (question, found) in VOCABULARY.iter().zip(&batch) {
        assert_eq!(
            found.hits,
            built.searcher.search(&ChannelQuery::Words(question), &params).unwrap().hits
        );
    }
}
