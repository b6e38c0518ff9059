//! Split documents: hits are documents, each with the score of its best passage.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test fails by it")]

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use quarry_index::{Index, Verify};
use quarry_indexer::{
    AddOptions, BuildOptions, EncoderSetup, IngestOptions, LEAST_MEMORY, Lists, SealOptions,
    add_lists, build, default_clusters,
};
use quarry_searcher::{ChannelQuery, Hit, Method, Options, Searcher, SparseOptions};
use quarry_vectors::{
    Document, EncodeDocument, EncodeError, Field, Origin, Passage, PooledBy, ScoredDoc,
    SparseVector, SplitText, Traced, better,
};
use serde_json::json;

/// Words are numbers; a passage's vector has each word's count.
struct Counting;

impl EncodeDocument for Counting {
    fn encode_documents(&self, passages: &[Passage<'_>]) -> Result<Vec<SparseVector>, EncodeError> {
        Ok(passages.iter().map(|p| counted(p.text)).collect())
    }

    fn traces(&self) -> Option<PooledBy> {
        Some(PooledBy::Sum)
    }

    fn trace_documents(&self, passages: &[Passage<'_>]) -> Result<Vec<Traced>, EncodeError> {
        Ok(passages.iter().map(|p| traced(p.text)).collect())
    }
}

/// Each term comes from the first word that gives it.
fn traced(text: &str) -> Traced {
    let words: Vec<&str> = text.split_whitespace().collect();
    let vector = counted(text);
    let origin = |term: &u32| {
        let at = words.iter().position(|word| *word == term.to_string()).unwrap();
        let start = words[at].as_ptr() as usize - text.as_ptr() as usize;
        let bytes = start as u32..(start + words[at].len()) as u32;
        Origin { position: at as u32, place: Some((Field::Text, bytes)) }
    };
    let origins = vector.terms().iter().map(origin).collect();
    Traced { vector, origins }
}

fn counted(text: &str) -> SparseVector {
    let words = text.split_whitespace().map(|word| (word.parse().unwrap(), 1.0));
    let mut counts: BTreeMap<u32, f32> = BTreeMap::new();
    words.for_each(|(term, weight)| *counts.entry(term).or_default() += weight);
    SparseVector::from_pairs(counts).unwrap()
}

/// Passages of five words, the last two of them again in the next.
struct FiveWords;

impl SplitText for FiveWords {
    fn split(&self, _title: &str, text: &str) -> Result<Vec<Range<usize>>, EncodeError> {
        let mut starts: Vec<usize> = text.match_indices(' ').map(|(at, _)| at + 1).collect();
        starts.insert(0, 0);
        let mut out = Vec::new();
        for first in (0..starts.len()).step_by(3) {
            let end = starts.get(first + 5).copied().unwrap_or(text.len());
            out.push(starts[first]..end);
            if end == text.len() {
                break;
            }
        }
        Ok(out)
    }
}

fn indexed(folder: &Path, documents: &[Document], lists: Lists) {
    let options = BuildOptions {
        out: folder.to_path_buf(),
        source: json!("synthetic"),
        ingest: IngestOptions { shard_documents: 4, ..IngestOptions::default() },
        seal: SealOptions { memory: LEAST_MEMORY, seed: 7, lists, ..SealOptions::default() },
        ..BuildOptions::default()
    };
    let setup = EncoderSetup {
        encoder: &Counting,
        identity: json!("counting"),
        tokens: (0..12).map(|t| format!("t{t}")).collect(),
        tokenizer: None,
        query_table: None,
        passages: Some(quarry_indexer::Passages { splitter: &FiveWords, tokens: 5, overlap: 0 }),
        provenance: true,
    };
    let documents = documents.iter().cloned().map(Ok::<_, io::Error>);
    build(documents, Some(&setup), &options, &|_| {}).unwrap();
}

fn searcher(folder: &Path) -> Searcher {
    Searcher::new(Arc::new(Index::open(folder, Verify::Full).unwrap()))
}

/// The k best documents by the best of their passages, all of them scored.
fn oracle(documents: &[Document], query: &SparseVector, k: usize) -> Vec<ScoredDoc> {
    let mut all: Vec<ScoredDoc> = Vec::new();
    for document in documents {
        let ranges = FiveWords.split("", &document.text).unwrap();
        let scores = ranges.into_iter().map(|r| counted(&document.text[r]).dot(query));
        let score = scores.fold(0.0, f64::max);
        all.push(ScoredDoc { id: document.id.clone(), score });
    }
    all.retain(|hit| hit.score > 0.0);
    all.sort_by(|a, b| better((a.score, a.id.as_bytes()), (b.score, b.id.as_bytes())));
    all.truncate(k);
    all
}

/// Every matched token names the word of the passage that it comes from.
fn explained(found: &Searcher, hit: &Hit, (query, passage): (&SparseVector, &str)) {
    let want = traced(passage);
    let matched = found.explain(query, hit).unwrap();
    assert_eq!(matched.is_empty(), hit.score == 0.0);
    for matched in matched {
        let at = want.vector.terms().binary_search(&matched.term.0).unwrap();
        let origin = matched.origin.unwrap();
        assert_eq!((origin.position, origin.pooled_by), (want.origins[at].position, PooledBy::Sum));
        let place = origin.place.unwrap();
        assert_eq!(place.field, Field::Text);
        assert_eq!(place.word.as_deref(), Some(&passage[place.bytes]));
        assert_eq!(place.word, Some(matched.term.0.to_string()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn hits_are_documents_by_their_best_passage(
        texts in prop::collection::vec(prop::collection::vec(0u32..12, 0..40), 1..30),
        query in prop::collection::btree_map(0u32..12, 1u8..4, 1..4),
        k in 1usize..12,
    ) {
        let documents: Vec<Document> = (1..)
            .zip(&texts)
            .map(|(line, words)| {
                let words: Vec<String> = words.iter().map(u32::to_string).collect();
                let id = format!("{}-{line}", line * 7 % 10);
                Document { id, line, text: words.join(" "), ..Document::default() }
            })
            .collect();
        let query = query.into_iter().map(|(term, weight)| (term, f32::from(weight)));
        let query = SparseVector::from_pairs(query).unwrap();
        let want = oracle(&documents, &query, k);
        let folder = tempfile::tempdir().unwrap();
        indexed(folder.path(), &documents, Lists::IMPACT);
        let check = |found: &Searcher| {
            let entry = found.index().segments()[0].entry();
            assert_eq!(entry.documents, documents.len() as u64);
            for method in [Method::Exact, Method::Scan] {
                let params = Options { sparse: SparseOptions { method, ..SparseOptions::default() }, ..Options::new(NonZeroUsize::new(k).unwrap()) };
                let outcome = found.search(&ChannelQuery::Sparse(&query), &params).unwrap();
                assert_eq!(found.ranking(&outcome.hits), want, "{method:?}");
                let all = Options { passages: true, ..params };
                let mut passages = found.search(&ChannelQuery::Sparse(&query), &all).unwrap().hits;
                assert!(passages.windows(2).all(|pair| pair[0].score >= pair[1].score));
                found.keep_best_passages(&mut passages);
                assert_eq!(passages, outcome.hits, "{method:?}");
                for hit in &outcome.hits {
                    let document = documents.iter().find(|d| d.id == found.id(hit)).unwrap();
                    let passage = found.stored(hit).unwrap().unwrap().text;
                    if let Some(span) = found.passage(hit) {
                        let bytes = usize::try_from(span.bytes.start).unwrap()
                            ..usize::try_from(span.bytes.end).unwrap();
                        assert_eq!(&document.text[bytes], passage);
                    }
                    assert_eq!(counted(&passage).dot(&query), hit.score);
                    explained(found, hit, (&query, &passage));
                    assert_eq!(found.stored_whole(hit).unwrap().unwrap().text, document.text);
                }
            }
        };
        check(&searcher(folder.path()));
        let bm25 = searcher(folder.path());
        let most = Options::new(NonZeroUsize::new(100).unwrap());
        let ids: Vec<String> = bm25
            .ranking(&bm25.search(&ChannelQuery::Words("1 2 3"), &most).unwrap().hits)
            .into_iter()
            .map(|hit| hit.id)
            .collect();
        let holds = |d: &&Document| d.text.split_whitespace().any(|w| ["1", "2", "3"].contains(&w));
        prop_assert_eq!(ids.len(), documents.iter().filter(holds).count());
        // Another order of rows: passages of a document no longer lie together.
        let add = AddOptions {
            words: false,
            impact: false,
            seismic: None,
            clusters: Some(default_clusters()),
            memory: LEAST_MEMORY,
        };
        if searcher(folder.path()).index().segments()[0].entry().rows > 0 {
            add_lists(folder.path(), &add, &|_| {}).unwrap();
            check(&searcher(folder.path()));
        }
    }
}

/// Of passages with one score the first counts, in whatever order rows stand.
#[test]
fn of_equal_passages_the_earliest_is_the_hit() {
    let text = ["1 2 3"; 8].join(" ");
    let documents: Vec<Document> = (1..=30)
        .map(|line| Document {
            id: format!("{}-{line}", line * 7 % 10),
            line,
            text: text.clone(),
            ..Document::default()
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    indexed(folder.path(), &documents, Lists::IMPACT);
    let check = |found: &Searcher| {
        let query = SparseVector::from_pairs([(1, 1.0), (3, 2.0)]).unwrap();
        for method in [Method::Exact, Method::Scan] {
            for k in [1, 5, 30] {
                let params = Options {
                    sparse: SparseOptions { method, ..SparseOptions::default() },
                    ..Options::new(NonZeroUsize::new(k).unwrap())
                };
                let outcome = found.search(&ChannelQuery::Sparse(&query), &params).unwrap();
                assert_eq!(outcome.hits.len(), k);
                for hit in &outcome.hits {
                    let passage = found.passage(hit).unwrap();
                    // All passages but the last have the same words.
                    assert_eq!(passage.ordinal, 0, "{method:?} k {k} {}", found.id(hit));
                }
            }
        }
    };
    check(&searcher(folder.path()));
    let add = AddOptions {
        words: false,
        impact: false,
        seismic: None,
        clusters: Some(default_clusters()),
        memory: LEAST_MEMORY,
    };
    add_lists(folder.path(), &add, &|_| {}).unwrap();
    check(&searcher(folder.path()));
}
