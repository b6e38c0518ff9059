//! Types of the documents' other fields, by path: `year`, or `place.city` within an object.
//!
//! A type is given, or seen: then it is the JSON kind of the first value. Both stand in the manifest,
//! so that what is added later is held to them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A type that was given for a field: its values are brought to it, or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// Whole strings, compared case and all, whatever they look like; numbers and booleans become
    /// what they are written as.
    Keyword,
    /// Whole numbers of 64 bits, also written in strings or as fractions of zero.
    Integer,
    /// Finite numbers, also written in strings.
    Float,
    /// RFC 3339, or a day `YYYY-MM-DD`, which means its midnight UTC; years 1678 to 2261.
    Date,
    /// `true` and `false`, also written in strings.
    Bool,
    /// Values as they come, of any kind.
    Any,
    /// Values as they come, kept with the document and returned, but not to filter by.
    Stored,
}

impl FieldType {
    /// All of them, by name.
    const ALL: [(&'static str, Self); 7] = [
        ("keyword", Self::Keyword),
        ("integer", Self::Integer),
        ("float", Self::Float),
        ("date", Self::Date),
        ("bool", Self::Bool),
        ("any", Self::Any),
        ("stored", Self::Stored),
    ];
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, t)| t == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl FromStr for FieldType {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, t)| *t);
        found.ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
            format!("`{name}` is no type of a field; there are {}", names.join(", "))
        })
    }
}

/// Kinds of JSON values. Lists are of the kind of their values; null is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JsonKind {
    /// A string; one that is RFC 3339 is compared as a date.
    String,
    /// A number, whole or not.
    Number,
    /// `true` or `false`.
    Boolean,
    /// An object; its fields have paths of their own.
    Object,
}

impl fmt::Display for JsonKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "a string",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Object => "an object",
        })
    }
}

/// What the values of a field have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldRule {
    /// Of a type that was given.
    Given(FieldType),
    /// Of the kind that was seen first.
    Seen(JsonKind),
}

impl fmt::Display for FieldRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(given) => given.fmt(f),
            Self::Seen(kind) => write!(f, "{kind}, by looking"),
        }
    }
}

/// Rules by path.
pub type FieldRules = BTreeMap<String, FieldRule>;
