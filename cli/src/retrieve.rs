//! What `search` and `eval` share: opening an index, options of a search, and a run of queries.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use clap::ValueEnum;
use quarry_datasets::{Ignored, Run, TokenRows, read_vocabulary};
use quarry_engine::{
    Collection, DEFAULT_OVERLAP, EncodedQuery, EngineError, FirstStage, FoundRow, Method,
    OpenOptions, Outcome, QueryModel, RerankParams, RerankQuery, Reranked, SearchOptions, Searcher,
    SecondStage, Snapshot, Verify,
};
use quarry_vectors::{Query, SparseVector, TokenEmbeddings};

use crate::applies::Given;
use crate::channels::{Channel, ChannelArgs};
use crate::dense::{self, DenseArgs, OF_DENSE};
use crate::exit::Usage;
use crate::feedback::{FeedbackArgs, OF_FEEDBACK};
use crate::output::note;
use crate::rerank::{self, RerankArgs};
use crate::{model, models, queries};

/// BM25's defaults, the field's usual values for passages.
pub(crate) const K1: f32 = 0.9;
pub(crate) const B: f32 = 0.4;

/// How vectors are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MethodArg {
    /// The cheapest method that reaches --overlap.
    Auto,
    /// Impact-ordered lists; approximate.
    Impact,
    /// Clusters of similar documents, chosen by their summaries; approximate.
    Clusters,
    /// Blocked lists with summaries; approximate.
    Seismic,
    /// The exact top k, with early termination.
    Exact,
    /// Score every document.
    Scan,
}

impl From<MethodArg> for Method {
    fn from(arg: MethodArg) -> Self {
        match arg {
            MethodArg::Auto => Self::Auto,
            MethodArg::Impact => Self::Impact,
            MethodArg::Clusters => Self::Clusters,
            MethodArg::Seismic => Self::Seismic,
            MethodArg::Exact => Self::Exact,
            MethodArg::Scan => Self::Scan,
        }
    }
}

/// Options of a search.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SearchArgs {
    #[command(flatten)]
    pub(crate) channels: ChannelArgs,
    /// How to search the vectors
    #[arg(long, value_enum, default_value_t = MethodArg::Auto)]
    pub(crate) method: MethodArg,
    /// Share of the exact top k to find, above 0 and at most 1 (overlap@k); 1 is exact. Also of --dense-method graph
    #[arg(long, value_name = "SHARE", default_value_t = DEFAULT_OVERLAP)]
    pub(crate) overlap: f32,
    /// Impact, clusters: number of postings to add up [default: from --overlap]
    #[arg(long, value_name = "N")]
    pub(crate) postings: Option<NonZeroUsize>,
    /// Impact: number of documents to score exactly; clusters: number of clusters whose documents are scored
    /// [default: from --overlap]
    #[arg(long, value_name = "N")]
    pub(crate) candidates: Option<NonZeroUsize>,
    /// Seismic: number of query terms whose lists are visited, heaviest first [default: from --overlap]
    #[arg(long, value_name = "N")]
    pub(crate) query_cut: Option<NonZeroUsize>,
    /// Seismic: skip blocks whose estimate is below this share of the k-th score, above 0 and at most 1; a
    /// smaller share is slower and more accurate [default: from --overlap]
    #[arg(long, value_name = "SHARE")]
    pub(crate) heap_factor: Option<f32>,
    /// BM25: saturation of term frequency
    #[arg(long, value_name = "X", default_value_t = K1)]
    pub(crate) k1: f32,
    /// BM25: share of length normalisation, 0 to 1
    #[arg(long, value_name = "X", default_value_t = B)]
    pub(crate) b: f32,
    /// Find only documents whose fields match, in tantivy's query syntax, such as
    /// 'year:[1998 TO 1999] AND topic:ice'
    #[arg(long, value_name = "EXPRESSION", allow_hyphen_values = true)]
    pub(crate) filter: Option<String>,
    /// Model of the queries: a folder, or a name such as org/name. Needed if queries go through a network
    /// [default: the copy in the index]
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// File of the tokens that term numbers stand for, one a line, for queries in .bin and .csr. Needed if the
    /// index numbers its terms in the order of its documents
    #[arg(long, value_name = "FILE")]
    pub(crate) vocab: Option<PathBuf>,
    /// Device for the query encoder. `cuda` is an error without a CUDA device, and for an index whose queries
    /// need no network
    #[arg(long, value_enum, default_value_t = model::DeviceArg::Cpu)]
    pub(crate) encode_device: model::DeviceArg,
    /// Open the index without comparing checksums
    #[arg(long)]
    pub(crate) no_verify: bool,
    /// Copy vectors and lists into memory first, on huge pages if the system has them
    #[arg(long)]
    pub(crate) preload: bool,
    #[command(flatten)]
    pub(crate) feedback: FeedbackArgs,
    #[command(flatten)]
    pub(crate) dense: DenseArgs,
    #[command(flatten)]
    pub(crate) second: RerankArgs,
}

