//! Searches on several channels, fused.
#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use quarry_engine::write::{Build, build_documents};
use quarry_engine::{
    Answer, Channel, Collection, DenseStorage, DenseVector, Document, EncodeDense, EncodeError,
    EngineError, FeedbackOptions, FusionMethod, FusionOptions, InputVector, Models, OpenOptions,
    Query, Search, SearchError, SearchOptions, SparseQuery, TermStats, WarningKind, Writer,
};
use quarry_indexer::{AddDenseOptions, DenseInput, WordLists, add_dense};
use quarry_vectors::Passage;
use serde_json::json;

const METHODS: [FusionMethod; 4] =
    [FusionMethod::Max, FusionMethod::MinMax, FusionMethod::Z, FusionMethod::Rrf];

/// 60 documents: weights fall with the document's number, word counts vary in another order.
fn built(folder: &Path) {
    let of = |at: u32| -> Result<Document, Infallible> {
        let words = if at.is_multiple_of(3) {
            "stone ".repeat(1 + at as usize % 7)
        } else {
            "water".into()
        };
        let weight = 1.0 + f32::from(u16::try_from(60 - at).unwrap()) / 8.0;
        Ok(Document {
            id: format!("d{at:02}"),
            text: format!("{words} number{at}"),
            fields: json!({"even": at.is_multiple_of(2)}).as_object().unwrap().clone(),
            vector: (at % 4 != 1)
                .then(|| InputVector::Tokens(vec![("rock".into(), weight), ("sea".into(), 0.5)]))
                .or(Some(InputVector::Tokens(vec![("sea".into(), 1.0)]))),
            ..Document::default()
        })
    };
    let build = Build { out: folder.to_path_buf(), ..Build::default() };
    build_documents((0..60).map(of), json!("x"), &build, &Models::default(), &|_| {}).unwrap();
}

fn asked() -> Query {
    let mut query = Query::sparse(SparseQuery::Tokens(vec![("rock".into(), 1.0)]));
    query.text = Some("stone".into());
    query
}

fn k(k: usize) -> SearchOptions {
    SearchOptions::new(NonZeroUsize::new(k).unwrap())
}

fn both(count: usize, fusion: FusionOptions) -> SearchOptions {
    k(count).fused([Channel::Sparse, Channel::Bm25], fusion)
}

fn ids(answer: &Answer) -> Vec<&str> {
    answer.hits.iter().map(|hit| hit.id.as_str()).collect()
}

#[test]
fn channels_are_fused_and_each_hit_tells_its_scores() {
    let folder = tempfile::tempdir().unwrap();
    built(folder.path());
    let collection = Collection::open(folder.path(), &OpenOptions::default()).unwrap();
    let search =
        |options: SearchOptions| collection.search(&Search::new(asked(), options)).unwrap();
    let sparse = search(k(60));
    let bm25 = search(k(60).on(Channel::Bm25));
    let best = |answer: &Answer| answer.hits[0].score;
    let place = |answer: &Answer, id: &str| {
        answer.hits.iter().find(|hit| hit.id == id).map(|hit| (hit.rank, hit.score))
    };
    let fused = search(both(60, FusionOptions::default()));
    assert!(fused.hits.len() > sparse.hits.len().max(bm25.hits.len()));
    for hit in &fused.hits {
        let (in_sparse, in_bm25) = (place(&sparse, &hit.id), place(&bm25, &hit.id));
        assert_eq!(hit.channels.sparse.map(|p| (p.rank, p.score)), in_sparse);
        assert_eq!(hit.channels.bm25.map(|p| (p.rank, p.score)), in_bm25);
        let part = |found: Option<(usize, f64)>, best: f64| found.map_or(0.0, |f| f.1 / best);
        let wanted = part(in_sparse, best(&sparse)) + 0.3 * part(in_bm25, best(&bm25));
        assert!((hit.score - wanted).abs() < 1e-6, "{hit:?} {wanted}");
    }
    // Reciprocal rank fusion with the weights given.
    let fusion = FusionOptions::default().by(FusionMethod::Rrf).weighted(Channel::Bm25, 2.0);
    for hit in &search(both(60, fusion)).hits {
        let part = |found: Option<(usize, f64)>| found.map_or(0.0, |f| 1.0 / (60.0 + f.0 as f64));
        let wanted = part(place(&sparse, &hit.id)) + 2.0 * part(place(&bm25, &hit.id));
        assert!((hit.score - wanted).abs() < 1e-7, "{hit:?} {wanted}");
    }
}

