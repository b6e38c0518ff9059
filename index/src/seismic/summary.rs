//! Summaries of a list's blocks, stored by term: a query looks only at its own terms.
//!
//! A list's blocks are taken in groups of at most 128. A group has its terms as keys, ascending,
//! and each key a run of entries, one for each block whose summary has the term: a block's number
//! in the group, whose top bit marks the run's last entry, and a level. Terms are found by pages of
//! 256: a page says where its keys (low bytes of terms) and their entries begin.
//!
//! Bytes: one a key, two an entry, four a page (twelve, and of pages with keys only, beyond 65,536
//! terms). Rows of (term, level) would take three a component; on wiki396k a term stands in about
//! two of a list's summaries.

use bytemuck::Pod;

use super::layout::BlockData;
use crate::error::IndexError;

/// Blocks of a group at most: their numbers have seven bits.
pub const GROUP: usize = 128;
/// The bit of an entry's number that ends a run.
pub const LAST: u8 = 0x80;
/// Bytes after the last group that kernels may read but never use.
pub const SLACK: usize = 64;
/// Entries of a group at most where places have two bytes: they are told apart modulo 2^16.
const NARROW_ENTRIES: usize = 1 << 16;
/// A group begins at a multiple of this many bytes.
pub(super) const UNIT: usize = 16;

/// Where a page's keys and entries begin: two bytes each, or with the page's number four each.
pub(super) type NarrowPage = [u16; 2];
pub(super) type WidePage = [u32; 3];

/// Whether a dimension has pages of four bytes, one for every 256 terms.
pub(super) fn is_narrow(dimension: u32) -> bool {
    dimension <= 1 << 16
}

/// Pages of a group in a narrow dimension.
pub(super) fn narrow_pages(dimension: u32) -> usize {
    dimension.div_ceil(256) as usize
}

/// A group that is ready to be written.
#[derive(Debug, Clone, Default)]
pub(super) struct Packed {
    pub(super) blocks: usize,
    pub(super) pages: usize,
    pub(super) keys: usize,
    pub(super) entries: usize,
    pub(super) bytes: Vec<u8>,
}

/// The groups of a list.
pub(super) fn pack(dimension: u32, blocks: &[BlockData]) -> Result<Vec<Packed>, IndexError> {
    let most = if is_narrow(dimension) { NARROW_ENTRIES } else { usize::MAX };
    let mut groups = Vec::new();
    let mut from = 0;
    while from < blocks.len() {
        let mut entries = 0;
        let count = blocks[from..]
            .iter()
            .take(GROUP)
            .take_while(|block| {
                entries += block.terms.len();
                entries <= most || entries == block.terms.len()
            })
            .count();
        groups.push(pack_group(dimension, &blocks[from..from + count])?);
        from += count;
    }
    Ok(groups)
}

#[expect(clippy::cast_possible_truncation, reason = "low bytes are wanted; places are modulo 2^16")]
fn pack_group(dimension: u32, blocks: &[BlockData]) -> Result<Packed, IndexError> {
    let mut sorted: Vec<u64> = Vec::with_capacity(blocks.iter().map(|b| b.terms.len()).sum());
    for (number, block) in (0u64..).zip(blocks) {
        if let Some(term) = block.terms.iter().find(|t| **t >= dimension) {
            return Err(IndexError::Limit {
                what: "term id".into(),
                found: u64::from(*term),
                limit: u64::from(dimension.saturating_sub(1)),
            });
        }
        let components = block.terms.iter().zip(&block.levels);
        sorted.extend(components.map(|(t, l)| u64::from(*t) << 16 | number << 8 | u64::from(*l)));
    }
    sorted.sort_unstable();
    let (mut keys, mut numbers, mut levels) = (Vec::new(), Vec::new(), Vec::new());
    // Page, first key, first entry; of pages with keys.
    let mut pages: Vec<WidePage> = Vec::new();
    let mut before = None;
    for entry in &sorted {
        let term = (entry >> 16) as u32;
        if before != Some(term) {
            if let Some(last) = numbers.last_mut() {
                *last |= LAST;
            }
            if pages.last().is_none_or(|page| page[0] != term >> 8) {
                pages.push([term >> 8, keys.len() as u32, numbers.len() as u32]);
            }
            keys.push(term as u8);
            before = Some(term);
        }
        numbers.push((entry >> 8) as u8);
        levels.push(*entry as u8);
    }
    if let Some(last) = numbers.last_mut() {
        *last |= LAST;
    }
    let (end, mut bytes) = ([u32::MAX, keys.len() as u32, numbers.len() as u32], Vec::new());
    let count = if is_narrow(dimension) {
        let mut filled = pages.iter().copied().chain([end]).peekable();
        for number in 0..=narrow_pages(dimension) as u32 {
            while filled.next_if(|page| page[0] < number).is_some() {}
            let [_, key, entry] = *filled.peek().unwrap_or(&end);
            bytes.extend_from_slice(bytemuck::bytes_of(&[key as u16, entry as u16]));
        }
        narrow_pages(dimension)
    } else {
        pages.iter().chain([&end]).for_each(|page| bytes.extend(bytemuck::bytes_of(page)));
        pages.len()
    };
    bytes.extend(&keys);
    bytes.extend(&numbers);
    bytes.extend(&levels);
    bytes.resize(bytes.len().next_multiple_of(UNIT), 0);
    let (keys, entries) = (keys.len(), numbers.len());
    Ok(Packed { blocks: blocks.len(), pages: count, keys, entries, bytes })
}

