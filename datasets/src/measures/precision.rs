//! P: relevant documents within the cutoff, over the cutoff, however short the ranking is.

use super::count::number;
use super::judged::Judged;

pub(crate) fn precision(judged: &Judged, cutoff: Option<usize>, relevant: i32) -> f64 {
    match cutoff.unwrap_or(judged.ranked.len()) {
        0 => 0.0,
        places => number(judged.hits(cutoff, relevant).count()) / number(places),
    }
}
