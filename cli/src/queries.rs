//! From queries as files give them to vectors of an index.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use quarry_index::Index;
use quarry_vectors::{EncodeQuery, InputVector, Query, SparseVector, TermId};
use rayon::prelude::*;

use crate::output::{count, note};

/// The vectors of `queries`, in their order. Tokens that the index does not know are counted and
/// reported on standard error.
pub(crate) fn vectors(
    index: &Index,
    encoder: Option<&dyn EncodeQuery>,
    queries: &[Query],
) -> anyhow::Result<Vec<SparseVector>> {
    let Some(lexicon) = index.lexicon() else {
        bail!("this index has no sparse channel; search it with --channel bm25");
    };
    let converted = queries
        .par_iter()
        .map(|query| {
            let mut unknown: Vec<String> = Vec::new();
            let vector = match &query.vector {
                Some(InputVector::Terms(vector)) => {
                    unknown.extend(vector.terms().iter().filter(|t| **t >= lexicon.len()).map(u32::to_string));
                    vector.clone()
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
