//! Refuses documents one by one, by what the collection is; what passes can be added together.

use quarry_index::Index;
use quarry_indexer::{AsBuilt, BuildError, FieldCheck};
use quarry_vectors::{Document, InputVector};

/// What documents must be like.
#[derive(Debug, Clone)]
pub(super) struct Check {
    fields: FieldCheck,
    /// Whether documents have vectors; `None`: the first one decides.
    vectors: Option<bool>,
    /// Whether a model makes the vectors.
    encoded: bool,
    terms: Terms,
}

/// How vectors name terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Terms {
    /// The first vector decides.
    Open,
    /// By token.
    Tokens,
    /// By token, or by number below this one.
    Both(u32),
    /// By number.
    Numbers,
}

impl Check {
    pub(super) fn of(index: &Index) -> Self {
        let encoded = AsBuilt::of(index).encoder.is_some();
        let vectors = index.features().channels.map(|channels| channels.sparse && !encoded);
        let terms = match index.lexicon().filter(|lexicon| !lexicon.is_empty()) {
            None => Terms::Open,
            Some(lexicon) if !lexicon.is_named() => Terms::Numbers,
            Some(_) => match index.places() {
                0 => Terms::Tokens,
                places => Terms::Both(places),
            },
        };
        let vectors = if encoded { Some(false) } else { vectors };
        Self { fields: FieldCheck::of(index), vectors, encoded, terms }
    }

    /// Says what does not fit; otherwise converts the document's fields to their types.
    pub(super) fn apply(&mut self, document: &mut Document) -> Result<(), String> {
        let has = document.vector.is_some();
        match self.vectors {
            Some(wanted) if wanted != has => return Err(self.other_kind(has).to_owned()),
            _ => {}
        }
        let terms = self.terms_of(document)?;
        self.fields(document)?;
        (self.vectors, self.terms) = (Some(has), terms);
        Ok(())
    }

    /// Says which field does not fit; otherwise converts the fields to their types.
    pub(super) fn fields(&mut self, document: &mut Document) -> Result<(), String> {
        self.fields.apply(document).map_err(|error| match error {
            BuildError::Document { what, .. } => what,
            other => other.to_string(),
        })
    }

    fn other_kind(&self, has: bool) -> &'static str {
        match (has, self.encoded) {
            (true, true) => {
                "it brings a vector, and a model makes the vectors of this collection: leave `vector` out, or \
                 make a collection with \"model\": null"
            }
            (true, false) => "it brings a vector, and the documents of this collection have none",
            (false, _) => "it has no `vector`, and the documents of this collection bring theirs",
        }
    }

    /// How terms are named after this document.
    fn terms_of(&self, document: &Document) -> Result<Terms, String> {
        let named = |term: &(String, f32)| term.0.parse::<u32>().is_err();
        match (&document.vector, self.terms) {
            (None, terms) => Ok(terms),
            (Some(InputVector::Tokens(_)), Terms::Open) => Ok(Terms::Tokens),
            (Some(InputVector::Terms(_)), Terms::Open) => Ok(Terms::Numbers),
            (Some(InputVector::Tokens(tokens)), Terms::Numbers) => {
                match tokens.iter().find(|token| named(token)) {
                    None => Ok(Terms::Numbers),
                    Some((token, _)) => Err(format!(
                        "the term {token:?} is a name, and the collection's terms are numbers"
                    )),
                }
            }
            (Some(InputVector::Terms(vector)), Terms::Both(places)) => {
                match vector.terms().last().filter(|last| **last >= places) {
                    None => Ok(self.terms),
                    Some(last) => {
                        Err(format!("term {last} lies beyond the vocabulary of {places}"))
                    }
                }
            }
            (Some(InputVector::Terms(_)), Terms::Tokens) => {
                Err("its terms are numbers, and the collection's terms are names".to_owned())
            }
            (Some(_), terms) => Ok(terms),
        }
    }
}
