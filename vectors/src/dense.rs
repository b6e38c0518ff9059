//! A dense vector: one number for each dimension of a text's embedding.

/// The largest magnitude of a value: sums of products then stay finite in single precision.
pub const MOST_DENSE_VALUE: f32 = 1e6;

/// A dense vector: at least one dimension, values of at most [`MOST_DENSE_VALUE`], not all of them zero.
///
/// Vectors are compared by their dot product. Encoders of sentences give length one; then it is the cosine.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseVector(Vec<f32>);

/// Why values are not a dense vector.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum DenseVectorError {
    /// No value.
    #[error("it has no dimensions")]
    Empty,
    /// NaN or infinite.
    #[error("value {dimension} (from 0) is not a finite number")]
    NotFinite {
        /// The dimension, from 0.
        dimension: usize,
    },
    /// Beyond [`MOST_DENSE_VALUE`].
    #[error(
        "value {dimension} (from 0) is {value}; expected at most {MOST_DENSE_VALUE} in magnitude"
    )]
    TooLarge {
        /// The dimension, from 0.
        dimension: usize,
        /// Its value.
        value: f32,
    },
    /// All values are zero.
    #[error("all its values are zero, so it has no direction to compare")]
    Zero,
}

impl DenseVector {
    /// Takes the values, one for each dimension.
    ///
    /// # Errors
    /// When there is none, one is not finite or too large, or all are zero.
    pub fn new(values: Vec<f32>) -> Result<Self, DenseVectorError> {
        if values.is_empty() {
            return Err(DenseVectorError::Empty);
        }
        if let Some(dimension) = values.iter().position(|value| !value.is_finite()) {
            return Err(DenseVectorError::NotFinite { dimension });
        }
        let large = values.iter().position(|value| value.abs() > MOST_DENSE_VALUE);
        if let Some(dimension) = large {
            let value = values[dimension];
            return Err(DenseVectorError::TooLarge { dimension, value });
        }
        match values.iter().all(|value| *value == 0.0) {
            true => Err(DenseVectorError::Zero),
            false => Ok(Self(values)),
        }
    }

    /// Number of dimensions.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.0.len()
    }

    /// The values.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_finite_and_have_a_direction() {
        let new = DenseVector::new;
        assert_eq!(new(vec![]), Err(DenseVectorError::Empty));
        assert_eq!(new(vec![0.0, -0.0]), Err(DenseVectorError::Zero));
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = new(vec![1.0, wrong]);
            assert_eq!(error, Err(DenseVectorError::NotFinite { dimension: 1 }));
        }
        let large = DenseVectorError::TooLarge { dimension: 0, value: -2e6 };
        assert_eq!(new(vec![-2e6]), Err(large));
        let two = new(vec![0.0, -2.0]);
        assert_eq!(two.as_ref().map(DenseVector::dims), Ok(2));
        assert_eq!(two.as_ref().map(DenseVector::values), Ok([0.0, -2.0].as_slice()));
    }
}
