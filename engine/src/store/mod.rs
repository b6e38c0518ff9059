//! A folder of collections that one process writes to: made, opened, changed and removed while they are searched.
//!
//! ```text
//! DIR/NAME/             an index folder, with `collection.json` if it was made here
//! DIR/.quarry/          the store's own: LOCK, store.json, aliases.json, tasks.json, snapshots/ (`snapshots`), and what
//!                       passes: new-*, gone-*, merge-*
//! ```
//!
//! 1. [`Store`] holds the collections (`folder.rs` has the files); making one is a rename into place, and so is its
//!    removal: after a crash it is there, or it is not  2. [`Live`] is one of them: changes are logged (`log`) and
//!    visible when the call returns, and sealed into a generation within seconds (`tending.rs`)  3. `queue.rs` lets one
//!    caller apply the changes of all who wait  4. `apply.rs` turns changes into generations, `put.rs` those that add
//!    documents, `patch.rs` those that patch them, under the conditions of `guard.rs`; `check.rs` refuses documents one by
//!    one; `selection.rs` finds those that a filter means  5. after a crash `replay.rs` makes the changes of the log again
//! 6. `idempotency.rs` keeps answers to requests with a key  7. `aliases.rs` has other names of collections

mod aliases;
mod apply;
mod change;
mod check;
mod copying;
mod encoding;
mod error;
mod floors;
mod folder;
mod following;
mod guard;
mod head;
mod idempotency;
mod live;
mod log;
mod merge_patch;
mod merges;
mod name;
mod order;
mod patch;
mod put;
mod queue;
mod replay;
mod room;
mod selection;
mod settings;
mod snapshots;
mod stores;
mod tasks;
mod tending;
mod texts;
mod unmade;
mod watcher;

pub use aliases::AliasAction;
pub use change::{Ack, Change, Changed, Mode, RefusalKind, Refused, Spent};
pub use encoding::EncodeFigures;
pub use error::StoreError;
pub use following::{Given, GivenFile};
pub use guard::{Condition, Guard};
pub use idempotency::RequestKey;
pub use live::{Live, Progress};
pub use merge_patch::Patch;
pub use name::CollectionName;
pub use quarry_index::folder::Lease;
pub use room::{Low, Resource, Room};
pub use selection::{Selected, Selection};
pub use settings::{CollectionModel, CollectionSettings};
#[doc(hidden)]
pub use snapshots::unpack;
pub use snapshots::{Packing, SnapshotRecord};
pub use stores::{Follower, Made, Store, StoreLimits, StoreOptions};
pub use tasks::{Task, TaskKind, TaskState};
