//! AVX-512: sixteen query rows in a register, eight document rows at a time, `vpdpbusd` on bytes.
//!
//! `vpdpbusd` multiplies unsigned by signed bytes: document bytes are made unsigned by adding 128,
//! which adds 128 times the sum of the query's bytes; sums begin at minus that.
#![expect(unsafe_code, reason = "intrinsics on pointers whose ranges are checked on entry")]

use std::arch::x86_64::{
    __m128i, __m256i, __m512, _mm_loadu_si128, _mm256_loadu_si256, _mm512_add_ps, _mm512_and_si512,
    _mm512_broadcast_i32x4, _mm512_cvtepi32_ps, _mm512_cvtph_ps, _mm512_dpbusd_epi32,
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mask_mov_epi8, _mm512_max_ps,
    _mm512_mul_ps, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_shuffle_epi8, _mm512_srli_epi16, _mm512_storeu_ps, _mm512_storeu_si512, _mm512_sub_ps,
    _mm512_xor_si512,
};

use super::{BLOCK, Coded, INT8, RESIDUAL, Sums, lines};
use crate::query::{LANES, QueryRows};

/// MaxSim by lanes over coded rows; the caller has seen the CPU's features.
pub(super) fn coded<const KIND: u8, const BOUNDS: bool>(
    query: &QueryRows,
    document: &Coded<'_>,
    room: &mut [u8],
) -> Sums {
    let (stride, rows, groups) = (query.stride(), document.scales.len(), query.groups());
    let row_bytes = match KIND {
        INT8 => stride,
        RESIDUAL => stride / 2,
        _ => stride / 8,
    };
    assert!(stride.is_multiple_of(32) && rows > 0 && room.len() >= BLOCK * stride, "room for rows");
    assert!(document.rows.len() == rows * row_bytes, "whole rows");
    assert!(query.bytes().len() == groups * stride * LANES, "whole groups");
    let mut sums = [[0.0; LANES]; 3];
    let mut group = 0;
    while group < groups {
        // SAFETY: `Kernels::coded` calls this only where AVX-512 F, BW and VNNI were detected; the
        // lengths of rows, room and groups were just compared, those of scales, errors, centroids
        // and table by `Kernels`; groups `group` and, of two, `group + 1` are below `groups`.
        unsafe {
            if groups - group >= 2 {
                pass::<KIND, BOUNDS, 2>(query, document, group, room, &mut sums);
            } else {
                pass::<KIND, BOUNDS, 1>(query, document, group, room, &mut sums);
            }
        }
        group += 2;
    }
    Sums { score: sums[0], lower: sums[1], upper: sums[2] }
}

/// Running maxima of `G` groups: of the score, and of what it cannot be below or above.
type Best<const G: usize> = [[__m512; G]; 3];

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn pass<const KIND: u8, const BOUNDS: bool, const G: usize>(
    query: &QueryRows,
    document: &Coded<'_>,
    group: usize,
    room: &mut [u8],
    sums: &mut [[f32; LANES]; 3],
) {
    let rows = document.scales.len();
    let mut best: Best<G> = [[_mm512_set1_ps(f32::NEG_INFINITY); G]; 3];
    let mut at = 0;
    // The next document's lines are asked for a block at a time: as many as this document's blocks read,
    // so that no more wait at once than a core can keep track of.
    let mut asked = if KIND == INT8 && group == 0 { 0 } else { document.next.len() };
    // SAFETY: the conditions are those of `coded`, which checked them.
    unsafe {
        while at + 8 <= rows {
            let upto = document.next.len().min(asked + 8 * query.stride());
            lines(document.next, asked..upto);
            asked = upto;
            block::<KIND, BOUNDS, 8, G>(query, document, group, at, room, &mut best);
            at += 8;
        }
        lines(document.next, asked..document.next.len());
        // The last rows again, some of them twice: a maximum does not mind.
        if rows - at > 4 {
            block::<KIND, BOUNDS, 8, G>(query, document, group, at, room, &mut best);
        } else if rows - at > 1 {
            block::<KIND, BOUNDS, 4, G>(query, document, group, at, room, &mut best);
        } else if rows > at {
            block::<KIND, BOUNDS, 1, G>(query, document, group, at, room, &mut best);
        }
        for (sum, best) in sums.iter_mut().zip(best).take(if BOUNDS { 3 } else { 1 }) {
            for (g, best) in best.into_iter().enumerate() {
                let scale = _mm512_loadu_ps(query.scales()[(group + g) * LANES..].as_ptr());
                let old = _mm512_loadu_ps(sum.as_ptr());
                _mm512_storeu_ps(sum.as_mut_ptr(), _mm512_add_ps(old, _mm512_mul_ps(best, scale)));
            }
        }
    }
}

