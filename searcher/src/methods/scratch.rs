//! Memory that searches use again.

use crate::feedback::sums::TermSums;
use crate::methods::impact::ImpactScratch;
use crate::methods::query::QueryTable;
use crate::methods::seismic::SeismicScratch;
use crate::methods::wide::WideTable;

/// What one search by vector works in.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) table: QueryTable,
    pub(crate) wide: WideTable,
    /// One for each segment.
    pub(crate) seismic: Vec<SeismicScratch>,
    pub(crate) impact: ImpactScratch,
    /// Of feedback.
    pub(crate) sums: TermSums,
}

impl Scratch {
    /// For terms below `dimension`.
    pub(crate) fn new(dimension: u32) -> Self {
        Self {
            table: QueryTable::new(dimension),
            wide: WideTable::default(),
            seismic: Vec::new(),
            impact: ImpactScratch::default(),
            sums: TermSums::default(),
        }
    }
}