/// Where scores are subtracted from, a document that the window of a channel lacks has its own score all the same.
#[test]
fn documents_beyond_the_window_are_scored_by_each_channel() {
    let folder = tempfile::tempdir().unwrap();
    built(folder.path());
    let collection = Collection::open(folder.path(), &OpenOptions::default()).unwrap();
    let search =
        |options: SearchOptions| collection.search(&Search::new(asked(), options)).unwrap();
    let (sparse, bm25) = (search(k(60)), search(k(60).on(Channel::Bm25)));
    let score = |answer: &Answer, id: &str| {
        answer.hits.iter().find(|h| h.id == id).map_or(0.0, |h| h.score)
    };
    let mut fusion = FusionOptions::default().by(FusionMethod::MinMax);
    fusion.window = NonZeroUsize::new(10).unwrap();
    let fused = search(both(10, fusion));
    let windows = sparse.hits[..10].iter().chain(&bm25.hits[..10]);
    let union: Vec<&str> = windows.map(|hit| hit.id.as_str()).collect();
    let part = |answer: &Answer, id: &str| {
        let scores = union.iter().map(|id| score(answer, id));
        let least = scores.fold(f64::INFINITY, f64::min);
        assert!(least < answer.hits[9].score, "no document was beyond the window");
        (score(answer, id) - least) / (answer.hits[0].score - least)
    };
    for hit in &fused.hits {
        let wanted = part(&sparse, &hit.id) + 0.3 * part(&bm25, &hit.id);
        assert!((hit.score - wanted).abs() < 1e-6, "{hit:?} {wanted}");
    }
}

#[test]
fn neither_the_order_of_channels_nor_k_nor_a_channel_without_weight_changes_a_result() {
    let folder = tempfile::tempdir().unwrap();
    built(folder.path());
    let collection = Collection::open(folder.path(), &OpenOptions::default()).unwrap();
    let search =
        |options: SearchOptions| collection.search(&Search::new(asked(), options)).unwrap();
    for method in METHODS {
        let fusion = FusionOptions::default().by(method);
        let all = search(both(60, fusion.clone()));
        let turned = k(60).fused([Channel::Bm25, Channel::Sparse], fusion.clone());
        assert_eq!(search(turned).hits, all.hits, "{method:?}");
        let few = search(both(7, fusion.clone()));
        assert_eq!(few.hits, all.hits[..7], "{method:?}");
        let mut filtered = both(60, fusion.clone());
        filtered.filter = Some("even:true".into());
        let filtered = search(filtered);
        let odd = |id: &str| id[1..].parse::<u32>().unwrap() % 2 == 1;
        assert!(!filtered.hits.is_empty() && !ids(&filtered).into_iter().any(odd));
        let alone = search(both(60, fusion.weighted(Channel::Bm25, 0.0)));
        assert_eq!(ids(&alone), ids(&search(k(60))), "{method:?}");
        assert!(alone.hits.iter().all(|hit| hit.channels.bm25.is_none()));
    }
}

#[test]
fn deleted_documents_are_found_by_no_channel_and_an_empty_channel_is_none() {
    let folder = tempfile::tempdir().unwrap();
    built(folder.path());
    let writer = Writer::open(folder.path(), Models::default()).unwrap();
    writer.delete(["d00", "d03"]).unwrap();
    let collection = Collection::open(folder.path(), &OpenOptions::default()).unwrap();
    let options = both(60, FusionOptions::default());
    let fused = collection.search(&Search::new(asked(), options.clone())).unwrap();
    assert!(!ids(&fused).contains(&"d00") && !ids(&fused).contains(&"d03"));
    let mut silent = asked();
    silent.text = Some("unheardof".into());
    let answer = collection.search(&Search::new(silent, options)).unwrap();
    let alone = collection.search(&Search::new(asked(), k(60))).unwrap();
    assert_eq!(ids(&answer), ids(&alone));
    assert!(answer.warnings.iter().any(|warning| warning.kind == WarningKind::UnknownWords));
}

