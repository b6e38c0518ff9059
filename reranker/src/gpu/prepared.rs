//! A query's rows as the device and the CPU take them, and what comes back.

use half::f16;

use crate::cuda::{self, Kind, Scores};
use crate::kernels::Scored;
use crate::query::{LANES, QueryRows};

/// A query's rows as the device and the CPU take them.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) rows: QueryRows,
    bytes: Vec<u8>,
    scales: Vec<f32>,
    reach: Vec<f32>,
    halves: Vec<u8>,
    /// Half the distance that bounds keep: the CPU's, and what halves of the query lose.
    pub(super) margin: f32,
    /// What sums of a score's parts in two orders differ by, at most.
    sums: [f64; 2],
}

impl Prepared {
    pub(super) fn new(rows: QueryRows, max_norm: f32) -> Self {
        let (stride, count) = (rows.stride(), rows.len());
        let mut bytes = vec![0; count * stride];
        let mut halves = vec![0; 2 * count * stride];
        let (mut lost, mut lengths) = (0.0, 0.0);
        for row in 0..count {
            let (base, lane) = (row / LANES * stride, row % LANES);
            let (mut moved, mut length) = (0.0, 0.0);
            for d in 0..stride {
                bytes[row * stride + d] =
                    rows.bytes()[(base + d / 4 * 4) * LANES + lane * 4 + d % 4].cast_unsigned();
                let value = rows.values()[row * stride + d];
                let half = f16::from_f32(value);
                halves[2 * (row * stride + d)..][..2].copy_from_slice(&half.to_le_bytes());
                moved += f64::from(value - half.to_f32()).powi(2);
                length += f64::from(value).powi(2);
            }
            lost += moved.sqrt();
            lengths += length.sqrt();
        }
        // Halves of the query, and sums of the tensor cores that may cut where the CPU rounds.
        #[expect(clippy::cast_precision_loss, reason = "some hundred")]
        let steps = (2 * stride + 64) as f64 * f64::from(f32::EPSILON);
        let more = (lost + steps * lengths) * f64::from(max_norm);
        #[expect(clippy::cast_possible_truncation, reason = "goes up to the next f32 afterwards")]
        let margin = ((f64::from(rows.margin()) + more) as f32).next_up();
        let scales = rows.scales()[..count].to_vec();
        let reach = rows.reach()[..count].to_vec();
        // Of fp16 the parts too: the device's products are its own, whatever the kernel.
        let sums = [rows.sum_error(), rows.sum_error() + 2.0 * more];
        Self { rows, bytes, scales, reach, halves, margin, sums }
    }

    /// What two kernels' scores of one document differ by, at most, because they add up in other orders.
    pub(super) fn sum_error(&self, kind: Kind) -> f64 {
        self.sums[usize::from(kind == Kind::Fp16)]
    }

    pub(super) fn rows(&self, kind: Kind) -> cuda::QueryRows<'_> {
        match kind {
            Kind::Int8 => {
                cuda::QueryRows { bytes: &self.bytes, scales: &self.scales, reach: &self.reach }
            }
            Kind::Fp16 => cuda::QueryRows { bytes: &self.halves, scales: &[], reach: &[] },
        }
    }
}

impl Scores {
    /// One score; with bounds, a margin wider, as the CPU's kernels give it. Without a margin that
    /// of a document without rows.
    pub(super) fn scored(&self, at: usize, margin: Option<f32>) -> Scored {
        let Some(margin) = margin else { return Scored::default() };
        let bound = |values: &[f32]| values.get(at).copied();
        Scored {
            score: self.scores[at],
            lower: bound(&self.lower).map_or(0.0, |l| (l - margin).next_down()),
            upper: bound(&self.upper).map_or(0.0, |u| (u + margin).next_up()),
        }
    }
}
