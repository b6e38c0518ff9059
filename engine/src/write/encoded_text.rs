//! What encoders made of a document's texts before the document is added, and the bytes of that, for a log.
//!
//! ```text
//! version u8, then of each row: start u32 and end u32 of its bytes of the text, parts u8, and of these in order
//!   1  sparse vector   components u32, terms u32 each, weights f32 each
//!   2  origins         bytes u32, the record as an index has it
//!   4  token rows      dimensions u32, values u32, f32 each
//!   8  dense vector    values u32 (0: the text has none), f32 each
//! ```
//!
//! All little-endian; the floats to the bit.

use std::ops::Range;

use quarry_vectors::{DenseVector, SparseVector, TokenEmbeddings};

const VERSION: u8 = 1;
const SPARSE: u8 = 1;
const ORIGINS: u8 = 2;
const TOKENS: u8 = 4;
const DENSE: u8 = 8;

/// A document's rows: one, or one a passage.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct EncodedText {
    pub(crate) rows: Vec<EncodedRow>,
}

/// What was made of a row. What is `None` was not made.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct EncodedRow {
    /// The row's bytes of the document's text.
    pub(crate) bytes: Range<usize>,
    pub(crate) sparse: Option<SparseVector>,
    /// The record of its components' origins.
    pub(crate) origins: Option<Vec<u8>>,
    pub(crate) tokens: Option<TokenEmbeddings>,
    /// The dense vector; a text without words has none.
    pub(crate) dense: Option<Option<DenseVector>>,
}

impl EncodedText {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        for row in &self.rows {
            put(&mut out, row.bytes.start);
            put(&mut out, row.bytes.end);
            let part = |there: bool, bit: u8| if there { bit } else { 0 };
            out.push(
                part(row.sparse.is_some(), SPARSE)
                    | part(row.origins.is_some(), ORIGINS)
                    | part(row.tokens.is_some(), TOKENS)
                    | part(row.dense.is_some(), DENSE),
            );
            if let Some(vector) = &row.sparse {
                put(&mut out, vector.len());
                vector.terms().iter().for_each(|term| out.extend(term.to_le_bytes()));
                floats(&mut out, vector.weights());
            }
            if let Some(record) = &row.origins {
                put(&mut out, record.len());
                out.extend_from_slice(record);
            }
            if let Some(tokens) = &row.tokens {
                put(&mut out, tokens.dims());
                put(&mut out, tokens.values().len());
                floats(&mut out, tokens.values());
            }
            if let Some(dense) = &row.dense {
                let values = dense.as_ref().map_or(&[][..], DenseVector::values);
                put(&mut out, values.len());
                floats(&mut out, values);
            }
        }
        out
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` if these bytes are something else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest(bytes);
        if rest.take(1)? != [VERSION] {
            return None;
        }
        let mut rows = Vec::new();
        while !rest.0.is_empty() {
            let mut row =
                EncodedRow { bytes: rest.number()?..rest.number()?, ..EncodedRow::default() };
            let parts = *rest.take(1)?.first()?;
            if parts & SPARSE > 0 {
                let count = rest.number()?;
                let terms = rest.words(count)?.map(u32::from_le_bytes).collect();
                row.sparse = Some(SparseVector::new(terms, rest.floats(count)?).ok()?);
            }
            if parts & ORIGINS > 0 {
                let count = rest.number()?;
                row.origins = Some(rest.take(count)?.to_vec());
            }
            if parts & TOKENS > 0 {
                let (dims, count) = (rest.number()?, rest.number()?);
                let values = rest.floats(count)?;
                row.tokens = Some(match (dims, count) {
                    (0, 0) => TokenEmbeddings::default(),
                    _ => TokenEmbeddings::new(dims, values).ok()?,
                });
            }
            if parts & DENSE > 0 {
                row.dense = Some(match rest.number()? {
                    0 => None,
                    count => Some(DenseVector::new(rest.floats(count)?).ok()?),
                });
            }
            rows.push(row);
        }
        Some(Self { rows })
    }
}

/// Texts and vectors are far below 4 GiB: requests are.
fn put(out: &mut Vec<u8>, number: usize) {
    out.extend(u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
}

fn floats(out: &mut Vec<u8>, values: &[f32]) {
    values.iter().for_each(|value| out.extend(value.to_le_bytes()));
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<usize> {
        usize::try_from(self.words(1)?.map(u32::from_le_bytes).next()?).ok()
    }

    fn words(&mut self, count: usize) -> Option<impl Iterator<Item = [u8; 4]> + use<'a>> {
        let (words, _) = self.take(count.checked_mul(4)?)?.as_chunks::<4>();
        Some(words.iter().copied())
    }

    fn floats(&mut self, count: usize) -> Option<Vec<f32>> {
        Some(self.words(count)?.map(f32::from_le_bytes).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row() -> impl Strategy<Value = EncodedRow> {
        let weights = prop::collection::vec(1e-30f32..1e30, 0..9);
        let origins = prop::option::of(prop::collection::vec(any::<u8>(), 0..9));
        let tokens = prop::option::of(prop::collection::vec(-1f32..1.0, 0..4));
        let dense = prop::option::of(prop::option::of(prop::collection::vec(0.1f32..1.0, 1..9)));
        (any::<(u16, u16)>(), prop::option::of(weights), origins, tokens, dense).prop_map(
            |(bytes, weights, origins, tokens, dense)| EncodedRow {
                bytes: usize::from(bytes.0)..usize::from(bytes.1),
                sparse: weights.map(|weights| {
                    let terms = (0..).step_by(7).take(weights.len()).collect();
                    SparseVector::new(terms, weights).unwrap()
                }),
                origins,
                tokens: tokens.map(|values| match values.len() {
                    0 => TokenEmbeddings::default(),
                    dims => TokenEmbeddings::new(dims, [values.clone(), values].concat()).unwrap(),
                }),
                dense: dense.map(|values| values.map(|values| DenseVector::new(values).unwrap())),
            },
        )
    }

    proptest! {
        #[test]
        fn rows_come_back_to_the_bit(rows in prop::collection::vec(row(), 0..5), cut in any::<prop::sample::Index>()) {
            let text = EncodedText { rows };
            let bytes = text.to_bytes();
            prop_assert_eq!(EncodedText::from_bytes(&bytes), Some(text));
            // Cut anywhere, it is refused or has fewer rows.
            let cut = cut.index(bytes.len());
            let read = EncodedText::from_bytes(&bytes[..cut]);
            prop_assert!(read.is_none_or(|read| read.to_bytes() == bytes[..cut]));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() { *first = VERSION; }
            let _ = EncodedText::from_bytes(&bytes);
        }
    }
}
