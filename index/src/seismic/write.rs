//! Writing blocked lists.

use std::path::Path;

use super::layout::{BlockData, Group, KIND, SeismicMeta, SeismicParams, VERSION};
use super::summary::{self, Packed, SLACK, UNIT};
use crate::container::{PartWriter, Written};
use crate::error::IndexError;
use crate::spill::Spill;

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
