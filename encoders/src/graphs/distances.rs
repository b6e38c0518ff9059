//! MPNet's bias of attention by distance (Song et al. 2020, after T5).
//!
//! 1. each distance has a class: its sign, and its size, one by one below 8, then by powers of the square root of 2
//!    up to 128  2. the checkpoint has a number for each class and head  3. the graph has them by distance, and takes
//!    those of the input's length: `[heads, length, length]`, the same in all layers

use super::body::{BodyWriter, to_i64};
use super::config::BUCKETS;
use super::error::GraphError;
use super::writer::Attribute;

/// Distances to one side that have a class of their own.
const SINGLE: usize = 8;

/// The class of the token `distance` places behind (to the left of) the one that attends, or before it.
fn class(distance: usize, behind: bool) -> usize {
    let size = match distance {
        0..SINGLE => distance,
        // 8 + 2 log2(distance / 8), rounded down, in whole numbers: 2 to the power is at most (distance / 8)².
        _ => {
            let square = distance.saturating_mul(distance) / (SINGLE * SINGLE);
            SINGLE + (square.ilog2() as usize).min(BUCKETS / 2 - SINGLE - 1)
        }
    };
    if behind { size } else { size + BUCKETS / 2 }
}

impl BodyWriter<'_> {
    /// What is added to attention's scores, `mask` and, where the family has one, the bias by distance.
    pub(super) fn with_distances(&mut self, mask: String) -> Result<String, GraphError> {
        let Some(name) = self.names.distances else { return Ok(mask) };
        let (heads, longest) = (self.body.heads, self.body.max_positions as usize);
        let name = format!("{}{name}.weight", self.prefix);
        let table = self.weights.matrix(&name, BUCKETS, heads, "a layer")?;
        // From the farthest behind to the farthest before.
        let behind = (1..longest).rev().map(|distance| class(distance, true));
        let before = (0..longest).map(|distance| class(distance, distance == 0));
        let rows = behind.chain(before).map(|class| class * heads..(class + 1) * heads);
        let values: Vec<f32> = rows.flat_map(|row| &table.values[row]).copied().collect();
        let w = &mut self.writer;
        let table = w.floats("distances", &[2 * longest - 1, heads], &values);
        let shape = w.add("Shape", &[super::TOKEN_IDS], &[]);
        let (zero, one) = (w.index(0), w.index(1));
        let length = w.add("Gather", &[&shape, &one], &[Attribute::Whole("axis", 0)]);
        let places = w.add("Range", &[&zero, &length, &one], &[]);
        let (first, second) = (w.wholes(&[0]), w.wholes(&[1]));
        let to = w.add("Unsqueeze", &[&places, &first], &[]);
        let from = w.add("Unsqueeze", &[&places, &second], &[]);
        let apart = w.add("Sub", &[&to, &from], &[]);
        let middle = w.index(to_i64(longest) - 1);
        let at = w.add("Add", &[&apart, &middle], &[]);
        let bias = w.add("Gather", &[&table, &at], &[Attribute::Whole("axis", 0)]);
        let bias = w.add("Transpose", &[&bias], &[Attribute::Wholes("perm", &[2, 0, 1])]);
        Ok(w.add("Add", &[&mask, &bias], &[]))
    }
}

#[cfg(test)]
mod tests {
    use super::class;

    #[test]
    fn classes_are_those_of_transformers() {
        // MPNetEncoder.relative_position_bucket: where each class behind begins.
        let begins = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91];
        for (at, from) in begins.iter().enumerate() {
            let to = begins.get(at + 1).copied().unwrap_or(100_000);
            assert!((*from..to).all(|distance| class(distance, true) == at), "class {at}");
        }
        assert_eq!([1, 5, 16].map(|distance| class(distance, false)), [17, 21, 26]);
    }
}
