//! Queries: read from files, and turned into vectors of an index.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use clap::ValueEnum;
use quarry_datasets::{QueryFormat, QueryOptions, read_queries};
use quarry_index::Index;
use quarry_vectors::{EncodeError, EncodeQuery, InputVector, Query, SparseVector, TermId};
use rayon::prelude::*;

use crate::output::{count, note};

/// How a file of queries is read.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct QueryArgs {
    /// Format of the queries; a .tsv is taken for text unless this says anserini
    #[arg(long, value_enum, default_value_t = QueryFormatArg::Auto)]
    query_format: QueryFormatArg,
    /// Divide given query weights by this
    #[arg(long, value_name = "X")]
    query_scale: Option<f32>,
    /// Field of JSON lines that holds a query's vector [default: vector]
    #[arg(long, value_name = "NAME")]
    vector_field: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum QueryFormatArg {
    /// By looking; a .tsv is text.
    #[default]
    Auto,
    /// A BEIR folder.
    Beir,
    /// One JSON object a line.
    Jsonl,
    /// id TAB text.
    Text,
    /// id TAB tokens, each repeated by its weight.
    Anserini,
    /// Seismic's inner binary format.
    Bin,
    /// BigANN's sparse matrix.
    Csr,
}

impl From<QueryFormatArg> for QueryFormat {
    fn from(arg: QueryFormatArg) -> Self {
        match arg {
            QueryFormatArg::Auto => Self::Auto,
            QueryFormatArg::Beir => Self::Beir,
            QueryFormatArg::Jsonl => Self::JsonLines,
            QueryFormatArg::Text => Self::Text,
            QueryFormatArg::Anserini => Self::Anserini,
            QueryFormatArg::Bin => Self::SeismicBin,
            QueryFormatArg::Csr => Self::BigAnnCsr,
        }
    }
}

/// Options of a file of queries.
pub(crate) const OF_QUERIES: [&str; 3] = ["query_format", "query_scale", "vector_field"];

impl QueryArgs {
    /// Reads a file or folder, of a folder the queries that a split judges.
    pub(crate) fn read(&self, path: &Path, split: Option<&str>) -> anyhow::Result<Vec<Query>> {
        let options = QueryOptions {
            format: self.query_format.into(),
            scale: self.query_scale,
            vector_field: self.vector_field.clone(),
            split: split.map(str::to_owned),
        };
        let read = read_queries(path, &options)?;
        for notice in &read.notices {
            note(format!("note: {notice}"));
        }
        Ok(read.queries)
    }
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
}

/// Says how many queries found nothing, where nothing but their words can be the reason.
pub(crate) fn tell_silent<'a>(ids: impl Iterator<Item = &'a str>) {
    let silent: Vec<&str> = ids.collect();
    if let Some(first) = silent.first() {
        let (many, first) = (count(silent.len() as u64), format!("{first:?}"));
        note(format!(
            "note: {many} queries have no words that can match, such as {first}: nothing is found for them"
        ));
    }
}

/// The vectors of `queries`, in their order. Tokens that the index does not know are counted and
/// reported on standard error. Terms given by number are the index's, or named by `vocabulary`.
pub(crate) fn vectors(
    index: &Index,
    encoder: Option<&dyn EncodeQuery>,
    queries: &[Query],
    vocabulary: Option<&[String]>,
) -> anyhow::Result<Vec<SparseVector>> {
    let Some(lexicon) = index.lexicon() else {
        bail!("this index has no sparse channel; search it with --channel bm25");
    };
    let by_number = |query: &Query| matches!(query.vector, Some(InputVector::Terms(_)));
    if vocabulary.is_some() && !queries.iter().any(by_number) {
        bail!("--vocab names terms given by number, and no query gives any: leave it out");
    }
    if vocabulary.is_some() && !lexicon.is_named() {
        bail!("--vocab names terms, and the index's terms are numbers without names: leave it out");
    }
    let converted = queries
        .par_iter()
        .map(|query| {
            let mut unknown: Vec<String> = Vec::new();
            let vector = match &query.vector {
                Some(InputVector::Terms(vector)) => {
                    let mut pairs = Vec::with_capacity(vector.len());
                    for (number, weight) in vector.iter() {
                        let term = match vocabulary {
                            None => index.term_of_number(number)?,
                            Some(names) => lexicon.term(name(names, number, &query.id)?),
                        };
                        match term {
                            Some(TermId(term)) => pairs.push((term, weight)),
                            None => unknown.push(number.to_string()),
                        }
                    }
                    SparseVector::from_pairs(pairs).with_context(|| format!("query `{}`", query.id))?
                }
                Some(InputVector::Tokens(tokens)) => {
                    let mut pairs = Vec::new();
                    for (token, weight) in tokens {
                        match lexicon.term(token) {
                            Some(TermId(term)) => pairs.push((term, *weight)),
                            None => unknown.push(token.clone()),
                        }
                    }
                    SparseVector::from_pairs(pairs).with_context(|| format!("query `{}`", query.id))?
                }
                None => match encoder {
                    Some(encoder) => encoder.encode_query(&query.text)?,
                    None => bail!(
                        "query `{}` is text, and this index has no query encoder: give encoded queries, or --model",
                        query.id
                    ),
                },
            };
            Ok((vector, unknown))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut unknown: BTreeMap<&str, u64> = BTreeMap::new();
    for token in converted.iter().flat_map(|c| &c.1) {
        *unknown.entry(token).or_default() += 1;
    }
    if !unknown.is_empty() {
        let examples: Vec<&str> = unknown.keys().take(5).copied().collect();
        note(format!(
            "note: {} query tokens ({} different) are not in the index's lexicon and match nothing, such as {}",
            count(unknown.values().sum()),
            count(unknown.len() as u64),
            examples.join(", ")
        ));
    }
    Ok(converted.into_iter().map(|c| c.0).collect())
}

/// What a vocabulary calls a number.
fn name<'a>(names: &'a [String], number: u32, query: &str) -> anyhow::Result<&'a str> {
    match names.get(number as usize) {
        Some(name) => Ok(name),
        None => bail!(
            "query `{query}`: term {number} lies beyond the vocabulary of {} tokens",
            count(names.len() as u64)
        ),
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
    fn a_question_is_encoded_once() {
        let counting = Arc::new(Counting(AtomicUsize::new(0)));
        let once = Once::new(Arc::clone(&counting) as Arc<dyn EncodeQuery>);
        for text in ["a", "bc", "a", "a", "bc"] {
            let term = u32::try_from(text.len()).unwrap();
            assert_eq!(once.encode_query(text).unwrap().terms(), [term]);
        }
        assert_eq!(counting.0.load(Ordering::Relaxed), 2);
    }
}
