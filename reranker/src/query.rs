//! A question's rows as kernels want them: quantised to bytes, interleaved by lanes of sixteen rows.

use std::sync::OnceLock;

use quarry_index::tokens::{PAD, ResidualRows, TokensMeta};
use quarry_searcher::SearchError;
use quarry_vectors::TokenEmbeddings;

/// Rows of a question that a kernel works on side by side.
pub const LANES: usize = 16;

/// 1.5 * 2^23: a small number that is added to it is rounded to a whole one.
const MAGIC: f32 = 12_582_912.0;
/// Half the distance between 1 and the next f32.
const ROUNDING: f64 = 5.960_464_477_539_063e-8;

/// Values that begin at a cache line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Aligned<T> {
    values: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Copy + Default> Aligned<T> {
    /// So many defaults.
    pub(crate) fn new(len: usize) -> Self {
        let room = 64 / size_of::<T>().max(1);
        let values = vec![T::default(); len + room];
        // An address that cannot be aligned is used as it is: slower, not wrong.
        let start = Some(values.as_ptr().align_offset(64)).filter(|s| *s <= room).unwrap_or(0);
        Self { values, start, len }
    }

    pub(crate) fn get(&self) -> &[T] {
        &self.values[self.start..self.start + self.len]
    }

    pub(crate) fn get_mut(&mut self) -> &mut [T] {
        &mut self.values[self.start..self.start + self.len]
    }
}

/// A question's rows, for documents of one store.
///
/// Rows are taken sixteen at a time (a *group*), the last group filled up with zeros. A row is also
/// `scale * bytes`, bytes from -127 to 127; MaxSim over int8, 4-bit and 1-bit rows uses that form,
/// over fp16 rows the values as they are.
#[derive(Debug, Clone)]
pub struct QueryRows {
    rows: usize,
    stride: usize,
    /// `[group][stride / 4][lane][4]`
    bytes: Aligned<i8>,
    /// The rows as they were given, padded, one after another.
    values: Vec<f32>,
    /// `[group][stride / 2][lane][2]`, made when a kernel wants it
    pairs: OnceLock<Aligned<i16>>,
    /// `[group][stride][lane]`, made when a kernel wants it
    floats: OnceLock<Aligned<f32>>,
    /// -128 times the sum of a row's bytes
    offsets: Aligned<i32>,
    scales: Aligned<f32>,
    /// A row's length divided by its scale.
    reach: Aligned<f32>,
    /// What quantising the query and rounding may move a document's score by, at most.
    margin: f32,
    sum_error: f64,
}

impl QueryRows {
    /// Prepares a question.
    ///
    /// # Errors
    /// When its rows have other dimensions than the store's, or one is zero.
    pub fn new(query: &TokenEmbeddings, store: &TokensMeta) -> Result<Self, SearchError> {
        if !query.is_empty() && query.dims() != store.dims {
            return Err(SearchError::TokenDims { found: query.dims(), expected: store.dims });
        }
        let stride = store.dims.next_multiple_of(PAD);
        let groups = query.len().div_ceil(LANES);
        let all = groups * LANES;
        let mut made = Self {
            rows: query.len(),
            stride,
            bytes: Aligned::new(all * stride),
            values: Vec::with_capacity(query.len() * stride),
            pairs: OnceLock::new(),
            floats: OnceLock::new(),
            offsets: Aligned::new(all),
            scales: Aligned::new(all),
            reach: Aligned::new(all),
            margin: 0.0,
            sum_error: 0.0,
        };
        let (mut lost, mut lengths) = (0.0, 0.0);
        for (number, row) in query.rows().enumerate() {
            let (moved, length) = made.put(number, row)?;
            lost += moved;
            lengths += length;
        }
        // A sum of n products is off by at most n roundings of the product of the lengths; both the
        // fp16 kernel and the bounds are such sums, and a few steps more.
        #[expect(clippy::cast_precision_loss, reason = "a few thousand at most")]
        let steps = (2 * stride + 2 * all + 64) as f64;
        let most = f64::from(store.max_norm);
        made.margin = up(lost * most + steps * ROUNDING * lengths * most);
        // Two sums, each off by n roundings of the sum of its parts' magnitudes; a part is a product of
        // a row as bytes have it, rounded twice.
        #[expect(clippy::cast_precision_loss, reason = "a few thousand at most")]
        let roundings = 2.0 * (all + 8) as f64;
        made.sum_error = 1.001 * roundings * ROUNDING * (lengths + lost) * most;
        Ok(made)
    }

