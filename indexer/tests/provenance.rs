//! Origins of components are kept by resuming, adding, deleting, merging, clusters and passages.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "a panic fails the test")]

mod collection;

use std::io;
use std::ops::Range;
use std::path::Path;

use collection::{assert_same, build_all, document, open, options, texts};
use quarry_index::{Index, IndexError, provenance};
use quarry_indexer::{
    AddOptions, Adding, BuildError, BuildOptions, EncoderSetup, LEAST_MEMORY, Lists, Merge,
    Passages, add, add_lists, build, default_clusters, delete, merge,
};
use quarry_vectors::{
    DocId, Document, EncodeDocument, EncodeError, Field, Origin, Passage, PooledBy, SparseVector,
    SplitText, Traced,
};
use serde_json::json;
use tempfile::tempdir;
use xxhash_rust::xxh3::xxh3_64;

const VOCABULARY: u32 = 300;

/// A term for each word and one for its first letter; the origin of each is the first word that gives it.
/// A vector does not depend on the batch, so that the test can compute it again.
#[derive(Debug, Clone, Copy, Default)]
struct Tracing {
    /// Whether one origin is left out.
    forgets: bool,
}

impl Tracing {
    fn one(self, passage: &Passage<'_>) -> Traced {
        let mut found: Vec<(u32, Origin)> = vec![(0, Origin::default())];
        let mut position = 1;
        for (field, text) in [(Field::Title, passage.title), (Field::Text, passage.text)] {
            for word in text.split_whitespace() {
                let start = u32::try_from(word.as_ptr() as usize - text.as_ptr() as usize).unwrap();
                let bytes = start..start + u32::try_from(word.len()).unwrap();
                let origin = Origin { position, place: Some((field, bytes)) };
                for part in [word, &word[..2.min(word.len())]] {
                    let term = xxh3_64(part.as_bytes()) % u64::from(VOCABULARY - 1);
                    let term = u32::try_from(term).unwrap() + 1;
                    if found.iter().all(|f| f.0 != term) {
                        found.push((term, origin.clone()));
                    }
                }
                position += 1;
            }
        }
        if position == 1 {
            return Traced::default();
        }
        found.sort_by_key(|f| f.0);
        let weight = |(at, f): (usize, &(u32, Origin))| {
            (f.0, 0.5 + f32::from(u8::try_from(at % 50).unwrap()) / 25.0)
        };
        let vector = SparseVector::from_pairs(found.iter().enumerate().map(weight)).unwrap();
        let mut origins: Vec<Origin> = found.into_iter().map(|f| f.1).collect();
        origins.truncate(origins.len() - usize::from(self.forgets));
        Traced { vector, origins }
    }
}

impl EncodeDocument for Tracing {
    fn encode_documents(&self, passages: &[Passage<'_>]) -> Result<Vec<SparseVector>, EncodeError> {
        Ok(passages.iter().map(|p| self.one(p).vector).collect())
    }

    fn traces(&self) -> Option<PooledBy> {
        Some(PooledBy::Sum)
    }

    fn trace_documents(&self, passages: &[Passage<'_>]) -> Result<Vec<Traced>, EncodeError> {
        Ok(passages.iter().map(|p| self.one(p)).collect())
    }
}

/// Passages of four words.
struct FourWords;

impl SplitText for FourWords {
    fn split(&self, _: &str, text: &str) -> Result<Vec<Range<usize>>, EncodeError> {
        let mut cuts: Vec<usize> =
            text.match_indices(' ').map(|m| m.0 + 1).skip(3).step_by(4).collect();
        cuts.insert(0, 0);
        cuts.push(text.len());
        Ok(cuts.windows(2).map(|w| w[0]..w[1]).collect())
    }
}

fn setup<'a>(encoder: &'a dyn EncodeDocument, provenance: bool) -> EncoderSetup<'a> {
    EncoderSetup {
        encoder,
        identity: json!({"name": "tracing"}),
        tokens: (0..VOCABULARY).map(|t| format!("t{t}")).collect(),
        tokenizer: None,
        query_table: None,
        passages: None,
        provenance,
    }
}