impl Default for SearchArgs {
    fn default() -> Self {
        Self {
            channels: ChannelArgs::default(),
            method: MethodArg::Auto,
            overlap: DEFAULT_OVERLAP,
            postings: None,
            candidates: None,
            query_cut: None,
            heap_factor: None,
            k1: K1,
            b: B,
            filter: None,
            encode_device: model::DeviceArg::Cpu,
            vocab: None,
            model: None,
            no_verify: false,
            preload: false,
            feedback: FeedbackArgs::default(),
            dense: DenseArgs::default(),
            second: RerankArgs::default(),
        }
    }
}

/// Options of searches over vectors.
const OF_VECTORS: [&str; 6] =
    ["method", "postings", "candidates", "query_cut", "heap_factor", "encode_device"];
/// Options of a second stage.
const OF_TOKENS: [&str; 8] = [
    "exact_rerank",
    "token_model",
    "device",
    "device_memory",
    "form",
    "query_tokens",
    "query_lengths",
    "query_ids",
];
/// All others.
const OF_SEARCHES: [&str; 11] = [
    "channel",
    "feedback",
    "feedback_from",
    "k1",
    "b",
    "filter",
    "model",
    "no_verify",
    "preload",
    "rerank",
    "vocab",
];

impl SearchArgs {
    /// Refuses options of other channels and methods. `scores_tokens`: whether token embeddings are
    /// scored, for --rerank or otherwise; `every_channel`: whether all channels are searched.
    pub(crate) fn check(
        &self,
        given: Given<'_>,
        (scores_tokens, every_channel): (bool, bool),
    ) -> Result<(), Usage> {
        self.channels.check(given)?;
        self.feedback.check(given, self.channels.on(SearchOptions::new(NonZeroUsize::MIN)))?;
        let sparse = every_channel || self.channels.has(Channel::Sparse);
        let name = self.channels.names();
        let why = format!("--channel {name} searches no sparse vectors; leave one of the two out");
        given.only_if(sparse, &OF_VECTORS, &why)?;
        let dense = !every_channel && self.channels.has(Channel::Dense);
        self.dense.check(given)?;
        let walks = dense && self.dense.takes_overlap();
        let why = format!(
            "--channel {name} searches no sparse vectors, and --dense-method graph without --dense-beam is not given"
        );
        given.only_if(sparse || walks, &["overlap"], &why)?;
        let why = format!("--channel {name} searches no vectors; leave one of the two out");
        given.only_if(sparse || dense, &["preload"], &why)?;
        given.only_if(dense, &OF_DENSE, "it is of the channel dense; add --channel dense")?;
        let why = match dense {
            true => {
                "--channel dense encodes queries with --dense-model; leave --model out".to_owned()
            }
            false => format!("--channel {name} encodes no query; leave one of the two out"),
        };
        given.only_if(sparse || scores_tokens, &["model"], &why)?;
        let bm25 = every_channel || self.channels.has(Channel::Bm25);
        given.only_if(bm25, &["k1", "b"], "it is BM25's; add --channel bm25")?;
        given.only_if(scores_tokens, &OF_TOKENS, "no token embeddings are scored; add --rerank")?;
        let why = "it names the terms of query vectors, which only --channel sparse searches";
        given.only_if(sparse, &["vocab"], why)?;
        if !every_channel && self.channels.has(Channel::Maxsim) {
            let why = "--channel maxsim scores every document by its token embeddings";
            given.only_if(false, &["rerank", "filter"], why)?;
        }
        self.second.check()?;
        let (impact, seismic) =
            (["postings", "candidates"].as_slice(), ["query_cut", "heap_factor"].as_slice());
        match self.method {
            MethodArg::Auto => {
                let why =
                    "--method auto sets it from --overlap; name the method too, with --method";
                given.only_if(false, &[impact, seismic].concat(), why)?;
            }
            MethodArg::Exact | MethodArg::Scan => {
                let why =
                    "--method exact and scan find the k best by proof; leave one of the two out";
                given.only_if(false, &[impact, seismic].concat(), why)?;
                given.only_if(walks, &["overlap"], why)?;
            }
            MethodArg::Impact | MethodArg::Clusters => {
                given.only_if(false, seismic, "it is of --method seismic")?;
                let free = walks || self.postings.is_none() || self.candidates.is_none();
                let why = "--postings and --candidates leave it nothing to choose";
                given.only_if(free, &["overlap"], why)?;
            }
            MethodArg::Seismic => {
                given.only_if(false, impact, "it is of --method impact and clusters")?;
                let free = walks || self.query_cut.is_none() || self.heap_factor.is_none();
                let why = "--query-cut and --heap-factor leave it nothing to choose";
                given.only_if(free, &["overlap"], why)?;
            }
        }
        Ok(())
    }

