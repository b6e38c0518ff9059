//! Complete inverted lists in order of impact, by windows of documents.
//!
//! A term's postings are cut into at most sixteen bands of levels, the band of the largest levels
//! first. The segment is cut into windows of 65,535 documents, and within each window a list's
//! postings stand band by band. So a search can go window by window, with sums that stay in the
//! first-level cache, and read of each list the best bands alone ("score at a time": Anh and
//! Moffat, SIGIR 2006; JASS, ICTIR 2015; windows: SINDI, 2025).
//!
//! A dense list has a run for each window: sixteen cumulative counts, then the postings' positions
//! in the window, two bytes each. A sparse list has one entry of four bytes a posting, by document.

use std::ops::Range;
use std::path::Path;

use quarry_vectors::TermId;
use serde::{Deserialize, Serialize};

use crate::container::{Part, PartWriter, Verify, Written};
use crate::error::IndexError;
use crate::part::SegmentPart;

/// Name of the part kind.
pub const KIND: &str = "impact";
/// Version written.
pub const VERSION: u32 = 1;
/// Versions read (end exclusive).
pub(crate) const READABLE: Range<u32> = 1..VERSION + 1;

/// Bands of a list at most.
pub const BANDS: usize = 16;
/// Documents a segment with these lists may have: a sparse entry has 24 bits for a document.
pub const MOST_DOCUMENTS: u64 = 1 << 24;
/// Documents of a window: positions and counts of two bytes.
pub const WINDOW: usize = 65_535;
/// Postings that a list needs for each window of the segment to be dense: there both layouts take
/// about the same room.
const DENSE_FROM: u64 = 18;

/// What the part says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImpactMeta {
    /// Number of lists: the dimension.
    pub lists: u32,
    /// Postings of all lists: the components of the forward index.
    pub postings: u64,
    /// Documents of a window: [`WINDOW`].
    pub(crate) window: u32,
    /// Windows of the segment.
    pub windows: u32,
    /// Lists of at least this many postings are dense.
    pub(crate) dense_from: u32,
}

impl ImpactMeta {
    fn new(lists: u32, documents: u64) -> Self {
        let windows = documents.div_ceil(WINDOW as u64);
        let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            lists,
            postings: 0,
            window: narrow(WINDOW as u64),
            windows: narrow(windows),
            dense_from: narrow((windows * DENSE_FROM).max(1)),
        }
    }

    /// Whether a list of `count` postings is dense.
    #[must_use]
    #[inline]
    pub(crate) fn is_dense(&self, count: u32) -> bool {
        count >= self.dense_from
    }

    /// Bytes that a list of `count` postings takes.
    #[must_use]
    pub(crate) fn list_bytes(&self, count: u32) -> u64 {
        if self.is_dense(count) {
            u64::from(self.windows) * (4 + 2 * BANDS as u64) + 2 * u64::from(count)
        } else {
            4 * u64::from(count)
        }
    }
}

/// One list's directory as it lies in the file (128 bytes): 16 cumulative counts of postings, then
/// 16 times the largest level of a band | its typical level << 16. Bands that are not used repeat
/// the count and are zero.
#[derive(Debug, Clone, Copy)]
pub struct Directory<'a>(&'a [u32; 2 * BANDS]);

impl Directory<'_> {
    /// Postings of the bands up to `band`, inclusive.
    #[must_use]
    #[inline]
    pub fn end(&self, band: usize) -> u32 {
        self.0[band]
    }

    /// The largest level of a band; 0 when it is not used.
    #[must_use]
    #[inline]
    pub fn high(&self, band: usize) -> u16 {
        (self.0[BANDS + band] & 0xffff) as u16
    }

    /// The mean level of a band's postings, rounded.
    #[must_use]
    #[inline]
    pub fn typical(&self, band: usize) -> u16 {
        (self.0[BANDS + band] >> 16) as u16
    }

    /// Postings of the list.
    #[must_use]
    #[inline]
    pub fn len(&self) -> u32 {
        self.0[BANDS - 1]
    }

    /// Whether the list has no posting.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One band while it is being written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BandData {
    /// Documents, ascending.
    pub docs: Vec<u32>,
    /// Largest level.
    pub high: u16,
    /// Typical level.
    pub typical: u16,
}

