//! Rankings over the committed golden index (`index/testdata/golden-v1`): hits and scores that no
//! change may alter. Its documents stand in `indexer/examples/make_golden.rs`; the vectors' scores
//! are sums of quarters and can be checked by hand.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{thorough, top};
use quarry_index::{Index, Verify};
use quarry_searcher::{ChannelQuery, Method, Options, Outcome, Searcher};
use quarry_vectors::SparseVector;

/// Methods that give the true ranking here: the lists keep every posting, and fewer documents match
/// than are asked for or every block is worth a visit.
const METHODS: [Method; 4] = [Method::Exact, Method::Scan, Method::Auto, Method::Seismic];

fn golden() -> Searcher {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../index/testdata/golden-v1");
    Searcher::new(Arc::new(Index::open(&folder, Verify::Full).unwrap()))
}

fn query(searcher: &Searcher, tokens: &[(&str, f32)]) -> SparseVector {
    let lexicon = searcher.index().lexicon().unwrap();
    let pairs = tokens.iter().map(|(token, weight)| (lexicon.term(token).unwrap().0, *weight));
    SparseVector::from_pairs(pairs).unwrap()
}

fn hits(searcher: &Searcher, outcome: &Outcome) -> Vec<(String, f64)> {
    searcher.ranking(&outcome.hits).into_iter().map(|hit| (hit.id, hit.score)).collect()
}

fn owned(want: &[(&str, f64)]) -> Vec<(String, f64)> {
    want.iter().map(|(id, score)| ((*id).to_owned(), *score)).collect()
}

type Case = (&'static [(&'static str, f32)], &'static [(&'static str, f64)]);

const SPARSE: [Case; 6] = [
    (
        &[("rock", 1.0)],
        &[
            ("d04", 1.25),
            ("d02", 1.25),
            ("d01", 1.25),
            ("d08", 1.0),
            ("d06", 1.0),
            ("d03", 1.0),
            ("d07", 0.5),
        ],
    ),
    (
        &[("metamorphic", 1.5), ("quartz", 2.0), ("carbonate", 0.5)],
        &[("d08", 3.625), ("d01", 3.5), ("d03", 2.25), ("d02", 1.5), ("d07", 0.75), ("d06", 0.75)],
    ),
    (&[("glass", 1.0)], &[("d12", 2.0), ("d11", 1.0), ("d10", 1.0)]),
    (&[("glass", 3.0), ("pumice", 2.0)], &[("d11", 7.0), ("d10", 7.0), ("d12", 6.0)]),
    (&[("obsidian", 0.125), ("\u{f6}l", 4.0)], &[("d12", 7.968_75), ("\u{fc}-09", 1.0)]),
    (&[], &[]),
];

#[test]
fn sparse_rankings() {
    let searcher = golden();
    for (tokens, want) in SPARSE {
        let query = query(&searcher, tokens);
        for method in METHODS {
            let outcome =
                searcher.search(&ChannelQuery::Sparse(&query), &thorough(12, method)).unwrap();
            assert_eq!(hits(&searcher, &outcome), owned(want), "{method:?}, {tokens:?}");
        }
        for k in 1..=want.len() {
            let outcome = searcher
                .search(&ChannelQuery::Sparse(&query), &thorough(k, Method::Exact))
                .unwrap();
            assert_eq!(hits(&searcher, &outcome), owned(&want[..k]), "k {k}, {tokens:?}");
        }
    }
}

#[test]
fn matched_tokens() {
    let searcher = golden();
    let query = query(&searcher, &[("metamorphic", 1.5), ("quartz", 2.0), ("carbonate", 0.5)]);
    let hit = searcher.find("d08").unwrap();
    let matched: Vec<(String, f32, f32, f64)> = searcher
        .explain(&query, &hit)
        .unwrap()
        .into_iter()
        .map(|m| (m.token, m.query_weight, m.document_weight, m.contribution))
        .collect();
    let want = [("metamorphic", 1.5, 1.75, 2.625), ("quartz", 2.0, 0.5, 1.0)];
    assert_eq!(matched, want.map(|(token, q, d, share)| (token.to_owned(), q, d, share)));
    assert_eq!(searcher.score(&query, &hit).unwrap(), 3.625);
}

/// Computed apart from this code, from the formula and the documents' words.
const BM25: [(&str, &[(&str, f64)]); 4] = [
    (
        "rock",
        &[
            ("d08", 0.639_389),
            ("d05", 0.508_784_8),
            ("d03", 0.508_784_8),
            ("d01", 0.501_337_1),
            ("d02", 0.494_104_4),
        ],
    ),
    (
        "rock rock metamorphic",
        &[
            ("d03", 1.992_704_7),
            ("d01", 1.963_535_2),
            ("d08", 1.278_778),
            ("d05", 1.017_569_6),
            ("d02", 0.988_208_8),
        ],
    ),
    ("pumice glass", &[("d12", 1.983_272_8), ("d11", 1.260_756_2), ("d10", 1.260_756_2)]),
    (
        "Oil shale? Rocks!",
        &[
            ("\u{fc}-09", 2.517_154_3),
            ("d08", 0.639_389),
            ("d05", 0.508_784_8),
            ("d03", 0.508_784_8),
            ("d01", 0.501_337_1),
            ("d02", 0.494_104_4),
        ],
    ),
];

#[test]
fn bm25_rankings() {
    let searcher = golden();
    for (question, want) in BM25 {
        let outcome =
            searcher.search(&ChannelQuery::Words(question), &Options::new(top(12))).unwrap();
        let found = hits(&searcher, &outcome);
        let ids = |hits: &[(String, f64)]| hits.iter().map(|h| h.0.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&found), ids(&owned(want)), "{question:?}: {found:?}");
        for (found, want) in found.iter().zip(want) {
            assert!((found.1 - want.1).abs() <= want.1 * 1e-6, "{question:?}: {found:?}, {want:?}");
        }
    }
}
