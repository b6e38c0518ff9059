//! Rankings and the one total order of hits.

use std::cmp::Ordering;

use serde::Serialize;

/// A hit: a document's own id and its score in original weight units.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoredDoc {
    /// The collection's name of the document.
    pub id: String,
    /// Score; larger is better.
    pub score: f64,
}

/// Hits of one query, best first.
pub type Ranking = Vec<ScoredDoc>;

/// The order of hits everywhere in Quarry: higher score first, of equal scores the id that is
/// larger bytewise (`trec_eval`'s order). `Less` means that `a` stands before `b`.
#[must_use]
pub fn better(a: (f64, &[u8]), b: (f64, &[u8])) -> Ordering {
    b.0.total_cmp(&a.0).then_with(|| b.1.cmp(a.1))
}

/// The scores of a ranking, best first, with as few digits as keep their order: each is the shortest
/// decimal that identifies its f32, unless the f32 ties it with a neighbour that it differs from (or is
/// infinite, or zero in place of a positive score); such a score is returned as it is.
#[must_use]
pub fn printed(scores: &[f64]) -> Vec<f64> {
    let mut out = Vec::with_capacity(scores.len());
    for alike in scores.chunk_by(|a, b| narrow(*a) == narrow(*b)) {
        let tie = alike.iter().all(|score| *score == alike[0]);
        out.extend(alike.iter().map(|score| if tie { shortest(*score) } else { *score }));
    }
    out
}

fn shortest(score: f64) -> f64 {
    let narrow = narrow(score);
    if !narrow.is_finite() || (narrow == 0.0 && score != 0.0) {
        return score;
    }
    by_digits(narrow).unwrap_or_else(|| narrow.to_string().parse().unwrap_or(score))
}

/// The shortest decimal that identifies `narrow`, without making text of it: runs of a thousand hits a query
/// are written by the million. None outside of 1e-6 to 1e15.
fn by_digits(narrow: f32) -> Option<f64> {
    const POWERS: [f64; 16] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let value = f64::from(narrow);
    let size = value.abs();
    if !(1e-6..1e15).contains(&size) {
        return None;
    }
    // Digits before the point, 0 or fewer for what begins behind it.
    let whole = POWERS.iter().take_while(|power| **power <= size).count();
    let point = match whole {
        0 => POWERS.iter().take_while(|power| size * **power < 0.1).count().wrapping_neg(),
        whole => whole,
    };
    // Six digits identify what has no more, nine any f32. Digits and powers are whole numbers that f64 holds, so
    // that the quotient is the decimal, rounded once.
    (6..=9usize).find_map(|digits| {
        let decimal = match digits.wrapping_sub(point) {
            behind @ 0..=15 => (value * POWERS[behind]).round() / POWERS[behind],
            ahead => {
                let ahead = *POWERS.get(ahead.wrapping_neg())?;
                (value / ahead).round() * ahead
            }
        };
        (self::narrow(decimal) == narrow).then_some(decimal)
    })
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is wanted")]
fn narrow(score: f64) -> f32 {
    score as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_scores_go_by_id_descending() {
        let mut hits = [(1.0, "b"), (2.0, "a"), (1.0, "c"), (1.0, "10"), (1.0, "9")];
        hits.sort_by(|a, b| better((a.0, a.1.as_bytes()), (b.0, b.1.as_bytes())));
        assert_eq!(hits.map(|h| h.1), ["a", "c", "b", "9", "10"]);
    }

    #[test]
    fn scores_are_printed_like_f32_unless_that_would_tie_them() {
        let third = 1.0 / 3.0;
        let float = f64::from(0.1f32);
        assert_eq!(printed(&[float, 0.1, third]), [float, 0.1, 0.333_333_34]);
        assert_eq!(printed(&[float, float]), [0.1, 0.1]);
        let close = [1_000_003.456_789, 1_000_003.45, 7.0];
        assert_eq!(printed(&close), close);
        assert_eq!(printed(&[1e300, 1e-300]), [1e300, 1e-300]);
        assert!(printed(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn digits_are_those_of_text(bits in any::<u32>(), plain in -3_000_000i32..3_000_000) {
            #[expect(clippy::cast_precision_loss, reason = "any float will do")]
            for value in [f32::from_bits(bits), plain as f32 / 1000.0, plain as f32 / 65_536.0, plain as f32] {
                if let Some(decimal) = by_digits(value) {
                    prop_assert_eq!(decimal, value.to_string().parse::<f64>().unwrap());
                }
            }
        }

        #[test]
        fn printing_keeps_the_order(
            mut scores in prop::collection::vec((0u32..3, -40i32..40), 0..30),
        ) {
            scores.sort_unstable_by(|a, b| b.cmp(a));
            let ulps = |(base, ulps): &(u32, i32)| {
                f64::from(*base) + 1.0 + f64::from(*ulps) * f64::from(f32::EPSILON) / 8.0
            };
            let scores: Vec<f64> = scores.iter().map(ulps).collect();
            let printed = printed(&scores);
            for (given, shown) in scores.windows(2).zip(printed.windows(2)) {
                prop_assert_eq!(given[0].total_cmp(&given[1]), shown[0].total_cmp(&shown[1]));
            }
        }
    }
}
