//! One JSON object a line: text records, sparse vectors, or both.
//!
//! The object is read straight into a document, without a tree in between: keys are borrowed,
//! the vector goes into its list as it comes, and only fields that are none of ours become
//! [`Value`]s. Ids are `_id`, else `id`; the text is `text`, else `contents`, else `content`; what
//! loses stays a field.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use quarry_vectors::{Document, InputVector, Query};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::DatasetError;
use crate::lines::Line;

/// Reads a line as a document. `scale` divides the weights.
pub(crate) fn document(line: Line<'_>, scale: Option<f32>) -> Result<Document, DatasetError> {
    let record: Record = parse(line)?;
    let Some(id) = record.id else {
        return Err(lacks(line, "the record has no \"_id\" and no \"id\""));
    };
    if id.is_empty() {
        return Err(DatasetError::EmptyId { path: line.path.to_owned(), at: line.at() });
    }
    if record.text.is_none() && record.title.is_none() && record.vector.is_none() {
        let reason =
            "the record has no \"text\", \"contents\", \"content\", \"title\" or \"vector\"";
        return Err(lacks(line, reason));
    }
    let vector = match record.vector {
        Some(pairs) => Some(InputVector::Tokens(weights(line, pairs, scale)?)),
        None => None,
    };
    Ok(Document {
        id,
        title: record.title.unwrap_or_default(),
        text: record.text.unwrap_or_default(),
        fields: record.fields,
        vector,
        numbered: false,
        line: line.number,
    })
}

/// Reads a line as a query: text or vector, or both.
pub(crate) fn query(line: Line<'_>, scale: Option<f32>) -> Result<Query, DatasetError> {
    let Document { id, text, vector, .. } = document(line, scale)?;
    if text.is_empty() && vector.is_none() {
        return Err(lacks(line, "the query has neither text nor \"vector\""));
    }
    Ok(Query { id, text, vector })
}

/// Checks the weights of one record, divides them and drops zeros.
pub(crate) fn weights(
    line: Line<'_>,
    mut pairs: Vec<(String, f32)>,
    scale: Option<f32>,
) -> Result<Vec<(String, f32)>, DatasetError> {
    for (token, weight) in &mut pairs {
        let found = *weight;
        if let Some(scale) = scale {
            *weight /= scale;
        }
        if !(found >= 0.0 && weight.is_finite()) {
            return Err(DatasetError::Weight {
                path: line.path.to_owned(),
                at: line.at(),
                term: std::mem::take(token),
                found,
            });
        }
    }
    pairs.retain(|(_, weight)| *weight > 0.0);
    Ok(pairs)
}

fn parse<'a, T: Deserialize<'a>>(line: Line<'a>) -> Result<T, DatasetError> {
    serde_json::from_str(line.text).map_err(|e| {
        let mut reason = e.to_string();
        // The library counts lines within the one line it was given.
        if let Some(end) = reason.rfind(" at line 1 column ") {
            reason.truncate(end);
        }
        DatasetError::Json {
            path: PathBuf::from(line.path),
            line: line.number,
            column: e.column(),
            reason,
        }
    })
}

fn lacks(line: Line<'_>, reason: &str) -> DatasetError {
    DatasetError::Json {
        path: line.path.to_owned(),
        line: line.number,
        column: 0,
        reason: reason.to_owned(),
    }
}

#[derive(Debug, Default)]
struct Record {
    id: Option<String>,
    title: Option<String>,
    text: Option<String>,
    vector: Option<Vec<(String, f32)>>,
    fields: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RecordVisitor)
    }
}

struct RecordVisitor;

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = Record;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
        let mut record = Record::default();
        let (mut own_id, mut plain_id) = (None, None);
        let mut texts: [(&'static str, Option<Value>); 3] =
            [("text", None), ("contents", None), ("content", None)];
        while let Some(Key(key)) = map.next_key()? {
            match key.as_ref() {
                "_id" => once(&mut own_id, "_id", map.next_value()?)?,
                "id" => once(&mut plain_id, "id", map.next_value()?)?,
                "title" => once(&mut record.title, "title", map.next_value::<Text>()?.0)?,
                "text" => once(&mut texts[0].1, "text", map.next_value()?)?,
                "contents" => once(&mut texts[1].1, "contents", map.next_value()?)?,
                "content" => once(&mut texts[2].1, "content", map.next_value()?)?,
                "vector" => {
                    let vector: Option<Weights> = map.next_value()?;
                    if let Some(Weights(pairs)) = vector {
                        once(&mut record.vector, "vector", pairs)?;
                    }
                }
                _ => {
                    let value = map.next_value()?;
                    record.fields.insert(key.into_owned(), value);
                }
            }
        }
        record.id = match (own_id, plain_id) {
            (Some(Id(own)), Some(Id(plain))) => {
                record.fields.insert("id".to_owned(), Value::String(plain));
                Some(own)
            }
            (own, plain) => own.or(plain).map(|Id(id)| id),
        };
        for (name, value) in texts {
            match value {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) if record.text.is_none() => record.text = Some(text),
                Some(_) if record.text.is_none() => {
                    return Err(de::Error::custom(format!("field `{name}` is not a string")));
                }
                Some(other) => {
                    record.fields.insert(name.to_owned(), other);
                }
            }
        }
        Ok(record)
    }
}

fn once<T, E: de::Error>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}

