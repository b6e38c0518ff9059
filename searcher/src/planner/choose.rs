//! The cheapest setting of a segment's calibration that reaches the wanted overlap.
//!
//! 1. the next larger k that was measured, or the largest  2. of its kinds of queries the nearest: by
//!    the number of terms, and by how even their weights are
//! 3. of each method the cheapest point that meets the target (between two points that differ in
//!    postings alone as many as the target needs)  4. of the methods the cheapest; the exact search
//!    where it costs at most a tenth more

use quarry_index::calibration::{Calibration, Curve, Point, Setting};
use quarry_vectors::SparseVector;

use crate::method::Method;
use crate::options::Options;
use crate::planner::observed::Factors;

/// The exact search is preferred up to this multiple of the cheapest cost: costs are not known more precisely,
/// and its result is exact.
const EXACT_WITHIN: f64 = 1.1;

/// Overlaps are wanted in f32 and measured in f64: .99 is met by .99.
const ROUNDING: f64 = 1e-6;

/// The properties of a query that decide which measurements apply to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shape {
    /// Terms.
    pub(crate) terms: f64,
    /// Terms that it would have, were all weights equal: (sum of weights)^2 / sum of their squares.
    pub(crate) even_terms: f64,
}

impl Shape {
    #[expect(clippy::cast_precision_loss, reason = "a count of terms")]
    pub(crate) fn of(query: &SparseVector) -> Self {
        let (mut sum, mut squares) = (0.0, 0.0);
        for weight in query.weights().iter().map(|w| f64::from(*w)) {
            sum += weight;
            squares += weight * weight;
        }
        let even_terms = if squares > 0.0 { sum * sum / squares } else { 0.0 };
        Self { terms: query.len() as f64, even_terms }
    }

    /// How far a kind of query is: the logarithms of the two ratios, added up.
    fn distance(&self, curve: &Curve) -> f64 {
        let apart = |a: f64, b: f64| (a.max(1.0) / b.max(1.0)).ln().abs();
        let even = curve.even_terms.map_or(0.0, |even| apart(self.even_terms, even));
        apart(self.terms, curve.query_terms) + even
    }
}

/// The cheapest point that meets the target, of one method or of all. When a single method has no
/// such point, its most accurate one. `factors` correct what points cost.
pub(crate) fn choose<'a>(
    table: &'a Calibration,
    params: &Options<'_>,
    shape: &Shape,
    only: Option<Method>,
    factors: &Factors,
) -> Option<(&'a Curve, Point)> {
    let curves = || {
        table
            .curves
            .iter()
            .filter(|c| !c.points.is_empty() && only.is_none_or(|m| m.name() == c.method))
    };
    let k = u32::try_from(params.k.get()).unwrap_or(u32::MAX);
    let next = curves().map(|c| c.k).filter(|measured| *measured >= k).min();
    let k = next.or_else(|| curves().map(|c| c.k).max())?;
    let nearest = curves()
        .filter(|c| c.k == k)
        .min_by(|a, b| shape.distance(a).total_cmp(&shape.distance(b)))?;
    let near = || curves().filter(|c| c.k == k && same_kind(c, nearest));
    let target = f64::from(params.sparse.overlap) - ROUNDING;
    let meeting = || near().filter_map(|c| meet(c, target).map(|p| (c, p)));
    let costs = |(curve, point): &(&Curve, Point)| point.micros * factors.of(&curve.method);
    let cheapest = meeting().min_by(|a, b| costs(a).total_cmp(&costs(b)));
    if let Some(least) = cheapest {
        let exact = meeting().find(|found| {
            found.0.method == Method::Exact.name() && costs(found) <= costs(&least) * EXACT_WITHIN
        });
        return exact.or(cheapest);
    }
    let most = |c: &'a Curve| c.points.iter().max_by(|a, b| a.overlap.total_cmp(&b.overlap));
    only.and_then(|_| near().find_map(|c| most(c).map(|p| (c, *p))))
}

/// Whether two curves are of the same queries.
fn same_kind(a: &Curve, b: &Curve) -> bool {
    let even = |c: &Curve| c.even_terms.unwrap_or(0.0);
    a.query_terms.total_cmp(&b.query_terms).is_eq() && even(a).total_cmp(&even(b)).is_eq()
}

/// The cheapest point of a curve that meets the target.
fn meet(curve: &Curve, target: f64) -> Option<Point> {
    let at = curve
        .points
        .iter()
        .enumerate()
        .filter(|(_, p)| p.overlap >= target)
        .min_by(|a, b| a.1.micros.total_cmp(&b.1.micros))?;
    let (at, above) = at;
    let below = at.checked_sub(1).map(|before| curve.points[before]);
    Some(match below {
        Some(below) if below.overlap < target => between(below, *above, target),
        _ => *above,
    })
}

