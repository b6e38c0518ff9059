//! `quarry add DIR INPUT`, `quarry delete DIR ID...`, `quarry merge DIR`

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use anyhow::{Context, bail};
use quarry_index::{Index, Verify};
use quarry_indexer::{AddReport, AddTokens, Adding, AsBuilt, Merge, add, delete, merge};
use serde_json::{Value, json};

use crate::applies::Given;
use crate::bytes::parse_bytes;
use crate::commands::index::{InputArgs, with_input};
use crate::exit::Usage;
use crate::model;
use crate::output::{count, line, note};
use crate::progress::Progress;
use crate::watched::show_stage;

/// Add documents to an index; those whose id is there replace the old ones
///
/// Reads what `quarry index` reads. Texts are encoded as the index was built: with the same model,
/// the same longest input, the same passages, with --provenance if it was; they get the lists and the token
/// embeddings that it has.
/// Vectors without ids (.bin, .csr) are numbered on after the index's highest number.
/// Afterwards the smallest segments are merged when there are more than eight.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the index
    dir: PathBuf,
    #[command(flatten)]
    input: InputArgs,
    /// Model of the token embeddings, where the index has them: a folder, or a name as org/name
    /// [default: --model, else the bundled one]
    #[arg(long, value_name = "MODEL", conflicts_with = "without_tokens")]
    token_model: Option<String>,
    /// Add no token embeddings though the index has them: --rerank then leaves the new documents where
    /// the search puts them, until `quarry tokens add` fills the gap
    #[arg(long)]
    without_tokens: bool,
    /// Leave the segments as they are
    #[arg(long)]
    no_merge: bool,
    /// Print a report as JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Refuses options that would do nothing.
    pub(crate) fn check(&self, given: Given<'_>) -> Result<(), Usage> {
        self.input.check(given)
    }
}

pub(crate) fn run(args: &Args, threads: Option<NonZeroUsize>) -> anyhow::Result<()> {
    let built = AsBuilt::of(&Index::open(&args.dir, Verify::Envelope)?);
    let mut input = args.input.clone();
    as_built(&mut input, &built);
    let model = args.token_model.as_deref().or(args.input.model.as_deref());
    let tokens = match &built.tokens {
        None if args.without_tokens => {
            bail!("--without-tokens: {} has no token embeddings", args.dir.display())
        }
        None if args.token_model.is_some() => {
            bail!("--token-model: {} has no token embeddings", args.dir.display())
        }
        Some(kept) if !args.without_tokens => {
            let without = "add --without-tokens leaves the new documents without token embeddings, until `quarry \
                           tokens add` fills the gap";
            Some(model::document_encoder(kept, model).context(without)?)
        }
        _ => None,
    };
    let place = (args.dir.as_path(), false, false);
    let (mut report, seen): (AddReport, _) = with_input(&input, place, (threads, false), |input| {
        let tokens = match &tokens {
            Some((encoder, source)) => AddTokens::Encoder(encoder.as_ref(), source),
            None if args.without_tokens => AddTokens::Without,
            None => AddTokens::None,
        };
        let adding = Adding { options: input.options, tokens, merge: !args.no_merge };
        add(input.documents, input.encoder, &adding, input.progress)
    })
    .with_context(|| format!("adding {}", args.input.input.display()))?;
    report.repeated += seen.repeated.load(Ordering::Relaxed);
    if args.json {
        return crate::output::json(&report);
    }
    if let Some(first) = report.numbered_from {
        note(format!(
            "note: the documents have no ids; they are numbered from {first} on (--doc-ids FILE names \
             them, and replaces those that are there)"
        ));
    }
    if report.truncated > 0 {
        note(format!(
            "note: {} passages were cut at the model's longest input",
            count(report.truncated)
        ));
    }
    line(format!(
        "{}: generation {}, {} documents added, {} of them in place of others",
        args.dir.display(),
        report.generation,
        count(report.added),
        count(report.replaced)
    ))?;
    Ok(())
}

/// What the index was built with stands in for what is not given.
fn as_built(input: &mut InputArgs, built: &AsBuilt) {
    input.filled_in = true;
    let document = built.encoder.as_ref().and_then(|e| e.get("document"));
    let of_document = |name: &str| {
        let number = document.and_then(|d| d.get(name)).and_then(Value::as_u64)?;
        u32::try_from(number).ok()
    };
    input.max_tokens = input.max_tokens.or_else(|| of_document("max_tokens"));
    input.top_k = input.top_k.or_else(|| of_document("top_k"));
    if let Some([tokens, overlap]) = built.passages.filter(|_| input.passages.is_none()) {
        (input.passages, input.passage_overlap) = (Some(tokens), overlap);
    }
    input.provenance |= built.provenance;
    if built.channel.as_deref() == Some(crate::retrieve::Channel::Bm25.name()) {
        input.channel = crate::retrieve::Channel::Bm25;
    }
}

