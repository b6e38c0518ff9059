//! `quarry search DIR [QUERY | --queries FILE]`

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Context;
use quarry_datasets::Ignored;
use quarry_engine::{
    ChannelQuery, ExpandedQuery, ExpandedTerm, Hit, Matched, Search, SparseQuery, TokenOrigin,
    TokenPlace,
};
use quarry_server::Engine;
use quarry_server::api::{self, SearchRequest};
use quarry_vectors::{Field, PooledBy, Query};

use crate::applies::Given;
use crate::channels::Channel;
use crate::exit::Usage;
use crate::output::line;
use crate::outputs::expect_apart;
use crate::queries::{OF_QUERIES, QueryArgs};
use crate::rerank;
use crate::retrieve::{self, MethodArg, SearchArgs};
use crate::runs::{RunFormatArg, RunTarget};
use crate::terminal::on_one_line;

/// Characters of a hit's text that are shown.
const SNIPPET: usize = 160;

/// Search an index with one query, or with a file of queries
///
/// For one query its hits are printed, with --json in the form that the HTTP server answers in; for a file
/// of queries a TREC run is printed or written.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the index
    dir: PathBuf,
    /// The query, as text
    #[arg(conflicts_with = "queries", required_unless_present = "queries")]
    query: Option<String>,
    /// Search with a file of queries: text (.tsv, .jsonl, a BEIR folder, the name of a collection) or vectors
    /// (.jsonl, .bin, .csr)
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    #[command(flatten)]
    query_args: QueryArgs,
    /// Number of hits
    #[arg(long, short, value_name = "N", default_value = "10")]
    k: NonZeroUsize,
    /// Write the run to this file instead of printing it
    #[arg(long, value_name = "FILE", requires = "queries")]
    run: Option<PathBuf>,
    /// Form of the run
    #[arg(long, value_enum, default_value_t = RunFormatArg::Trec)]
    run_format: RunFormatArg,
    /// Replace an existing run
    #[arg(long, requires = "run")]
    overwrite: bool,
    /// Show which tokens matched, with weights and contributions; and which words they come from, if the index
    /// was built with --provenance. With --feedback also the new query: what documents added has a +
    #[arg(long, conflicts_with = "queries")]
    explain: bool,
    /// Stored fields to print with --json, comma-separated
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "title")]
    fields: Vec<String>,
    /// Print the answer as JSON, in the form of the HTTP server
    #[arg(long, conflicts_with = "queries")]
    json: bool,
    #[command(flatten)]
    search: SearchArgs,
}

