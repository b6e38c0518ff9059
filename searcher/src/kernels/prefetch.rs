//! Prefetching of cache lines.
#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "the prefetch instruction"))]

/// Prefetches the cache line `at` elements from the first, whether or not that lies inside.
#[inline(always)]
pub(crate) fn prefetch<T>(values: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction accepts any address: it neither faults nor changes what the
        // program can see. SSE is part of every x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().wrapping_add(at).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, at);
}