/// Delete documents of an index
///
/// Ids that no document has are reported, and change nothing. What is deleted takes space, and counts in
/// BM25's statistics, until its segment is merged. A server goes on with the generation that it opened.
#[derive(Debug, clap::Args)]
pub(crate) struct DeleteArgs {
    /// Folder of the index
    dir: PathBuf,
    /// Ids of documents
    #[arg(value_name = "ID", required_unless_present = "ids")]
    id: Vec<String>,
    /// File of ids, one a line
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// Print a report as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run_delete(args: &DeleteArgs) -> anyhow::Result<()> {
    let mut ids: BTreeSet<String> = args.id.iter().cloned().collect();
    if let Some(file) = &args.ids {
        let text = crate::files::text(file)?;
        ids.extend(text.lines().filter(|l| !l.is_empty()).map(str::to_owned));
    }
    if ids.is_empty() {
        bail!("no ids: the file has none");
    }
    let report = delete(&args.dir, ids.iter().map(String::as_str))?;
    if args.json {
        return crate::output::json(&report);
    }
    if let Some(first) = report.unknown.first() {
        let many = count(report.unknown.len() as u64);
        note(format!("note: {many} ids are no document's, such as {first}"));
    }
    line(format!(
        "{}: generation {}, {} documents deleted",
        args.dir.display(),
        report.generation,
        count(report.deleted)
    ))?;
    Ok(())
}

/// Merge all segments of an index into one, or the shards of a build into an index
///
/// `quarry merge DIR`: one segment of all, without what was deleted; it is the one that a build of its
/// documents would make, and measures itself as after a build. Every byte is checked first. What segments
/// have is carried over: where some lack token embeddings, `quarry tokens add` has to fill them before.
///
/// `quarry merge --out OUT SHARD...`: what `quarry index --shard I/N` left on N machines becomes the index
/// that one machine would have made, of the same bytes; what `quarry encode --shard I/N` left becomes its
/// one file.
#[derive(Debug, clap::Args)]
pub(crate) struct MergeArgs {
    /// Folder of the index; with --out, all shards, in any order
    #[arg(required = true)]
    dir: Vec<PathBuf>,
    /// Folder of the index, or the file, that shards are merged into
    #[arg(long, value_name = "OUT")]
    pub(crate) out: Option<PathBuf>,
    /// With --out: replace what is there
    #[arg(long, requires = "out")]
    pub(crate) overwrite: bool,
    /// Bytes that buffers and sorting may take, such as 512MiB or 4GiB [default: 1GiB; with --out, what the
    /// shards were made with]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) memory: Option<u64>,
    /// Leave out measuring the search methods at the end
    #[arg(long)]
    pub(crate) no_tune: bool,
    /// Print a report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Bytes that a merge may take unless told otherwise.
const MERGE_MEMORY: u64 = 1 << 30;

pub(crate) fn run_merge(args: &MergeArgs) -> anyhow::Result<()> {
    if let Some(out) = &args.out {
        return super::shards::merge(args, &args.dir, out);
    }
    let [dir] = args.dir.as_slice() else {
        bail!(
            "which folder? `quarry merge DIR` merges one index, --out OUT SHARD... shards of a build"
        );
    };
    if quarry_indexer::is_share(dir) {
        bail!(
            "{}: this is a shard of a build; `quarry merge --out INDEX SHARD...` merges all of them",
            dir.display()
        );
    }
    let Some(mut report) = merged(dir, args.memory.unwrap_or(MERGE_MEMORY))? else {
        if args.json {
            return crate::output::json(&json!({"merged": 0}));
        }
        line(format!("{}: one segment, nothing deleted: nothing to merge", dir.display()))?;
        return Ok(());
    };
    if !args.no_tune {
        match super::tune::after_build(dir, None, false) {
            Ok(generation) => report.generation = generation.unwrap_or(report.generation),
            Err(error) => note(format!(
                "note: merged, but the index could not measure itself ({error:#}); `quarry tune` \
                 tries again"
            )),
        }
    }
    if args.json {
        return crate::output::json(&report);
    }
    line(format!(
        "{}: generation {}, {} segments merged, {} deleted rows dropped",
        dir.display(),
        report.generation,
        report.merged,
        count(report.dropped)
    ))?;
    Ok(())
}

fn merged(dir: &Path, memory: u64) -> anyhow::Result<Option<quarry_indexer::MergeReport>> {
    let progress = Progress::new(false);
    let result = merge(dir, Merge::All, memory, &|event| show_stage(event, &progress));
    progress.finish();
    Ok(result?)
}
