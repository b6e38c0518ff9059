//! A question's rows as kernels want them: quantised to bytes, interleaved by lanes of sixteen rows.

use quarry_index::tokens::{PAD, ResidualRows, TokensMeta};
use quarry_searcher::SearchError;
use quarry_vectors::TokenEmbeddings;

/// Rows of a question that a kernel works on side by side.
pub const LANES: usize = 16;

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
    /// `[group][stride / 2][lane][2]`
    pairs: Aligned<i16>,
    /// `[group][stride][lane]`
    floats: Aligned<f32>,
    /// -128 times the sum of a row's bytes
    offsets: Aligned<i32>,
    scales: Aligned<f32>,
    /// A row's length divided by its scale.
    reach: Aligned<f32>,
    /// What quantising the query and rounding may move a document's score by, at most.
    margin: f32,
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
            pairs: Aligned::new(all * stride),
            floats: Aligned::new(all * stride),
            offsets: Aligned::new(all),
            scales: Aligned::new(all),
            reach: Aligned::new(all),
            margin: 0.0,
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
        Ok(made)
    }

    #[expect(clippy::cast_possible_truncation, reason = "clamped to -127..=127; scales are f32")]
    fn put(&mut self, number: usize, row: &[f32]) -> Result<(f64, f64), SearchError> {
        let (group, lane) = (number / LANES, number % LANES);
        let largest = row.iter().fold(0f32, |most, v| most.max(v.abs()));
        let scale = (f64::from(largest) / 127.0) as f32;
        if scale < f32::MIN_POSITIVE {
            return Err(SearchError::ZeroRow { row: number });
        }
        let (mut moved, mut length, mut sum) = (0.0, 0.0, 0);
        let at = group * self.stride * LANES..(group + 1) * self.stride * LANES;
        let bytes = &mut self.bytes.get_mut()[at.clone()];
        let pairs = &mut self.pairs.get_mut()[at.clone()];
        let floats = &mut self.floats.get_mut()[at];
        let (scale64, inverse) = (f64::from(scale), 1.0 / f64::from(scale));
        for (d, value) in row.iter().enumerate() {
            let exact = f64::from(*value);
            // The nearest whole number; `round` would be a call where SSE4.1 is not assumed.
            let level = exact * inverse;
            let byte = ((level + 0.5f64.copysign(level)) as i32).clamp(-127, 127) as i8;
            moved += (exact - f64::from(byte) * scale64).powi(2);
            length += exact * exact;
            sum += i32::from(byte);
            bytes[d / 4 * 4 * LANES + lane * 4 + d % 4] = byte;
            pairs[d / 2 * 2 * LANES + lane * 2 + d % 2] = i16::from(byte);
            floats[d * LANES + lane] = *value;
        }
        self.offsets.get_mut()[number] = -128 * sum;
        self.scales.get_mut()[number] = scale;
        self.reach.get_mut()[number] = up(length.sqrt() / f64::from(scale));
        Ok((moved.sqrt(), length.sqrt()))
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
        self.pairs.get()
    }

    /// The rows as they were given, `[group][stride][lane]`.
    #[must_use]
    pub fn floats(&self) -> &[f32] {
        self.floats.get()
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

    /// Dot products of every row with every centroid, in units of the row's scale:
    /// `[centroid][group][lane]`.
    #[must_use]
    pub fn centroid_table(&self, rows: &ResidualRows<'_>) -> Vec<f32> {
        let lanes = self.groups() * LANES;
        let mut table = vec![0f32; rows.centroids.len() / rows.stride.max(1) * lanes];
        let sets = table.chunks_exact_mut(lanes.max(1));
        for (centroid, out) in rows.centroids.chunks_exact(rows.stride).zip(sets) {
            for (group, out) in out.chunks_exact_mut(LANES).enumerate() {
                let values = &self.floats.get()[group * self.stride * LANES..];
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
