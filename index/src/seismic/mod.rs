//! Blocked inverted lists with summaries, as Seismic has them (arXiv:2404.18812).
//!
//! A term's list is a run of blocks; a block is a run of postings (documents, ascending) with a
//! summary: the coordinate-wise maximum of its documents' vectors, cut to a share of its mass, its
//! weights in one byte times a scale of the block. Summaries are stored by term (`summary`).

mod summary;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::Path;

use quarry_vectors::TermId;
use serde::{Deserialize, Serialize};

pub use summary::{GROUP, LAST, Page, SLACK, Summaries};
use summary::{Packed, UNIT};

use crate::IndexError;
use crate::container::{Part, PartWriter, Verify, Written};
use crate::part::SegmentPart;
use crate::spill::Spill;

/// Name of the part kind.
pub const KIND: &str = "seismic";
/// Version written.
pub const VERSION: u32 = 2;
/// Versions read (end exclusive).
pub(crate) const READABLE: Range<u32> = VERSION..VERSION + 1;

/// Segments of at most this many rows need no lists: scoring every document costs about as much as
/// a careful approximation.
pub const SMALL_SEGMENT: u64 = 10_000;

/// How lists were cut, blocked and summarised.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SeismicParams {
    /// Static pruning keeps about `n_postings` x dimension postings: the largest of the segment.
    pub n_postings: u32,
    /// No list keeps more than `n_postings` x `max_fraction`.
    pub max_fraction: f32,
    /// Postings of a document that are kept whatever their weight: its heaviest ones.
    pub min_per_document: u32,
    /// Blocks of a list: this share of its postings.
    pub centroid_fraction: f32,
    /// Blocks of at most this many documents are dissolved into others.
    pub min_cluster_size: u32,
    /// Components of a document that decide its block.
    pub document_cut: u32,
    /// Share of a summary's mass that is kept, in (0, 1].
    pub summary_energy: f32,
}

/// What the part says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeismicMeta {
    /// How it was built.
    pub params: SeismicParams,
    /// Seed of every random choice.
    pub seed: u64,
    /// Number of lists: the dimension.
    pub lists: u32,
    /// Blocks of all lists.
    pub blocks: u64,
    /// Postings of all blocks.
    pub postings: u64,
    /// Components of all summaries.
    pub summary_components: u64,
}

/// One block while it is being written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BlockData {
    /// Documents, ascending.
    pub docs: Vec<u32>,
    /// Summary: terms, ascending.
    pub terms: Vec<u32>,
    /// Summary: one byte a term.
    pub levels: Vec<u8>,
    /// What one level is worth, in levels of the forward index.
    pub scale: f32,
}

/// A list with its summaries packed: work that lists do not share, so it can be done side by side.
#[derive(Debug, Clone, Default)]
pub struct ListData {
    docs: Vec<u32>,
    ends: Vec<u32>,
    scales: Vec<f32>,
    groups: Vec<Packed>,
}

impl ListData {
    /// Packs a list for a part of `dimension` lists. Cost: a sort of each group's components.
    ///
    /// # Errors
    /// When a term lies outside the dimension or a count outgrows 32 bits.
    pub fn new(dimension: u32, blocks: &[BlockData]) -> Result<Self, IndexError> {
        let mut list = Self { groups: summary::pack(dimension, blocks)?, ..Self::default() };
        for block in blocks {
            list.docs.extend(&block.docs);
            list.ends.push(narrow("postings of a list", list.docs.len() as u64)?);
            list.scales.push(block.scale);
        }
        Ok(list)
    }
}

/// Writes the lists in order of term. Postings stream to the file; summaries wait in a temporary
/// one, since sections are written one after another; tables (12 bytes a block) are kept.
#[derive(Debug)]
pub struct SeismicWriter {
    part: PartWriter,
    meta: SeismicMeta,
    lists: Vec<u32>,
    posting_ends: Vec<u32>,
    scales: Vec<f32>,
    group_ends: Vec<u32>,
    groups: Vec<Group>,
    summaries: Spill,
    /// Bytes in `summaries`.
    written: u64,
    documents: u64,
}

/// A group's summaries: place in units of 16 bytes, end of its blocks, pages, keys, entries.
type Group = [u32; 5];

