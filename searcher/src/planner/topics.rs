//! Topics of a segment: a document by chance and its nearest in a sample of the segment.
//!
//! Made of one document a query finds that document and its near copies, which lie side by side; a
//! real query's best documents are spread: the more of them are wanted, the wider.
//!
//! Cost: a scan of the sample, some square root of the segment, for each topic.

use std::num::NonZeroUsize;

use quarry_index::Segment;
use quarry_vectors::{DocId, SparseVector};
use roaring::RoaringBitmap;

use crate::error::SearchError;
use crate::filter::rows::RowSet;
use crate::options::Options;
use crate::planner::plan::Plan;
use crate::random::Random;
use crate::searcher::Searcher;

/// Documents of the sample, for each one of the root of the segment's: in a larger segment the
/// nearest are nearer.
const SAMPLE_OF_ROOT: usize = 16;
/// Documents that term frequencies are counted in, about.
const COUNTED: usize = 20_000;

/// Where topics come from.
#[derive(Clone)]
pub(crate) struct Topics<'a> {
    searcher: &'a Searcher,
    segment: (usize, &'a Segment),
    sample: RowSet,
    /// Documents that stand beside the first, at most (it may be one of them).
    neighbours: NonZeroUsize,
}

impl<'a> Topics<'a> {
    /// Topics for rankings of `k`: with 10 neighbours for ten results, 31 for a hundred, 100 for a thousand.
    ///
    /// # Errors
    /// When the segment has no vectors.
    pub(crate) fn of(
        searcher: &'a Searcher,
        segment: (usize, &'a Segment),
        k: NonZeroUsize,
        random: &mut Random,
    ) -> Result<Self, SearchError> {
        let rows = segment.1.forward().ok_or(SearchError::NoSparse)?.len();
        let sample: RoaringBitmap = (0..rows.isqrt() * SAMPLE_OF_ROOT)
            .filter_map(|_| u32::try_from(random.below(rows)).ok())
            .collect();
        let sample = RowSet::of(rows, &sample);
        let neighbours = NonZeroUsize::new((10 * k.get()).isqrt()).unwrap_or(k);
        Ok(Self { searcher, segment, sample, neighbours })
    }

    /// Like `self`, with a multiple of the neighbours.
    pub(crate) fn wider(&self, times: usize) -> Self {
        let times = NonZeroUsize::new(times).unwrap_or(NonZeroUsize::MIN);
        Self { neighbours: self.neighbours.saturating_mul(times), ..self.clone() }
    }

    /// A document by chance and those of the sample that are nearest to its `among` heaviest
    /// components: the sum of their unit vectors.
    pub(crate) fn topic(
        &self,
        among: usize,
        random: &mut Random,
    ) -> Result<SparseVector, SearchError> {
        let forward = self.segment.1.forward().ok_or(SearchError::NoSparse)?;
        let doc = DocId(u32::try_from(random.below(forward.len())).unwrap_or(0));
        let own = forward.vector(doc)?;
        let params = Options::new(self.neighbours);
        let heaviest = own.heaviest(among);
        let near = self.searcher.planned_among(
            self.segment,
            Plan::Scan,
            &heaviest,
            &params,
            Some(&self.sample),
        )?;
        let near = near.hits.into_iter().map(|hit| hit.doc).filter(|near| *near != doc);
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
pub(crate) struct Rarity {
    documents: f32,
    frequencies: Vec<u32>,
}

impl Rarity {
    #[expect(clippy::cast_precision_loss, reason = "a weight")]
    pub(crate) fn of(segment: &Segment) -> Result<Self, SearchError> {
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
    pub(crate) fn weight(&self, term: u32) -> f32 {
        let frequency = self.frequencies.get(term as usize).copied().unwrap_or(0) as f32;
        (1.0 + self.documents / (frequency + 1.0)).ln()
    }
}
