//! Maps vectors as documents bring them to vectors by term id.
//!
//! Tokens get term ids in order of first occurrence. Term numbers below [`DIRECT`] are their own term ids,
//! whether or not all numbers in between occur. Larger ones (hashes) get ids from `DIRECT` on, in order of
//! first occurrence, so that no array indexed by term has the size of the largest number. A vocabulary
//! names numbers: in a new index, positions in it are the term ids; in an index whose terms have names, it
//! maps numbers to these names.

use std::borrow::Cow;
use std::collections::HashMap;

use quarry_index::lexicon::{self, DIRECT, SpreadNumbers};
use quarry_index::manifest::PartEntry;
use quarry_index::strings::StringTableBuilder;
use quarry_index::{Index, IndexError, Storage};
use quarry_vectors::{Document, InputVector, SparseVector, TermId};

use crate::BuildError;
use crate::spool::ShardMeta;

/// The terms that an index has before documents are added.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Known {
    /// No terms: the first documents decide between names and numbers.
    #[default]
    Nothing,
    /// Names. The first `places` come from a vocabulary, so these terms also have numbers.
    Names { tokens: Vec<String>, places: u32 },
    /// Numbers: `terms` of them. Term ids from `direct` on stand for the numbers in `far`.
    Numbers { terms: u32, direct: u32, far: Vec<u32> },
}

impl Known {
    /// The terms of an index whose documents bring their own vectors.
    pub(crate) fn of(index: &Index) -> Self {
        // A lexicon without terms has decided nothing yet.
        let Some(lexicon) = index.lexicon().filter(|l| !l.is_empty()) else { return Self::Nothing };
        let terms = lexicon.len();
        if lexicon.is_named() {
            let tokens = (0..terms).map(|t| lexicon.token(TermId(t))).collect();
            return Self::Names { tokens, places: index.places() };
        }
        match lexicon.spread() {
            Some(SpreadNumbers { direct, numbers }) => {
                Self::Numbers { terms, direct, far: numbers.to_vec() }
            }
            None => Self::Numbers { terms, direct: terms.max(DIRECT), far: Vec::new() },
        }
    }
}

/// How vectors name their terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Tokens,
    Numbers,
}

/// Assigns term ids as documents arrive.
#[derive(Debug)]
pub(crate) struct Terms<'a> {
    known: &'a Known,
    vocabulary: Option<&'a [String]>,
    ids: HashMap<String, u32>,
    /// The first number that is not its own term id, and the term ids of the numbers from there on.
    direct: u32,
    far: HashMap<u32, u32>,
    /// How the vectors so far named their terms; `None` before the first vector.
    by: Option<By>,
    /// Whether the documents so far had vectors; `None` before the first document.
    any: Option<bool>,
}

impl<'a> Terms<'a> {
    pub(crate) fn new(known: &'a Known, vocabulary: Option<&'a [String]>) -> Self {
        let mut terms = Self {
            known,
            vocabulary,
            ids: HashMap::new(),
            direct: DIRECT,
            far: HashMap::new(),
            by: None,
            any: None,
        };
        match known {
            Known::Nothing => {}
            Known::Names { tokens, .. } => tokens.iter().for_each(|token| {
                terms.add(token);
            }),
            Known::Numbers { direct, far, .. } => {
                terms.direct = *direct;
                far.iter().for_each(|number| {
                    terms.number(*number);
                });
            }
        }
        terms
    }

    /// Continues after a finished shard.
    pub(crate) fn take_shard(&mut self, meta: &ShardMeta) {
        for token in &meta.new_tokens {
            self.add(token);
        }
        for number in &meta.new_numbers {
            self.number(*number);
        }
        if meta.documents > 0 {
            self.any = Some(meta.has_vectors);
        }
        if meta.has_vectors && meta.components > 0 {
            self.by = Some(if self.ids.is_empty() { By::Numbers } else { By::Tokens });
        }
    }

    /// The term id of a token, and whether it is new.
    fn add(&mut self, token: &str) -> (u32, bool) {
        if let Some(id) = self.ids.get(token) {
            return (*id, false);
        }
        let id = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        self.ids.insert(token.to_owned(), id);
        (id, true)
    }

    /// The term id of a number, and whether it is a new number from `direct` on.
    fn number(&mut self, number: u32) -> (u32, bool) {
        if number < self.direct {
            return (number, false);
        }
        if let Some(id) = self.far.get(&number) {
            return (*id, false);
        }
        let count = u32::try_from(self.far.len()).unwrap_or(u32::MAX);
        let id = self.direct.saturating_add(count);
        self.far.insert(number, id);
        (id, true)
    }