    /// Refuses all options of a search, where none is made.
    pub(crate) fn refuse(given: Given<'_>, why: &str) -> Result<(), Usage> {
        [&OF_VECTORS[..], &["overlap"], &OF_TOKENS, &OF_DENSE, &OF_SEARCHES, &OF_FEEDBACK]
            .iter()
            .try_for_each(|options| given.only_if(false, options, why))
    }

    /// How k results are searched, by the first stage alone.
    pub(crate) fn first_stage(&self, k: NonZeroUsize) -> SearchOptions {
        let mut options = self.channels.on(SearchOptions::new(k));
        options.sparse.method = self.method.into();
        options.sparse.overlap = self.overlap;
        options.sparse.postings = self.postings;
        options.sparse.candidates = self.candidates;
        options.sparse.query_cut = self.query_cut;
        options.sparse.heap_factor = self.heap_factor;
        (options.bm25.k1, options.bm25.b) = (self.k1, self.b);
        options.maxsim_exact = self.second.exact();
        let mut options = self.dense.on(options, self.overlap);
        options.filter.clone_from(&self.filter);
        self.feedback.on(options, self.second.options())
    }

    /// The same, reranked if that is asked for.
    pub(crate) fn options(&self, k: NonZeroUsize) -> SearchOptions {
        let mut options = self.first_stage(k);
        options.rerank = self.second.rerank.then(|| self.second.options());
        options
    }

    pub(crate) fn verify(&self) -> Verify {
        if self.no_verify { Verify::Envelope } else { Verify::Full }
    }

    /// How the index is opened.
    fn open_options(&self) -> OpenOptions {
        let sparse = self.channels.has(Channel::Sparse);
        let maxsim = self.channels.has(Channel::Maxsim);
        let mut options = OpenOptions::default();
        (options.verify, options.preload) = (self.verify(), self.preload);
        options.models = models::models();
        options.keep_encoded = true;
        let model = self.model.as_deref();
        options.queries = if sparse { models::of_queries(model) } else { QueryModel::None };
        options.encode_device = self.encode_device.into();
        if self.channels.has(Channel::Dense) {
            options.dense = self.dense.model();
        }
        let scores_tokens = maxsim || self.second.rerank;
        options.tokens = scores_tokens.then(|| self.second.tokens(model));
        options
    }
}

/// An open collection, and what queries are read with.
pub(crate) struct Opened {
    pub(crate) collection: Collection,
    snapshot: Arc<Snapshot>,
    /// Token embeddings of queries, where they are in files.
    rows: Option<Mutex<TokenRows>>,
    vocabulary: Option<Vec<String>>,
    /// Where dense vectors of queries are.
    dense: DenseArgs,
}

/// Queries as all channels search them.
#[derive(Clone)]
pub(crate) struct Prepared {
    asked: Vec<quarry_engine::Query>,
    /// By channel.
    pub(crate) encoded: Vec<Vec<EncodedQuery>>,
}

/// Opens the index in `folder`.
pub(crate) fn open(folder: &Path, args: &SearchArgs) -> anyhow::Result<Opened> {
    open_as(folder, args, &args.open_options())
}

/// The same, correcting what the index's table says of costs by what its searches take.
pub(crate) fn open_observing(folder: &Path, args: &SearchArgs) -> anyhow::Result<Opened> {
    let mut options = args.open_options();
    options.observe = true;
    open_as(folder, args, &options)
}

fn open_as(folder: &Path, args: &SearchArgs, options: &OpenOptions) -> anyhow::Result<Opened> {
    let collection = Collection::open(folder, options).map_err(rerank::told)?;
    let snapshot = collection.snapshot();
    if options.tokens.is_some() {
        rerank::tell_lacking(snapshot.index());
    }
    if args.channels.has(Channel::Dense) {
        dense::tell_lacking(snapshot.index());
    }
    let rows = if options.tokens.is_some() { args.second.rows()? } else { None };
    let vocabulary = args.vocab.as_deref().map(read_vocabulary).transpose()?;
    let (rows, dense) = (rows.map(Mutex::new), args.dense.clone());
    Ok(Opened { collection, snapshot, rows, vocabulary, dense })
}

