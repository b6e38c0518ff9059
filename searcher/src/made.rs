//! Queries made of a segment's own documents, for want of real ones.
//!
//! 1. a document by chance  2. its nearest documents in a sample of the segment: together they are
//!    a topic  3. the mean of their unit vectors  4. terms drawn from the heaviest of the mean,
//!    weighted by it or by how rare they are
//!
//! Made of one document a query finds that document and its near copies, which lie side by side; a
//! real query's best documents are spread: the more of them are wanted, the wider.
//!
//! Cost: a scan of the sample, some square root of the segment, for each query.

use std::num::NonZeroUsize;

use quarry_index::Segment;
use quarry_vectors::{DocId, SparseVector};
use rayon::prelude::*;
use roaring::RoaringBitmap;

use crate::plan::Plan;
use crate::rows::RowSet;
use crate::searcher::Searcher;
use crate::{SearchError, SparseParams};

/// Documents of the sample, for each one of the root of the segment's: in a larger segment the
/// nearest are nearer.
const SAMPLE_OF_ROOT: usize = 16;
/// Documents that term frequencies are counted in, about.
const COUNTED: usize = 20_000;

/// Queries of one kind.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    pub(crate) queries: Vec<SparseVector>,
    /// Mean number of their terms.
    pub(crate) mean_terms: f64,
}

impl Kind {
    pub(crate) fn of(queries: Vec<SparseVector>) -> Self {
        let terms: usize = queries.iter().map(SparseVector::len).sum();
        #[expect(clippy::cast_precision_loss, reason = "a mean")]
        let mean_terms = terms as f64 / queries.len().max(1) as f64;
        Self { queries, mean_terms }
    }
}

/// How queries of a kind are made.
struct Recipe {
    /// Terms of a query: from, to.
    terms: (usize, usize),
    /// They are drawn from so many of a topic's heaviest.
    among: usize,
    /// Weighted by how rare a term is, else by the topic.
    by_rarity: bool,
}

/// Questions' own words, and shorter and longer expansions. Chosen so that their overlaps come
/// close to those of real questions (docs/REPRODUCE.md).
const RECIPES: [Recipe; 3] = [
    Recipe { terms: (4, 16), among: 48, by_rarity: true },
    Recipe { terms: (24, 24), among: 36, by_rarity: false },
    Recipe { terms: (48, 48), among: 80, by_rarity: false },
];

/// `count` queries by each of [`RECIPES`] for rankings of `k`, fewer where documents are empty. The
/// same for the same segment and seed, whatever the number of threads.
///
/// # Errors
/// When the segment has no vectors.
pub(crate) fn of_documents(
    searcher: &Searcher,
    (number, segment): (usize, &Segment),
    (count, k): (usize, NonZeroUsize),
    seed: u64,
) -> Result<Vec<Kind>, SearchError> {
    let forward = segment.forward().ok_or(SearchError::NoSparse)?;
    let mut random = Random(seed);
    let sample: RoaringBitmap = (0..forward.len().isqrt() * SAMPLE_OF_ROOT)
        .filter_map(|_| u32::try_from(random.below(forward.len())).ok())
        .collect();
    let sample = RowSet::of(forward.len(), &sample);
    let rarity = Rarity::of(segment)?;
    // 10 for ten results, 31 for a hundred, 100 for a thousand.
    let neighbours = NonZeroUsize::new((10 * k.get()).isqrt()).unwrap_or(k);
    let topics = Topics { searcher, segment: (number, segment), sample, neighbours };
    let mut kinds = Vec::new();
    for recipe in &RECIPES {
        let starts: Vec<Random> = (0..count).map(|_| Random(random.next())).collect();
        let made = |random| make(&topics, recipe, &rarity, random);
        let queries: Vec<SparseVector> =
            starts.into_par_iter().map(made).collect::<Result<_, _>>()?;
        kinds.push(Kind::of(queries.into_iter().filter(|q| !q.is_empty()).collect()));
    }
    Ok(kinds)
}

