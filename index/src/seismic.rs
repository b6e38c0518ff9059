//! Blocked inverted lists with summaries, as Seismic has them (arXiv:2404.18812).
//!
//! A term's list is a run of blocks; a block is a run of postings (documents, ascending) with a
//! summary: the coordinate-wise maximum of its documents' vectors, cut to a share of its mass, its
//! weights in one byte times a scale of the block.

use std::ops::Range;
use std::path::Path;

use quarry_vectors::TermId;
use serde::{Deserialize, Serialize};

use crate::IndexError;
use crate::container::{Part, PartWriter, Verify, Written};

/// Name of the part kind.
pub const KIND: &str = "seismic";
/// Version written.
pub const VERSION: u32 = 1;

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

/// Writes the lists in order of term. Postings stream to the file; the rest (about a sixth of the
/// part) is kept until the end, since sections are written one after another.
#[derive(Debug)]
pub struct SeismicWriter {
    part: PartWriter,
    meta: SeismicMeta,
    lists: Vec<u32>,
    posting_ends: Vec<u32>,
    summary_ends: Vec<u32>,
    scales: Vec<f32>,
    terms: Spill,
    levels: Spill,
    documents: u64,
}

/// A section that has to wait: kept in an unnamed temporary file.
#[derive(Debug)]
struct Spill {
    file: std::io::BufWriter<std::fs::File>,
    path: std::path::PathBuf,
}

impl Spill {
    fn new(path: &Path) -> Result<Self, IndexError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let file = tempfile::tempfile_in(folder).map_err(IndexError::io(path))?;
        Ok(Self {
            file: std::io::BufWriter::with_capacity(1 << 18, file),
            path: path.to_path_buf(),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), IndexError> {
        std::io::Write::write_all(&mut self.file, bytes).map_err(IndexError::io(&self.path))
    }

    fn copy_into(self, part: &mut PartWriter) -> Result<(), IndexError> {
        use std::io::{Read, Seek};
        let path = self.path;
        let mut file = self
            .file
            .into_inner()
            .map_err(|e| IndexError::Io { path: path.clone(), source: e.into_error() })?;
        file.rewind().map_err(IndexError::io(&path))?;
        let mut buffer = vec![0u8; 1 << 18];
        loop {
            let n = file.read(&mut buffer).map_err(IndexError::io(&path))?;
            if n == 0 {
                return Ok(());
            }
            part.write(&buffer[..n])?;
        }
    }
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
            summary_ends: Vec::new(),
            scales: Vec::new(),
            terms: Spill::new(path)?,
            levels: Spill::new(path)?,
            documents,
        })
    }

    /// Appends the next term's list.
    ///
    /// # Errors
    /// When a count outgrows 32 bits or the disk refuses.
    pub fn push_list(&mut self, blocks: &[BlockData]) -> Result<(), IndexError> {
        for block in blocks {
            self.part.write(bytemuck::cast_slice(&block.docs))?;
            self.meta.postings += block.docs.len() as u64;
            self.meta.summary_components += block.terms.len() as u64;
            self.posting_ends.push(narrow("postings of a segment's lists", self.meta.postings)?);
            self.summary_ends
                .push(narrow("summary components of a segment", self.meta.summary_components)?);
            self.scales.push(block.scale);
            if self.meta.lists <= 1 << 16 {
                for term in &block.terms {
                    let term = u16::try_from(*term).map_err(|_| IndexError::Limit {
                        what: "term id".into(),
                        found: u64::from(*term),
                        limit: 65_535,
                    })?;
                    self.terms.write(&term.to_le_bytes())?;
                }
            } else {
                self.terms.write(bytemuck::cast_slice(&block.terms))?;
            }
            self.levels.write(&block.levels)?;
        }
        self.meta.blocks += blocks.len() as u64;
        self.lists.push(narrow("blocks of a segment's lists", self.meta.blocks)?);
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
        self.part.put_section("summary.ends", &self.summary_ends)?;
        self.part.put_section("summary.scales", &self.scales)?;
        self.part.section("summary.terms")?;
        self.terms.copy_into(&mut self.part)?;
        self.part.section("summary.levels")?;
        self.levels.copy_into(&mut self.part)?;
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

/// Terms of summaries as they lie in the file.
#[derive(Debug, Clone, Copy)]
pub enum SummaryTerms<'a> {
    /// Dimension of at most 65,536.
    U16(&'a [u16]),
    /// Larger ones.
    U32(&'a [u32]),
}

/// The arrays of the part, borrowed once a query.
#[derive(Debug, Clone, Copy)]
pub struct Lists<'a> {
    list_ends: &'a [u32],
    posting_ends: &'a [u32],
    summary_ends: &'a [u32],
    scales: &'a [f32],
    postings: &'a [u32],
    levels: &'a [u8],
    terms: SummaryTerms<'a>,
}

impl<'a> Lists<'a> {
    /// The blocks of a term's list; none for a term beyond the dimension.
    #[must_use]
    #[inline]
    pub fn blocks(&self, term: TermId) -> Range<usize> {
        let at = term.0 as usize;
        match self.list_ends.get(at) {
            None => 0..0,
            Some(end) => start_of(self.list_ends, at)..*end as usize,
        }
    }

    /// A block's documents, ascending.
    #[must_use]
    #[inline]
    pub fn docs(&self, block: usize) -> &'a [u32] {
        &self.postings[start_of(self.posting_ends, block)..self.posting_ends[block] as usize]
    }

    /// Where a block's summary lies in the arrays of terms and levels.
    #[must_use]
    #[inline]
    pub fn summary(&self, block: usize) -> Range<usize> {
        start_of(self.summary_ends, block)..self.summary_ends[block] as usize
    }

    /// What one level of a block's summary is worth, in levels of the forward index.
    #[must_use]
    #[inline]
    pub fn scale(&self, block: usize) -> f32 {
        self.scales[block]
    }

    /// All summaries' levels.
    #[must_use]
    #[inline]
    pub fn levels(&self) -> &'a [u8] {
        self.levels
    }

    /// All summaries' terms.
    #[must_use]
    #[inline]
    pub fn terms(&self) -> SummaryTerms<'a> {
        self.terms
    }
}

