//! Complete inverted lists in order of impact: a term's postings are cut into at most sixteen
//! bands of levels, the band of the largest levels first, documents ascending within a band.
//!
//! A search that adds bands in falling order of what they contribute reads a list's best postings
//! without touching the rest ("score at a time": Anh and Moffat, SIGIR 2006; JASS, ICTIR 2015).
//! A short band stores three bytes a document; a long one stores two, within windows of 65,536
//! documents that are counted first.

use std::path::Path;

use quarry_vectors::TermId;
use serde::{Deserialize, Serialize};

use crate::IndexError;
use crate::container::{Part, PartWriter, Verify, Written};

/// Name of the part kind.
pub const KIND: &str = "impact";
/// Version written.
pub const VERSION: u32 = 1;

/// Bands of a list at most.
pub const BANDS: usize = 16;
/// Documents a segment with these lists may have: ids of three bytes.
pub const MOST_DOCUMENTS: u64 = 1 << 24;
/// Documents of a window.
pub const WINDOW: usize = 1 << 16;
/// Bytes after the last posting that kernels may read but never use.
pub const SLACK: usize = 64;
/// Postings that a band needs for each window of the segment before windows pay.
const PER_WINDOW: u64 = 1000000;

/// What the part says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImpactMeta {
    /// Number of lists: the dimension.
    pub lists: u32,
    /// Postings of all lists: the components of the forward index.
    pub postings: u64,
    /// Windows of the segment.
    pub windows: u32,
    /// Bands of at least this many postings are stored by windows.
    pub windowed_from: u32,
}

impl ImpactMeta {
    fn new(lists: u32, documents: u64) -> Self {
        let windows = documents.div_ceil(WINDOW as u64);
        let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            lists,
            postings: 0,
            windows: narrow(windows),
            windowed_from: narrow((windows * PER_WINDOW).max(1)),
        }
    }

    /// Bytes that a band of `count` postings takes.
    #[must_use]
    #[inline]
    pub fn band_bytes(&self, count: u32) -> u64 {
        if self.is_windowed(count) {
            4 * u64::from(self.windows) + 2 * u64::from(count)
        } else {
            3 * u64::from(count)
        }
    }

    /// Whether a band of `count` postings is stored by windows.
    #[must_use]
    #[inline]
    pub fn is_windowed(&self, count: u32) -> bool {
        count >= self.windowed_from
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
    documents: u64,
    at: u64,
}

impl ImpactWriter {
    /// Begins the part for `lists` terms over `documents` documents.
    ///
    /// # Errors
    /// When the segment has more documents than [`MOST_DOCUMENTS`], or the disk refuses.
    pub fn create(path: &Path, lists: u32, documents: u64) -> Result<Self, IndexError> {
        if documents > MOST_DOCUMENTS {
            return Err(IndexError::Limit {
                what: "documents of a segment with impact lists".into(),
                found: documents,
                limit: MOST_DOCUMENTS,
            });
        }
        let mut part = PartWriter::create(path, KIND, VERSION)?;
        part.section("postings")?;
        let meta = ImpactMeta::new(lists, documents);
        Ok(Self { part, meta, places: vec![0], directories: Vec::new(), documents, at: 0 })
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
        self.places.push(self.at);
        self.meta.postings += u64::from(list.directory[BANDS - 1]);
        self.directories.extend_from_slice(&list.directory);
        Ok(())
    }

    /// Ends the part.
    ///
    /// # Errors
    /// When the disk refuses or a list is missing.
    pub fn finish(mut self) -> Result<(Written, ImpactMeta), IndexError> {
        let lists = self.places.len() as u64 - 1;
        if lists != u64::from(self.meta.lists) {
            return Err(IndexError::Limit {
                what: "lists written".into(),
                found: lists,
                limit: u64::from(self.meta.lists),
            });
        }
        self.part.write(&[0u8; SLACK])?;
        self.part.put_section("directories", &self.directories)?;
        self.part.put_section("places", &self.places)?;
        self.part.put_json("meta", &self.meta)?;
        Ok((self.part.finish(self.documents)?, self.meta))
    }
}

