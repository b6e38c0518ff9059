//! AVX-512 forms (BW, VL, VBMI2).
#![expect(unsafe_code, reason = "intrinsics; each caller's check stands at the call")]

use std::arch::x86_64::{
    __m512i, _mm256_loadu_si256, _mm256_maskz_compress_epi8, _mm256_storeu_si256, _mm512_add_epi32,
    _mm512_and_si512, _mm512_cmpge_epu8_mask, _mm512_cmpge_epu16_mask, _mm512_cvtepi8_epi16,
    _mm512_cvtph_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_madd_epi16,
    _mm512_mask_test_epi16_mask, _mm512_maskz_compress_epi16, _mm512_maskz_loadu_epi8,
    _mm512_maskz_loadu_epi16, _mm512_max_epu8, _mm512_max_epu16, _mm512_permutex2var_epi16,
    _mm512_reduce_add_epi32, _mm512_set1_epi8, _mm512_set1_epi16, _mm512_setzero_ps,
    _mm512_setzero_si512, _mm512_sllv_epi16, _mm512_srli_epi16, _mm512_storeu_ps,
    _mm512_storeu_si512,
};

use quarry_index::forward::Records;

use super::scalar::total;
use super::{BLOCK, FLOATS, LANES, LINE, keep};
use crate::methods::collect::Scored;
use crate::methods::query::QueryTable;

/// Components looked at before the matching ones are added up.
const CHUNK: usize = 256;

/// The score of a record of u16 terms and u8 levels.
///
/// A set of 1,024 bits over the low ten bits of the query's terms, held in two registers, picks
/// the components that may match; only those look their weight up.
pub(super) fn score(table: &QueryTable, bytes: &[u8], count: usize) -> i64 {
    // Loads of 64 bytes may begin at the last component: that many more must be readable.
    assert!(bytes.len() >= 3 * count + 64, "a record without its slack");
    // SAFETY: `Kernels::available` saw AVX-512 BW, VL and VBMI2, and the length was just checked.
    unsafe { score_unchecked(table, bytes.as_ptr(), count) }
}

