//! Inner loops, each in three forms with the same results: AVX-512, AVX2, and plain Rust, which is
//! the oracle of the other two. Scores are sums of whole numbers, so no form can differ in rounding.
//!
//! The form is chosen once, by what the processor has; a searcher can be given a lower one, to
//! measure and to test.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod dispatch;
mod prefetch;
mod runs;
mod scalar;
#[cfg(test)]
mod tests;

pub use dispatch::Kernels;
pub(crate) use prefetch::prefetch;

/// Lanes of the sampled maxima.
pub(crate) const LANES: usize = 256;
/// Accumulators of one byte in a cache line; sweeps go by whole lines.
pub(crate) const LINE: usize = 64;
