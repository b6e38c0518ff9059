//! Impact-ordered lists of words, for BM25.
//!
//! An impact is what a posting adds to a score, without the word's weight: tf / (tf + k1 * (1 - b + b * dl /
//! mean)), with k1, b and the mean length of the segment's texts as they were when the lists were made. Levels are
//! impacts in 65,535ths, rounded up, so that they bound them. The lists are those of `impact.rs`, over the rows of
//! the segment. Words of few rows have none: their postings are read from the text part. What is searched are
//! bounds only; scores are made of the text part's frequencies and lengths.

use std::ops::Range;
use std::path::Path;

use quarry_vectors::TermId;
use serde::{Deserialize, Serialize};

use crate::container::{Part, PartWriter, Verify, Written};
use crate::error::IndexError;
use crate::impact::{EncodedList, ImpactLists, ImpactMeta, ImpactWriter, check_rows};
use crate::part::SegmentPart;

/// Name of the part kind.
pub const KIND: &str = "words";
/// Version written.
pub const VERSION: u32 = 1;
/// Versions read (end exclusive).
pub(crate) const READABLE: Range<u32> = 1..VERSION + 1;

/// Saturation of term frequency that lists are made with.
pub const K1: f32 = 0.9;
/// Share of length normalisation that lists are made with.
pub const B: f32 = 0.4;
/// Rows that a word needs for a list in a large segment: fewer postings are decoded as fast, and a list's directory
/// takes 128 bytes.
const MOST_WITHOUT: u64 = 512;
/// In a smaller segment, a word has a list if it stands in at least one of this many rows.
const ONE_IN: u64 = 256;
/// The level of an impact of one.
pub const ONE: u16 = u16::MAX;

/// The rows that a word must have, in a segment of `rows` rows, to get a list.
#[must_use]
pub fn least_rows(rows: u64) -> u32 {
    u32::try_from((rows / ONE_IN).clamp(1, MOST_WITHOUT)).unwrap_or(u32::MAX)
}

/// What the part says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WordsMeta {
    /// Saturation of term frequency.
    pub k1: f32,
    /// Share of length normalisation.
    pub b: f32,
    /// Mean length of the segment's texts, in words.
    pub mean_length: f64,
    /// Words of the text part's dictionary.
    pub words: u64,
    /// Words of fewer rows have no list.
    pub least_rows: u32,
}

impl WordsMeta {
    /// k1 * (1 - b + b * length / mean), what is added to a term's frequency.
    #[must_use]
    pub fn norm(&self, length: u32) -> f64 {
        let (k1, b) = (f64::from(self.k1), f64::from(self.b));
        k1 * (1.0 - b + b * f64::from(length) / self.mean_length)
    }

    fn is_valid(&self) -> bool {
        self.k1.is_finite()
            && self.k1 >= 0.0
            && (0.0..=1.0).contains(&self.b)
            && self.mean_length.is_finite()
            && self.mean_length > 0.0
    }
}

/// Writes the lists in the order of the dictionary.
#[derive(Debug)]
pub struct WordsWriter {
    lists: ImpactWriter,
    starts: Vec<u64>,
    meta: WordsMeta,
    rows: u64,
}

impl WordsWriter {
    /// Begins the part over `rows` rows. `starts` say where the postings of each word that has a list begin in the
    /// text part's file of postings; they ascend, as words do.
    ///
    /// # Errors
    /// When there are more rows than [`crate::impact::MOST_DOCUMENTS`], or the disk refuses.
    pub fn create(
        path: &Path,
        starts: Vec<u64>,
        rows: u64,
        meta: WordsMeta,
    ) -> Result<Self, IndexError> {
        check_rows("rows of a segment with word lists", rows)?;
        let part = PartWriter::create(path, KIND, VERSION)?;
        let lists = u32::try_from(starts.len()).unwrap_or(u32::MAX);
        Ok(Self { lists: ImpactWriter::begin(part, lists, rows)?, starts, meta, rows })
    }

    /// The layout of the lists, for [`crate::impact::encode`].
    #[must_use]
    pub fn layout(&self) -> &ImpactMeta {
        self.lists.meta()
    }