/// Every row has the origins computed from its stored text; rows for which `unknown` holds have none.
fn assert_origins(index: &Index, unknown: impl Fn(&str) -> bool) -> usize {
    let mut rows = 0;
    for segment in index.segments() {
        for doc in (0..).map(DocId).take(segment.documents().len()) {
            let id = segment.documents().id(doc);
            let stored = segment.text().unwrap().stored(doc).unwrap();
            let passage = Passage { title: &stored.title, text: &stored.text };
            let want = Tracing::default().one(&passage);
            let record = segment.forward().unwrap().record(doc);
            assert_eq!(record.len(), want.vector.len(), "{id}");
            let found = segment.provenance().map(|p| p.origins(doc, record.len()).unwrap());
            let known = !want.vector.is_empty() && !unknown(id);
            assert_eq!(found.flatten(), known.then_some(want.origins), "{id}");
            rows += 1;
        }
    }
    rows
}

fn interrupted(documents: &[Document], readable: usize, options: &BuildOptions) {
    let input = documents[..readable].iter().cloned().map(Ok);
    let input = input.chain([Err(io::Error::other("the power went"))]);
    let encoder = Tracing::default();
    build(input, Some(&setup(&encoder, true)), options, &|_| {}).unwrap_err();
}

#[test]
fn resumed_builds_have_the_same_bytes() {
    let documents = texts(150);
    let encoder = Tracing::default();
    for lists in [Lists::NONE, Lists::CLUSTERS] {
        let whole = tempdir().unwrap();
        let with = |out: &Path| {
            let mut built = options(out);
            built.seal.lists = lists;
            built
        };
        build_all(documents.clone(), Some(&setup(&encoder, true)), &with(whole.path())).unwrap();
        assert_eq!(assert_origins(&open(whole.path()), |_| false), 150);
        for cut in [16, 17, 100] {
            let out = tempdir().unwrap();
            let options = with(out.path());
            interrupted(&documents, cut, &options);
            let resume = BuildOptions { resume: true, ..options.clone() };
            // A build with another provenance setting does not resume it.
            match build_all(documents.clone(), Some(&setup(&encoder, false)), &resume) {
                Err(BuildError::ResumeMismatch { what, .. }) => assert_eq!(what, "provenance"),
                other => panic!("{other:?}"),
            }
            build_all(documents.clone(), Some(&setup(&encoder, true)), &resume).unwrap();
            assert_same(whole.path(), out.path());
        }
        // Everything else is as in a build without provenance.
        let without = tempdir().unwrap();
        build_all(documents.clone(), Some(&setup(&encoder, false)), &with(without.path())).unwrap();
        let (mut a, b) = (collection::contents(whole.path()), collection::contents(without.path()));
        assert!(a.remove(provenance::KIND).is_some());
        assert!(a == b);
    }
}

#[test]
fn passages_have_origins_in_their_own_text() {
    let out = tempdir().unwrap();
    let encoder = Tracing::default();
    let setup = EncoderSetup {
        passages: Some(Passages { splitter: &FourWords, tokens: 4, overlap: 0 }),
        ..setup(&encoder, true)
    };
    build_all(texts(60), Some(&setup), &options(out.path())).unwrap();
    assert!(assert_origins(&open(out.path()), |_| false) > 120);
    // Merged, without the deleted documents.
    delete(out.path(), ["doc-3", "doc-40"]).unwrap();
    merge(out.path(), Merge::All, LEAST_MEMORY, &|_| {}).unwrap().unwrap();
    let index = open(out.path());
    assert_eq!(index.manifest().documents(), 58);
    assert!(assert_origins(&index, |_| false) > 120);
}

