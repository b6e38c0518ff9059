//! Encoded files of several machines: shard I/N has the runs of 1,024 documents I - 1, I - 1 + N, ... of the
//! input. Beside a file lies its record, `FILE.shard.json`: which shard it is, of which model and input, and
//! its checksum. Merging takes a run of lines from each file in turn.

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

/// What lies beside a file of encoded documents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ShardRecord {
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
pub(super) fn check_record(out: &Path, overwrite: bool) -> Result<(), WriteError> {
    let path = record_path(out);
    match path.exists() && !overwrite {
        true => Err(WriteError::Exists { path }),
        false => Ok(()),
    }
}

impl ShardRecord {
    /// Of a shard whose lines are in `part` still.
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

    /// Writes it beside `out`, which gets its name last.
    pub(super) fn write(&self, out: &Path) -> Result<(), EngineError> {
        let json = |source| EngineError::Json { what: "the record of a shard", source };
        let bytes = serde_json::to_vec_pretty(self).map_err(json)?;
        Ok(replace_file(&record_path(out), &bytes)?)
    }

    /// The record of a file, which must be the file that was written.
    fn read(file: &Path) -> Result<(Share, Self), EngineError> {
        let path = record_path(file);
        let mut bytes = Vec::new();
        let read =
            files::open(&path).and_then(|mut from| from.read_to_end(&mut bytes).map_err(io(&path)));
        if let Err(error) = read {
            return Err(refused(format!(
                "{error}; it is written by `quarry encode --shard`, beside the file, when that is whole"
            )));
        }
        let record: Self = serde_json::from_slice(&bytes)
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
        Ok((record.share()?, record))
    }

    fn share(&self) -> Result<Share, EngineError> {
        self.shard.parse().map_err(refused)
    }

    /// Refuses a record of another run.
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

/// Puts all shards of an encoding, in any order, together into the file that one machine would have made;
/// says how many vectors it has.
///
/// # Errors
/// When a shard is missing, given twice, damaged or of another run; when `out` is there and not to be
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

/// The files by the number of their shard, and how many documents the input had.
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

/// Copies a run of lines from each in turn; says how many lines there were.
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
                // The last run ends here, or the one after it.
                break 'runs;
            }
            to.write_all(&buffer).map_err(io(out))?;
            lines += 1;
        }
    }
    for (file, reader) in readers {
        // Checksums and inputs are right, so this cannot be; were it, lines would be lost.
        if !reader.fill_buf().map_err(io(file))?.is_empty() {
            return Err(refused(format!("{}: it has more lines than its turn", file.display())));
        }
    }
    Ok(lines)
}
