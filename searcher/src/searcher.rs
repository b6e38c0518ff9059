//! A searcher over one open generation of an index, and what it knows of hits.

use std::sync::{Arc, Mutex, PoisonError};

use quarry_index::text::{StoredDocument, TextIndex};
use quarry_index::{Index, Segment};
use quarry_vectors::{DocId, Ranking, ScoredDoc, printed};

use crate::error::SearchError;
use crate::feedback::known_words::KnownWords;
use crate::filter::Filter;
use crate::filter::rows::{self, RowSet};
use crate::kernels::Kernels;
use crate::methods::dense::walk::WalkScratch;
use crate::methods::scratch::Scratch;
use crate::outcome::Hit;
use crate::planner::observed::{Factors, Observed};

/// Answers queries over one open generation. Cheap to share between threads.
#[derive(Debug)]
pub struct Searcher {
    index: Arc<Index>,
    kernels: Kernels,
    /// Measured costs of this process's own searches, where they correct the calibration.
    observed: Option<Observed>,
    /// For each segment, the rows that are not deleted; `None` where none is.
    live: Vec<Option<RowSet>>,
    scratch: Mutex<Vec<Scratch>>,
    walks: Mutex<Vec<WalkScratch>>,
    words: Mutex<Vec<KnownWords>>,
}

impl Searcher {
    /// A searcher over an open index.
    #[must_use]
    pub fn new(index: Arc<Index>) -> Self {
        let live = index.segments().iter().map(rows::live).collect();
        Self {
            index,
            kernels: Kernels::detect(),
            observed: None,
            live,
            scratch: Mutex::default(),
            walks: Mutex::default(),
            words: Mutex::default(),
        }
    }

    /// Like `self`, but corrects the calibrated costs by the times that its own searches take, for a
    /// process that makes many. The method that `auto` chooses then depends on the machine's current load.
    /// Nothing is written to the index.
    #[must_use]
    pub fn observing(self) -> Self {
        Self { observed: Some(Observed::default()), ..self }
    }

    /// Like `self`, but with the given instruction set, to compare kernels; at most the best that this CPU
    /// has.
    #[must_use]
    pub fn with_kernels(self, kernels: Kernels) -> Self {
        Self { kernels: kernels.min(Kernels::detect()), ..self }
    }

    /// The instruction set of the inner loops.
    #[must_use]
    pub fn kernels(&self) -> Kernels {
        self.kernels
    }

    /// The index.
    #[must_use]
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// A hit's own id.
    ///
    /// # Panics
    /// When the hit is not of this index.
    #[must_use]
    pub fn id(&self, hit: &Hit) -> &str {
        self.index.segments()[hit.segment].documents().id(hit.doc)
    }

    /// Hits by id, with their scores as runs and answers have them ([`printed`]).
    #[must_use]
    pub fn ranking(&self, hits: &[Hit]) -> Ranking {
        let scores: Vec<f64> = hits.iter().map(|hit| hit.score).collect();
        let hits = hits.iter().zip(printed(&scores));
        hits.map(|(hit, score)| ScoredDoc { id: self.id(hit).to_owned(), score }).collect()
    }

    /// Where a document lies, unless it is deleted.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Hit> {
        let segments = self.index.segments().iter().enumerate();
        segments
            .filter_map(|(segment, s)| {
                let live = |doc: &DocId| s.deleted().is_none_or(|deleted| !deleted.contains(doc.0));
                let doc = s.documents().find(id).find(live)?;
                Some(Hit { segment, doc, score: 0.0 })
            })
            .next_back()
    }

    /// Whether a hit can be rescored: its segment has token embeddings.
    ///
    /// # Panics
    /// When the hit is not of this index.
    #[must_use]
    pub fn has_tokens(&self, hit: &Hit) -> bool {
        self.index.segments()[hit.segment].tokens().is_some()
    }

    /// The stored fields of a hit; of a passage, its own text. `None` when the index has no text.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn stored(&self, hit: &Hit) -> Result<Option<StoredDocument>, SearchError> {
        match self.index.segments()[hit.segment].text() {
            Some(text) => Ok(Some(text.stored(hit.doc)?)),
            None => Ok(None),
        }
    }

    /// The text parts, of segments that have one.
    pub(crate) fn texts(&self) -> Vec<&TextIndex> {
        self.index.segments().iter().filter_map(Segment::text).collect()
    }

    /// The rows of a segment that may be found; `None` for all.
    pub(crate) fn allowed<'a>(
        &'a self,
        segment: usize,
        filter: Option<&'a Filter>,
    ) -> Option<&'a RowSet> {
        match filter {
            Some(filter) => filter.set(segment),
            None => self.live.get(segment).and_then(Option::as_ref),
        }
    }

    /// Factors that correct the calibrated costs.
    pub(crate) fn factors(&self) -> Factors {
        self.observed.as_ref().map_or(Factors::NONE, Observed::factors)
    }

    /// Where measured times are recorded, if they correct the calibrated costs.
    pub(crate) fn observed(&self) -> Option<&Observed> {
        self.observed.as_ref()
    }

    /// The k best of the hits of all segments.
    pub(crate) fn merge(&self, mut hits: Vec<Hit>, k: usize) -> Vec<Hit> {
        if self.index.segments().len() > 1 {
            // Ids break ties, and are looked up only then.
            hits.sort_by(|a, b| {
                b.score.total_cmp(&a.score).then_with(|| self.id(b).cmp(self.id(a)))
            });
            hits.truncate(k);
        }
        hits
    }

    /// Memory of a walk; [`Self::give_walk_back`] lets another use it.
    pub(crate) fn take_walk(&self) -> WalkScratch {
        self.walks.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    pub(crate) fn give_walk_back(&self, scratch: WalkScratch) {
        self.walks.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
    }

    /// What texts had for words; [`Self::give_words_back`] lets another use it.
    pub(crate) fn take_words(&self) -> KnownWords {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    pub(crate) fn give_words_back(&self, words: KnownWords) {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).push(words);
    }

    pub(crate) fn take_scratch(&self, dimension: u32) -> Scratch {
        let mut pool = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        pool.pop().unwrap_or_else(|| Scratch::new(dimension))
    }

    pub(crate) fn give_back(&self, scratch: Scratch) {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
    }
}
