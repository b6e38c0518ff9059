//! Tasks, as answers have them.

use quarry_engine::store::{Task, TaskKind as Kind, TaskState as State};

use crate::api::{TaskKind, TaskResponse, TaskState};
use crate::keys::time_text;

/// A task of the engine's.
pub(crate) fn shown(task: Task) -> TaskResponse {
    let Task { id, kind, collection, state, stage, done, total, eta_ms, .. } = task;
    TaskResponse {
        id,
        kind: match kind {
            Kind::Merge => TaskKind::Merge,
            Kind::Copy => TaskKind::Copy,
        },
        collection,
        state: match state {
            State::Queued => TaskState::Queued,
            State::Running => TaskState::Running,
            State::Done => TaskState::Done,
            State::Failed => TaskState::Failed,
            State::Cancelled => TaskState::Cancelled,
        },
        stage,
        done,
        total,
        eta_ms,
        created_at: time_text(task.created_at),
        started_at: task.started_at.map(time_text),
        ended_at: task.ended_at.map(time_text),
        error: task.error,
        result: task.result,
    }
}
