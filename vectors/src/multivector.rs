//! Token embeddings of one text: what late interaction (MaxSim) compares.

/// The embeddings of one text's tokens, `rows x dims`, row by row.
///
/// MaxSim of a query and a document (Khattab and Zaharia, ColBERT, SIGIR 2020) is the sum over the
/// query's rows of the largest dot product with a row of the document. Encoders give rows of length
/// one; a text without tokens has no rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TokenEmbeddings {
    dims: usize,
    values: Vec<f32>,
}

/// Why values are not token embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenEmbeddingsError {
    /// The number of values is not a multiple of the dimensions.
    #[error("{values} values are not whole rows of {dims} dimensions")]
    Shape {
        /// Values given.
        values: usize,
        /// Dimensions of a row.
        dims: usize,
    },
    /// NaN or infinite.
    #[error("row {row} has a value that is not a finite number")]
    NotFinite {
        /// The row, from 0.
        row: usize,
    },
}

impl TokenEmbeddings {
    /// Takes `values`, rows of `dims` one after another.
    ///
    /// # Errors
    /// When `dims` is 0 or does not divide the number of values, or a value is not finite.
    pub fn new(dims: usize, values: Vec<f32>) -> Result<Self, TokenEmbeddingsError> {
        if dims == 0 || !values.len().is_multiple_of(dims) {
            return Err(TokenEmbeddingsError::Shape { values: values.len(), dims });
        }
        match values.iter().position(|v| !v.is_finite()) {
            Some(at) => Err(TokenEmbeddingsError::NotFinite { row: at / dims }),
            None => Ok(Self { dims, values }),
        }
    }

    /// Dimensions of a row.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.dims).unwrap_or(0)
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// All values, row by row.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The rows.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dims.max(1))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn rows_are_whole_and_finite() {
        let two = TokenEmbeddings::new(2, vec![1., 0., 0., 1.]).unwrap();
        assert_eq!((two.len(), two.dims()), (2, 2));
        assert_eq!(two.rows().collect::<Vec<_>>(), [[1., 0.], [0., 1.]]);
        let shape = TokenEmbeddings::new(2, vec![1.; 3]).unwrap_err();
        assert_eq!(shape, TokenEmbeddingsError::Shape { values: 3, dims: 2 });
        assert!(TokenEmbeddings::new(0, vec![]).is_err());
        let nan = TokenEmbeddings::new(2, vec![0., 0., 0., f32::NAN]).unwrap_err();
        assert_eq!(nan, TokenEmbeddingsError::NotFinite { row: 1 });
        assert_eq!(TokenEmbeddings::default().rows().len(), 0);
    }
}