/// A list as it will lie in the file.
#[derive(Debug, Clone, Default)]
pub struct EncodedList {
    directory: Vec<u32>,
    bytes: Vec<u8>,
}

/// Writes the lists in order of term.
#[derive(Debug)]
pub struct ImpactWriter {
    part: PartWriter,
    meta: ImpactMeta,
    places: Vec<u64>,
    directories: Vec<u32>,
    rows: u64,
    at: u64,
}

/// Refuses more rows than a posting can name.
pub(crate) fn check_rows(what: &str, found: u64) -> Result<(), IndexError> {
    if found <= MOST_DOCUMENTS {
        return Ok(());
    }
    Err(IndexError::Limit { what: what.into(), found, limit: MOST_DOCUMENTS })
}

impl ImpactWriter {
    /// Begins the part for `lists` terms over `documents` documents.
    ///
    /// # Errors
    /// When the segment has more documents than [`MOST_DOCUMENTS`], or the disk refuses.
    pub fn create(path: &Path, lists: u32, documents: u64) -> Result<Self, IndexError> {
        check_rows("documents of a segment with impact lists", documents)?;
        Self::begin(PartWriter::create(path, KIND, VERSION)?, lists, documents)
    }

    /// Begins lists over `rows` rows, of which a document is one kind, in a part of any kind.
    pub(crate) fn begin(mut part: PartWriter, lists: u32, rows: u64) -> Result<Self, IndexError> {
        part.section("postings")?;
        let meta = ImpactMeta::new(lists, rows);
        Ok(Self { part, meta, places: vec![0], directories: Vec::new(), rows, at: 0 })
    }

    /// The layout, for [`encode`].
    #[must_use]
    #[inline]
    pub fn meta(&self) -> &ImpactMeta {
        &self.meta
    }

    /// Appends the next term's list, made by [`encode`] with this writer's layout.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn push(&mut self, list: &EncodedList) -> Result<(), IndexError> {
        self.part.write(&list.bytes)?;
        self.at += list.bytes.len() as u64;
        // Lists begin at multiples of four bytes.
        let over = list.bytes.len() % 4;
        if over > 0 {
            self.part.write(&[0u8; 4][over..])?;
            self.at += 4 - over as u64;
        }
        self.places.push(self.at);
        self.meta.postings += u64::from(list.directory[BANDS - 1]);
        self.directories.extend_from_slice(&list.directory);
        Ok(())
    }

    /// Ends the part.
    ///
    /// # Errors
    /// When the disk refuses or a list is missing.
    pub fn finish(self) -> Result<(Written, ImpactMeta), IndexError> {
        let documents = self.rows;
        let (part, meta) = self.end()?;
        Ok((part.finish(documents)?, meta))
    }

    /// Ends the lists, but not the part.
    pub(crate) fn end(mut self) -> Result<(PartWriter, ImpactMeta), IndexError> {
        let lists = self.places.len() as u64 - 1;
        if lists != u64::from(self.meta.lists) {
            return Err(IndexError::Limit {
                what: "lists written".into(),
                found: lists,
                limit: u64::from(self.meta.lists),
            });
        }
        self.part.put_section("directories", &self.directories)?;
        self.part.put_section("places", &self.places)?;
        self.part.put_json("meta", &self.meta)?;
        Ok((self.part, self.meta))
    }
}

