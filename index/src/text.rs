//! The text part: one tantivy index of one segment, all its files in one file of ours.
//!
//! tantivy's document numbers are the segment's own (the same documents in the same order). It
//! holds the postings and field norms that BM25 needs, and the stored documents. Packing its files
//! into one part keeps one commit point and one checksum, and lets object storage fetch it whole.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quarry_vectors::DocId;
use serde::{Deserialize, Serialize};
use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    DirectoryLock, FileHandle, Lock, OwnedBytes, WatchCallback, WatchHandle, WritePtr,
};
use tantivy::schema::{
    Field, IndexRecordOption, JsonObjectOptions, STORED, Schema, TextFieldIndexing, TextOptions,
    Value,
};
use tantivy::tokenizer::{
    LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer, StopWordFilter, TextAnalyzer,
    TokenizerManager,
};
use tantivy::{Directory, HasLen, Index, SegmentReader, TantivyDocument};

use crate::container::{Part, PartWriter, Verify, Written};
use crate::error::IndexError;
use crate::guard::guarded;
use crate::map::MappedFile;
use crate::part::SegmentPart;

/// Name of the part kind.
pub const KIND: &str = "text";
/// Version written. Version 1 has no columns of the other fields, so no filters by ranges.
pub const VERSION: u32 = 2;
/// Versions read (end exclusive).
pub(crate) const READABLE: Range<u32> = 1..VERSION + 1;

/// Name under which the analyser is registered and written into the schema.
const ANALYZER: &str = "quarry_english";
/// Blocks of stored documents that are kept decompressed.
const CACHED_BLOCKS: usize = 64;
/// Most bytes of a decompressed block: it has a few small documents, or one large one.
const MOST_BLOCK: u32 = 256 << 20;
/// Longer words are not indexed; tantivy refuses terms beyond 65,530 bytes.
const LONGEST_WORD: usize = 255;

/// A document as it was read, for showing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StoredDocument {
    /// Title; empty when there was none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Body; empty when there was none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// All other fields.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// The fields of the tantivy index.
#[derive(Debug, Clone, Copy)]
pub struct TextFields {
    /// Title and text, analysed: what BM25 scores.
    pub contents: Field,
    /// The stored document, as JSON text.
    pub stored: Field,
    /// The document's other fields, indexed for filters.
    pub fields: Field,
}

/// The schema of the text part.
#[must_use]
pub fn schema() -> (Schema, TextFields) {
    schema_of(VERSION)
}

fn schema_of(version: u32) -> (Schema, TextFields) {
    let mut builder = Schema::builder();
    let contents = builder.add_text_field(
        "contents",
        TextOptions::default().set_indexing_options(
            TextFieldIndexing::default()
                .set_tokenizer(ANALYZER)
                .set_fieldnorms(true)
                .set_index_option(IndexRecordOption::WithFreqs),
        ),
    );
    let stored = builder.add_bytes_field("stored", STORED);
    let mut json = JsonObjectOptions::default().set_indexing_options(
        TextFieldIndexing::default()
            .set_tokenizer("raw")
            .set_index_option(IndexRecordOption::Basic),
    );
    if version > 1 {
        // Columns besides postings: ranges are taken from columns.
        json = json.set_fast("raw");
    }
    let fields = builder.add_json_field("fields", json);
    (builder.build(), TextFields { contents, stored, fields })
}

/// English analysis: words, lower case, stop words out, Porter2 stems.
#[must_use]
pub fn analyzer() -> TextAnalyzer {
    let words = TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(LONGEST_WORD))
        .filter(LowerCaser)
        .filter_dynamic(StopWordFilter::remove(STOP_WORDS.iter().map(|w| (*w).to_owned())));
    words.filter_dynamic(Stemmer::new(tantivy::tokenizer::Language::English)).build()
}

/// Lucene's default English stop words, so that figures compare with those of the field's tools.
const STOP_WORDS: [&str; 33] = [
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it",
    "no", "not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these",
    "they", "this", "to", "was", "will", "with",
];

/// tantivy's analysers and ours.
#[must_use]
pub fn tokenizers() -> TokenizerManager {
    let manager = TokenizerManager::default();
    manager.register(ANALYZER, analyzer());
    manager
}

/// The name that a packed segment has in tantivy's files, in the two forms that it uses. tantivy draws one
/// at random; with a fixed one the same documents give the same bytes.
const SEGMENT_NAME: (&str, &str) =
    ("00000000000000000000000000000001", "00000000-0000-0000-0000-000000000001");

