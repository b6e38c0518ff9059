//! Inner loops, each in three forms with the same results: AVX-512, AVX2, and plain Rust, which is
//! the oracle of the other two. Scores are sums of whole numbers, so no form can differ in rounding; those of dense
//! vectors in floats are chains of fused multiply-adds in sixteen lanes, which every form keeps.
//!
//! The form is chosen once, by the CPU's features; a searcher can be given a lower one, to
//! measure and to test.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod batch;
mod dispatch;
mod prefetch;
mod runs;
mod scalar;
#[cfg(test)]
mod tests;

pub use dispatch::Kernels;
pub(crate) use prefetch::prefetch;

/// Lanes of a sum of floats: dimension `d` is added to lane `d % FLOATS`.
const FLOATS: usize = 16;
/// Lanes of the sampled maxima.
pub(crate) const LANES: usize = 256;
/// Accumulators of one byte in a cache line; sweeps go by whole lines.
pub(crate) const LINE: usize = 64;

/// Lines that a sweep looks at before it branches.
#[cfg(target_arch = "x86_64")]
const BLOCK: usize = 4;

/// Appends `value << 32 | document` for every lane that `hits` names, in order; `hits` has a word a
/// line of `values`. Stands apart, and is not in line, so that a sweep keeps its registers.
#[cfg(target_arch = "x86_64")]
#[cold]
#[inline(never)]
fn keep<T: Copy + Into<u64>>(values: &[T], hits: &[u64; BLOCK], base: usize, out: &mut Vec<u64>) {
    out.reserve(values.len());
    let of_line = values.len() / BLOCK;
    for (line, hits) in hits.iter().enumerate() {
        let mut hits = *hits;
        while hits != 0 {
            let at = line * of_line + hits.trailing_zeros() as usize;
            out.push(values[at].into() << 32 | (base + at) as u64);
            hits &= hits - 1;
        }
    }
}