/// A key, borrowed from the line unless it contains an escape.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(v)))
            }
            fn visit_str<E>(self, v: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(v.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// An id: a string, or an integer written out.
struct Id(String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;
        impl Visitor<'_> for IdVisitor {
            type Value = Id;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id that is a string or an integer")
            }
            fn visit_str<E>(self, v: &str) -> Result<Id, E> {
                Ok(Id(v.to_owned()))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Id, E> {
                Ok(Id(v.to_string()))
            }
            fn visit_i64<E>(self, v: i64) -> Result<Id, E> {
                Ok(Id(v.to_string()))
            }
        }
        deserializer.deserialize_any(IdVisitor)
    }
}

/// A string; `null` counts as the empty one.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<String>::deserialize(deserializer).map(|t| Self(t.unwrap_or_default()))
    }
}

/// `{token: weight}` in file order.
struct Weights(Vec<(String, f32)>);

impl<'de> Deserialize<'de> for Weights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WeightsVisitor;
        impl<'de> Visitor<'de> for WeightsVisitor {
            type Value = Weights;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a vector that is an object of token and weight")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Weights, A::Error> {
                let mut pairs = Vec::with_capacity(128);
                while let Some(Key(token)) = map.next_key()? {
                    pairs.push((token.into_owned(), map.next_value()?));
                }
                Ok(Weights(pairs))
            }
        }
        deserializer.deserialize_map(WeightsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn read(text: &str) -> Result<Document, DatasetError> {
        document(Line { path: Path::new("f"), number: 7, text }, None)
    }

    fn tokens(text: &str, scale: Option<f32>) -> Vec<(String, f32)> {
        let line = Line { path: Path::new("f"), number: 7, text };
        match document(line, scale).unwrap().vector {
            Some(InputVector::Tokens(t)) => t,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn fields_find_their_places() {
        let d =
            read(r#"{"_id":"a","title":"T","text":"x\ny","url":"u","n":{"b":1,"a":[2]}}"#).unwrap();
        assert_eq!(
            (d.id.as_str(), d.title.as_str(), d.text.as_str(), d.line),
            ("a", "T", "x\ny", 7)
        );
        assert_eq!(Value::Object(d.fields).to_string(), r#"{"url":"u","n":{"b":1,"a":[2]}}"#);
        assert_eq!(d.vector, None);
        let d = read(r#"{"id":-3,"contents":"c","title":null}"#).unwrap();
        assert_eq!((d.id.as_str(), d.title.as_str(), d.text.as_str()), ("-3", "", "c"));
        let d = read(r#"{"id":18446744073709551615,"content":"c","text":"t","_id":"x"}"#).unwrap();
        assert_eq!((d.id.as_str(), d.text.as_str(), d.fields.len()), ("x", "t", 2));
        let d = read(r#"{"id":"k","text":"t","content":{"kept":true}}"#).unwrap();
        assert_eq!(d.fields["content"]["kept"], true);
    }

    #[test]
    fn weights_are_kept_as_they_are() {
        let got =
            tokens(r#"{"id":1,"vector":{"b":2.45,"a":245,"zero":0,"\u00e9":1e-3,"-":-0.0}}"#, None);
        assert_eq!(got, [("b".into(), 2.45), ("a".into(), 245.0), ("é".into(), 1e-3)]);
        let got = tokens(r#"{"id":1,"vector":{"a":245}}"#, Some(100.0));
        assert_eq!(got, [("a".into(), 2.45)]);
        assert_eq!(tokens(r#"{"id":1,"vector":{}}"#, None), []);
    }

    #[test]
    fn a_hundred_thousand_tokens_are_fine() {
        let body: Vec<String> = (0..100_000).map(|i| format!("\"t{i}\":{}", i % 9 + 1)).collect();
        let line = format!("{{\"id\":\"x\",\"vector\":{{{}}}}}", body.join(","));
        assert_eq!(tokens(&line, None).len(), 100_000);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, want) in [
            (r#"{"id":1.5,"text":"x"}"#, "f, line 7, column 9: invalid type: floating point"),
            (r#"{"text":"x"}"#, "no \"_id\""),
            (r#"{"id":"x"}"#, "no \"text\""),
            (r#"{"id":"x","text":4}"#, "field `text` is not a string"),
            (r#"{"id":"x","text":"","text":""}"#, "duplicate field `text`"),
            (r#"{"id":"","text":"x"}"#, "f, line 7: the id is empty"),
            (r#"{"id":"x","vector":[1,2]}"#, "expected a vector that is an object"),
            (r#"{"id":"x","vector":{"a":-1}}"#, "f, line 7: weight -1 of \"a\""),
            (r#"{"id":"x","vector":{"a":1e39}}"#, "f, line 7, column 28: number out of range"),
            (r#"{"id":"x","vector":{"a":NaN}}"#, "expected value"),
            (r#"{"id":"x","vector":{"a":"1"}}"#, "invalid type: string"),
            (r#"{"id":"x","text":"y"} z"#, "trailing characters"),
            (r#"[1]"#, "expected a JSON object"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(want), "{text}: {message}");
        }
        let deep = format!("{{\"id\":\"x\",\"text\":\"\",\"f\":{}", "[".repeat(100_000));
        assert!(read(&deep).unwrap_err().to_string().contains("recursion limit"));
    }
}
