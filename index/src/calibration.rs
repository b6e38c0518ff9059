//! What a segment's search methods cost and how well they agree with the exact search: the planner's
//! table. One JSON section; small, optional, replaced by a new measurement in a later generation.
//!
//! Overlaps and counts of work depend on the segment and the seed alone. Times are the counts times
//! what one of each takes on the machine that measured ([`Units`]), so that they stand in the right
//! order whatever else that machine did.

use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::container::{Part, PartWriter, Verify, Written};
use crate::error::IndexError;
use crate::part::SegmentPart;

/// Name of the part kind.
pub const KIND: &str = "calibration";
/// Version written. Version 1 had times of its own for every point, and neither counts nor kept
/// shares; it is read, and planned by as it stands.
pub const VERSION: u32 = 2;
/// Versions read (end exclusive).
pub(crate) const READABLE: Range<u32> = 1..VERSION + 1;

/// Parameters of a search method; those that the method does not have are absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Impact, clusters: postings added up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postings: Option<u32>,
    /// Impact: documents scored exactly. Clusters: clusters whose documents are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidates: Option<u32>,
    /// Seismic: query terms whose lists are visited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_cut: Option<u32>,
    /// Seismic: share of the threshold that a block's estimate must reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heap_factor: Option<f32>,
    /// Share of a query that is kept at least, in [0, 1], whatever `postings` or `query_cut` say. Impact,
    /// clusters: of the worth of all its postings. Seismic: of the weight of its terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<f32>,
}

/// What a search does, mean over queries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Terms of the query.
    pub terms: f64,
    /// Postings added up.
    pub postings: f64,
    /// Documents scored exactly.
    pub documents: f64,
    /// Blocks whose summary was looked at.
    pub blocks: f64,
}

/// Microseconds that one of each takes, on one thread of the machine that measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Units {
    /// The method's name.
    pub method: String,
    /// Whatever a query does, with all that grows with the segment alone.
    pub query: f64,
    /// One of each.
    pub each: Work,
}

impl Units {
    /// Microseconds of a query that does `work`.
    #[must_use]
    pub fn micros(&self, work: &Work) -> f64 {
        self.query
            + self.each.terms * work.terms
            + self.each.postings * work.postings
            + self.each.documents * work.documents
            + self.each.blocks * work.blocks
    }
}

/// One setting, measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The parameters.
    pub setting: Setting,
    /// overlap@k with the exact search, mean over the queries, in [0, 1].
    pub overlap: f64,
    /// Microseconds a query on one thread: [`Units::micros`] of `work`.
    pub micros: f64,
    /// What was counted; absent in version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
}

/// A method's points for one k and one kind of query, cheapest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The method's name: `impact`, `seismic`, `clusters`, `exact`.
    pub method: String,
    /// Number of results, k.
    pub k: u32,
    /// Mean number of terms of the queries measured.
    pub query_terms: f64,
    /// Mean number of terms that the queries would have, were all of their weights equal: the square
    /// of the sum of weights through the sum of their squares. Absent in version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub even_terms: Option<f64>,
    /// Its points; one of overlap 1 for `exact`.
    pub points: Vec<Point>,
}

/// A segment's table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// What was asked: `documents` for queries made of the segment's own documents, otherwise the
    /// name of the query file.
    pub source: String,
    /// Queries measured, of each kind.
    pub queries: u32,
    /// Instructions of the inner loops: `scalar`, `avx2` or `avx512`.
    pub kernels: String,
    /// What one of each thing that is counted takes, by method; none in version 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<Units>,
    /// All curves.
    pub curves: Vec<Curve>,
}

impl Calibration {
    /// Writes the part.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, path: &Path, documents: u64) -> Result<Written, IndexError> {
        let mut part = PartWriter::create(path, KIND, VERSION)?;
        part.put_json("table", self)?;
        part.finish(documents)
    }
}

/// The table of an open segment, with its part: that says how many rows were measured.
#[derive(Debug)]
pub(crate) struct StoredCalibration {
    part: Part,
    table: Calibration,
}

impl StoredCalibration {
    pub(crate) fn table(&self) -> &Calibration {
        &self.table
    }
}

impl SegmentPart for StoredCalibration {
    fn read(part: Part, _: Verify) -> Result<Self, IndexError> {
        let table: Calibration = part.json("table")?;
        let points = || table.curves.iter().flat_map(|c| &c.points);
        if points().any(|p| !(p.overlap.is_finite() && p.micros.is_finite() && p.micros >= 0.0)) {
            return Err(IndexError::corrupt(part.path(), "a point is not a number"));
        }
        Ok(Self { part, table })
    }

    fn part(&self) -> &Part {
        &self.part
    }

    fn part_mut(&mut self) -> &mut Part {
        &mut self.part
    }
}
