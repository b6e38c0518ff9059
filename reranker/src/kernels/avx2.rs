//! AVX2: eight query rows in a register, four document rows at a time.
//!
//! Bytes are widened to two bytes first: `vpmaddwd` then adds two products without saturation, which
//! `vpmaddubsw` would not.
#![expect(unsafe_code, reason = "intrinsics on pointers whose ranges are checked on entry")]

use std::arch::x86_64::{
    __m256, __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_add_ps, _mm256_cvtepi8_epi16,
    _mm256_cvtepi32_ps, _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_max_ps, _mm256_mul_ps, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_setzero_si256, _mm256_storeu_ps, _mm256_storeu_si256, _mm256_sub_ps,
};

use super::{BLOCK, Coded, INT8, RESIDUAL, Sums};
use crate::query::{LANES, QueryRows};

/// Document rows at a time.
const ROWS: usize = 4;
/// Registers of a group.
const HALVES: usize = 2;
/// Query rows of a register.
const EIGHT: usize = LANES / HALVES;

/// MaxSim by lanes over coded rows; the caller has seen the CPU's features.
pub(super) fn coded<const KIND: u8, const BOUNDS: bool>(
    query: &QueryRows,
    document: &Coded<'_>,
    room: &mut [i16],
) -> Sums {
    let (stride, rows, groups) = (query.stride(), document.scales.len(), query.groups());
    let row_bytes = match KIND {
        INT8 => stride,
        RESIDUAL => stride / 2,
        _ => stride / 8,
    };
    assert!(stride.is_multiple_of(32) && rows > 0 && room.len() >= BLOCK * stride, "room for rows");
    assert!(document.rows.len() == rows * row_bytes, "whole rows");
    assert!(query.pairs().len() == groups * stride * LANES, "whole groups");
    let mut sums = Sums::ZERO;
    for group in 0..groups {
        // SAFETY: `Kernels::coded` calls this only where AVX2 was detected; the lengths of rows, room
        // and groups were just compared, those of scales, errors, centroids and table by `Kernels`.
        unsafe { pass::<KIND, BOUNDS>(query, document, group, room, &mut sums) };
    }
    sums
}

#[target_feature(enable = "avx2")]
unsafe fn pass<const KIND: u8, const BOUNDS: bool>(
    query: &QueryRows,
    document: &Coded<'_>,
    group: usize,
    room: &mut [i16],
    sums: &mut Sums,
) {
    let stride = query.stride();
    let rows = document.scales.len();
    let mut best = [[_mm256_set1_ps(f32::NEG_INFINITY); HALVES]; 3];
    for at in (0..rows).step_by(ROWS) {
        let count = ROWS.min(rows - at);
        for (i, out) in room.chunks_exact_mut(stride).take(count).enumerate() {
            // SAFETY: as `coded` checked; `at + i` is below `rows`.
            unsafe { unpack::<KIND>(document, at + i, out) };
        }
        // SAFETY: as `coded` checked; `count` rows of `room` are filled.
        let dots = unsafe { block(query, group, count, room) };
        for (t, dots) in (at..at + count).zip(dots) {
            let scale = _mm256_set1_ps(document.scales[t]);
            for (half, dot) in dots.into_iter().enumerate() {
                let lane = group * LANES + half * EIGHT;
                let mut value = _mm256_mul_ps(_mm256_cvtepi32_ps(dot), scale);
                if KIND == RESIDUAL {
                    let set = document.centroid[t] as usize * query.groups() * LANES;
                    let products = &document.table[set + lane..][..EIGHT];
                    // SAFETY: eight values.
                    value = _mm256_add_ps(value, unsafe { _mm256_loadu_ps(products.as_ptr()) });
                }
                best[0][half] = _mm256_max_ps(best[0][half], value);
                if BOUNDS {
                    let reach = &query.reach()[lane..][..EIGHT];
                    // SAFETY: eight values.
                    let reach = unsafe { _mm256_loadu_ps(reach.as_ptr()) };
                    let off = _mm256_mul_ps(reach, _mm256_set1_ps(document.errors[t]));
                    best[1][half] = _mm256_max_ps(best[1][half], _mm256_sub_ps(value, off));
                    best[2][half] = _mm256_max_ps(best[2][half], _mm256_add_ps(value, off));
                }
            }
        }
    }
    let outs = [&mut sums.score, &mut sums.lower, &mut sums.upper];
    for (out, best) in outs.into_iter().zip(best).take(if BOUNDS { 3 } else { 1 }) {
        for ((half, best), out) in best.into_iter().enumerate().zip(out.chunks_exact_mut(EIGHT)) {
            let scales = &query.scales()[group * LANES + half * EIGHT..][..EIGHT];
            // SAFETY: eight values each.
            unsafe {
                let scaled = _mm256_mul_ps(best, _mm256_loadu_ps(scales.as_ptr()));
                let old = _mm256_loadu_ps(out.as_ptr());
                _mm256_storeu_ps(out.as_mut_ptr(), _mm256_add_ps(old, scaled));
            }
        }
    }
}

