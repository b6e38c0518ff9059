//! AVX2 forms.
#![expect(unsafe_code, reason = "intrinsics; each caller's check stands at the call")]

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi8, _mm256_add_epi32, _mm256_and_si256,
    _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8, _mm256_cmpeq_epi16, _mm256_cvtepi8_epi16,
    _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_max_epu8, _mm256_max_epu16, _mm256_movemask_epi8, _mm256_or_si256, _mm256_packus_epi16,
    _mm256_permute4x64_epi64, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_set1_epi64x, _mm256_setr_epi8, _mm256_setr_epi16, _mm256_setzero_ps,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16, _mm256_storeu_ps,
    _mm256_storeu_si256, _mm256_sub_epi8,
};

use quarry_index::forward::Records;

use super::scalar::total;
use super::{FLOATS, LANES, LINE};
use crate::methods::collect::Scored;
use crate::methods::query::QueryTable;

/// The score of a record of u16 terms and u8 levels.
///
/// A set of 256 bits over the low byte of the query's terms picks, by two shuffles for 32
/// components, those that may match; only those look their weight up.
pub(super) fn score(table: &QueryTable, bytes: &[u8], count: usize) -> i64 {
    // Loads of 64 bytes may begin at the last component: that many more must be readable.
    assert!(bytes.len() >= 3 * count + 64, "a record without its slack");
    // SAFETY: `Kernels::available` saw AVX2, and the length was just checked.
    unsafe { score_unchecked(table, bytes, count) }
}

/// [`super::batch::score_all`] by this kernel.
pub(super) fn score_all(
    table: &QueryTable,
    records: &Records<'_>,
    docs: (&[u32], f64),
    out: &mut Vec<Scored>,
) {
    // SAFETY: `Kernels::available` saw AVX2.
    unsafe { score_all_avx2(table, records, docs, out) }
}

#[target_feature(enable = "avx2")]
fn score_all_avx2(
    table: &QueryTable,
    records: &Records<'_>,
    docs: (&[u32], f64),
    out: &mut Vec<Scored>,
) {
    super::batch::score_all(records, docs, out, |bytes, count| {
        assert!(bytes.len() >= 3 * count + 64, "a record without its slack");
        // SAFETY: the features are this function's, and the length was just checked.
        unsafe { score_unchecked(table, bytes, count) }
    });
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn score_unchecked(table: &QueryTable, bytes: &[u8], count: usize) -> i64 {
    let weights = table.narrow();
    let set = table.filter().bytes();
    let (term_bytes, level_bytes) = bytes.split_at(2 * count);
    let mut sum = 0i64;
    // SAFETY: the set has 32 bytes.
    let (low, high) = unsafe {
        (_mm_loadu_si128(set.as_ptr().cast()), _mm_loadu_si128(set.as_ptr().add(16).cast()))
    };
    let low = _mm256_broadcastsi128_si256(low);
    let high = _mm256_broadcastsi128_si256(high);
    let byte = _mm256_set1_epi16(0xff);
    let seven = _mm256_set1_epi8(7);
    let bits = _mm256_setr_epi8(
        1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, -128, 0, 0,
        0, 0, 0, 0, 0, 0,
    );
    let mut at = 0;
    while at < count {
        let from: *const u8 = &raw const bytes[2 * at];
        // SAFETY: `at < count`, and 64 bytes are readable from any component on.
        let (a, b): (__m256i, __m256i) =
            unsafe { (_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(32).cast())) };
        let packed = _mm256_packus_epi16(_mm256_and_si256(a, byte), _mm256_and_si256(b, byte));
        let lows = _mm256_permute4x64_epi64::<0b1101_1000>(packed);
        // The set's byte is the low byte / 8 (0 to 31): 16 of them in each of two registers. A
        // shuffle gives zero where the index's top bit is set, so one index goes up by 112.
        let index = _mm256_and_si256(_mm256_srli_epi16::<3>(lows), _mm256_set1_epi8(31));
        let first = _mm256_shuffle_epi8(low, _mm256_add_epi8(index, _mm256_set1_epi8(112)));
        let second = _mm256_shuffle_epi8(high, _mm256_sub_epi8(index, _mm256_set1_epi8(16)));
        let word = _mm256_or_si256(first, second);
        let bit = _mm256_shuffle_epi8(bits, _mm256_and_si256(lows, seven));
        let hits = _mm256_cmpeq_epi8(_mm256_and_si256(word, bit), bit);
        let mut hits = _mm256_movemask_epi8(hits).cast_unsigned();
        if count - at < 32 {
            hits &= (1u32 << (count - at)) - 1;
        }
        while hits != 0 {
            let i = at + hits.trailing_zeros() as usize;
            hits &= hits - 1;
            let term = u16::from_le_bytes([term_bytes[2 * i], term_bytes[2 * i + 1]]);
            sum += i64::from(weights[usize::from(term)]) * i64::from(level_bytes[i]);
        }
        at += 32;
    }
    sum
}

