//! R: the share of all relevant documents that are within the cutoff; zero if there are none.

use super::count::number;
use super::judged::Judged;

pub(crate) fn recall(judged: &Judged, cutoff: Option<usize>, relevant: i32) -> f64 {
    match judged.relevant(relevant) {
        0 => 0.0,
        all => number(judged.hits(cutoff, relevant).count()) / number(all),
    }
}
