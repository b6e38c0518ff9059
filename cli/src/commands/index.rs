//! `quarry index INPUT --out DIR`

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context, bail};
use clap::ValueEnum;
use quarry_datasets::{
    CollectionFormat, CollectionOptions, Duplicates, open_collection, read_vocabulary,
};
use quarry_encoders::{DocumentOptions, Model};
use quarry_index::features::Channels;
use quarry_index::fields::{FieldRule, FieldRules};
use quarry_indexer::{
    BuildError, BuildOptions, BuildReport, EncoderSetup, Event, Levels, Lists, Passages, Share,
    build, default_clusters, default_seismic,
};
use serde_json::{Map, Value, json};

use crate::bytes::parse_bytes;
use crate::collections::place;
use crate::commands::tokens;
use crate::model;
use crate::output::{bytes, count, line, note};
use crate::progress::Progress;
use crate::watched::{Seen, Watched, show};

/// Documents of a shard when a model encodes them: what a kill can cost.
const ENCODED_SHARD: usize = 1024;
/// Documents of a shard when vectors are given.
const GIVEN_SHARD: usize = 1 << 16;

/// Build an index from a collection
///
/// INPUT is a BEIR folder, MS MARCO's collection.tsv, JSONL with text or with sparse vectors (of
/// Seismic or Anserini), Seismic's .bin, BigANN's .csr, or CIFF; plain, .gz or .zst. Its format is found
/// by looking. Text is encoded with a model and indexed for BM25 too; vectors are taken as they are.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// Folder of the index; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Replace the index that is there, or discard an unfinished build
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Continue an interrupted build; finished shards are not encoded again
    #[arg(long)]
    pub(crate) resume: bool,
    /// Do share I of N of the build, as one of N machines: DIR gets no index, but what `quarry merge --out
    /// INDEX DIR1 ... DIRN` makes the index of. Each machine reads all of INPUT and encodes every N-th
    /// run of 1,024 documents (65,536 where vectors are given)
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Share>,
    /// Also store token embeddings of the texts, for reranking, as `quarry tokens add` does
    #[arg(long)]
    pub(crate) tokens: bool,
    /// Model of the token embeddings: a folder, or a name as org/name [default: --model, else the
    /// bundled one]
    #[arg(long, value_name = "MODEL", requires = "tokens")]
    pub(crate) token_model: Option<String>,
    /// Leave out measuring the search methods at the end; searches then take default settings, and
    /// --overlap promises nothing
    #[arg(long)]
    pub(crate) no_tune: bool,
    /// Print a report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is read, and what becomes of it: of a build and of documents added.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct InputArgs {
    /// The collection: a file, a folder, or the name of a pulled one (`quarry dataset list`)
    pub(crate) input: PathBuf,
    /// Model that encodes the texts: a folder, a name as org/name, or doc=MODEL,query=MODEL
    /// [default: the bundled one]
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    #[command(flatten)]
    pub(crate) run_on: model::RunOnArgs,
    /// Bytes that buffers and sorting may take, such as 512MiB or 4GiB
    #[arg(long, value_name = "BYTES", default_value = "1GiB", value_parser = parse_bytes)]
    pub(crate) memory: u64,
    /// What is built from texts: sparse (vectors and words) or bm25 (words only, no model)
    #[arg(long, value_enum, default_value_t = crate::retrieve::Channel::Sparse)]
    pub(crate) channel: crate::retrieve::Channel,
    /// Lists that are built over the vectors, separated by commas; a search without any scans
    #[arg(long, value_enum, value_delimiter = ',', default_value = "auto")]
    pub(crate) lists: Vec<ListsArg>,
    /// How weights are stored; auto takes one byte where that loses nothing, else two
    #[arg(long, value_enum, default_value_t = LevelsArg::Auto)]
    pub(crate) levels: LevelsArg,
    /// Format of INPUT [default: found by looking]
    #[arg(long, value_enum)]
    pub(crate) format: Option<FormatArg>,
    /// Divide given weights by this: 100 for integer weights that are 100 times the real ones
    #[arg(long, value_name = "X")]
    pub(crate) scale: Option<f32>,
    /// Ids, texts and fields of INPUT's vectors: a collection of the same documents in the same order
    #[arg(long, value_name = "COLLECTION", conflicts_with = "doc_ids")]
    pub(crate) texts: Option<PathBuf>,
    /// Field of JSON lines that holds a document's vector, as {token: weight} or as indices and values
    /// [default: vector]
    #[arg(long, value_name = "NAME")]
    pub(crate) vector_field: Option<String>,
    /// Documents of one id that are not the same: refuse them, or take the last. Those that are the same
    /// are left out, and counted
    #[arg(long, value_enum, default_value_t = DuplicatesArg::Refuse)]
    pub(crate) duplicates: DuplicatesArg,
    /// Names of term numbers, one token a line, for .bin and .csr
    #[arg(long, value_name = "FILE")]
    pub(crate) vocab: Option<PathBuf>,
    /// Ids of the vectors of .bin and .csr, one a line [default: their ordinals]
    #[arg(long, value_name = "FILE")]
    pub(crate) doc_ids: Option<PathBuf>,
    /// Leave MS MARCO's doubly encoded UTF-8 as it is
    #[arg(long)]
    pub(crate) raw_encoding: bool,
    /// Longest passage in tokens; the rest is cut [default: the model's]
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<u32>,
    /// Split texts into passages of N tokens, title included; a document's score then is that of its
    /// best passage [default: a text beyond the longest passage is cut]
    #[arg(long, value_name = "N")]
    pub(crate) passages: Option<u32>,
    /// Tokens that neighbouring passages share, about
    #[arg(long, value_name = "N", default_value_t = 32, requires = "passages")]
    pub(crate) passage_overlap: u32,
    /// Components kept of a vector, the heaviest; 0 keeps all [default: the model's]
    #[arg(long, value_name = "N")]
    pub(crate) top_k: Option<u32>,
    /// Keep which word of the text each component of a vector comes from, for `search --explain`
    #[arg(long)]
    pub(crate) provenance: bool,
    /// Type of a document's other field, as year:integer or place.city:keyword; of keyword, integer,
    /// float, date, bool, any (values as they come) and stored (as they come, not to filter by). Values that
    /// do not fit are refused. Other fields take the kind of their first value. May be given more than once
    #[arg(long = "field", value_name = "NAME:TYPE", value_parser = parse_field)]
    pub(crate) fields: Vec<(String, FieldRule)>,
    /// Seed of every random choice
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) seismic: SeismicArgs,
    #[command(flatten)]
    pub(crate) clusters: ClustersArgs,
    /// Whether what the index was built with stands in for what was not given.
    #[arg(skip)]
    pub(crate) filled_in: bool,
}