impl Args {
    /// Refuses options that would do nothing.
    pub(crate) fn check(&self, given: Given<'_>) -> Result<(), Usage> {
        let of_file = self.queries.is_some();
        given.only_if(
            of_file,
            &OF_QUERIES,
            "one query is text; it is about a file of --queries",
        )?;
        given.only_if(
            of_file,
            &["run", "run_format", "overwrite"],
            "a run is made of --queries, not of one query",
        )?;
        given.only_if(self.json, &["fields"], "stored fields are printed with --json")?;
        let explains = self.search.channels.has(Channel::Sparse) || self.search.feedback.is_on();
        let why = "tokens are matched by --channel sparse alone";
        given.only_if(explains, &["explain"], why)?;
        given.only_if(of_file, &["vocab"], "it names the terms of --queries; a QUERY has none")?;
        let why = "--json answers as the server does, with its own";
        given.only_if(!self.json, &["k1", "b"], why)?;
        let most = api::MAX_K as usize;
        for (option, given) in [("-k", self.k), ("--window", self.search.channels.window())] {
            if self.json && given.get() > most {
                let text =
                    format!("{option}: --json answers as the server does, with {most} at most");
                return Err(Usage(text));
            }
        }
        if self.json && self.search.channels.has(Channel::Maxsim) {
            let text = "--json answers as the server does, which has no --channel maxsim";
            return Err(Usage(text.to_owned()));
        }
        let scores_tokens = self.search.second.rerank || self.search.channels.has(Channel::Maxsim);
        self.search.check(given, (scores_tokens, false))
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match (&args.query, &args.queries) {
        (Some(query), None) if args.json => answer(args, query),
        (Some(query), None) => one(OneQuery {
            dir: &args.dir,
            text: query,
            k: args.k,
            explain: args.explain,
            search: &args.search,
        }),
        (None, Some(path)) => many(args, path),
        _ => Err(Usage("give one QUERY, or --queries FILE".to_owned()).into()),
    }
}

/// A run of a file of queries.
fn many(args: &Args, path: &Path) -> anyhow::Result<()> {
    // What cannot be written is found before it is searched for.
    if let Some(run) = &args.run {
        expect_apart(run, &[Some(path), args.search.vocab.as_deref()])?;
    }
    let target = RunTarget::begin(args.run.as_deref(), args.run_format, args.overwrite)?;
    let queries = args.query_args.read(&crate::collections::place(path)?, None)?;
    let opened = retrieve::open_observing(&args.dir, &args.search)?;
    target.check(opened.snapshot().index(), &queries)?;
    target.write(&opened.run(&queries, &args.search, args.k, &Ignored::default())?)
}

/// The answer as the server gives it.
fn answer(args: &Args, query: &str) -> anyhow::Result<()> {
    let search = &args.search;
    let opened = retrieve::open(&args.dir, search)?;
    let mut request = request(args, query);
    let mut brought = opened.asked(&[of_text(query)])?.pop();
    let dense = brought.as_mut().and_then(|asked| asked.dense.take());
    request.query.dense = dense.map(|vector| vector.values().to_vec());
    if request.query.dense.is_some() && !search.channels.several() {
        request.query.text = None;
    }
    if search.second.rerank {
        let mut rerank = search.second.request(args.k);
        // Those of files; an encoder makes them of the text.
        let tokens = brought.and_then(|asked| asked.tokens);
        rerank.vectors = tokens.map(|rows| rows.rows().map(<[f32]>::to_vec).collect());
        request.rerank = Some(rerank);
    }
    let answer = Engine::new(opened.collection).search(&request, None)?;
    crate::output::json(&answer)
}

fn of_text(text: &str) -> Query {
    Query { id: "query".into(), text: text.into(), vector: None }
}

/// The query as a request, with all that was given.
fn request(args: &Args, query: &str) -> SearchRequest {
    let search = &args.search;
    let small = |n: NonZeroUsize| u32::try_from(n.get()).unwrap_or(u32::MAX);
    let mut request = SearchRequest::text(query);
    request.k = small(args.k);
    request.method = quarry_engine::Method::from(search.method).into();
    (request.channels, request.fusion) = search.channels.request();
    // That they go together was checked.
    let fed = search.first_stage(args.k).fed_channels().unwrap_or_default();
    request.feedback = search.feedback.request(&fed);
    let by_proof = matches!(search.method, MethodArg::Exact | MethodArg::Scan);
    let dense = &search.dense;
    let aims = (search.channels.has(Channel::Sparse) && !by_proof) || dense.takes_overlap();
    request.overlap = aims.then_some(search.overlap);
    request.dense_method = dense.dense_method.into();
    request.dense_beam = dense.dense_beam.map(small);
    request.query_cut = search.query_cut.map(small);
    request.postings = search.postings.map(small);
    request.candidates = search.candidates.map(small);
    request.heap_factor = search.heap_factor;
    request.filter.clone_from(&search.filter);
    request.fields.clone_from(&args.fields);
    request.explain = args.explain;
    request
}

/// One query, whose hits are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OneQuery<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) text: &'a str,
    pub(crate) k: NonZeroUsize,
    pub(crate) explain: bool,
    pub(crate) search: &'a SearchArgs,
}

/// Searches, and prints the hits.
pub(crate) fn one(asked: OneQuery<'_>) -> anyhow::Result<()> {
    let opened = retrieve::open(asked.dir, asked.search)?;
    let mut options = asked.search.options(asked.k).with_fields(["title", "text"]);
    options.explain = asked.explain;
    let queries = [of_text(asked.text)];
    let mut query = opened.asked(&queries)?.pop().context("a query that is lost")?;
    // What is to be said of it comes before the search, which takes it as it was encoded.
    for weighted in options.weights()? {
        let encoded = opened.encoded(&queries, weighted.channel, &options)?.pop();
        match encoded.map(|encoded| encoded.query) {
            Some(ChannelQuery::Sparse(vector)) => query.sparse = Some(SparseQuery::Terms(vector)),
            Some(ChannelQuery::Maxsim(rows)) => query.tokens = rows,
            Some(ChannelQuery::Dense(vector)) => query.dense = vector,
            _ => {}
        }
    }
    let answer = opened.snapshot().search(&Search::new(query, options)).map_err(rerank::told)?;
    for expanded in &answer.expanded {
        show_expanded(expanded)?;
    }
    for hit in &answer.hits {
        show(hit)?;
        if asked.search.channels.several() {
            show_channels(hit)?;
        }
    }
    if answer.hits.is_empty() {
        crate::output::note("note: nothing matched");
    }
    Ok(())
}

