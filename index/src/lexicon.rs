//! The lexicon: token strings and term ids, both ways. One per index; a later generation may only
//! append to it.

use std::path::Path;

use quarry_vectors::TermId;
use serde::{Deserialize, Serialize};

use crate::IndexError;
use crate::container::{Part, PartWriter, Verify, Written};
use crate::strings::{StringTable, StringTableBuilder};

/// Name of the part kind.
pub const KIND: &str = "lexicon";
/// Version written.
pub const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    /// Number of terms; term ids are below it.
    terms: u32,
    /// Whether the terms have names.
    named: bool,
}

/// Writes a lexicon: `tokens` in order of term id, or `None` for `terms` nameless dimensions.
///
/// # Errors
/// When the disk refuses or the tokens outgrow the format.
pub fn write(
    path: &Path,
    terms: u32,
    tokens: Option<&StringTableBuilder>,
) -> Result<Written, IndexError> {
    let mut part = PartWriter::create(path, KIND, VERSION)?;
    part.put_json("meta", &Meta { terms, named: tokens.is_some() })?;
    if let Some(tokens) = tokens {
        tokens.write(&mut part, "token", &tokens.sorted())?;
    }
    part.finish(u64::from(terms))
}

/// An open lexicon.
#[derive(Debug, Clone)]
pub struct Lexicon {
    terms: u32,
    tokens: Option<StringTable>,
}

impl Lexicon {
    /// Opens and validates the file.
    ///
    /// # Errors
    /// As [`Part::open`] and [`StringTable::open`].
    pub fn open(path: &Path, verify: Verify) -> Result<(Self, Part), IndexError> {
        let part = Part::open(path, KIND, 1..VERSION + 1, verify)?;
        let meta: Meta = part.json("meta")?;
        let tokens = if meta.named { Some(StringTable::open(&part, "token")?) } else { None };
        if let Some(tokens) = &tokens
            && tokens.len() as u64 != u64::from(meta.terms)
        {
            return Err(IndexError::corrupt(
                path,
                format!("{} tokens for {} terms", tokens.len(), meta.terms),
            ));
        }
        Ok((Self { terms: meta.terms, tokens }, part))
    }

    /// Number of terms: every term id is below it.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.terms
    }

    /// Whether there is no term.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms == 0
    }

    /// Whether terms have names (collections given by number without a vocabulary have none).
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.tokens.is_some()
    }

    /// The token of a term; its number in digits when the lexicon is nameless.
    #[must_use]
    pub fn token(&self, term: TermId) -> String {
        match &self.tokens {
            Some(tokens) if (term.0 as usize) < tokens.len() => {
                tokens.get(term.0 as usize).to_owned()
            }
            _ => term.0.to_string(),
        }
    }

    /// The term of a token. In a nameless lexicon a token is the term's number in digits.
    #[must_use]
    pub fn term(&self, token: &str) -> Option<TermId> {
        match &self.tokens {
            Some(tokens) => {
                tokens.find(token).next().and_then(|n| u32::try_from(n).ok()).map(TermId)
            }
            None => token.parse().ok().filter(|t| *t < self.terms).map(TermId),
        }
    }
}
