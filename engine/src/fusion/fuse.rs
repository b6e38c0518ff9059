//! Several rankings of a query become one.
//!
//! 1. each list is cut at the window  2. its scores, or ranks, become parts that can be added (the method)
//! 3. a document's parts are added, each with its list's weight  4. order: the sum; of equal sums the rank in the
//!    list of the largest weight, then in the next one; then the caller's own order
//!
//! A list with weight 0 is as if absent. What the methods do with a document that a list lacks, with a list of
//! one hit and with equal scores is said at [`FusionMethod`].

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::Hash;

use super::options::FusionMethod;

/// A list to fuse.
#[derive(Debug, Clone)]
pub(crate) struct List<K> {
    /// At least 0, finite.
    pub(crate) weight: f64,
    /// Documents with their scores, best first, none twice; at most as many as the window.
    pub(crate) hits: Vec<Scored<K>>,
    /// Documents of other lists that this one lacks, scored in its way: they have a score and no rank.
    pub(crate) scored: Vec<Scored<K>>,
}

/// A document with its score in a list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scored<K> {
    pub(crate) key: K,
    pub(crate) score: f64,
}

/// A list whose best score is not above 0, which [`FusionMethod::Max`] cannot scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NotAboveZero {
    /// Its position.
    pub(crate) list: usize,
    /// Its best score.
    pub(crate) best: f64,
}

struct Row<K> {
    key: K,
    /// What each list gives, weighted.
    parts: Vec<f64>,
    /// Its rank in each list, from 0; `usize::MAX` where it is lacking.
    ranks: Vec<usize>,
}

/// Fuses lists; `tie` orders documents of equal sums and ranks. The order of the lists changes nothing. Scores fall
/// from hit to hit, of equal sums by the least step of a 32-bit float, so that whoever sorts them keeps the order. Cost:
/// linear in the hits, and a sort.
pub(crate) fn fuse<K: Copy + Eq + Hash>(
    lists: &[List<K>],
    method: FusionMethod,
    rrf_k: f64,
    tie: impl Fn(&K, &K) -> Ordering,
) -> Result<Vec<Scored<K>>, NotAboveZero> {
    // The heaviest first: ranks are compared in this order.
    let mut order: Vec<usize> = (0..lists.len()).filter(|at| lists[*at].weight > 0.0).collect();
    order.sort_by(|a, b| lists[*b].weight.total_cmp(&lists[*a].weight));
    let scales = order.iter().map(|&list| {
        Scale::of(&lists[list], method, rrf_k).map_err(|best| NotAboveZero { list, best })
    });
    let scales: Vec<Scale> = scales.collect::<Result<_, _>>()?;
    let weights: Vec<f64> = order.iter().map(|list| lists[*list].weight).collect();
    let absent: Vec<f64> = scales.iter().zip(&weights).map(|(s, w)| w * s.absent).collect();
    let mut rows: Vec<Row<K>> = Vec::new();
    let mut places: HashMap<K, usize> = HashMap::new();
    for (column, &list) in order.iter().enumerate() {
        let ranked = lists[list].hits.iter().enumerate();
        for (rank, hit) in ranked.chain(lists[list].scored.iter().map(|hit| (usize::MAX, hit))) {
            let place = *places.entry(hit.key).or_insert_with(|| {
                let (parts, ranks) = (absent.clone(), vec![usize::MAX; order.len()]);
                rows.push(Row { key: hit.key, parts, ranks });
                rows.len() - 1
            });
            rows[place].ranks[column] = rank;
            rows[place].parts[column] = weights[column] * scales[column].part(rank, hit.score);
        }
    }
    let mut fused: Vec<(f64, Row<K>)> = rows.into_iter().map(|row| summed(row, &weights)).collect();
    fused.sort_by(|(a, left), (b, right)| {
        let ranks = || left.ranks.cmp(&right.ranks);
        b.total_cmp(a).then_with(ranks).then_with(|| tie(&left.key, &right.key))
    });
    let mut before = f64::INFINITY;
    let falling = |(score, row): (f64, Row<K>)| {
        before = below(score, before);
        Scored { key: row.key, score: before }
    };
    Ok(fused.into_iter().map(falling).collect())
}

/// The score, or where that is not below the one before it, a step below that: as little as 32 bits tell apart, in
/// which measures compare scores, and at least 1e-12, so that a step from 0 can be read.
#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what measures do")]
fn below(score: f64, before: f64) -> f64 {
    if before.is_infinite() || (score as f32) < (before as f32) {
        return score;
    }
    let step = f64::from((before as f32).next_down()).min(before - 1e-12);
    score.min(step)
}