/// Lays out one list. `bands` stand in falling order of level, at most [`BANDS`] of them, none
/// empty; documents are below the segment's number.
#[must_use]
pub fn encode(meta: &ImpactMeta, bands: &[BandData]) -> EncodedList {
    let mut ends = [0u32; BANDS];
    let mut levels = [0u32; BANDS];
    let mut bytes = Vec::new();
    let mut sum = 0;
    for (at, end) in ends.iter_mut().enumerate() {
        if let Some(band) = bands.get(at) {
            let count = u32::try_from(band.docs.len()).unwrap_or(u32::MAX);
            sum += count;
            levels[at] = u32::from(band.high) | (u32::from(band.typical) << 16);
            if meta.is_windowed(count) {
                let mut counts = vec![0u32; meta.windows as usize];
                for doc in &band.docs {
                    counts[*doc as usize / WINDOW] += 1;
                }
                bytes.extend_from_slice(bytemuck::cast_slice(&counts));
                for doc in &band.docs {
                    bytes.extend_from_slice(&doc.to_le_bytes()[..2]);
                }
            } else {
                for doc in &band.docs {
                    bytes.extend_from_slice(&doc.to_le_bytes()[..3]);
                }
            }
        }
        *end = sum;
    }
    EncodedList { directory: ends.into_iter().chain(levels).collect(), bytes }
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

    /// A list's encoded bands, one after another, followed by at least [`SLACK`] readable bytes.
    /// Empty for a term beyond the dimension.
    #[must_use]
    #[inline]
    pub fn bytes(&self, term: TermId) -> &'a [u8] {
        let at = term.0 as usize;
        match (self.places.get(at), self.places.get(at + 1)) {
            (Some(start), Some(end)) => {
                // Checked at opening to lie within the postings.
                let (start, end) = (*start, *end);
                usize::try_from(start)
                    .ok()
                    .zip(usize::try_from(end).ok())
                    .and_then(|(s, e)| self.postings.get(s..e + SLACK))
                    .unwrap_or(&[])
            }
            _ => &[],
        }
    }

    /// All directories by term, for prefetching.
    #[must_use]
    #[inline]
    pub fn directories(&self) -> &'a [[u32; 2 * BANDS]] {
        self.directories
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
    /// Opens the part and checks that every list's bands fill exactly its bytes. Documents are not
    /// looked at: searches bound what a damaged posting can do.
    ///
    /// # Errors
    /// As [`Part::open`]; and when the numbers do not fit together.
    pub fn open(path: &Path, verify: Verify) -> Result<Self, IndexError> {
        let part = Part::open(path, KIND, 1..VERSION + 1, verify)?;
        let meta: ImpactMeta = part.json("meta")?;
        let corrupt = |what: &str| Err(IndexError::corrupt(path, what));
        let documents = part.documents();
        let expected =
            ImpactMeta { postings: meta.postings, ..ImpactMeta::new(meta.lists, documents) };
        if documents > MOST_DOCUMENTS || meta != expected {
            return corrupt("the layout does not fit the number of documents");
        }
        let lists = Self { part, meta };
        let view = lists.view()?;
        let n = lists.meta.lists as usize;
        if view.directories.len() != n || view.places.len() != n + 1 {
            return corrupt("the number of lists does not fit");
        }
        let end = view.places[n].checked_add(SLACK as u64);
        if view.places[0] != 0 || end != Some(view.postings.len() as u64) {
            return corrupt("the lists do not cover the postings");
        }
        let mut postings = 0u64;
        for (directory, places) in view.directories.iter().zip(view.places.windows(2)) {
            let mut bytes = 0;
            let mut before = 0;
            for end in &directory[..BANDS] {
                let Some(count) = end.checked_sub(before) else {
                    return corrupt("a directory descends");
                };
                if count > 0 {
                    bytes += view.meta.band_bytes(count);
                }
                before = *end;
            }
            postings += u64::from(before);
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

    /// Number of documents of the segment.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.part.documents()
    }

    /// Copies the part into memory; see [`crate::MappedFile::preloaded`].
    ///
    /// # Errors
    /// When memory is short.
    pub fn preload(&mut self) -> Result<(), IndexError> {
        self.part.preload()
    }

    /// Tells the system to expect random reads.
    pub fn advise_random(&self) {
        self.part.file().advise_random();
    }

    /// The arrays.
    ///
    /// # Errors
    /// When a section is missing, which an open part's are not.
    pub fn view(&self) -> Result<Lists<'_>, IndexError> {
        let directories: &[u32] = self.part.array("directories")?;
        let (rows, rest) = directories.as_chunks::<{ 2 * BANDS }>();
        if !rest.is_empty() {
            return Err(IndexError::corrupt(self.part.path(), "a directory is cut"));
        }
        Ok(Lists {
            meta: &self.meta,
            directories: rows,
            places: self.part.array("places")?,
            postings: self.part.bytes("postings")?,
        })
    }
}