#[test]
fn what_cannot_be_fused_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    built(folder.path());
    let collection = Collection::open(folder.path(), &OpenOptions::default()).unwrap();
    let fails =
        |options: SearchOptions| collection.search(&Search::new(asked(), options)).unwrap_err();
    let twice = k(5).fused([Channel::Bm25, Channel::Bm25], FusionOptions::default());
    assert!(matches!(fails(twice), EngineError::RepeatedChannel { channel: "bm25" }));
    for weight in [-1.0, f64::NAN, f64::INFINITY, 2e6] {
        let fusion = FusionOptions::default().weighted(Channel::Sparse, weight);
        assert!(matches!(fails(both(5, fusion)), EngineError::NoWeight));
    }
    let none = FusionOptions::default().weighted(Channel::Sparse, 0.0).weighted(Channel::Bm25, 0.0);
    assert!(matches!(fails(both(5, none)), EngineError::NoWeight));
    let other = FusionOptions::default().weighted(Channel::Maxsim, 1.0);
    let error = fails(both(5, other));
    assert!(matches!(error, EngineError::WeightWithoutChannel { channel: "maxsim" }));
    let mut k_below = FusionOptions::default().by(FusionMethod::Rrf);
    k_below.rrf_k = -1.0;
    assert!(matches!(fails(both(5, k_below)), EngineError::RrfK { .. }));
    assert!(matches!(
        fails(k(5).fused([], FusionOptions::default())),
        EngineError::NotSupported { .. }
    ));
    let no_text = Search::new(
        Query::sparse(SparseQuery::Tokens(vec![("rock".into(), 1.0)])),
        both(5, FusionOptions::default()),
    );
    assert!(matches!(
        collection.search(&no_text).unwrap_err(),
        EngineError::NoQuery { channel: "bm25" }
    ));
}

/// A direction that turns with the document's number; every seventh document has none.
fn turned(number: u32) -> Option<DenseVector> {
    let angle = f64::from(number) / 10.0;
    #[expect(clippy::cast_possible_truncation, reason = "at most 1")]
    let values = vec![angle.cos() as f32, angle.sin() as f32];
    (number % 7 != 3).then(|| DenseVector::new(values).unwrap())
}

fn with_dense(folder: &Path) {
    built(folder);
    let source = json!({"model_name": "turned"});
    let how =
        AddDenseOptions { storage: DenseStorage::Fp32, replace: false, source, model_from: None };
    let mut read = |id: &str| Ok(turned(id[1..].parse().unwrap()));
    add_dense(folder, &how, DenseInput::Rows(2, &mut read), &|_| {}).unwrap();
}

fn asked_densely(number: u32) -> Query {
    asked().with_dense(turned(number).unwrap())
}

/// Words of queries are numbers of documents.
struct Turning;

impl EncodeDense for Turning {
    fn dims(&self) -> usize {
        2
    }

