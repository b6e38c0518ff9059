//! What a query is matched against, by Seismic.

use std::time::Instant;

use quarry_index::Segment;
use quarry_index::forward::Records;
use quarry_index::seismic::SeismicLists;

use crate::error::SearchError;
use crate::filter::rows::RowSet;
use crate::kernels::Kernels;
use crate::methods::scorer::Scorer;

/// What a query is matched against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) segment: &'a Segment,
    pub(crate) records: Records<'a>,
    pub(crate) lists: &'a SeismicLists,
    /// The rows that the filter allows; `None` means all.
    pub(crate) allowed: Option<&'a RowSet>,
    pub(crate) kernels: Kernels,
    pub(crate) scorer: Scorer<'a>,
    /// Score of a query weight of one times a level of one in the lists.
    pub(crate) unit: f64,
    pub(crate) deadline: Option<Instant>,
}

impl Target<'_> {
    pub(super) fn in_time(&self) -> Result<(), SearchError> {
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(SearchError::Timeout),
            _ => Ok(()),
        }
    }
}
