//! BM25 over lists of words gives what scoring every posting gives, to the bit.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use common::{Built, Random, built, built_of_segments, id, options, top, with_text};
use proptest::prelude::*;
use quarry_index::{Index, Verify};
use quarry_indexer::{
    AddOptions, Adding, BuildOptions, LEAST_MEMORY, Merge, WordLists, add, add_lists, build,
    delete, merge,
};
use quarry_searcher::{
    Bm25Options, ChannelQuery, Filter, Options, Searcher, TermStats, WordWeight,
};
use quarry_vectors::{Document, better};

/// Below, at and beyond the size of the collections here.
const KS: [usize; 5] = [1, 3, 10, 100, 5000];

/// Texts of words by Zipf's law, of about `mean` words; every ninth repeats an earlier one.
fn texts(random: &mut Random, first: usize, count: usize, mean: u64) -> Vec<Document> {
    let mut made: Vec<Document> = Vec::new();
    for at in first..first + count {
        let repeated = at % 9 == 8 && !made.is_empty();
        let text = if repeated {
            let limit = u64::try_from(made.len()).unwrap();
            made[random.below(limit) as usize].text.clone()
        } else {
            let length = 1 + random.below(2 * mean);
            let word = |_| {
                let end = 1 + u64::from(random.below(400));
                format!("w{}", random.below(end))
            };
            (0..length).map(word).collect::<Vec<_>>().join(" ")
        };
        made.push(with_text(&id(at), "", &text));
    }
    made
}

fn question(random: &mut Random, most: u64) -> String {
    let words = 1 + random.below(most);
    let word = |_| {
        let end = 1 + u64::from(random.below(450));
        format!("w{}", random.below(end))
    };
    (0..words).map(word).collect::<Vec<_>>().join(" ")
}

fn listed(options: &mut BuildOptions) {
    options.seal.words = WordLists::Always;
}

/// Ids with the bits of scores.
fn found(
    searcher: &Searcher,
    query: &ChannelQuery<'_>,
    params: &Options<'_>,
) -> Vec<(String, u64)> {
    let found = searcher.search(query, params).unwrap();
    found.hits.iter().map(|h| (searcher.id(h).to_owned(), h.score.to_bits())).collect()
}

#[track_caller]
fn assert_alike(
    plain: &Searcher,
    lists: &Searcher,
    query: &ChannelQuery<'_>,
    filter: [Option<&Filter>; 2],
) {
    for k in KS {
        let [one, other] = filter.map(|filter| Options { filter, ..Options::new(top(k)) });
        assert_eq!(found(lists, query, &other), found(plain, query, &one), "k {k}, {query:?}");
    }
    let options = Options { filter: filter[0], ..Options::new(top(5000)) };
    let mut hits = plain.search(query, &options).unwrap().hits;
    hits.reverse();
    for searcher in [plain, lists] {
        let scores = searcher.scores_of(query, &hits, &options).unwrap();
        assert!(scores.iter().zip(&hits).all(|(score, hit)| *score == Some(hit.score)));
    }
}

/// The same collections with and without lists, a segment each.
fn both(collections: &[Vec<Document>]) -> [Built; 2] {
    let plain = built_of_segments(collections.to_vec(), |o| o.seal.words = WordLists::Never);
    let lists = built_of_segments(collections.to_vec(), listed);
    assert!(plain.index().segments().iter().all(|s| s.words().is_none()));
    assert!(lists.index().segments().iter().all(|s| s.words().is_some()));
    [plain, lists]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Segments of other mean lengths than the whole, words with and without lists, weights far apart.
    #[test]
    fn lists_change_nothing(
        seed in any::<u64>(),
        sizes in prop::collection::vec((1usize..900, 1u64..60), 1..4),
        weights in prop::collection::vec(prop_oneof![Just(0.0), 0.001f64..40.0, Just(1e-12), Just(1e35)], 1..40),
    ) {
        let random = &mut Random(seed);
        let mut first = 0;
        let mut collections = Vec::new();
        for (count, mean) in sizes {
            collections.push(texts(random, first, count, mean));
            first += count;
        }
        let [plain, lists] = both(&collections);
        for most in [1, 3, 8, 40] {
            let text = question(random, most);
            assert_alike(&plain.searcher, &lists.searcher, &ChannelQuery::Words(&text), [None; 2]);
        }
        let words: Vec<WordWeight> = (0..).zip(&weights).map(|(n, weight)| {
            WordWeight { word: format!("w{}", n * 7 % 97), weight: *weight }
        }).collect();
        assert_alike(&plain.searcher, &lists.searcher, &ChannelQuery::Weighted(&words), [None; 2]);
    }
}

