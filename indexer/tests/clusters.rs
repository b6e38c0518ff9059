//! A build with clusters: every document is stored once, in an order that does not depend on the
//! number of threads, and summaries bound their documents.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "a panic fails the test")]

mod collection;

use std::collections::BTreeSet;

use collection::{
    assert_same, build_all, document, expected_names, mix, names, open, options, texts, vectors,
    with_terms,
};
use quarry_index::clusters::ClusterParams;
use quarry_index::impact::decode;
use quarry_index::{IndexError, Segment};
use quarry_indexer::{AddOptions, BuildError, LEAST_MEMORY, Lists, add_lists, default_seismic};
use quarry_vectors::{DocId, Document, TermId};
use tempfile::{TempDir, tempdir};

const ALL: Lists = Lists::These { impact: true, seismic: true, clusters: true };

fn clustered(documents: Vec<Document>, lists: Lists, size: u32, components: u32) -> TempDir {
    let out = tempdir().unwrap();
    let clusters = ClusterParams { size, components };
    let mut options = options(out.path());
    options.seal.lists = lists;
    options.seal.clusters = clusters;
    build_all(documents, None, &options).unwrap();
    out
}

/// Documents of this many topics, each with some terms of its topic.
fn topics(documents: u64, topics: u64) -> Vec<Document> {
    (0..documents)
        .map(|n| {
            let topic = mix(n, 1) % topics;
            let term = |at| u32::try_from(topic * 20 + mix(n, at) % 12).unwrap();
            let weight = |at| f32::from(u8::try_from(1 + mix(n, at + 50) % 200).unwrap());
            let mut pairs: Vec<(u32, f32)> = (2..10).map(|at| (term(at), weight(at))).collect();
            pairs.sort_by_key(|p| p.0);
            pairs.dedup_by_key(|p| p.0);
            with_terms(document(&format!("d{n}"), n + 1), &pairs)
        })
        .collect()
}

fn clusters_of(segment: &Segment) -> Vec<std::ops::Range<u32>> {
    let clusters = segment.clusters().unwrap();
    let runs = clusters.runs().unwrap();
    (0..clusters.meta().clusters).map(|at| runs.rows(at)).collect()
}

/// A term's list has each cluster with the term once, in a band whose largest level is at least the
/// largest of the cluster's documents; nothing is cut when there is room for all.
#[test]
fn summaries_bound_their_documents() {
    let out = clustered(topics(700, 30), Lists::CLUSTERS, 5, 10_000);
    let index = open(out.path());
    let segment = &index.segments()[0];
    let clusters = segment.clusters().unwrap();
    assert!(segment.impact().is_none() && segment.seismic().is_none());
    let view = clusters.summaries().view().unwrap();
    let forward = segment.forward().unwrap();
    let runs = clusters_of(segment);
    for term in 0..view.meta().lists {
        let directory = view.directory(TermId(term)).unwrap();
        let mut found = decode(view.meta(), view.postings(TermId(term)));
        found.sort_unstable();
        let level = |row: u32| forward.record(DocId(row)).iter().find(|c| c.0 == term);
        let want: Vec<(u32, u16)> = (0u32..)
            .zip(&runs)
            .filter_map(|(at, rows)| {
                let most = rows.clone().filter_map(level).map(|c| c.1).max();
                most.map(|most| (at, most))
            })
            .collect();
        assert_eq!(found.len(), want.len(), "term {term}");
        for ((cluster, band), (wanted, most)) in found.into_iter().zip(want) {
            assert_eq!(cluster, wanted);
            assert!(directory.high(usize::from(band)) >= most);
        }
    }
}

/// A summary that is cut keeps its heaviest components.
#[test]
fn summaries_are_cut() {
    let out = clustered(topics(300, 10), Lists::CLUSTERS, 8, 3);
    let index = open(out.path());
    let clusters = index.segments()[0].clusters().unwrap();
    let view = clusters.summaries().view().unwrap();
    let mut components = vec![0; clusters.meta().clusters as usize];
    for term in 0..view.meta().lists {
        for (cluster, _) in decode(view.meta(), view.postings(TermId(term))) {
            components[cluster as usize] += 1;
        }
    }
    assert!(components.iter().all(|n| *n == 3), "{components:?}");
}

