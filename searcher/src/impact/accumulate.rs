//! Adding contributions to the sums of a group of windows, one sum for each of their rows.
//!
//! A group's sums stay in the second-level cache and are used again for the next group. Positions
//! have two bytes and a window has a sum for every such number, so no posting, however damaged,
//! reaches beyond its window.

use quarry_index::impact::BANDS;

use crate::kernels::{LINE, prefetch};

/// Sums of a window: one for every number of two bytes.
const SUMS: usize = 1 << 16;
/// Bytes of a group's sums at most.
const GROUP: usize = 1 << 19;
/// Postings that the loop adds at once.
const STEP: usize = 8;
/// Postings ahead of those being added whose line is asked for.
const AHEAD: usize = 768;
/// Positions in a line.
const OF_LINE: usize = LINE / size_of::<u16>();

/// A number that contributions are added up in.
pub(super) trait Sum: bytemuck::Pod + PartialEq {
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

/// The sums of a group of windows; zero between groups. They begin at a cache line.
#[derive(Debug, Default)]
pub(super) struct Sums<T> {
    sums: Vec<T>,
    begin: usize,
}

impl<T: Sum> Sums<T> {
    /// Windows of a group.
    pub(super) const WINDOWS: usize = GROUP / SUMS / size_of::<T>();

    /// Makes room for a group of so many windows.
    pub(super) fn prepare(&mut self, windows: usize) {
        let lanes = LINE / size_of::<T>();
        let wanted = windows.min(Self::WINDOWS) * SUMS + lanes;
        if self.sums.len() < wanted {
            self.sums = vec![T::zeroed(); wanted];
            self.begin = self.sums.as_ptr().align_offset(LINE).min(lanes);
        }
    }

    fn windows(&mut self) -> &mut [[T; SUMS]] {
        self.sums.get_mut(self.begin..).unwrap_or_default().as_chunks_mut().0
    }

    /// The sums of the first `rows` rows of a window of the group, up to a whole line of 64 bytes.
    pub(super) fn lines(&mut self, window: usize, rows: usize) -> &mut [T] {
        let lanes = LINE / size_of::<T>();
        &mut self.windows()[window][..rows.next_multiple_of(lanes).min(SUMS)]
    }

    /// Adds a band's postings in the windows of the group: `counts` says how many each window has
    /// of `positions`. Says how many there were.
    #[inline]
    pub(super) fn add_band(
        &mut self,
        counts: &[u16],
        mut positions: &[u16],
        contribution: T,
    ) -> usize {
        let mut last = [T::zeroed(); 2 * STEP];
        last[..STEP].fill(contribution);
        let mut added = 0;
        for (sums, count) in self.windows().iter_mut().zip(counts) {
            let count = positions.len().min(usize::from(*count));
            for line in (0..count).step_by(OF_LINE) {
                prefetch(positions, AHEAD + line);
            }
            add(sums, positions, count, &last);
            positions = &positions[count..];
            added += count;
        }
        added
    }

    /// Adds the entries of the window that begins at row `base`, which `entries` begins with; says
    /// how many they were.
    pub(super) fn add_entries(
        &mut self,
        window: usize,
        entries: &[u32],
        (base, rows): (usize, usize),
        contributions: &[T; BANDS],
    ) -> usize {
        let sums = &mut self.windows()[window];
        let mut added = 0;
        for entry in entries {
            let position = (*entry as usize & 0xff_ffff).wrapping_sub(base);
            if position >= rows {
                break;
            }
            let sum = &mut sums[position % SUMS];
            *sum = sum.plus(contributions[(entry >> 24) as usize % BANDS]);
            added += 1;
        }
        added
    }
}

/// Adds a contribution for each of the first `count` positions. `last` has it STEP times, then
/// zeros: the last group goes on into the positions that follow, to which zero is added, so that no
/// loop is left for the rest, whose end could not be predicted.
#[inline(always)]
fn add<T: Sum>(sums: &mut [T; SUMS], positions: &[u16], count: usize, last: &[T; 2 * STEP]) {
    let (whole, rest) = (count / STEP, count % STEP);
    let mut one = |position: u16, contribution: T| {
        let sum = &mut sums[usize::from(position)];
        *sum = sum.plus(contribution);
    };
    let groups = positions.as_chunks::<STEP>().0;
    for group in &groups[..whole] {
        group.iter().for_each(|position| one(*position, last[0]));
    }
    let last = &last[STEP - rest..2 * STEP - rest];
    match groups.get(whole) {
        Some(group) => group.iter().zip(last).for_each(|(position, c)| one(*position, *c)),
        // The end of the list.
        None => positions[whole * STEP..count].iter().zip(last).for_each(|(p, c)| one(*p, *c)),
    }
}