/// The blocked lists of an open segment.
#[derive(Debug, Clone)]
pub struct SeismicLists {
    part: Part,
    meta: SeismicMeta,
}

impl SeismicLists {
    /// Opens the part and checks every offset and document.
    ///
    /// # Errors
    /// As [`Part::open`]; and when an offset or a document lies outside. Cost: one pass over
    /// offsets and postings.
    pub fn open(path: &Path, verify: Verify) -> Result<Self, IndexError> {
        let part = Part::open(path, KIND, 1..VERSION + 1, verify)?;
        let meta: SeismicMeta = part.json("meta")?;
        let lists = Self { part, meta };
        let corrupt = |what: &str| Err(IndexError::corrupt(path, what));
        let view = lists.view()?;
        if view.list_ends.len() as u64 != u64::from(lists.meta.lists) {
            return corrupt("the number of lists does not fit");
        }
        let blocks = view.posting_ends.len();
        if view.summary_ends.len() != blocks || view.scales.len() != blocks {
            return corrupt("the block tables differ in length");
        }
        if !covers(view.list_ends, blocks)
            || !covers(view.posting_ends, view.postings.len())
            || !covers(view.summary_ends, view.levels.len())
        {
            return corrupt("offsets do not cover what they describe");
        }
        let terms = match view.terms {
            SummaryTerms::U16(t) => t.len(),
            SummaryTerms::U32(t) => t.len(),
        };
        if terms != view.levels.len() {
            return corrupt("summary terms and levels differ in length");
        }
        let documents = lists.part.documents();
        if view.postings.iter().any(|d| u64::from(*d) >= documents) {
            return corrupt("a posting names a document that is not there");
        }
        Ok(lists)
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

    /// Bytes of the postings, and of everything that summaries need.
    ///
    /// # Errors
    /// Never for an open part.
    pub fn sizes(&self) -> Result<(u64, u64), IndexError> {
        let view = self.view()?;
        let terms = match view.terms {
            SummaryTerms::U16(t) => 2 * t.len(),
            SummaryTerms::U32(t) => 4 * t.len(),
        };
        let summaries =
            terms + view.levels.len() + 4 * view.scales.len() + 4 * view.summary_ends.len();
        Ok((4 * view.postings.len() as u64, summaries as u64))
    }

    /// The arrays.
    ///
    /// # Errors
    /// When a section is missing, which an open part's are not.
    pub fn view(&self) -> Result<Lists<'_>, IndexError> {
        Ok(Lists {
            list_ends: self.part.array("list.ends")?,
            posting_ends: self.part.array("posting.ends")?,
            summary_ends: self.part.array("summary.ends")?,
            scales: self.part.array("summary.scales")?,
            postings: self.part.array("postings")?,
            levels: self.part.array("summary.levels")?,
            terms: if self.meta.lists <= 1 << 16 {
                SummaryTerms::U16(self.part.array("summary.terms")?)
            } else {
                SummaryTerms::U32(self.part.array("summary.terms")?)
            },
        })
    }
}
#[inline]
fn start_of(ends: &[u32], at: usize) -> usize {
    if at == 0 { 0 } else { ends[at - 1] as usize }
}

fn covers(ends: &[u32], len: usize) -> bool {
    ends.windows(2).all(|w| w[0] <= w[1]) && ends.last().map_or(0, |e| *e as usize) == len
}
