//! RR: one over the place of the first relevant document; zero if none is within the cutoff.

use super::count::number;
use super::judged::Judged;

pub(crate) fn reciprocal_rank(judged: &Judged, cutoff: Option<usize>, relevant: i32) -> f64 {
    judged.hits(cutoff, relevant).next().map_or(0.0, |place| 1.0 / number(place + 1))
}