/// [`super::batch::score_all`] by this kernel.
pub(super) fn score_all(
    table: &QueryTable,
    records: &Records<'_>,
    docs: (&[u32], f64),
    out: &mut Vec<Scored>,
) {
    // SAFETY: `Kernels::available` saw AVX-512 BW, VL and VBMI2.
    unsafe { score_all_avx512(table, records, docs, out) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt")]
fn score_all_avx512(
    table: &QueryTable,
    records: &Records<'_>,
    docs: (&[u32], f64),
    out: &mut Vec<Scored>,
) {
    super::batch::score_all(records, docs, out, |bytes, count| {
        assert!(bytes.len() >= 3 * count + 64, "a record without its slack");
        // SAFETY: the features are this function's, and the length was just checked.
        unsafe { score_unchecked(table, bytes.as_ptr(), count) }
    });
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt")]
unsafe fn score_unchecked(table: &QueryTable, record: *const u8, count: usize) -> i64 {
    let filter = table.filter().words();
    let weights = table.narrow();
    let mut terms = [0u16; CHUNK + 32];
    let mut levels = [0u8; CHUNK + 32];
    let mut sum = 0i64;
    // SAFETY: record[..3 * count + 64] is readable by the contract, so loads of 64
    // bytes at terms and of 32 at levels below `count` stay inside; the filter has 128 bytes; a
    // chunk keeps at most CHUNK components and each store writes 32 elements from there on.
    unsafe {
        let low: __m512i = _mm512_loadu_si512(filter.as_ptr().cast());
        let high: __m512i = _mm512_loadu_si512(filter.as_ptr().add(32).cast());
        let (one, fifteen) = (_mm512_set1_epi16(1), _mm512_set1_epi16(15));
        let level_bytes = record.add(2 * count);
        let mut at = 0;
        while at < count {
            let end = count.min(at + CHUNK);
            let mut kept = 0;
            while at < end {
                let term = _mm512_loadu_si512(record.add(2 * at).cast());
                let left = end - at;
                let valid = if left >= 32 { u32::MAX } else { (1u32 << left) - 1 };
                let word = _mm512_permutex2var_epi16(low, _mm512_srli_epi16::<4>(term), high);
                let bit = _mm512_sllv_epi16(one, _mm512_and_si512(term, fifteen));
                let hits = _mm512_mask_test_epi16_mask(valid, word, bit);
                let level = _mm256_loadu_si256(level_bytes.add(at).cast());
                _mm512_storeu_si512(
                    terms.as_mut_ptr().add(kept).cast(),
                    _mm512_maskz_compress_epi16(hits, term),
                );
                _mm256_storeu_si256(
                    levels.as_mut_ptr().add(kept).cast(),
                    _mm256_maskz_compress_epi8(hits, level),
                );
                kept += hits.count_ones() as usize;
                at += 32;
            }
            at = end;
            sum += super::scalar::sum(weights, &terms[..kept], &levels[..kept]);
        }
    }
    sum
}

/// The two kernels over sums of one width; the operations of that width are given.
macro_rules! over_sums {
    ($sum:ty, $maxima:ident, $maxima_avx512:ident, $max:ident,
     $sweep:ident, $sweep_avx512:ident, $splat:ident, $reaches:ident) => {
        pub(super) fn $maxima(sums: &[$sum], stride: usize) -> [$sum; LANES] {
            // SAFETY: `Kernels::available` saw AVX-512 BW.
            unsafe { $maxima_avx512(sums, stride) }
        }

        #[target_feature(enable = "avx512f,avx512bw")]
        fn $maxima_avx512(sums: &[$sum], stride: usize) -> [$sum; LANES] {
            const OF_LINE: usize = LINE / size_of::<$sum>();
            const SIDES: usize = LANES / OF_LINE;
            let lines = sums.as_chunks::<OF_LINE>().0;
            let mut best = [_mm512_setzero_si512(); SIDES];
            let mut line = 0;
            while line + (SIDES - 1) * stride < lines.len() {
                for (side, best) in best.iter_mut().enumerate() {
                    let from: *const [$sum; OF_LINE] = &raw const lines[line + side * stride];
                    // SAFETY: a line has 64 bytes.
                    *best = $max(*best, unsafe { _mm512_loadu_si512(from.cast()) });
                }
                line += SIDES * stride;
            }
            let mut out = [0; LANES];
            for (lanes, best) in out.as_chunks_mut::<OF_LINE>().0.iter_mut().zip(best) {
                // SAFETY: the chunk has 64 bytes.
                unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), best) };
            }
            out
        }

        pub(super) fn $sweep(sums: &mut [$sum], least: $sum, base: usize, out: &mut Vec<u64>) {
            // SAFETY: `Kernels::available` saw AVX-512 BW.
            unsafe { $sweep_avx512(sums, least, base, out) }
        }

        #[target_feature(enable = "avx512f,avx512bw")]
        fn $sweep_avx512(sums: &mut [$sum], least: $sum, base: usize, out: &mut Vec<u64>) {
            const OF_LINE: usize = LINE / size_of::<$sum>();
            let floor = $splat(least.cast_signed());
            let (blocks, rest) = sums.as_chunks_mut::<{ BLOCK * OF_LINE }>();
            for (at, block) in blocks.iter_mut().enumerate() {
                let mut hits = [0u64; BLOCK];
                for (line, hits) in hits.iter_mut().enumerate() {
                    let from: *const $sum = &raw const block[line * OF_LINE];
                    // SAFETY: a block has BLOCK lines of 64 bytes.
                    let values = unsafe { _mm512_loadu_si512(from.cast()) };
                    *hits = u64::from($reaches(values, floor));
                }
                if hits.iter().fold(0, |all, hits| all | hits) != 0 {
                    keep(block, &hits, base + at * BLOCK * OF_LINE, out);
                }
                *block = [0; BLOCK * OF_LINE];
            }
            let done = base + blocks.len() * BLOCK * OF_LINE;
            super::scalar::$sweep(rest, least, done, out);
        }
    };
}

over_sums!(
    u8,
    maxima_u8,
    maxima_u8_avx512,
    _mm512_max_epu8,
    sweep_u8,
    sweep_u8_avx512,
    _mm512_set1_epi8,
    _mm512_cmpge_epu8_mask
);
over_sums!(
    u16,
    maxima_u16,
    maxima_u16_avx512,
    _mm512_max_epu16,
    sweep_u16,
    sweep_u16_avx512,
    _mm512_set1_epi16,
    _mm512_cmpge_epu16_mask
);