/// Similar documents end up together: a cluster with documents of a topic has no others.
#[test]
fn topics_are_kept_apart() {
    let out = clustered(topics(2000, 25), Lists::CLUSTERS, 8, 256);
    let index = open(out.path());
    let segment = &index.segments()[0];
    let forward = segment.forward().unwrap();
    let topic = |row| forward.record(DocId(row)).iter().next().unwrap().0 / 20;
    let runs = clusters_of(segment);
    let pure = |rows: &std::ops::Range<u32>| rows.clone().map(topic).collect::<BTreeSet<_>>();
    let documents: usize =
        runs.iter().filter(|r| pure(r).len() == 1).map(ExactSizeIterator::len).sum();
    assert!(documents > 1900, "{documents} of 2000 stand with their topic alone");
    assert!(runs.iter().all(|r| r.len() <= 16));
    assert!(runs.len() < 600, "{} clusters", runs.len());
}

/// In any order, ids, vectors and stored documents stay together, and none is lost.
#[test]
fn every_part_follows_the_order() {
    let input = vectors(700);
    let plain = clustered(input.clone(), Lists::NONE, 8, 256);
    let out = clustered(input, ALL, 8, 256);
    let (plain, index) = (open(plain.path()), open(out.path()));
    let (before, after) = (&plain.segments()[0], &index.segments()[0]);
    let mut seen = BTreeSet::new();
    let mut moved = 0;
    for row in (0..700).map(DocId) {
        let id = after.documents().id(row);
        assert!(seen.insert(id.to_owned()), "{id} twice");
        let old = before.documents().find(id).next().unwrap();
        moved += u32::from(old != row);
        let vectors = (before.forward().unwrap(), after.forward().unwrap());
        assert_eq!(vectors.0.vector(old).unwrap(), vectors.1.vector(row).unwrap());
        let texts = (before.text().unwrap(), after.text().unwrap());
        assert_eq!(texts.0.stored(old).unwrap(), texts.1.stored(row).unwrap());
    }
    assert!(moved > 600);
    assert!(after.impact().is_some() && after.seismic().is_some());
}

#[test]
fn the_same_bytes_for_any_number_of_threads_and_shards() {
    // More documents than fit a group, so that groups are split.
    let input = topics(34_000, 400);
    let build_with = |threads: usize, shard_documents: usize| {
        let out = tempdir().unwrap();
        let mut options = options(out.path());
        options.seal.lists = Lists::CLUSTERS;
        options.ingest.shard_documents = shard_documents;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| build_all(input.clone(), None, &options)).unwrap();
        out
    };
    let first = build_with(1, 10_000);
    for (threads, shard) in [(2, 10_000), (7, 10_000), (3, 777)] {
        assert_same(first.path(), build_with(threads, shard).path());
    }
}

#[test]
fn few_and_empty_documents() {
    let none = |n: u64| with_terms(document(&format!("e{n}"), n), &[]);
    let one = |n: u64| with_terms(document(&format!("d{n}"), n), &[(3, 1.0)]);
    let cases: [(Vec<Document>, u32); 5] = [
        (vec![one(1)], 1),
        ((1..4).map(none).collect(), 1),
        (vec![none(1), one(2), none(3)], 2),
        // All alike, and more than fit a cluster.
        ((0..100).map(one).collect(), 12),
        ((0..30).map(none).collect(), 4),
    ];
    for (documents, clusters) in cases {
        let count = documents.len();
        let out = clustered(documents, ALL, 8, 256);
        let index = open(out.path());
        let segment = &index.segments()[0];
        let runs = clusters_of(segment);
        assert_eq!(runs.iter().map(ExactSizeIterator::len).sum::<usize>(), count);
        assert_eq!(runs.len(), clusters as usize, "{count} documents");
        // Empty ones come last.
        let lengths = |row| segment.forward().unwrap().record(DocId(row)).len();
        let empty: Vec<bool> =
            (0..u32::try_from(count).unwrap()).map(|r| lengths(r) == 0).collect();
        assert!(empty.is_sorted());
    }
    // Without vectors or without documents there is nothing to cluster.
    let out = clustered(texts(20), ALL, 8, 256);
    assert!(open(out.path()).segments()[0].clusters().is_none());
    let out = clustered(Vec::new(), ALL, 8, 256);
    assert!(open(out.path()).segments().is_empty());
}

