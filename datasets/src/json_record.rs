//! One JSON object a line: text records, sparse vectors, or both.
//!
//! The object is read straight into a document, without a tree in between: keys are borrowed,
//! the vector goes into its list as it comes, and only fields that are none of ours become
//! [`Value`]s. Ids are `_id`, else `id`; the text is `text`, else `contents`, else `content`; what
//! loses stays a field.

use std::fmt;
use std::path::PathBuf;

use quarry_vectors::{Document, InputVector, Query, SparseVector};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::DatasetError;
use crate::json_fields::{Key, once};
use crate::json_vector::{Given, Weights, lists_of, vector_like};
use crate::lines::Line;
use crate::seismic_bin::refuse;

/// What is taken from where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    /// Divides the weights.
    pub(crate) scale: Option<f32>,
    /// The field that holds the vector, where it is not `vector`.
    pub(crate) vector_field: Option<&'a str>,
    /// Fields that stay fields, whatever they look like.
    pub(crate) kept: &'a [String],
}

/// Reads a line as a document.
pub(crate) fn document(line: Line<'_>, rules: Rules<'_>) -> Result<Document, DatasetError> {
    let (document, has_text, has_title) = read(line, rules, Of::Documents)?;
    if !has_text && !has_title && document.vector.is_none() {
        let reason =
            "the record has no \"text\", \"contents\", \"content\", \"title\" or \"vector\"";
        return Err(lacks(line, reason));
    }
    Ok(document)
}

/// Reads a line as a query: text or vector, or both. The text may be empty.
pub(crate) fn query(line: Line<'_>, rules: Rules<'_>) -> Result<Query, DatasetError> {
    let (Document { id, text, vector, .. }, has_text, _) = read(line, rules, Of::Queries)?;
    if !has_text && vector.is_none() {
        return Err(lacks(line, "the query has neither \"text\" nor \"vector\""));
    }
    Ok(Query { id, text, vector })
}

/// Reads a document that a program sent; messages name no options of commands.
pub(crate) fn sent_document(line: Line<'_>, rules: Rules<'_>) -> Result<Document, DatasetError> {
    let (document, has_text, has_title) = read(line, rules, Of::Sent)?;
    // Where both are there, `id` is a field.
    if document.fields.contains_key("id") {
        let reason = "the document has both \"id\" and \"_id\"; give one of them, and another name to what is no id";
        return Err(lacks(line, reason));
    }
    if !has_text && !has_title && document.vector.is_none() {
        let reason = "the document has no \"text\", \"title\" or \"vector\"";
        return Err(lacks(line, reason));
    }
    Ok(document)
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Documents,
    /// Documents that a program sent.
    Sent,
    Queries,
}

/// Reads a line, and whether it has a text and a title, be they empty.
fn read(line: Line<'_>, rules: Rules<'_>, of: Of) -> Result<(Document, bool, bool), DatasetError> {
    let record = parse(line, rules)?;
    let Some(id) = record.id else {
        let bulk = ["index", "create"].iter().any(|name| record.fields.contains_key(*name));
        let hint = "; a line of Elasticsearch's bulk format? Give the lines of documents alone";
        let reason = "the record has no \"_id\" and no \"id\"";
        return Err(lacks(line, &format!("{reason}{}", if bulk { hint } else { "" })));
    };
    if id.is_empty() {
        return Err(DatasetError::EmptyId { path: line.path.to_owned(), at: line.at() });
    }
    if let Some(shape) = lists_of(&record.fields).filter(|_| record.vector.is_none()) {
        let reason = format!(
            "the record looks like a sparse vector ({shape}) without a field around it: give it as \
             \"vector\": {{\"indices\": [...], \"values\": [...]}} or {{TOKEN: WEIGHT, ...}}"
        );
        return Err(lacks(line, &reason));
    }
    for (name, value) in &record.fields {
        let shape = vector_like(name, value, of == Of::Queries);
        if let Some(shape) = shape.filter(|_| !rules.kept.contains(name)) {
            let hint = match of {
                Of::Documents => format!(
                    "--field {name}:stored keeps it as it is, --field {name}:any to filter by as well; where \
                     a command has neither option, leave it out of the file"
                ),
                Of::Queries => "leave it out to search with the text".to_owned(),
                Of::Sent => format!(
                    "\"fields\": {{\"{name}\": \"stored\"}}, given when the collection is made, keeps it as a \
                     field"
                ),
            };
            let vector = match of {
                Of::Sent => "call it `vector` if it is the document's".to_owned(),
                _ => format!("--vector-field {name} takes it for the vector"),
            };
            let reason = format!(
                "field `{name}` looks like a sparse vector ({shape}): {vector}, where it is \
                 {{TOKEN: WEIGHT, ...}} or indices and values; {hint}"
            );
            return Err(lacks(line, &reason));
        }
    }
    let vector = match (record.vector, rules.vector_field) {
        (Some(Given::Tokens(pairs)), _) => {
            Some(InputVector::Tokens(weights(line, pairs, rules.scale)?))
        }
        (Some(Given::Terms(pairs)), _) => {
            Some(InputVector::Terms(terms(line, pairs, rules.scale)?))
        }
        (None, Some(name)) => {
            return Err(lacks(line, &format!("the record has no field `{name}`, its vector")));
        }
        (None, None) => None,
    };
    let (has_text, has_title) = (record.text.is_some(), record.title.is_some());
    let document = Document {
        id,
        title: record.title.unwrap_or_default(),
        text: record.text.unwrap_or_default(),
        fields: record.fields,
        vector,
        numbered: false,
        line: line.number,
    };
    Ok((document, has_text, has_title))
}

