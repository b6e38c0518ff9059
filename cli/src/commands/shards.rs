//! `--shard I/N` of `quarry index` and `quarry encode`, and `quarry merge --out`: work that is shared out
//! by hand among machines.
//!
//! Encoded files: shard I/N has the runs of 1,024 documents I - 1, I - 1 + N, ... of the input. Beside a
//! file lies its record, `FILE.shard.json`: which shard it is, of which model and input, and its checksum.
//! Merging takes a run of lines from each file in turn.

use std::io::{BufRead, BufReader, Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use quarry_datasets::OutputFile;
use quarry_index::folder::replace_file;
use quarry_indexer::{BuildError, JoinOptions, Share, ShareReport, build_share, join};
use quarry_vectors::EncodeTokens;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use xxhash_rust::xxh3::Xxh3;

use crate::commands::add::MergeArgs;
use crate::commands::encode::CHUNK;
use crate::commands::index::{self, print_report, tell_repairs, with_input};
use crate::commands::tokens::StoreArgs;
use crate::exit::Usage;
use crate::model;
use crate::output::{count, line, note};
use crate::outputs::expect_apart;
use crate::progress::Progress;
use crate::watched::show_stage;

/// `quarry index --shard`
pub(crate) fn index(
    args: &index::Args,
    share: Share,
    threads: Option<NonZeroUsize>,
) -> anyhow::Result<()> {
    let given = args.token_model.as_deref().or(args.input.model.as_deref());
    let encoder =
        if args.tokens { Some(model::token_encoder(given, &Default::default())?) } else { None };
    let wanted = encoder.as_ref().map(|(encoder, source)| {
        (encoder, StoreArgs::default().options(false, source.clone(), None))
    });
    let place = (args.out.as_path(), args.overwrite, args.resume);
    let (report, seen): (ShareReport, _) =
        with_input(&args.input, place, (threads, false), |input| {
            let tokens = wanted
                .as_ref()
                .map(|(encoder, options)| (&***encoder as &dyn EncodeTokens, options));
            let of = (input.options, share);
            build_share(input.documents, input.encoder, of, tokens, input.progress)
        })
        .with_context(|| format!("indexing {}", args.input.input.display()))?;
    if args.json {
        return crate::output::json(&report);
    }
    if report.truncated > 0 {
        note(format!(
            "note: {} passages were cut at the model's longest input",
            count(report.truncated)
        ));
    }
    tell_repairs(&seen);
    let complete = if report.already_complete { "complete already: " } else { "" };
    line(format!(
        "{}: {complete}shard {}, {} of {} documents; `quarry merge --out INDEX SHARD...` makes the index of all \
         shards",
        args.out.display(),
        report.shard,
        count(report.documents),
        count(report.input_documents)
    ))?;
    Ok(())
}

/// `quarry merge --out OUT SHARD...`
pub(crate) fn merge(args: &MergeArgs, shards: &[PathBuf], out: &Path) -> anyhow::Result<()> {
    if shards.iter().all(|shard| shard.is_file()) {
        return merge_files(args, shards, out);
    }
    let options =
        JoinOptions { out: out.to_path_buf(), overwrite: args.overwrite, memory: args.memory };
    let progress = Progress::new(false);
    let joined = join(shards, &options, &|event| show_stage(event, &progress));
    progress.finish();
    let mut report = joined?;
    if !report.already_complete && !args.no_tune {
        match super::tune::after_build(out, None, false) {
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
    print_report(out, &report)
}

const MAGIC: &str = "quarry-shard-of-encoding";
const VERSION: u32 = 1;

/// What lies beside a file of encoded documents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    magic: String,
    version: u32,
    shard: String,
    /// Documents of a run.
    run: usize,
    /// The model and how it was run.
    encoder: Value,
    /// The whole input, as this machine read it.
    input: Value,
    /// Lines of the file.
    lines: u64,
    /// XXH3-64 of the file.
    checksum: String,
}

fn record_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".shard.json");
    PathBuf::from(name)
}

/// Refuses to write over the record of another file.
pub(crate) fn check_record(out: &Path, overwrite: bool) -> anyhow::Result<()> {
    let path = record_path(out);
    if path.exists() && !overwrite {
        bail!("{}: the file is there; --overwrite replaces it", path.display());
    }
    Ok(())
}

/// Writes the record of `out`, whose lines are in `part` still: the file gets its name last.
pub(crate) fn write_record(
    (out, part): (&Path, &Path),
    share: Share,
    (encoder, input): (Value, Value),
    lines: u64,
) -> anyhow::Result<()> {
    let record = Record {
        magic: MAGIC.to_owned(),
        version: VERSION,
        shard: share.to_string(),
        run: CHUNK,
        encoder,
        input,
        lines,
        checksum: checksum(part)?,
    };
    Ok(replace_file(&record_path(out), &serde_json::to_vec_pretty(&record)?)?)
}

