//! Which form of each inner loop runs.

#[cfg(target_arch = "x86_64")]
use quarry_index::forward::{LevelWidth, SLACK, TermWidth};
use quarry_index::forward::{Place, Records};
use quarry_vectors::DocId;

use super::{LANES, scalar};
use crate::methods::collect::Scored;
use crate::methods::query::{QueryTable, to_score};
use crate::methods::scorer::Scorer;

/// The instructions that inner loops use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kernels {
    /// Plain Rust.
    Scalar,
    /// AVX2 and BMI2.
    Avx2,
    /// AVX-512 with BW, VL and VBMI2, and BMI2.
    Avx512,
}

impl Kernels {
    /// The best that this CPU has.
    #[must_use]
    pub fn detect() -> Self {
        Self::available()
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

    fn available() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
        {
            if is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vbmi2")
            {
                return Self::Avx512;
            }
            if is_x86_feature_detected!("avx2") {
                return Self::Avx2;
            }
        }
        Self::Scalar
    }

    /// Every form that this CPU can run.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        let best = Self::available();
        [Self::Scalar, Self::Avx2, Self::Avx512].into_iter().filter(|k| *k <= best).collect()
    }

    /// The integer score of a document.
    ///
    /// # Panics
    /// When the segment has no such document.
    #[inline]
    pub(crate) fn score(self, table: &QueryTable, records: &Records<'_>, doc: DocId) -> i64 {
        #[cfg(target_arch = "x86_64")]
        if self != Self::Scalar
            && records.term_width() == TermWidth::U16
            && records.level_width() == LevelWidth::U8
        {
            let Place { start, components: count } = records.place(doc);
            if let Some(bytes) = records.bytes().get(start..start + 3 * count + SLACK) {
                return match self {
                    Self::Avx512 => super::avx512::score(table, bytes, count),
                    _ => super::avx2::score(table, bytes, count),
                };
            }
        }
        table.score(&records.record(doc), records.term_width(), records.level_width())
    }

    /// A document's score in original units; `None` if it matches nothing.
    ///
    /// # Panics
    /// When the segment has no such document.
    #[inline]
    pub(crate) fn score_one(
        self,
        scorer: Scorer<'_>,
        records: &Records<'_>,
        doc: DocId,
    ) -> Option<f64> {
        match scorer {
            Scorer::Narrow(table, unit) => {
                let sum = self.score(table, records, doc);
                (sum > 0).then(|| to_score(sum, unit))
            }
            Scorer::Wide(table) => table.score(&records.record(doc)),
        }
    }

    /// The scores of many documents, in the order of `docs`, without those that match nothing.
    ///
    /// # Panics
    /// When the segment lacks one of them.
    pub(crate) fn score_all(
        self,
        scorer: Scorer<'_>,
        records: &Records<'_>,
        docs: &[u32],
        out: &mut Vec<Scored>,
    ) {
        let (table, unit) = match scorer {
            Scorer::Narrow(table, unit) => (table, unit),
            Scorer::Wide(table) => {
                return out.extend(docs.iter().filter_map(|doc| {
                    let doc = DocId(*doc);
                    Some(Scored { score: table.score(&records.record(doc))?, doc })
                }));
            }
        };
        #[cfg(target_arch = "x86_64")]
        if records.term_width() == TermWidth::U16 && records.level_width() == LevelWidth::U8 {
            match self {
                Self::Avx512 => return super::avx512::score_all(table, records, (docs, unit), out),
                Self::Avx2 => return super::avx2::score_all(table, records, (docs, unit), out),
                Self::Scalar => {}
            }
        }
        for doc in docs {
            let doc = DocId(*doc);
            let sum = self.score(table, records, doc);
            if sum > 0 {
                out.push(Scored { score: to_score(sum, unit), doc });
            }
        }
    }

    /// Appends the dot product of `query` with each row of `docs`, in their order; a row is as long as the query.
    /// Sums must fit 32 bits.
    ///
    /// # Panics
    /// When the query's length is not a multiple of 32, or a row is not there.
    pub(crate) fn dots_i8(self, query: &[i16], rows: &[i8], docs: &[u32], out: &mut Vec<i32>) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => super::avx512::dots_i8(query, rows, docs, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => super::avx2::dots_i8(query, rows, docs, out),
            _ => scalar::dots_i8(query, rows, docs, out),
        }
    }

    /// [`Self::dots_i8`] of rows in half precision (their bits): chains of fused multiply-adds in 16 lanes.
    ///
    /// # Panics
    /// As [`Self::dots_i8`].
    pub(crate) fn dots_f16(self, query: &[f32], rows: &[u16], docs: &[u32], out: &mut Vec<f32>) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => super::avx512::dots_f16(query, rows, docs, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 if fuses() => super::avx2::dots_f16(query, rows, docs, out),
            _ => scalar::dots_f16(query, rows, docs, out),
        }
    }

    /// [`Self::dots_f16`] of rows in single precision.
    ///
    /// # Panics
    /// As [`Self::dots_i8`].
    pub(crate) fn dots_f32(self, query: &[f32], rows: &[f32], docs: &[u32], out: &mut Vec<f32>) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => super::avx512::dots_f32(query, rows, docs, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 if fuses() => super::avx2::dots_f32(query, rows, docs, out),
            _ => scalar::dots_f32(query, rows, docs, out),
        }
    }

    /// The largest accumulator of each of 256 lanes, over every `stride`-th line; lane `l` of four
    /// lines side by side.
    pub(crate) fn maxima_u8(self, acc: &[u8], stride: usize) -> [u8; LANES] {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => super::avx512::maxima_u8(acc, stride),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => super::avx2::maxima_u8(acc, stride),
            _ => scalar::maxima_u8(acc, stride),
        }
    }

    /// Appends `value << 32 | base + position` of every accumulator that reaches `threshold` (at least 1),
    /// in order, and clears all of them. Whole lines.
    pub(crate) fn sweep_u8(self, acc: &mut [u8], threshold: u8, base: usize, out: &mut Vec<u64>) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => super::avx512::sweep_u8(acc, threshold, base, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => super::avx2::sweep_u8(acc, threshold, base, out),
            _ => scalar::sweep_u8(acc, threshold, base, out),
        }
    }

    /// [`Self::maxima_u8`] for accumulators of two bytes: eight lines side by side.
    pub(crate) fn maxima_u16(self, acc: &[u16], stride: usize) -> [u16; LANES] {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => super::avx512::maxima_u16(acc, stride),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => super::avx2::maxima_u16(acc, stride),
            _ => scalar::maxima_u16(acc, stride),
        }
    }

    /// Clears the accumulators whose bit is not set; there are bits for all of them.
    ///
    /// # Panics
    /// When there are not.
    pub(crate) fn mask_u8(self, acc: &mut [u8], bits: &[u64]) {
        assert!(64 * bits.len() >= acc.len(), "fewer bits than accumulators");
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => super::avx512::mask_u8(acc, bits),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => super::avx2::mask_u8(acc, bits),
            _ => scalar::mask(acc, bits),
        }
    }

    /// [`Self::mask_u8`] for accumulators of two bytes.
    pub(crate) fn mask_u16(self, acc: &mut [u16], bits: &[u64]) {
        assert!(64 * bits.len() >= acc.len(), "fewer bits than accumulators");
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => super::avx512::mask_u16(acc, bits),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => super::avx2::mask_u16(acc, bits),
            _ => scalar::mask(acc, bits),
        }
    }

    /// [`Self::sweep_u8`] for accumulators of two bytes.
    pub(crate) fn sweep_u16(
        self,
        acc: &mut [u16],
        threshold: u16,
        base: usize,
        out: &mut Vec<u64>,
    ) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => super::avx512::sweep_u16(acc, threshold, base, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => super::avx2::sweep_u16(acc, threshold, base, out),
            _ => scalar::sweep_u16(acc, threshold, base, out),
        }
    }
}

/// Whether a CPU with AVX2 has fused multiply-adds and half precision, as nearly all do.
#[cfg(target_arch = "x86_64")]
fn fuses() -> bool {
    is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
}