pub(super) fn maxima_u8(acc: &[u8], stride: usize) -> [u8; LANES] {
    // SAFETY: `Kernels::available` saw AVX2.
    unsafe { maxima_u8_avx2(acc, stride) }
}

#[target_feature(enable = "avx2")]
fn maxima_u8_avx2(acc: &[u8], stride: usize) -> [u8; LANES] {
    let lines = acc.as_chunks::<LINE>().0;
    let mut best = [_mm256_setzero_si256(); 8];
    let mut line = 0;
    while line + 3 * stride < lines.len() {
        for (half, best) in best.iter_mut().enumerate() {
            let from: *const u8 = &raw const lines[line + half / 2 * stride][half % 2 * 32];
            // SAFETY: 32 bytes from either half of a line lie in it.
            *best = _mm256_max_epu8(*best, unsafe { _mm256_loadu_si256(from.cast()) });
        }
        line += 4 * stride;
    }
    let mut out = [0u8; LANES];
    for (lanes, best) in out.chunks_exact_mut(32).zip(best) {
        // SAFETY: the chunk has 32 bytes.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), best) };
    }
    out
}

pub(super) fn maxima_u16(acc: &[u16], stride: usize) -> [u16; LANES] {
    // SAFETY: `Kernels::available` saw AVX2.
    unsafe { maxima_u16_avx2(acc, stride) }
}

#[target_feature(enable = "avx2")]
fn maxima_u16_avx2(acc: &[u16], stride: usize) -> [u16; LANES] {
    let lines = acc.as_chunks::<{ LINE / 2 }>().0;
    let mut best = [_mm256_setzero_si256(); 16];
    let mut line = 0;
    while line + 7 * stride < lines.len() {
        for (half, best) in best.iter_mut().enumerate() {
            let from: *const u16 = &raw const lines[line + half / 2 * stride][half % 2 * 16];
            // SAFETY: 32 bytes from either half of a line lie in it.
            *best = _mm256_max_epu16(*best, unsafe { _mm256_loadu_si256(from.cast()) });
        }
        line += 8 * stride;
    }
    let mut out = [0u16; LANES];
    for (lanes, best) in out.chunks_exact_mut(16).zip(best) {
        // SAFETY: the chunk has 32 bytes.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), best) };
    }
    out
}

pub(super) fn sweep_u8(acc: &mut [u8], threshold: u8, base: usize, out: &mut Vec<u64>) {
    // SAFETY: `Kernels::available` saw AVX2.
    unsafe { sweep_u8_avx2(acc, threshold, base, out) }
}

#[target_feature(enable = "avx2")]
fn sweep_u8_avx2(acc: &mut [u8], threshold: u8, base: usize, out: &mut Vec<u64>) {
    let floor = _mm256_set1_epi8(threshold.cast_signed());
    for (at, half) in acc.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        // SAFETY: the chunk has 32 bytes.
        let values = unsafe { _mm256_loadu_si256(half.as_ptr().cast()) };
        let reach = _mm256_cmpeq_epi8(_mm256_max_epu8(values, floor), values);
        let mut hits = _mm256_movemask_epi8(reach).cast_unsigned();
        while hits != 0 {
            let lane = hits.trailing_zeros() as usize;
            hits &= hits - 1;
            out.push(u64::from(half[lane]) << 32 | (base + at * 32 + lane) as u64);
        }
        // SAFETY: the chunk has 32 bytes.
        unsafe { _mm256_storeu_si256(half.as_mut_ptr().cast(), _mm256_setzero_si256()) };
    }
}