/// A vector by term number.
fn terms(
    line: Line<'_>,
    pairs: Vec<(u32, f32)>,
    scale: Option<f32>,
) -> Result<SparseVector, DatasetError> {
    let scaled =
        pairs.into_iter().map(|(term, weight)| (term, scale.map_or(weight, |s| weight / s)));
    SparseVector::from_pairs(scaled).map_err(|e| refuse(line.path, line.at(), &e))
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

fn parse(line: Line<'_>, rules: Rules<'_>) -> Result<Record, DatasetError> {
    let seed = RecordSeed { vector: rules.vector_field.unwrap_or("vector") };
    let mut json = serde_json::Deserializer::from_str(line.text);
    let record = seed.deserialize(&mut json).and_then(|record| json.end().map(|()| record));
    record.map_err(|e| {
        let mut reason = e.to_string();
        // The library counts lines within the one line it was given.
        if let Some(end) = reason.rfind(" at line 1 column ") {
            reason.truncate(end);
        }
        if e.is_eof() {
            reason.push_str(
                "; the line ends within its record: the file is cut, or a record has several lines",
            );
        } else if reason.starts_with("expected value")
            && ["NaN", "Infinity"].iter().any(|word| line.text.contains(word))
        {
            reason.push_str("; NaN and Infinity are not numbers in JSON");
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
    vector: Option<Given>,
    fields: Map<String, Value>,
}

/// A record whose vector is the field of this name.
struct RecordSeed<'a> {
    vector: &'a str,
}

impl<'de> DeserializeSeed<'de> for RecordSeed<'_> {
    type Value = Record;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Record, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RecordSeed<'_> {
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
                name if name == self.vector => {
                    let vector: Option<Weights> = map.next_value()?;
                    if let Some(Weights(given)) = vector
                        && record.vector.replace(given).is_some()
                    {
                        return Err(de::Error::custom(format!("duplicate field `{name}`")));
                    }
                }
                "_id" => once(&mut own_id, "_id", map.next_value()?)?,
                "id" => once(&mut plain_id, "id", map.next_value()?)?,
                "title" => once(&mut record.title, "title", map.next_value::<Text>()?.0)?,
                "text" => once(&mut texts[0].1, "text", map.next_value()?)?,
                "contents" => once(&mut texts[1].1, "contents", map.next_value()?)?,
                "content" => once(&mut texts[2].1, "content", map.next_value()?)?,
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

/// A title: a string; `null` counts as the empty one.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TitleVisitor;
        impl Visitor<'_> for TitleVisitor {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a title that is a string or null")
            }
            fn visit_str<E>(self, v: &str) -> Result<Text, E> {
                Ok(Text(v.to_owned()))
            }
            fn visit_unit<E>(self) -> Result<Text, E> {
                Ok(Text(String::new()))
            }
        }
        deserializer.deserialize_any(TitleVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const RULES: Rules<'_> = Rules { scale: None, vector_field: None, kept: &[] };

    fn read(text: &str) -> Result<Document, DatasetError> {
        document(Line { path: Path::new("f"), number: 7, text }, RULES)
    }

    fn tokens(text: &str, scale: Option<f32>) -> Vec<(String, f32)> {
        let line = Line { path: Path::new("f"), number: 7, text };
        match document(line, Rules { scale, ..RULES }).unwrap().vector {
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
            (
                r#"{"id":"x","vector":{"a":NaN}}"#,
                "expected value; NaN and Infinity are not numbers",
            ),
            (r#"{"id":"x","title":1984,"text":""}"#, "expected a title that is a string"),
            (r#"{"index":{"_index":"x","_id":"1"}}"#, "bulk format"),
            (r#"{"id":"x","text":"#, "the line ends within its record"),
            (r#"{"id":"x","vector":{"indices":[1],"values":[1,2]}}"#, "1 `indices` for 2 `values`"),
            (r#"{"id":"x","vector":{"indices":[1]}}"#, "has `indices` and `values`"),
            (r#"{"id":"x","vector":{"indices":[-1],"values":[1]}}"#, "expected u32"),
            (r#"{"id":"x","vector":{"indices":[1],"values":[-1]}}"#, "weight -1 of \"1\""),
            (r#"{"id":"x","vector":{"indices":[1],"values":[1],"a":2}}"#, "and nothing else"),
            (r#"{"id":"x","vector":{"a":"1"}}"#, "invalid type: string"),
            (r#"{"id":"x","text":"y"} z"#, "trailing characters"),
            (r#"[1]"#, "expected a JSON object"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(want), "{text}: {message}");
        }
        // Tokens of these names are tokens.
        assert_eq!(tokens(r#"{"id":1,"vector":{"indices":2,"a":1}}"#, None).len(), 2);
        let deep = format!("{{\"id\":\"x\",\"text\":\"\",\"f\":{}", "[".repeat(100_000));
        assert!(read(&deep).unwrap_err().to_string().contains("recursion limit"));
    }

    #[test]
    fn vectors_under_other_names() {
        fn line(text: &str) -> Line<'_> {
            Line { path: Path::new("f"), number: 7, text }
        }
        let named = Rules { vector_field: Some("sv"), ..RULES };
        let d = document(line(r#"{"id":1,"text":"t","sv":{"a":2}}"#), named).unwrap();
        assert_eq!(d.vector, Some(InputVector::Tokens(vec![("a".into(), 2.0)])));
        let d = document(line(r#"{"id":1,"sv":{"indices":[5,3],"values":[0.5,0.25]}}"#), named);
        let by_number = SparseVector::new(vec![3, 5], vec![0.25, 0.5]).unwrap();
        assert_eq!(d.unwrap().vector, Some(InputVector::Terms(by_number)));
        let q = query(line(r#"{"id":1,"sv":{"a":2}}"#), named).unwrap();
        assert_eq!(q.vector, Some(InputVector::Tokens(vec![("a".into(), 2.0)])));
        let error = document(line(r#"{"id":1,"text":"t"}"#), named).unwrap_err().to_string();
        assert!(error.contains("has no field `sv`"), "{error}");

        let many: Vec<String> = (0..16).map(|n| format!("\"t{n}\":1.5")).collect();
        let many = many.join(",");
        for (field, value) in [
            ("sparse_vector", r#"{"5":0.5,"3":0.25}"#),
            ("passage_embedding", r#"{"granite":2.5}"#),
            ("sv", r#"{"granite":2}"#),
            ("meta", r#"{"year":1,"sv":{"granite":2}}"#),
            ("vectors", r#"{"text":{"indices":[5],"values":[0.5]}}"#),
            ("chunks", r#"[{"text":"t","sparse_encoding":{"5":0.5}}]"#),
            ("s", r#"{"tokens":["a","b"],"weights":[0.5,1]}"#),
            ("s", r#"[{"token":"a","weight":0.5}]"#),
            ("s", r#"[["a",0.5],["b",1.5]]"#),
            ("sparse_vector", r#""{\"5\":0.5}""#),
            ("sparse_vector", r#"{"5":"0.5","3":"0.25"}"#),
            ("terms", r#"{"salt":1.5,"sea":0.25,"water":0.5,"tide":1}"#),
            ("x", r#"{"indices":[5],"values":[0.5]}"#),
            ("x", &format!("{{{many}}}")),
        ] {
            let text = format!(r#"{{"id":"x","text":"t","{field}":{value}}}"#);
            for error in [read(&text).map(drop), query(line(&text), RULES).map(drop)] {
                let error = error.unwrap_err().to_string();
                assert!(error.contains(&format!("--vector-field {field}")), "{error}");
            }
            let kept = [field.to_owned()];
            let kept = Rules { kept: &kept, ..RULES };
            assert!(document(line(&text), kept).unwrap().fields.contains_key(field));
        }
        let text = r#"{"id":"x","text":"t","sv":{"salt":1,"sea":2}}"#;
        assert!(query(line(text), RULES).unwrap_err().to_string().contains("--vector-field sv"));
        // What query sets have besides.
        for more in [
            r#""metadata":{"year":2019}"#,
            r#""metadata":{"pid":"42"}"#,
            r#""source":{"pid":"42"}"#,
            r#""metadata":{"117":[{"sentences":[0,1],"label":"SUPPORT"}]}"#,
        ] {
            query(line(&format!(r#"{{"id":"x","text":"t",{more}}}"#)), RULES).unwrap();
        }
        for (field, value) in [
            ("place", r#"{"lat":1.5,"lon":2}"#),
            ("size", r#"{"width":1.5,"height":2.5,"depth":0.5,"weight":3.5}"#),
            ("votes", r#"{"yes":15,"no":2,"none":7,"late":1}"#),
            ("embedding_model", r#"{"name":"x","dims":3}"#),
            ("vector_notes", r#"{}"#),
            ("authors", r#"[["a", 1], ["b", 2]]"#),
            ("tags", r#"[{"name":"a","weight":1}]"#),
            ("note", r#""{not json""#),
            ("indices", r#"{"indices":["a"],"values":[1]}"#),
        ] {
            read(&format!(r#"{{"id":"x","text":"t","{field}":{value}}}"#)).unwrap();
        }
    }

    #[test]
    fn queries_may_be_empty() {
        let line = |text| Line { path: Path::new("f"), number: 7, text };
        assert_eq!(query(line(r#"{"id":1,"text":""}"#), RULES).unwrap().text, "");
        assert!(query(line(r#"{"id":1}"#), RULES).is_err());
        assert!(query(line(r#"{"id":1,"title":"t"}"#), RULES).is_err());
    }
}
