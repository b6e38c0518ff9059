//! `quarry search DIR [QUESTION | --queries FILE]`

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::ValueEnum;
use quarry_datasets::{QueryFormat, QueryOptions, RunFormat, open_queries, write_ranking};

use quarry_server::api::{self, SearchRequest};
use quarry_server::{Engine, SecondStage};

use quarry_searcher::{TokenOrigin, TokenPlace};
use quarry_vectors::{Field, PooledBy, Query};

use crate::output::line;
use crate::retrieve::{self, B, Channel, K1, SearchArgs};
use crate::terminal::on_one_line;

/// Characters of a hit's text that are shown.
const SNIPPET: usize = 160;

/// Search an index with one question, or with a file of queries
///
/// One question prints its hits (with --json the same answer as over HTTP); a file of queries
/// prints or writes a TREC run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the index
    dir: PathBuf,
    /// The question
    #[arg(conflicts_with = "queries", required_unless_present = "queries")]
    question: Option<String>,
    /// Queries: text (.tsv, .jsonl, a BEIR folder or collection's name) or vectors (.jsonl, .bin, .csr)
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    /// Format of the queries; a .tsv is taken for text unless this says anserini
    #[arg(long, value_enum, default_value_t = QueryFormatArg::Auto)]
    query_format: QueryFormatArg,
    /// Divide given query weights by this
    #[arg(long, value_name = "X")]
    query_scale: Option<f32>,
    /// Hits wanted
    #[arg(long, short, value_name = "N", default_value = "10")]
    k: NonZeroUsize,
    /// Write the run here instead of printing it
    #[arg(long, value_name = "FILE", requires = "queries")]
    run: Option<PathBuf>,
    /// Form of the run: trec (query Q0 id rank score tag) or msmarco (query id rank)
    #[arg(long, value_enum, default_value_t = RunFormatArg::Trec)]
    run_format: RunFormatArg,
    /// Show which tokens matched, with weights and contributions, and which words they come from where
    /// the index was built with --provenance
    #[arg(long, conflicts_with = "queries")]
    explain: bool,
    /// Stored fields to print with --json
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "title")]
    fields: Vec<String>,
    /// Print the answer as JSON, as over HTTP
    #[arg(long, conflicts_with = "queries")]
    json: bool,
    #[command(flatten)]
    search: SearchArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueryFormatArg {
    /// By looking; a .tsv is text.
    Auto,
    /// A BEIR folder.
    Beir,
    /// One JSON object a line.
    Jsonl,
    /// id TAB text.
    Text,
    /// id TAB tokens, each repeated by its weight.
    Anserini,
    /// Seismic's inner binary format.
    Bin,
    /// BigANN's sparse matrix.
    Csr,
}

