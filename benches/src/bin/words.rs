//! BM25 three ways in one run, on one thread: every posting, tantivy's block-max search of the same postings (its
//! own k1 and b), and the lists of words. Prints one JSON object a line; the rankings of the first and the last way
//! are compared to the bit.
//!
//! Texts are `title TAB text` lines. With `--copies N` each is followed by N - 1 mixtures of half of it and half of
//! another, so that collections grow with the words and lengths that texts have.

use std::collections::HashSet;
use std::convert::Infallible;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use quarry_benches::{Numbers, options};
use quarry_index::text::{TextIndex, words};
use quarry_index::{Index, Verify};
use quarry_indexer::{AddOptions, Lists, WordLists, add_lists, build};
use quarry_searcher::{ChannelQuery, Options, Searcher};
use quarry_vectors::Document;
use serde_json::json;
use tantivy::Term;
use tantivy::collector::{Collector, TopDocs};
use tantivy::query::{
    Bm25StatisticsProvider, BooleanQuery, EnableScoring, Query, TermQuery, Weight,
};
use tantivy::schema::{Field, IndexRecordOption};

#[derive(Debug, Parser)]
struct Args {
    /// `title TAB text` lines
    #[arg(long)]
    texts: PathBuf,
    /// `source TAB question` lines
    #[arg(long)]
    queries: PathBuf,
    /// Folder for two indexes, with and without lists; what is there is used again
    #[arg(long)]
    folder: PathBuf,
    #[arg(long, default_value_t = 1)]
    copies: usize,
    /// Questions of each number of words
    #[arg(long, default_value_t = 50)]
    questions: usize,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Time the lists alone, for a profiler
    #[arg(long)]
    lists_alone: bool,
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000")]
    k: Vec<NonZeroUsize>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let (plain, listed) = (args.folder.join("plain"), args.folder.join("listed"));
    if !plain.join("CURRENT").exists() {
        let started = Instant::now();
        built(&args, &plain)?;
        show(&json!({ "built_s": started.elapsed().as_secs_f64() }))?;
    }
    if !listed.join("CURRENT").exists() {
        copied(&plain, &listed)?;
        let started = Instant::now();
        let add = AddOptions {
            impact: false,
            words: true,
            seismic: None,
            clusters: None,
            memory: 512 << 20,
        };
        add_lists(&listed, &add, &|_| {})?;
        show(&json!({ "lists_s": started.elapsed().as_secs_f64() }))?;
    }
    let open = |folder: &Path| -> anyhow::Result<Searcher> {
        let mut index = Index::open(folder, Verify::Envelope)?;
        index.preload()?;
        Ok(Searcher::new(Arc::new(index)))
    };
    let (plain, listed) = (open(&plain)?, open(&listed)?);
    for part in listed.index().manifest().parts() {
        show(&json!({ "part": part.kind, "bytes": part.bytes }))?;
    }
    let segment = listed.index().segments().first().context("no segment")?;
    let text = segment.text().context("no text")?;
    let tantivy = Tantivy::of(text)?;
    let questions = questions(&args.queries, args.questions)?;
    for (count, questions) in (2..).zip(&questions) {
        for k in &args.k {
            let one = Options::new(*k);
            let mut took = [Vec::new(), Vec::new(), Vec::new()];
            let mut work = [0u64; 2];
            for question in questions {
                let query = ChannelQuery::Words(question);
                let expected = plain.search(&query, &one)?;
                let found = listed.search(&query, &one)?;
                anyhow::ensure!(found.hits == expected.hits, "{question}: other hits");
                work[0] += found.stats.documents_scored;
                work[1] += found.stats.postings;
                let mut best = [f64::MAX; 3];
                for _ in 0..args.rounds {
                    if !args.lists_alone {
                        best[0] = best[0].min(micros(|| plain.search(&query, &one))?);
                        best[1] = best[1].min(micros(|| tantivy.search(text, question, k.get()))?);
                    }
                    best[2] = best[2].min(micros(|| listed.search(&query, &one))?);
                }
                took.iter_mut().zip(best).for_each(|(all, best)| all.push(best));
            }
            let [every, block_max, lists] = took.map(|times| mean(&times));
            show(&json!({
                "words": count, "k": k, "questions": questions.len(),
                "every_posting_us": every, "tantivy_us": block_max, "lists_us": lists,
                "tantivy_by_lists": block_max / lists, "every_posting_by_lists": every / lists,
                "scored": mean_of(work[0], questions.len()), "postings": mean_of(work[1], questions.len()),
            }))?;
        }
    }
    Ok(())
}

