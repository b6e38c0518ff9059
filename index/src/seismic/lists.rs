//! Reading blocked lists.

use std::ops::Range;
use std::path::Path;

use quarry_vectors::TermId;

use super::layout::{Group, KIND, READABLE, SeismicMeta};
use super::summary::{self, GROUP, SLACK, Summaries, UNIT};
use crate::container::{Part, Verify};
use crate::error::IndexError;
use crate::part::SegmentPart;

/// The arrays of the part, borrowed once a query.
#[derive(Debug, Clone, Copy)]
pub struct Lists<'a> {
    list_ends: &'a [u32],
    posting_ends: &'a [u32],
    scales: &'a [f32],
    postings: &'a [u32],
    group_ends: &'a [u32],
    groups: &'a [Group],
    summaries: &'a [u8],
    narrow: bool,
}

impl<'a> Lists<'a> {
    /// The blocks of a term's list; none for a term beyond the dimension.
    #[must_use]
    #[inline]
    pub fn blocks(&self, term: TermId) -> Range<usize> {
        range(self.list_ends, term.0 as usize)
    }

    /// The groups of a term's list; none for a term beyond the dimension.
    #[must_use]
    #[inline]
    pub fn groups(&self, term: TermId) -> Range<usize> {
        range(self.group_ends, term.0 as usize)
    }

    /// The blocks of a group, at most [`GROUP`].
    #[must_use]
    #[inline]
    pub fn blocks_of(&self, group: usize) -> Range<usize> {
        let start = if group == 0 { 0 } else { self.groups[group - 1][1] as usize };
        start..self.groups[group][1] as usize
    }

    /// The summaries of a group's blocks.
    #[must_use]
    #[inline]
    pub fn summaries(&self, group: usize) -> Option<Summaries<'a>> {
        let [place, _, pages, keys, entries] = self.groups[group];
        let from = self.summaries.get(UNIT * place as usize..)?;
        Summaries::new(from, self.narrow, (pages as usize, keys as usize, entries as usize))
    }

    /// A block's documents, ascending.
    #[must_use]
    #[inline]
    pub fn docs(&self, block: usize) -> &'a [u32] {
        &self.postings[range(self.posting_ends, block)]
    }

    /// What one level of a block's summary is worth, in levels of the forward index.
    #[must_use]
    #[inline]
    pub fn scale(&self, block: usize) -> f32 {
        self.scales[block]
    }

    /// The tables that a search looks into, for prefetching.
    #[must_use]
    #[inline]
    pub fn tables(&self) -> Tables<'a> {
        let Self { group_ends, groups, scales, posting_ends, .. } = *self;
        Tables { group_ends, groups, scales, posting_ends }
    }

    /// The summaries of a term's blocks, one after another: (term, level) by term. For tools.
    #[must_use]
    pub fn decode(&self, term: TermId) -> Vec<Vec<(u32, u8)>> {
        let mut out = Vec::new();
        for group in self.groups(term) {
            let mut blocks = vec![Vec::new(); self.blocks_of(group).len()];
            for (block, term, level) in self.summaries(group).iter().flat_map(Summaries::decode) {
                if let Some(summary) = blocks.get_mut(usize::from(block)) {
                    summary.push((term, level));
                }
            }
            out.append(&mut blocks);
        }
        out
    }
}

/// Tables of a part, as they lie in the file.
#[derive(Debug, Clone, Copy)]
pub struct Tables<'a> {
    /// By term: the end of its groups.
    pub group_ends: &'a [u32],
    /// By group: where its summaries lie.
    pub groups: &'a [Group],
    /// By block: what a level of its summary is worth.
    pub scales: &'a [f32],
    /// By block: the end of its postings.
    pub posting_ends: &'a [u32],
}

/// Bytes of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Of all postings.
    pub postings: u64,
    /// Of everything that summaries need: groups, their tables, scales.
    pub summaries: u64,
}

/// The blocked lists of an open segment.
#[derive(Debug, Clone)]
pub struct SeismicLists {
    part: Part,
    meta: SeismicMeta,
}

impl SeismicLists {
    /// Opens the part and checks every offset and document. It does not look into groups: reading
    /// them is bounded whatever they hold.
    ///
    /// # Errors
    /// As [`Part::open`]; and when an offset or a document lies outside. Cost: one pass over
    /// offsets and postings.
    pub fn open(path: &Path, verify: Verify) -> Result<Self, IndexError> {
        Self::read(Part::open(path, KIND, READABLE, verify)?, verify)
    }

