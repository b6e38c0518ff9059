//! A task as it is reported and kept.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

/// Long work on a collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its name, never used again.
    pub id: String,
    /// What it does.
    pub kind: TaskKind,
    /// The collection that it changes or makes.
    pub collection: String,
    /// How far it has come.
    pub state: TaskState,
    /// What it does just now; empty before it begins.
    #[serde(default)]
    pub stage: String,
    /// How much of the stage is done.
    #[serde(default)]
    pub done: u64,
    /// How much there is to do in the stage, in the same unit; `None` if that is unknown.
    #[serde(default)]
    pub total: Option<u64>,
    /// Milliseconds until the stage is done, if it goes on as it went.
    #[serde(skip)]
    pub eta_ms: Option<u64>,
    /// When it was asked for.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it began to run.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// When it ended.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
    /// What it did.
    #[serde(default)]
    pub result: Option<Value>,
}

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Merges the segments of a collection.
    Merge,
    /// Makes a collection of another one's documents, encoded anew.
    Copy,
}

/// How far a task has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It waits for others.
    Queued,
    /// It is at work.
    Running,
    /// It is done.
    Done,
    /// It failed, and changed nothing.
    Failed,
    /// It was cancelled, and changed nothing.
    Cancelled,
}

impl TaskState {
    /// Whether nothing follows it.
    #[must_use]
    pub fn is_end(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

impl Task {
    /// A task that waits.
    pub(super) fn new(
        id: String,
        kind: TaskKind,
        collection: &str,
        created_at: OffsetDateTime,
    ) -> Self {
        Self {
            id,
            kind,
            collection: collection.to_owned(),
            state: TaskState::Queued,
            stage: String::new(),
            done: 0,
            total: None,
            eta_ms: None,
            created_at,
            started_at: None,
            ended_at: None,
            error: None,
            result: None,
        }
    }
}