    /// Quantises a row; gives bounds of the distance to its bytes, and of its length.
    #[expect(clippy::cast_possible_truncation, reason = "clamped to -127..=127; scales are f32")]
    #[expect(clippy::cast_possible_wrap, reason = "bits under 2^31")]
    #[expect(clippy::cast_precision_loss, reason = "at most 127")]
    fn put(&mut self, number: usize, row: &[f32]) -> Result<(f64, f64), SearchError> {
        let (group, lane) = (number / LANES, number % LANES);
        let largest = row.iter().fold(0f32, |most, v| most.max(v.abs()));
        let scale = (f64::from(largest) / 127.0) as f32;
        if scale < f32::MIN_POSITIVE {
            return Err(SearchError::ZeroRow { row: number });
        }
        let start = self.values.len();
        self.values.extend(row);
        self.values.resize(start + self.stride, 0.0);
        let inverse = 1.0 / scale;
        // In units of the scale, sixteen sums side by side, which compilers make vectors of.
        let (mut moved, mut length, mut sum) = ([0f32; LANES], [0f32; LANES], [0i32; LANES]);
        let at = group * self.stride * LANES..(group + 1) * self.stride * LANES;
        let bytes = &mut self.bytes.get_mut()[at];
        for (n, values) in self.values[start..].chunks_exact(LANES).enumerate() {
            let mut levels = [0i8; LANES];
            for (i, value) in values.iter().enumerate() {
                let level = value * inverse;
                // The nearest whole number, from the last bits of a float in which they count ones.
                let byte = (level + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32;
                let byte = byte.clamp(-127, 127);
                let off = level - byte as f32;
                moved[i] += off * off;
                length[i] += level * level;
                sum[i] += byte;
                levels[i] = byte as i8;
            }
            for (four, levels) in levels.as_chunks::<4>().0.iter().enumerate() {
                let d = n * LANES / 4 + four;
                bytes[(d * LANES + lane) * 4..][..4].copy_from_slice(levels);
            }
        }
        self.offsets.get_mut()[number] = -128 * sum.iter().sum::<i32>();
        self.scales.get_mut()[number] = scale;
        // Sums of at most 4,096 squares in f32, sixteen side by side, and levels that were rounded twice:
        // far less than one part in 10,000, and 2^-22 of a level, together.
        let norm = |sums: [f32; LANES]| sums.iter().map(|s| f64::from(*s)).sum::<f64>().sqrt();
        let length = norm(length) * (1.0 + 1e-4);
        let moved = norm(moved) * (1.0 + 1e-4) + length * 3e-7;
        self.reach.get_mut()[number] = up(length);
        Ok((moved * f64::from(scale), length * f64::from(scale)))
    }

    /// Values of the rows by lanes: `[group][stride / width][lane][width]`.
    fn by_lanes<T: Copy + Default>(
        &self,
        width: usize,
        value: impl Fn(usize, usize) -> T,
    ) -> Aligned<T> {
        let mut made = Aligned::new(self.groups() * self.stride * LANES);
        let out = made.get_mut();
        for row in 0..self.rows {
            let (base, lane) = (row / LANES * self.stride * LANES, row % LANES);
            for d in 0..self.stride {
                out[base + (d / width * LANES + lane) * width + d % width] = value(row, d);
            }
        }
        made
    }

    /// The rows as they were given, padded with zeros, one after another.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Dimensions of a row, padded.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Groups of [`LANES`] rows.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// The rows in bytes, `[group][stride / 4][lane][4]`.
    #[must_use]
    pub fn bytes(&self) -> &[i8] {
        self.bytes.get()
    }

    /// The same in two bytes each, `[group][stride / 2][lane][2]`.
    #[must_use]
    pub fn pairs(&self) -> &[i16] {
        self.pairs
            .get_or_init(|| {
                let bytes = self.bytes();
                self.by_lanes(2, |row, d| {
                    let base = row / LANES * self.stride * LANES;
                    i16::from(bytes[base + (d / 4 * LANES + row % LANES) * 4 + d % 4])
                })
            })
            .get()
    }

    /// The rows as they were given, `[group][stride][lane]`.
    #[must_use]
    pub fn floats(&self) -> &[f32] {
        self.floats
            .get_or_init(|| self.by_lanes(1, |row, d| self.values[row * self.stride + d]))
            .get()
    }

    /// -128 times the sum of each row's bytes, groups filled up with zeros.
    #[must_use]
    pub fn offsets(&self) -> &[i32] {
        self.offsets.get()
    }

    /// Scale of each row, groups filled up with zeros.
    #[must_use]
    pub fn scales(&self) -> &[f32] {
        self.scales.get()
    }

    /// Length of each row divided by its scale: times a document row's error, how far a dot product
    /// in units of the query's scale may be off. Groups filled up with zeros.
    #[must_use]
    pub fn reach(&self) -> &[f32] {
        self.reach.get()
    }

    /// What quantising the query and rounding may move a document's score by, at most: half the
    /// distance that bounds keep beside the errors of the document's rows.
    #[must_use]
    pub fn margin(&self) -> f32 {
        self.margin
    }

    /// How far two sums of a document's score, over the same products in any two orders, may differ.
    #[cfg(feature = "cuda")]
    pub(crate) fn sum_error(&self) -> f64 {
        self.sum_error
    }

    /// Dot products of every row with every centroid, in units of the row's scale:
    /// `[centroid][group][lane]`.
    #[must_use]
    pub fn centroid_table(&self, rows: &ResidualRows<'_>) -> Vec<f32> {
        let lanes = self.groups() * LANES;
        let mut table = vec![0f32; rows.centroids.len() / rows.stride.max(1) * lanes];
        let sets = table.chunks_exact_mut(lanes.max(1));
        for (centroid, out) in rows.centroids.chunks_exact(rows.stride).zip(sets) {
            for (group, out) in out.chunks_exact_mut(LANES).enumerate() {
                let values = &self.floats()[group * self.stride * LANES..];
                let mut sums = [0f32; LANES];
                for (c, lanes) in centroid.iter().zip(values.chunks_exact(LANES)) {
                    for (sum, q) in sums.iter_mut().zip(lanes) {
                        *sum += c * q;
                    }
                }
                let scales = &self.scales.get()[group * LANES..];
                for ((out, sum), scale) in out.iter_mut().zip(sums).zip(scales) {
                    *out = if *scale > 0.0 { sum / scale } else { 0.0 };
                }
            }
        }
        table
    }
}

/// The next f32 that is surely not below a sum computed in f64.
#[expect(clippy::cast_possible_truncation, reason = "goes up to the next f32 afterwards")]
fn up(value: f64) -> f32 {
    ((value * (1.0 + 1e-12)) as f32).next_up()
}