/// Lays out one list. `bands` stand in falling order of level, at most [`BANDS`] of them, none
/// empty; documents are below the segment's number.
#[must_use]
pub fn encode(meta: &ImpactMeta, bands: &[BandData]) -> EncodedList {
    let mut ends = [0u32; BANDS];
    let mut levels = [0u32; BANDS];
    let mut sum = 0;
    for (at, end) in ends.iter_mut().enumerate() {
        if let Some(band) = bands.get(at) {
            sum += u32::try_from(band.docs.len()).unwrap_or(u32::MAX);
            levels[at] = u32::from(band.high) | (u32::from(band.typical) << 16);
        }
        *end = sum;
    }
    let directory = ends.into_iter().chain(levels).collect();
    let bytes = if meta.is_dense(sum) { dense(meta, bands) } else { sparse(bands) };
    EncodedList { directory, bytes }
}

/// Starts of the runs, then the runs.
fn dense(meta: &ImpactMeta, bands: &[BandData]) -> Vec<u8> {
    let mut left: Vec<&[u32]> = bands.iter().map(|b| b.docs.as_slice()).collect();
    let mut starts: Vec<u32> = Vec::with_capacity(meta.windows as usize);
    let mut runs: Vec<u16> = Vec::new();
    for window in 0..meta.windows {
        starts.push(u32::try_from(runs.len()).unwrap_or(u32::MAX));
        let header = runs.len();
        let base = window as usize * WINDOW;
        runs.resize(header + BANDS, 0);
        for band in 0..BANDS {
            if let Some(docs) = left.get_mut(band) {
                let here = docs.partition_point(|doc| (*doc as usize) < base + WINDOW);
                let (now, later) = docs.split_at(here);
                let position = |doc: &u32| u16::try_from(*doc as usize - base).unwrap_or(u16::MAX);
                runs.extend(now.iter().map(position));
                *docs = later;
            }
            // A document stands in one band only.
            runs[header + band] = u16::try_from(runs.len() - header - BANDS).unwrap_or(u16::MAX);
        }
    }
    let mut bytes = bytemuck::cast_slice(&starts).to_vec();
    bytes.extend_from_slice(bytemuck::cast_slice(&runs));
    bytes
}

/// Entries by document: document | band << 24.
fn sparse(bands: &[BandData]) -> Vec<u8> {
    let mut entries: Vec<u32> = Vec::new();
    for (band, data) in (0u32..).zip(bands) {
        entries.extend(data.docs.iter().map(|doc| doc | (band << 24)));
    }
    entries.sort_unstable_by_key(|e| e & 0xff_ffff);
    bytemuck::cast_slice(&entries).to_vec()
}

/// The postings of one list as they lie in the file.
#[derive(Debug, Clone, Copy)]
pub enum Postings<'a> {
    /// A run for each window.
    Dense(Dense<'a>),
    /// By document: document | band << 24.
    Sparse(&'a [u32]),
}

/// A dense list.
#[derive(Debug, Clone, Copy)]
pub struct Dense<'a> {
    starts: &'a [u32],
    runs: &'a [u16],
}

impl<'a> Dense<'a> {
    /// A window's cumulative counts by band, and the positions they count; whatever the file says,
    /// within the list.
    #[must_use]
    #[inline]
    pub fn run(&self, window: usize) -> (&'a [u16; BANDS], &'a [u16]) {
        let start = self.starts.get(window).map_or(usize::MAX, |s| *s as usize);
        let run = self.runs.get(start..).unwrap_or_default();
        run.split_first_chunk::<BANDS>().unwrap_or((&[0; BANDS], &[]))
    }

    /// Where the runs begin, by window.
    #[must_use]
    #[inline]
    pub fn starts(&self) -> &'a [u32] {
        self.starts
    }

    /// All from a window's run on, for prefetching.
    #[must_use]
    #[inline]
    pub fn run_bytes(&self, window: usize) -> &'a [u16] {
        let start = self.starts.get(window).map_or(usize::MAX, |s| *s as usize);
        self.runs.get(start..).unwrap_or_default()
    }
}

/// The arrays of the part, borrowed once a query.
#[derive(Debug, Clone, Copy)]
pub struct Lists<'a> {
    meta: &'a ImpactMeta,
    directories: &'a [[u32; 2 * BANDS]],
    places: &'a [u64],
    postings: &'a [u8],
}