    /// The documents' own vectors by term id; empty vectors if the collection has none.
    pub(crate) fn vectors(
        &mut self,
        documents: &[Document],
        meta: &mut ShardMeta,
    ) -> Result<Vec<SparseVector>, BuildError> {
        let mut out = Vec::with_capacity(documents.len());
        for document in documents {
            out.push(self.vector(document, meta).map_err(|wrong| wrong.of(document))?);
        }
        Ok(out)
    }

    fn vector(&mut self, document: &Document, meta: &mut ShardMeta) -> Result<SparseVector, Wrong> {
        let has = document.vector.is_some();
        if *self.any.get_or_insert(has) != has {
            return Err(Wrong::what(if has {
                "has a vector, earlier documents had none"
            } else {
                "has no vector, earlier documents had one"
            }));
        }
        meta.has_vectors = has;
        let Some(vector) = &document.vector else { return Ok(SparseVector::default()) };
        let by = match vector {
            InputVector::Tokens(_) => By::Tokens,
            InputVector::Terms(_) => By::Numbers,
        };
        if *self.by.get_or_insert(by) != by {
            return Err(Wrong::what("tokens and term numbers are mixed in one collection"));
        }
        match vector {
            InputVector::Terms(vector) => self.by_number(vector, meta),
            InputVector::Tokens(_) if self.vocabulary.is_some() => {
                Err(Wrong::what("its vector is by token; a vocabulary names terms given by number"))
            }
            InputVector::Tokens(tokens) => self.by_token(tokens, meta),
        }
    }

    fn by_number(
        &mut self,
        vector: &SparseVector,
        meta: &mut ShardMeta,
    ) -> Result<SparseVector, Wrong> {
        let places = match (self.known, self.vocabulary) {
            (Known::Names { .. }, Some(names)) => {
                within(vector, names.len())?;
                let named = vector.iter().filter_map(|(t, w)| Some((names.get(t as usize)?, w)));
                let pairs: Vec<(u32, f32)> =
                    named.map(|(token, weight)| (self.token(token, meta), weight)).collect();
                return Ok(SparseVector::from_pairs(pairs)?);
            }
            (Known::Names { places: 0, .. }, None) => {
                return Err(Wrong::what(
                    "its terms are numbers, but the index's terms are names, in the order in which \
                     documents brought them: give the names of the numbers (--vocab FILE)",
                ));
            }
            (Known::Numbers { .. }, Some(_)) => {
                return Err(Wrong::what(
                    "a vocabulary is given, but the index's terms are numbers without names: \
                     leave the vocabulary out",
                ));
            }
            (Known::Nothing, Some(names)) => Some(names.len()),
            (Known::Names { places, .. }, None) => Some(*places as usize),
            (Known::Nothing | Known::Numbers { .. }, None) => None,
        };
        if let Some(places) = places {
            within(vector, places)?;
            return Ok(vector.clone());
        }
        if vector.terms().last().is_none_or(|last| *last < self.direct) {
            return Ok(vector.clone());
        }
        let mut pairs = Vec::with_capacity(vector.len());
        for (number, weight) in vector.iter() {
            let (id, new) = self.number(number);
            if new {
                meta.new_numbers.push(number);
            }
            pairs.push((id, weight));
        }
        Ok(SparseVector::from_pairs(pairs)?)
    }

    fn by_token(
        &mut self,
        tokens: &[(String, f32)],
        meta: &mut ShardMeta,
    ) -> Result<SparseVector, Wrong> {
        if !matches!(self.known, Known::Numbers { .. }) {
            let pairs: Vec<(u32, f32)> =
                tokens.iter().map(|(t, weight)| (self.token(t, meta), *weight)).collect();
            return Ok(SparseVector::from_pairs(pairs)?);
        }
        // If terms are numbers, a token must be a number in digits, as in queries.
        let number = |token: &str| -> Result<u32, Wrong> {
            token.parse().map_err(|_| {
                Wrong::what(format!(
                    "the term {token:?} is a name, but the index's terms are numbers"
                ))
            })
        };
        let pairs = tokens.iter().map(|(token, weight)| Ok((number(token)?, *weight)));
        let vector = SparseVector::from_pairs(pairs.collect::<Result<Vec<_>, Wrong>>()?)?;
        self.by_number(&vector, meta)
    }

