//! A sparse vector in a JSON record, in the shapes that engines have for it; and fields that look like one.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::json_fields::{Key, once};

/// A vector as it stands there.
#[derive(Debug)]
pub(crate) enum Given {
    Tokens(Vec<(String, f32)>),
    Terms(Vec<(u32, f32)>),
}

/// `{token: weight}` in file order, or `{"indices": [term], "values": [weight]}`.
pub(crate) struct Weights(pub(crate) Given);

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
                let (mut indices, mut values) = (None, None);
                while let Some(Key(token)) = map.next_key()? {
                    let slot = match token.as_ref() {
                        "indices" => &mut indices,
                        "values" => &mut values,
                        _ => {
                            pairs.push((token.into_owned(), map.next_value()?));
                            continue;
                        }
                    };
                    // These may be tokens as well.
                    match map.next_value()? {
                        list @ Value::Array(_) => once(slot, "indices or values", list)?,
                        weight => pairs.push((token.into_owned(), number(weight)?)),
                    }
                }
                let given = match (indices, values) {
                    (None, None) => Given::Tokens(pairs),
                    (Some(indices), Some(values)) if pairs.is_empty() => {
                        Given::Terms(numbered(indices, values)?)
                    }
                    _ => {
                        let what =
                            "a vector by number has `indices` and `values`, and nothing else";
                        return Err(de::Error::custom(what));
                    }
                };
                Ok(Weights(given))
            }
        }
        deserializer.deserialize_map(WeightsVisitor)
    }
}

fn number<T: serde::de::DeserializeOwned, E: de::Error>(value: Value) -> Result<T, E> {
    serde_json::from_value(value).map_err(|e| E::custom(e.to_string()))
}

fn numbered<E: de::Error>(indices: Value, values: Value) -> Result<Vec<(u32, f32)>, E> {
    let (terms, weights): (Vec<u32>, Vec<f32>) = (number(indices)?, number(values)?);
    if terms.len() != weights.len() {
        let what = format!("{} `indices` for {} `values`", terms.len(), weights.len());
        return Err(E::custom(what));
    }
    Ok(terms.into_iter().zip(weights).collect())
}

/// How many numbers an object has that is taken for a vector whatever its name.
const MANY: usize = 16;
/// Objects within objects that are looked at.
const DEPTH: u32 = 4;
/// Names of lists and fields that name terms, and of those that weigh them.
const TERMS: [&str; 7] = ["indices", "index", "tokens", "token", "token_ids", "term", "terms"];
const WEIGHTS: [&str; 6] = ["values", "value", "weights", "weight", "scores", "score"];

/// What makes a field look like a sparse vector, whatever engine it is of: lists of terms and weights,
/// pairs, or an object of numbers that are many, or whose name says so; of a query any object of numbers
/// but its metadata. It may lie within other fields, or be JSON in a string.
pub(crate) fn vector_like(name: &str, value: &Value, of_query: bool) -> Option<String> {
    let inner: Value;
    let value = match value {
        Value::String(text) if text.starts_with('{') => {
            inner = serde_json::from_str(text).ok()?;
            &inner
        }
        value => value,
    };
    looks(name, value, of_query, DEPTH)
}

/// The same of the fields of a whole record: lists of terms and weights side by side.
pub(crate) fn lists_of(fields: &serde_json::Map<String, Value>) -> Option<String> {
    fn listed<'a>(
        fields: &serde_json::Map<String, Value>,
        names: &'a [&'a str],
    ) -> Option<&'a str> {
        let list = |name: &&&str| fields.get(**name).and_then(Value::as_array);
        names.iter().find(|name| list(name).is_some_and(|list| !list.is_empty())).copied()
    }
    let (terms, weights) = (listed(fields, &TERMS)?, listed(fields, &WEIGHTS)?);
    let len = |name: &str| fields.get(name).and_then(Value::as_array).map(Vec::len);
    let all = |name: &str, is: fn(&Value) -> bool| {
        fields.get(name).and_then(Value::as_array).is_some_and(|list| list.iter().all(is))
    };
    let named = terms.starts_with("token") || terms.starts_with("term");
    let numbers = all(weights, Value::is_number) && (named || all(terms, Value::is_u64));
    (numbers && len(terms) == len(weights)).then(|| format!("`{terms}` and `{weights}`"))
}

