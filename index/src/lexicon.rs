//! The lexicon: token strings and term ids, both ways. One per index; a later generation may only
//! append to it.
//!
//! Where collections give terms by number, a number below `direct` is its own term id; larger ones
//! (hashes) are numbered densely from there on, in the order in which they were met, and the lexicon
//! has both directions. So what is sized by terms follows the terms that there are.

use std::ops::Range;
use std::path::Path;

use quarry_vectors::TermId;
use serde::{Deserialize, Serialize};

use crate::container::{Part, PartWriter, Verify, Written};
use crate::error::IndexError;
use crate::map::MappedFile;
use crate::strings::{StringTable, StringTableBuilder};

/// Name of the part kind.
pub const KIND: &str = "lexicon";
/// Version written where every number is its own term id, or terms have names.
pub const VERSION: u32 = 1;
/// Version written where some numbers are not; builds before it would misread them.
const SPREAD_VERSION: u32 = 2;
/// Numbers below this are their own term ids. Above the vocabularies of language models, below hashes.
pub const DIRECT: u32 = 1 << 18;

/// Sections of numbers that are not their own term ids: by term, and terms by ascending number.
const NUMBERS: &str = "number";
const SORTED: &str = "number.sorted";

#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    /// Number of terms; term ids are below it.
    terms: u32,
    /// Whether the terms have names.
    named: bool,
    /// Of named terms: whether the names were given as a list whose places are the terms' numbers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    listed: bool,
    /// Of listed names: how many were in the list, where documents brought further ones since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    places: Option<u32>,
    /// Where numbers begin that are not their own term ids; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    direct: Option<u32>,
}

/// What a lexicon holds.
#[derive(Debug, Clone, Copy)]
pub enum Terms<'a> {
    /// Names in order of term id.
    Names {
        /// The names.
        tokens: &'a StringTableBuilder,
        /// How many of them, the first, were given as a list (a vocabulary), so that numbers are places in
        /// it. The others stand in the order in which documents brought them, and have no number.
        places: u32,
    },
    /// This many numbers, each its own term id.
    Numbers(u32),
    /// Numbers below `direct` are their own term ids; the others follow.
    Spread {
        /// Where they begin.
        direct: u32,
        /// The number of each term from there on; each at least `direct`, none twice.
        numbers: &'a [u32],
    },
}

impl Terms<'_> {
    /// The version of the part that holds them.
    #[must_use]
    pub fn version(&self) -> u32 {
        if matches!(self, Self::Spread { .. }) { SPREAD_VERSION } else { VERSION }
    }
}

/// Writes a lexicon.
///
/// # Errors
/// When the disk refuses or the terms outgrow the format.
pub fn write(path: &Path, terms: Terms<'_>) -> Result<Written, IndexError> {
    let limit = |what: &str, found: usize| IndexError::Limit {
        what: what.into(),
        found: found as u64,
        limit: u64::from(u32::MAX),
    };
    let mut part = PartWriter::create(path, KIND, terms.version())?;
    let mut meta = Meta { terms: 0, named: false, listed: false, places: None, direct: None };
    match terms {
        Terms::Numbers(count) => {
            meta.terms = count;
            part.put_json("meta", &meta)?;
        }
        Terms::Names { tokens, places } => {
            let count = tokens.len();
            meta.terms = u32::try_from(count).map_err(|_| limit("tokens of a lexicon", count))?;
            (meta.named, meta.listed) = (true, places > 0);
            meta.places = Some(places).filter(|places| *places > 0 && *places < meta.terms);
            part.put_json("meta", &meta)?;
            tokens.write(&mut part, "token", &tokens.sorted())?;
        }
        Terms::Spread { direct, numbers } => {
            let count = u32::try_from(numbers.len()).ok().and_then(|n| direct.checked_add(n));
            meta.terms = count.ok_or_else(|| limit("numbers of a lexicon", numbers.len()))?;
            meta.direct = Some(direct);
            part.put_json("meta", &meta)?;
            part.put_section(NUMBERS, numbers)?;
            let mut sorted: Vec<u32> = (direct..meta.terms).collect();
            sorted.sort_unstable_by_key(|term| numbers[(term - direct) as usize]);
            part.put_section(SORTED, &sorted)?;
        }
    }
    part.finish(u64::from(meta.terms))
}

