//! Which position of a text gave each component of its vector.
//!
//! The vector's terms are known by now, a hundred or two of a whole vocabulary, so only their columns
//! of the token values `[length, dimension]` are looked at: position by position, so that reads of one
//! row do not wait for each other.
//!
//! What weighs is an increasing function of the value, so the largest value is the largest weight; with
//! sums it is the largest share.

use std::ops::Range;

/// Finds the positions; its space is reused from text to text.
#[derive(Debug, Default)]
pub(crate) struct Winners {
    at: Vec<u32>,
    float: Vec<f32>,
    whole: Vec<i32>,
}

impl Winners {
    /// Of each of `terms` the position among `positions` whose value is the largest, of equal ones the
    /// first.
    pub(crate) fn float(
        &mut self,
        values: &[f32],
        positions: Range<usize>,
        dimension: usize,
        terms: &[u32],
    ) -> &[u32] {
        largest(values, positions, (dimension, terms), (&mut self.float, &mut self.at));
        &self.at
    }

    /// [`Self::float`] for whole numbers.
    pub(crate) fn whole(
        &mut self,
        values: &[i32],
        positions: Range<usize>,
        dimension: usize,
        terms: &[u32],
    ) -> &[u32] {
        largest(values, positions, (dimension, terms), (&mut self.whole, &mut self.at));
        &self.at
    }
}

fn largest<T: Copy + PartialOrd>(
    values: &[T],
    positions: Range<usize>,
    (dimension, terms): (usize, &[u32]),
    (most, at): (&mut Vec<T>, &mut Vec<u32>),
) {
    let rows = values.chunks_exact(dimension.max(1));
    let mut rows = positions
        .clone()
        .zip(rows.skip(positions.start))
        .map(|(position, row)| (u32::try_from(position).unwrap_or(u32::MAX), row));
    most.clear();
    at.clear();
    let Some((first, row)) = rows.next() else { return };
    most.extend(terms.iter().map(|term| row[*term as usize]));
    at.resize(terms.len(), first);
    for (position, row) in rows {
        for ((term, most), at) in terms.iter().zip(&mut *most).zip(&mut *at) {
            let value = row[*term as usize];
            if value > *most {
                (*most, *at) = (value, position);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Few different values, so that many are equal.
        #[test]
        fn equals_the_first_largest(values in prop::collection::vec(-2i32..3, 6 * 7), from in 0usize..6, length in 1usize..7) {
            let positions = from..(from + length).min(6);
            let terms = [0, 3, 6];
            let mut winners = Winners::default();
            let want: Vec<u32> = terms.iter().map(|term| {
                let value = |row: usize| values[row * 7 + *term as usize];
                let most = positions.clone().map(value).max().unwrap_or(0);
                let first = positions.clone().find(|row| value(*row) == most);
                u32::try_from(first.unwrap_or(0)).unwrap_or(0)
            }).collect();
            prop_assert_eq!(winners.whole(&values, positions.clone(), 7, &terms), &want);
            let floats: Vec<f32> = values.iter().map(|v| f32::from(i16::try_from(*v).unwrap_or(0))).collect();
            prop_assert_eq!(winners.float(&floats, positions, 7, &terms), &want);
        }
    }
}
