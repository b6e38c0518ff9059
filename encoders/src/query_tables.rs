//! Query tables: the weight of each token, in the three forms that models bring.
//!
//! A JSON object of token to weight (OpenSearch's `idf.json`); lines of a token, white space, a
//! weight (Lucene's `query_token_weights.txt`); safetensors with a float32 `weight` for each id
//! (sentence-transformers' `SparseStaticEmbedding`, and learned tables such as Li-LSR's, Nardini et
//! al., arXiv 2505.01452). The form is told by the first bytes.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensors};

use crate::{EncoderError, Vocabulary};

/// The table as an array; what it lacks, and weights of zero or less, become 0.
///
/// # Errors
/// When it is of no known form, has other tokens than the vocabulary, or weights that are not numbers.
pub fn weights_by_id(vocabulary: &Vocabulary, table: &[u8]) -> Result<Vec<f32>, EncoderError> {
    // Safetensors begin with the length of a JSON header, eight bytes.
    if table.get(8) == Some(&b'{') && table.get(7) == Some(&0) {
        return of_tensor(vocabulary, table);
    }
    let first = table.iter().find(|b| !b.is_ascii_whitespace());
    let table: HashMap<String, f32> = if first == Some(&b'{') {
        serde_json::from_slice(table).map_err(|source| EncoderError::QueryTable { source })?
    } else {
        lines(table)?
    };
    let mut weights = vec![0.0_f32; vocabulary.tokens().len()];
    let mut unknown: Vec<&str> = Vec::new();
    for (token, &weight) in &table {
        if !weight.is_finite() {
            return Err(not_finite(token, weight));
        }
        match vocabulary.id(token).and_then(|id| weights.get_mut(id as usize)) {
            Some(slot) => *slot = weight.max(0.0),
            None => unknown.push(token),
        }
    }
    match unknown.iter().min() {
        Some(example) => Err(EncoderError::QueryTableVocabulary {
            unknown: unknown.len(),
            example: (*example).to_owned(),
        }),
        None => Ok(weights),
    }
}

fn not_finite(token: &str, weight: f32) -> EncoderError {
    EncoderError::QueryTableWeights { reason: format!("gives {token:?} the weight {weight}") }
}

fn lines(table: &[u8]) -> Result<HashMap<String, f32>, EncoderError> {
    let refused = |line: usize| EncoderError::QueryTableWeights {
        reason: format!("has no token and weight in line {line}"),
    };
    let text = std::str::from_utf8(table).map_err(|_| refused(1))?;
    let mut found = HashMap::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty()) {
        let (token, weight) = line
            .rsplit_once(['\t', ' '])
            .and_then(|(token, weight)| Some((token.trim_end(), weight.parse().ok()?)))
            .ok_or_else(|| refused(number))?;
        found.insert(token.to_owned(), weight);
    }
    if found.is_empty() {
        return Err(refused(1));
    }
    Ok(found)
}

fn of_tensor(vocabulary: &Vocabulary, table: &[u8]) -> Result<Vec<f32>, EncoderError> {
    let refused = |reason: String| EncoderError::QueryTableWeights { reason };
    let all = SafeTensors::deserialize(table)
        .map_err(|e| refused(format!("is not a file of safetensors ({e})")))?;
    let tensor = all.tensor("weight").map_err(|_| refused("has no tensor `weight`".to_owned()))?;
    let rows = vocabulary.tokens().len();
    if tensor.dtype() != Dtype::F32 || tensor.shape() != [rows] {
        return Err(refused(format!(
            "has a tensor `weight` of {:?} {:?}, expected F32 [{rows}]",
            tensor.dtype(),
            tensor.shape()
        )));
    }
    let weights: Vec<f32> = tensor
        .data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    match weights.iter().zip(vocabulary.tokens()).find(|(w, _)| !w.is_finite()) {
        Some((weight, token)) => Err(not_finite(token, *weight)),
        None => Ok(weights.into_iter().map(|w| w.max(0.0)).collect()),
    }
}