/// How Seismic's lists are built.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SeismicArgs {
    /// Seismic: postings kept, as an average a term
    #[arg(long, value_name = "N", default_value_t = default_seismic().n_postings)]
    pub(crate) n_postings: u32,
    /// Seismic: no list keeps more than n-postings times this
    #[arg(long, value_name = "X", default_value_t = default_seismic().max_fraction)]
    pub(crate) max_fraction: f32,
    /// Seismic: a document's heaviest postings that are always kept
    #[arg(long, value_name = "N", default_value_t = default_seismic().min_per_document)]
    pub(crate) min_per_document: u32,
    /// Seismic: blocks of a list, as a share of its postings
    #[arg(long, value_name = "SHARE", default_value_t = default_seismic().centroid_fraction)]
    pub(crate) centroid_fraction: f32,
    /// Seismic: share of a summary's mass that is kept
    #[arg(long, value_name = "SHARE", default_value_t = default_seismic().summary_energy)]
    pub(crate) summary_energy: f32,
}

/// How clusters are built.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ClustersArgs {
    /// Clusters: documents of one, about
    #[arg(long, value_name = "N", default_value_t = default_clusters().size)]
    pub(crate) cluster_size: u32,
    /// Clusters: components of a summary, at most
    #[arg(long, value_name = "N", default_value_t = default_clusters().components)]
    pub(crate) cluster_components: u32,
}

