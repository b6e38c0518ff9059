//! Long work: what it is and how far it has come.

use serde::Serialize;
use utoipa::ToSchema;

/// Long work on a collection, which goes on beside requests.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TaskResponse {
    /// Its name.
    pub id: String,
    /// What it does.
    pub kind: TaskKind,
    /// The collection that it changes or makes.
    pub collection: String,
    /// How far it has come.
    pub state: TaskState,
    /// What it does just now; empty before it begins.
    pub stage: String,
    /// How much of the stage is done.
    pub done: u64,
    /// How much there is to do in the stage; null if that is unknown.
    pub total: Option<u64>,
    /// Milliseconds until the stage is done, if it goes on as it went.
    pub eta_ms: Option<u64>,
    /// When it was asked for.
    pub created_at: String,
    /// When it began to run.
    pub started_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// What it did. Of a merge: `merged`, `segments`, `dropped`. Of a copy: `documents`, the number `from_seq` of the last change
    /// of the other collection that it has, the number `refused` of documents that do not fit, and `rejected`, the first 100 of
    /// these.
    pub result: Option<serde_json::Value>,
}

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Merges the segments of a collection into one.
    Merge,
    /// Makes a collection of another one's documents, encoded anew.
    Copy,
}

/// How far a task has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It waits for others.
    Queued,
    /// It is at work.
    Running,
    /// It is done.
    Done,
    /// It failed, and changed nothing; `error` says why.
    Failed,
    /// It was cancelled, and changed nothing.
    Cancelled,
}

/// Tasks, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TasksResponse {
    /// Those that wait or run, and the last 200 that ended.
    pub tasks: Vec<TaskResponse>,
}
