//! Tensors of a safetensors file by name, as float32, their shapes checked.

use std::path::Path;

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use super::error::GraphError;

/// A matrix, row by row. Of a linear layer, rows are its outputs and columns its inputs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Matrix {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) values: Vec<f32>,
}

impl Matrix {
    /// Columns as rows.
    pub(super) fn transposed(&self) -> Vec<f32> {
        let columns = 0..self.columns;
        columns.flat_map(|c| self.values[c..].iter().step_by(self.columns).copied()).collect()
    }
}

/// An opened file; `path` is for messages.
#[derive(Debug)]
pub(crate) struct Weights<'a> {
    tensors: SafeTensors<'a>,
    path: &'a Path,
}

impl<'a> Weights<'a> {
    /// Reads the header of `bytes`.
    pub(crate) fn new(bytes: &'a [u8], path: &'a Path) -> Result<Self, GraphError> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| GraphError::Safetensors {
            path: path.to_owned(),
            reason: e.to_string(),
        })?;
        Ok(Self { tensors, path })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    /// The shape of a tensor that `part` needs.
    pub(crate) fn shape(&self, name: &str, part: &'static str) -> Result<Vec<usize>, GraphError> {
        match self.tensors.tensor(name) {
            Ok(tensor) => Ok(tensor.shape().to_vec()),
            Err(_) => Err(self.missing(name, part)),
        }
    }

    /// A tensor of two axes of any size.
    pub(crate) fn any_matrix(&self, name: &str, part: &'static str) -> Result<Matrix, GraphError> {
        let shape = self.shape(name, part)?;
        let &[rows, columns] = shape.as_slice() else {
            // No axis fits: the message shows what was found.
            return Err(self.shape_error(name, &[0, 0], &shape));
        };
        self.matrix(name, rows, columns, part)
    }

    /// A tensor of `rows` x `columns`.
    pub(crate) fn matrix(
        &self,
        name: &str,
        rows: usize,
        columns: usize,
        part: &'static str,
    ) -> Result<Matrix, GraphError> {
        let values = self.values(name, &[rows, columns], part)?;
        Ok(Matrix { rows, columns, values })
    }

    /// A tensor of `length` values.
    pub(crate) fn vector(
        &self,
        name: &str,
        length: usize,
        part: &'static str,
    ) -> Result<Vec<f32>, GraphError> {
        self.values(name, &[length], part)
    }

    fn values(
        &self,
        name: &str,
        shape: &[usize],
        part: &'static str,
    ) -> Result<Vec<f32>, GraphError> {
        let tensor = self.tensors.tensor(name).map_err(|_| self.missing(name, part))?;
        if tensor.shape() != shape {
            return Err(self.shape_error(name, shape, tensor.shape()));
        }
        let bytes = tensor.data();
        let values: Vec<f32> = match tensor.dtype() {
            Dtype::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::F16 => {
                bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()
            }
            Dtype::BF16 => {
                bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect()
            }
            other => {
                return Err(GraphError::Elements {
                    path: self.path.to_owned(),
                    name: name.to_owned(),
                    found: format!("{other:?}"),
                });
            }
        };
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(values),
            Some(at) => {
                Err(GraphError::NotFinite { path: self.path.to_owned(), name: name.to_owned(), at })
            }
        }
    }

    pub(super) fn missing(&self, name: &str, part: &'static str) -> GraphError {
        GraphError::Missing { path: self.path.to_owned(), name: name.to_owned(), part }
    }

    pub(super) fn two_matrices(&self, name: &str) -> GraphError {
        GraphError::TwoMatrices { path: self.path.to_owned(), name: name.to_owned() }
    }

    fn shape_error(&self, name: &str, expected: &[usize], found: &[usize]) -> GraphError {
        GraphError::Shape {
            path: self.path.to_owned(),
            name: name.to_owned(),
            expected: expected.to_vec(),
            found: found.to_vec(),
        }
    }
}
