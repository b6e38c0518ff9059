//! The one way to search: a query of some channel, with options.

use quarry_index::dense::PAD;
use quarry_index::lexicon::Lexicon;
use quarry_vectors::{DenseVector, SparseVector, TokenEmbeddings};
use rayon::prelude::*;

use crate::error::SearchError;
use crate::method::Method;
use crate::methods::bm25::{self, Bm25Query};
use crate::methods::collect::Scored;
use crate::methods::dense::query::DenseQuery;
use crate::methods::dense::search::{self as dense, DenseSegment};
use crate::options::{DenseMethod, Options};
use crate::outcome::{Hit, Outcome, Stats};
use crate::rerank::{RerankParams, RerankStats, Reranked};
use crate::searcher::Searcher;
use crate::words::{WordWeight, counted};

/// A query, in the form that a channel of the index searches.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ChannelQuery<'a> {
    /// A vector over the index's lexicon: documents are scored by the dot product with theirs.
    Sparse(&'a SparseVector),
    /// A text: documents are scored by BM25 of the words that they share with it.
    Words(&'a str),
    /// Words as they are indexed, each with what it counts: documents are scored by BM25, with these weights in
    /// place of how often a word stands in a text.
    Weighted(&'a [WordWeight]),
    /// A text's token embeddings: every document is scored by MaxSim with its own.
    Tokens(&'a TokenEmbeddings),
    /// A dense vector: every document that has one is scored by the dot product with its own.
    Dense(&'a DenseVector),
    /// The same, with what another channel found of the query: a walk over a graph begins there too.
    DenseFrom(&'a DenseVector, &'a [Hit]),
}

impl Searcher {
    /// The k best documents. Of split documents the best passage counts.
    ///
    /// # Errors
    /// When the index lacks what the query's channel searches, or the lists that the method needs; an option
    /// is out of range; the filter was made for another index or generation; or the deadline passes. A query
    /// without terms has no hits, which is not an error.
    pub fn search(
        &self,
        query: &ChannelQuery<'_>,
        options: &Options<'_>,
    ) -> Result<Outcome, SearchError> {
        self.check_filter(options.filter)?;
        match query {
            ChannelQuery::Sparse(vector) => {
                options.sparse.check()?;
                self.documents(options, |k| self.sparse_rows(vector, &Options { k, ..*options }))
            }
            ChannelQuery::Words(text) => self.words(&counted(text), options),
            ChannelQuery::Weighted(words) => self.words(words, options),
            ChannelQuery::Dense(vector) => self.dense(vector, &[], options),
            ChannelQuery::DenseFrom(vector, seeds) => self.dense(vector, seeds, options),
            ChannelQuery::Tokens(rows) => {
                let mut found = self.maxsim(&[*rows], options)?;
                found.pop().ok_or(SearchError::NoAnswer)
            }
        }
    }

    /// [`Self::search`] for many queries, over all cores, in the order given. Those by token embeddings are
    /// handed to the reranker all at once.
    ///
    /// # Errors
    /// As [`Self::search`]; one failed query fails the batch.
    pub fn search_batch(
        &self,
        queries: &[ChannelQuery<'_>],
        options: &Options<'_>,
    ) -> Result<Vec<Outcome>, SearchError> {
        let rows: Vec<&TokenEmbeddings> = queries
            .iter()
            .filter_map(|query| match query {
                ChannelQuery::Tokens(rows) => Some(*rows),
                _ => None,
            })
            .collect();
        if !rows.is_empty() && rows.len() == queries.len() {
            self.check_filter(options.filter)?;
            return self.maxsim(&rows, options);
        }
        queries.par_iter().map(|query| self.search(query, options)).collect()
    }

    /// By BM25; its statistics are those of all documents, whatever a filter allows.
    fn words(&self, words: &[WordWeight], options: &Options<'_>) -> Result<Outcome, SearchError> {
        options.bm25.check()?;
        if !self.index().has_text() {
            return Err(SearchError::NoText);
        }
        let query = Bm25Query::new(&self.texts(), words, options)?;
        self.documents(options, |k| self.words_rows(&query, &Options { k, ..*options }))
    }

    fn words_rows(&self, query: &Bm25Query, options: &Options<'_>) -> Result<Outcome, SearchError> {
        let mut stats = Stats::default();
        let mut hits = Vec::new();
        let mut scratch = self.take_scratch(self.index().lexicon().map_or(0, Lexicon::len));
        let segments = self.index().segments().iter().enumerate();
        let with_text = segments.filter_map(|(number, s)| Some((number, s, s.text()?)));
        for (place, (number, segment, text)) in with_text.enumerate() {
            let allowed = self.allowed(number, options.filter);
            let target = bm25::Target { segment, text, place, allowed, kernels: self.kernels() };
            let found = bm25::search(&target, query, options, &mut scratch.impact, &mut stats)?;
            hits.extend(found.into_iter().map(|Scored { score, doc }| Hit {
                segment: number,
                doc,
                score,
            }));
        }
        self.give_back(scratch);
        Ok(Outcome { hits: self.merge(hits, options.k.get()), method: Method::Exact, stats })
    }

    /// By dense vectors. Documents of segments without them are not found.
    fn dense(
        &self,
        vector: &DenseVector,
        seeds: &[Hit],
        options: &Options<'_>,
    ) -> Result<Outcome, SearchError> {
        options.dense.check()?;
        let kept = self.index().dense().ok_or(SearchError::NoDense)?;
        if vector.dims() != kept.dims {
            return Err(SearchError::DenseDims { found: vector.dims(), expected: kept.dims });
        }
        if options.dense.method == DenseMethod::Graph
            && self.index().features().neighbours.is_none()
        {
            return Err(SearchError::NoGraph);
        }
        let query = DenseQuery::new(vector, kept.dims.next_multiple_of(PAD));
        self.documents(options, |k| self.dense_rows((&query, seeds), &Options { k, ..*options }))
    }

    fn dense_rows(
        &self,
        (query, seeds): (&DenseQuery, &[Hit]),
        options: &Options<'_>,
    ) -> Result<Outcome, SearchError> {
        let (mut stats, mut method) = (Stats::default(), Method::Scan);
        let mut hits = Vec::new();
        let mut scratch = self.take_walk();
        for (number, segment) in self.index().segments().iter().enumerate() {
            let Some(store) = segment.dense() else { continue };
            let allowed = self.allowed(number, options.filter);
            let of = DenseSegment { segment, store, allowed, kernels: self.kernels() };
            let seeds = seeds.iter().filter(|hit| hit.segment == number).map(|hit| hit.doc.0);
            let (found, by) =
                dense::search(&of, query, seeds, options, (&mut scratch, &mut stats))?;
            if by == Method::Graph {
                method = by;
            }
            hits.extend(found.into_iter().map(|Scored { score, doc }| Hit {
                segment: number,
                doc,
                score,
            }));
        }
        self.give_walk_back(scratch);
        Ok(Outcome { hits: self.merge(hits, options.k.get()), method, stats })
    }

    /// By MaxSim with every document.
    fn maxsim(
        &self,
        queries: &[&TokenEmbeddings],
        options: &Options<'_>,
    ) -> Result<Vec<Outcome>, SearchError> {
        let maxsim = options.maxsim.ok_or(SearchError::NoReranker)?;
        if options.filter.is_some() {
            return Err(SearchError::Param {
                name: "filter",
                found: "a filter".to_owned(),
                expected: "none: a search by token embeddings scores every document",
            });
        }
        let params = RerankParams {
            exact: maxsim.exact,
            deadline: options.deadline,
            ..RerankParams::new(options.k)
        };
        let outcome = |found: Reranked| Outcome {
            hits: found.hits,
            method: Method::Scan,
            stats: Stats { documents_scored: found.stats.scored, ..Stats::default() },
        };
        let segments = self.index().segments();
        let deleted: u64 = segments.iter().filter_map(|s| s.deleted()).map(|rows| rows.len()).sum();
        if deleted == 0 && !segments.iter().any(|s| s.documents().has_passages()) {
            let found = maxsim.reranker.exhaustive(queries, &params)?;
            return Ok(found.into_iter().map(outcome).collect());
        }
        let live = |hit: &Hit| {
            segments[hit.segment].deleted().is_none_or(|gone| !gone.contains(hit.doc.0))
        };
        let more = usize::try_from(deleted).unwrap_or(usize::MAX);
        let one = |query: &&TokenEmbeddings| {
            self.documents(options, |k| {
                // Deleted rows are scored too, and left out here.
                let wanted = RerankParams { k: k.saturating_add(more), ..params };
                let mut found = maxsim
                    .reranker
                    .exhaustive(&[*query], &wanted)?
                    .pop()
                    .unwrap_or(Reranked { hits: Vec::new(), stats: RerankStats::default() });
                found.hits.retain(live);
                found.hits.truncate(k.get());
                Ok(outcome(found))
            })
        };
        queries.iter().map(one).collect()
    }
}
