//! A request's query becomes what the index can search; what it does not know becomes a warning.

use std::collections::HashSet;
use std::time::Instant;

use quarry_index::text::{TextIndex, analyzer};
use quarry_index::{Segment, guarded};
use quarry_searcher::SearchError;
use quarry_vectors::{SparseVector, VectorError};

use super::{Checked, Engine, Warning};
use crate::api::{ApiError, Channel, ErrorCode, SearchRequest, SparseInput, WarningCode};

/// Names of unknown tokens in one warning; the count is complete.
const NAMED: usize = 20;

/// What is searched for.
#[derive(Debug, Clone)]
pub(crate) enum Query<'a> {
    /// On the sparse channel.
    Vector(SparseVector),
    /// On the channel bm25.
    Question(&'a str),
}

/// Warnings so far.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Vec<Warning>);

impl Warnings {
    /// Warns of names that are not known, if there are any.
    pub(crate) fn names(&mut self, code: WarningCode, what: &str, names: &[String]) {
        if names.is_empty() {
            return;
        }
        let (count, named) = (names.len(), names.iter().take(NAMED).cloned().collect::<Vec<_>>());
        let more = if count > NAMED { ", ..." } else { "" };
        let message = format!("{count} {what}: {}{more}", named.join(", "));
        self.0.push(Warning { code, message, count, names: named });
    }

    fn empty(&mut self, message: &str) {
        let message = message.to_owned();
        self.0.push(Warning {
            code: WarningCode::EmptyQuery,
            message,
            count: 0,
            names: Vec::new(),
        });
    }

    pub(crate) fn into_vec(self) -> Vec<Warning> {
        self.0
    }
}

impl Engine {
    pub(crate) fn query<'a>(
        &self,
        request: &'a SearchRequest,
        checked: &Checked,
        warnings: &mut Warnings,
        deadline: Option<Instant>,
    ) -> Result<Query<'a>, ApiError> {
        match (checked.channel, &request.query.text, &request.query.sparse) {
            (Channel::Sparse, Some(text), _) => Ok(Query::Vector(self.encoded(text, warnings)?)),
            (Channel::Sparse, None, Some(sparse)) => {
                Ok(Query::Vector(self.given(sparse, warnings)?))
            }
            (Channel::Bm25, Some(text), _) => {
                self.words(text, warnings, deadline)?;
                Ok(Query::Question(text))
            }
            // Refused by the check of the request.
            (_, None, _) => Err(ApiError::invalid("query", "give `text` or `sparse`")),
        }
    }

    fn encoded(&self, text: &str, warnings: &mut Warnings) -> Result<SparseVector, ApiError> {
        let terms = self.terms()?;
        let encoder = self.encoder.as_ref().ok_or_else(|| {
            ApiError::not_supported("query.text", "no encoder is loaded for this index's vectors")
                .hint("give `query.sparse`, search the channel `bm25`, or serve with a model")
        })?;
        let vector = encoder.encode_query(text).map_err(ApiError::internal)?;
        let known: Vec<(u32, f32)> = vector.iter().filter(|(t, _)| *t < terms).collect();
        if known.len() < vector.len() {
            let lost = vector.iter().filter(|(t, _)| *t >= terms).map(|(t, _)| t.to_string());
            let lost: Vec<String> = lost.collect();
            warnings.names(WarningCode::UnknownTokens, "terms the index does not know", &lost);
        }
        if known.is_empty() {
            warnings.empty("no token of the question is known, so nothing can match");
        }
        SparseVector::from_pairs(known).map_err(|e| overflow(&e))
    }

    fn given(
        &self,
        sparse: &SparseInput,
        warnings: &mut Warnings,
    ) -> Result<SparseVector, ApiError> {
        self.terms()?;
        let lexicon = self.searcher.index().lexicon().ok_or(SearchError::NoSparse)?;
        let mut known = Vec::new();
        let mut unknown = Vec::new();
        if let Some(tokens) = &sparse.tokens {
            for (token, weight) in &tokens.0 {
                match lexicon.term(token) {
                    Some(term) => known.push((term.0, *weight)),
                    None => unknown.push(token.clone()),
                }
            }
        }
        let numbers = sparse.term_ids.iter().flatten().zip(sparse.weights.iter().flatten());
        for (number, weight) in numbers {
            match self.searcher.index().term_of_number(*number) {
                Ok(Some(term)) => known.push((term.0, *weight)),
                Ok(None) => unknown.push(number.to_string()),
                Err(_) => {
                    return Err(ApiError::not_supported(
                        "query.sparse.term_ids",
                        "this index's terms have names, in the order in which its documents brought \
                         them: a number says nothing there",
                    )
                    .hint("give `query.sparse.tokens`"));
                }
            }
        }
        warnings.names(WarningCode::UnknownTokens, "tokens the index does not know", &unknown);
        let vector = SparseVector::from_pairs(known).map_err(|e| overflow(&e))?;
        if vector.is_empty() {
            warnings.empty("the query vector has no known token with a weight");
        }
        Ok(vector)
    }

    /// Warns of words that no document has.
    fn words(
        &self,
        text: &str,
        warnings: &mut Warnings,
        deadline: Option<Instant>,
    ) -> Result<(), ApiError> {
        let texts: Option<Vec<&TextIndex>> =
            self.searcher.index().segments().iter().map(Segment::text).collect();
        let texts = texts.ok_or(SearchError::NoText)?;
        let look = || unknown_words(&texts, text, deadline);
        let (unknown, known) = match texts.first() {
            Some(first) => guarded(first.path(), look)?,
            None => look()?,
        };
        warnings.names(WarningCode::UnknownTokens, "words that no document has", &unknown);
        if !known {
            warnings.empty("no word of the question occurs in the index, so nothing can match");
        }
        Ok(())
    }

    /// Number of terms of the sparse channel.
    fn terms(&self) -> Result<u32, ApiError> {
        let index = self.searcher.index();
        match index.lexicon().filter(|_| index.has_sparse()) {
            Some(lexicon) => Ok(lexicon.len()),
            None => Err(SearchError::NoSparse.into()),
        }
    }
}

fn overflow(error: &VectorError) -> ApiError {
    ApiError::new(ErrorCode::InvalidValue, error.to_string()).param("query.sparse")
}

/// The words of a question that no document has, each once, and whether there is another.
fn unknown_words(
    texts: &[&TextIndex],
    question: &str,
    deadline: Option<Instant>,
) -> Result<(Vec<String>, bool), SearchError> {
    let mut fields = Vec::new();
    for text in texts {
        let contents = text.reader().inverted_index(text.fields().contents);
        fields.push(contents.map_err(Box::new)?);
    }
    let (mut unknown, mut known) = (Vec::new(), false);
    let mut seen: HashSet<String> = HashSet::new();
    let mut analyzer = analyzer();
    let mut tokens = analyzer.token_stream(question);
    while let Some(token) = tokens.next() {
        let word = question.get(token.offset_from..token.offset_to).unwrap_or(&token.text);
        if !seen.insert(word.to_owned()) {
            continue;
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(SearchError::Timeout);
        }
        let mut found = false;
        for field in &fields {
            found |= field.terms().get(&token.text)?.is_some();
        }
        known |= found;
        if !found {
            unknown.push(word.to_owned());
        }
    }
    Ok((unknown, known))
}