    /// The term id of a token; a new token is recorded in `meta`.
    fn token(&mut self, token: &str, meta: &mut ShardMeta) -> u32 {
        let (id, new) = self.add(token);
        if new {
            meta.new_tokens.push(token.to_owned());
        }
        id
    }
}

/// Fails if a term lies beyond the vocabulary.
fn within(vector: &SparseVector, places: usize) -> Result<(), Wrong> {
    match vector.terms().last() {
        Some(last) if *last as usize >= places => {
            Err(Wrong::what(format!("term {last} lies beyond the vocabulary of {places} tokens")))
        }
        _ => Ok(()),
    }
}

/// What is wrong with a document's vector.
enum Wrong {
    What(Cow<'static, str>),
    Vector(quarry_vectors::VectorError),
}

impl Wrong {
    fn what(what: impl Into<Cow<'static, str>>) -> Self {
        Self::What(what.into())
    }

    fn of(self, document: &Document) -> BuildError {
        let (id, line) = (document.id.clone(), document.line);
        match self {
            Self::What(what) => BuildError::Document { id, line, what: what.into_owned() },
            Self::Vector(source) => BuildError::Vector { id, line, source },
        }
    }
}

impl From<quarry_vectors::VectorError> for Wrong {
    fn from(error: quarry_vectors::VectorError) -> Self {
        Self::Vector(error)
    }
}

/// The terms of an index after documents were added.
#[derive(Debug)]
pub(crate) enum Grown<'a> {
    /// Names in order of term id, and how many of the first come from a vocabulary.
    Names(Vec<&'a str>, u32),
    /// Numbers: as in [`Known::Numbers`].
    Numbers { terms: u32, direct: u32, far: Vec<u32> },
}

impl<'a> Grown<'a> {
    /// `known` plus what the shards met: `tokens`, `numbers`, or plain numbers below `dimension`. If the
    /// index had no terms, `list` (a vocabulary) gives all of them.
    pub(crate) fn of(
        known: &'a Known,
        list: Option<&'a [String]>,
        (tokens, numbers, dimension): (&'a [String], &[u32], u32),
    ) -> Self {
        let names = |before: &'a [String], after: &'a [String]| {
            before.iter().chain(after).map(String::as_str).collect()
        };
        match (known, list) {
            (Known::Names { tokens: before, places }, _) => {
                Self::Names(names(before, tokens), *places)
            }
            (Known::Nothing, Some(list)) => {
                Self::Names(names(list, &[]), u32::try_from(list.len()).unwrap_or(u32::MAX))
            }
            (Known::Nothing, None) if !tokens.is_empty() => Self::Names(names(tokens, &[]), 0),
            (Known::Nothing, None) => Self::numbers(0, (DIRECT, &[]), numbers, dimension),
            (Known::Numbers { terms, direct, far }, _) => {
                Self::numbers(*terms, (*direct, far), numbers, dimension)
            }
        }
    }

    fn numbers(terms: u32, (direct, far): (u32, &[u32]), new: &[u32], dimension: u32) -> Self {
        let far = [far, new].concat();
        let spread = u32::try_from(far.len()).unwrap_or(u32::MAX);
        let end = if spread == 0 { 0 } else { direct.saturating_add(spread) };
        Self::Numbers { terms: terms.max(dimension).max(end), direct, far }
    }

    /// Number of terms.
    pub(crate) fn len(&self) -> Result<u32, BuildError> {
        match self {
            Self::Names(names, _) => {
                Ok(u32::try_from(names.len()).map_err(|_| IndexError::Limit {
                    what: "tokens of a lexicon".into(),
                    found: names.len() as u64,
                    limit: u64::from(u32::MAX),
                })?)
            }
            Self::Numbers { terms, .. } => Ok(*terms),
        }
    }

    /// Writes them as a lexicon with the file name `file`.
    pub(crate) fn write(&self, storage: &Storage, file: &str) -> Result<PartEntry, BuildError> {
        let mut table = StringTableBuilder::default();
        let terms = match self {
            Self::Names(names, places) => {
                names.iter().try_for_each(|token| table.push(token))?;
                lexicon::Terms::Names { tokens: &table, places: *places }
            }
            Self::Numbers { terms, far, .. } if far.is_empty() => lexicon::Terms::Numbers(*terms),
            Self::Numbers { direct, far, .. } => {
                lexicon::Terms::Spread { direct: *direct, numbers: far }
            }
        };
        let written = lexicon::write(&storage.path(file), terms)?;
        Ok(PartEntry::new(lexicon::KIND, terms.version(), file, written, true))
    }
}
