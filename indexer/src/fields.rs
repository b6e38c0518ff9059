//! Checks the types of documents' other fields. A field with a given type is converted to it; any other
//! field must keep the JSON kind of its first value.
//!
//! 1. visit a document's values by path, each element of a list by itself  2. path with a given type:
//!    convert, or refuse  3. path seen before: the kind must be the same  4. new path: record its kind

use std::collections::HashSet;

use quarry_index::Index;
use quarry_index::fields::{FieldRule, FieldRules, FieldType, JsonKind};
use quarry_vectors::Document;
use serde_json::{Map, Value};
use tantivy::time::OffsetDateTime;
use tantivy::time::format_description::well_known::Rfc3339;

use crate::BuildError;

/// Most paths that documents may have. Each path becomes a column for filters, and an object whose keys
/// are data would create one per key.
pub(crate) const MOST_PATHS: usize = 1000;

/// Checks the fields of documents one at a time, before they are added together: [`add`](crate::add) refuses all if
/// one does not fit.
#[derive(Debug, Clone)]
pub struct FieldCheck(Fields);

impl FieldCheck {
    /// The rules of an index.
    #[must_use]
    pub fn of(index: &Index) -> Self {
        Self(Fields { sent: true, ..Fields::new(&index.manifest().fields) })
    }

    /// Converts a document's fields to their types. A path that no earlier document had gets the kind of its value.
    ///
    /// # Errors
    /// [`BuildError::Document`] if a field does not fit; such a document decides no kinds.
    pub fn apply(&mut self, document: &mut Document) -> Result<(), BuildError> {
        let result = self.0.apply(document);
        let (met, within) = (self.0.of_shard(), std::mem::take(&mut self.0.new_within_any));
        if result.is_err() {
            for (path, rule) in met {
                match rule {
                    FieldRule::Seen(_) => drop(self.0.rules.remove(&path)),
                    FieldRule::Given(_) => drop(self.0.unmet.insert(path, rule)),
                }
            }
            within.iter().for_each(|path| drop(self.0.within_any.take(path)));
        }
        result
    }
}

/// The rules so far, and those that the current shard added.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields {
    /// Whether documents come in requests; messages then name what a request can say, and no options.
    sent: bool,
    rules: FieldRules,
    /// Paths first met in the current shard, with their rules.
    new: FieldRules,
    /// Paths with a given type that no document has had so far.
    unmet: FieldRules,
    /// Paths inside fields of type `any`, as met by this process.
    within_any: HashSet<String>,
    /// Those that the current document added, where documents are checked one at a time.
    new_within_any: Vec<String>,
}

impl Fields {
    pub(crate) fn new(rules: &FieldRules) -> Self {
        let given = |rule: &FieldRule| matches!(rule, FieldRule::Given(_));
        let unmet = rules.iter().filter(|(_, rule)| given(rule));
        Self {
            sent: false,
            rules: rules.clone(),
            new: FieldRules::new(),
            unmet: unmet.map(|(path, rule)| (path.clone(), *rule)).collect(),
            within_any: HashSet::new(),
            new_within_any: Vec::new(),
        }
    }

    /// Adds the rules of a finished shard.
    pub(crate) fn take(&mut self, met: &FieldRules) {
        for (path, rule) in met {
            self.unmet.remove(path);
            self.rules.entry(path.clone()).or_insert(*rule);
        }
    }

    /// Takes the rules that the current shard added, for its metadata.
    pub(crate) fn of_shard(&mut self) -> FieldRules {
        std::mem::take(&mut self.new)
    }

    /// Converts a document's fields to their types, or says which one does not fit.
    pub(crate) fn apply(&mut self, document: &mut Document) -> Result<(), BuildError> {
        if document.fields.is_empty() {
            return Ok(());
        }
        let mut fields = std::mem::take(&mut document.fields);
        let result = self.object(&mut fields, &mut String::new());
        document.fields = fields;
        result.map_err(|what| BuildError::Document {
            id: document.id.clone(),
            line: document.line,
            what,
        })
    }

    fn object(&mut self, fields: &mut Map<String, Value>, path: &mut String) -> Result<(), String> {
        let length = path.len();
        for (name, value) in fields {
            if length > 0 {
                path.push('.');
            }
            path.push_str(name);
            self.value(value, path)?;
            path.truncate(length);
        }
        Ok(())
    }

