//! Layers behind the pooling (sentence-transformers' `Dense`): y = f(W x + b), plus what a residual adds. One vector
//! at a time, in f64: they are small beside the network.

use std::collections::BTreeMap;
use std::path::Path;

use crate::built::{ProjectionLayer, ResidualLayer};
use crate::graphs::{Between, Weights};
use crate::{EncoderError, files};

/// A layer, read.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    matrix: Matrix,
    bias: Vec<f32>,
    between: Between,
    residual: Option<Added>,
}

#[derive(Debug, Clone)]
enum Added {
    Input,
    Product(Matrix),
}

#[derive(Debug, Clone)]
struct Matrix {
    columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    fn times(&self, x: &[f64]) -> Vec<f64> {
        let row = |row: &[f32]| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum();
        self.values.chunks_exact(self.columns.max(1)).map(row).collect()
    }

    fn rows(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }
}

impl Layer {
    /// Reads layers that follow each other, the first on vectors of `width` values; gives the width of the last.
    pub(super) fn read_all(
        folder: &Path,
        layers: &[ProjectionLayer],
        width: usize,
    ) -> Result<(Vec<Self>, usize), EncoderError> {
        let mut files: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        for layer in layers {
            let bytes = files::read_verified(&folder.join(&layer.file), &layer.sha256)?;
            files.insert(&layer.file, bytes);
        }
        let (mut read, mut width) = (Vec::with_capacity(layers.len()), width);
        for layer in layers {
            let path = folder.join(&layer.file);
            let bytes = files.get(layer.file.as_str()).map_or(&[][..], Vec::as_slice);
            let found = Self::of(&Weights::new(bytes, &path)?, layer, width)?;
            width = found.matrix.rows();
            read.push(found);
        }
        Ok((read, width))
    }

    fn of(
        weights: &Weights<'_>,
        layer: &ProjectionLayer,
        width: usize,
    ) -> Result<Self, EncoderError> {
        let part = "a Dense module";
        let found = weights.any_matrix(&layer.tensor, part)?;
        let rows = found.rows;
        let matrix = weights.matrix(&layer.tensor, rows, width, part)?;
        let matrix = Matrix { columns: matrix.columns, values: matrix.values };
        let bias = layer.bias.as_ref().map(|name| weights.vector(name, rows, part)).transpose()?;
        let residual = match &layer.residual {
            None => None,
            Some(ResidualLayer::Input) => Some(Added::Input),
            Some(ResidualLayer::Tensor(name)) => {
                let found = weights.matrix(name, rows, width, part)?;
                Some(Added::Product(Matrix { columns: found.columns, values: found.values }))
            }
        };
        Ok(Self { matrix, bias: bias.unwrap_or_default(), between: layer.activation, residual })
    }

    pub(super) fn apply(&self, x: &[f64]) -> Vec<f64> {
        let mut y = self.matrix.times(x);
        y.iter_mut().zip(&self.bias).for_each(|(y, b)| *y += f64::from(*b));
        for y in &mut y {
            *y = match self.between {
                Between::Identity => *y,
                Between::Tanh => y.tanh(),
                Between::Relu => y.max(0.0),
                Between::Gelu => 0.5 * *y * (1.0 + libm::erf(*y / std::f64::consts::SQRT_2)),
            };
        }
        let added = match &self.residual {
            None => return y,
            Some(Added::Input) => x.to_vec(),
            Some(Added::Product(matrix)) => matrix.times(x),
        };
        y.iter_mut().zip(added).for_each(|(y, a)| *y += a);
        y
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_its_formula() {
        let matrix = Matrix { columns: 2, values: vec![1.0, 2.0, -1.0, 0.5] };
        let layer = |between, residual| Layer {
            matrix: matrix.clone(),
            bias: vec![0.5, 0.0],
            between,
            residual,
        };
        let x = [1.0, -2.0];
        assert_eq!(layer(Between::Identity, None).apply(&x), [-2.5, -2.0]);
        assert_eq!(layer(Between::Relu, Some(Added::Input)).apply(&x), [1.0, -2.0]);
        let doubled = Added::Product(Matrix { columns: 2, values: vec![1.0, 0.0, 0.0, 2.0] });
        assert_eq!(layer(Between::Identity, Some(doubled)).apply(&x), [-1.5, -6.0]);
        let tanh = layer(Between::Tanh, None).apply(&x);
        assert!((tanh[0] - (-2.5f64).tanh()).abs() < 1e-15);
        // x times the normal distribution's share below x.
        let gelu = layer(Between::Gelu, None).apply(&x);
        assert!((gelu[0] - -2.5 * 0.006_209_665_325_776).abs() < 1e-12, "{gelu:?}");
    }
}