    fn encode_passages(
        &self,
        passages: &[Passage<'_>],
    ) -> Result<Vec<Option<DenseVector>>, EncodeError> {
        passages.iter().map(|passage| self.encode_question(passage.text)).collect()
    }

    fn encode_question(&self, text: &str) -> Result<Option<DenseVector>, EncodeError> {
        Ok(text.trim().parse().ok().and_then(turned))
    }
}

#[test]
fn dense_vectors_are_searched_alone_and_fused() {
    let folder = tempfile::tempdir().unwrap();
    with_dense(folder.path());
    let collection = Collection::open(folder.path(), &OpenOptions::default()).unwrap();
    let query = asked_densely(20);
    let search =
        |options: SearchOptions| collection.search(&Search::new(query.clone(), options)).unwrap();
    let dense = search(k(60).on(Channel::Dense));
    assert_eq!(dense.hits.len(), 60 - 9);
    assert_eq!(dense.hits[0].id, "d20");
    assert!((dense.hits[0].score - 1.0).abs() < 1e-6);
    for hit in &dense.hits {
        let number: u32 = hit.id[1..].parse().unwrap();
        let wanted = ((f64::from(number) - 20.0) / 10.0).cos();
        assert!((hit.score - wanted).abs() < 1e-6, "{hit:?}");
        assert_eq!(hit.channels.dense.map(|p| (p.rank, p.score)), Some((hit.rank, hit.score)));
    }
    let three = [Channel::Sparse, Channel::Bm25, Channel::Dense];
    for method in METHODS {
        let fusion = FusionOptions::default().by(method);
        let all = search(k(60).fused(three, fusion.clone()));
        let turned = [Channel::Dense, Channel::Bm25, Channel::Sparse];
        assert_eq!(search(k(60).fused(turned, fusion.clone())).hits, all.hits, "{method:?}");
        assert_eq!(search(k(7).fused(three, fusion.clone())).hits, all.hits[..7], "{method:?}");
        let without = fusion.clone().weighted(Channel::Dense, 0.0);
        let two = search(both(60, fusion.clone()));
        assert_eq!(search(k(60).fused(three, without)).hits, two.hits, "{method:?}");
        for hit in &all.hits {
            let alone = dense.hits.iter().find(|other| other.id == hit.id);
            let wanted = alone.map(|found| (found.rank, found.score));
            assert_eq!(hit.channels.dense.map(|p| (p.rank, p.score)), wanted);
        }
        let mut filtered = k(60).fused(three, fusion);
        filtered.filter = Some("even:true".into());
        let even = |id: &str| id[1..].parse::<u32>().unwrap().is_multiple_of(2);
        let filtered = search(filtered);
        assert!(!filtered.hits.is_empty() && ids(&filtered).into_iter().all(even));
    }
    // A weight of 1 each, of bm25 0.3.
    let parts = |hit: &quarry_engine::Hit, dense: &Answer, sparse: &Answer, bm25: &Answer| {
        let best = |answer: &Answer| answer.hits[0].score;
        let channels = &hit.channels;
        channels.dense.map_or(0.0, |p| p.score / best(dense))
            + channels.sparse.map_or(0.0, |p| p.score / best(sparse))
            + 0.3 * channels.bm25.map_or(0.0, |p| p.score / best(bm25))
    };
    let (sparse, bm25) = (search(k(60)), search(k(60).on(Channel::Bm25)));
    for hit in &search(k(60).fused(three, FusionOptions::default())).hits {
        let wanted = parts(hit, &dense, &sparse, &bm25);
        assert!((hit.score - wanted).abs() < 1e-6, "{hit:?} {wanted}");
    }
}

#[test]
fn the_best_documents_move_a_dense_query() {
    let folder = tempfile::tempdir().unwrap();
    with_dense(folder.path());
    let collection = Collection::open(folder.path(), &OpenOptions::default()).unwrap();
    let query = asked_densely(20);
    let search =
        |options: SearchOptions| collection.search(&Search::new(query.clone(), options)).unwrap();
    let plain = search(k(60).on(Channel::Dense));
    let mut feedback = FeedbackOptions::default();
    feedback.dense = 0.5;
    let fed = search(k(60).on(Channel::Dense).fed_back(feedback.clone()));
    let value = |id: &str| turned(id[1..].parse().unwrap()).unwrap();
    let (own, first, second) =
        (turned(20).unwrap(), value(&plain.hits[0].id), value(&plain.hits[1].id));
    let moved = |at: usize| {
        let of = |vector: &DenseVector| f64::from(vector.values()[at]);
        0.5 * of(&own) + 0.25 * (of(&first) + of(&second))
    };
    for hit in &fed.hits {
        let document = value(&hit.id);
        let of = |at: usize| moved(at) * f64::from(document.values()[at]);
        assert!((hit.score - of(0) - of(1)).abs() < 1e-6, "{hit:?}");
    }
    feedback.depth = Some(0);
    assert_eq!(search(k(60).on(Channel::Dense).fed_back(feedback.clone())).hits, plain.hits);
    feedback.depth = None;
    feedback.dense = 1.5;
    let options = k(5).on(Channel::Dense).fed_back(feedback);
    let error = collection.search(&Search::new(query.clone(), options)).unwrap_err();
    assert!(matches!(error, EngineError::Feedback { option: "weight", .. }), "{error}");
}

#[test]
fn what_the_dense_channel_lacks_is_said() {
    let folder = tempfile::tempdir().unwrap();
    built(folder.path());
    let fails = |query: Query, options: &OpenOptions| {
        let collection = Collection::open(folder.path(), options).unwrap();
        collection.search(&Search::new(query, k(5).on(Channel::Dense))).unwrap_err()
    };
    let plain = OpenOptions::default();
    let error = fails(asked_densely(1), &plain);
    assert!(matches!(error, EngineError::Search(SearchError::NoDense)), "{error}");
    let other = tempfile::tempdir().unwrap();
    with_dense(other.path());
    let open = |options: &OpenOptions| Collection::open(other.path(), options).unwrap();
    let search = |query: Query, options: &OpenOptions| {
        open(options).search(&Search::new(query, k(5).on(Channel::Dense)))
    };
    let error = search(Query::text("20"), &plain).unwrap_err();
    assert!(matches!(error, EngineError::NoDenseEncoder { imported: None }), "{error}");
    let wide = Query::default().with_dense(DenseVector::new(vec![1.0; 3]).unwrap());
    let error = search(wide, &plain).unwrap_err();
    let dims =
        matches!(error, EngineError::Search(SearchError::DenseDims { found: 3, expected: 2 }));
    assert!(dims, "{error}");
    let error = search(Query::default(), &plain).unwrap_err();
    assert!(matches!(error, EngineError::NoQuery { channel: "dense" }), "{error}");
    // Texts go through the encoder; a blank one finds nothing.
    let mut encoding = OpenOptions::default();
    encoding.dense = quarry_engine::DenseModel::Encoder(std::sync::Arc::new(Turning));
    let answer = search(Query::text("20"), &encoding).unwrap();
    assert_eq!(answer.hits[0].id, "d20");
    assert!(search(Query::text("  "), &encoding).unwrap().hits.is_empty());
    assert!(open(&encoding).describe().text_queries.contains(&Channel::Dense));
    let described = open(&plain).describe();
    assert!(described.channels.contains(&Channel::Dense));
    assert!(!described.text_queries.contains(&Channel::Dense));
}

/// Statistics from outside weigh the words of each half alike; other k1 and b pass over the lists of words, and that
/// is said.
#[test]
fn statistics_from_outside_and_other_parameters() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for (half, folder) in folders.iter().enumerate() {
        let of = |at: usize| -> Result<Document, Infallible> {
            let text =
                "stone ".repeat(1 + at % 5) + if at.is_multiple_of(3) { "water" } else { "sand" };
            let vector = Some(InputVector::Tokens(vec![("rock".into(), 1.0)]));
            Ok(Document { id: format!("{at:02}"), text, vector, ..Document::default() })
        };
        let mut build = Build { out: folder.path().to_path_buf(), ..Build::default() };
        build.seal.words = WordLists::Always;
        let documents = (0..40).filter(|at| at % 4 == half).map(of);
        build_documents(documents, json!("x"), &build, &Models::default(), &|_| {}).unwrap();
    }
    let halves =
        [0, 1].map(|half| Collection::open(folders[half].path(), &OpenOptions::default()).unwrap());
    let text = "water stone";
    let search = |half: usize, options: SearchOptions| {
        let search = Search::new(Query::text(text), options.on(Channel::Bm25));
        halves[half].search(&search).unwrap()
    };
    let mut stats = TermStats::default();
    halves.iter().for_each(|half| stats.add(&half.snapshot().term_stats(text).unwrap()));
    assert_eq!((stats.documents, stats.frequencies["stone"]), (20, 20));
    let score = |half: usize, stats: Option<&Arc<TermStats>>| {
        let mut options = k(1);
        options.term_stats = stats.cloned();
        search(half, options).hits[0].score
    };
    // Each half has a text of one "stone" and "water".
    let stats = Arc::new(stats);
    assert_ne!(score(0, None), score(1, None));
    assert_ne!(score(0, None), score(0, Some(&stats)));
    let mut options = k(3);
    options.bm25.k1 = 1.2;
    let kinds = |answer: Answer| answer.warnings.iter().map(|w| w.kind).collect::<Vec<_>>();
    assert_eq!(kinds(search(0, options)), [WarningKind::EveryPosting]);
    assert_eq!(kinds(search(0, k(3))), []);
}
