//! Files encoded on several machines: shard I/N holds the batches I - 1, I - 1 + N, ... of 1,024 documents of
//! the input. Each file has a record, `FILE.shard.json`, with its shard, model, input and checksum. Merging
//! copies the lines of one batch from each file in turn.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use quarry_datasets::OutputFile;
use quarry_index::storage::replace_file;
use quarry_indexer::{BuildError, Share};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::Xxh3;

use super::{WriteError, files};
use crate::EngineError;
use crate::error::io;

/// Documents encoded together: the unit of resuming.
pub(super) const CHUNK: usize = 1024;

const MAGIC: &str = "quarry-shard-of-encoding";
const VERSION: u32 = 1;
const BUFFER: usize = 1 << 18;

/// The record of a file of encoded documents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ShardRecord {
    magic: String,
    version: u32,
    shard: String,
    /// Documents per batch.
    run: usize,
    /// The model and how it was run.
    encoder: Value,
    /// The whole input, as this machine read it.
    input: Value,
    /// Lines of the file.
    lines: u64,
    /// XXH3-64 of the file's bytes.
    checksum: String,
}

fn record_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".shard.json");
    PathBuf::from(name)
}

/// Fails if writing would replace the record of another file.
pub(super) fn check_record(out: &Path, overwrite: bool) -> Result<(), WriteError> {
    let path = record_path(out);
    match path.exists() && !overwrite {
        true => Err(WriteError::Exists { path }),
        false => Ok(()),
    }
}

impl ShardRecord {
    /// The record of a shard whose lines are still in `part`.
    pub(super) fn of(
        part: &Path,
        share: Share,
        (encoder, input): (Value, Value),
        lines: u64,
    ) -> Result<Self, EngineError> {
        Ok(Self {
            magic: MAGIC.to_owned(),
            version: VERSION,
            shard: share.to_string(),
            run: CHUNK,
            encoder,
            input,
            lines,
            checksum: checksum(part)?,
        })
    }

    /// Writes it next to `out`, which is renamed to its final name later.
    pub(super) fn write(&self, out: &Path) -> Result<(), EngineError> {
        let json = |source| EngineError::Json { what: "the record of a shard", source };
        let bytes = serde_json::to_vec_pretty(self).map_err(json)?;
        Ok(replace_file(&record_path(out), &bytes)?)
    }

    /// Reads the record of a file, and checks that the file is the one it describes.
    fn read(file: &Path) -> Result<(Share, Self), EngineError> {
        let path = record_path(file);
        let mut bytes = Vec::new();
        let read =
            files::open(&path).and_then(|mut from| from.read_to_end(&mut bytes).map_err(io(&path)));
        if let Err(error) = read {
            return Err(refused(format!(
                "{error}; `quarry encode --shard` writes it beside the file when the file is complete"
            )));
        }
        let record: Self = serde_json::from_slice(&bytes)
            .map_err(|e| refused(format!("{}: not a record of a shard: {e}", path.display())))?;
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
        Ok((record.share()?, record))
    }

    fn share(&self) -> Result<Share, EngineError> {
        self.shard.parse().map_err(refused)
    }

    /// Fails if a record belongs to another encoding.
    fn check_same(&self, file: &Path, first: (&Path, &Self)) -> Result<(), EngineError> {
        let (first_file, first) = first;
        let (shard, of_first) = (&self.shard, first_file.display());
        for (what, here, there) in
            [("encoder", &self.encoder, &first.encoder), ("input", &self.input, &first.input)]
        {
            if here != there {
                return Err(refused(format!(
                    "{}: shard {shard} is of another run than {of_first}: its `{what}` is {here}, there it is {there}",
                    file.display()
                )));
            }
        }
        Ok(())
    }
}

fn checksum(path: &Path) -> Result<String, EngineError> {
    let mut file = files::open(path)?;
    let (mut hash, mut buffer) = (Xxh3::new(), vec![0; BUFFER]);
    loop {
        let n = file.read(&mut buffer).map_err(io(path))?;
        if n == 0 {
            return Ok(format!("{:016x}", hash.digest()));
        }
        hash.update(&buffer[..n]);
    }
}

fn refused(what: String) -> EngineError {
    BuildError::Shards { what }.into()
}

/// Merges all shards of an encoding, given in any order, into the file that a single machine would have
/// written; returns its number of vectors.
///
/// # Errors
/// If a shard is missing, given twice, damaged or of another encoding; if `out` exists and is not to be
/// replaced. Nothing is written then.
pub fn merge_encoded(shards: &[PathBuf], out: &Path, overwrite: bool) -> Result<u64, EngineError> {
    let mut to = OutputFile::create(out, overwrite)?;
    let (given, documents) = in_order(shards)?;
    let mut readers = Vec::with_capacity(given.len());
    for file in given {
        readers.push((file, BufReader::with_capacity(BUFFER, files::open(file)?)));
    }
    let lines = take_turns(&mut readers, &mut to, out)?;
    if documents != Some(lines) {
        return Err(refused(format!(
            "the shards have {lines} lines, the input {documents:?} documents"
        )));
    }
    to.commit()?;
    Ok(lines)
}

/// The files in order of their shards, and the number of documents in the input.
fn in_order(files: &[PathBuf]) -> Result<(Vec<&Path>, Option<u64>), EngineError> {
    let mut given: Vec<Option<&Path>> = Vec::new();
    let mut first: Option<(&Path, ShardRecord)> = None;
    for file in files {
        let file = file.as_path();
        let (share, record) = ShardRecord::read(file)?;
        let (of_first, as_first) = first.get_or_insert_with(|| (file, record.clone()));
        let of = as_first.share()?.of();
        if share.of() != of {
            return Err(refused(format!(
                "{} is shard {share}, {} one of {of}",
                file.display(),
                of_first.display()
            )));
        }
        record.check_same(file, (of_first, as_first))?;
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
    let missing = |number| refused(format!("shard {number}/{of} is missing"));
    let all = (1..).zip(given).map(|(number, file)| file.ok_or_else(|| missing(number)));
    let documents = first.and_then(|(_, record)| record.input["documents"].as_u64());
    Ok((all.collect::<Result<_, _>>()?, documents))
}

/// Copies one batch of lines from each file in turn; returns the number of lines.
fn take_turns(
    readers: &mut [(&Path, BufReader<File>)],
    to: &mut OutputFile,
    out: &Path,
) -> Result<u64, EngineError> {
    let of = readers.len();
    let (mut lines, mut buffer) = (0u64, Vec::new());
    if of == 0 {
        return Ok(0);
    }
    'runs: for run in 0.. {
        let (file, reader) = &mut readers[run % of];
        for _ in 0..CHUNK {
            buffer.clear();
            if reader.read_until(b'\n', &mut buffer).map_err(io(file))? == 0 {
                // The last batch ends here, or the previous one was the last.
                break 'runs;
            }
            to.write_all(&buffer).map_err(io(out))?;
            lines += 1;
        }
    }
    for (file, reader) in readers {
        // Impossible, since checksums and inputs were compared; but if it happened, lines would be lost.
        if !reader.fill_buf().map_err(io(file))?.is_empty() {
            return Err(refused(format!("{}: it has more lines than its turn", file.display())));
        }
    }
    Ok(lines)
}