impl<'a> Lists<'a> {
    /// A term's directory; `None` for a term beyond the dimension.
    #[must_use]
    #[inline]
    pub fn directory(&self, term: TermId) -> Option<Directory<'a>> {
        self.directories.get(term.0 as usize).map(Directory)
    }

    /// A list's postings; none for a term beyond the dimension.
    #[must_use]
    #[inline]
    pub fn postings(&self, term: TermId) -> Postings<'a> {
        let at = term.0 as usize;
        let (Some(start), Some(end), Some(row)) =
            (self.places.get(at), self.places.get(at + 1), self.directories.get(at))
        else {
            return Postings::Sparse(&[]);
        };
        // Places and their lengths were checked at opening; lists begin at multiples of four.
        let list = match (usize::try_from(*start), usize::try_from(*end)) {
            (Ok(start), Ok(end)) => self.postings.get(start..end).unwrap_or_default(),
            _ => &[],
        };
        if self.meta.is_dense(row[BANDS - 1]) {
            let (starts, runs) = list.split_at((4 * self.meta.windows as usize).min(list.len()));
            Postings::Dense(Dense {
                starts: bytemuck::try_cast_slice(starts).unwrap_or_default(),
                runs: bytemuck::try_cast_slice(runs).unwrap_or_default(),
            })
        } else {
            Postings::Sparse(bytemuck::try_cast_slice(list).unwrap_or_default())
        }
    }

    /// All directories by term, for prefetching.
    #[must_use]
    #[inline]
    pub fn directories(&self) -> &'a [[u32; 2 * BANDS]] {
        self.directories
    }

    /// Where each term's list lies, for prefetching.
    #[must_use]
    #[inline]
    pub fn places(&self) -> &'a [u64] {
        self.places
    }

    /// The layout.
    #[must_use]
    #[inline]
    pub fn meta(&self) -> &'a ImpactMeta {
        self.meta
    }
}

/// The impact-ordered lists of an open segment.
#[derive(Debug, Clone)]
pub struct ImpactLists {
    part: Part,
    meta: ImpactMeta,
}

impl ImpactLists {
    /// The lists over `rows` rows in a part of any kind. Checks that every list fills exactly its place; runs
    /// and documents are not checked: searches bound what a damaged posting can do.
    pub(crate) fn of(part: Part, rows: u64) -> Result<Self, IndexError> {
        let path = part.path().to_path_buf();
        let meta: ImpactMeta = part.json("meta")?;
        let corrupt = |what: &str| Err(IndexError::corrupt(&path, what));
        let expected = ImpactMeta { postings: meta.postings, ..ImpactMeta::new(meta.lists, rows) };
        if rows > MOST_DOCUMENTS || meta != expected {
            return corrupt("the layout does not fit the number of rows");
        }
        let lists = Self { part, meta };
        let view = lists.view()?;
        let n = lists.meta.lists as usize;
        if view.directories.len() != n || view.places.len() != n + 1 {
            return corrupt("the number of lists does not fit");
        }
        if view.places[0] != 0 || view.places[n] != view.postings.len() as u64 {
            return corrupt("the lists do not cover the postings");
        }
        let mut postings = 0u64;
        for (directory, places) in view.directories.iter().zip(view.places.windows(2)) {
            if directory[..BANDS].windows(2).any(|w| w[0] > w[1]) {
                return corrupt("a directory descends");
            }
            let count = directory[BANDS - 1];
            postings += u64::from(count);
            let bytes = view.meta.list_bytes(count).next_multiple_of(4);
            if places[0].checked_add(bytes) != Some(places[1]) {
                return corrupt("a list does not fill its place");
            }
        }
        if postings != lists.meta.postings {
            return corrupt("the number of postings does not fit");
        }
        Ok(lists)
    }

    /// What the part says of itself.
    #[must_use]
    #[inline]
    pub fn meta(&self) -> &ImpactMeta {
        &self.meta
    }

