//! The file that keeps what became of tasks.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use quarry_index::Storage;
use serde::{Deserialize, Serialize};

use super::record::Task;

/// Its name in the store's own folder.
pub(super) const FILE: &str = "tasks.json";
const MAGIC: &str = "quarry-tasks";
const VERSION: u32 = 1;

/// Keeps tasks in a file. Where that cannot be done they are forgotten at the next start, and the log says so.
#[derive(Debug)]
pub(super) struct History {
    storage: Storage,
    /// Whether the file is ours to write; written by one at a time.
    ours: Mutex<bool>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    magic: String,
    version: u32,
    tasks: Vec<Task>,
}

impl History {
    /// Reads the tasks that the file in `folder` has.
    pub(super) fn open(folder: &Path) -> (Self, Vec<Task>) {
        let storage = Storage::of(folder);
        let path = storage.path(FILE);
        let mut tasks = Vec::new();
        let mut ours = true;
        if path.symlink_metadata().is_ok() {
            let read = storage.read(FILE).map_err(|error| error.to_string());
            let record = read.and_then(|bytes| {
                serde_json::from_slice::<Record>(&bytes).map_err(|error| error.to_string())
            });
            match record {
                Ok(record) if record.magic == MAGIC && record.version == VERSION => {
                    tasks = record.tasks;
                }
                Ok(_) => ours = false,
                Err(error) => {
                    tracing::warn!(%error, "{}: not read, and left as it is; tasks are not kept", path.display());
                    ours = false;
                }
            }
        }
        (Self { storage, ours: Mutex::new(ours) }, tasks)
    }

    /// Writes them in place of those of before.
    pub(super) fn write(&self, tasks: impl FnOnce() -> Vec<Task>) {
        let ours = self.ours.lock().unwrap_or_else(PoisonError::into_inner);
        if !*ours {
            return;
        }
        let record = Record { magic: MAGIC.to_owned(), version: VERSION, tasks: tasks() };
        let written = serde_json::to_vec(&record)
            .map_err(|error| error.to_string())
            .and_then(|json| self.storage.replace(FILE, &json).map_err(|error| error.to_string()));
        if let Err(error) = written {
            tracing::warn!(error, "what became of tasks cannot be kept over a start");
        }
    }
}
