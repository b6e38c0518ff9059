//! A query, in the form that an index can search; names that the index does not know are listed.
//!
//! The one place where text, tokens and term numbers become a vector of an index.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quarry_index::Index;
use quarry_searcher::{ChannelQuery as RowQuery, Hit, SearchError, WordWeight};
use quarry_vectors::{
    DenseVector, EncodeError, EncodeQuery, InputVector, SparseVector, TokenEmbeddings,
};

use crate::EngineError;

/// What is searched for. A channel takes the form that it can search: `sparse` the vector, else the text
/// through the query encoder; `bm25` the text; `maxsim` and reranking the token embeddings, else the text
/// through the token encoder; `dense` the dense vector, else the text through the dense encoder.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Query {
    /// Words.
    pub text: Option<String>,
    /// A query vector.
    pub sparse: Option<SparseQuery>,
    /// Token embeddings of the text, where no encoder makes them.
    pub tokens: Option<TokenEmbeddings>,
    /// Ids of documents that never feed back, such as that of a query that is a document itself.
    pub excluded: Vec<String>,
    /// The text's dense vector, where no encoder makes it.
    pub dense: Option<DenseVector>,
}

/// A query vector, by what names its terms. Weights are finite and at least 0; those of a repeated term are
/// added up.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SparseQuery {
    /// By token.
    Tokens(Vec<(String, f32)>),
    /// By term number, as files and requests have it: see [`Index::term_of_number`].
    Numbers(Vec<(u32, f32)>),
    /// By the index's own terms.
    Terms(SparseVector),
}

impl Query {
    /// A query in words.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    /// A query vector.
    #[must_use]
    pub fn sparse(vector: SparseQuery) -> Self {
        Self { sparse: Some(vector), ..Self::default() }
    }

    /// The same with token embeddings.
    #[must_use]
    pub fn with_tokens(self, tokens: TokenEmbeddings) -> Self {
        Self { tokens: Some(tokens), ..self }
    }

    /// The same with a dense vector.
    #[must_use]
    pub fn with_dense(self, vector: DenseVector) -> Self {
        Self { dense: Some(vector), ..self }
    }
}

impl From<&quarry_vectors::Query> for Query {
    fn from(query: &quarry_vectors::Query) -> Self {
        let sparse = query.vector.as_ref().map(|vector| match vector {
            InputVector::Tokens(tokens) => SparseQuery::Tokens(tokens.clone()),
            InputVector::Terms(vector) => SparseQuery::Numbers(vector.iter().collect()),
        });
        Self { text: Some(query.text.clone()), sparse, ..Self::default() }
    }
}

impl SparseQuery {
    /// A vector by number, in the names that a vocabulary gives to the numbers.
    ///
    /// # Errors
    /// [`EngineError::BeyondVocabulary`].
    pub fn named(vector: &SparseVector, vocabulary: &[String]) -> Result<Self, EngineError> {
        let name = |(number, weight): (u32, f32)| match vocabulary.get(number as usize) {
            Some(name) => Ok((name.clone(), weight)),
            None => Err(EngineError::BeyondVocabulary { number, tokens: vocabulary.len() }),
        };
        Ok(Self::Tokens(vector.iter().map(name).collect::<Result<_, _>>()?))
    }
}

/// A query in the form that a channel searches.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ChannelQuery {
    /// A vector of the index's terms.
    Sparse(SparseVector),
    /// Words.
    Bm25(String),
    /// Words as they are indexed, with what they count.
    Bm25Weighted(Vec<WordWeight>),
    /// Token embeddings; none of a blank text, which finds nothing.
    Maxsim(Option<TokenEmbeddings>),
    /// A dense vector; none of a blank text, which finds nothing.
    Dense(Option<DenseVector>),
}

/// A query, encoded for a channel of one index.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EncodedQuery {
    /// What is searched.
    pub query: ChannelQuery,
    /// Tokens or term numbers of the query that the index does not know, in the query's order; they match
    /// nothing.
    pub unknown: Vec<String>,
    /// Whether an encoder made it of the query's text.
    pub of_text: bool,
    /// How long that took.
    pub took: Duration,
}

impl EncodedQuery {
    /// The vector, on the sparse channel.
    #[must_use]
    pub fn vector(&self) -> Option<&SparseVector> {
        match &self.query {
            ChannelQuery::Sparse(vector) => Some(vector),
            _ => None,
        }
    }

    /// The dense vector, on the channel dense; `None` of a blank text too.
    #[must_use]
    pub fn dense(&self) -> Option<&DenseVector> {
        match &self.query {
            ChannelQuery::Dense(vector) => vector.as_ref(),
            _ => None,
        }
    }