/// The documents of a band, decoded: the plain twin of the searchers' kernels, and for tools.
#[must_use]
pub fn decode_band(meta: &ImpactMeta, bytes: &[u8], count: u32) -> Vec<u32> {
    let count_usize = count as usize;
    if !meta.is_windowed(count) {
        return bytes
            .chunks_exact(3)
            .take(count_usize)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], 0]))
            .collect();
    }
    let (head, ids) = bytes.split_at((4 * meta.windows as usize).min(bytes.len()));
    let mut ids = ids.chunks_exact(2).take(count_usize);
    let mut out = Vec::with_capacity(count_usize);
    for (window, c) in (0u32..).zip(head.chunks_exact(4)) {
        let in_window = u32::from_le_bytes([c[0], c[1], c[2], c[3]]) as usize;
        out.extend(
            ids.by_ref()
                .take(in_window)
                .map(|b| (window << 16) | u32::from(u16::from_le_bytes([b[0], b[1]]))),
        );
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
                let docs = (0..*size).map(|i| i * step).collect();
                BandData { docs, high, typical: high - 4 }
            })
            .collect()
    }

    proptest! {
        #[test]
        fn bands_come_back(documents in 1u32..300_000, sizes in prop::collection::vec(1u32..500, 0..=16)) {
            let sizes: Vec<u32> = sizes.into_iter().map(|s| s.min(documents)).collect();
            let bands = bands(documents, &sizes);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("lists");
            let mut writer = ImpactWriter::create(&path, 2, u64::from(documents)).unwrap();
            let list = encode(writer.meta(), &bands);
            writer.push(&list).unwrap();
            writer.push(&encode(writer.meta(), &[])).unwrap();
            writer.finish().unwrap();
            let lists = ImpactLists::open(&path, Verify::Full).unwrap();
            let view = lists.view().unwrap();
            prop_assert!(view.directory(TermId(1)).unwrap().is_empty());
            prop_assert!(view.directory(TermId(2)).is_none());
            let directory = view.directory(TermId(0)).unwrap();
            let mut bytes = view.bytes(TermId(0));
            let mut start = 0;
            for (at, band) in bands.iter().enumerate() {
                let count = directory.end(at) - start;
                prop_assert_eq!(decode_band(view.meta(), bytes, count), band.docs.clone());
                prop_assert_eq!(directory.high(at), band.high);
                prop_assert_eq!(directory.typical(at), band.typical);
                bytes = &bytes[usize::try_from(view.meta().band_bytes(count)).unwrap()..];
                start = directory.end(at);
            }
            prop_assert_eq!(directory.len(), start);
        }
    }

    #[test]
    fn too_many_documents_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let made = ImpactWriter::create(&folder.path().join("x"), 1, MOST_DOCUMENTS + 1);
        assert!(matches!(made, Err(IndexError::Limit { .. })));
    }
}