fn checksum(path: &Path) -> anyhow::Result<String> {
    let failed = || path.display().to_string();
    let mut file = crate::files::open(path)?;
    let (mut hash, mut buffer) = (Xxh3::new(), vec![0; 1 << 18]);
    loop {
        let n = file.read(&mut buffer).with_context(failed)?;
        if n == 0 {
            return Ok(format!("{:016x}", hash.digest()));
        }
        hash.update(&buffer[..n]);
    }
}

fn refused(what: String) -> anyhow::Error {
    BuildError::Shards { what }.into()
}

/// The record of a file, which must be the file that was written.
fn read_record(file: &Path) -> anyhow::Result<(Share, Record)> {
    let path = record_path(file);
    let bytes = crate::files::bytes(&path).map_err(|e| {
        refused(format!(
            "{e:#}; it is written by `quarry encode --shard`, beside the file, when that is whole"
        ))
    })?;
    let record: Record = serde_json::from_slice(&bytes)
        .map_err(|e| refused(format!("{}: no record of a shard: {e}", path.display())))?;
    if record.magic != MAGIC || record.version != VERSION || record.run != CHUNK {
        return Err(refused(format!(
            "{}: expected a record of version {VERSION} with runs of {CHUNK}",
            path.display()
        )));
    }
    if checksum(file)? != record.checksum {
        return Err(refused(format!(
            "{}: it is not the file that {} names",
            file.display(),
            path.display()
        )));
    }
    let share = record.shard.parse().map_err(refused)?;
    Ok((share, record))
}

/// Puts encoded files together: a run of lines from each in turn.
fn merge_files(args: &MergeArgs, files: &[PathBuf], out: &Path) -> anyhow::Result<()> {
    if args.no_tune || args.memory.is_some() {
        let text = "--no-tune and --memory are for shards of an index; these are files of vectors";
        return Err(Usage(text.to_owned()).into());
    }
    let inputs: Vec<Option<&Path>> = files.iter().map(|file| Some(file.as_path())).collect();
    expect_apart(out, &inputs)?;
    let mut to = OutputFile::create(out, args.overwrite)?;
    let mut given: Vec<Option<&Path>> = Vec::new();
    let mut first: Option<(&Path, Record)> = None;
    for file in files {
        let file = file.as_path();
        let (share, record) = read_record(file)?;
        let (of_first, as_first) = first.get_or_insert_with(|| (file, record.clone()));
        let of = as_first.shard.parse::<Share>().map_err(refused)?.of();
        let of_first = of_first.display();
        if share.of() != of {
            return Err(refused(format!(
                "{} is shard {share}, {of_first} one of {of}",
                file.display()
            )));
        }
        for (what, here, there) in [
            ("encoder", &record.encoder, &as_first.encoder),
            ("input", &record.input, &as_first.input),
        ] {
            if here != there {
                return Err(refused(format!(
                    "{}: shard {share} is of another run than {of_first}: its `{what}` is {here}, there it is {there}",
                    file.display()
                )));
            }
        }
        given.resize_with(of, || None);
        if let Some(other) = given[share.number() - 1].replace(file) {
            return Err(refused(format!(
                "shard {share} is given twice: {} and {}",
                other.display(),
                file.display()
            )));
        }
    }
    let of = given.len();
    let mut readers = Vec::with_capacity(of);
    for (number, file) in (1..).zip(&given) {
        let file = file.ok_or_else(|| refused(format!("shard {number}/{of} is missing")))?;
        let opened = crate::files::open(file)?;
        readers.push((file, BufReader::with_capacity(1 << 18, opened)));
    }
    let failed = || out.display().to_string();
    let (mut lines, mut buffer) = (0u64, Vec::new());
    'runs: for run in 0.. {
        let (file, reader) = &mut readers[run % of];
        for _ in 0..CHUNK {
            buffer.clear();
            let n = reader
                .read_until(b'\n', &mut buffer)
                .with_context(|| file.display().to_string())?;
            if n == 0 {
                // The last run ends here, or the one after it.
                break 'runs;
            }
            to.write_all(&buffer).with_context(failed)?;
            lines += 1;
        }
    }
    for (file, reader) in &mut readers {
        // Checksums and inputs are right, so this cannot be; were it, lines would be lost.
        if !reader.fill_buf().with_context(|| file.display().to_string())?.is_empty() {
            return Err(refused(format!("{}: it has more lines than its turn", file.display())));
        }
    }
    let documents = first.as_ref().and_then(|(_, record)| record.input["documents"].as_u64());
    if documents != Some(lines) {
        return Err(refused(format!(
            "the shards have {lines} lines, the input {documents:?} documents"
        )));
    }
    to.commit()?;
    if args.json {
        return crate::output::json(&json!({"vectors": lines}));
    }
    line(format!("{}: {} vectors", out.display(), count(lines)))?;
    Ok(())
}