fn make(
    topics: &Topics<'_>,
    recipe: &Recipe,
    rarity: &Rarity,
    mut random: Random,
) -> Result<SparseVector, SearchError> {
    let topic = topics.topic(recipe.among, &mut random)?;
    let mut pairs: Vec<(u32, f32)> = topic.heaviest(recipe.among).iter().collect();
    let (from, to) = recipe.terms;
    let terms = from + random.below(to - from + 1);
    while pairs.len() > terms {
        pairs.swap_remove(random.below(pairs.len()));
    }
    if recipe.by_rarity {
        pairs.iter_mut().for_each(|pair| pair.1 = rarity.weight(pair.0));
    }
    Ok(SparseVector::from_pairs(pairs).unwrap_or_default())
}

/// Where topics come from.
struct Topics<'a> {
    searcher: &'a Searcher,
    segment: (usize, &'a Segment),
    sample: RowSet,
    /// Documents that stand beside the first, at most (it may be one of them).
    neighbours: NonZeroUsize,
}

impl Topics<'_> {
    /// A document by chance and those of the sample that are nearest to its `among` heaviest
    /// components: the sum of their unit vectors.
    fn topic(&self, among: usize, random: &mut Random) -> Result<SparseVector, SearchError> {
        let forward = self.segment.1.forward().ok_or(SearchError::NoSparse)?;
        let doc = DocId(u32::try_from(random.below(forward.len())).unwrap_or(0));
        let own = forward.vector(doc)?;
        let params = SparseParams::new(self.neighbours);
        let heaviest = own.heaviest(among);
        let near = self.searcher.planned_among(
            self.segment,
            Plan::Scan,
            &heaviest,
            &params,
            Some(&self.sample),
        )?;
        let near = near.into_iter().map(|hit| hit.1).filter(|near| *near != doc);
        let mut pairs = Vec::new();
        for vector in std::iter::once(Ok(own)).chain(near.map(|near| forward.vector(near))) {
            let vector = vector?;
            #[expect(clippy::cast_possible_truncation, reason = "a weight")]
            let length = vector.dot(&vector).sqrt() as f32;
            pairs.extend(vector.iter().map(|(term, weight)| (term, weight / length)));
        }
        Ok(SparseVector::from_pairs(pairs).unwrap_or_default())
    }
}

/// How rare terms are in a segment.
struct Rarity {
    documents: f32,
    frequencies: Vec<u32>,
}

impl Rarity {
    #[expect(clippy::cast_precision_loss, reason = "a weight")]
    fn of(segment: &Segment) -> Result<Self, SearchError> {
        let forward = segment.forward().ok_or(SearchError::NoSparse)?;
        let mut frequencies = vec![0u32; forward.meta().dimension as usize];
        let records = forward.records();
        // A sample of the documents is enough to tell rare from common.
        for doc in (0..forward.len()).step_by(forward.len().div_ceil(COUNTED).max(1)) {
            let doc = DocId(u32::try_from(doc).unwrap_or(u32::MAX));
            records.record(doc).for_each_term(|term| frequencies[term as usize] += 1);
        }
        Ok(Self { documents: forward.len().min(COUNTED) as f32, frequencies })
    }

    #[expect(clippy::cast_precision_loss, reason = "a weight")]
    fn weight(&self, term: u32) -> f32 {
        let frequency = self.frequencies.get(term as usize).copied().unwrap_or(0) as f32;
        (1.0 + self.documents / (frequency + 1.0)).ln()
    }
}

