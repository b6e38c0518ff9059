//! Writing a text part with tantivy, within a bound of memory.
//!
//! 1. fill one-segment indexes, each until its arena is full  2. merge them in order
//! 3. pack the result into one file
//!
//! tantivy syncs each file that it writes; little text is written in memory instead ([`TextWriter::in_memory`]).
//!
//! tantivy's merge concatenates segments in the order given, so its document numbers are ours.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use quarry_vectors::join_title_and_text;
use serde_json::{Map, Value};
use tantivy::directory::{Directory, MmapDirectory, RamDirectory};
use tantivy::indexer::{SingleSegmentIndexWriter, merge_indices};
use tantivy::schema::OwnedValue;
use tantivy::store::{Compressor, ZstdCompressor};
use tantivy::{Index, IndexSettings, TantivyDocument};

use super::analysis::tokenizers;
use super::layout::{StoredDocument, TextFields, schema};
use super::pack::pack;
use crate::container::Written;
use crate::error::IndexError;
use crate::fields::{FieldRule, FieldRules, FieldType};
use crate::names::is_uuid;
use crate::storage::Storage;

/// Least arena that tantivy works with.
const LEAST_ARENA: usize = 16 << 20;
/// Stored documents are compressed together in blocks of this size.
const STORE_BLOCK: usize = 16 << 10;

/// Writes the text part of one segment, within a bound of memory.
pub struct TextWriter {
    folder: PathBuf,
    arena: usize,
    in_memory: bool,
    fields: TextFields,
    full: Vec<(Index, Box<dyn Directory>)>,
    open: Option<(SingleSegmentIndexWriter, Box<dyn Directory>)>,
    documents: u64,
    /// Paths of fields whose strings are words, also where they look like dates.
    keywords: BTreeSet<String>,
    /// Paths of fields that are kept, but not to filter by.
    only_stored: BTreeSet<String>,
}

impl std::fmt::Debug for TextWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextWriter")
            .field("folder", &self.folder)
            .field("documents", &self.documents)
            .finish_non_exhaustive()
    }
}

impl TextWriter {
    /// Begins a part. tantivy works under `folder`, of which what an earlier run left is removed first, and
    /// writes there what is more than `memory` bytes (16 MiB at least). `fields` are the types of the
    /// documents' other fields.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn create(folder: &Path, memory: u64, fields: &FieldRules) -> Result<Self, IndexError> {
        clear_work(folder)?;
        fs::create_dir_all(folder).map_err(IndexError::io(folder))?;
        let arena = usize::try_from(memory).unwrap_or(usize::MAX).max(LEAST_ARENA);
        let of_type = |wanted: FieldType| {
            let is = move |rule: &FieldRule| *rule == FieldRule::Given(wanted);
            fields.iter().filter(|(_, rule)| is(rule)).map(|(path, _)| path.clone()).collect()
        };
        let (keywords, only_stored) = (of_type(FieldType::Keyword), of_type(FieldType::Stored));
        let (_, fields) = schema();
        Ok(Self {
            folder: folder.to_path_buf(),
            arena,
            in_memory: false,
            fields,
            full: Vec::new(),
            open: None,
            documents: 0,
            keywords,
            only_stored,
        })
    }

    /// Works in memory, which takes about as many bytes as the documents have.
    #[must_use]
    pub fn in_memory(self) -> Self {
        Self { in_memory: true, ..self }
    }

    /// Adds the document of the next row: a [`StoredDocument`] as JSON, or nothing.
    ///
    /// # Errors
    /// When it is something else, or the disk refuses.
    pub fn add(&mut self, stored: &str) -> Result<(), IndexError> {
        let (writer, _) = match &mut self.open {
            Some(open) => open,
            None => {
                let directory = self.directory(&self.full.len().to_string())?;
                let writer = new_writer(&self.folder, directory.clone(), self.arena)?;
                self.open.insert((writer, directory))
            }
        };
        let mut document = TantivyDocument::default();
        let bytes = if stored.is_empty() { "{}" } else { stored };
        document.add_bytes(self.fields.stored, bytes.as_bytes());
        if !stored.is_empty() {
            let parsed: StoredDocument = serde_json::from_str(stored)
                .map_err(|e| IndexError::corrupt(&self.folder, format!("stored document: {e}")))?;
            document.add_text(
                self.fields.contents,
                join_title_and_text(&parsed.title, &parsed.text, " "),
            );
            if !parsed.fields.is_empty() {
                let keywords = &self.keywords;
                let one = |(k, v): (String, Value)| {
                    let value = owned(v, &k, keywords);
                    (k, value)
                };
                let fields = match self.only_stored.is_empty() {
                    true => parsed.fields,
                    false => without(parsed.fields, "", &self.only_stored),
                };
                let object = fields.into_iter().map(one).collect();
                document.add_object(self.fields.fields, object);
            }
        }
        writer.add_document(document).map_err(IndexError::text(&self.folder))?;
        self.documents += 1;
        if writer.mem_usage() >= self.arena {
            self.close()?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), IndexError> {
        if let Some((writer, directory)) = self.open.take() {
            let index = writer.finalize().map_err(IndexError::text(&self.folder))?;
            self.full.push((index, directory));
        }
        Ok(())
    }

    /// Merges and packs into `path`; removes the working folder.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(mut self, path: &Path) -> Result<Written, IndexError> {
        if self.open.is_none() && self.full.is_empty() {
            // An empty collection still has a text part, with no document.
            let directory = self.directory("0")?;
            let writer = new_writer(&self.folder, directory.clone(), self.arena)?;
            self.open = Some((writer, directory));
        }
        self.close()?;
        let merged = match self.full.as_slice() {
            [_] => None,
            parts => {
                let directory = self.directory("merged")?;
                let parts: Vec<Index> = parts.iter().map(|(index, _)| index.clone()).collect();
                let merged = merge_indices(&parts, directory.clone());
                Some((merged.map_err(IndexError::text(&self.folder))?, directory))
            }
        };
        let written = match merged.as_ref().or(self.full.first()) {
            Some((index, directory)) => {
                pack((index, &**directory), &self.folder, path, self.documents)?
            }
            None => return Err(IndexError::corrupt(&self.folder, "no text was written")),
        };
        drop(merged);
        self.full.clear();
        clear_work(&self.folder)?;
        Ok(written)
    }
}

