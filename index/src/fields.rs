//! Types of the documents' other fields, by path: `year`, or `place.city` within an object.
//!
//! A type is given by the user, or it is the JSON kind of the first value. The manifest has both, and
//! documents that are added later must conform.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A type that was given for a field: its values are converted, or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// Whole strings, compared with case, also where they look like dates; numbers and booleans become
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
    /// Any value, of any kind.
    Any,
    /// Any value; stored and returned with the document, but not indexed for filters.
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
            format!("`{name}` is not a type of field; the types are {}", names.join(", "))
        })
    }
}

/// Kinds of JSON values. A list has the kind of its values; null counts as absent.
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
            Self::Seen(kind) => write!(f, "{kind}, as first seen"),
        }
    }
}

/// Rules by path.
pub type FieldRules = BTreeMap<String, FieldRule>;