fn show(value: &serde_json::Value) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{value}")?;
    Ok(())
}

/// Microseconds of one call.
fn micros<T, E>(call: impl FnOnce() -> Result<T, E>) -> Result<f64, E> {
    let started = Instant::now();
    black_box(call()?);
    Ok(started.elapsed().as_secs_f64() * 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "a mean")]
fn mean(times: &[f64]) -> f64 {
    times.iter().sum::<f64>() / times.len().max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "a mean")]
fn mean_of(sum: u64, count: usize) -> f64 {
    sum as f64 / count.max(1) as f64
}

/// Questions of two to eight different words, in this order.
fn questions(path: &Path, each: usize) -> anyhow::Result<Vec<Vec<String>>> {
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    let mut found = vec![Vec::new(); 7];
    for line in BufReader::new(file).lines() {
        let line = line?;
        let Some(question) = line.split('\t').nth(1) else { continue };
        let distinct: HashSet<String> = words(question).into_iter().map(|w| w.term).collect();
        if let Some(group) = distinct.len().checked_sub(2).and_then(|at| found.get_mut(at))
            && group.len() < each
        {
            group.push(question.to_owned());
        }
    }
    Ok(found)
}

fn built(args: &Args, out: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(&args.texts)?;
    let lines: Vec<&str> = text.lines().collect();
    let mut numbers = Numbers::new(7);
    let other = u32::try_from(lines.len())?;
    let documents = lines.iter().enumerate().flat_map(|(at, line)| {
        let mixed: Vec<String> = (1..args.copies)
            .map(|_| {
                let own = half(&mut numbers, line);
                let at = numbers.below(other) as usize;
                own + " " + &half(&mut numbers, lines[at])
            })
            .collect();
        let (title, text) = line.split_once('\t').unwrap_or(("", line));
        let own =
            Document { title: title.to_owned(), text: text.to_owned(), ..Document::default() };
        let mixed = mixed.into_iter().map(|text| Document { text, ..Document::default() });
        std::iter::once(own).chain(mixed).enumerate().map(move |(copy, document)| {
            Ok::<_, Infallible>(Document { id: format!("{at}-{copy}"), ..document })
        })
    });
    let mut options = options(out);
    options.seal.lists = Lists::NONE;
    options.seal.words = WordLists::Never;
    // Documents are given one after another: that keeps 5 million out of memory.
    build(documents, None, &options, &|_| {})?;
    Ok(())
}

/// About half of the words of a text.
fn half(numbers: &mut Numbers, text: &str) -> String {
    let kept: Vec<&str> = text.split_whitespace().filter(|_| numbers.below(2) == 0).collect();
    kept.join(" ")
}

/// A copy of an index.
fn copied(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            std::fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// tantivy's own search.
struct Tantivy {
    /// Empty, of the same schema: what weights are made with.
    schema: tantivy::Searcher,
    statistics: Statistics,
    field: Field,
}

struct Statistics(tantivy::SegmentReader);

impl Bm25StatisticsProvider for Statistics {
    fn total_num_tokens(&self, field: Field) -> tantivy::Result<u64> {
        Ok(self.0.inverted_index(field)?.total_num_tokens())
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        Ok(u64::from(self.0.max_doc()))
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        Ok(u64::from(self.0.inverted_index(term.field())?.doc_freq(term)?))
    }
}

impl Tantivy {
    fn of(text: &TextIndex) -> anyhow::Result<Self> {
        let empty = tantivy::Index::create_in_ram(text.reader().schema().clone());
        let statistics = Statistics(text.reader().clone());
        Ok(Self { schema: empty.reader()?.searcher(), statistics, field: text.fields().contents })
    }

    fn search(&self, text: &TextIndex, question: &str, k: usize) -> anyhow::Result<usize> {
        let mut distinct: Vec<String> = words(question).into_iter().map(|word| word.term).collect();
        distinct.sort_unstable();
        distinct.dedup();
        let term = |word: String| -> Box<dyn Query> {
            let term = Term::from_field_text(self.field, &word);
            Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs))
        };
        let query = BooleanQuery::union(distinct.into_iter().map(term).collect());
        let scoring =
            EnableScoring::enabled_from_statistics_provider(&self.statistics, &self.schema);
        let weight: Box<dyn Weight> = query.weight(scoring)?;
        let collector = TopDocs::with_limit(k).order_by_score();
        let found = collector.collect_segment(&*weight, 0, text.reader())?;
        Ok(collector.merge_fruits(vec![found])?.len())
    }
}