impl ClustersArgs {
    pub(crate) fn params(&self) -> quarry_index::clusters::ClusterParams {
        quarry_index::clusters::ClusterParams {
            size: self.cluster_size,
            components: self.cluster_components,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListsArg {
    /// Impact for more than 10,000 documents, clusters too for more than a million.
    Auto,
    /// Complete lists in order of impact; exact and approximate searches.
    Impact,
    /// Blocked lists with summaries.
    Seismic,
    /// Clusters of similar documents with summaries; documents are stored in their order.
    Clusters,
    /// None: every search scans.
    None,
}

/// `year:integer`; a path may have colons of its own.
fn parse_field(text: &str) -> Result<(String, FieldRule), String> {
    match text.rsplit_once(':') {
        Some((name, given)) if !name.is_empty() => {
            Ok((name.to_owned(), FieldRule::Given(given.parse()?)))
        }
        _ => Err(format!("`{text}` is not NAME:TYPE, such as year:integer")),
    }
}

fn fields(given: &[(String, FieldRule)]) -> anyhow::Result<FieldRules> {
    let mut rules = FieldRules::new();
    for (name, rule) in given {
        if rules.insert(name.clone(), *rule).is_some_and(|before| before != *rule) {
            bail!("--field: `{name}` was given two types");
        }
    }
    Ok(rules)
}

/// `auto` and `none` stand alone.
fn lists(wanted: &[ListsArg]) -> anyhow::Result<Lists> {
    match wanted {
        [ListsArg::Auto] => Ok(Lists::Auto),
        [ListsArg::None] => Ok(Lists::NONE),
        _ if wanted.iter().any(|l| matches!(l, ListsArg::Auto | ListsArg::None)) => {
            bail!("--lists: auto and none stand alone")
        }
        _ => Ok(Lists::These {
            impact: wanted.contains(&ListsArg::Impact),
            seismic: wanted.contains(&ListsArg::Seismic),
            clusters: wanted.contains(&ListsArg::Clusters),
        }),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DuplicatesArg {
    /// An error that names both.
    Refuse,
    /// The last is taken.
    Last,
}

impl From<DuplicatesArg> for Duplicates {
    fn from(arg: DuplicatesArg) -> Self {
        match arg {
            DuplicatesArg::Refuse => Self::Refuse,
            DuplicatesArg::Last => Self::Last,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LevelsArg {
    /// One byte where that loses nothing, else two.
    Auto,
    /// One byte.
    U8,
    /// Two bytes.
    U16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    /// A BEIR folder.
    Beir,
    /// MS MARCO's collection.tsv.
    Msmarco,
    /// One JSON object a line.
    Jsonl,
    /// Seismic's inner binary format.
    Bin,
    /// BigANN's sparse matrix.
    Csr,
    /// The Common Index File Format; its impacts are the weights, unless --scale divides them.
    Ciff,
}

impl From<FormatArg> for CollectionFormat {
    fn from(arg: FormatArg) -> Self {
        match arg {
            FormatArg::Beir => Self::Beir,
            FormatArg::Msmarco => Self::MsMarco,
            FormatArg::Jsonl => Self::JsonLines,
            FormatArg::Bin => Self::SeismicBin,
            FormatArg::Csr => Self::BigAnnCsr,
            FormatArg::Ciff => Self::Ciff,
        }
    }
}

pub(crate) fn run(args: &Args, threads: Option<NonZeroUsize>) -> anyhow::Result<()> {
    if let Some(share) = args.shard {
        return super::shards::index(args, share, threads);
    }
    let report = build_and_tune(args, threads)?;
    if args.json {
        return crate::output::json(&report);
    }
    print_report(&args.out, &report)
}

/// The result of a build, in a line.
pub(crate) fn print_report(out: &Path, report: &BuildReport) -> anyhow::Result<()> {
    if report.already_complete {
        line(format!(
            "{}: complete already: {} documents",
            out.display(),
            count(report.documents)
        ))?;
        return Ok(());
    }
    let (of, what) = if report.rows == report.documents {
        (String::new(), "document")
    } else {
        (format!(" in {} passages", count(report.rows)), "passage")
    };
    line(format!(
        "{}: generation {}, {} documents{of}, {:.1} components a {what}, {}",
        out.display(),
        report.generation,
        count(report.documents),
        report.mean_components,
        bytes(report.bytes)
    ))?;
    Ok(())
}

/// Builds the index and lets it measure itself.
pub(crate) fn build_and_tune(
    args: &Args,
    threads: Option<NonZeroUsize>,
) -> anyhow::Result<BuildReport> {
    let token_model = args.token_model.as_deref().or(args.input.model.as_deref());
    if args.tokens {
        // Before hours of work, not after.
        model::expect_tokens(token_model)?;
    }
    let mut report = index(args, threads, false)?;
    if args.tokens
        && !quarry_index::Index::open(&args.out, quarry_index::Verify::Envelope)?.has_tokens()
    {
        let given = (token_model, None);
        report.generation = tokens::encode(
            &args.out,
            given,
            &tokens::StoreArgs::default(),
            false,
            false,
        )
        .context(
            "the index is complete, but has no token embeddings: `quarry tokens add` tries again",
        )?;
    }
    if !report.already_complete && !args.no_tune {
        // The index is whole without: searches then take default settings.
        match super::tune::after_build(&args.out, args.input.model.as_deref(), false) {
            Ok(Some(generation)) => report.generation = generation,
            Ok(None) => {}
            Err(error) => note(format!(
                "note: the index is complete, but could not measure itself ({error:#}); \
                 `quarry tune` tries again"
            )),
        }
    }
    Ok(report)
}

/// Builds the index; what is worth knowing goes to standard error.
pub(crate) fn index(
    args: &Args,
    threads: Option<NonZeroUsize>,
    quiet: bool,
) -> anyhow::Result<BuildReport> {
    let place = (args.out.as_path(), args.overwrite, args.resume);
    let (report, seen) = with_input(&args.input, place, (threads, quiet), |input| {
        build(input.documents, input.encoder, input.options, input.progress)
    })
    .with_context(|| format!("indexing {}", args.input.input.display()))?;
    tell(&report, &seen);
    Ok(report)
}

/// A collection on its way into an index.
pub(crate) struct Input<'a> {
    pub(crate) documents: std::iter::Peekable<Watched>,
    pub(crate) encoder: Option<&'a EncoderSetup<'a>>,
    pub(crate) options: &'a BuildOptions,
    pub(crate) progress: &'a (dyn Fn(Event) + Sync),
}

/// Opens a collection and its encoder, hands them to `run` with a progress bar.
pub(crate) fn with_input<T>(
    args: &InputArgs,
    (out, overwrite, resume): (&Path, bool, bool),
    (threads, quiet): (Option<NonZeroUsize>, bool),
    run: impl FnOnce(Input<'_>) -> Result<T, BuildError>,
) -> anyhow::Result<(T, Arc<Seen>)> {
    let args = &InputArgs { input: place(&args.input)?, ..args.clone() };
    let options = CollectionOptions {
        format: args.format.map(Into::into),
        repair_encoding: !args.raw_encoding,
        scale: args.scale,
        texts: args.texts.clone(),
        vector_field: args.vector_field.clone(),
        kept_fields: args.fields.iter().map(|(name, _)| name.clone()).collect(),
        duplicates: Some(args.duplicates.into()),
        ids: args.doc_ids.clone(),
        memory: args.memory / 4,
    };
    let reader = open_collection(&args.input, &options)?;
    let format = reader.format();
    let seen = Arc::new(Seen::of(reader.bytes_total()));
    let documents_total = reader.documents_total();
    use CollectionFormat::{BigAnnCsr, Ciff, SeismicBin};
    let mut documents = Watched { reader, seen: Arc::clone(&seen) }.peekable();
    if matches!(documents.peek(), Some(Err(_)))
        && let Some(Err(error)) = documents.next()
    {
        // Before an unfinished build lies in the folder that the next try would be refused for.
        return Err(error.into());
    }
    let has_vectors = match documents.peek() {
        Some(Ok(document)) => document.vector.is_some(),
        Some(Err(_)) => false,
        // No document shows it; a format of vectors does.
        None => matches!(format, SeismicBin | BigAnnCsr | Ciff),
    };
    let encode = !has_vectors && args.channel == crate::retrieve::Channel::Sparse;
    let first = documents.peek().and_then(|document| document.as_ref().ok());
    // Words are not encoded; that the channel is bm25 was asked before.
    let encodes = encode || args.channel == crate::retrieve::Channel::Bm25;
    args.check_with((format, encodes), first)?;
    let model = if encode { Some(model::open(args.model.as_deref())?) } else { None };
    if args.texts.is_some() && !has_vectors {
        bail!("--texts names vectors, but {} brings none", args.input.display());
    }
    if args.model.is_some() && !encode {
        bail!(
            "--model encodes texts, but this collection brings its vectors or --channel bm25 was asked"
        );
    }
    if args.provenance && !encode {
        bail!("--provenance keeps where a model's weights come from; here no model encodes");
    }
    let mut document_options = args.run_on.options(threads, args.max_tokens, args.top_k);
    document_options.provenance = args.provenance;
    let encoder = model.as_ref().map(|m| m.document_encoder(&document_options)).transpose()?;
    let splitter = match (args.passages, &model) {
        (Some(tokens), Some(model)) => {
            let overlap = args.passage_overlap;
            Some((model.splitter(tokens, overlap, &document_options)?, tokens, overlap))
        }
        (Some(_), None) => bail!("--passages splits texts that a model encodes; here none does"),
        (None, _) => None,
    };
    let setup = match (&model, &encoder) {
        (Some(model), Some(encoder)) => Some(EncoderSetup {
            passages: splitter.as_ref().map(|(splitter, tokens, overlap)| Passages {
                splitter,
                tokens: *tokens,
                overlap: *overlap,
            }),
            provenance: args.provenance,
            ..setup(model, encoder.as_ref(), &document_options)?
        }),
        _ => None,
    };
    let build_options = BuildOptions {
        out: out.to_path_buf(),
        overwrite,
        resume,
        memory: args.memory,
        seed: args.seed,
        levels: match args.levels {
            LevelsArg::Auto => Levels::Auto,
            LevelsArg::U8 => Levels::U8,
            LevelsArg::U16 => Levels::U16,
        },
        lists: lists(&args.lists)?,
        seismic: args.seismic.params(),
        clusters: args.clusters.params(),
        shard_documents: if encode { ENCODED_SHARD } else { GIVEN_SHARD },
        description: describe(args, format),
        source: source(args, seen.total)?,
        // The reader sees to it.
        ids_are_unique: true,
        channels: channels(args, (encode, has_vectors), documents.peek().is_none()),
        vocabulary: args.vocab.as_deref().map(read_vocabulary).transpose()?,
        fields: fields(&args.fields)?,
    };
    let progress = Progress::new(quiet);
    let on_event = |event: Event| show(event, &progress, &seen, documents_total, encode);
    progress.stage(if encode { "encoding" } else { "reading" }, 0);
    let result = run(Input {
        documents,
        encoder: setup.as_ref(),
        options: &build_options,
        progress: &on_event,
    });
    progress.finish();
    let result = result.map_err(|error| {
        let in_a_folder = matches!(error, BuildError::Document { .. }) && args.input.is_dir();
        let path = seen.path();
        let error = anyhow::Error::from(error);
        if in_a_folder { error.context(path.display().to_string()) } else { error }
    })?;
    seen.tell();
    Ok((result, seen))
}

/// What an index without documents is one of.
fn channels(
    args: &InputArgs,
    (encode, has_vectors): (bool, bool),
    empty: bool,
) -> Option<Channels> {
    let bm25 = args.channel == crate::retrieve::Channel::Bm25;
    match (empty, encode) {
        (true, false) => Some(Channels { sparse: has_vectors && !bm25, bm25 }),
        _ => None,
    }
}

impl SeismicArgs {
    pub(crate) fn params(&self) -> quarry_index::seismic::SeismicParams {
        quarry_index::seismic::SeismicParams {
            n_postings: self.n_postings,
            max_fraction: self.max_fraction,
            min_per_document: self.min_per_document,
            centroid_fraction: self.centroid_fraction,
            summary_energy: self.summary_energy,
            ..default_seismic()
        }
    }
}

fn setup<'a>(
    model: &Model,
    encoder: &'a dyn quarry_vectors::EncodeDocument,
    options: &DocumentOptions,
) -> anyhow::Result<EncoderSetup<'a>> {
    Ok(EncoderSetup {
        encoder,
        identity: serde_json::to_value(model.identity(options)?)?,
        tokens: model.vocabulary().tokens().to_vec(),
        tokenizer: Some(model.tokenizer_json().to_vec()),
        query_table: model.query_table().map(<[u8]>::to_vec),
        passages: None,
        provenance: false,
    })
}

/// Things a user should know, besides the result.
fn tell(report: &BuildReport, seen: &Seen) {
    if report.documents == 0 {
        note("warning: no documents there: the index is empty; `quarry add` adds some");
    }
    if report.resumed_documents > 0 {
        note(format!(
            "note: {} documents were taken from the interrupted build",
            count(report.resumed_documents)
        ));
    }
    if report.truncated > 0 {
        note(format!(
            "note: {} passages were cut at the model's longest input",
            count(report.truncated)
        ));
    }
    if let Some(error) = report.max_relative_error.filter(|error| *error > 0.0) {
        note(format!("note: weights are stored with a relative error of at most {error:.1e}"));
    }
    if report.empty_vectors > 0 && report.mean_components > 0.0 {
        note(format!(
            "note: {} documents have empty vectors; only BM25 finds them",
            count(report.empty_vectors)
        ));
    }
    if !report.unmet_fields.is_empty() {
        note(format!(
            "note: no document has the fields of --field: {}",
            report.unmet_fields.join(", ")
        ));
    }
    tell_repairs(seen);
}

pub(crate) fn tell_repairs(seen: &Seen) {
    let repairs = seen.repairs.load(Ordering::Relaxed);
    if repairs > 0 {
        note(format!("note: doubly encoded UTF-8 was repaired in {} documents", count(repairs)));
    }
}

fn describe(args: &InputArgs, format: CollectionFormat) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("input".into(), json!(args.input.display().to_string()));
    out.insert("format".into(), json!(format!("{format:?}")));
    out.insert("memory".into(), json!(args.memory));
    out.insert("scale".into(), json!(args.scale));
    out.insert("repair_double_encoding".into(), json!(!args.raw_encoding));
    out
}

/// What tells this input from another, for resuming: where it is, how large, and how it is read.
fn source(args: &InputArgs, bytes_total: u64) -> anyhow::Result<Value> {
    let input = args.input.canonicalize().with_context(|| args.input.display().to_string())?;
    Ok(json!({
        "input": input.display().to_string(),
        "bytes": bytes_total,
        "format": args.format.map(|f| format!("{f:?}")),
        "scale": args.scale,
        "raw_encoding": args.raw_encoding,
        "channel": args.channel.name(),
        "run_on": args.run_on.description(),
        "passages": args.passages.map(|tokens| [tokens, args.passage_overlap]),
        "texts": args.texts.as_deref().map(Path::display).map(|d| d.to_string()),
        "doc_ids": args.doc_ids.as_deref().map(Path::display).map(|d| d.to_string()),
        "vector_field": args.vector_field,
        "duplicates": format!("{:?}", args.duplicates),
        "vocab": args.vocab.as_deref().map(Path::display).map(|d| d.to_string()),
    }))
}
