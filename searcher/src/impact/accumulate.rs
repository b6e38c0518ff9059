//! Adding a contribution to the accumulator of each document of a band.
//!
//! The accumulators cover every id that three bytes can name, so no posting, however damaged, can
//! reach beyond them, and no id is checked. Pages that no document of the segment uses are never
//! touched and take no memory.

use std::marker::PhantomData;

use quarry_index::Pages;
use quarry_index::impact::{ImpactMeta, MOST_DOCUMENTS, WINDOW};

use crate::SearchError;
use crate::kernels::{LINE, prefetch};

/// Every id that three bytes can name.
const IDS: usize = MOST_DOCUMENTS as usize;
/// Bytes ahead of the posting being added that are asked for.
const AHEAD: usize = 768;

/// A sum of contributions for every document, on huge pages: sums are touched in no order.
#[derive(Debug)]
pub(super) struct Accumulators<T>(Pages, PhantomData<T>);

/// A number that contributions are added up in.
pub(super) trait Sum: bytemuck::Pod {
    /// `self + other`; callers scale contributions so that no sum of theirs wraps.
    fn plus(self, other: Self) -> Self;
}

impl Sum for u8 {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
}

impl Sum for u16 {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
}

impl<T: Sum> Accumulators<T> {
    /// All zero.
    ///
    /// # Errors
    /// When the system has no addresses left.
    pub(super) fn new() -> Result<Self, SearchError> {
        let pages = Pages::zeroed(IDS * size_of::<T>()).map_err(SearchError::Memory)?;
        Ok(Self(pages, PhantomData))
    }

    /// The memory begins at a page, so the cast never fails; and it has exactly `IDS` sums.
    fn all(&mut self) -> &mut [T; IDS] {
        let sums: &mut [T] = bytemuck::cast_slice_mut(&mut self.0);
        sums.first_chunk_mut().unwrap_or_else(|| unreachable!("mapped for {IDS} sums"))
    }

    /// The sums of the first `documents`, up to a whole line.
    pub(super) fn lines(&mut self, documents: usize) -> &mut [T] {
        let lanes = LINE / size_of::<T>();
        &mut self.all()[..documents.next_multiple_of(lanes).min(IDS)]
    }

    /// Adds `contribution` for each of a band's `count` documents; returns the bytes after it.
    pub(super) fn add<'a>(
        &mut self,
        layout: &ImpactMeta,
        bytes: &'a [u8],
        count: u32,
        contribution: T,
    ) -> &'a [u8] {
        let count = count as usize;
        if layout.is_windowed(u32::try_from(count).unwrap_or(u32::MAX)) {
            self.add_windows(layout.windows as usize, bytes, count, contribution)
        } else {
            self.add_plain(bytes, count, contribution)
        }
    }

    fn add_plain<'a>(&mut self, bytes: &'a [u8], count: usize, contribution: T) -> &'a [u8] {
        let (band, rest) = bytes.split_at((3 * count).min(bytes.len()));
        let sums = self.all();
        let mut one = |id: u64| {
            let sum = &mut sums[(id & 0xff_ffff) as usize];
            *sum = sum.plus(contribution);
        };
        let (four, last) = band.as_chunks::<12>();
        for ids in four {
            prefetch(ids, AHEAD);
            // Two loads for four ids.
            let (Some(low), Some(high)) = (ids.first_chunk::<8>(), ids.last_chunk::<8>()) else {
                continue;
            };
            let (low, high) = (u64::from_le_bytes(*low), u64::from_le_bytes(*high));
            one(low);
            one(low >> 24);
            one(high >> 16);
            one(high >> 40);
        }
        for id in last.as_chunks::<3>().0 {
            one(u64::from(u32::from_le_bytes([id[0], id[1], id[2], 0])));
        }
        rest
    }

    fn add_windows<'a>(
        &mut self,
        windows: usize,
        bytes: &'a [u8],
        count: usize,
        contribution: T,
    ) -> &'a [u8] {
        let (head, ids) = bytes.split_at((4 * windows).min(bytes.len()));
        let (ids, rest) = ids.split_at((2 * count).min(ids.len()));
        let mut ids = ids.as_chunks::<2>().0;
        let sums = self.all().as_chunks_mut::<WINDOW>().0;
        for (sums, in_window) in sums.iter_mut().zip(head.as_chunks::<4>().0) {
            let in_window = (u32::from_le_bytes(*in_window) as usize).min(ids.len());
            let (now, later) = ids.split_at(in_window);
            let mut one = |id: [u8; 2]| {
                let sum = &mut sums[usize::from(u16::from_le_bytes(id))];
                *sum = sum.plus(contribution);
            };
            let (eight, last) = now.as_chunks::<8>();
            for group in eight {
                prefetch(group.as_flattened(), AHEAD);
                group.iter().for_each(|id| one(*id));
            }
            last.iter().for_each(|id| one(*id));
            ids = later;
        }
        rest
    }
}

/// The accumulators, made when they are first needed.
pub(super) fn ready<T: Sum>(
    slot: &mut Option<Accumulators<T>>,
) -> Result<&mut Accumulators<T>, SearchError> {
    match slot {
        Some(sums) => Ok(sums),
        None => Ok(slot.insert(Accumulators::new()?)),
    }
}