impl Opened {
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(crate) fn searcher(&self) -> &Searcher {
        self.snapshot.searcher()
    }

    /// Says where the overlap wanted is not what the index's measurements promise of these queries.
    pub(crate) fn tell_promise(&self, encoded: &[EncodedQuery], options: &SearchOptions) {
        let row_options = options.row_options(None);
        let params = &options.sparse;
        let vectors: Vec<_> = encoded.iter().filter_map(EncodedQuery::vector).collect();
        let own = params.postings.or(params.candidates).or(params.query_cut).is_some();
        if own || params.heap_factor.is_some() || vectors.is_empty() {
            return;
        }
        let tune = format!("`quarry tune {}`", self.snapshot.index().folder().display());
        let promised = vectors.iter().map(|v| self.searcher().promised(v, &row_options));
        let Some(promised) = promised.sum::<Option<f64>>() else {
            return note(format!(
                "note: the index was not measured, so the sparse channel has default settings and no overlap \
                 of {} is aimed at; {tune} measures it",
                params.overlap
            ));
        };
        #[expect(clippy::cast_precision_loss, reason = "a mean")]
        let promised = promised / vectors.len() as f64;
        if promised + 0.005 < f64::from(params.overlap) {
            note(format!(
                "note: an overlap of {} is wanted; by the index's measurements, which {tune} repeats, {} \
                 reaches {promised:.3} on these queries",
                params.overlap,
                params.method.name()
            ));
        }
    }

    /// Queries as the engine takes them, with their token embeddings and dense vectors where those are in files.
    pub(crate) fn asked(&self, queries: &[Query]) -> anyhow::Result<Vec<quarry_engine::Query>> {
        let vocabulary = self.vocabulary.as_deref();
        let mut asked = queries::asked(self.snapshot.index(), queries, vocabulary)?;
        if let Some(rows) = &self.rows {
            let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
            for (query, asked) in queries.iter().zip(&mut asked) {
                let at = rows.find(&query.id).with_context(|| {
                    format!("query `{}` has no rows in the files of --query-tokens", query.id)
                })?;
                asked.tokens = Some(rows.rows(at)?);
            }
        }
        for (asked, vector) in
            asked.iter_mut().zip(self.dense.vectors(queries)?.into_iter().flatten())
        {
            asked.dense = Some(vector);
        }
        Ok(asked)
    }

    /// Queries in the form that a channel searches, with what is to be said of them.
    pub(crate) fn encoded(
        &self,
        queries: &[Query],
        channel: quarry_engine::Channel,
        options: &SearchOptions,
    ) -> anyhow::Result<Vec<EncodedQuery>> {
        let asked = self.asked(queries)?;
        let encoded = queries::encoded_of(&self.snapshot, channel, queries, &asked)?;
        self.tell_promise(&encoded, options);
        Ok(encoded)
    }

    /// The vectors of queries, in order.
    pub(crate) fn vectors(&self, queries: &[Query]) -> anyhow::Result<Vec<SparseVector>> {
        queries::vectors(&self.snapshot, queries, self.vocabulary.as_deref())
    }

    /// What rescores candidates.
    pub(crate) fn second(&self) -> anyhow::Result<&SecondStage> {
        self.snapshot.second_stage().context("no second stage was opened")
    }

    /// The token embeddings of queries, in order.
    pub(crate) fn tokens(&self, queries: &[Query]) -> anyhow::Result<Vec<TokenEmbeddings>> {
        let second = self.second()?;
        let rows = |asked: &quarry_engine::Query| second.rows(asked).map_err(rerank::told);
        self.asked(queries)?.iter().map(rows).collect()
    }

    /// Rescores candidates of each query.
    pub(crate) fn rescore(
        &self,
        tokens: &[TokenEmbeddings],
        candidates: &[Vec<FoundRow>],
        params: &RerankParams,
    ) -> anyhow::Result<Vec<Reranked>> {
        let asked = tokens.iter().zip(candidates);
        let asked: Vec<RerankQuery<'_>> =
            asked.map(|(tokens, candidates)| RerankQuery { tokens, candidates }).collect();
        let found = self.second()?.rescore(&asked, params);
        Ok(found.into_iter().collect::<Result<_, _>>()?)
    }

