//! The options of `quarry eval`, and which of them go together.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::ValueEnum;
use quarry_datasets::measures::TieOrder;

use crate::applies::Given;
use crate::channels::Channel;
use crate::exit::Usage;
use crate::queries::{OF_QUERIES, QueryArgs};
use crate::retrieve::SearchArgs;
use crate::runs::RunFormatArg;

/// Results that a second stage is asked for unless told otherwise.
pub(crate) const RERANK_K: NonZeroUsize = match NonZeroUsize::new(10) {
    Some(ten) => ten,
    None => NonZeroUsize::MIN,
};

/// Options that speak of one collection.
const SINGLE: [&str; 20] = [
    "collection",
    "queries",
    "qrels",
    "run",
    "compare",
    "against_exact",
    "only",
    "per_query",
    "channel",
    "feedback",
    "feedback_from",
    "conditions",
    "dense_queries",
    "dense_query_ids",
    "dense_model",
    "query_format",
    "query_scale",
    "vector_field",
    "ignore_pairs",
    "run_format",
];

/// Evaluate a run, or an index on a collection with judgements
///
/// Three forms: `quarry eval --run FILE --qrels FILE` evaluates a run; `quarry eval DIR --collection FOLDER`
/// (or --queries FILE --qrels FILE) searches an index and evaluates the result; `quarry eval DIR --sets
/// FOLDER` does that for all collections of a folder, in one table. Means are over all judged queries: a query
/// without a ranking counts as zero. Judged documents that the index lacks are reported.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the index
    pub(crate) dir: Option<PathBuf>,
    /// Folder with queries and judgements (BEIR's or MS MARCO's), or the name of a pulled collection
    #[arg(long, value_name = "FOLDER")]
    pub(crate) collection: Option<PathBuf>,
    /// Folder of BEIR folders. Index each one that has no index in DIR, search it by BM25 and by vectors, rerank,
    /// print one table, and write the runs to DIR/runs. Existing indexes and runs are reused. Nested folders
    /// (cqadupstack/android) share one row of means. A folder that cannot be used is reported and left out
    #[arg(long, value_name = "FOLDER", requires = "dir", conflicts_with_all = SINGLE)]
    pub(crate) sets: Option<PathBuf>,
    /// File of queries to search with instead of the collection's: text or vectors
    #[arg(long, value_name = "FILE", requires = "dir")]
    pub(crate) queries: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) query_args: QueryArgs,
    /// Split of the collection whose judgements are used
    #[arg(long, value_name = "NAME", default_value = "test")]
    pub(crate) split: String,
    /// File of judgements, in BEIR's or TREC's form
    #[arg(long, value_name = "FILE")]
    pub(crate) qrels: Option<PathBuf>,
    /// Without DIR: the run to evaluate. With DIR: write the run to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) run: Option<PathBuf>,
    /// Form of the run to write
    #[arg(long, value_enum, requires = "dir", default_value_t = RunFormatArg::Trec)]
    pub(crate) run_format: RunFormatArg,
    /// Replace an existing run; with --sets also runs of other settings and indexes of other collections
    #[arg(long, requires = "dir")]
    pub(crate) overwrite: bool,
    /// Compare with a second run over the same queries: differences and a paired t-test
    #[arg(long, value_name = "FILE")]
    pub(crate) compare: Option<PathBuf>,
    /// Measures, as ir_measures names them: nDCG@k, RR@k, R@k, P@k, AP@k, Success@k, Judged@k
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "nDCG@10,R@100")]
    pub(crate) measures: Vec<String>,
    /// Leave the document with the query's own id out of rankings [default: true for arguana]
    #[arg(long, value_name = "YES", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) ignore_identical_ids: Option<bool>,
    /// File of documents to leave out of rankings, one pair of query TAB document a line: for queries that are
    /// documents under other ids
    #[arg(long, value_name = "FILE")]
    pub(crate) ignore_pairs: Option<PathBuf>,
    /// Order of documents with equal scores in measures: that of trec_eval, or of ir_measures' MS MARCO provider
    #[arg(long, value_enum, default_value_t = TiesArg::Trec)]
    pub(crate) ties: TiesArg,
    /// Also report overlap@K: the share of the exact top K that the search found. The exact ranking is computed
    /// from the file of vectors that the index was built from, in 64 bits, if that file still exists, else from
    /// the stored weights; of --channel dense by comparing every stored vector
    #[arg(long, value_name = "K", requires = "dir")]
    pub(crate) against_exact: Option<NonZeroUsize>,
    /// Compare feedback before fusion, after it and both, for every choice of channels that are fed back, with no
    /// feedback: differences and a paired t-test. Write the runs to this folder. Takes the options of --feedback
    #[arg(
        long,
        value_name = "FOLDER",
        requires = "dir",
        conflicts_with_all = ["feedback", "feedback_from", "run", "compare", "rerank", "per_query", "against_exact"]
    )]
    pub(crate) conditions: Option<PathBuf>,
    /// Use only queries FROM to TO of the file, counted from 1
    #[arg(long, value_name = "FROM-TO", value_parser = parse_range)]
    pub(crate) only: Option<(usize, usize)>,
    /// Also print the values of each query
    #[arg(long)]
    pub(crate) per_query: bool,
    /// Print JSON: the means first
    #[arg(long)]
    pub(crate) json: bool,
    /// With --rerank and --sets: number of results to rerank to, as `search --rerank -k N` does. The other
    /// results follow in the order of the first stage
    #[arg(long, value_name = "N", default_value_t = RERANK_K)]
    pub(crate) rerank_k: NonZeroUsize,
    /// With --rerank: skip the exhaustive search by MaxSim
    #[arg(long)]
    pub(crate) no_exhaustive: bool,
    #[command(flatten)]
    pub(crate) search: SearchArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TiesArg {
    /// By id descending.
    Trec,
    /// By id ascending.
    Msmarco,
}

