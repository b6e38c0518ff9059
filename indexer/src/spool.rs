//! Shards: spool files of documents that are read and encoded, and wait to be sealed. A shard is written
//! completely or not at all; after a crash the finished shards are used again.

use std::path::{Path, PathBuf};

use quarry_index::container::{Part, PartWriter};
use quarry_index::doctable::PassageSpan;
use quarry_index::fields::FieldRules;
use quarry_index::{IndexError, Verify};
use quarry_vectors::{PooledBy, SparseVector};
use serde::{Deserialize, Serialize};

use crate::BuildError;
use crate::weights::WeightStats;

const KIND: &str = "spool";
const VERSION: u32 = 4;
const ZSTD_LEVEL: i32 = 1;

/// A row of a shard: a document, or a passage of one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SpoolDoc {
    pub(crate) id: String,
    pub(crate) line: u64,
    /// For a passage: its position in the document.
    pub(crate) passage: Option<PassageSpan>,
    /// The stored document as JSON; empty if nothing is stored.
    pub(crate) stored: String,
    pub(crate) vector: SparseVector,
    /// The origins of its components, encoded as in `quarry_index::provenance`; empty if they are not
    /// known.
    pub(crate) origins: Vec<u8>,
}

impl SpoolDoc {
    /// Whether the document is counted at this row: it is not split, or this is its first passage.
    pub(crate) fn is_first(&self) -> bool {
        self.passage.as_ref().is_none_or(|p| p.ordinal == 0)
    }
}

/// Totals of a shard, stored so that a resumed build need not read the documents again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct ShardMeta {
    pub(crate) documents: u64,
    /// Documents that were not split, plus passages of those that were.
    pub(crate) rows: u64,
    pub(crate) components: u64,
    pub(crate) empty_vectors: u64,
    pub(crate) has_text: bool,
    pub(crate) has_vectors: bool,
    /// The largest term id plus one.
    pub(crate) dimension: u32,
    pub(crate) weights: WeightStats,
    /// Paths of other fields first met in this shard, with their types.
    #[serde(default)]
    pub(crate) fields: FieldRules,
    /// Tokens first met in this shard, in order of their term ids.
    pub(crate) new_tokens: Vec<String>,
    /// Term numbers first met in this shard that differ from their term ids, in order of term id.
    #[serde(default)]
    pub(crate) new_numbers: Vec<u32>,
    /// Hash of its documents as they were read.
    #[serde(default)]
    pub(crate) digest: u64,
    /// If documents have origins: how the weights of their tokens were pooled.
    pub(crate) traced: Option<PooledBy>,
}

/// Path of shard `number`.
pub(crate) fn shard_path(build: &Path, number: usize) -> PathBuf {
    build.join(format!("shard-{number:06}.qry"))
}

/// Paths of shards 0 to `count - 1`.
pub(crate) fn shard_paths(build: &Path, count: usize) -> Vec<PathBuf> {
    (0..count).map(|number| shard_path(build, number)).collect()
}

/// Writes a shard. It is only synced to disk if it took encoding, which is costly to repeat.
pub(crate) fn write(
    path: &Path,
    docs: &[SpoolDoc],
    meta: &ShardMeta,
    encoded: bool,
) -> Result<(), BuildError> {
    let mut part = PartWriter::create(path, KIND, VERSION)?;
    if encoded {
        part = part.with_fsync();
    }
    part.put_json("meta", meta)?;
    let mut ends: Vec<u64> = Vec::with_capacity(docs.len());
    let mut bytes = Vec::new();
    for doc in docs {
        bytes.extend_from_slice(doc.id.as_bytes());
        ends.push(bytes.len() as u64);
    }
    part.put_section("id.ends", &ends)?;
    part.put_section("id.bytes", &bytes)?;
    let lines: Vec<u64> = docs.iter().map(|d| d.line).collect();
    part.put_section("lines", &lines)?;
    let passages: Vec<[u64; 3]> = if docs.iter().any(|d| d.passage.is_some()) {
        docs.iter().map(|d| placed(d.passage.as_ref())).collect()
    } else {
        Vec::new()
    };
    part.put_section("passages", passages.as_flattened())?;
    ends.clear();
    bytes.clear();
    for doc in docs {
        bytes.extend_from_slice(doc.stored.as_bytes());
        ends.push(bytes.len() as u64);
    }
    part.put_section("stored.ends", &ends)?;
    let packed = zstd::bulk::compress(&bytes, ZSTD_LEVEL).map_err(IndexError::io(path))?;
    part.put_section("stored.zstd", &packed)?;
    let counts: Vec<u64> = docs.iter().map(|d| d.vector.len() as u64).collect();
    part.put_section("counts", &counts)?;
    part.section("terms")?;
    for doc in docs {
        part.write(bytemuck::cast_slice(doc.vector.terms()))?;
    }
    part.section("weights")?;
    for doc in docs {
        part.write(bytemuck::cast_slice(doc.vector.weights()))?;
    }
    if meta.traced.is_some() {
        ends.clear();
        part.section("origins")?;
        let mut end = 0;
        for doc in docs {
            part.write(&doc.origins)?;
            end += doc.origins.len() as u64;
            ends.push(end);
        }
        part.put_section("origin.ends", &ends)?;
    }
    part.finish(docs.len() as u64)?;
    Ok(())
}

/// Ordinal plus one, first byte, end byte; zeros for a whole document.
fn placed(passage: Option<&PassageSpan>) -> [u64; 3] {
    passage.map_or([0; 3], |p| [u64::from(p.ordinal) + 1, p.bytes.start, p.bytes.end])
}

