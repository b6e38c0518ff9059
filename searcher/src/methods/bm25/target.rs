//! Where words are searched.

use quarry_index::Segment;
use quarry_index::text::TextIndex;

use crate::filter::rows::RowSet;
use crate::kernels::Kernels;

/// A segment with text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) segment: &'a Segment,
    pub(crate) text: &'a TextIndex,
    /// The segment's place among those with text.
    pub(crate) place: usize,
    /// The rows that the filter allows; `None` means all.
    pub(crate) allowed: Option<&'a RowSet>,
    pub(crate) kernels: Kernels,
}
