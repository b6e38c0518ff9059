//! Reading a text part.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quarry_vectors::DocId;
use tantivy::schema::Value;
use tantivy::{Index, SegmentReader, TantivyDocument};

use super::analysis::tokenizers;
use super::layout::{KIND, Meta, READABLE, StoredDocument, TextFields, schema_of};
use super::packed::Packed;
use crate::container::{Part, Verify};
use crate::error::IndexError;
use crate::guard::guarded;
use crate::part::SegmentPart;

/// Blocks of stored documents that are kept decompressed.
const CACHED_BLOCKS: usize = 64;
/// The text part of an open segment.
#[derive(Clone)]
pub struct TextIndex {
    part: Part,
    reader: SegmentReader,
    fields: TextFields,
    store: Arc<tantivy::store::StoreReader>,
}

impl fmt::Debug for TextIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextIndex").field("path", &self.path()).finish_non_exhaustive()
    }
}

impl TextIndex {
    /// Opens the part.
    ///
    /// # Errors
    /// As [`Part::open`]; when tantivy refuses its files; when it does not hold exactly one segment
    /// of the part's number of documents with our schema.
    pub fn open(path: &Path, verify: Verify) -> Result<Self, IndexError> {
        SegmentPart::read(Part::open(path, KIND, READABLE, verify)?, verify)
    }

    fn of(part: Part, packed: Packed, blocks: &AtomicBool) -> Result<Self, IndexError> {
        let path = &part.path().to_path_buf();
        let mut index = Index::open(packed).map_err(IndexError::text(path))?;
        index.set_tokenizers(tokenizers());
        let (wanted, fields) = schema_of(part.version());
        if index.schema() != wanted {
            return Err(IndexError::corrupt(
                path,
                "the text part's schema is not the one this build writes",
            ));
        }
        let segments = index.searchable_segments().map_err(IndexError::text(path))?;
        let [segment] = segments.as_slice() else {
            return Err(IndexError::corrupt(
                path,
                format!("{} tantivy segments, 1 expected", segments.len()),
            ));
        };
        let reader = SegmentReader::open(segment).map_err(IndexError::text(path))?;
        if u64::from(reader.max_doc()) != part.documents() {
            return Err(IndexError::corrupt(
                path,
                format!("{} documents in tantivy, {} expected", reader.max_doc(), part.documents()),
            ));
        }
        let store = reader.get_store_reader(CACHED_BLOCKS);
        let store = Arc::new(store.map_err(|e| IndexError::text(path)(e.into()))?);
        // What is read of the store from now on are its blocks.
        blocks.store(true, Ordering::Release);
        Ok(Self { part, reader, fields, store })
    }

    /// tantivy's reader of the one segment.
    #[must_use]
    pub fn reader(&self) -> &SegmentReader {
        &self.reader
    }

    /// The fields of its schema.
    #[must_use]
    pub fn fields(&self) -> TextFields {
        self.fields
    }

    /// The part's path, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.part.path()
    }

    /// A stored document. Cost: decompresses its block, unless it is cached.
    ///
    /// # Errors
    /// When the block cannot be read or holds no document of ours.
    pub fn stored(&self, doc: DocId) -> Result<StoredDocument, IndexError> {
        let path = self.path();
        let found: TantivyDocument =
            guarded(path, || self.store.get(doc.0).map_err(IndexError::text(path)))?;
        let bytes =
            found.get_first(self.fields.stored).and_then(|v| v.as_bytes()).ok_or_else(|| {
                IndexError::corrupt(path, format!("row {} has no stored document", doc.0))
            })?;
        serde_json::from_slice(bytes)
            .map_err(|e| IndexError::corrupt(path, format!("row {}: stored document: {e}", doc.0)))
    }
}

impl SegmentPart for TextIndex {
    fn read(part: Part, _: Verify) -> Result<Self, IndexError> {
        let path = &part.path().to_path_buf();
        let meta: Meta = part.json("meta")?;
        let base = part
            .section_range("files")
            .ok_or_else(|| IndexError::corrupt(path, "section `files` is missing"))?;
        let mut files = BTreeMap::new();
        for file in meta.files {
            let range = usize::try_from(file.offset)
                .ok()
                .zip(usize::try_from(file.bytes).ok())
                .and_then(|(at, n)| at.checked_add(n).map(|end| at..end))
                .filter(|r| r.end <= base.len())
                .map(|r| base.start + r.start..base.start + r.end)
                .ok_or_else(|| {
                    IndexError::corrupt(path, format!("file `{}` lies outside the part", file.name))
                })?;
            files.insert(PathBuf::from(file.name), range);
        }
        let blocks = Arc::new(AtomicBool::new(false));
        let packed = Packed {
            file: part.file().clone(),
            files: Arc::new(files),
            blocks: Arc::clone(&blocks),
        };
        guarded(path, || Self::of(part, packed, &blocks))
    }

    fn part(&self) -> &Part {
        &self.part
    }

    fn part_mut(&mut self) -> &mut Part {
        &mut self.part
    }
}