/// An index that is changed: documents added (the mean length changes), replaced, deleted, merged.
#[test]
fn changes_change_nothing() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let at = |which: usize| -> &Path { folders[which].path() };
    let change = |which: usize| {
        let mut options = options(at(which));
        options.seal.words = if which == 0 { WordLists::Never } else { WordLists::Always };
        options
    };
    let check = |random: &mut Random, merged: bool| {
        let open = |which| Searcher::new(Arc::new(Index::open(at(which), Verify::Full).unwrap()));
        let (plain, lists) = (open(0), open(1));
        assert!(plain.index().segments().iter().all(|s| s.words().is_none()));
        assert!(lists.index().segments().iter().all(|s| s.words().is_some()), "{merged}");
        for most in [1, 4, 20] {
            let text = question(random, most);
            assert_alike(&plain, &lists, &ChannelQuery::Words(&text), [None; 2]);
        }
    };
    let random = &mut Random(11);
    let read = |documents: Vec<Document>| documents.into_iter().map(Ok::<_, Infallible>);
    let first = texts(random, 0, 700, 30);
    for which in [0, 1] {
        build(read(first.clone()), None, &change(which), &|_| {}).unwrap();
    }
    check(random, false);
    for (from, count, mean) in [(650, 300, 5), (900, 400, 90)] {
        let more = texts(random, from, count, mean);
        for which in [0, 1] {
            let options = change(which);
            add(read(more.clone()), None, &Adding::new(&options), &|_| {}).unwrap();
        }
        check(random, false);
    }
    let gone: Vec<String> = (0..1300).step_by(3).map(id).collect();
    for which in [0, 1] {
        delete(at(which), gone.iter().map(String::as_str)).unwrap();
    }
    check(random, false);
    for which in [0, 1] {
        merge(at(which), Merge::All, LEAST_MEMORY, &|_| {}).unwrap();
    }
    check(random, true);
    let words = AddOptions {
        impact: false,
        words: true,
        seismic: None,
        clusters: None,
        memory: LEAST_MEMORY,
    };
    // Lists of words are added later as well, once.
    assert!(add_lists(at(0), &words, &|_| {}).unwrap().is_some());
    assert!(add_lists(at(0), &words, &|_| {}).unwrap().is_none());
    let index = Index::open(at(0), Verify::Full).unwrap();
    assert!(index.features().words && index.segments()[0].words().is_some());
    drop(index);
    // A segment without a word has nothing to list, and lacks nothing.
    let blank = vec![with_text("blank", "", "")];
    let mut options = change(0);
    options.seal.words = WordLists::Always;
    add(read(blank), None, &Adding::new(&options), &|_| {}).unwrap();
    assert!(add_lists(at(0), &words, &|_| {}).unwrap().is_none());
}

/// Rows that a filter allows, many or few.
#[test]
fn filters_change_nothing() {
    let random = &mut Random(5);
    let mut documents = texts(random, 0, 1500, 20);
    for (at, document) in documents.iter_mut().enumerate() {
        document.fields.insert("number".to_owned(), at.into());
    }
    let [plain, lists] = both(&[documents[..900].to_vec(), documents[900..].to_vec()]);
    for expression in ["number:<7", "number:<400", "number:>=800", "number:>5000"] {
        let filters = [&plain, &lists].map(|b| b.searcher.filter(expression).unwrap());
        for most in [1, 4, 12] {
            let text = question(random, most);
            let of = [Some(&filters[0]), Some(&filters[1])];
            assert_alike(&plain.searcher, &lists.searcher, &ChannelQuery::Words(&text), of);
        }
    }
}

/// Other k1 and b score every posting, and find what they found before.
#[test]
fn other_parameters_score_every_posting() {
    let documents = texts(&mut Random(3), 0, 1200, 20);
    let [plain, lists] = both(&[documents]);
    let (query, k) = (ChannelQuery::Words("w1 w2 w30"), top(5));
    for bm25 in [Bm25Options { k1: 1.2, b: 0.75 }, Bm25Options { k1: 0.9, b: 0.5 }] {
        let params = Options { bm25, ..Options::new(k) };
        assert_eq!(
            found(&lists.searcher, &query, &params),
            found(&plain.searcher, &query, &params)
        );
        let stats = |b: &Built| b.searcher.search(&query, &params).unwrap().stats;
        assert_eq!(stats(&lists), stats(&plain));
        assert!(!lists.searcher.lists_fit(&bm25) && plain.searcher.lists_fit(&bm25));
    }
    let stats = |b: &Built| b.searcher.search(&query, &Options::new(k)).unwrap().stats;
    assert!(stats(&lists).documents_scored > 0 && stats(&plain).documents_scored == 0);
    assert!(lists.searcher.lists_fit(&Bm25Options::default()));
}

/// Two halves with the statistics of both rank as the whole.
#[test]
fn halves_with_common_statistics_rank_as_the_whole() {
    let random = &mut Random(17);
    let (first, second) = (texts(random, 0, 800, 12), texts(random, 800, 500, 45));
    let whole = built([first.clone(), second.clone()].concat(), listed);
    let halves = [built(first, listed), built(second, |o| o.seal.words = WordLists::Never)];
    for most in [1, 3, 6, 15] {
        let text = question(random, most);
        let query = ChannelQuery::Words(&text);
        let mut stats = TermStats::default();
        halves.iter().for_each(|half| stats.add(&half.searcher.term_stats(&query).unwrap()));
        assert_eq!(stats, whole.searcher.term_stats(&query).unwrap());
        for k in [1, 10, 2000] {
            let params = Options { term_stats: Some(&stats), ..Options::new(top(k)) };
            let mut all: Vec<(String, f64)> = Vec::new();
            for half in &halves {
                all.extend(half.hits(&half.searcher.search(&query, &params).unwrap()));
            }
            all.sort_by(|a, b| better((a.1, a.0.as_bytes()), (b.1, b.0.as_bytes())));
            all.truncate(k);
            let want = whole.searcher.search(&query, &Options::new(top(k))).unwrap();
            assert_eq!(all, whole.hits(&want), "k {k}, {text}");
        }
        // Those of one half are not those of both.
        let own = halves[0].searcher.term_stats(&query).unwrap();
        let params = Options { term_stats: Some(&own), ..Options::new(top(1)) };
        whole.searcher.search(&query, &params).unwrap_err();
    }
    let stats = TermStats { documents: 1 << 20, tokens: 1 << 30, ..TermStats::default() };
    let params = Options { term_stats: Some(&stats), ..Options::new(top(1)) };
    let error = whole.searcher.search(&ChannelQuery::Words("w1"), &params).unwrap_err();
    assert!(error.to_string().contains("none of the word `w1`"), "{error}");
}
