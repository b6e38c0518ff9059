//! Vector-PRF: feedback for dense vectors (Li et al. 2021, arXiv 2108.11044), by Rocchio without negative documents.
//!
//! q' = (1 - b) q + b mean(d), of the vectors as they are stored. The result is not brought to length one: ranking by dot
//! product does not ask for it.
//!
//! Cost: O(documents x dimensions).

use quarry_vectors::DenseVector;

use super::expansion::{Expansion, MIN_TERMS};
use crate::error::SearchError;
use crate::outcome::Hit;
use crate::searcher::Searcher;

impl Searcher {
    /// The query, moved towards the mean of documents' vectors by `weight`, 0 to 1; as it is where none of them has a
    /// vector, or where both cancel out.
    ///
    /// # Errors
    /// [`SearchError::NoDense`]; [`SearchError::DenseDims`]; [`SearchError::Param`] for a weight out of its range.
    pub fn vector_prf(
        &self,
        query: &DenseVector,
        documents: &[Hit],
        weight: f64,
    ) -> Result<DenseVector, SearchError> {
        Expansion { terms: MIN_TERMS, weight }.check()?;
        let kept = self.index().dense().ok_or(SearchError::NoDense)?;
        if query.dims() != kept.dims {
            return Err(SearchError::DenseDims { found: query.dims(), expected: kept.dims });
        }
        let mut sums = vec![0.0; query.dims()];
        let mut count = 0.0;
        for hit in documents {
            let store = self.index().segments()[hit.segment].dense();
            let Some(vector) = store.and_then(|store| store.vector(hit.doc)) else { continue };
            sums.iter_mut().zip(&vector).for_each(|(sum, value)| *sum += f64::from(*value));
            count += 1.0;
        }
        if count == 0.0 {
            return Ok(query.clone());
        }
        #[expect(clippy::cast_possible_truncation, reason = "values are f32; each is rounded once")]
        let mixed = query
            .values()
            .iter()
            .zip(sums)
            .map(|(own, sum)| ((1.0 - weight) * f64::from(*own) + weight * sum / count) as f32);
        Ok(DenseVector::new(mixed.collect()).unwrap_or_else(|_| query.clone()))
    }
}