    fn value(&mut self, value: &mut Value, path: &mut String) -> Result<(), String> {
        let kind = match value {
            Value::Null => return Ok(()),
            Value::Array(values) => {
                return values.iter_mut().try_for_each(|value| self.value(value, path));
            }
            Value::String(_) => JsonKind::String,
            Value::Number(_) => JsonKind::Number,
            Value::Bool(_) => JsonKind::Boolean,
            Value::Object(_) => JsonKind::Object,
        };
        match self.rules.get(path.as_str()) {
            Some(FieldRule::Given(FieldType::Stored)) => {
                self.met(path);
                // Stored fields are not checked any deeper.
                return Ok(());
            }
            Some(FieldRule::Given(FieldType::Any)) => {
                self.met(path);
                // Kinds inside it do not matter; only the number of columns does.
                return self.count(value, path);
            }
            Some(FieldRule::Given(given)) => {
                let given = *given;
                let fits = convert(value, given);
                *value = fits.ok_or_else(|| {
                    let range = match given {
                        FieldType::Date => " (YYYY-MM-DD or RFC 3339, of the years 1678 to 2261)",
                        _ => "",
                    };
                    format!(
                        "field `{path}` is {}, which does not fit its type, {given}{range}",
                        shown(value)
                    )
                })?;
                self.met(path);
            }
            Some(FieldRule::Seen(seen)) if *seen != kind => {
                let said = if self.sent {
                    format!("in `fields` as {{\"{path}\": TYPE}}, when the collection is made;")
                } else {
                    format!("with --field {path}:TYPE when the index is built;")
                };
                return Err(format!(
                    "field `{path}` is {kind} here, {}, and {seen} in documents before; say what it is \
                     {said} TYPE is keyword, integer, float, date, bool, or any for values as they come",
                    shown(value)
                ));
            }
            Some(FieldRule::Seen(_)) => {}
            None if self.rules.len() < MOST_PATHS => {
                self.rules.insert(path.clone(), FieldRule::Seen(kind));
                self.new.insert(path.clone(), FieldRule::Seen(kind));
            }
            None => return Err(too_many(path, self.sent)),
        }
        match value {
            Value::Object(fields) => self.object(fields, path),
            _ => Ok(()),
        }
    }

