//! Hits are documents: where texts were split into passages, a document's score is that of its best
//! passage, and k hits are k documents.
//!
//! 1. search for more rows than k, by the mean number of passages per document  2. keep the best row of
//!    each document  3. if that gives too few documents, search for twice as many rows
//!
//! Exact where the search of rows is: rows come in the total order, so the first k different
//! documents are the k best.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;

use quarry_index::doctable::PassageSpan;
use quarry_index::text::StoredDocument;
use quarry_vectors::DocId;

use crate::error::SearchError;
use crate::options::Options;
use crate::outcome::{Hit, Outcome};
use crate::searcher::Searcher;

impl Searcher {
    /// The k best documents by a search of rows; with [`Options::passages`] the rows themselves.
    pub(crate) fn documents(
        &self,
        options: &Options<'_>,
        search: impl Fn(NonZeroUsize) -> Result<Outcome, SearchError>,
    ) -> Result<Outcome, SearchError> {
        let k = options.k;
        let segments = self.index().segments();
        if !segments.iter().any(|s| s.documents().has_passages()) {
            return search(k);
        }
        let rows: usize = segments.iter().map(|s| s.documents().len()).sum();
        let documents = usize::try_from(self.index().manifest().documents()).unwrap_or(usize::MAX);
        let mean = rows.div_ceil(documents.max(1)).max(1);
        let mut wanted = k.saturating_mul(NonZeroUsize::MIN.saturating_add(mean));
        loop {
            let mut outcome = search(wanted)?;
            let complete = outcome.hits.len() < wanted.get() || wanted.get() >= rows;
            if options.passages {
                let enough = self.cut_at_documents(&mut outcome.hits, k.get());
                if complete || enough {
                    return Ok(outcome);
                }
            } else {
                self.keep_best_passages(&mut outcome.hits);
                if complete || outcome.hits.len() >= k.get() {
                    outcome.hits.truncate(k.get());
                    return Ok(outcome);
                }
            }
            wanted = wanted.saturating_mul(NonZeroUsize::MIN.saturating_add(1));
        }
    }

    /// Cuts the hits before the document that follows the `most` first; whether there were as many.
    fn cut_at_documents(&self, hits: &mut Vec<Hit>, most: usize) -> bool {
        let mut seen: HashSet<&str> = HashSet::new();
        let mut cut = None;
        for (at, hit) in hits.iter().enumerate() {
            if seen.insert(self.id(hit)) && seen.len() > most {
                cut = Some(at);
                break;
            }
        }
        let enough = seen.len() >= most;
        hits.truncate(cut.unwrap_or(hits.len()));
        enough
    }

    /// Keeps the first hit of each document; of passages with equal scores, the earliest.
    pub fn keep_best_passages(&self, hits: &mut Vec<Hit>) {
        let mut kept: Vec<Hit> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for hit in hits.drain(..) {
            let Some(place) = places.get(self.id(&hit)) else {
                places.insert(self.id(&hit), kept.len());
                kept.push(hit);
                continue;
            };
            let best = &mut kept[*place];
            let ordinal = |hit: &Hit| self.passage(hit).map_or(0, |p| p.ordinal);
            if hit.score >= best.score && ordinal(&hit) < ordinal(best) {
                *best = hit;
            }
        }
        *hits = kept;
    }

    /// The passage that a hit is; `None` for a whole document.
    #[must_use]
    pub fn passage(&self, hit: &Hit) -> Option<PassageSpan> {
        let documents = self.index().segments()[hit.segment].documents();
        documents.passage(hit.doc).filter(|p| !p.bytes.is_empty())
    }

    /// The stored document that a hit is a passage of, its text put together again; as
    /// [`Self::stored`] for a whole document.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn stored_whole(&self, hit: &Hit) -> Result<Option<StoredDocument>, SearchError> {
        if self.passage(hit).is_none() {
            return self.stored(hit);
        }
        let documents = self.index().segments()[hit.segment].documents();
        let row = |doc: DocId| Hit { segment: hit.segment, doc, score: hit.score };
        let mut rows: Vec<_> = documents
            .find(self.id(hit))
            .filter_map(|doc| Some((self.passage(&row(doc))?, doc)))
            .collect();
        rows.sort_unstable_by_key(|(passage, _)| passage.ordinal);
        let mut whole: Option<StoredDocument> = None;
        for (passage, doc) in rows {
            let Some(stored) = self.stored(&row(doc))? else { return Ok(None) };
            let Some(whole) = &mut whole else {
                whole = Some(stored);
                continue;
            };
            // Passages overlap: skip what was appended already.
            let known = (whole.text.len() as u64).saturating_sub(passage.bytes.start);
            let new = usize::try_from(known).ok().and_then(|known| stored.text.get(known..));
            whole.text.push_str(new.unwrap_or(""));
        }
        Ok(whole)
    }
}
