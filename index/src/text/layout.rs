//! What the part holds, for its writer and its reader: stored documents, tantivy's schema, the list of
//! packed files.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use tantivy::schema::{
    Field, IndexRecordOption, JsonObjectOptions, STORED, Schema, TextFieldIndexing, TextOptions,
};

use super::analysis::ANALYZER;

/// Name of the part kind.
pub const KIND: &str = "text";
/// Version written. Version 1 has no columns of the other fields, so no filters by ranges.
pub const VERSION: u32 = 2;
/// Versions read (end exclusive).
pub(crate) const READABLE: Range<u32> = 1..VERSION + 1;

/// A document as it was read, to be returned with results.
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
    pub(crate) stored: Field,
    /// The document's other fields, indexed for filters.
    pub fields: Field,
}

/// The schema that is written.
pub(super) fn schema() -> (Schema, TextFields) {
    schema_of(VERSION)
}

/// The schema of a version.
pub(super) fn schema_of(version: u32) -> (Schema, TextFields) {
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

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) files: Vec<PackedFile>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PackedFile {
    pub(super) name: String,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}
