//! For each row of a segment, rows whose dense vectors are near it: a graph that searches of the dense channel walk.
//!
//! A row has at most [`MOST_DEGREE`] neighbours, the same number of places for each. Walks begin at the entries, rows
//! that were drawn at random. The part was made of one file of dense vectors and names its checksum: beside another it
//! is as if absent. Measured beams say how many rows a walk has to keep for a wanted overlap.

use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::container::{Part, PartWriter, Verify, Written, hex};
use crate::error::IndexError;
use crate::part::SegmentPart;

/// Name of the part kind.
pub const KIND: &str = "neighbours";
/// Version written.
pub const VERSION: u32 = 1;
/// Versions read (end exclusive).
pub(crate) const READABLE: Range<u32> = 1..VERSION + 1;
/// Most neighbours of a row.
pub const MOST_DEGREE: u32 = 256;
/// Most rows that the search for a row's neighbours keeps.
pub const MOST_BEAM: u32 = 4096;
/// In place of a neighbour that is missing.
pub const NONE: u32 = u32::MAX;

/// How a graph is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighbourParams {
    /// Most neighbours of a row.
    pub degree: u32,
    /// Rows that the search for a row's neighbours keeps.
    pub beam: u32,
}

impl NeighbourParams {
    /// Whether a graph can be made so.
    ///
    /// # Errors
    /// [`IndexError::Limit`], unless the degree is 1 to [`MOST_DEGREE`] and the beam 1 to [`MOST_BEAM`].
    pub fn check(self) -> Result<(), IndexError> {
        let numbers = [
            ("neighbours of a row, 1 or more", self.degree, MOST_DEGREE),
            ("rows that a graph's build keeps, 1 or more", self.beam, MOST_BEAM),
        ];
        match numbers.into_iter().find(|(_, found, most)| *found == 0 || found > most) {
            None => Ok(()),
            Some((what, found, most)) => Err(IndexError::Limit {
                what: what.to_owned(),
                found: found.into(),
                limit: most.into(),
            }),
        }
    }
}

/// What walks with a beam found and cost when the graph was made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeasuredBeam {
    /// Results asked for.
    pub k: u32,
    /// Rows kept.
    pub beam: u32,
    /// Mean overlap@k with the scan.
    pub overlap: f64,
    /// Mean number of rows scored.
    pub scored: f64,
}

/// What the part says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NeighboursMeta {
    /// How it was made.
    pub params: NeighbourParams,
    /// Seed of the random choices.
    pub seed: u64,
    /// Checksum of the part of dense vectors that it was made of.
    pub dense: String,
    /// Measured beams, ascending by k and beam; none for a segment too small to measure.
    pub measured: Vec<MeasuredBeam>,
}

/// A graph in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct NeighbourGraph {
    /// Places for neighbours of a row.
    pub degree: usize,
    /// `degree` for each row; missing ones are [`NONE`], behind the others.
    pub rows: Vec<u32>,
    /// Where walks begin.
    pub entries: Vec<u32>,
}

impl NeighbourGraph {
    /// The same, borrowed.
    #[must_use]
    pub fn view(&self) -> NeighbourRows<'_> {
        NeighbourRows { degree: self.degree, rows: &self.rows, entries: &self.entries }
    }
}

/// A graph, borrowed once a query. Row numbers of a part whose bytes were not checked may be of no row.
#[derive(Debug, Clone, Copy)]
pub struct NeighbourRows<'a> {
    /// Places for neighbours of a row.
    pub degree: usize,
    /// `degree` for each row; missing ones are [`NONE`].
    pub rows: &'a [u32],
    /// Where walks begin.
    pub entries: &'a [u32],
}

impl<'a> NeighbourRows<'a> {
    /// The places of a row; none of one that is not there.
    #[must_use]
    #[inline]
    pub fn of(&self, row: u32) -> &'a [u32] {
        let at = row as usize * self.degree;
        self.rows.get(at..at + self.degree).unwrap_or_default()
    }
}

/// Writes the part of a segment of `documents` rows.
///
/// # Errors
/// When the graph has another number of rows than `documents`, its parameters are out of range, or the disk refuses.
pub fn write(
    path: &Path,
    documents: u64,
    graph: NeighbourRows<'_>,
    meta: &NeighboursMeta,
) -> Result<Written, IndexError> {
    meta.params.check()?;
    let wanted = usize::try_from(documents).ok().and_then(|rows| rows.checked_mul(graph.degree));
    if wanted != Some(graph.rows.len()) || meta.params.degree as usize != graph.degree {
        return Err(IndexError::corrupt(path, "the graph is of another number of rows"));
    }
    let mut part = PartWriter::create(path, KIND, VERSION)?;
    part.put_section("rows", graph.rows)?;
    part.put_section("entries", graph.entries)?;
    part.put_json("meta", meta)?;
    part.finish(documents)
}

/// The graph of an open segment.
#[derive(Debug, Clone)]
pub struct Neighbours {
    part: Part,
    meta: NeighboursMeta,
}

impl Neighbours {
    /// What the part says of itself.
    #[must_use]
    pub fn meta(&self) -> &NeighboursMeta {
        &self.meta
    }

