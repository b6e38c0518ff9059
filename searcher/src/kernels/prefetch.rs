//! Asking for cache lines ahead of use.
#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "the prefetch instruction"))]

/// Asks for the cache line that holds `bytes[at]`; nothing when that lies outside.
#[inline(always)]
pub(crate) fn prefetch<T>(values: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(value) = values.get(at) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: prefetching neither reads nor writes as far as the program can see; the address
        // is that of a live value, which `get` checked, and SSE is part of every x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, at);
}
