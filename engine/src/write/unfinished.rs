//! `FILE.part`, the unfinished file of `quarry encode`, and its record `FILE.part.json`, which marks it as
//! ours: a file without our record is never touched.

use std::fs::{self, File, TryLockError};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use quarry_index::storage::{replace_file, sync_folder};
use quarry_indexer::Share;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::WriteError;
use super::encoded_file::CHUNK;
use crate::EngineError;
use crate::error::io;

const MAGIC: &str = "quarry-unfinished-encoding";

/// What must be the same for a file to be resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    magic: String,
    /// The shard, as `2/3`.
    shard: Option<String>,
    /// The model and how it is run, and what the input is read as (documents or queries).
    encoder: Value,
}

impl Record {
    pub(super) fn new(shard: Option<Share>, encoder: &Value) -> Self {
        let shard = shard.map(|share| share.to_string());
        Self { magic: MAGIC.to_owned(), shard, encoder: encoder.clone() }
    }

    /// Reads the record at `path`; `None` if there is none of ours.
    fn read(path: &Path) -> Option<Self> {
        let record: Self = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        (record.magic == MAGIC).then_some(record)
    }

    fn shown(&self) -> String {
        let shard = self.shard.as_ref().map_or("no shard".to_owned(), |s| format!("shard {s}"));
        format!("{shard}, encoder {}", self.encoder)
    }
}

/// An unfinished file that is ours and locked.
#[derive(Debug)]
pub(super) struct Unfinished {
    target: PathBuf,
    part: PathBuf,
    record: PathBuf,
    pub(super) file: File,
    /// Lines kept from an earlier run, if it is resumed.
    pub(super) done: u64,
    /// Whether this run created the file.
    made: bool,
    /// Whether the file of an earlier run was started over.
    pub(super) begun_again: bool,
}

impl Unfinished {
    /// Creates the unfinished file of `target`, or resumes it with `resume`.
    pub(super) fn take(target: &Path, wanted: &Record, resume: bool) -> Result<Self, EngineError> {
        let part = with_end(target, ".part");
        let record = with_end(&part, ".json");
        let exists = |path: &Path| fs::symlink_metadata(path).is_ok();
        let was = Record::read(&record);
        for path in [&part, &record] {
            let plain = fs::symlink_metadata(path).is_ok_and(|m| m.is_file());
            if exists(path) && (was.is_none() || !plain) {
                return Err(WriteError::ForeignFile { path: path.clone() }.into());
            }
        }
        let left = exists(&part);
        if let Some(was) = was.as_ref().filter(|was| left && resume && *was != wanted) {
            let (was, wanted) = (was.shown(), wanted.shown());
            return Err(WriteError::OtherEncoding { path: part, was, wanted }.into());
        }
        if !left || was.as_ref() != Some(wanted) {
            let json = |source| EngineError::Json { what: "the record of an encoding", source };
            replace_file(&record, &serde_json::to_vec_pretty(wanted).map_err(json)?)?;
        }
        let mut options = File::options();
        let file = options.create(true).truncate(false).read(true).append(true).open(&part);
        let file = file.map_err(io(&part))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(WriteError::Locked { path: part }.into()),
            Err(TryLockError::Error(source)) => return Err(io(&part)(source)),
        }
        let keep = if resume { complete_lines(&file).map_err(io(&part))? } else { (0, 0) };
        let before = file.metadata().map_err(io(&part))?.len();
        let begun_again = before > 0 && !resume;
        file.set_len(keep.0).map_err(io(&part))?;
        let (target, done, made) = (target.to_owned(), keep.1, !left);
        Ok(Self { target, part, record, file, done, made, begun_again })
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.part
    }

    /// After a failed run: removes the file if this run created it and there is nothing to resume.
    pub(super) fn give_up(self) {
        let nothing = || {
            let file = File::open(&self.part)?;
            complete_lines(&file).map(|(bytes, _)| bytes == 0)
        };
        if self.made && nothing().unwrap_or(false) {
            // The error of the run matters more than a file that cannot be removed.
            let _ = fs::remove_file(&self.part).and_then(|()| fs::remove_file(&self.record));
        }
    }

    /// Renames the complete file to its final name.
    pub(super) fn finish(self) -> Result<(), EngineError> {
        self.file.sync_all().map_err(io(&self.part))?;
        fs::rename(&self.part, &self.target).map_err(io(&self.target))?;
        fs::remove_file(&self.record).map_err(io(&self.record))?;
        let folder = self.target.parent().filter(|p| !p.as_os_str().is_empty());
        Ok(sync_folder(folder.unwrap_or(Path::new(".")))?)
    }
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Length in bytes and lines of the unfinished file, up to its last complete chunk. Texts in a batch can
/// change each other's last digits, so a chunk is always encoded as a whole.
fn complete_lines(file: &File) -> std::io::Result<(u64, u64)> {
    let mut reader = BufReader::new(file);
    let (mut lines, mut at, mut keep) = (0u64, 0u64, (0u64, 0u64));
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let n = reader.read_until(b'\n', &mut buffer)?;
        if n == 0 || buffer.last() != Some(&b'\n') {
            return Ok(keep);
        }
        lines += 1;
        at += n as u64;
        if lines.is_multiple_of(CHUNK as u64) {
            keep = (at, lines);
        }
    }
}