    /// What the part says of itself.
    #[must_use]
    pub fn meta(&self) -> &SeismicMeta {
        &self.meta
    }

    /// How much of the part is what.
    ///
    /// # Errors
    /// Never for an open part.
    pub fn sizes(&self) -> Result<Sizes, IndexError> {
        let view = self.view()?;
        let tables = 4 * (view.scales.len() + view.group_ends.len()) + size_of_val(view.groups);
        let summaries = (view.summaries.len() + tables) as u64;
        Ok(Sizes { postings: 4 * view.postings.len() as u64, summaries })
    }

    /// The arrays.
    ///
    /// # Errors
    /// When a section is missing, which an open part's are not.
    pub fn view(&self) -> Result<Lists<'_>, IndexError> {
        let groups: &[u32] = self.part.array("groups")?;
        let (groups, rest) = groups.as_chunks();
        if !rest.is_empty() {
            return Err(IndexError::corrupt(self.part.path(), "the table of groups is truncated"));
        }
        Ok(Lists {
            list_ends: self.part.array("list.ends")?,
            posting_ends: self.part.array("posting.ends")?,
            scales: self.part.array("summary.scales")?,
            postings: self.part.array("postings")?,
            group_ends: self.part.array("group.ends")?,
            groups,
            summaries: self.part.bytes("summaries")?,
            narrow: summary::is_narrow(self.meta.lists),
        })
    }
}

impl SegmentPart for SeismicLists {
    fn read(part: Part, _: Verify) -> Result<Self, IndexError> {
        let path = &part.path().to_path_buf();
        let meta: SeismicMeta = part.json("meta")?;
        let lists = Self { part, meta };
        let corrupt = |what: &str| Err(IndexError::corrupt(path, what));
        let view = lists.view()?;
        let number = lists.meta.lists as usize;
        if view.list_ends.len() != number || view.group_ends.len() != number {
            return corrupt("the number of lists does not fit");
        }
        let blocks = view.posting_ends.len();
        if view.scales.len() != blocks {
            return corrupt("the block tables differ in length");
        }
        if !covers(view.list_ends, blocks)
            || !covers(view.posting_ends, view.postings.len())
            || !covers(view.group_ends, view.groups.len())
        {
            return corrupt("offsets do not cover what they describe");
        }
        let mut place = 0;
        for group in 0..view.groups.len() {
            let of_group = view.groups[group];
            let blocks = view.blocks_of(group);
            let bytes = u64::from(of_group[3])
                + 2 * u64::from(of_group[4])
                + summary::page_bytes(view.narrow, of_group[2] as usize) as u64;
            let end = place + bytes.next_multiple_of(UNIT as u64);
            let fits =
                !view.narrow || of_group[2] as usize == summary::narrow_pages(lists.meta.lists);
            if u64::from(of_group[0]) * UNIT as u64 != place
                || end + SLACK as u64 > view.summaries.len() as u64
                || blocks.is_empty()
                || blocks.len() > GROUP
                || !fits
            {
                return corrupt("a group of summaries does not lie where the one before it ends");
            }
            place = end;
        }
        let ends = view.list_ends.iter().zip(view.group_ends);
        let agree = |list: &u32, groups: &u32| match groups.checked_sub(1) {
            None => *list == 0,
            Some(last) => view.groups[last as usize][1] == *list,
        };
        if !ends.clone().all(|(list, groups)| agree(list, groups)) {
            return corrupt("groups do not cover the blocks of their lists");
        }
        let documents = lists.part.documents();
        if view.postings.iter().any(|d| u64::from(*d) >= documents) {
            return corrupt("a posting names a document that does not exist");
        }
        Ok(lists)
    }

    fn part(&self) -> &Part {
        &self.part
    }

    fn part_mut(&mut self) -> &mut Part {
        &mut self.part
    }

    fn terms(&self) -> u32 {
        self.meta.lists
    }
}

/// What lies between the end before and the one at `at`; nothing beyond the last.
#[inline]
fn range(ends: &[u32], at: usize) -> Range<usize> {
    match ends.get(at) {
        None => 0..0,
        Some(end) => (if at == 0 { 0 } else { ends[at - 1] as usize })..*end as usize,
    }
}

fn covers(ends: &[u32], len: usize) -> bool {
    ends.windows(2).all(|w| w[0] <= w[1]) && ends.last().map_or(0, |e| *e as usize) == len
}
