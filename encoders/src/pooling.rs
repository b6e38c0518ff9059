//! Token outputs `[length, dimension]` of one text become one row.
//!
//! 1. for each position that counts, take the larger of what is there and its values (or add their
//!    weights)  2. apply the activation, which grows with its argument, so that `max` needs it once
//!    a dimension and not once a value
//!
//! (Formal et al., SPLADE, SIGIR 2021: sum; SPLADE v2, arXiv 2109.10086: max.)

use std::ops::Range;

use crate::{Activation, EncoderError, Pooling};

/// Pools the rows `positions` of `values` into `out`; `passage` is for messages. Cost: one pass
/// over the rows.
pub(crate) fn pool(
    values: &[f32],
    positions: Range<usize>,
    dimension: usize,
    (pooling, activation): (Pooling, Activation),
    passage: usize,
    out: &mut Vec<f32>,
) -> Result<(), EncoderError> {
    let rows = values.chunks_exact(dimension.max(1)).take(positions.end).skip(positions.start);
    out.clear();
    let mut not_a_number = false;
    if pooling == Pooling::Sum {
        out.resize(dimension, 0.0);
        for row in rows {
            for (sum, x) in out.iter_mut().zip(row) {
                // Most values are below zero and weigh nothing.
                if *x > 0.0 || x.is_nan() || activation == Activation::None {
                    not_a_number |= x.is_nan();
                    *sum += activation.apply(*x);
                }
            }
        }
    } else {
        out.resize(dimension, f32::NEG_INFINITY);
        for row in rows {
            for (most, x) in out.iter_mut().zip(row) {
                not_a_number |= x.is_nan();
                *most = if *x > *most { *x } else { *most };
            }
        }
        for value in out.iter_mut() {
            *value = if *value > 0.0 { activation.apply(*value) } else { 0.0 };
        }
    }
    if not_a_number {
        let rows = values.chunks_exact(dimension.max(1)).take(positions.end).skip(positions.start);
        let at = rows.filter_map(|row| (0..).zip(row).find(|(_, x)| x.is_nan())).next();
        let term = at.map_or(0, |(term, _)| term);
        return Err(EncoderError::OutputValue { passage, term, found: f32::NAN });
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KINDS: [Activation; 3] =
        [Activation::Relu, Activation::Log1pRelu, Activation::Log1pLog1pRelu];

    #[test]
    fn what_is_no_number_is_refused() {
        for pooling in [Pooling::Max, Pooling::Sum] {
            let values = [0.0, 1.0, f32::NAN, 2.0];
            let kind = (pooling, Activation::Relu);
            let error = pool(&values, 0..2, 2, kind, 7, &mut Vec::new()).unwrap_err();
            assert!(matches!(error, EncoderError::OutputValue { passage: 7, term: 0, .. }));
            // Padding may hold anything.
            let mut out = Vec::new();
            pool(&values, 0..1, 2, kind, 7, &mut out).unwrap();
            assert_eq!(out, [0.0, 1.0]);
        }
    }

    proptest! {
        #[test]
        fn equals_the_formula(values in prop::collection::vec(-3.0f32..3.0, 12), from in 0usize..3, to in 0usize..4, kind in 0usize..3) {
            let (to, activation) = (to.max(from), KINDS[kind]);
            let mut out = Vec::new();
            for pooling in [Pooling::Max, Pooling::Sum] {
                pool(&values, from..to, 3, (pooling, activation), 0, &mut out).unwrap();
                for term in 0..3 {
                    let weights = (from..to).map(|row| activation.apply(values[row * 3 + term]));
                    let want = match pooling {
                        Pooling::Sum => weights.sum::<f32>(),
                        _ => weights.fold(0.0, f32::max),
                    };
                    prop_assert!((out[term] - want).abs() < 1e-5);
                }
            }
        }
    }
}
