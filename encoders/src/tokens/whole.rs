//! The row of a text as a whole, and for how much each row of a question counts.
//!
//! 1. the mean of the second columns over all tokens  2. length one  3. in questions: weights, scaled
//!    to one on average

use super::parameters::WholeRow;
use crate::{EncoderError, Vocabulary};

/// [`WholeRow`], read and checked.
#[derive(Debug)]
pub(super) struct Whole {
    /// The columns' place in a row of the graph.
    column: usize,
    dims: usize,
    /// For how much the row counts, for each token of a question.
    weight: f64,
    /// Rows that a question's tokens get at most.
    most: usize,
    /// By token id, whether questions get no row for it; tokens beyond the end get one.
    skipped: Vec<bool>,
}

impl Whole {
    /// `width`: values of a row as the graph gives it. `dims`: of a row as it is kept.
    pub(super) fn new(
        parameters: &WholeRow,
        vocabulary: &Vocabulary,
        width: u32,
        dims: u32,
    ) -> Result<Self, EncoderError> {
        let column = parameters.column;
        // Neither set of columns may reach into the other, or out of the row.
        let most = column.min(width.saturating_sub(column));
        if dims > most {
            return Err(EncoderError::Parameter {
                parameter: "tokens.parameters.dims",
                expected: format!("1 to {most}"),
                found: dims,
            });
        }
        let name = "tokens.parameters.whole.query_skip_tokens";
        let ids = vocabulary.ids(name, &parameters.query_skip_tokens)?;
        Ok(Self {
            column: column as usize,
            dims: dims as usize,
            weight: parameters.query_weight,
            most: parameters.query_rows as usize,
            skipped: by_id(&ids),
        })
    }

    /// The row, of length one: `rows` are the text's alone, `width` values each.
    #[expect(clippy::cast_possible_truncation, reason = "at most 1")]
    pub(super) fn row(&self, rows: &[f32], width: usize) -> Vec<f32> {
        let mut sums = vec![0f64; self.dims];
        for row in rows.chunks_exact(width) {
            let values = &row[self.column..self.column + self.dims];
            sums.iter_mut().zip(values).for_each(|(sum, v)| *sum += f64::from(*v));
        }
        // The mean has the sum's direction.
        let length = sums.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-12);
        sums.iter().map(|v| (v / length) as f32).collect()
    }

    /// Which of a question's tokens get a row, and what the row of the whole and each of theirs is
    /// multiplied by: these sum to the number of rows.
    #[expect(clippy::cast_precision_loss, reason = "numbers of tokens")]
    #[expect(clippy::cast_possible_truncation, reason = "rounded once")]
    pub(super) fn of_question(&self, ids: &[u32]) -> (Vec<bool>, f32, f32) {
        let counts = |id: &u32| !self.skipped.get(*id as usize).copied().unwrap_or(false);
        let all = ids.iter().filter(|id| counts(id)).count();
        let mut left = self.most;
        let kept = ids.iter().map(|id| {
            let keep = counts(id) && left > 0;
            left -= usize::from(keep);
            keep
        });
        let kept = kept.collect();
        let rows = self.most.min(all);
        if rows == 0 {
            return (kept, 1.0, 1.0);
        }
        let (all, rows) = (all as f64, rows as f64);
        let whole = self.weight * all;
        let scale = (rows + 1.0) / (rows + whole);
        (kept, (whole * scale) as f32, scale as f32)
    }
}

/// By token id, whether it is one of `ids`, up to the largest.
pub(super) fn by_id(ids: &[u32]) -> Vec<bool> {
    let mut found = vec![false; ids.iter().max().map_or(0, |most| *most as usize + 1)];
    ids.iter().for_each(|&id| found[id as usize] = true);
    found
}

#[cfg(test)]
mod tests {
    use super::Whole;
    use proptest::prelude::*;

    fn whole(weight: f64, most: usize) -> Whole {
        Whole { column: 3, dims: 2, weight, most, skipped: vec![false, true, true] }
    }

    #[test]
    fn the_row_is_the_mean_of_the_second_columns() {
        let rows = [9.0, 9.0, 9.0, 1.0, 0.0, 9.0, 9.0, 9.0, 2.0, 4.0];
        let row = whole(0.5, 4).row(&rows, 5);
        assert_eq!(row, [0.6, 0.8]);
    }

    #[test]
    fn a_question_counts_as_its_parameters_say() {
        // [CLS] 1, [SEP] 2; three tokens count, two get rows, the whole counts 1.5 of 3.5.
        let (kept, of_whole, of_tokens) = whole(0.5, 2).of_question(&[1, 7, 8, 0, 2]);
        assert_eq!(kept, [false, true, true, false, false]);
        assert!((f64::from(of_whole) - 4.5 / 3.5).abs() < 1e-6, "{of_whole}");
        assert!((f64::from(of_tokens) - 3.0 / 3.5).abs() < 1e-6, "{of_tokens}");
        // Nothing but skipped tokens: the whole alone, as it is.
        let (kept, of_whole, _) = whole(0.5, 2).of_question(&[1, 2]);
        assert_eq!((kept, of_whole), (vec![false, false], 1.0));
    }

    proptest! {
        #[test]
        fn rows_count_one_on_average(
            ids in prop::collection::vec(0u32..9, 1..80), weight in 0.01f64..3.0, most in 1usize..40,
        ) {
            let (kept, of_whole, of_tokens) = whole(weight, most).of_question(&ids);
            let rows = kept.iter().filter(|k| **k).count();
            prop_assert!(rows <= most);
            prop_assert!(of_whole > 0.0 && of_tokens > 0.0);
            let sum = f64::from(of_whole) + f64::from(of_tokens) * rows as f64;
            prop_assert!((sum - (rows + 1) as f64).abs() < 1e-4 * sum, "{sum} of {rows}");
        }
    }
}