/// Packs the files of a finished tantivy index (one segment, in `folder`) into one part. The segment is
/// given a fixed name.
///
/// # Errors
/// When a file cannot be read, there is not one segment, or the disk refuses.
pub fn pack(folder: &Path, path: &Path, documents: u64) -> Result<Written, IndexError> {
    let list = folder.join(TANTIVY_LIST);
    let text = std::fs::read_to_string(&list).map_err(IndexError::io(&list))?;
    let drawn = segment_name(&text)
        .ok_or_else(|| IndexError::corrupt(&list, "tantivy's list does not name one segment"))?;
    let text = text.replace(&drawn, SEGMENT_NAME.1);
    let drawn = drawn.replace('-', "");
    let mut names: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(IndexError::io(folder))? {
        let name = PathBuf::from(entry.map_err(IndexError::io(folder))?.file_name());
        // Locks and tantivy's own list of files to collect are of no use to a reader, and what else lies
        // there is not tantivy's.
        let text = name.to_string_lossy();
        if text == TANTIVY_LIST || text.strip_prefix(&drawn).is_some_and(|end| end.starts_with('.'))
        {
            names.push(name);
        }
    }
    names.sort();
    let mut part = PartWriter::create(path, KIND, VERSION)?;
    let mut files = Vec::new();
    part.section("files")?;
    let mut buffer = vec![0u8; 1 << 18];
    for name in names {
        let source = folder.join(&name);
        let start = part.section_len();
        let mut file: Box<dyn Read> = if name.as_os_str() == TANTIVY_LIST {
            Box::new(text.as_bytes())
        } else {
            Box::new(File::open(&source).map_err(IndexError::io(&source))?)
        };
        loop {
            let n = file.read(&mut buffer).map_err(IndexError::io(&source))?;
            if n == 0 {
                break;
            }
            part.write(&buffer[..n])?;
        }
        let bytes = part.section_len() - start;
        let name = name.to_string_lossy().replace(&drawn, SEGMENT_NAME.0);
        files.push(PackedFile { name, offset: start, bytes });
        // tantivy's columns are read as words; keep every file aligned.
        let over = part.section_len() % crate::container::ALIGN as u64;
        if over > 0 {
            part.write(&vec![0u8; crate::container::ALIGN - usize::try_from(over).unwrap_or(0)])?;
        }
    }
    part.put_json("meta", &Meta { files })?;
    part.finish(documents)
}

/// tantivy's list of segments.
const TANTIVY_LIST: &str = "meta.json";

/// The name of the one segment of tantivy's list, as it stands there.
fn segment_name(list: &str) -> Option<String> {
    let list: serde_json::Value = serde_json::from_str(list).ok()?;
    match list.get("segments")?.as_array()?.as_slice() {
        [one] => Some(one.get("segment_id")?.as_str()?.to_owned()),
        _ => None,
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    files: Vec<PackedFile>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PackedFile {
    name: String,
    offset: u64,
    bytes: u64,
}

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

    /// A stored document. Cost: decompresses its block, unless that was read lately.
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

/// tantivy's view of the packed files: read-only.
#[derive(Clone)]
struct Packed {
    file: MappedFile,
    files: Arc<BTreeMap<PathBuf, Range<usize>>>,
    /// Whether all that is still to be read of the stored documents are their blocks.
    blocks: Arc<AtomicBool>,
}

/// The file of the stored documents. A block says first how long it will be when it is decompressed;
/// tantivy takes that much memory before it looks at the rest.
struct StoreFile {
    bytes: OwnedBytes,
    blocks: Arc<AtomicBool>,
}

impl fmt::Debug for StoreFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreFile").finish_non_exhaustive()
    }
}

impl HasLen for StoreFile {
    fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl FileHandle for StoreFile {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        if range.start > range.end || range.end > self.bytes.len() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a block lies outside its file",
            ));
        }
        let bytes = self.bytes.slice(range);
        if self.blocks.load(Ordering::Acquire) {
            let length = bytes.first_chunk().map_or(0, |length| u32::from_le_bytes(*length));
            if length > MOST_BLOCK {
                let what = format!("a block of stored documents says it has {length} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        }
        Ok(bytes)
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packed").field("file", &self.file.path()).finish_non_exhaustive()
    }
}

impl Packed {
    fn bytes(&self, path: &Path) -> Result<OwnedBytes, OpenReadError> {
        let range = self
            .files
            .get(path)
            .ok_or_else(|| OpenReadError::FileDoesNotExist(path.to_path_buf()))?;
        Ok(OwnedBytes::new(self.file.clone()).slice(range.clone()))
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "a sealed text part is read-only")
}

impl Directory for Packed {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        let bytes = self.bytes(path)?;
        Ok(match path.extension().is_some_and(|kind| kind == "store") {
            true => Arc::new(StoreFile { bytes, blocks: Arc::clone(&self.blocks) }),
            false => Arc::new(bytes),
        })
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        Err(DeleteError::IoError { io_error: Arc::new(read_only()), filepath: path.to_path_buf() })
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        Ok(self.files.contains_key(path))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        Err(OpenWriteError::wrap_io_error(read_only(), path.to_path_buf()))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        Ok(self.bytes(path)?.as_slice().to_vec())
    }

    fn atomic_write(&self, _: &Path, _: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn acquire_lock(&self, _: &Lock) -> Result<DirectoryLock, LockError> {
        // Sealed files need no lock; tantivy asks for one when it opens readers.
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}
