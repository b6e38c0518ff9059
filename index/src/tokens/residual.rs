//! Sixteen levels for what a centroid leaves of a row.

/// Number of levels: half a byte.
pub(crate) const LEVELS: usize = 16;

/// The levels that least squares wants for normally distributed values (Max, *Quantizing for Minimum
/// Distortion*, 1960, table for 16 levels), the largest made 127.
pub(crate) const NORMAL: [i8; LEVELS] =
    [-127, -96, -75, -58, -44, -31, -18, -6, 6, 18, 31, 44, 58, 75, 96, 127];

/// The largest level of `NORMAL`, in standard deviations.
const LARGEST: f64 = 2.733;

/// The centroid (of `stride` values each) that is nearest to a row; the first of equally near ones.
/// 0 without centroids.
#[must_use]
pub fn nearest(row: &[f32], centroids: &[f32], stride: usize) -> u32 {
    let mut best = (f32::INFINITY, 0);
    for (number, centroid) in centroids.chunks_exact(stride.max(1)).enumerate() {
        let mut sums = [0f32; 8];
        for (r, c) in row.chunks(8).zip(centroid.chunks(8)) {
            for (sum, (r, c)) in sums.iter_mut().zip(r.iter().zip(c)) {
                *sum += (r - c) * (r - c);
            }
        }
        let distance: f32 = sums.iter().sum();
        if distance < best.0 {
            best = (distance, number);
        }
    }
    u32::try_from(best.1).unwrap_or(u32::MAX)
}

/// Levels of a residual and the scale that fits them best.
#[expect(clippy::cast_possible_truncation, reason = "a scale is rounded to f32 once")]
pub(crate) fn quantize(residual: &[f32], nibbles: &mut Vec<u8>) -> f32 {
    nibbles.clear();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand at most")]
    let n = residual.len().max(1) as f64;
    let mean = residual.iter().map(|r| f64::from(*r) * f64::from(*r)).sum::<f64>() / n;
    let step = mean.sqrt() * LARGEST / 127.0;
    let (mut along, mut square) = (0.0, 0.0);
    for value in residual {
        let value = f64::from(*value);
        let nearest = (0..LEVELS)
            .min_by(|a, b| {
                let far = |i: &usize| (value - step * f64::from(NORMAL[*i])).abs();
                far(a).total_cmp(&far(b))
            })
            .unwrap_or(0);
        let level = f64::from(NORMAL[nearest]);
        along += value * level;
        square += level * level;
        nibbles.push(u8::try_from(nearest).unwrap_or(0));
    }
    if square > 0.0 { (along / square) as f32 } else { 0.0 }
}
