//! Anserini's encoded queries: `qid TAB token token ...`, each token as often as it weighs.

use std::collections::HashMap;

use quarry_vectors::{InputVector, Query};

use crate::error::DatasetError;
use crate::lines::Line;
use crate::{json_record, tab_separated};

/// Reads a line; tokens stand in the order of their first appearance.
pub(crate) fn query(line: Line<'_>, scale: Option<f32>) -> Result<Query, DatasetError> {
    let (id, tokens) = tab_separated::columns(line)?;
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut pairs: Vec<(String, f32)> = Vec::new();
    for token in tokens.split_ascii_whitespace() {
        let place = *places.entry(token).or_insert(pairs.len());
        match pairs.get_mut(place) {
            Some((_, weight)) => *weight += 1.0,
            None => pairs.push((token.to_owned(), 1.0)),
        }
    }
    let pairs = json_record::weights(line, pairs, scale)?;
    Ok(Query { id: id.to_owned(), text: String::new(), vector: Some(InputVector::Tokens(pairs)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn weight_is_the_count() {
        let line = Line { path: Path::new("f"), number: 1, text: "q1\tb a b ##c b" };
        let want = [("b", 3.0), ("a", 1.0), ("##c", 1.0)].map(|(t, w)| (t.to_owned(), w));
        assert_eq!(
            query(line, None).unwrap(),
            Query {
                id: "q1".into(),
                text: String::new(),
                vector: Some(InputVector::Tokens(want.into()))
            }
        );
    }
}
