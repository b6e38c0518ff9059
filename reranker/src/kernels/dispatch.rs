//! Which form of each kernel runs, and the checks that their pointers rely on.

use quarry_index::tokens::{Int8Rows, ResidualRows, SignRows};

use super::{Coded, INT8, RESIDUAL, SIGN, Scratch, Sums, lines, scalar, total};
use crate::query::{LANES, QueryRows};

/// The instructions that kernels use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kernels {
    /// Plain Rust.
    Scalar,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 with BW and VNNI.
    Avx512,
}

/// A score from int8 rows, and what the fp16 score cannot be below or above.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Scored {
    /// MaxSim over the int8 rows.
    pub score: f32,
    /// At most the fp16 kernel's score.
    pub lower: f32,
    /// At least the fp16 kernel's score.
    pub upper: f32,
}

impl Kernels {
    /// The best that this CPU has.
    #[must_use]
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vnni")
            {
                return Self::Avx512;
            }
            return Self::Avx2;
        }
        Self::Scalar
    }

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Every form that this CPU can run.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let best = Self::detect();
        [Self::Scalar, Self::Avx2, Self::Avx512].into_iter().filter(|k| *k <= best).collect()
    }

    /// MaxSim with a document's int8 rows.
    ///
    /// # Panics
    /// When the rows are not of the query's dimensions.
    #[must_use]
    pub fn int8(self, query: &QueryRows, rows: &Int8Rows<'_>, scratch: &mut Scratch) -> f32 {
        self.int8_then(query, rows, &[], scratch)
    }

    /// Like [`Self::int8`], but prefetches the next document's rows.
    ///
    /// # Panics
    /// As [`Self::int8`].
    #[must_use]
    pub fn int8_then(
        self,
        query: &QueryRows,
        rows: &Int8Rows<'_>,
        next: &[i8],
        scratch: &mut Scratch,
    ) -> f32 {
        let coded = Coded {
            rows: bytemuck::cast_slice(rows.rows),
            scales: rows.scales,
            next: bytemuck::cast_slice(next),
            ..Coded::default()
        };
        total(self.coded::<INT8, false>(query, &coded, query.stride(), scratch).score)
    }

    /// The same with bounds of what the fp16 rows would give.
    ///
    /// # Panics
    /// As [`Self::int8`].
    #[must_use]
    pub fn int8_bounds(
        self,
        query: &QueryRows,
        rows: &Int8Rows<'_>,
        scratch: &mut Scratch,
    ) -> Scored {
        self.int8_bounds_then(query, rows, &[], scratch)
    }

    /// Like [`Self::int8_bounds`], but prefetches the next document's rows.
    ///
    /// # Panics
    /// As [`Self::int8`].
    #[must_use]
    pub fn int8_bounds_then(
        self,
        query: &QueryRows,
        rows: &Int8Rows<'_>,
        next: &[i8],
        scratch: &mut Scratch,
    ) -> Scored {
        assert_eq!(rows.errors.len(), rows.scales.len(), "an error a row");
        let coded = Coded {
            rows: bytemuck::cast_slice(rows.rows),
            scales: rows.scales,
            errors: rows.errors,
            next: bytemuck::cast_slice(next),
            ..Coded::default()
        };
        if rows.scales.is_empty() {
            return Scored::default();
        }
        let sums = self.coded::<INT8, true>(query, &coded, query.stride(), scratch);
        let margin = query.margin();
        Scored {
            score: total(sums.score),
            lower: (total(sums.lower) - margin).next_down(),
            upper: (total(sums.upper) + margin).next_up(),
        }
    }

    /// MaxSim with a document's 4-bit rows; `table` is [`QueryRows::centroid_table`] of the store.
    ///
    /// # Panics
    /// As [`Self::int8`]; when the table is not of these centroids.
    #[must_use]
    pub fn residual(
        self,
        query: &QueryRows,
        rows: &ResidualRows<'_>,
        table: &[f32],
        scratch: &mut Scratch,
    ) -> f32 {
        assert_eq!(rows.levels.len(), 16, "sixteen levels");
        assert_eq!(rows.centroid.len(), rows.scales.len(), "a centroid a row");
        let centroids = rows.centroids.len() / rows.stride;
        assert_eq!(table.len(), centroids * query.groups() * LANES, "a table of the query");
        let most = rows.centroid.iter().max().map_or(0, |c| *c as usize);
        assert!(rows.centroid.is_empty() || most < centroids, "a centroid of the store");
        let coded = Coded {
            rows: rows.rows,
            scales: rows.scales,
            centroid: rows.centroid,
            table,
            levels: rows.levels,
            ..Coded::default()
        };
        total(self.coded::<RESIDUAL, false>(query, &coded, query.stride() / 2, scratch).score)
    }

    /// MaxSim with the signs of a document's rows.
    ///
    /// # Panics
    /// As [`Self::int8`].
    #[must_use]
    pub fn signs(self, query: &QueryRows, rows: &SignRows<'_>, scratch: &mut Scratch) -> f32 {
        let coded = Coded { rows: rows.rows, scales: rows.scales, ..Coded::default() };
        total(self.coded::<SIGN, false>(query, &coded, query.stride() / 8, scratch).score)
    }

    /// MaxSim with a document's fp16 rows.
    ///
    /// # Panics
    /// When they are not whole rows of the query's dimensions.
    #[must_use]
    pub fn fp16(self, query: &QueryRows, rows: &[u16], scratch: &mut Scratch) -> f32 {
        assert!(rows.len().is_multiple_of(query.stride()), "whole rows");
        if rows.is_empty() {
            return 0.0;
        }
        let sums = match self.min(Self::detect()) {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => super::avx512::fp16(query, rows, scratch.floats(query.stride())),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => super::avx2::fp16(query, rows, scratch.floats(query.stride())),
            _ => scalar::fp16(query, rows),
        };
        total(sums.score)
    }

    fn coded<const KIND: u8, const BOUNDS: bool>(
        self,
        query: &QueryRows,
        document: &Coded<'_>,
        bytes_a_row: usize,
        scratch: &mut Scratch,
    ) -> Sums {
        let rows = document.scales.len();
        assert_eq!(document.rows.len(), rows * bytes_a_row, "rows of the query's dimensions");
        if rows == 0 {
            return Sums::ZERO;
        }
        let _ = &scratch;
        match self.min(Self::detect()) {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                let room = scratch.bytes(query.stride());
                super::avx512::coded::<KIND, BOUNDS>(query, document, room)
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                lines(document.next, 0..document.next.len());
                let room = scratch.pairs(query.stride());
                super::avx2::coded::<KIND, BOUNDS>(query, document, room)
            }
            _ => {
                lines(document.next, 0..document.next.len());
                scalar::coded::<KIND, BOUNDS>(query, document)
            }
        }
    }
}
