//! From queries as files give them to vectors of an index.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use quarry_index::Index;
use quarry_vectors::{EncodeQuery, InputVector, Query, SparseVector, TermId};
use rayon::prelude::*;

use crate::output::{count, note};

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