pub(super) fn sweep_u16(acc: &mut [u16], threshold: u16, base: usize, out: &mut Vec<u64>) {
    // SAFETY: `Kernels::available` saw AVX2.
    unsafe { sweep_u16_avx2(acc, threshold, base, out) }
}

#[target_feature(enable = "avx2")]
fn sweep_u16_avx2(acc: &mut [u16], threshold: u16, base: usize, out: &mut Vec<u64>) {
    let floor = _mm256_set1_epi16(threshold.cast_signed());
    for (at, half) in acc.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        // SAFETY: the chunk has 32 bytes.
        let values = unsafe { _mm256_loadu_si256(half.as_ptr().cast()) };
        let reach = _mm256_cmpeq_epi16(_mm256_max_epu16(values, floor), values);
        // Two bits a lane; the even one stands for it.
        let mut hits = _mm256_movemask_epi8(reach).cast_unsigned() & 0x5555_5555;
        while hits != 0 {
            let lane = hits.trailing_zeros() as usize / 2;
            hits &= hits - 1;
            out.push(u64::from(half[lane]) << 32 | (base + at * 16 + lane) as u64);
        }
        // SAFETY: the chunk has 32 bytes.
        unsafe { _mm256_storeu_si256(half.as_mut_ptr().cast(), _mm256_setzero_si256()) };
    }
}

pub(super) fn mask_u8(sums: &mut [u8], bits: &[u64]) {
    // SAFETY: `Kernels::available` saw AVX2.
    unsafe { mask_u8_avx2(sums, bits) }
}

#[target_feature(enable = "avx2")]
fn mask_u8_avx2(sums: &mut [u8], bits: &[u64]) {
    // Each lane gets the byte that has its bit, then the bit alone.
    let byte_of = _mm256_setr_epi8(
        0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3,
        3, 3,
    );
    let bit_of = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
    let (lines, rest) = sums.as_chunks_mut::<LINE>();
    for (line, word) in lines.iter_mut().zip(bits) {
        for (half, shift) in line.as_chunks_mut::<32>().0.iter_mut().zip([0, 32]) {
            #[expect(clippy::cast_possible_truncation, reason = "one half, then the other")]
            let word = _mm256_set1_epi32(((word >> shift) as u32).cast_signed());
            let bit = _mm256_and_si256(_mm256_shuffle_epi8(word, byte_of), bit_of);
            let set = _mm256_cmpeq_epi8(bit, bit_of);
            // SAFETY: a half has 32 bytes.
            unsafe {
                let values = _mm256_loadu_si256(half.as_ptr().cast());
                _mm256_storeu_si256(half.as_mut_ptr().cast(), _mm256_and_si256(values, set));
            }
        }
    }
    super::scalar::mask(rest, &bits[lines.len()..]);
}

pub(super) fn mask_u16(sums: &mut [u16], bits: &[u64]) {
    // SAFETY: `Kernels::available` saw AVX2.
    unsafe { mask_u16_avx2(sums, bits) }
}

#[target_feature(enable = "avx2")]
fn mask_u16_avx2(sums: &mut [u16], bits: &[u64]) {
    let bit_of = _mm256_setr_epi16(
        1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, -32768,
    );
    let (groups, rest) = sums.as_chunks_mut::<64>();
    for (group, word) in groups.iter_mut().zip(bits) {
        for (some, shift) in group.as_chunks_mut::<16>().0.iter_mut().zip([0, 16, 32, 48]) {
            #[expect(clippy::cast_possible_truncation, reason = "a quarter after the other")]
            let word = _mm256_set1_epi16(((word >> shift) as u16).cast_signed());
            let set = _mm256_cmpeq_epi16(_mm256_and_si256(word, bit_of), bit_of);
            // SAFETY: 16 sums have 32 bytes.
            unsafe {
                let values = _mm256_loadu_si256(some.as_ptr().cast());
                _mm256_storeu_si256(some.as_mut_ptr().cast(), _mm256_and_si256(values, set));
            }
        }
    }
    super::scalar::mask(rest, &bits[groups.len()..]);
}

