//! One JSON object a line, `{"id": ..., "vector": {token: weight}}`, as Seismic and Anserini read it
//! and as this crate does.

use std::io::Write;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::put;
use crate::error::DatasetError;

/// A line on its way. Read back, it is the document that it was made of.
#[derive(Debug, Clone, Copy)]
pub struct VectorRecord<'a> {
    /// The document's id.
    pub id: &'a str,
    /// Left out when empty.
    pub title: &'a str,
    /// Left out when empty.
    pub text: &'a str,
    /// All other fields.
    pub fields: &'a Map<String, Value>,
    /// Tokens with their weights.
    pub vector: &'a [(String, f32)],
}

impl Serialize for VectorRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        // Readers take `_id` before `id`, which then is a field like others.
        let name = if self.fields.contains_key("id") { "_id" } else { "id" };
        map.serialize_entry(name, self.id)?;
        // A text keeps its place before `contents` and `content`, which may be fields, too.
        let others = ["contents", "content"].iter().any(|n| self.fields.contains_key(*n));
        for (name, value) in [("title", self.title), ("text", self.text)] {
            if !value.is_empty() || (name == "text" && others) {
                map.serialize_entry(name, value)?;
            }
        }
        for (name, value) in self.fields {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("vector", &Weights(self.vector))?;
        map.end()
    }
}

struct Weights<'a>(&'a [(String, f32)]);

impl Serialize for Weights<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(token, weight)| (token, weight)))
    }
}

/// Writes one record with its line's end; weights with as many digits as reading them back to the same
/// f32 takes.
///
/// # Errors
/// When the disk refuses.
pub fn write_json_line(
    out: &mut impl Write,
    record: &VectorRecord<'_>,
) -> Result<(), DatasetError> {
    let mut line =
        serde_json::to_vec(record).map_err(|e| DatasetError::Write(std::io::Error::other(e)))?;
    line.push(b'\n');
    put(out, &line)
}
