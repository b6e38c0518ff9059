//! Dense vectors as other programs export them: an .npy matrix of fp16 or fp32, one row a text. A row of zeros stands
//! for a text without a vector.

use std::path::Path;

use quarry_vectors::{DenseVector, DenseVectorError};

use crate::error::DatasetError;
use crate::npy::{Ids, Matrix};

/// An open matrix of dense vectors.
#[derive(Debug)]
pub struct DenseRows {
    matrix: Matrix,
}

impl DenseRows {
    /// Opens the file.
    ///
    /// # Errors
    /// When it cannot be read, or is not a whole matrix of fp16 or fp32.
    pub fn open(path: &Path) -> Result<Self, DatasetError> {
        Ok(Self { matrix: Matrix::open(path, "rows x dimensions")? })
    }

    /// Dimensions of a vector.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.matrix.dims()
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.matrix.rows()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The vector at a position; `None` for a row of zeros.
    ///
    /// # Errors
    /// When the row does not exist or cannot be read, or when one of its values is not finite or too large.
    pub fn vector(&mut self, position: u64) -> Result<Option<DenseVector>, DatasetError> {
        let wrong = |path: &Path, what: String| DatasetError::TokenRows { path: path.into(), what };
        if position >= self.len() {
            let what = format!("row {position} (from 0) of {}", self.len());
            return Err(wrong(self.matrix.path(), what));
        }
        match DenseVector::new(self.matrix.read(position..position + 1)?) {
            Ok(vector) => Ok(Some(vector)),
            Err(DenseVectorError::Zero) => Ok(None),
            Err(error) => {
                Err(wrong(self.matrix.path(), format!("row {position} (from 0): {error}")))
            }
        }
    }
}

/// Dense vectors by id.
#[derive(Debug)]
pub struct NamedDenseRows {
    rows: DenseRows,
    ids: Ids,
}

impl NamedDenseRows {
    /// Opens the matrix and the file of ids, one a line, in the order of the rows.
    ///
    /// # Errors
    /// As [`DenseRows::open`]; when ids repeat, or are more or fewer than rows.
    pub fn open(rows: &Path, ids: &Path) -> Result<Self, DatasetError> {
        let (path, rows, ids) = (ids, DenseRows::open(rows)?, Ids::read(ids)?);
        if ids.all().len() as u64 != rows.len() {
            let what = format!(
                "{} ids for {} rows: the files do not belong together",
                ids.all().len(),
                rows.len()
            );
            return Err(DatasetError::TokenRows { path: path.into(), what });
        }
        Ok(Self { rows, ids })
    }

    /// Dimensions of a vector.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.rows.dims()
    }

    /// The ids, in the files' order.
    #[must_use]
    pub fn ids(&self) -> &[String] {
        self.ids.all()
    }

    /// The vector of an id: the outer `None` where the files do not have it, the inner for a row of zeros.
    ///
    /// # Errors
    /// As [`DenseRows::vector`].
    pub fn vector(&mut self, id: &str) -> Option<Result<Option<DenseVector>, DatasetError>> {
        let position = self.ids.find(id)?;
        Some(self.rows.vector(position as u64))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::npy::testing::{floats, npy};

    #[test]
    fn vectors_are_read_by_place_and_by_id() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        npy(&at("rows"), "<f4", "(3, 2)", &floats(&[1., 2., 0., 0., f32::NAN, 6.]));
        std::fs::write(at("ids"), "a\nb\nc\n").unwrap();
        let mut rows = DenseRows::open(&at("rows")).unwrap();
        assert_eq!((rows.len(), rows.dims()), (3, 2));
        assert_eq!(rows.vector(0).unwrap().unwrap().values(), [1., 2.]);
        assert_eq!(rows.vector(1).unwrap(), None);
        assert!(rows.vector(2).unwrap_err().to_string().contains("row 2 (from 0): value 0"));
        assert!(rows.vector(3).unwrap_err().to_string().contains("row 3 (from 0) of 3"));
        let mut named = NamedDenseRows::open(&at("rows"), &at("ids")).unwrap();
        assert_eq!(named.vector("a").unwrap().unwrap().unwrap().values(), [1., 2.]);
        assert!(named.vector("b").unwrap().unwrap().is_none());
        assert!(named.vector("d").is_none());
        std::fs::write(at("ids"), "a\nb\n").unwrap();
        let error = NamedDenseRows::open(&at("rows"), &at("ids")).unwrap_err();
        assert!(error.to_string().contains("2 ids for 3 rows"), "{error}");
        npy(&at("flat"), "<f4", "(2,)", &floats(&[1., 2.]));
        let error = DenseRows::open(&at("flat")).unwrap_err();
        assert!(error.to_string().contains("expected rows x dimensions"), "{error}");
    }
}
