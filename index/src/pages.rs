//! Anonymous memory on huge pages, where the system gives them.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// Size and alignment of a huge page.
const HUGE: usize = 2 << 20;

/// Zeroed bytes that begin at a huge page. Pages that are never touched take no memory.
#[derive(Debug)]
pub(crate) struct Pages {
    map: MmapMut,
    start: usize,
    len: usize,
}

impl Pages {
    /// Maps `len` bytes.
    ///
    /// # Errors
    /// When the system has no addresses left.
    pub(crate) fn zeroed(len: usize) -> std::io::Result<Self> {
        let map = MmapMut::map_anon(len + HUGE)?;
        let start = map.as_ptr().addr().wrapping_neg() % HUGE;
        #[cfg(all(target_os = "linux", not(miri)))]
        if let Err(error) = map.advise_range(memmap2::Advice::HugePage, start, len) {
            tracing::debug!(%error, "no huge pages");
        }
        Ok(Self { map, start, len })
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map[self.start..self.start + self.len]
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.map[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_aligned() {
        let mut pages = Pages::zeroed(3 << 20).unwrap();
        assert_eq!(pages.len(), 3 << 20);
        assert_eq!(pages.as_ptr().addr() % HUGE, 0);
        assert!(pages.iter().all(|b| *b == 0));
        pages[7] = 1;
        assert_eq!(pages[7], 1);
        assert!(Pages::zeroed(0).unwrap().is_empty());
    }
}