fn show(hit: &Hit) -> anyhow::Result<()> {
    let field = |name: &str| hit.fields.get(name).and_then(|v| v.as_str()).unwrap_or_default();
    let (title, text) = (field("title"), field("text"));
    let passage = hit.passage.as_ref();
    let passage = passage.map_or(String::new(), |p| format!(" [passage {}]", p.ordinal + 1));
    line(format!(
        "{:>3}. {:.4}  {}{passage}  {}",
        hit.rank,
        hit.score,
        on_one_line(&hit.id),
        on_one_line(&spaced(title))
    ))?;
    if !text.is_empty() {
        let snippet: String = text.chars().take(SNIPPET).collect();
        let more = if snippet.len() < text.len() { "..." } else { "" };
        line(format!("     {}{more}", on_one_line(&spaced(&snippet))))?;
    }
    if let Some(matched) = &hit.matched {
        let parts: Vec<String> = matched.iter().map(product).collect();
        line(format!("     matched: {}", on_one_line(&parts.join("; "))))?;
    }
    Ok(())
}

/// The query that was searched the second time, and the documents that added to it.
fn show_expanded(expanded: &ExpandedQuery) -> anyhow::Result<()> {
    let term = |term: &ExpandedTerm| {
        format!("{}{} {:.3}", if term.added { "+" } else { "" }, term.token, term.weight)
    };
    let terms: Vec<String> = expanded.terms.iter().map(term).collect();
    let (channel, documents) = (expanded.channel.name(), expanded.documents.join(", "));
    let terms = match terms.is_empty() {
        true => "its vector, moved towards those of the documents".to_owned(),
        false => terms.join("; "),
    };
    line(format!("new query, {channel}: {}", on_one_line(&terms)))?;
    line(format!("     of: {}", on_one_line(&documents)))?;
    Ok(())
}

/// Where each channel has it.
fn show_channels(hit: &Hit) -> anyhow::Result<()> {
    let channels = &hit.channels;
    let all = [
        ("sparse", channels.sparse),
        ("bm25", channels.bm25),
        ("dense", channels.dense),
        ("maxsim", channels.maxsim),
    ];
    let found = all.into_iter().filter_map(|(name, placed)| {
        placed.map(|placed| format!("{name} {:.4} (rank {})", placed.score, placed.rank))
    });
    line(format!("     {}", found.collect::<Vec<_>>().join("; ")))?;
    Ok(())
}

fn product(matched: &Matched) -> String {
    format!(
        "{} {:.2} x {:.2} = {:.2}{}",
        matched.token,
        matched.query_weight,
        matched.document_weight,
        matched.contribution,
        matched.origin.as_ref().map(from).unwrap_or_default()
    )
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_request_has_all_that_was_given() {
        let asked = |words: &str| {
            let words = ["search", "dir", "query", "--json"].into_iter().chain(words.split(' '));
            request(&Line::try_parse_from(words).unwrap().args, "query")
        };
        let impact =
            asked("--method impact --postings 7 --candidates 3 -k 2 --filter a:b --explain");
        assert_eq!((impact.postings, impact.candidates, impact.k), (Some(7), Some(3), 2));
        assert_eq!((impact.filter.as_deref(), impact.explain), (Some("a:b"), true));
        let seismic = asked("--method seismic --query-cut 5 --heap-factor 0.5 --fields title,text");
        assert_eq!((seismic.query_cut, seismic.heap_factor), (Some(5), Some(0.5)));
        assert_eq!(seismic.fields, ["title", "text"]);
        let aim = asked("--overlap 0.9");
        assert_eq!((aim.overlap, aim.postings), (Some(0.9), None));
    }
}
