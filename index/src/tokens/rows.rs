//! Borrowed views of the stored forms: raw arrays for kernels, and single rows in full.

use std::ops::Range;

/// Rows in int8: row `t` is `scales[t] * rows[t * stride..][..stride]`.
#[derive(Debug, Clone, Copy)]
pub struct Int8Rows<'a> {
    /// Values from -127 to 127, row by row.
    pub rows: &'a [i8],
    /// Scale of each row.
    pub scales: &'a [f32],
    /// At least the distance between each row and its fp16 form.
    pub errors: &'a [f32],
    /// Values of a row.
    pub stride: usize,
}

impl<'a> Int8Rows<'a> {
    /// A run of rows.
    ///
    /// # Panics
    /// When they are not all there.
    #[must_use]
    pub fn slice(&self, rows: Range<usize>) -> Int8Rows<'a> {
        Int8Rows {
            rows: &self.rows[rows.start * self.stride..rows.end * self.stride],
            scales: &self.scales[rows.clone()],
            errors: &self.errors[rows],
            stride: self.stride,
        }
    }
}

/// Rows as centroid plus residual: dimension `d` of row `t` is
/// `centroids[centroid[t] * stride + d] + scales[t] * levels[nibble(t, d)]`.
///
/// Byte `i` of a row has the nibble of dimension `i` below, that of dimension `stride / 2 + i` above.
#[derive(Debug, Clone, Copy)]
pub struct ResidualRows<'a> {
    /// Two dimensions a byte, `stride / 2` bytes a row.
    pub rows: &'a [u8],
    /// Scale of each row.
    pub scales: &'a [f32],
    /// Centroid of each row.
    pub centroid: &'a [u32],
    /// The centroids, `stride` values each.
    pub centroids: &'a [f32],
    /// What the sixteen levels are worth.
    pub levels: &'a [i8],
    /// Dimensions of a row.
    pub stride: usize,
}

impl<'a> ResidualRows<'a> {
    /// A run of rows.
    ///
    /// # Panics
    /// When they are not all there.
    #[must_use]
    pub fn slice(&self, rows: Range<usize>) -> ResidualRows<'a> {
        let bytes = self.stride / 2;
        ResidualRows {
            rows: &self.rows[rows.start * bytes..rows.end * bytes],
            scales: &self.scales[rows.clone()],
            centroid: &self.centroid[rows],
            ..*self
        }
    }
}

/// Signs of rows: dimension `d` of row `t` is `scales[t]` where bit `d % 8` of byte `d / 8` is set,
/// else `-scales[t]`.
#[derive(Debug, Clone, Copy)]
pub struct SignRows<'a> {
    /// Eight dimensions a byte, `stride / 8` bytes a row.
    pub rows: &'a [u8],
    /// Scale of each row.
    pub scales: &'a [f32],
    /// Dimensions of a row.
    pub stride: usize,
}

impl<'a> SignRows<'a> {
    /// A run of rows.
    ///
    /// # Panics
    /// When they are not all there.
    #[must_use]
    pub fn slice(&self, rows: Range<usize>) -> SignRows<'a> {
        let bytes = self.stride / 8;
        SignRows {
            rows: &self.rows[rows.start * bytes..rows.end * bytes],
            scales: &self.scales[rows],
            stride: self.stride,
        }
    }
}