impl SeismicWriter {
    /// Begins the part for `lists` terms.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn create(
        path: &Path,
        lists: u32,
        documents: u64,
        params: SeismicParams,
        seed: u64,
    ) -> Result<Self, IndexError> {
        let mut part = PartWriter::create(path, KIND, VERSION)?;
        part.section("postings")?;
        let meta =
            SeismicMeta { params, seed, lists, blocks: 0, postings: 0, summary_components: 0 };
        Ok(Self {
            part,
            meta,
            lists: Vec::new(),
            posting_ends: Vec::new(),
            scales: Vec::new(),
            group_ends: Vec::new(),
            groups: Vec::new(),
            summaries: Spill::beside(path)?,
            written: 0,
            documents,
        })
    }

    /// Appends the next term's list.
    ///
    /// # Errors
    /// When a count outgrows 32 bits or the disk refuses.
    pub fn push_list(&mut self, list: &ListData) -> Result<(), IndexError> {
        self.part.write(bytemuck::cast_slice(&list.docs))?;
        let (postings, mut block) = (self.meta.postings, self.meta.blocks);
        for end in &list.ends {
            let end = postings + u64::from(*end);
            self.posting_ends.push(narrow("postings of a segment's lists", end)?);
        }
        self.meta.postings += list.docs.len() as u64;
        self.meta.blocks += list.ends.len() as u64;
        self.scales.extend(&list.scales);
        for group in &list.groups {
            block += group.blocks as u64;
            self.meta.summary_components += group.entries as u64;
            self.groups.push([
                narrow("16 bytes of a segment's summaries", self.written / UNIT as u64)?,
                narrow("blocks of a segment's lists", block)?,
                narrow("pages of summaries", group.pages as u64)?,
                narrow("terms of summaries", group.keys as u64)?,
                narrow("components of summaries", group.entries as u64)?,
            ]);
            self.written += group.bytes.len() as u64;
            self.summaries.write(&group.bytes)?;
        }
        self.lists.push(narrow("blocks of a segment's lists", self.meta.blocks)?);
        self.group_ends.push(narrow("groups of blocks", self.groups.len() as u64)?);
        Ok(())
    }

    /// Ends the part.
    ///
    /// # Errors
    /// When the disk refuses or a list is missing.
    pub fn finish(mut self) -> Result<(Written, SeismicMeta), IndexError> {
        if self.lists.len() as u64 != u64::from(self.meta.lists) {
            return Err(IndexError::Limit {
                what: "lists written".into(),
                found: self.lists.len() as u64,
                limit: u64::from(self.meta.lists),
            });
        }
        self.part.put_section("list.ends", &self.lists)?;
        self.part.put_section("posting.ends", &self.posting_ends)?;
        self.part.put_section("summary.scales", &self.scales)?;
        self.part.put_section("group.ends", &self.group_ends)?;
        self.part.put_section("groups", self.groups.as_flattened())?;
        self.part.section("summaries")?;
        self.summaries.copy_into(&mut self.part)?;
        self.part.write(&[0; SLACK])?;
        self.part.put_json("meta", &self.meta)?;
        Ok((self.part.finish(self.documents)?, self.meta))
    }
}

fn narrow(what: &str, found: u64) -> Result<u32, IndexError> {
    u32::try_from(found).map_err(|_| IndexError::Limit {
        what: what.into(),
        found,
        limit: u64::from(u32::MAX),
    })
}

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

    /// What is looked up by term, and by block: for prefetching.
    #[must_use]
    #[inline]
    pub fn tables(&self) -> (&'a [u32], &'a [Group], &'a [f32], &'a [u32]) {
        (self.group_ends, self.groups, self.scales, self.posting_ends)
    }

    /// All postings, for prefetching.
    #[must_use]
    #[inline]
    pub fn postings(&self) -> &'a [u32] {
        self.postings
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

/// The blocked lists of an open segment.
#[derive(Debug, Clone)]
pub struct SeismicLists {
    part: Part,
    meta: SeismicMeta,
}

impl SeismicLists {
    /// Opens the part and checks every offset and document. It does not look into groups: reading
    /// them is bounded, whatever they hold.
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

    /// Number of documents of the segment.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.part.documents()
    }

    /// Bytes of the postings, and of everything that summaries need: groups, their tables, scales.
    ///
    /// # Errors
    /// Never for an open part.
    pub fn sizes(&self) -> Result<(u64, u64), IndexError> {
        let view = self.view()?;
        let tables = 4 * (view.scales.len() + view.group_ends.len()) + size_of_val(view.groups);
        Ok((4 * view.postings.len() as u64, (view.summaries.len() + tables) as u64))
    }

    /// The arrays.
    ///
    /// # Errors
    /// When a section is missing, which an open part's are not.
    pub fn view(&self) -> Result<Lists<'_>, IndexError> {
        let groups: &[u32] = self.part.array("groups")?;
        let (groups, rest) = groups.as_chunks();
        if !rest.is_empty() {
            return Err(IndexError::corrupt(self.part.path(), "the table of groups is cut"));
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
            return corrupt("a posting names a document that is not there");
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