pub(super) fn mask_u8(sums: &mut [u8], bits: &[u64]) {
    // SAFETY: `Kernels::available` saw AVX-512 BW.
    unsafe { mask_u8_avx512(sums, bits) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn mask_u8_avx512(sums: &mut [u8], bits: &[u64]) {
    let (lines, rest) = sums.as_chunks_mut::<LINE>();
    for (line, word) in lines.iter_mut().zip(bits) {
        let at: *mut u8 = line.as_mut_ptr();
        // SAFETY: a line has 64 bytes.
        unsafe {
            _mm512_storeu_si512(at.cast(), _mm512_maskz_loadu_epi8(*word, at.cast_const().cast()));
        }
    }
    super::scalar::mask(rest, &bits[lines.len()..]);
}

pub(super) fn mask_u16(sums: &mut [u16], bits: &[u64]) {
    // SAFETY: `Kernels::available` saw AVX-512 BW.
    unsafe { mask_u16_avx512(sums, bits) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn mask_u16_avx512(sums: &mut [u16], bits: &[u64]) {
    let (pairs, rest) = sums.as_chunks_mut::<LINE>();
    for (pair, word) in pairs.iter_mut().zip(bits) {
        for (line, half) in pair.as_chunks_mut::<{ LINE / 2 }>().0.iter_mut().zip([0, 32]) {
            #[expect(clippy::cast_possible_truncation, reason = "one half, then the other")]
            let half = (word >> half) as u32;
            let at: *mut u16 = line.as_mut_ptr();
            // SAFETY: a line has 64 bytes.
            unsafe {
                let kept = _mm512_maskz_loadu_epi16(half, at.cast_const().cast());
                _mm512_storeu_si512(at.cast(), kept);
            }
        }
    }
    super::scalar::mask(rest, &bits[pairs.len()..]);
}

/// Dot products of bytes: widened to two bytes, so that `vpmaddwd` adds two products without saturation.
pub(super) fn dots_i8(query: &[i16], rows: &[i8], docs: &[u32], out: &mut Vec<i32>) {
    assert!(query.len().is_multiple_of(32), "a padded query");
    // SAFETY: `Kernels::available` saw AVX-512 BW.
    unsafe { dots_i8_avx512(query, rows, docs, out) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn dots_i8_avx512(query: &[i16], rows: &[i8], docs: &[u32], out: &mut Vec<i32>) {
    for doc in docs {
        let row = &rows[*doc as usize * query.len()..][..query.len()];
        let mut sum = _mm512_setzero_si512();
        for (bytes, q) in row.chunks_exact(32).zip(query.chunks_exact(32)) {
            // SAFETY: 32 bytes, and 32 values of two bytes.
            let (bytes, q) = unsafe {
                (_mm256_loadu_si256(bytes.as_ptr().cast()), _mm512_loadu_si512(q.as_ptr().cast()))
            };
            let products = _mm512_madd_epi16(_mm512_cvtepi8_epi16(bytes), q);
            sum = _mm512_add_epi32(sum, products);
        }
        out.push(_mm512_reduce_add_epi32(sum));
    }
}

/// Dot products of half precision.
pub(super) fn dots_f16(query: &[f32], rows: &[u16], docs: &[u32], out: &mut Vec<f32>) {
    assert!(query.len().is_multiple_of(32), "a padded query");
    // SAFETY: `Kernels::available` saw AVX-512 BW, so F is there.
    unsafe { dots_f16_avx512(query, rows, docs, out) }
}

#[target_feature(enable = "avx512f")]
fn dots_f16_avx512(query: &[f32], rows: &[u16], docs: &[u32], out: &mut Vec<f32>) {
    for doc in docs {
        let row = &rows[*doc as usize * query.len()..][..query.len()];
        let mut sum = _mm512_setzero_ps();
        for (halves, q) in row.chunks_exact(FLOATS).zip(query.chunks_exact(FLOATS)) {
            // SAFETY: sixteen values of two bytes, and sixteen of four.
            let (value, q) = unsafe {
                let halves = _mm256_loadu_si256(halves.as_ptr().cast());
                (_mm512_cvtph_ps(halves), _mm512_loadu_ps(q.as_ptr()))
            };
            sum = _mm512_fmadd_ps(value, q, sum);
        }
        let mut lanes = [0f32; FLOATS];
        // SAFETY: sixteen values.
        unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), sum) };
        out.push(total(lanes));
    }
}

/// Dot products of single precision.
pub(super) fn dots_f32(query: &[f32], rows: &[f32], docs: &[u32], out: &mut Vec<f32>) {
    assert!(query.len().is_multiple_of(32), "a padded query");
    // SAFETY: `Kernels::available` saw AVX-512 BW, so F is there.
    unsafe { dots_f32_avx512(query, rows, docs, out) }
}

#[target_feature(enable = "avx512f")]
fn dots_f32_avx512(query: &[f32], rows: &[f32], docs: &[u32], out: &mut Vec<f32>) {
    for doc in docs {
        let row = &rows[*doc as usize * query.len()..][..query.len()];
        let mut sum = _mm512_setzero_ps();
        for (values, q) in row.chunks_exact(FLOATS).zip(query.chunks_exact(FLOATS)) {
            // SAFETY: sixteen values each.
            let (value, q) =
                unsafe { (_mm512_loadu_ps(values.as_ptr()), _mm512_loadu_ps(q.as_ptr())) };
            sum = _mm512_fmadd_ps(value, q, sum);
        }
        let mut lanes = [0f32; FLOATS];
        // SAFETY: sixteen values.
        unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), sum) };
        out.push(total(lanes));
    }
}