/// Postings between two points that differ only in them, as far as the target lies between.
fn between(below: Point, above: Point, target: f64) -> Point {
    let (Some(low), Some(high)) = (below.setting.postings, above.setting.postings) else {
        return above;
    };
    if below.setting.candidates != above.setting.candidates || low >= high {
        return above;
    }
    let share = (target - below.overlap) / (above.overlap - below.overlap);
    let mix = |a: f64, b: f64| a + (b - a) * share;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between two numbers of 32 bits"
    )]
    let postings = mix(f64::from(low), f64::from(high)).ceil() as u32;
    let kept = below.setting.kept.zip(above.setting.kept).map(|(low, high)| {
        #[expect(clippy::cast_possible_truncation, reason = "a share")]
        let kept = mix(f64::from(low), f64::from(high)) as f32;
        kept
    });
    Point {
        setting: Setting {
            postings: Some(postings),
            kept: kept.or(above.setting.kept),
            ..above.setting
        },
        overlap: target,
        micros: mix(below.micros, above.micros),
        work: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by it")]

    use std::num::NonZeroUsize;

    use super::*;
    use crate::options::SparseOptions;
    use crate::planner::observed::Observed;

    /// Points of postings, candidates, overlap and microseconds.
    fn curve(method: &str, k: u32, terms: f64, points: &[(u32, u32, f64, f64)]) -> Curve {
        let point = |&(postings, candidates, overlap, micros): &(u32, u32, f64, f64)| Point {
            setting: Setting {
                postings: Some(postings),
                candidates: Some(candidates),
                kept: Some(if postings < 2_000 { 0.5 } else { 0.75 }),
                ..Setting::default()
            },
            overlap,
            micros,
            work: None,
        };
        Curve {
            method: method.to_owned(),
            k,
            query_terms: terms,
            even_terms: None,
            points: points.iter().map(point).collect(),
        }
    }

    fn table(curves: Vec<Curve>) -> Calibration {
        Calibration {
            source: "by hand".into(),
            queries: 1,
            kernels: "scalar".into(),
            units: Vec::new(),
            curves,
        }
    }

    /// Impact is cheaper up to .95, clusters above; the exact search costs 100.
    fn two_methods() -> Calibration {
        table(vec![
            curve("exact", 10, 20.0, &[(0, 0, 1.0, 100.0)]),
            curve(
                "impact",
                10,
                20.0,
                &[(1_000, 50, 0.90, 10.0), (2_000, 50, 0.95, 20.0), (8_000, 50, 0.99, 80.0)],
            ),
            curve("clusters", 10, 20.0, &[(1_500, 60, 0.93, 25.0), (1_500, 90, 0.985, 40.0)]),
        ])
    }

    fn asked(overlap: f32, k: usize) -> Options<'static> {
        Options {
            sparse: SparseOptions { overlap, ..SparseOptions::default() },
            ..Options::new(NonZeroUsize::new(k).unwrap())
        }
    }

    fn shape(terms: f64) -> Shape {
        Shape { terms, even_terms: terms }
    }

    /// Method and parameters for a target.
    fn chosen(table: &Calibration, overlap: f32, only: Option<Method>) -> (String, u32, u32) {
        let params = asked(overlap, 10);
        let found = choose(table, &params, &shape(20.0), only, &Factors::NONE);
        let (curve, point) = found.unwrap();
        let Setting { postings, candidates, .. } = point.setting;
        (curve.method.clone(), postings.unwrap(), candidates.unwrap())
    }

    #[test]
    fn the_target_decides() {
        let table = two_methods();
        assert_eq!(chosen(&table, 0.85, None), ("impact".into(), 1_000, 50));
        assert_eq!(chosen(&table, 0.95, None), ("impact".into(), 2_000, 50));
        assert_eq!(chosen(&table, 0.98, None), ("clusters".into(), 1_500, 90));
        assert_eq!(chosen(&table, 0.99, None), ("impact".into(), 8_000, 50));
        assert_eq!(chosen(&table, 0.995, None), ("exact".into(), 0, 0));
        // By name, and what it cannot reach.
        assert_eq!(chosen(&table, 0.85, Some(Method::Clusters)), ("clusters".into(), 1_500, 60));
        assert_eq!(chosen(&table, 0.94, Some(Method::Clusters)), ("clusters".into(), 1_500, 90));
        assert_eq!(chosen(&table, 0.995, Some(Method::Clusters)), ("clusters".into(), 1_500, 90));
        assert_eq!(chosen(&table, 0.98, Some(Method::Exact)), ("exact".into(), 0, 0));
        let missing =
            choose(&table, &asked(0.9, 10), &shape(20.0), Some(Method::Seismic), &Factors::NONE);
        assert_eq!(missing, None);
    }

    #[test]
    fn between_two_points_postings_and_what_is_kept_follow_the_target() {
        let table = two_methods();
        let params = asked(0.93, 10);
        let found = choose(&table, &params, &shape(20.0), None, &Factors::NONE).unwrap().1;
        assert_eq!(found.setting.candidates, Some(50));
        // .03 of .05 between 1,000 and 2,000; an f32 is a little off.
        assert!(found.setting.postings.unwrap().abs_diff(1_600) <= 1, "{found:?}");
        assert!((found.setting.kept.unwrap() - 0.65).abs() < 1e-3, "{found:?}");
        assert!((found.micros - 16.0).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn the_nearest_kind_of_query_and_the_next_larger_k() {
        let kinds = [(6.0, 1_000), (24.0, 2_000), (96.0, 3_000)];
        let at =
            |k: u32| kinds.map(|(terms, n)| curve("impact", k, terms, &[(n + k, 50, 0.99, 9.0)]));
        let table = table([at(10), at(100)].concat());
        let postings = |terms: f64, k: usize| {
            let found = choose(&table, &asked(0.9, k), &shape(terms), None, &Factors::NONE);
            found.unwrap().1.setting.postings.unwrap()
        };
        assert_eq!(postings(1.0, 10), 1_010);
        assert_eq!(postings(11.0, 10), 1_010);
        assert_eq!(postings(13.0, 10), 2_010);
        assert_eq!(postings(40.0, 10), 2_010);
        assert_eq!(postings(60.0, 10), 3_010);
        assert_eq!(postings(5_000.0, 10), 3_010);
        assert_eq!(postings(24.0, 1), 2_010);
        assert_eq!(postings(24.0, 11), 2_100);
        assert_eq!(postings(24.0, 100), 2_100);
        assert_eq!(postings(24.0, 5_000), 2_100);
    }

    #[test]
    fn how_even_weights_are_decides_between_kinds_of_as_many_terms() {
        let with = |even, postings| Curve {
            even_terms: Some(even),
            ..curve("impact", 10, 48.0, &[(postings, 50, 0.99, 9.0)])
        };
        let table = table(vec![with(45.0, 1_000), with(20.0, 2_000)]);
        let postings = |even_terms| {
            let shape = Shape { terms: 50.0, even_terms };
            let found = choose(&table, &asked(0.9, 10), &shape, None, &Factors::NONE);
            found.unwrap().1.setting.postings.unwrap()
        };
        assert_eq!(postings(42.0), 1_000);
        assert_eq!(postings(17.0), 2_000);
    }

    #[test]
    fn the_exact_search_where_it_costs_at_most_a_tenth_more() {
        let with = |exact| {
            table(vec![
                curve("exact", 10, 20.0, &[(0, 0, 1.0, exact)]),
                curve("impact", 10, 20.0, &[(1_000, 50, 0.99, 20.0)]),
            ])
        };
        assert_eq!(chosen(&with(19.0), 0.9, None).0, "exact");
        assert_eq!(chosen(&with(21.9), 0.9, None).0, "exact");
        assert_eq!(chosen(&with(22.1), 0.9, None).0, "impact");
        assert_eq!(chosen(&with(21.0), 0.9, Some(Method::Impact)).0, "impact");
    }

    #[test]
    fn what_is_seen_corrects_costs() {
        let table = two_methods();
        let observed = Observed::default();
        let method = |observed: &Observed| {
            let factors = observed.factors();
            let found = choose(&table, &asked(0.98, 10), &shape(20.0), None, &factors).unwrap();
            // Predictions stay those of the table, or what is seen would correct itself away.
            (found.0.method.clone(), found.1.micros)
        };
        assert_eq!(method(&observed), ("clusters".into(), 40.0));
        (0..500).for_each(|_| observed.saw(Method::Impact, 8.0, 16.0));
        (0..500).for_each(|_| observed.saw(Method::Clusters, 80.0, 40.0));
        let (name, micros) = method(&observed);
        assert_eq!(name, "impact");
        assert!(micros > 60.0, "{micros}");
    }

    #[test]
    fn a_shape_counts_terms_and_even_ones() {
        let query =
            |weights: &[f32]| SparseVector::from_pairs((0..).zip(weights.iter().copied())).unwrap();
        assert_eq!(Shape::of(&query(&[2.0; 7])), Shape { terms: 7.0, even_terms: 7.0 });
        let one = Shape::of(&query(&[1000.0, 1e-3, 1e-3]));
        assert!((one.even_terms - 1.0).abs() < 1e-3 && one.terms == 3.0, "{one:?}");
        assert_eq!(Shape::of(&query(&[])), Shape { terms: 0.0, even_terms: 0.0 });
    }
}