    /// Counts the paths inside a value of type `any`.
    fn count(&mut self, value: &Value, path: &mut String) -> Result<(), String> {
        match value {
            Value::Array(values) => values.iter().try_for_each(|value| self.count(value, path)),
            Value::Object(fields) => {
                let length = path.len();
                for (name, value) in fields {
                    path.push('.');
                    path.push_str(name);
                    if !self.within_any.contains(path.as_str()) {
                        if self.within_any.len() >= MOST_PATHS {
                            return Err(too_many(path, self.sent));
                        }
                        self.within_any.insert(path.clone());
                        if self.sent {
                            self.new_within_any.push(path.clone());
                        }
                    }
                    self.count(value, path)?;
                    path.truncate(length);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn met(&mut self, path: &str) {
        if let Some((path, rule)) = self.unmet.remove_entry(path) {
            self.new.insert(path, rule);
        }
    }
}

fn too_many(path: &str, sent: bool) -> String {
    let whole = path.split('.').next().unwrap_or(path);
    let stored = match sent {
        true => {
            format!("\"fields\": {{\"{whole}\": \"stored\"}}, given when the collection is made,")
        }
        false => format!("--field {whole}:stored"),
    };
    format!(
        "field `{path}` exceeds the limit of {MOST_PATHS} fields, counting those inside objects: each \
         becomes a column to filter by. {stored} keeps `{whole}` without columns"
    )
}

/// The rules of an index joined with those given for added documents. A path keeps its type.
pub(crate) fn joined(index: &FieldRules, given: &FieldRules) -> Result<FieldRules, BuildError> {
    let mut rules = index.clone();
    for (path, rule) in given {
        match rules.get(path) {
            Some(has) if has != rule => {
                return Err(BuildError::Param {
                    name: "field",
                    found: format!("{path}:{rule}; in the index it is {has}"),
                    expected: "the type that the field has; for another type, build the index again",
                });
            }
            _ => {
                rules.insert(path.clone(), *rule);
            }
        }
    }
    Ok(rules)
}

/// The value converted to the type, or `None` if it does not fit.
fn convert(value: &Value, given: FieldType) -> Option<Value> {
    match (given, value) {
        (FieldType::Any | FieldType::Stored, any) => Some(any.clone()),
        (FieldType::Keyword, Value::String(_)) => Some(value.clone()),
        (FieldType::Keyword, Value::Number(_) | Value::Bool(_)) => {
            Some(Value::String(value.to_string()))
        }
        (FieldType::Integer, Value::Number(number)) if number.is_f64() => integer(number.as_f64()?),
        (FieldType::Integer, Value::Number(_)) => Some(value.clone()),
        (FieldType::Integer, Value::String(text)) => {
            let signed = text.parse::<i64>().map(Value::from);
            signed.or_else(|_| text.parse::<u64>().map(Value::from)).ok()
        }
        (FieldType::Float, Value::Number(number)) => float(number.as_f64()?),
        (FieldType::Float, Value::String(text)) => float(text.parse().ok()?),
        (FieldType::Bool, Value::Bool(_)) => Some(value.clone()),
        (FieldType::Bool, Value::String(text)) => text.parse::<bool>().ok().map(Value::from),
        (FieldType::Date, Value::String(text)) => date(text),
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "whole, and within 2^53")]
fn integer(number: f64) -> Option<Value> {
    let whole = number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0;
    whole.then(|| Value::from(number as i64))
}

fn float(number: f64) -> Option<Value> {
    number.is_finite().then(|| Value::from(number))
}

fn date(text: &str) -> Option<Value> {
    let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let parsed = OffsetDateTime::parse(&full, &Rfc3339).ok()?;
    // Outside its range, tantivy would index the date as text.
    tantivy::DateTime::try_from_utc(parsed.to_offset(tantivy::time::UtcOffset::UTC))?;
    Some(Value::String(full))
}

/// The value as JSON, cut after 60 characters.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{} and more", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    fn document(fields: Value) -> Document {
        let Value::Object(fields) = fields else { unreachable!() };
        Document { id: "d".into(), line: 7, fields, ..Document::default() }
    }

    fn given(rules: &[(&str, FieldType)]) -> FieldRules {
        rules.iter().map(|(path, t)| ((*path).to_owned(), FieldRule::Given(*t))).collect()
    }

    #[test]
    fn values_are_converted_to_their_type_or_refused() {
        use FieldType::{Any, Bool, Date, Float, Integer, Keyword};
        let no = Value::Null;
        for (given, value, want) in [
            (Keyword, json!("1998"), json!("1998")),
            (Keyword, json!(1998), json!("1998")),
            (Keyword, json!(true), json!("true")),
            (Keyword, json!({}), no.clone()),
            (Integer, json!("1998"), json!(1998)),
            (Integer, json!(-3.0), json!(-3)),
            (Integer, json!(3.5), no.clone()),
            (Integer, json!(1e300), no.clone()),
            (Integer, json!(u64::MAX), json!(u64::MAX)),
            (Integer, json!("1.0"), no.clone()),
            (Integer, json!(true), no.clone()),
            (Float, json!(3), json!(3.0)),
            (Float, json!("2.5"), json!(2.5)),
            (Float, json!("inf"), no.clone()),
            (Float, json!("x"), no.clone()),
            (Date, json!("2020-01-31"), json!("2020-01-31T00:00:00Z")),
            (Date, json!("2020-01-31T10:00:00+01:00"), json!("2020-01-31T10:00:00+01:00")),
            (Date, json!("2020-02-31"), no.clone()),
            (Date, json!("9999-01-01"), no.clone()),
            (Date, json!(2020), no.clone()),
            (Bool, json!("true"), json!(true)),
            (Bool, json!(1), no.clone()),
            (Any, json!({"a": [1]}), json!({"a": [1]})),
        ] {
            let found = convert(&value, given).unwrap_or(Value::Null);
            assert_eq!(found, want, "{given} of {value}");
        }
    }

    #[test]
    fn fields_keep_the_type_given_or_first_seen() {
        let rules = given(&[("year", FieldType::Integer), ("place.zip", FieldType::Keyword)]);
        let mut fields = Fields::new(&rules);
        let mut first = document(json!({
            "year": ["1998", 1999], "topic": "ice", "none": null, "place": {"zip": 150, "open": true}
        }));
        fields.apply(&mut first).unwrap();
        assert_eq!(
            Value::Object(first.fields),
            json!({"year": [1998, 1999], "topic": "ice", "none": null, "place": {"zip": "150", "open": true}})
        );
        let new = fields.of_shard();
        assert_eq!(new["year"], FieldRule::Given(FieldType::Integer));
        assert_eq!(new["topic"], FieldRule::Seen(JsonKind::String));
        assert_eq!(new["place.open"], FieldRule::Seen(JsonKind::Boolean));
        assert_eq!(new.len(), 5, "{new:?}");
        assert!(fields.of_shard().is_empty());
        // A resumed build knows the rules of the finished shards.
        let mut resumed = Fields::new(&rules);
        resumed.take(&new);
        for fields in [&mut fields, &mut resumed] {
            for (bad, want) in [
                (
                    json!({"year": "x"}),
                    "line 7, document `d`: field `year` is \"x\", which does not fit",
                ),
                (
                    json!({"topic": 3}),
                    "field `topic` is a number here, 3, and a string in documents",
                ),
                (json!({"topic": ["a", 3]}), "--field topic:TYPE"),
                (json!({"place": {"open": "x"}}), "field `place.open` is a string here"),
                (json!({"place": "x"}), "field `place` is a string here"),
            ] {
                let error = fields.apply(&mut document(bad)).unwrap_err().to_string();
                assert!(error.contains(want), "{error}");
            }
        }
        let other = given(&[("topic", FieldType::Keyword)]);
        let mut all = rules;
        all.extend(new);
        let error = joined(&all, &other).unwrap_err().to_string();
        assert!(
            error.contains("topic:keyword; in the index it is a string, as first seen"),
            "{error}"
        );
        assert_eq!(joined(&all, &given(&[("year", FieldType::Integer)])).unwrap(), all);
    }

    /// A document that is refused decides nothing for those after it.
    #[test]
    fn a_refused_document_leaves_no_trace() {
        let rules = given(&[("a", FieldType::Any), ("year", FieldType::Integer)]);
        let mut check = FieldCheck(Fields { sent: true, ..Fields::new(&rules) });
        let many: Map<String, Value> =
            (0..MOST_PATHS + 1).map(|n| (format!("k{n}"), json!(1))).collect();
        for (fields, fits) in [
            (json!({"a": 1, "b": 1, "year": "x"}), false),
            (json!({"a": 1, "b": "s"}), true),
            (json!({"a": "s"}), true),
            (json!({"a": many}), false),
            (json!({"a": {"k": 1}}), true),
        ] {
            let mut document = document(fields);
            let result = check.apply(&mut document);
            assert_eq!(result.is_ok(), fits, "{document:?}: {result:?}");
        }
    }

    /// An object whose keys are data must not create a column per key.
    #[test]
    fn columns_to_filter_by_are_bounded() {
        let keyed = |from: usize| {
            let keys = (from..from + 100).map(|n| (format!("k{n}"), json!(1)));
            document(json!({"weights": Value::Object(keys.collect())}))
        };
        for rule in [None, Some(FieldType::Any)] {
            let rules: Vec<_> = rule.map(|rule| ("weights", rule)).into_iter().collect();
            let mut fields = Fields::new(&given(&rules));
            let mut refused = None;
            for from in (0..MOST_PATHS + 200).step_by(100) {
                if let Err(error) = fields.apply(&mut keyed(from)) {
                    refused = Some(error.to_string());
                    break;
                }
            }
            let said = refused.unwrap();
            assert!(
                said.contains("--field weights:stored") && said.contains("field `weights.k"),
                "{said}"
            );
        }
        let mut fields = Fields::new(&given(&[("weights", FieldType::Stored)]));
        for from in (0..MOST_PATHS + 200).step_by(100) {
            fields.apply(&mut keyed(from)).unwrap();
        }
    }
}