#[test]
fn clusters_of_one_document() {
    let out = clustered(topics(200, 5), Lists::CLUSTERS, 1, 256);
    let index = open(out.path());
    let runs = clusters_of(&index.segments()[0]);
    assert!(runs.iter().all(|r| r.len() <= 2));
}

#[test]
fn bad_parameters_and_repeated_ids_are_refused() {
    for clusters in
        [ClusterParams { size: 0, components: 9 }, ClusterParams { size: 8, components: 0 }]
    {
        let out = tempdir().unwrap();
        let mut options = options(out.path());
        options.seal.clusters = clusters;
        let error = build_all(topics(3, 1), None, &options).unwrap_err();
        assert!(matches!(error, BuildError::Param { .. }), "{error}");
    }
    // Lines are those of the input, in any order of documents.
    let mut documents = topics(60, 6);
    documents[50].id = documents[7].id.clone();
    let out = tempdir().unwrap();
    let mut options = options(out.path());
    options.seal.lists = Lists::CLUSTERS;
    match build_all(documents, None, &options).unwrap_err() {
        BuildError::DuplicateId { id, first, line } => {
            assert_eq!((id.as_str(), first, line), ("d7", 8, 51));
        }
        error => panic!("{error}"),
    }
}

/// Adding lists later gives what a build would have made; the old files are removed.
#[test]
fn lists_are_added_to_a_sealed_index() {
    let add = |impact, seismic: bool, clusters: bool| AddOptions {
        words: false,
        impact,
        seismic: seismic.then(default_seismic),
        clusters: clusters.then_some(ClusterParams { size: 8, components: 256 }),
        memory: LEAST_MEMORY,
    };
    let nothing = |_| {};
    let built = clustered(vectors(700), Lists::IMPACT, 8, 256);
    let both = Lists::These { impact: true, seismic: true, clusters: false };
    let whole = clustered(vectors(700), both, 8, 256);
    let path = built.path();
    assert_eq!(add_lists(path, &add(true, true, false), &nothing).unwrap(), Some(2));
    let segments = |path| open(path).manifest().segments.iter().map(|s| s.id).collect::<Vec<_>>();
    let before = segments(path);
    assert_same(path, whole.path());
    assert_eq!(add_lists(path, &add(true, true, false), &nothing).unwrap(), None);
    // A reader of the previous generation is not affected.
    let reader = open(path);
    assert_eq!(add_lists(path, &add(false, false, true), &nothing).unwrap(), Some(3));
    assert_ne!(segments(path), before);
    let old = &reader.segments()[0];
    let index = open(path);
    let new = &index.segments()[0];
    assert!(new.impact().is_some() && new.seismic().is_some() && new.clusters().is_some());
    for row in (0..700).map(DocId) {
        let was = old.documents().find(new.documents().id(row)).next().unwrap();
        let vectors = (old.forward().unwrap(), new.forward().unwrap());
        assert_eq!(vectors.0.record(was).raw(), vectors.1.record(row).raw());
        let texts = (old.text().unwrap(), new.text().unwrap());
        assert_eq!(texts.0.stored(was).unwrap(), texts.1.stored(row).unwrap());
    }
    assert_eq!(
        old.forward().unwrap().meta().quantization,
        new.forward().unwrap().meta().quantization
    );
    drop((reader, index));
    assert_eq!(add_lists(path, &add(true, true, true), &nothing).unwrap(), None);
    assert_eq!(names(path), expected_names(path));
    let text = clustered(texts(5), Lists::NONE, 8, 256);
    let error = add_lists(text.path(), &add(true, false, false), &nothing).unwrap_err();
    assert!(matches!(error, BuildError::Index(IndexError::Missing { .. })), "{error}");
}
