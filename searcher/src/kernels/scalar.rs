//! The plain forms. A document's plain score stands with the query's table.

use half::f16;

use super::{FLOATS, LANES, LINE};

/// What some components add to a score. Stands apart from kernels that pick the components: there
/// the compiler would make gathers of it, of lines just written, which take several times as long.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
pub(super) fn sum(weights: &[i32; 1 << 16], terms: &[u16], levels: &[u8]) -> i64 {
    let of =
        |(term, level): (&u16, &u8)| i64::from(weights[usize::from(*term)]) * i64::from(*level);
    terms.iter().zip(levels).map(of).sum()
}

pub(super) fn maxima_u8(acc: &[u8], stride: usize) -> [u8; LANES] {
    let mut out = [0; LANES];
    let lines = acc.len() / LINE;
    let mut line = 0;
    while line + 3 * stride < lines {
        for (side, lanes) in out.chunks_exact_mut(LINE).enumerate() {
            let from = (line + side * stride) * LINE;
            lanes.iter_mut().zip(&acc[from..]).for_each(|(lane, a)| *lane = (*lane).max(*a));
        }
        line += 4 * stride;
    }
    out
}

pub(super) fn maxima_u16(acc: &[u16], stride: usize) -> [u16; LANES] {
    let mut out = [0; LANES];
    let lines = acc.len() / (LINE / 2);
    let mut line = 0;
    while line + 7 * stride < lines {
        for (side, lanes) in out.chunks_exact_mut(LINE / 2).enumerate() {
            let from = (line + side * stride) * (LINE / 2);
            lanes.iter_mut().zip(&acc[from..]).for_each(|(lane, a)| *lane = (*lane).max(*a));
        }
        line += 8 * stride;
    }
    out
}

pub(super) fn sweep_u8(acc: &mut [u8], threshold: u8, base: usize, out: &mut Vec<u64>) {
    for (at, value) in acc.iter_mut().enumerate() {
        if *value >= threshold {
            out.push(u64::from(*value) << 32 | (base + at) as u64);
        }
        *value = 0;
    }
}

pub(super) fn sweep_u16(acc: &mut [u16], threshold: u16, base: usize, out: &mut Vec<u64>) {
    for (at, value) in acc.iter_mut().enumerate() {
        if *value >= threshold {
            out.push(u64::from(*value) << 32 | (base + at) as u64);
        }
        *value = 0;
    }
}

pub(super) fn mask<T: Default>(acc: &mut [T], bits: &[u64]) {
    for (values, word) in acc.chunks_mut(64).zip(bits) {
        for (at, value) in values.iter_mut().enumerate() {
            if word >> at & 1 == 0 {
                *value = T::default();
            }
        }
    }
}

/// Dot products with the rows of `docs`, in their order.
pub(super) fn dots_i8(query: &[i16], rows: &[i8], docs: &[u32], out: &mut Vec<i32>) {
    for doc in docs {
        let row = &rows[*doc as usize * query.len()..][..query.len()];
        let of = |(value, q): (&i8, &i16)| i32::from(*value) * i32::from(*q);
        out.push(row.iter().zip(query).map(of).sum());
    }
}

/// The same of half precision.
pub(super) fn dots_f16(query: &[f32], rows: &[u16], docs: &[u32], out: &mut Vec<f32>) {
    for doc in docs {
        let row = &rows[*doc as usize * query.len()..][..query.len()];
        out.push(dot(query, row.iter().map(|bits| f16::from_bits(*bits).to_f32())));
    }
}

/// The same of single precision.
pub(super) fn dots_f32(query: &[f32], rows: &[f32], docs: &[u32], out: &mut Vec<f32>) {
    for doc in docs {
        let row = &rows[*doc as usize * query.len()..][..query.len()];
        out.push(dot(query, row.iter().copied()));
    }
}

fn dot(query: &[f32], row: impl Iterator<Item = f32>) -> f32 {
    let mut lanes = [0f32; FLOATS];
    for (at, (value, q)) in row.zip(query).enumerate() {
        let lane = &mut lanes[at % FLOATS];
        *lane = value.mul_add(*q, *lane);
    }
    total(lanes)
}

/// Lanes are added in halves: always the same order.
pub(super) fn total(mut lanes: [f32; FLOATS]) -> f32 {
    let mut half = FLOATS / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}
