//! Plain Rust: what is computed, and the oracle of the other forms.

use half::f16;

use super::{Coded, INT8, RESIDUAL, SIGN, Sums};
use crate::query::{LANES, QueryRows};

/// MaxSim by lanes over coded rows.
pub(super) fn coded<const KIND: u8, const BOUNDS: bool>(
    query: &QueryRows,
    document: &Coded<'_>,
) -> Sums {
    let stride = query.stride();
    let mut sums = Sums::ZERO;
    let mut row = vec![0i8; stride];
    let groups = query.groups();
    for group in 0..groups {
        let mut best = [[f32::NEG_INFINITY; LANES]; 3];
        let bytes = &query.bytes()[group * stride * LANES..(group + 1) * stride * LANES];
        for (t, scale) in document.scales.iter().enumerate() {
            decode::<KIND>(document, t, &mut row);
            for lane in 0..LANES {
                let mut dot = 0i32;
                for (d, value) in row.iter().enumerate() {
                    let q = bytes[d / 4 * 4 * LANES + lane * 4 + d % 4];
                    dot += i32::from(*value) * i32::from(q);
                }
                let mut value = to_f32(dot) * scale;
                if KIND == RESIDUAL {
                    let at = document.centroid[t] as usize * groups + group;
                    value += document.table[at * LANES + lane];
                }
                best[0][lane] = best[0][lane].max(value);
                if BOUNDS {
                    let off = query.reach()[group * LANES + lane] * document.errors[t];
                    best[1][lane] = best[1][lane].max(value - off);
                    best[2][lane] = best[2][lane].max(value + off);
                }
            }
        }
        let scales = &query.scales()[group * LANES..][..LANES];
        for (lane, scale) in scales.iter().enumerate() {
            sums.score[lane] += best[0][lane] * scale;
            if BOUNDS {
                sums.lower[lane] += best[1][lane] * scale;
                sums.upper[lane] += best[2][lane] * scale;
            }
        }
    }
    sums
}

#[expect(clippy::cast_precision_loss, reason = "the rounding that the kernels share")]
fn to_f32(dot: i32) -> f32 {
    dot as f32
}

/// Row `t` in signed bytes.
fn decode<const KIND: u8>(document: &Coded<'_>, t: usize, out: &mut [i8]) {
    let stride = out.len();
    match KIND {
        INT8 => {
            let row = &document.rows[t * stride..][..stride];
            out.iter_mut().zip(row).for_each(|(o, b)| *o = b.cast_signed());
        }
        RESIDUAL => {
            let half = stride / 2;
            let row = &document.rows[t * half..][..half];
            let (low, high) = out.split_at_mut(half);
            for ((low, high), byte) in low.iter_mut().zip(high).zip(row) {
                *low = document.levels[usize::from(byte & 15)];
                *high = document.levels[usize::from(byte >> 4)];
            }
        }
        _ => {
            debug_assert_eq!(KIND, SIGN);
            let row = &document.rows[t * stride / 8..][..stride / 8];
            for (d, out) in out.iter_mut().enumerate() {
                *out = if row[d / 8] >> (d % 8) & 1 == 1 { 1 } else { -1 };
            }
        }
    }
}

/// MaxSim by lanes over fp16 rows, `stride` values each.
pub(super) fn fp16(query: &QueryRows, document: &[u16]) -> Sums {
    let stride = query.stride();
    let mut sums = Sums::ZERO;
    for group in 0..query.groups() {
        let mut best = [f32::NEG_INFINITY; LANES];
        let floats = &query.floats()[group * stride * LANES..(group + 1) * stride * LANES];
        for row in document.chunks_exact(stride) {
            let mut dots = [0f32; LANES];
            for (value, lanes) in row.iter().zip(floats.chunks_exact(LANES)) {
                let value = f16::from_bits(*value).to_f32();
                for (dot, q) in dots.iter_mut().zip(lanes) {
                    *dot = value.mul_add(*q, *dot);
                }
            }
            for (best, dot) in best.iter_mut().zip(dots) {
                *best = best.max(dot);
            }
        }
        sums.score.iter_mut().zip(best).for_each(|(sum, best)| *sum += best);
    }
    sums
}