/// An open lexicon.
#[derive(Debug, Clone)]
pub struct Lexicon {
    terms: u32,
    /// The names, and how many of them have numbers.
    named: Option<(StringTable, u32)>,
    spread: Option<Spread>,
}

/// Numbers that are not their own term ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpreadNumbers<'a> {
    /// Numbers below are their own term ids.
    pub direct: u32,
    /// The number of each term from `direct` on.
    pub numbers: &'a [u32],
}

/// The same in the mapped file.
#[derive(Debug, Clone)]
struct Spread {
    file: MappedFile,
    direct: u32,
    numbers: Range<usize>,
    sorted: Range<usize>,
}

impl Spread {
    fn open(part: &Part, direct: u32, terms: u32) -> Result<Self, IndexError> {
        let corrupt = |what: &str| IndexError::corrupt(part.path(), what);
        let missing = || corrupt("a section of numbers is missing");
        let numbers: &[u32] = part.array(NUMBERS)?;
        let sorted: &[u32] = part.array(SORTED)?;
        if direct.checked_add(u32::try_from(numbers.len()).unwrap_or(u32::MAX)) != Some(terms)
            || sorted.len() != numbers.len()
        {
            return Err(corrupt("the count of numbers differs from the count of terms"));
        }
        let number = |term: &u32| {
            term.checked_sub(direct)
                .and_then(|at| numbers.get(at as usize))
                .filter(|n| **n >= direct)
        };
        // Ascending numbers of terms that are there: each stands once.
        let mut before = None;
        for term in sorted {
            let found = number(term).ok_or_else(|| corrupt("a number has no term"))?;
            if before.replace(found).is_some_and(|before| before >= found) {
                return Err(corrupt("the order of numbers does not ascend"));
            }
        }
        Ok(Self {
            file: part.file().clone(),
            direct,
            numbers: part.section_range(NUMBERS).ok_or_else(missing)?,
            sorted: part.section_range(SORTED).ok_or_else(missing)?,
        })
    }

    fn numbers(&self) -> &[u32] {
        bytemuck::cast_slice(&self.file[self.numbers.clone()])
    }

    fn term(&self, number: u32) -> Option<u32> {
        if number < self.direct {
            return Some(number);
        }
        let sorted: &[u32] = bytemuck::cast_slice(&self.file[self.sorted.clone()]);
        let of = |term: &u32| self.numbers()[(*term - self.direct) as usize];
        sorted.binary_search_by_key(&number, of).ok().map(|at| sorted[at])
    }
}

impl Lexicon {
    /// Opens and validates the file.
    ///
    /// # Errors
    /// As [`Part::open`] and [`StringTable::open`]; when numbers and terms do not fit together.
    pub(crate) fn open(path: &Path, verify: Verify) -> Result<(Self, Part), IndexError> {
        let part = Part::open(path, KIND, VERSION..SPREAD_VERSION + 1, verify)?;
        let meta: Meta = part.json("meta")?;
        let named = match meta.named {
            true => {
                let places = if meta.listed { meta.places.unwrap_or(meta.terms) } else { 0 };
                Some((StringTable::open(&part, "token")?, places.min(meta.terms)))
            }
            false => None,
        };
        if let Some((tokens, _)) = &named
            && tokens.len() as u64 != u64::from(meta.terms)
        {
            return Err(IndexError::corrupt(
                path,
                format!("{} tokens for {} terms", tokens.len(), meta.terms),
            ));
        }
        let spread = match meta.direct {
            Some(direct) if !meta.named => Some(Spread::open(&part, direct, meta.terms)?),
            Some(_) => return Err(IndexError::corrupt(path, "terms have both names and numbers")),
            None => None,
        };
        Ok((Self { terms: meta.terms, named, spread }, part))
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
        self.named.is_some()
    }

