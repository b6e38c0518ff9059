//! A build divided by hand among machines.
//!
//! Each machine reads the whole input, which is cheap, and cuts it into the same shards (spool files) as a
//! build on one machine. It encodes and keeps only every n-th of them, since encoding is the expensive
//! step. The result, a share, is a folder of these shards with unquantised weights and a record
//! (`record.rs`, written last). Joining (`join.rs`) seals the shards of all folders in the order of the
//! input, as a build does. The index is therefore the one that a single machine would make: term ids,
//! quantisation, clusters and repeated ids are decided over the whole collection.

mod join;
mod make;
mod record;

use std::fmt;
use std::str::FromStr;

use quarry_vectors::{Document, InputVector};
use xxhash_rust::xxh3::Xxh3;

pub use join::{JoinOptions, join};
pub use make::{ShareReport, build_share};
pub use record::is_share;

/// One of several machines' shares of a build: written `2/3`, counted from 1.
///
/// The batches of documents that the input is cut into belong to the shares in turn: batch r, counted
/// from 0, belongs to share r mod n + 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    number: usize,
    of: usize,
}

/// Most shares of a build.
const MOST: usize = 10_000;

impl Share {
    /// Share `number` of `of`; `None` unless 1 <= `number` <= `of` <= 10,000.
    #[must_use]
    pub fn new(number: usize, of: usize) -> Option<Self> {
        ((1..=of).contains(&number) && of <= MOST).then_some(Self { number, of })
    }

    /// Its number, from 1.
    #[must_use]
    pub fn number(self) -> usize {
        self.number
    }

    /// The number of shares.
    #[must_use]
    pub fn of(self) -> usize {
        self.of
    }

    /// Whether batch `run` of the input, counted from 0, belongs to it.
    #[must_use]
    pub fn owns(self, run: usize) -> bool {
        run % self.of == self.number - 1
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(number, of)| {
            Self::new(number.trim().parse().ok()?, of.trim().parse().ok()?)
        });
        parsed.ok_or_else(|| {
            format!("`{text}` is not a shard such as 2/3: expected 1/N to N/N, N at most {MOST}")
        })
    }
}

/// Adds a document to the hash of all documents.
pub(crate) fn take_into(digest: &mut Xxh3, document: &Document) {
    let mut text = |text: &str| {
        digest.update(&(text.len() as u64).to_le_bytes());
        digest.update(text.as_bytes());
    };
    for part in [&document.id, &document.title, &document.text] {
        text(part);
    }
    // A map of JSON values can always be serialised; if it could not, sealing would report it.
    text(&serde_json::to_string(&document.fields).unwrap_or_default());
    match &document.vector {
        None => text("none"),
        Some(InputVector::Terms(vector)) => {
            text("terms");
            digest.update(bytemuck::cast_slice(vector.terms()));
            digest.update(bytemuck::cast_slice(vector.weights()));
        }
        Some(InputVector::Tokens(tokens)) => {
            text("tokens");
            for (token, weight) in tokens {
                digest.update(&(token.len() as u64).to_le_bytes());
                digest.update(token.as_bytes());
                digest.update(&weight.to_bits().to_le_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_parsed_and_own_every_batch_once() {
        for text in ["1/1", "2/3", "3/3"] {
            assert_eq!(text.parse::<Share>().unwrap().to_string(), text);
        }
        for text in ["0/3", "4/3", "1", "1/0", "a/b", "-1/3", "1/2/3", "1/10001", ""] {
            let error = text.parse::<Share>().unwrap_err();
            assert!(error.contains("2/3"), "{error}");
        }
        for of in 1..6 {
            for run in 0..40 {
                let owners = (1..=of).filter(|n| Share::new(*n, of).unwrap().owns(run)).count();
                assert_eq!(owners, 1);
            }
        }
    }
}
