//! Snapshots, as answers have them.

use quarry_engine::store::SnapshotRecord;

use crate::api::{IndexVersion, SnapshotResponse};
use crate::keys::time_text;

/// A snapshot of the engine's.
pub(crate) fn shown(record: &SnapshotRecord) -> SnapshotResponse {
    SnapshotResponse {
        collection: record.collection.clone(),
        name: record.name.clone(),
        created_at: time_text(record.created_at),
        index: IndexVersion { id: record.index.to_string(), generation: record.generation },
        seq: record.sequence,
        documents: record.documents,
        bytes: record.bytes(),
    }
}