    /// The arrays.
    ///
    /// # Errors
    /// When a section is missing, which an open part's are not.
    pub fn view(&self) -> Result<Lists<'_>, IndexError> {
        let directories: &[u32] = self.part.array("directories")?;
        let (rows, rest) = directories.as_chunks::<{ 2 * BANDS }>();
        if !rest.is_empty() {
            return Err(IndexError::corrupt(self.part.path(), "a directory is truncated"));
        }
        Ok(Lists {
            meta: &self.meta,
            directories: rows,
            places: self.part.array("places")?,
            postings: self.part.bytes("postings")?,
        })
    }
}

impl SegmentPart for ImpactLists {
    fn read(part: Part, _: Verify) -> Result<Self, IndexError> {
        let documents = part.documents();
        Self::of(part, documents)
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

/// Every posting of a list as (document, band), by window and band: the plain twin of the
/// searchers' loops, and for tools.
#[must_use]
pub fn decode(meta: &ImpactMeta, postings: Postings<'_>) -> Vec<(u32, u8)> {
    let mut out = Vec::new();
    match postings {
        Postings::Sparse(entries) => {
            out.extend(entries.iter().map(|e| (e & 0xff_ffff, e.to_le_bytes()[3])));
        }
        Postings::Dense(list) => {
            for window in 0..meta.windows {
                let (ends, positions) = list.run(window as usize);
                let mut start = 0;
                for (band, end) in (0u8..).zip(ends) {
                    let band_positions = positions.get(start..usize::from(*end)).unwrap_or(&[]);
                    let of = |p: &u16| (window * meta.window + u32::from(*p), band);
                    out.extend(band_positions.iter().map(of));
                    start = usize::from(*end);
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bands(documents: u32, sizes: &[u32]) -> Vec<BandData> {
        let mut high = 250;
        sizes
            .iter()
            .map(|size| {
                high -= 10;
                let step = (documents / size).max(1);
                let docs = (0..*size).map(|i| i * step).filter(|d| *d < documents).collect();
                BandData { docs, high, typical: high - 4 }
            })
            .collect()
    }

    proptest! {
        #[test]
        fn bands_come_back(documents in 1u32..300_000, sizes in prop::collection::vec(1u32..900, 0..=16)) {
            let sizes: Vec<u32> = sizes.into_iter().map(|s| s.min(documents)).collect();
            let bands = bands(documents, &sizes);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("lists");
            let mut writer = ImpactWriter::create(&path, 2, u64::from(documents)).unwrap();
            let list = encode(writer.meta(), &bands);
            writer.push(&list).unwrap();
            writer.push(&encode(writer.meta(), &[])).unwrap();
            writer.finish().unwrap();
            let part = Part::open(&path, KIND, READABLE, Verify::Full).unwrap();
            let lists = ImpactLists::read(part, Verify::Full).unwrap();
            let view = lists.view().unwrap();
            prop_assert!(view.directory(TermId(1)).unwrap().is_empty());
            prop_assert!(view.directory(TermId(2)).is_none());
            let directory = view.directory(TermId(0)).unwrap();
            let mut found = decode(view.meta(), view.postings(TermId(0)));
            found.sort_unstable();
            let mut want = Vec::new();
            let mut sum = 0;
            for (at, band) in bands.iter().enumerate() {
                want.extend(band.docs.iter().map(|d| (*d, u8::try_from(at).unwrap())));
                sum += u32::try_from(band.docs.len()).unwrap();
                prop_assert_eq!(directory.high(at), band.high);
                prop_assert_eq!(directory.typical(at), band.typical);
                prop_assert_eq!(directory.end(at), sum);
            }
            want.sort_unstable();
            prop_assert_eq!(found, want);
            prop_assert_eq!(directory.len(), sum);
        }
    }

    #[test]
    fn too_many_documents_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let made = ImpactWriter::create(&folder.path().join("x"), 1, MOST_DOCUMENTS + 1);
        assert!(matches!(made, Err(IndexError::Limit { .. })));
    }
}