    /// Bytes of the part.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.part.file().len() as u64
    }

    /// The graph.
    ///
    /// # Errors
    /// When a section is missing, which an open part's is not.
    pub fn graph(&self) -> Result<NeighbourRows<'_>, IndexError> {
        Ok(NeighbourRows {
            degree: self.meta.params.degree as usize,
            rows: self.part.array("rows")?,
            entries: self.part.array("entries")?,
        })
    }

    /// Whether it was made of this part.
    pub(crate) fn is_of(&self, dense: &Part) -> bool {
        self.meta.dense == hex(dense.checksum())
    }

    /// Refuses row numbers that the segment does not have. Cost: reads the part once.
    fn check_rows(&self) -> Result<(), IndexError> {
        let NeighbourRows { rows, entries, .. } = self.graph()?;
        let beyond = |row: &u32| u64::from(*row) >= self.part.documents();
        let wrong = rows.iter().find(|row| **row != NONE && beyond(row));
        match wrong.or_else(|| entries.iter().find(|row| beyond(row))) {
            None => Ok(()),
            Some(row) => Err(IndexError::corrupt(
                self.part.path(),
                format!("a neighbour is row {row} of {}", self.part.documents()),
            )),
        }
    }
}

impl SegmentPart for Neighbours {
    fn read(part: Part, verify: Verify) -> Result<Self, IndexError> {
        let meta: NeighboursMeta = part.json("meta")?;
        let corrupt = |what: String| Err(IndexError::corrupt(part.path(), what));
        let degree = meta.params.degree;
        if degree == 0 || degree > MOST_DEGREE {
            return corrupt(format!("{degree} neighbours of a row; expected 1 to {MOST_DEGREE}"));
        }
        let (rows, entries): (&[u32], &[u32]) = (part.array("rows")?, part.array("entries")?);
        if part.documents().checked_mul(u64::from(degree)) != Some(rows.len() as u64) {
            return corrupt(format!("{} neighbours of {} rows", rows.len(), part.documents()));
        }
        if entries.len() as u64 > part.documents() {
            return corrupt(format!("{} entries of {} rows", entries.len(), part.documents()));
        }
        let sound = |m: &MeasuredBeam| {
            m.k > 0 && m.beam > 0 && (0.0..=1.0).contains(&m.overlap) && m.scored >= 0.0
        };
        if !meta.measured.iter().all(sound) {
            return corrupt("a measured beam is out of range".to_owned());
        }
        let read = Self { part, meta };
        if verify == Verify::Full {
            read.check_rows()?;
        }
        Ok(read)
    }

    fn part(&self) -> &Part {
        &self.part
    }

    fn part_mut(&mut self) -> &mut Part {
        &mut self.part
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::resealed;
    use proptest::prelude::*;
    use std::fs;

    fn meta() -> NeighboursMeta {
        NeighboursMeta {
            params: NeighbourParams { degree: 2, beam: 8 },
            seed: 9,
            dense: "00".to_owned(),
            measured: vec![MeasuredBeam { k: 1, beam: 4, overlap: 0.5, scored: 3.0 }],
        }
    }

    fn golden() -> NeighbourGraph {
        NeighbourGraph { degree: 2, rows: vec![1, 2, 0, NONE, NONE, NONE], entries: vec![1] }
    }

    fn bytes() -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        write(&path, 3, golden().view(), &meta()).unwrap();
        fs::read(path).unwrap()
    }

    fn opened(bytes: &[u8], verify: Verify) -> Result<Neighbours, IndexError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        fs::write(&path, bytes).unwrap();
        Neighbours::read(Part::open(&path, KIND, READABLE, verify)?, verify)
    }

    fn replaced(from: &[u8], to: &[u8]) -> Vec<u8> {
        let mut spoilt = bytes();
        let at = spoilt.windows(from.len()).position(|w| w == from).unwrap();
        spoilt[at..at + to.len()].copy_from_slice(to);
        resealed(spoilt)
    }

    #[test]
    fn parameters_that_make_no_graph_are_refused() {
        for (degree, beam, fits) in [
            (1, 1, true),
            (256, 4096, true),
            (0, 8, false),
            (257, 8, false),
            (8, 0, false),
            (8, 4097, false),
        ] {
            assert_eq!(NeighbourParams { degree, beam }.check().is_ok(), fits, "{degree} {beam}");
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let read = opened(&bytes(), Verify::Full).unwrap();
        assert_eq!((read.meta(), read.part().documents()), (&meta(), 3));
        let graph = read.graph().unwrap();
        assert_eq!(
            (graph.of(0), graph.of(1), graph.entries),
            (&[1, 2][..], &[0, NONE][..], &[1][..])
        );
        assert!(graph.of(3).is_empty() && graph.of(u32::MAX).is_empty());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        assert!(write(&path, 4, golden().view(), &meta()).is_err());
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let ascii = |from: &str, to: &str| replaced(from.as_bytes(), to.as_bytes());
        for spoilt in [
            replaced(bytemuck::cast_slice(&[1u32, 2, 0]), bytemuck::cast_slice(&[3u32])),
            ascii("\"degree\":2", "\"degree\":3"),
            ascii("\"degree\":2", "\"degree\":0"),
            ascii("\"overlap\":0.5", "\"overlap\":1.5"),
            ascii("\"k\":1", "\"k\":0"),
        ] {
            let error = opened(&spoilt, Verify::Full).unwrap_err();
            assert!(matches!(error, IndexError::Corrupt { .. }), "{error:?}");
        }
    }

    proptest! {
        #[test]
        fn nonsense_under_a_valid_checksum_does_not_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut spoilt = bytes();
            for (at, value) in changes {
                let at = at.index(spoilt.len());
                spoilt[at] = value;
            }
            for verify in [Verify::Full, Verify::Envelope] {
                if let Ok(read) = opened(&resealed(spoilt.clone()), verify) {
                    let graph = read.graph().unwrap();
                    let _ = (0..6).map(|row| graph.of(row).len()).sum::<usize>();
                }
            }
        }
    }
}