impl From<TiesArg> for TieOrder {
    fn from(arg: TiesArg) -> Self {
        match arg {
            TiesArg::Trec => Self::Trec,
            TiesArg::Msmarco => Self::MsMarco,
        }
    }
}

impl Args {
    /// Refuses options that would do nothing.
    pub(crate) fn check(&self, given: Given<'_>) -> Result<(), Usage> {
        let (sets, rerank) = (self.sets.is_some(), self.search.second.rerank);
        if self.dir.is_none() && self.collection.is_some() {
            let text = "--collection: its queries are searched for in an index, which goes first, as DIR; a run \
                        alone is judged with --run FILE --qrels FILE, such as FOLDER/qrels/test.tsv";
            return Err(Usage(text.to_owned()));
        }
        if self.dir.is_none() {
            let why = "a run is evaluated as it is; searches need the index, as DIR";
            SearchArgs::refuse(given, why)?;
            given.only_if(false, &["only", "rerank_k", "no_exhaustive"], why)?;
            given.only_if(false, &OF_QUERIES, why)?;
        }
        if self.queries.is_none() && !sets {
            given.only_if(
                false,
                &OF_QUERIES,
                "a collection's own queries are text; it is about --queries",
            )?;
        }
        let of_split = self.collection.is_some()
            || sets
            || self.queries.as_deref().is_some_and(|path| !path.is_file());
        given.only_if(of_split, &["split"], "it chooses the judgements of a --collection")?;
        let judged = self.qrels.is_some() || self.collection.is_some() || sets;
        let why = "without judgements nothing is measured; give --collection or --qrels";
        let measuring = ["measures", "compare", "per_query", "ties", "conditions"];
        given.only_if(judged, &measuring, why)?;
        given.only_if(rerank && !sets, &["no_exhaustive"], "it leaves a part of --rerank out")?;
        given.only_if(rerank || sets, &["rerank_k"], "it is about --rerank")?;
        given.only_if(!sets, &["rerank"], "--sets reranks in a column of its own")?;
        let why =
            "--rerank prints stages side by side; write --run FILE, and evaluate that without DIR";
        given.only_if(!rerank, &["per_query", "compare"], why)?;
        given.only_if(!rerank, &["against_exact"], "--rerank reports no overlap; leave it out")?;
        let of_vectors = [Channel::Sparse, Channel::Dense];
        given.only_if(
            of_vectors.into_iter().any(|channel| self.search.channels.only(channel)),
            &["against_exact"],
            "it compares searches of --channel sparse, or of --channel dense, alone",
        )?;
        if self.dir.is_none() {
            return Ok(());
        }
        let writes = self.run.is_some() || self.conditions.is_some();
        given.only_if(writes, &["run_format"], "it is the form of the run that --run writes")?;
        given.only_if(writes || sets, &["overwrite"], "it replaces the run that --run names")?;
        let scores_tokens = rerank || sets || self.search.channels.has(Channel::Maxsim);
        self.search.check(given, (scores_tokens, sets))
    }
}

fn parse_range(text: &str) -> Result<(usize, usize), String> {
    let parsed = text.split_once('-').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    parsed
        .filter(|(from, to)| *from >= 1 && from <= to)
        .ok_or_else(|| format!("`{text}` is not a range such as 1-1000"))
}