impl TextWriter {
    /// Where tantivy writes an index.
    fn directory(&self, name: &str) -> Result<Box<dyn Directory>, IndexError> {
        if self.in_memory {
            return Ok(Box::new(RamDirectory::create()));
        }
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).map_err(IndexError::io(&folder))?;
        let directory = MmapDirectory::open(&folder);
        Ok(Box::new(directory.map_err(|e| IndexError::text(&folder)(e.into()))?))
    }
}

/// The fields without those whose paths are `left_out`.
fn without(
    fields: Map<String, Value>,
    of: &str,
    left_out: &BTreeSet<String>,
) -> Map<String, Value> {
    let one = |(name, value): (String, Value)| {
        let path = if of.is_empty() { name.clone() } else { format!("{of}.{name}") };
        if left_out.contains(&path) {
            return None;
        }
        Some((name, pruned(value, &path, left_out)))
    };
    fields.into_iter().filter_map(one).collect()
}

fn pruned(value: Value, path: &str, left_out: &BTreeSet<String>) -> Value {
    match value {
        Value::Object(fields) => Value::Object(without(fields, path, left_out)),
        Value::Array(values) => {
            Value::Array(values.into_iter().map(|value| pruned(value, path, left_out)).collect())
        }
        value => value,
    }
}

/// A value as tantivy takes it. It makes dates of strings that look like one, but for keywords.
fn owned(value: Value, path: &str, keywords: &BTreeSet<String>) -> OwnedValue {
    match value {
        value if keywords.is_empty() => OwnedValue::from(value),
        Value::String(text) if keywords.contains(path) => OwnedValue::Str(text),
        Value::Array(values) => {
            OwnedValue::Array(values.into_iter().map(|v| owned(v, path, keywords)).collect())
        }
        Value::Object(fields) => OwnedValue::Object(
            fields
                .into_iter()
                .map(|(name, v)| {
                    let value = owned(v, &format!("{path}.{name}"), keywords);
                    (name, value)
                })
                .collect(),
        ),
        value => OwnedValue::from(value),
    }
}

fn new_writer(
    folder: &Path,
    directory: Box<dyn Directory>,
    arena: usize,
) -> Result<SingleSegmentIndexWriter, IndexError> {
    let settings = IndexSettings {
        docstore_compression: Compressor::Zstd(ZstdCompressor::default()),
        docstore_blocksize: STORE_BLOCK,
        ..IndexSettings::default()
    };
    let (schema, _) = schema();
    Index::builder()
        .schema(schema)
        .settings(settings)
        .tokenizers(tokenizers())
        .single_segment_index_writer(directory, arena)
        .map_err(IndexError::text(folder))
}