    /// Searches all queries over all cores, and rescores what is found if that is asked for.
    pub(crate) fn batch(
        &self,
        queries: &[Query],
        args: &SearchArgs,
        (k, ignored): (NonZeroUsize, &Ignored),
    ) -> anyhow::Result<Vec<Outcome>> {
        if !args.second.rerank {
            return self.first(queries, args, (k, ignored));
        }
        let rerank = args.second.options();
        let mut outcomes = self.first(queries, args, (rerank.depth.max(k), ignored))?;
        let candidates: Vec<_> = outcomes.iter().map(|o| o.hits.clone()).collect();
        let found = self.rescore(&self.tokens(queries)?, &candidates, &rerank.params(k, None))?;
        for (outcome, found) in outcomes.iter_mut().zip(found) {
            outcome.hits = found.hits;
        }
        Ok(outcomes)
    }

    /// Searches all queries over all cores: the first stage. What is `ignored` does not feed back.
    pub(crate) fn first(
        &self,
        queries: &[Query],
        args: &SearchArgs,
        (k, ignored): (NonZeroUsize, &Ignored),
    ) -> anyhow::Result<Vec<Outcome>> {
        let found = self.first_stages(queries, args, (k, ignored))?;
        Ok(found.into_iter().map(|found| found.outcome).collect())
    }

    /// The same, with what was searched.
    pub(crate) fn first_stages(
        &self,
        queries: &[Query],
        args: &SearchArgs,
        (k, ignored): (NonZeroUsize, &Ignored),
    ) -> anyhow::Result<Vec<FirstStage>> {
        let options = args.first_stage(k);
        self.found(self.prepared(queries, &options, ignored)?, &options)
    }

    /// Queries as all channels search them, with what is to be said of them.
    pub(crate) fn prepared(
        &self,
        queries: &[Query],
        options: &SearchOptions,
        ignored: &Ignored,
    ) -> anyhow::Result<Prepared> {
        let mut asked = self.asked(queries)?;
        for (query, asked) in queries.iter().zip(&mut asked) {
            asked.excluded = ignored.of(&query.id).map(str::to_owned).collect();
        }
        let mut encoded = Vec::new();
        for weighted in options.weights()? {
            let on = queries::encoded_of(&self.snapshot, weighted.channel, queries, &asked)?;
            self.tell_promise(&on, options);
            encoded.push(on);
        }
        Ok(Prepared { asked, encoded })
    }

    /// The first stage of queries that are prepared.
    pub(crate) fn found(
        &self,
        queries: Prepared,
        options: &SearchOptions,
    ) -> anyhow::Result<Vec<FirstStage>> {
        let found = self.snapshot.first_stage(&queries.asked, queries.encoded, options)?;
        Ok(found.into_iter().collect::<Result<_, EngineError>>()?)
    }

    /// Searches all queries and makes a run of the hits. What is `ignored` is left out before the cut
    /// at k.
    pub(crate) fn run(
        &self,
        queries: &[Query],
        args: &SearchArgs,
        k: NonZeroUsize,
        ignored: &Ignored,
    ) -> anyhow::Result<Run> {
        let wanted = k.saturating_add(ignored.most());
        let outcomes = self.batch(queries, args, (wanted, ignored))?;
        self.tell_silent(queries, &outcomes, args);
        let tag = format!("quarry-{}", args.channels.names().replace(',', "+"));
        let rankings = outcomes.iter().map(|outcome| outcome.hits.as_slice());
        self.run_of(&tag, queries.iter().zip(rankings), (k, ignored))
    }

    /// The run of rankings, without what is ignored, cut at k.
    pub(crate) fn run_of<'a>(
        &self,
        tag: &str,
        rankings: impl Iterator<Item = (&'a Query, &'a [FoundRow])>,
        (k, ignored): (NonZeroUsize, &Ignored),
    ) -> anyhow::Result<Run> {
        let mut run = Run::new(tag);
        for (query, hits) in rankings {
            let mut ranking = self.searcher().ranking(hits);
            ranking.retain(|hit| !ignored.contains(&query.id, &hit.id));
            ranking.truncate(k.get());
            run.insert(&query.id, ranking)?;
        }
        Ok(run)
    }

    /// Says which queries found nothing for want of words: with a filter that is not known.
    pub(crate) fn tell_silent(&self, queries: &[Query], outcomes: &[Outcome], args: &SearchArgs) {
        if args.filter.is_none() && self.snapshot.index().manifest().documents() > 0 {
            let silent = queries.iter().zip(outcomes).filter(|(_, found)| found.hits.is_empty());
            queries::tell_silent(silent.map(|(query, _)| query.id.as_str()));
        }
    }
}