/// The sum of a row's parts, in an order that is not that of the lists; of lists of one weight the best rank
/// comes first.
fn summed<K>(mut row: Row<K>, weights: &[f64]) -> (f64, Row<K>) {
    row.parts.sort_by(|a, b| b.total_cmp(a));
    let mut from = 0;
    for same in weights.chunk_by(|a, b| a == b) {
        row.ranks[from..from + same.len()].sort_unstable();
        from += same.len();
    }
    (row.parts.iter().sum(), row)
}

/// How a list's scores become parts: `(score - from) / by`, or by ranks.
struct Scale {
    from: f64,
    by: f64,
    /// Of ranks: the constant.
    ranks: Option<f64>,
    /// The part of all hits, where their scores do not tell them apart.
    all: Option<f64>,
    absent: f64,
}

impl Scale {
    fn of<K>(list: &List<K>, method: FusionMethod, rrf_k: f64) -> Result<Self, f64> {
        let plain = Self { from: 0.0, by: 1.0, ranks: None, all: None, absent: 0.0 };
        let scores = || list.hits.iter().chain(&list.scored).map(|hit| hit.score);
        if list.hits.is_empty() {
            return Ok(plain);
        }
        let best = scores().fold(f64::NEG_INFINITY, f64::max);
        let least = scores().fold(f64::INFINITY, f64::min);
        let equal = best <= least;
        Ok(match method {
            FusionMethod::Max if best > 0.0 => Self { by: best, ..plain },
            FusionMethod::Max => return Err(best),
            FusionMethod::MinMax if equal => Self { all: Some(1.0), ..plain },
            FusionMethod::MinMax => Self { from: least, by: best - least, ..plain },
            FusionMethod::Z if equal => Self { all: Some(0.0), ..plain },
            FusionMethod::Z => {
                #[expect(clippy::cast_precision_loss, reason = "a count of hits")]
                let count = scores().count() as f64;
                let mean = scores().sum::<f64>() / count;
                let squares = scores().map(|score| (score - mean) * (score - mean));
                let deviation = (squares.sum::<f64>() / count).sqrt();
                // Squares of the least differences vanish.
                if deviation == 0.0 {
                    return Ok(Self { all: Some(0.0), ..plain });
                }
                Self { from: mean, by: deviation, absent: (least - mean) / deviation, ..plain }
            }
            FusionMethod::Rrf => Self { ranks: Some(rrf_k), ..plain },
        })
    }