/// SplitMix64: a few draws from a seed, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by it")]

    use std::collections::{BTreeMap, BTreeSet};
    use std::convert::Infallible;
    use std::path::Path;
    use std::sync::Arc;

    use quarry_index::{Index, Verify};
    use quarry_indexer::{BuildOptions, Levels, Lists, build, default_clusters, default_seismic};
    use quarry_vectors::{Document, InputVector};

    use super::*;

    const COPIES: u32 = 12;
    const TEN: NonZeroUsize = NonZeroUsize::new(10).unwrap();

    /// Documents of 50 topics; every document is there in [`COPIES`] nearly equal forms, whose ids
    /// begin with the family's number.
    fn near_copies(out: &Path, families: u32) -> Searcher {
        let mut random = Random(5);
        let documents = (0..families * COPIES).map(|at| {
            let family = at % families;
            let topic = (0..12).map(|i| (family % 50 * 12 + i, 1.0));
            let own = (0..12).map(|i| (600 + family * 12 + i, 0.4));
            #[expect(clippy::cast_precision_loss, reason = "below 100")]
            let mut jitter = || random.below(100) as f32 / 1e3;
            let pairs = topic.chain(own).map(|(term, weight)| (term, weight + jitter()));
            (format!("{family}-{at}"), SparseVector::from_pairs(pairs).unwrap())
        });
        built(out, documents)
    }

    fn built(
        out: &Path,
        documents: impl Iterator<Item = (String, SparseVector)> + Send,
    ) -> Searcher {
        let documents = documents.map(|(id, vector)| {
            let vector = Some(InputVector::Terms(vector));
            Ok::<_, Infallible>(Document { id, vector, line: 1, ..Document::default() })
        });
        let options = BuildOptions {
            out: out.to_path_buf(),
            overwrite: false,
            resume: false,
            memory: quarry_indexer::LEAST_MEMORY,
            seed: 7,
            levels: Levels::Auto,
            lists: Lists::IMPACT,
            seismic: default_seismic(),
            clusters: default_clusters(),
            shard_documents: 1 << 12,
            description: serde_json::Map::new(),
            source: serde_json::Value::Null,
            ids_are_unique: false,
            channels: None,
            vocabulary: None,
            fields: BTreeMap::new(),
        };
        build(documents, None, &options, &|_| {}).unwrap();
        Searcher::new(Arc::new(Index::open(out, Verify::Full).unwrap()))
    }

    fn families(searcher: &Searcher, query: &SparseVector) -> usize {
        let found = searcher.sparse(query, &SparseParams::new(TEN)).unwrap();
        let family = |hit| searcher.id(hit).split('-').next().map(str::to_owned);
        found.hits.iter().map(family).collect::<BTreeSet<_>>().len()
    }

    #[test]
    fn near_copies_do_not_fill_a_ranking() {
        let folder = tempfile::tempdir().unwrap();
        let searcher = near_copies(folder.path(), 8_000);
        let segment = &searcher.index().segments()[0];
        let forward = segment.forward().unwrap();
        for doc in [0, 77, 9_999] {
            assert_eq!(
                families(&searcher, &forward.vector(DocId(doc)).unwrap()),
                1,
                "a document's own"
            );
        }
        let kinds = of_documents(&searcher, (0, segment), (64, TEN), 3).unwrap();
        assert_eq!(kinds.len(), RECIPES.len());
        for (kind, recipe) in kinds.iter().zip(&RECIPES) {
            assert_eq!(kind.queries.len(), 64);
            assert!(kind.queries.iter().all(|q| q.len() <= recipe.terms.1));
            let spread: usize = kind.queries.iter().map(|q| families(&searcher, q)).sum();
            assert!(2 * spread > 3 * 64, "{spread} families in the rankings of 64 queries");
        }
    }

    #[test]
    fn empty_documents_make_no_queries() {
        let folder = tempfile::tempdir().unwrap();
        let vectors = (0..40).map(|at| {
            let full = (0..30).map(|i| (at * 7 + i, 1.0));
            SparseVector::from_pairs(full.filter(|_| at % 2 == 0)).unwrap()
        });
        let searcher = built(folder.path(), vectors.enumerate().map(|(at, v)| (at.to_string(), v)));
        let segment = &searcher.index().segments()[0];
        for kind in of_documents(&searcher, (0, segment), (64, TEN), 3).unwrap() {
            assert!((16..48).contains(&kind.queries.len()), "{} of 64", kind.queries.len());
        }
    }

    #[test]
    fn threads_do_not_matter_and_the_seed_does() {
        let folder = tempfile::tempdir().unwrap();
        let searcher = near_copies(folder.path(), 200);
        let segment = &searcher.index().segments()[0];
        let made = |threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let kinds =
                pool.install(|| of_documents(&searcher, (0, segment), (20, TEN), seed)).unwrap();
            kinds.into_iter().map(|kind| kind.queries).collect::<Vec<_>>()
        };
        assert_eq!(made(1, 3), made(3, 3));
        assert_ne!(made(1, 3), made(1, 4));
    }
}