/// A finished shard, open for reading. Opening verifies the checksum of every byte.
#[derive(Debug)]
pub(crate) struct Shard {
    part: Part,
    pub(crate) meta: ShardMeta,
}

/// A document or a passage, without the stored text.
#[derive(Debug, Clone)]
pub(crate) struct Row<'a> {
    pub(crate) id: &'a str,
    pub(crate) line: u64,
    pub(crate) passage: Option<PassageSpan>,
    pub(crate) terms: &'a [u32],
    pub(crate) weights: &'a [f32],
    pub(crate) origins: &'a [u8],
}

/// Borrowed arrays of a shard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShardView<'a> {
    id_ends: &'a [u64],
    id_bytes: &'a [u8],
    lines: &'a [u64],
    /// Three values per row, or empty.
    passages: &'a [u64],
    counts: &'a [u64],
    terms: &'a [u32],
    weights: &'a [f32],
    /// Both are empty if no document has origins.
    origin_ends: &'a [u64],
    origins: &'a [u8],
}

impl Shard {
    pub(crate) fn open(path: &Path) -> Result<Self, BuildError> {
        let part = Part::open(path, KIND, VERSION..VERSION + 1, Verify::Full)?;
        let meta = part.json("meta")?;
        Ok(Self { part, meta })
    }

    /// The checksum of the shard's file.
    pub(crate) fn checksum(&self) -> u64 {
        self.part.checksum()
    }

    pub(crate) fn view(&self) -> Result<ShardView<'_>, BuildError> {
        // The metadata may have been taken out of the shard; the sections show it as well.
        let (origin_ends, origins) = match self.part.section_range("origin.ends") {
            Some(_) => (self.part.array("origin.ends")?, self.part.bytes("origins")?),
            None => Default::default(),
        };
        Ok(ShardView {
            id_ends: self.part.array("id.ends")?,
            id_bytes: self.part.bytes("id.bytes")?,
            lines: self.part.array("lines")?,
            passages: self.part.array("passages")?,
            counts: self.part.array("counts")?,
            terms: self.part.array("terms")?,
            weights: self.part.array("weights")?,
            origin_ends,
            origins,
        })
    }

    /// Releases the shard's resident pages.
    pub(crate) fn release(&self) {
        self.part.file().release();
    }

    /// Length of each stored document in bytes.
    pub(crate) fn stored_lengths(&self) -> Result<Vec<u64>, BuildError> {
        let ends: &[u64] = self.part.array("stored.ends")?;
        let starts = std::iter::once(0).chain(ends.iter().copied());
        Ok(ends.iter().zip(starts).map(|(end, start)| end.saturating_sub(start)).collect())
    }

    /// The stored documents, in order.
    pub(crate) fn stored(&self) -> Result<Vec<String>, BuildError> {
        let corrupt = |what: &str| BuildError::Index(IndexError::corrupt(self.part.path(), what));
        let ends: &[u64] = self.part.array("stored.ends")?;
        let capacity =
            usize::try_from(ends.last().copied().unwrap_or(0)).map_err(|_| corrupt("too long"))?;
        let bytes = zstd::bulk::decompress(self.part.bytes("stored.zstd")?, capacity)
            .map_err(IndexError::io(self.part.path()))?;
        let text =
            String::from_utf8(bytes).map_err(|_| corrupt("stored documents are not UTF-8"))?;
        let mut start = 0;
        let mut out = Vec::with_capacity(ends.len());
        for end in ends {
            let end = usize::try_from(*end).map_err(|_| corrupt("too long"))?;
            let stored =
                text.get(start..end).ok_or_else(|| corrupt("stored documents do not fit"))?;
            out.push(stored.to_owned());
            start = end;
        }
        Ok(out)
    }
}

impl<'a> ShardView<'a> {
    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Where each document's components begin.
    pub(crate) fn component_starts(&self) -> Vec<usize> {
        let mut end = 0;
        let counts = self.counts.iter().map(|c| usize::try_from(*c).unwrap_or(usize::MAX));
        counts
            .map(|count| {
                end += count;
                end - count
            })
            .collect()
    }

    /// Row `i`, whose components begin at `start`.
    pub(crate) fn get(&self, i: usize, start: usize) -> Row<'a> {
        // The shard's checksum was verified, so offsets are consistent.
        let place = |end: u64| usize::try_from(end).unwrap_or(usize::MAX);
        let id_start = i.checked_sub(1).map_or(0, |before| place(self.id_ends[before]));
        let id_bytes = &self.id_bytes[id_start..place(self.id_ends[i])];
        let end = start + place(self.counts[i]);
        let id = std::str::from_utf8(id_bytes).unwrap_or("");
        let passage = match self.passages.get(3 * i..3 * i + 3) {
            Some(&[ordinal, first, last]) if ordinal > 0 => {
                let ordinal = u32::try_from(ordinal - 1).unwrap_or(u32::MAX);
                Some(PassageSpan { ordinal, bytes: first..last })
            }
            _ => None,
        };
        let (terms, weights) = (&self.terms[start..end], &self.weights[start..end]);
        let origins = match self.origin_ends.get(i) {
            Some(end) => {
                let start = i.checked_sub(1).map_or(0, |before| place(self.origin_ends[before]));
                &self.origins[start..place(*end)]
            }
            None => &[],
        };
        Row { id, line: self.lines[i], passage, terms, weights, origins }
    }

    /// All rows, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Row<'a>> {
        let view = *self;
        let mut start = 0usize;
        (0..view.len()).map(move |i| {
            let row = view.get(i, start);
            start += row.terms.len();
            row
        })
    }
}