    /// Appends the next word's list.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn push(&mut self, list: &EncodedList) -> Result<(), IndexError> {
        self.lists.push(list)
    }

    /// Ends the part.
    ///
    /// # Errors
    /// When the disk refuses or a list is missing.
    pub fn finish(self) -> Result<Written, IndexError> {
        let (mut part, _) = self.lists.end()?;
        part.put_section("starts", &self.starts)?;
        part.put_json("words", &self.meta)?;
        part.finish(self.rows)
    }
}

/// The word lists of an open segment.
#[derive(Debug, Clone)]
pub struct WordLists {
    lists: ImpactLists,
    meta: WordsMeta,
}

impl WordLists {
    /// What the part says of itself.
    #[must_use]
    pub fn meta(&self) -> &WordsMeta {
        &self.meta
    }

    /// The lists, by number.
    #[must_use]
    pub fn lists(&self) -> &ImpactLists {
        &self.lists
    }

    /// The number of a word's list, by where its postings begin in the text part's file of postings; `None` for a
    /// word without one. Cost: O(log lists).
    ///
    /// # Errors
    /// When the section is missing, which an open part's is not.
    pub fn number(&self, start: u64) -> Result<Option<TermId>, IndexError> {
        let starts: &[u64] = self.lists.part().array("starts")?;
        let found = starts.binary_search(&start).ok();
        Ok(found.and_then(|at| u32::try_from(at).ok()).map(TermId))
    }
}

impl SegmentPart for WordLists {
    fn read(part: Part, _: Verify) -> Result<Self, IndexError> {
        let path = part.path().to_path_buf();
        let corrupt = |what: &str| Err(IndexError::corrupt(&path, what));
        let meta: WordsMeta = part.json("words")?;
        if !meta.is_valid() {
            return corrupt("k1, b or the mean length of texts is out of range");
        }
        let starts: &[u64] = part.array("starts")?;
        if starts.windows(2).any(|w| w[0] >= w[1]) {
            return corrupt("the words do not ascend");
        }
        let words = starts.len();
        if words as u64 > meta.words {
            return corrupt("there are more lists than words");
        }
        let rows = part.documents();
        let lists = ImpactLists::of(part, rows)?;
        if lists.meta().lists as usize != words {
            return corrupt("there are not as many lists as words");
        }
        Ok(Self { lists, meta })
    }

    fn part(&self) -> &Part {
        self.lists.part()
    }

    fn part_mut(&mut self) -> &mut Part {
        self.lists.part_mut()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;
    use crate::impact::{BandData, encode};

    fn meta() -> WordsMeta {
        WordsMeta { k1: K1, b: B, mean_length: 7.5, words: 9, least_rows: 1 }
    }

    fn written(starts: &[u64], meta: WordsMeta) -> Result<WordLists, IndexError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words");
        let mut writer = WordsWriter::create(&path, starts.to_vec(), 100, meta).unwrap();
        for at in 0..u32::try_from(starts.len()).unwrap() {
            let band = BandData { docs: vec![at, 50 + at], high: 700, typical: 650 };
            let list = encode(writer.layout(), &[band]);
            writer.push(&list).unwrap();
        }
        writer.finish().unwrap();
        WordLists::read(Part::open(&path, KIND, READABLE, Verify::Full).unwrap(), Verify::Full)
    }

    #[test]
    fn lists_are_found_by_where_postings_begin() {
        let words = written(&[2, 5, 8], meta()).unwrap();
        assert_eq!(words.meta(), &meta());
        assert_eq!(words.number(5).unwrap(), Some(TermId(1)));
        assert_eq!((words.number(4).unwrap(), words.number(9).unwrap()), (None, None));
        let view = words.lists().view().unwrap();
        let list = crate::impact::decode(view.meta(), view.postings(TermId(2)));
        assert_eq!(list, [(2, 0), (52, 0)]);
        // The terms of vectors are others.
        assert_eq!(words.terms(), 0);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for starts in [&[5, 2, 8][..], &[2, 2, 8]] {
            written(starts, meta()).unwrap_err();
        }
        for meta in [
            WordsMeta { k1: -1.0, ..meta() },
            WordsMeta { b: 1.5, ..meta() },
            WordsMeta { mean_length: 0.0, ..meta() },
            WordsMeta { words: 2, ..meta() },
        ] {
            written(&[2, 5, 8], meta).unwrap_err();
        }
    }
}
