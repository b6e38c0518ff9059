//! What the parts of a segment have in common, whatever their kind.

use std::any::Any;
use std::fmt::Debug;

use crate::container::{Part, Verify};
use crate::error::IndexError;

/// An open part of a segment. Each kind has one type, in the file with its format; `kinds.rs` lists them.
pub(crate) trait SegmentPart: Any + Debug + Send + Sync {
    /// Reads the sections of a part whose envelope and version were checked, and with `verify` its bytes;
    /// checks that its numbers fit together.
    fn read(part: Part, verify: Verify) -> Result<Self, IndexError>
    where
        Self: Sized;

    /// The file: its envelope says how many rows the part covers.
    fn part(&self) -> &Part;

    /// The same, to be replaced by a copy in memory.
    fn part_mut(&mut self) -> &mut Part;

    /// Upper bound of the terms that it names: all are below it. 0 for kinds without terms.
    fn terms(&self) -> u32 {
        0
    }
}