/// Dot products of the first `count` rows of `room`, the last one repeated, with a group.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn block(
    query: &QueryRows,
    group: usize,
    count: usize,
    room: &[i16],
) -> [[__m256i; HALVES]; ROWS] {
    let stride = query.stride();
    let mut sums = [[_mm256_setzero_si256(); HALVES]; ROWS];
    let mut rows = [room.as_ptr(); ROWS];
    // SAFETY: `coded` checked that `room` has BLOCK >= ROWS rows and the query whole groups.
    unsafe {
        for (i, row) in rows.iter_mut().enumerate() {
            *row = room.as_ptr().add(i.min(count - 1) * stride);
        }
        let q = query.pairs().as_ptr().add(group * stride * LANES);
        for k in 0..stride / 2 {
            let at = q.add(k * 2 * LANES);
            let qs = [_mm256_loadu_si256(at.cast()), _mm256_loadu_si256(at.add(2 * EIGHT).cast())];
            for (row, sums) in rows.iter().zip(&mut sums) {
                let two = _mm256_set1_epi32(row.add(2 * k).cast::<i32>().read_unaligned());
                for (sum, lanes) in sums.iter_mut().zip(qs) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(two, lanes));
                }
            }
        }
    }
    sums
}

/// Row `t` in two bytes a dimension.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn unpack<const KIND: u8>(document: &Coded<'_>, t: usize, out: &mut [i16]) {
    let stride = out.len();
    match KIND {
        INT8 => {
            let row = &document.rows[t * stride..(t + 1) * stride];
            for (bytes, out) in row.chunks_exact(16).zip(out.chunks_exact_mut(16)) {
                // SAFETY: sixteen bytes in, sixteen values out.
                unsafe {
                    let wide = _mm256_cvtepi8_epi16(_mm_loadu_si128(bytes.as_ptr().cast()));
                    _mm256_storeu_si256(out.as_mut_ptr().cast(), wide);
                }
            }
        }
        RESIDUAL => {
            let half = stride / 2;
            let row = &document.rows[t * half..(t + 1) * half];
            let (low, high) = out.split_at_mut(half);
            for ((byte, low), high) in row.iter().zip(low).zip(high) {
                *low = i16::from(document.levels[usize::from(byte & 15)]);
                *high = i16::from(document.levels[usize::from(byte >> 4)]);
            }
        }
        _ => {
            let row = &document.rows[t * stride / 8..(t + 1) * stride / 8];
            for (bits, out) in row.iter().zip(out.chunks_exact_mut(8)) {
                for (i, out) in out.iter_mut().enumerate() {
                    *out = 2 * i16::from(bits >> i & 1) - 1;
                }
            }
        }
    }
}

/// MaxSim by lanes over fp16 rows; the caller has seen the CPU's features.
pub(super) fn fp16(query: &QueryRows, document: &[u16], room: &mut [f32]) -> Sums {
    let (stride, groups) = (query.stride(), query.groups());
    assert!(stride.is_multiple_of(32) && room.len() >= BLOCK * stride, "room for rows");
    assert!(!document.is_empty() && document.len().is_multiple_of(stride), "whole rows");
    assert!(query.floats().len() == groups * stride * LANES, "whole groups");
    let mut sums = Sums::ZERO;
    for group in 0..groups {
        // SAFETY: `Kernels::fp16` calls this only where AVX2, FMA and F16C were detected; the lengths
        // were just compared.
        unsafe { pass_fp16(query, document, group, room, &mut sums.score) };
    }
    sums
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn pass_fp16(
    query: &QueryRows,
    document: &[u16],
    group: usize,
    room: &mut [f32],
    sums: &mut [f32; LANES],
) {
    let stride = query.stride();
    let mut best = [_mm256_set1_ps(f32::NEG_INFINITY); HALVES];
    for rows in document.chunks(ROWS * stride) {
        for (halves, out) in rows.chunks_exact(8).zip(room.chunks_exact_mut(8)) {
            // SAFETY: eight values in, eight out.
            unsafe {
                let halves = _mm_loadu_si128(halves.as_ptr().cast());
                _mm256_storeu_ps(out.as_mut_ptr(), _mm256_cvtph_ps(halves));
            }
        }
        // SAFETY: as `fp16` checked; that many rows of `room` are filled.
        let dots = unsafe { block_fp16(query, group, rows.len() / stride, room) };
        for dots in dots {
            for (best, dot) in best.iter_mut().zip(dots) {
                *best = _mm256_max_ps(*best, dot);
            }
        }
    }
    for (best, out) in best.into_iter().zip(sums.chunks_exact_mut(EIGHT)) {
        // SAFETY: eight values.
        unsafe {
            let old = _mm256_loadu_ps(out.as_ptr());
            _mm256_storeu_ps(out.as_mut_ptr(), _mm256_add_ps(old, best));
        }
    }
}

/// Dot products of the first `count` rows of `room`, the last one repeated, with a group.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn block_fp16(
    query: &QueryRows,
    group: usize,
    count: usize,
    room: &[f32],
) -> [[__m256; HALVES]; ROWS] {
    let stride = query.stride();
    let mut sums = [[_mm256_setzero_ps(); HALVES]; ROWS];
    let mut rows = [room.as_ptr(); ROWS];
    // SAFETY: `fp16` checked that `room` has BLOCK >= ROWS rows and the query whole groups.
    unsafe {
        for (i, row) in rows.iter_mut().enumerate() {
            *row = room.as_ptr().add(i.min(count - 1) * stride);
        }
        let q = query.floats().as_ptr().add(group * stride * LANES);
        for d in 0..stride {
            let at = q.add(d * LANES);
            let qs = [_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(EIGHT))];
            for (row, sums) in rows.iter().zip(&mut sums) {
                let value = _mm256_set1_ps(*row.add(d));
                for (sum, lanes) in sums.iter_mut().zip(qs) {
                    *sum = _mm256_fmadd_ps(value, lanes, *sum);
                }
            }
        }
    }
    sums
}
