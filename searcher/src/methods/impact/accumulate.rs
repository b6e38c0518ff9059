//! Adding contributions to a window's sums, one for each of its documents.
//!
//! A window's sums stay in the nearest caches and are used again for the next one. Positions have
//! two bytes and there is a sum for every such number, so no posting, however damaged, reaches
//! beyond them.

use quarry_index::impact::BANDS;

use crate::kernels::LINE;

/// Sums: one for every number of two bytes.
const SUMS: usize = 1 << 16;
/// Postings whose contributions are laid out before they are added: one loop over several bands is
/// better predicted than a loop for each.
const CHUNK: usize = 1024;
/// Contributions of a band that are laid out at once.
const SPLAT: usize = 64;
/// Longer bands are added by a loop of their own.
const LONG: usize = 512;
/// Postings that the loops add at once.
const GROUP: usize = 8;

/// A number that contributions are added up in.
pub(crate) trait Sum: bytemuck::Pod {
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

/// Sums that begin at a cache line: sweeps go by whole lines.
#[derive(Debug)]
#[repr(C, align(64))]
struct Lines<T>([T; SUMS]);

/// The sums of one window; zero between windows.
#[derive(Debug)]
pub(super) struct Sums<T> {
    sums: Box<Lines<T>>,
    chunk: Box<[T; CHUNK + LONG + SPLAT]>,
}

impl<T: Sum> Default for Sums<T> {
    fn default() -> Self {
        Self { sums: Box::new(Lines([T::zeroed(); SUMS])), chunk: bytemuck::zeroed_box() }
    }
}

impl<T: Sum> Sums<T> {
    /// The sums of the first `documents` of the window, up to a whole line of 64 bytes.
    pub(super) fn lines(&mut self, documents: usize) -> &mut [T] {
        let lanes = LINE / size_of::<T>();
        &mut self.sums.0[..documents.next_multiple_of(lanes).min(SUMS)]
    }

    /// Adds the first `bands` bands of a run; says how many postings they had.
    pub(super) fn add_run(
        &mut self,
        (ends, positions): (&[u16; BANDS], &[u16]),
        contributions: &[T; BANDS],
        bands: usize,
    ) -> usize {
        let Self { sums, chunk } = self;
        let sums = &mut sums.0;
        // Laid out but not added: positions[from..at].
        let (mut from, mut at) = (0, 0);
        for (end, contribution) in ends.iter().zip(contributions).take(bands) {
            let end = usize::from(*end).min(positions.len()).max(at);
            if end - at <= LONG {
                loop {
                    if let Some(slot) = chunk[at - from..].first_chunk_mut::<SPLAT>() {
                        *slot = [*contribution; SPLAT];
                    }
                    if end - at <= SPLAT {
                        break;
                    }
                    at += SPLAT;
                }
                at = end;
                if at - from < CHUNK {
                    continue;
                }
                spread(sums, &positions[from..], at - from, &mut chunk[..]);
            } else {
                spread(sums, &positions[from..], at - from, &mut chunk[..]);
                repeat(sums, &positions[at..end], *contribution);
                at = end;
            }
            from = at;
        }
        spread(sums, &positions[from..], at - from, &mut chunk[..]);
        at
    }

    /// Adds the entries of the window that begins at document `base`, which `entries` begins with;
    /// says how many they were.
    pub(super) fn add_entries(
        &mut self,
        entries: &[u32],
        (base, documents): (usize, usize),
        contributions: &[T; BANDS],
    ) -> usize {
        let sums = &mut self.sums.0;
        let mut added = 0;
        for entry in entries {
            let position = (*entry as usize & 0xff_ffff).wrapping_sub(base);
            if position >= documents {
                break;
            }
            let sum = &mut sums[position % SUMS];
            *sum = sum.plus(contributions[(entry >> 24) as usize % BANDS]);
            added += 1;
        }
        added
    }
}

/// Adds a contribution of its own for each of the first `count` positions. Those after them, to a
/// whole group, get zero added where the list has them, so that no loop is left for the rest.
#[inline(always)]
fn spread<T: Sum>(sums: &mut [T; SUMS], positions: &[u16], count: usize, contributions: &mut [T]) {
    if let Some(slot) = contributions[count..].first_chunk_mut::<GROUP>() {
        *slot = [T::zeroed(); GROUP];
    }
    let groups = positions.as_chunks::<GROUP>().0;
    let whole = groups.len().min(count.div_ceil(GROUP));
    let (of_groups, _) = contributions.as_chunks::<GROUP>();
    for (positions, contributions) in groups[..whole].iter().zip(of_groups) {
        for (position, contribution) in positions.iter().zip(contributions) {
            let sum = &mut sums[usize::from(*position)];
            *sum = sum.plus(*contribution);
        }
    }
    // The end of the list.
    let done = whole * GROUP;
    if done < count {
        for (position, contribution) in positions[done..].iter().zip(&contributions[done..count]) {
            let sum = &mut sums[usize::from(*position)];
            *sum = sum.plus(*contribution);
        }
    }
}

/// Adds the same contribution for each position.
#[inline(always)]
fn repeat<T: Sum>(sums: &mut [T; SUMS], positions: &[u16], contribution: T) {
    let mut one = |position: u16| {
        let sum = &mut sums[usize::from(position)];
        *sum = sum.plus(contribution);
    };
    let (groups, last) = positions.as_chunks::<GROUP>();
    for positions in groups {
        positions.iter().for_each(|p| one(*p));
    }
    last.iter().for_each(|p| one(*p));
}
