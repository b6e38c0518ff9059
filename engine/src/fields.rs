//! The fields of a generation's documents, with examples.
//!
//! 1. the fields that are indexed, with kinds and counts (`quarry_searcher`), and those whose type was given
//! 2. examples are values of the first documents, a bounded number of them; a field that only later documents have has none
//! 3. within a filter, only what the first documents that it allows have is told, and nothing is counted

use std::collections::BTreeMap;

use quarry_index::fields::{FieldRule, FieldType};
use quarry_searcher::ListedField;
use serde_json::{Map, Value};

use crate::EngineError;
use crate::snapshot::Snapshot;

/// Most fields.
const MOST: usize = 256;
/// Documents that are looked at.
const LOOKED_AT: usize = 50;
/// Examples of a field.
const EXAMPLES: usize = 3;
/// Longest example, in characters.
const LONGEST: usize = 100;
/// Objects within objects.
const DEPTH: usize = 8;

/// A field that documents have, or may have.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DescribedField {
    /// The type that it was given, if any.
    pub given: Option<FieldType>,
    /// The kinds of its values, if it is indexed.
    pub kinds: Vec<&'static str>,
    /// Number of its values, where that is told ([`ListedField::values`]).
    pub values: Option<u64>,
    /// Some of its values, cut where they are long.
    pub examples: Vec<Value>,
}

/// Fields by path, as a filter names them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DescribedFields {
    /// At most 256.
    pub fields: BTreeMap<String, DescribedField>,
    /// Whether there are more.
    pub more: bool,
}

impl Snapshot {
    /// The fields of the documents; within a filter, as far as the first documents that it allows have them. Cost: as
    /// [`quarry_searcher::Searcher::fields`] for at most 256 fields, and 50 stored documents.
    ///
    /// # Errors
    /// As [`Self::allowed`], or when the index's files cannot be read.
    pub fn fields(&self, within: Option<&str>) -> Result<DescribedFields, EngineError> {
        let mut all = DescribedFields::default();
        if !self.index().has_text() {
            return Ok(all);
        }
        let rules = &self.index().manifest().fields;
        if within.is_none() {
            let (listed, more) = self.searcher().fields(MOST)?;
            all.more = more;
            for ListedField { path, kinds, values } in listed {
                let field = DescribedField { kinds, values: Some(values), ..Default::default() };
                all.fields.insert(path, field);
            }
            for (path, rule) in rules {
                if let FieldRule::Given(_) = rule {
                    all.put(path, |_| {});
                }
            }
        }
        let allowed = self.allowed(within, None)?;
        for hit in self.searcher().documents_of(allowed.as_deref()).take(LOOKED_AT) {
            if let Some(stored) = self.searcher().stored(&hit)? {
                each_value(&stored.fields, "", DEPTH, &mut |path, value| all.note(path, value));
            }
        }
        for (path, field) in &mut all.fields {
            if let Some(FieldRule::Given(given)) = rules.get(path) {
                field.given = Some(*given);
                // One that no document has yet; what is stored only is not counted.
                if within.is_none() && *given != FieldType::Stored {
                    field.values.get_or_insert(0);
                }
            }
        }
        Ok(all)
    }
}

impl DescribedFields {
    fn put(&mut self, path: &str, change: impl FnOnce(&mut DescribedField)) {
        if self.fields.len() < MOST || self.fields.contains_key(path) {
            change(self.fields.entry(path.to_owned()).or_default());
        } else {
            self.more = true;
        }
    }

    fn note(&mut self, path: &str, value: &Value) {
        self.put(path, |field| {
            if field.examples.len() < EXAMPLES {
                let value = shortened(value);
                if !field.examples.contains(&value) {
                    field.examples.push(value);
                }
            }
        });
    }
}

/// Calls `each` with the path of every value but objects; of lists with each element.
fn each_value(
    fields: &Map<String, Value>,
    within: &str,
    depth: usize,
    each: &mut impl FnMut(&str, &Value),
) {
    for (name, value) in fields {
        let path = format!("{within}{}", name.replace('.', "\\."));
        let values = match value {
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            match value {
                Value::Null | Value::Array(_) => {}
                Value::Object(inner) if depth > 0 => {
                    each_value(inner, &format!("{path}."), depth - 1, each);
                }
                Value::Object(_) => {}
                plain => each(&path, plain),
            }
        }
    }
}

fn shortened(value: &Value) -> Value {
    match value.as_str().and_then(|text| Some((text, text.char_indices().nth(LONGEST)?.0))) {
        Some((text, at)) => Value::String(format!("{}...", text.get(..at).unwrap_or_default())),
        None => value.clone(),
    }
}