    /// How many terms have names that were given as a list: a number below is a place in it.
    #[must_use]
    pub(crate) fn places(&self) -> u32 {
        self.named.as_ref().map_or(0, |(_, places)| *places)
    }

    /// The numbers that are not their own term ids; `None` when all are.
    #[must_use]
    pub fn spread(&self) -> Option<SpreadNumbers<'_>> {
        let spread = self.spread.as_ref()?;
        Some(SpreadNumbers { direct: spread.direct, numbers: spread.numbers() })
    }

    /// The token of a term; its number in digits when the lexicon is nameless.
    #[must_use]
    pub fn token(&self, term: TermId) -> String {
        match &self.named {
            Some((tokens, _)) if (term.0 as usize) < tokens.len() => {
                tokens.get(term.0 as usize).to_owned()
            }
            _ => self.number(term).to_string(),
        }
    }

    /// The term of a token. In a nameless lexicon a token is the term's number in digits.
    #[must_use]
    pub fn term(&self, token: &str) -> Option<TermId> {
        match &self.named {
            Some((tokens, _)) => {
                tokens.find(token).next().and_then(|n| u32::try_from(n).ok()).map(TermId)
            }
            None => token.parse().ok().and_then(|number| self.term_at(number)),
        }
    }

    /// The number by which collections and queries name a term; in a lexicon of names its place.
    #[must_use]
    pub fn number(&self, term: TermId) -> u32 {
        let spread = self.spread.as_ref();
        let far = spread.and_then(|s| s.numbers().get(term.0.checked_sub(s.direct)? as usize));
        far.copied().unwrap_or(term.0)
    }

    /// The term of a number, the other way round. Whether numbers mean anything among names is for
    /// [`Index::term_of_number`](crate::Index::term_of_number) to say.
    #[must_use]
    pub(crate) fn term_at(&self, number: u32) -> Option<TermId> {
        let term = self.spread.as_ref().map_or(Some(number), |spread| spread.term(number))?;
        (term < self.terms).then_some(TermId(term))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(terms: Terms<'_>) -> (tempfile::TempDir, Result<Lexicon, IndexError>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lexicon.qry");
        write(&path, terms).unwrap();
        (
            dir,
            Lexicon::open(&path, Verify::Full).map(|(lexicon, part)| {
                assert_eq!(part.version(), terms.version());
                lexicon
            }),
        )
    }

    #[test]
    fn numbers_below_the_bound_are_their_own_terms() {
        let (_dir, lexicon) = written(Terms::Spread { direct: 10, numbers: &[u32::MAX, 10, 500] });
        let lexicon = lexicon.unwrap();
        assert_eq!(lexicon.len(), 13);
        for (number, term) in [(0, 0), (9, 9), (u32::MAX, 10), (10, 11), (500, 12)] {
            assert_eq!(lexicon.term_at(number), Some(TermId(term)));
            assert_eq!(lexicon.term(&number.to_string()), Some(TermId(term)));
            assert_eq!(lexicon.number(TermId(term)), number);
            assert_eq!(lexicon.token(TermId(term)), number.to_string());
        }
        for unknown in [11, 12, 13, 499, u32::MAX - 1] {
            assert_eq!(lexicon.term_at(unknown), None);
        }
        assert!(!lexicon.is_named() && lexicon.spread().is_some());
    }

    #[test]
    fn plain_numbers_stay_as_they_were() {
        let (_dir, lexicon) = written(Terms::Numbers(5));
        let lexicon = lexicon.unwrap();
        assert_eq!((lexicon.term_at(4), lexicon.term_at(5)), (Some(TermId(4)), None));
        assert_eq!(lexicon.number(TermId(4)), 4);
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        for numbers in [&[10, 10][..], &[9, 20]] {
            let (_dir, lexicon) = written(Terms::Spread { direct: 10, numbers });
            assert!(matches!(lexicon, Err(IndexError::Corrupt { .. })), "{numbers:?}");
        }
    }
}