fn looks(name: &str, value: &Value, of_query: bool, depth: u32) -> Option<String> {
    if let Value::Array(list) = value {
        return pairs(list).or_else(|| {
            list.first().filter(|_| depth > 0).and_then(|v| looks(name, v, false, depth - 1))
        });
    }
    let Value::Object(object) = value else { return None };
    if let Some(lists) = lists_of(object).filter(|_| object.len() == 2) {
        return Some(lists);
    }
    let lower = name.to_ascii_lowercase();
    let named = ["vector", "embedding", "sparse", "splade"].iter().any(|word| lower.contains(word));
    let short = ["sv", "vec", "emb"].contains(&lower.as_str());
    let of_query = of_query && !METADATA.contains(&lower.as_str());
    let few = named || short || of_query || is_weighted(object);
    let least = if few { 1 } else { MANY };
    // Elsewhere digits in a string are an id or a year.
    let counts = if named || short { is_number } else { Value::is_number };
    let numbers = object.values().filter(|value| counts(value)).count();
    // A single other value among many weights is a mistake in a vector.
    if numbers >= least
        && (numbers == object.len() || (numbers >= MANY && numbers * 10 >= object.len() * 9))
    {
        return Some(format!("an object of {numbers} numbers"));
    }
    let within = object.iter().filter(|_| depth > 0);
    let mut within = within.filter_map(|(key, value)| {
        let shape = looks(key, value, false, depth - 1)?;
        Some(format!("within it `{key}`, {shape}"))
    });
    within.next()
}

/// A number, also in a string.
fn is_number(value: &Value) -> bool {
    value.is_number()
        || value.as_str().is_some_and(|text| text.parse::<f32>().is_ok_and(f32::is_finite))
}

/// A list of terms with their weights.
fn pairs(list: &[Value]) -> Option<String> {
    let pair = |value: &Value| match value {
        Value::Array(pair) => match pair.as_slice() {
            [term, weight] => (term.is_string() || term.is_u64()) && weight.is_f64(),
            _ => false,
        },
        Value::Object(object) => {
            object.len() == 2
                && TERMS.iter().any(|name| object.contains_key(*name))
                && WEIGHTS.iter().any(|name| object.get(*name).is_some_and(Value::is_number))
        }
        _ => false,
    };
    (!list.is_empty() && list.iter().all(pair))
        .then(|| format!("{} pairs of a term and a weight", list.len()))
}

/// Fields that query sets keep numbers in.
const METADATA: [&str; 4] = ["metadata", "meta", "info", "extra"];
/// Fewest tokens of a vector whose fractions are taken for weights.
const WEIGHTED: usize = 4;
/// Names of measures, places and shares, which are not tokens of a text.
const MEASURES: [&str; 14] = [
    "lat",
    "lon",
    "lng",
    "latitude",
    "longitude",
    "width",
    "height",
    "depth",
    "length",
    "x",
    "y",
    "z",
    "min",
    "max",
];

/// Whether an object is one of words with fractions, such as `{"sea": 1.25, "salt": 0.5, ...}`.
fn is_weighted(object: &serde_json::Map<String, Value>) -> bool {
    let fraction = |value: &Value| value.as_f64().is_some_and(|v| v > 0.0 && v.fract() != 0.0);
    object.len() >= WEIGHTED
        && object.values().filter(|value| fraction(value)).count() * 2 > object.len()
        && !object.keys().any(|key| MEASURES.contains(&key.to_ascii_lowercase().as_str()))
}