/// `N` document rows from `at` on, the last one repeated, against `G` groups.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn block<const KIND: u8, const BOUNDS: bool, const N: usize, const G: usize>(
    query: &QueryRows,
    document: &Coded<'_>,
    group: usize,
    at: usize,
    room: &mut [u8],
    best: &mut Best<G>,
) {
    let stride = query.stride();
    let last = document.scales.len() - 1;
    let mut rows = [document.rows.as_ptr(); N];
    // SAFETY: `coded` checked that `document.rows` holds `last + 1` rows, `room` BLOCK >= N rows of
    // `stride` bytes, and the query whole groups; every row number is at most `last`.
    unsafe {
        if KIND != INT8 {
            for (i, out) in room.chunks_exact_mut(stride).take(N).enumerate() {
                let t = (at + i).min(last);
                if KIND == RESIDUAL {
                    unpack_residual(document, t, out);
                } else {
                    unpack_signs(&document.rows[t * stride / 8..(t + 1) * stride / 8], out);
                }
            }
        }
        for (i, row) in rows.iter_mut().enumerate() {
            *row = match KIND {
                INT8 => document.rows.as_ptr().add((at + i).min(last) * stride),
                _ => room.as_ptr().add(i * stride),
            };
        }
        let group_bytes = stride * LANES;
        let q = query.bytes().as_ptr().add(group * group_bytes);
        let mut sums = [[_mm512_set1_epi32(0); G]; N];
        for g in 0..G {
            let offsets = query.offsets()[(group + g) * LANES..].as_ptr();
            let offset = _mm512_loadu_si512(offsets.cast());
            for row in &mut sums {
                row[g] = offset;
            }
        }
        let flip = _mm512_set1_epi32(i32::from_ne_bytes([0x80; 4]));
        for k in 0..stride / 4 {
            let mut qs = [flip; G];
            for (g, lanes) in qs.iter_mut().enumerate() {
                *lanes = _mm512_loadu_si512(q.add(g * group_bytes + k * 4 * LANES).cast());
            }
            for (row, sums) in rows.iter().zip(&mut sums) {
                let mut four = _mm512_set1_epi32(row.add(4 * k).cast::<i32>().read_unaligned());
                if KIND == INT8 {
                    four = _mm512_xor_si512(four, flip);
                }
                for (sum, lanes) in sums.iter_mut().zip(qs) {
                    *sum = _mm512_dpbusd_epi32(*sum, four, lanes);
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            let t = (at + i).min(last);
            let scale = _mm512_set1_ps(document.scales[t]);
            for (g, sum) in sums.iter().enumerate() {
                let mut value = _mm512_mul_ps(_mm512_cvtepi32_ps(*sum), scale);
                if KIND == RESIDUAL {
                    let set = document.centroid[t] as usize * query.groups() + group + g;
                    let products = document.table[set * LANES..(set + 1) * LANES].as_ptr();
                    value = _mm512_add_ps(value, _mm512_loadu_ps(products));
                }
                best[0][g] = _mm512_max_ps(best[0][g], value);
                if BOUNDS {
                    let reach = query.reach()[(group + g) * LANES..].as_ptr();
                    let error = _mm512_set1_ps(document.errors[t]);
                    let off = _mm512_mul_ps(_mm512_loadu_ps(reach), error);
                    best[1][g] = _mm512_max_ps(best[1][g], _mm512_sub_ps(value, off));
                    best[2][g] = _mm512_max_ps(best[2][g], _mm512_add_ps(value, off));
                }
            }
        }
    }
}

/// The bytes of a 4-bit row, plus 128.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn unpack_residual(document: &Coded<'_>, t: usize, out: &mut [u8]) {
    let half = out.len() / 2;
    let row = &document.rows[t * half..(t + 1) * half];
    let (low, high) = out.split_at_mut(half);
    // SAFETY: `Kernels::residual` checked for sixteen levels; `chunks_exact` gives 64 or 16 bytes,
    // and the halves are multiples of 16.
    unsafe {
        let levels: __m128i = _mm_loadu_si128(document.levels.as_ptr().cast());
        let flip = _mm512_set1_epi8(i8::MIN);
        let levels = _mm512_xor_si512(_mm512_broadcast_i32x4(levels), flip);
        let nibble = _mm512_set1_epi8(15);
        let (mut lows, mut highs) = (low.chunks_exact_mut(64), high.chunks_exact_mut(64));
        let mut chunks = row.chunks_exact(64);
        for ((chunk, low), high) in (&mut chunks).zip(&mut lows).zip(&mut highs) {
            let codes = _mm512_loadu_si512(chunk.as_ptr().cast());
            let upper = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), nibble);
            let lower = _mm512_and_si512(codes, nibble);
            _mm512_storeu_si512(low.as_mut_ptr().cast(), _mm512_shuffle_epi8(levels, lower));
            _mm512_storeu_si512(high.as_mut_ptr().cast(), _mm512_shuffle_epi8(levels, upper));
        }
        let rest = chunks.remainder().iter().zip(lows.into_remainder()).zip(highs.into_remainder());
        for ((byte, low), high) in rest {
            *low = document.levels[usize::from(byte & 15)].cast_unsigned() ^ 0x80;
            *high = document.levels[usize::from(byte >> 4)].cast_unsigned() ^ 0x80;
        }
    }
}