/// Removes what an interrupted [`TextWriter`] left in its folder, and the folder if nothing else is in it.
///
/// # Errors
/// When the system refuses.
pub fn clear_work(text: &Path) -> Result<(), IndexError> {
    if !fs::symlink_metadata(text).is_ok_and(|m| m.is_dir()) {
        return Ok(());
    }
    for name in Storage::of(text).names()? {
        if name == "merged" || (!name.is_empty() && name.bytes().all(|b| b.is_ascii_digit())) {
            let folder = text.join(name);
            if fs::symlink_metadata(&folder).is_ok_and(|m| m.is_dir()) {
                let storage = Storage::of(&folder);
                for name in storage.list()?.iter().filter(|name| is_tantivys(name)) {
                    storage.remove(name)?;
                }
                remove_if_empty(&folder)?;
            }
        }
    }
    remove_if_empty(text)
}

fn is_tantivys(name: &str) -> bool {
    const KINDS: [&str; 7] = ["idx", "pos", "term", "store", "store.temp", "fast", "fieldnorm"];
    let part = name.split_once('.').is_some_and(|(id, kind)| is_uuid(id) && KINDS.contains(&kind));
    let passing = name.strip_prefix(".tmp").is_some_and(|random| {
        random.len() == 6 && random.bytes().all(|b| b.is_ascii_alphanumeric())
    });
    let known = ["meta.json", ".managed.json", ".tantivy-meta.lock", ".tantivy-writer.lock"];
    part || passing || known.contains(&name)
}

fn remove_if_empty(folder: &Path) -> Result<(), IndexError> {
    use std::io::ErrorKind::{DirectoryNotEmpty, NotFound};
    match fs::remove_dir(folder) {
        Err(e) if !matches!(e.kind(), DirectoryNotEmpty | NotFound) => {
            Err(IndexError::io(folder)(e))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Verify;
    use crate::text::TextIndex;
    use quarry_vectors::DocId;
    use tantivy::postings::Postings;
    use tantivy::schema::IndexRecordOption;
    use tantivy::{DocSet, TERMINATED, Term};

    const WORDS: [&str; 7] = ["rock", "sea", "lava", "quartz", "granite", "river", "chalk"];

    fn stored(number: usize) -> StoredDocument {
        let text: Vec<&str> =
            (0..number % 23).map(|at| WORDS[(number * 3 + at * at) % 7]).collect();
        let fields = number.is_multiple_of(4).then(|| ("number".to_owned(), number.into()));
        StoredDocument {
            title: if number.is_multiple_of(5) { format!("title {number}") } else { String::new() },
            text: text.join(" "),
            fields: fields.into_iter().collect(),
        }
    }

    /// An index of 100 documents, every ninth of them empty, with the arena full after each `each`.
    fn built(each: usize) -> (tempfile::TempDir, TextIndex) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.qry");
        let mut builder =
            TextWriter::create(&folder.path().join("work"), 0, &FieldRules::new()).unwrap();
        for number in 0..100 {
            let json = serde_json::to_string(&stored(number)).unwrap();
            builder.add(if number % 9 == 8 { "" } else { &json }).unwrap();
            if number % each == each - 1 {
                builder.close().unwrap();
            }
        }
        assert_eq!(builder.full.len(), 100 / each);
        builder.finish(&path).unwrap();
        assert!(!folder.path().join("work").exists());
        let index = TextIndex::open(&path, Verify::Full).unwrap();
        (folder, index)
    }

    /// Documents, lengths and postings do not show how often the arena was full.
    #[test]
    fn merged_flushes_keep_the_order_of_documents() {
        let (_folder, whole) = built(1000);
        for each in [1, 7, 33, 99] {
            let (_folder, merged) = built(each);
            assert_eq!(merged.reader().max_doc(), 100);
            let field = merged.fields().contents;
            let lengths = |index: &TextIndex| -> Vec<u32> {
                let norms = index.reader().get_fieldnorms_reader(field).unwrap();
                (0..100).map(|doc| norms.fieldnorm(doc)).collect()
            };
            assert_eq!(lengths(&merged), lengths(&whole));
            for doc in 0..100u32 {
                let number = doc as usize;
                let want = if number % 9 == 8 { StoredDocument::default() } else { stored(number) };
                assert_eq!(merged.stored(DocId(doc)).unwrap(), want, "{doc}, each {each}");
            }
            let postings = |index: &TextIndex, word: &str| {
                let inverted = index.reader().inverted_index(field).unwrap();
                let term = Term::from_field_text(field, word);
                let mut found = Vec::new();
                let list = inverted.read_postings(&term, IndexRecordOption::WithFreqs).unwrap();
                if let Some(mut list) = list {
                    while list.doc() != TERMINATED {
                        found.push((list.doc(), list.term_freq()));
                        list.advance();
                    }
                }
                (found, inverted.total_num_tokens())
            };
            for word in ["rock", "sea", "granit", "titl", "35", "absent"] {
                assert_eq!(postings(&merged, word), postings(&whole, word), "{word}, each {each}");
            }
        }
    }
}