/// Batches are added with repeated ids and replaced documents, some without origins; after a merge, known
/// origins are still known.
#[test]
fn changes_keep_origins() {
    let out = tempdir().unwrap();
    let options = options(out.path());
    let encoder = Tracing::default();
    build_all(texts(80), Some(&setup(&encoder, true)), &options).unwrap();
    let batch = |from: u64, step: u64, provenance: bool| {
        let mut documents: Vec<Document> = (0..20)
            .map(|n| {
                let mut new = document(&format!("doc-{}", from + n * step), n + 1);
                new.text = format!("fresh words number {n} of batch {from}");
                new
            })
            .collect();
        let mut again = documents[3].clone();
        again.text = "the last one of this id stays".into();
        documents.push(again);
        let documents = documents.into_iter().map(Ok::<_, io::Error>);
        add(documents, Some(&setup(&encoder, provenance)), &Adding::new(&options), &|_| {})
    };
    assert_eq!(batch(70, 1, true).unwrap().repeated, 1);
    // The setting of the index applies to all added documents.
    match batch(1000, 3, false) {
        Err(BuildError::OtherRules { what: "provenance", .. }) => {}
        other => panic!("{other:?}"),
    }
    batch(10, 2, true).unwrap();
    delete(out.path(), ["doc-5", "doc-71"]).unwrap();
    let unknown = |_: &str| false;
    let index = open(out.path());
    assert_eq!(index.segments().len(), 3);
    assert!(index.segments().iter().all(|s| s.provenance().is_some()));
    assert_origins(&index, unknown);
    drop(index);
    merge(out.path(), Merge::All, LEAST_MEMORY, &|_| {}).unwrap().unwrap();
    let index = open(out.path());
    assert_eq!(index.segments().len(), 1);
    let rows = assert_origins(&index, unknown);
    assert_eq!(rows as u64, index.manifest().documents());
    let meta = index.segments()[0].provenance().unwrap().meta();
    assert_eq!(meta.pooled_by, PooledBy::Sum);
    assert!(meta.rows <= rows as u64);
    drop(index);
    // Clusters change the order of documents.
    let clusters = Some(default_clusters());
    let lists =
        AddOptions { impact: false, words: false, seismic: None, clusters, memory: LEAST_MEMORY };
    add_lists(out.path(), &lists, &|_| {}).unwrap().unwrap();
    let index = open(out.path());
    assert!(index.segments()[0].clusters().is_some());
    assert_eq!(assert_origins(&index, unknown), rows);
}

#[test]
fn provenance_that_is_not_reported_is_refused() {
    let out = tempdir().unwrap();
    let options = options(out.path());
    let fake = collection::FakeEncoder::default();
    let error = build_all(texts(5), Some(&setup(&fake, true)), &options).unwrap_err();
    assert!(matches!(error, BuildError::NoProvenance), "{error}");
    assert!(fake.batches.lock().unwrap().is_empty());
    let forgets = Tracing { forgets: true };
    let error = build_all(texts(5), Some(&setup(&forgets, true)), &options).unwrap_err();
    assert!(matches!(error, BuildError::Origins { .. }), "{error}");
}

/// A part with other rows, or with invalid records, is refused when it is opened or read.
#[test]
fn foreign_parts_are_refused() {
    let out = tempdir().unwrap();
    let encoder = Tracing::default();
    build_all(texts(20), Some(&setup(&encoder, true)), &options(out.path())).unwrap();
    let index = open(out.path());
    let entry = index.manifest().parts().find(|p| p.kind == provenance::KIND).unwrap().clone();
    assert!(!entry.required);
    let path = out.path().join(&entry.file);
    let whole = std::fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(13) {
        let mut spoilt = whole.clone();
        spoilt[at] ^= 4;
        std::fs::write(&path, &spoilt).unwrap();
        assert!(Index::open(out.path(), Default::default()).is_err(), "byte {at}");
    }
    let mut short =
        provenance::ProvenanceWriter::create(&out.path().join("x"), PooledBy::Max).unwrap();
    short.push(&[1, 0, 0]).unwrap();
    short.finish().unwrap();
    let read = provenance::Provenance::open(&out.path().join("x"), Default::default()).unwrap();
    assert!(read.origins(DocId(0), 3).unwrap().is_some());
    let mut bad =
        provenance::ProvenanceWriter::create(&out.path().join("y"), PooledBy::Max).unwrap();
    bad.push(&[9, 9]).unwrap();
    bad.finish().unwrap();
    let read = provenance::Provenance::open(&out.path().join("y"), Default::default()).unwrap();
    assert!(matches!(read.origins(DocId(0), 3), Err(IndexError::Corrupt { .. })));
}