impl From<QueryFormatArg> for QueryFormat {
    fn from(arg: QueryFormatArg) -> Self {
        match arg {
            QueryFormatArg::Auto => Self::Auto,
            QueryFormatArg::Beir => Self::Beir,
            QueryFormatArg::Jsonl => Self::JsonLines,
            QueryFormatArg::Text => Self::Text,
            QueryFormatArg::Anserini => Self::Anserini,
            QueryFormatArg::Bin => Self::SeismicBin,
            QueryFormatArg::Csr => Self::BigAnnCsr,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RunFormatArg {
    /// query Q0 id rank score tag
    Trec,
    /// query TAB id TAB rank
    Msmarco,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.search.vocab.is_some() && args.queries.is_none() {
        bail!("--vocab names the terms of --queries; a QUESTION has none");
    }
    match (&args.question, &args.queries) {
        (Some(question), None) if args.json => answer(args, question),
        (Some(question), None) => one(args, question),
        (None, Some(path)) => {
            let options = QueryOptions {
                format: args.query_format.into(),
                scale: args.query_scale,
                split: None,
            };
            let queries = open_queries(&crate::collections::place(path)?, &options)?;
            let opened = retrieve::open(&args.dir, &args.search)?.observing();
            let run = opened.run(&queries, &args.search, args.k, false)?;
            let format = match args.run_format {
                RunFormatArg::Trec => RunFormat::Trec,
                RunFormatArg::Msmarco => RunFormat::MsMarco,
            };
            if let Some(path) = &args.run {
                return Ok(run.write(path, format)?);
            }
            let mut out = std::io::BufWriter::new(crate::terminal::stdout());
            for query in run.queries() {
                let ranking = run.ranking(query).unwrap_or_default();
                write_ranking(&mut out, query, ranking, run.tag(), format)?;
            }
            std::io::Write::flush(&mut out).context("standard output")?;
            Ok(())
        }
        _ => bail!("give one QUESTION, or --queries FILE"),
    }
}

/// The answer as the server gives it.
fn answer(args: &Args, question: &str) -> anyhow::Result<()> {
    let search = &args.search;
    if search.channel == Channel::Bm25 && (search.k1 != K1 || search.b != B) {
        bail!("--json answers as the server does, with its k1 and b; leave --k1 and --b out");
    }
    let opened = retrieve::open(&args.dir, search)?;
    if search.channel == Channel::Maxsim {
        bail!("--json answers as the server does, which has no channel maxsim");
    }
    let mut engine = Engine::new(Arc::clone(opened.searcher.index()), opened.encoder);
    let mut request = SearchRequest::text(question);
    request.k = u32::try_from(args.k.get()).unwrap_or(u32::MAX);
    request.channels = vec![match search.channel {
        Channel::Sparse => api::Channel::Sparse,
        Channel::Bm25 | Channel::Maxsim => api::Channel::Bm25,
    }];
    request.method = quarry_searcher::Method::from(search.method).into();
    request.overlap = (search.channel == Channel::Sparse).then_some(search.overlap);
    request.query_cut = search.query_cut.map(|c| u32::try_from(c.get()).unwrap_or(u32::MAX));
    request.heap_factor = search.heap_factor;
    request.filter.clone_from(&search.filter);
    request.fields.clone_from(&args.fields);
    request.explain = args.explain;
    if let Some(second) = &opened.second {
        request.rerank = Some(search.second.request(args.k));
        let question = Query { id: "question".into(), text: question.into(), vector: None };
        let tokens = match second.encoder() {
            Some(_) => None,
            None => second.tokens(std::slice::from_ref(&question))?.pop(),
        };
        if let (Some(rerank), Some(tokens)) = (&mut request.rerank, tokens) {
            rerank.vectors = Some(tokens.rows().map(<[f32]>::to_vec).collect());
        }
        let (reranker, encoder) = (Arc::clone(&second.reranker), second.encoder());
        engine = engine.with_second_stage(SecondStage { reranker, encoder });
    }
    let answer = engine.search(&request, None)?;
    crate::output::json(&answer)
}

fn one(args: &Args, question: &str) -> anyhow::Result<()> {
    let opened = retrieve::open(&args.dir, &args.search)?;
    let query = Query { id: "question".into(), text: question.into(), vector: None };
    let outcomes = opened.batch(std::slice::from_ref(&query), &args.search, args.k)?;
    let outcome = outcomes.first().context("a question without an answer")?;
    let vector = match args.search.channel {
        Channel::Sparse => opened.vectors(std::slice::from_ref(&query))?.pop(),
        Channel::Bm25 | Channel::Maxsim => None,
    };
    for (rank, hit) in outcome.hits.iter().enumerate() {
        let stored = opened.searcher.stored(hit)?.unwrap_or_default();
        let passage = opened.searcher.passage(hit);
        let passage = passage.map_or(String::new(), |p| format!(" [passage {}]", p.ordinal + 1));
        line(format!(
            "{:>3}. {:.4}  {}{passage}  {}",
            rank + 1,
            hit.score,
            on_one_line(opened.searcher.id(hit)),
            on_one_line(&spaced(&stored.title))
        ))?;
        if !stored.text.is_empty() {
            let snippet: String = stored.text.chars().take(SNIPPET).collect();
            let more = if snippet.len() < stored.text.len() { "..." } else { "" };
            line(format!("     {}{more}", on_one_line(&spaced(&snippet))))?;
        }
        if let Some(vector) = vector.as_ref().filter(|_| args.explain) {
            let matched = opened.searcher.explain(vector, hit)?;
            let parts: Vec<String> = matched
                .iter()
                .map(|m| {
                    format!(
                        "{} {:.2} x {:.2} = {:.2}{}",
                        m.token,
                        m.query_weight,
                        m.document_weight,
                        m.contribution,
                        m.origin.as_ref().map(from).unwrap_or_default()
                    )
                })
                .collect();
            line(format!("     matched: {}", on_one_line(&parts.join("; "))))?;
        }
    }
    if outcome.hits.is_empty() {
        crate::output::note("note: nothing matched");
    }
    Ok(())
}

/// Line ends and tabs as spaces.
fn spaced(text: &str) -> String {
    text.replace(['\n', '\r', '\t'], " ")
}

/// Where a component comes from, in words.
fn from(origin: &TokenOrigin) -> String {
    let share = match origin.pooled_by {
        PooledBy::Max => "from",
        PooledBy::Sum => "most of it from",
    };
    let at = origin.position;
    match &origin.place {
        None => format!(" {share} token {at}, the model's own"),
        Some(TokenPlace { field, bytes, word }) => {
            let field = if *field == Field::Title { "title, " } else { "" };
            let word = match word {
                Some(word) => format!("\"{word}\""),
                None => format!("bytes {} to {}", bytes.start, bytes.end),
            };
            format!(" {share} {word} ({field}token {at})")
        }
    }
}
