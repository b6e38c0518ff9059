//! Snapshots: a collection as it was at a moment, kept beside it, and given out and taken in as an archive.
//!
//! ```text
//! DIR/.quarry/snapshots/COLLECTION/NAME/    an index folder, whose files are those of the collection under second names
//!     snapshot.json                         what it is, and its files with their lengths
//! ```
//!
//! 1. it is made aside, and renamed into place (`kept.rs`): after a crash it is there, or it is not  2. as an archive it is a
//!    tar of `snapshot.json`, the files, and last `SHA256SUMS` (`pack.rs`)  3. an archive that comes in is foreign
//!    (`unpack.rs`): what it may hold is known before anything is written, and nothing of it counts before all of it was
//!    checked

mod kept;
mod pack;
mod record;
mod unpack;

pub(super) use kept::Snapshots;
pub use pack::Packing;
pub use record::SnapshotRecord;
pub(super) use record::{Moment, RECORD};
#[doc(hidden)]
pub use unpack::unpack;