/// The summaries of a group of blocks, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Summaries<'a> {
    pages: Pages<'a>,
    /// Keys, numbers, levels, and at least [`SLACK`] bytes more.
    bytes: &'a [u8],
    keys: usize,
    entries: usize,
}

#[derive(Debug, Clone, Copy)]
enum Pages<'a> {
    Narrow(&'a [NarrowPage]),
    Wide(&'a [WidePage]),
}

/// Where a page's keys and entries lie, counted from the group's first; inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// First key.
    pub key: usize,
    /// Keys.
    pub keys: usize,
    /// First entry.
    pub entry: usize,
    /// Entries.
    pub entries: usize,
}

impl<'a> Summaries<'a> {
    /// A group's summaries from where its pages begin; `None` when they do not fit.
    #[inline]
    pub(super) fn new(
        from: &'a [u8],
        narrow: bool,
        (pages, keys, entries): (usize, usize, usize),
    ) -> Option<Self> {
        let (table, bytes) = from.split_at_checked(page_bytes(narrow, pages))?;
        let fits = keys + 2 * entries + SLACK <= bytes.len();
        let pages =
            if narrow { Pages::Narrow(table_of(table)?) } else { Pages::Wide(table_of(table)?) };
        fits.then_some(Self { pages, bytes, keys, entries })
    }

    /// The page that a term would stand in; `None` when it has no keys.
    #[must_use]
    #[inline]
    pub fn page(&self, term: u32) -> Option<Page> {
        let number = (term >> 8) as usize;
        let page = match self.pages {
            Pages::Narrow(pages) => {
                let (from, to) = (pages.get(number)?, pages.get(number + 1)?);
                Page {
                    key: usize::from(from[0]),
                    keys: usize::from(to[0].wrapping_sub(from[0])),
                    entry: usize::from(from[1]),
                    entries: usize::from(to[1].wrapping_sub(from[1])),
                }
            }
            Pages::Wide(pages) => {
                let at = pages.binary_search_by_key(&(term >> 8), |page| page[0]).ok()?;
                let (from, to) = (pages[at], pages.get(at + 1)?);
                Page {
                    key: from[1] as usize,
                    keys: to[1].checked_sub(from[1])? as usize,
                    entry: from[2] as usize,
                    entries: to[2].checked_sub(from[2])? as usize,
                }
            }
        };
        let inside = page.key + page.keys <= self.keys && page.entry + page.entries <= self.entries;
        (inside && page.keys > 0).then_some(page)
    }

    /// The table of pages, for prefetching.
    #[must_use]
    #[inline]
    pub fn table(&self) -> &'a [u8] {
        match self.pages {
            Pages::Narrow(pages) => bytemuck::cast_slice(pages),
            Pages::Wide(pages) => bytemuck::cast_slice(pages),
        }
    }

    /// Low bytes of terms from a key on, and at least [`SLACK`] bytes after the last.
    ///
    /// # Panics
    /// When there is no such key.
    #[must_use]
    #[inline]
    pub fn keys_from(&self, key: usize) -> &'a [u8] {
        &self.bytes[key..]
    }

    /// Numbers of blocks from an entry on, and at least [`SLACK`] bytes after the last.
    ///
    /// # Panics
    /// When there is no such entry.
    #[must_use]
    #[inline]
    pub fn numbers_from(&self, entry: usize) -> &'a [u8] {
        &self.bytes[self.keys + entry..]
    }

    /// Levels from an entry on, and at least [`SLACK`] bytes after the last.
    ///
    /// # Panics
    /// When there is no such entry.
    #[must_use]
    #[inline]
    pub fn levels_from(&self, entry: usize) -> &'a [u8] {
        &self.bytes[self.keys + self.entries + entry..]
    }

    /// Every component as (block, term, level), by term and block: the plain twin of the searchers'
    /// loops, and for tools.
    #[must_use]
    pub(crate) fn decode(&self) -> Vec<(u8, u32, u8)> {
        let numbers: Vec<u32> = match self.pages {
            Pages::Narrow(pages) => (0u32..).take(pages.len()).collect(),
            Pages::Wide(pages) => pages.iter().map(|page| page[0]).collect(),
        };
        let mut out = Vec::new();
        for number in numbers.into_iter().filter(|n| *n < 1 << 24) {
            let Some(page) = self.page(number << 8) else { continue };
            let mut keys = self.keys_from(page.key)[..page.keys].iter();
            let entries = self.numbers_from(page.entry).iter().zip(self.levels_from(page.entry));
            let mut key = keys.next();
            for (block, level) in entries.take(page.entries) {
                let Some(low) = key else { break };
                out.push((block & !LAST, number << 8 | u32::from(*low), *level));
                if block & LAST != 0 {
                    key = keys.next();
                }
            }
        }
        out
    }
}

/// Bytes of a group's table: one page more than there are.
pub(super) fn page_bytes(narrow: bool, pages: usize) -> usize {
    (pages + 1) * if narrow { size_of::<NarrowPage>() } else { size_of::<WidePage>() }
}

fn table_of<T: Pod>(bytes: &[u8]) -> Option<&[T]> {
    bytemuck::try_cast_slice(bytes).ok()
}