/// 129 for a set bit, 127 for another: one and minus one, plus 128.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn unpack_signs(bits: &[u8], out: &mut [u8]) {
    let (minus, plus) = (_mm512_set1_epi8(127), _mm512_set1_epi8(129u8.cast_signed()));
    let (words, rest) = bits.as_chunks::<8>();
    let mut outs = out.chunks_exact_mut(64);
    for (word, out) in words.iter().zip(&mut outs) {
        let signs = _mm512_mask_mov_epi8(minus, u64::from_le_bytes(*word), plus);
        // SAFETY: `chunks_exact_mut` gives 64 bytes.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), signs) };
    }
    for (d, out) in outs.into_remainder().iter_mut().enumerate() {
        *out = if rest[d / 8] >> (d % 8) & 1 == 1 { 129 } else { 127 };
    }
}

/// MaxSim by lanes over fp16 rows; the caller has seen the CPU's features.
pub(super) fn fp16(query: &QueryRows, document: &[u16], room: &mut [f32]) -> Sums {
    let (stride, groups) = (query.stride(), query.groups());
    assert!(stride.is_multiple_of(32) && room.len() >= BLOCK * stride, "room for rows");
    assert!(!document.is_empty() && document.len().is_multiple_of(stride), "whole rows");
    assert!(query.floats().len() == groups * stride * LANES, "whole groups");
    let mut sums = Sums::ZERO;
    let mut group = 0;
    while group < groups {
        // SAFETY: `Kernels::fp16` calls this only where AVX-512 F was detected; the lengths were just
        // compared; the groups named are below `groups`.
        unsafe {
            if groups - group >= 2 {
                pass_fp16::<2>(query, document, group, room, &mut sums.score);
            } else {
                pass_fp16::<1>(query, document, group, room, &mut sums.score);
            }
        }
        group += 2;
    }
    sums
}

#[target_feature(enable = "avx512f")]
unsafe fn pass_fp16<const G: usize>(
    query: &QueryRows,
    document: &[u16],
    group: usize,
    room: &mut [f32],
    sums: &mut [f32; LANES],
) {
    let stride = query.stride();
    let mut best = [_mm512_set1_ps(f32::NEG_INFINITY); G];
    // SAFETY: as `fp16` checked.
    unsafe {
        for rows in document.chunks(BLOCK * stride) {
            for (halves, out) in rows.chunks_exact(16).zip(room.chunks_exact_mut(16)) {
                let halves: __m256i = _mm256_loadu_si256(halves.as_ptr().cast());
                _mm512_storeu_ps(out.as_mut_ptr(), _mm512_cvtph_ps(halves));
            }
            let count = rows.len() / stride;
            if count > 4 {
                block_fp16::<8, G>(query, count, group, room, &mut best);
            } else if count > 1 {
                block_fp16::<4, G>(query, count, group, room, &mut best);
            } else {
                block_fp16::<1, G>(query, count, group, room, &mut best);
            }
        }
        for best in best {
            let old = _mm512_loadu_ps(sums.as_ptr());
            _mm512_storeu_ps(sums.as_mut_ptr(), _mm512_add_ps(old, best));
        }
    }
}

/// The first `count` (at most `N`) rows of `room`, the last one repeated, against `G` groups.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn block_fp16<const N: usize, const G: usize>(
    query: &QueryRows,
    count: usize,
    group: usize,
    room: &[f32],
    best: &mut [__m512; G],
) {
    let stride = query.stride();
    let group_values = stride * LANES;
    let mut rows = [room.as_ptr(); N];
    // SAFETY: `fp16` checked that `room` has BLOCK rows and the query whole groups; count >= 1.
    unsafe {
        for (i, row) in rows.iter_mut().enumerate() {
            *row = room.as_ptr().add(i.min(count - 1) * stride);
        }
        let q = query.floats().as_ptr().add(group * group_values);
        let mut sums = [[_mm512_setzero_ps(); G]; N];
        for d in 0..stride {
            let mut qs = [_mm512_setzero_ps(); G];
            for (g, lanes) in qs.iter_mut().enumerate() {
                *lanes = _mm512_loadu_ps(q.add(g * group_values + d * LANES));
            }
            for (row, sums) in rows.iter().zip(&mut sums) {
                let value = _mm512_set1_ps(*row.add(d));
                for (sum, lanes) in sums.iter_mut().zip(qs) {
                    *sum = _mm512_fmadd_ps(value, lanes, *sum);
                }
            }
        }
        for sums in sums {
            for (best, sum) in best.iter_mut().zip(sums) {
                *best = _mm512_max_ps(*best, sum);
            }
        }
    }
}