/// Dot products of bytes: widened to two bytes, so that `vpmaddwd` adds two products without saturation.
pub(super) fn dots_i8(query: &[i16], rows: &[i8], docs: &[u32], out: &mut Vec<i32>) {
    assert!(query.len().is_multiple_of(32), "a padded query");
    // SAFETY: `Kernels::available` saw AVX2.
    unsafe { dots_i8_avx2(query, rows, docs, out) }
}

#[target_feature(enable = "avx2")]
fn dots_i8_avx2(query: &[i16], rows: &[i8], docs: &[u32], out: &mut Vec<i32>) {
    for doc in docs {
        let row = &rows[*doc as usize * query.len()..][..query.len()];
        let mut sum = _mm256_setzero_si256();
        for (bytes, q) in row.chunks_exact(16).zip(query.chunks_exact(16)) {
            // SAFETY: sixteen bytes, and sixteen values of two bytes.
            let (bytes, q) = unsafe {
                (_mm_loadu_si128(bytes.as_ptr().cast()), _mm256_loadu_si256(q.as_ptr().cast()))
            };
            let products = _mm256_madd_epi16(_mm256_cvtepi8_epi16(bytes), q);
            sum = _mm256_add_epi32(sum, products);
        }
        let mut sums = [0i32; 8];
        // SAFETY: eight values of four bytes.
        unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), sum) };
        out.push(sums.iter().sum());
    }
}

/// Dot products of half precision; the caller has seen FMA and F16C.
pub(super) fn dots_f16(query: &[f32], rows: &[u16], docs: &[u32], out: &mut Vec<f32>) {
    assert!(query.len().is_multiple_of(32), "a padded query");
    // SAFETY: `Kernels::available` saw AVX2, the caller FMA and F16C.
    unsafe { dots_f16_avx2(query, rows, docs, out) }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn dots_f16_avx2(query: &[f32], rows: &[u16], docs: &[u32], out: &mut Vec<f32>) {
    for doc in docs {
        let row = &rows[*doc as usize * query.len()..][..query.len()];
        let mut sums = [_mm256_setzero_ps(); 2];
        for (halves, q) in row.chunks_exact(FLOATS).zip(query.chunks_exact(FLOATS)) {
            for (half, sum) in sums.iter_mut().enumerate() {
                // SAFETY: eight of the sixteen values of each.
                let (value, q) = unsafe {
                    let halves = _mm_loadu_si128(halves.as_ptr().add(8 * half).cast());
                    (_mm256_cvtph_ps(halves), _mm256_loadu_ps(q.as_ptr().add(8 * half)))
                };
                *sum = _mm256_fmadd_ps(value, q, *sum);
            }
        }
        let mut lanes = [0f32; FLOATS];
        for (sum, lanes) in sums.into_iter().zip(lanes.chunks_exact_mut(8)) {
            // SAFETY: eight values.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sum) };
        }
        out.push(total(lanes));
    }
}

/// Dot products of single precision; the caller has seen FMA.
pub(super) fn dots_f32(query: &[f32], rows: &[f32], docs: &[u32], out: &mut Vec<f32>) {
    assert!(query.len().is_multiple_of(32), "a padded query");
    // SAFETY: `Kernels::available` saw AVX2, the caller FMA.
    unsafe { dots_f32_avx2(query, rows, docs, out) }
}

#[target_feature(enable = "avx2,fma")]
fn dots_f32_avx2(query: &[f32], rows: &[f32], docs: &[u32], out: &mut Vec<f32>) {
    for doc in docs {
        let row = &rows[*doc as usize * query.len()..][..query.len()];
        let mut sums = [_mm256_setzero_ps(); 2];
        for (values, q) in row.chunks_exact(FLOATS).zip(query.chunks_exact(FLOATS)) {
            for (half, sum) in sums.iter_mut().enumerate() {
                // SAFETY: eight of the sixteen values of each.
                let (value, q) = unsafe {
                    let value = _mm256_loadu_ps(values.as_ptr().add(8 * half));
                    (value, _mm256_loadu_ps(q.as_ptr().add(8 * half)))
                };
                *sum = _mm256_fmadd_ps(value, q, *sum);
            }
        }
        let mut lanes = [0f32; FLOATS];
        for (sum, lanes) in sums.into_iter().zip(lanes.chunks_exact_mut(8)) {
            // SAFETY: eight values.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sum) };
        }
        out.push(total(lanes));
    }
}