    fn part(&self, rank: usize, score: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rank")]
        let rank = rank as f64 + 1.0;
        match (self.ranks, self.all) {
            (Some(k), _) => 1.0 / (k + rank),
            (None, Some(part)) => part,
            (None, None) => (score - self.from) / self.by,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by it")]
mod tests {
    use super::*;
    use crate::fusion::options::DEFAULT_RRF_K;

    fn list(weight: f64, hits: &[(&'static str, f64)]) -> List<&'static str> {
        let hits = hits.iter().map(|&(key, score)| Scored { key, score }).collect();
        List { weight, hits, scored: Vec::new() }
    }

    fn fused(lists: &[List<&'static str>], method: FusionMethod) -> Vec<(&'static str, f64)> {
        let found = fuse(lists, method, DEFAULT_RRF_K, |a, b| b.cmp(a)).unwrap();
        found.into_iter().map(|hit| (hit.key, hit.score)).collect()
    }

    fn close(found: &[(&str, f64)], wanted: &[(&str, f64)]) {
        assert_eq!(found.len(), wanted.len(), "{found:?}");
        for (found, wanted) in found.iter().zip(wanted) {
            assert!(found.0 == wanted.0 && (found.1 - wanted.1).abs() < 2e-7, "{found:?}");
        }
    }

    #[test]
    fn each_method_is_what_its_words_say() {
        let lists = [
            list(1.0, &[("a", 8.0), ("b", 4.0), ("c", 2.0)]),
            list(0.5, &[("b", 3.0), ("d", 1.0)]),
        ];
        close(
            &fused(&lists, FusionMethod::Max),
            &[("a", 1.0), ("b", 1.0), ("c", 0.25), ("d", 0.5 / 3.0)],
        );
        close(
            &fused(&lists, FusionMethod::MinMax),
            &[("a", 1.0), ("b", 1.0 / 3.0 + 0.5), ("c", 0.0), ("d", 0.0)],
        );
        close(
            &fused(&lists, FusionMethod::Rrf),
            &[
                ("b", 1.0 / 62.0 + 0.5 / 61.0),
                ("a", 1.0 / 61.0),
                ("c", 1.0 / 63.0),
                ("d", 0.5 / 62.0),
            ],
        );
        // Mean 14/3, deviation sqrt(56/9); mean 2, deviation 1.
        let z = |score: f64| (score - 14.0 / 3.0) / (56.0f64 / 9.0).sqrt();
        close(
            &fused(&lists, FusionMethod::Z),
            &[("a", z(8.0) - 0.5), ("b", z(4.0) + 0.5), ("c", z(2.0) - 0.5), ("d", z(2.0) - 0.5)],
        );
    }

    #[test]
    fn one_hit_equal_scores_and_empty_lists_are_defined() {
        let one = [list(1.0, &[("a", 5.0)]), list(1.0, &[])];
        assert_eq!(fused(&one, FusionMethod::Max), [("a", 1.0)]);
        assert_eq!(fused(&one, FusionMethod::MinMax), [("a", 1.0)]);
        assert_eq!(fused(&one, FusionMethod::Z), [("a", 0.0)]);
        let equal = [list(1.0, &[("a", 5.0), ("b", 5.0)])];
        close(&fused(&equal, FusionMethod::MinMax), &[("a", 1.0), ("b", 1.0)]);
        let close_by = [list(1.0, &[("a", 2e-300), ("b", 1e-300)])];
        close(&fused(&close_by, FusionMethod::Z), &[("a", 0.0), ("b", 0.0)]);
        assert!(fused(&[list(1.0, &[])], FusionMethod::Max).is_empty());
        let below = fuse(&[list(1.0, &[("a", -1.0)])], FusionMethod::Max, 60.0, |a, b| b.cmp(a));
        assert_eq!(below.unwrap_err(), NotAboveZero { list: 0, best: -1.0 });
    }

    #[test]
    fn ties_go_to_the_heavier_list_then_to_the_best_rank_then_to_the_callers_order() {
        // .5 each: of the heavier list's own first.
        let lists = [list(0.5, &[("a", 1.0)]), list(1.0, &[("x", 2.0), ("b", 1.0)])];
        let found = fused(&lists, FusionMethod::Max);
        close(&found, &[("x", 1.0), ("b", 0.5), ("a", 0.5)]);
        assert!(found[1].1 > found[2].1, "{found:?}");
        // 1/61 + 1/62 both: of equal weights the ranks are the same set, so the id decides.
        let lists = [list(1.0, &[("a", 2.0), ("b", 1.0)]), list(1.0, &[("b", 2.0), ("a", 1.0)])];
        let found = fused(&lists, FusionMethod::Rrf);
        assert_eq!(found.iter().map(|hit| hit.0).collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn neither_the_order_of_lists_nor_one_without_weight_changes_anything() {
        let hits = |seed: u64| {
            let mut state = seed;
            let mut next = move || {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                state >> 33
            };
            let mut hits: Vec<Scored<u64>> = Vec::new();
            while hits.len() < 40 {
                let key = next() % 60;
                if hits.iter().all(|hit| hit.key != key) {
                    #[expect(clippy::cast_precision_loss, reason = "below 20")]
                    hits.push(Scored { key, score: (next() % 20 + 1) as f64 / 7.0 });
                }
            }
            hits.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| b.key.cmp(&a.key)));
            hits
        };
        let list = |weight, hits| List { weight, hits, scored: Vec::new() };
        let weights = [0.3, 1.0, 1.0];
        let lists: Vec<List<u64>> =
            weights.iter().zip(1..).map(|(w, s)| list(*w, hits(s))).collect();
        for method in [FusionMethod::Max, FusionMethod::MinMax, FusionMethod::Z, FusionMethod::Rrf]
        {
            let by = |order: &[usize]| {
                let lists: Vec<_> = order.iter().map(|at| lists[*at].clone()).collect();
                fuse(&lists, method, 60.0, |a, b| b.cmp(a)).unwrap()
            };
            for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
                assert_eq!(by(&order), by(&[0, 1, 2]), "{method:?} {order:?}");
            }
            let mut with = lists.clone();
            with.push(list(0.0, hits(9)));
            assert_eq!(fuse(&with, method, 60.0, |a, b| b.cmp(a)).unwrap(), by(&[0, 1, 2]));
        }
    }
}
