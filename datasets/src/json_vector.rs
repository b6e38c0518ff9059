//! A sparse vector in a JSON record, in the shapes that engines have for it; and fields that look like one.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::json_record::{Key, once};

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

/// What makes a field look like a sparse vector: `indices` and `values`, or an object of numbers that are
/// many, or whose name says so.
pub(crate) fn vector_like(name: &str, value: &Value) -> Option<String> {
    let Value::Object(object) = value else { return None };
    let numbers = |value: &Value| value.as_array().is_some_and(|a| a.iter().all(Value::is_number));
    if object.len() == 2
        && ["indices", "values"].iter().all(|name| object.get(*name).is_some_and(numbers))
    {
        return Some("`indices` and `values`".to_owned());
    }
    let lower = name.to_ascii_lowercase();
    let named = ["vector", "embedding", "sparse", "splade"].iter().any(|word| lower.contains(word));
    let many = object.len() >= MANY || (named && !object.is_empty());
    (many && object.values().all(Value::is_number))
        .then(|| format!("an object of {} numbers", object.len()))
}