    /// As the searcher takes it; walks over a graph begin at `seeds` too. `None` where the text was blank, and on the
    /// channel maxsim, which is searched with all queries at once.
    pub(crate) fn of_rows<'a>(&'a self, seeds: &'a [Hit]) -> Option<RowQuery<'a>> {
        match &self.query {
            ChannelQuery::Sparse(vector) => Some(RowQuery::Sparse(vector)),
            ChannelQuery::Bm25(text) => Some(RowQuery::Words(text)),
            ChannelQuery::Bm25Weighted(words) => Some(RowQuery::Weighted(words)),
            ChannelQuery::Dense(Some(vector)) => Some(RowQuery::DenseFrom(vector, seeds)),
            ChannelQuery::Dense(None) | ChannelQuery::Maxsim(_) => None,
        }
    }
}

/// A query's vector in the terms of an index.
pub(crate) struct IndexVector {
    pub(crate) vector: SparseVector,
    pub(crate) unknown: Vec<String>,
}

/// The vector of a query for an index with a sparse channel.
///
/// # Errors
/// [`SearchError::NoSparse`]; [`EngineError::NoQuery`] without text and vector;
/// [`EngineError::NoQueryEncoder`] for a text without an encoder; [`EngineError::Weights`];
/// [`quarry_index::IndexError::NamedTerms`] for numbers where they say nothing; or as the encoder.
pub(crate) fn index_vector(
    index: &Index,
    encoder: Option<&dyn EncodeQuery>,
    query: &Query,
) -> Result<IndexVector, EngineError> {
    let lexicon = index.lexicon().filter(|_| index.has_sparse()).ok_or(SearchError::NoSparse)?;
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    let own = |terms: &SparseVector, known: &mut Vec<_>, unknown: &mut Vec<String>| {
        for (term, weight) in terms.iter() {
            if term < lexicon.len() {
                known.push((term, weight));
            } else {
                unknown.push(term.to_string());
            }
        }
    };
    match (&query.sparse, &query.text) {
        (Some(SparseQuery::Tokens(tokens)), _) => {
            for (token, weight) in tokens {
                match lexicon.term(token) {
                    Some(term) => known.push((term.0, *weight)),
                    None => unknown.push(token.clone()),
                }
            }
        }
        (Some(SparseQuery::Numbers(numbers)), _) => {
            for (number, weight) in numbers {
                match index.term_of_number(*number)? {
                    Some(term) => known.push((term.0, *weight)),
                    None => unknown.push(number.to_string()),
                }
            }
        }
        (Some(SparseQuery::Terms(terms)), _) => own(terms, &mut known, &mut unknown),
        (None, Some(text)) => {
            let encoder = encoder.ok_or(EngineError::NoQueryEncoder)?;
            own(&encoder.encode_query(text)?, &mut known, &mut unknown);
        }
        (None, None) => return Err(EngineError::NoQuery { channel: "sparse" }),
    }
    let vector =
        SparseVector::from_pairs(known).map_err(|source| EngineError::Weights { source })?;
    Ok(IndexVector { vector, unknown })
}

/// An encoder that encodes each text once, however often it is asked about it.
pub(crate) struct Once {
    encoder: Arc<dyn EncodeQuery>,
    done: Mutex<HashMap<String, SparseVector>>,
}

impl Once {
    pub(crate) fn new(encoder: Arc<dyn EncodeQuery>) -> Self {
        Self { encoder, done: Mutex::default() }
    }
}

impl EncodeQuery for Once {
    fn encode_query(&self, text: &str) -> Result<SparseVector, EncodeError> {
        let done = || self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(vector) = done().get(text) {
            return Ok(vector.clone());
        }
        let vector = self.encoder.encode_query(text)?;
        done().insert(text.to_owned(), vector.clone());
        Ok(vector)
    }

    fn term_weight(&self, term: u32) -> Option<f32> {
        self.encoder.term_weight(term)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Counting(AtomicUsize);

    impl EncodeQuery for Counting {
        fn encode_query(&self, text: &str) -> Result<SparseVector, EncodeError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let term = u32::try_from(text.len()).unwrap();
            Ok(SparseVector::new(vec![term], vec![1.0]).unwrap())
        }
    }

    #[test]
    fn a_text_is_encoded_once() {
        let counting = Arc::new(Counting(AtomicUsize::new(0)));
        let once = Once::new(Arc::clone(&counting) as Arc<dyn EncodeQuery>);
        for text in ["a", "bc", "a", "a", "bc"] {
            let term = u32::try_from(text.len()).unwrap();
            assert_eq!(once.encode_query(text).unwrap().terms(), [term]);
        }
        assert_eq!(counting.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_vocabulary_names_numbers_and_has_an_end() {
        let names = ["a".to_owned(), "b".to_owned()];
        let vector = |term| SparseVector::from_pairs([(term, 2.0)]).unwrap();
        let named = SparseQuery::named(&vector(1), &names).unwrap();
        assert_eq!(named, SparseQuery::Tokens(vec![("b".to_owned(), 2.0)]));
        let error = SparseQuery::named(&vector(2), &names).unwrap_err();
        assert!(matches!(error, EngineError::BeyondVocabulary { number: 2, tokens: 2 }));
    }
}
