//! Success: 1 if any relevant document is within the cutoff, else 0.

use super::judged::Judged;

pub(crate) fn success(judged: &Judged, cutoff: Option<usize>, relevant: i32) -> f64 {
    if judged.hits(cutoff, relevant).next().is_some() { 1.0 } else { 0.0 }
}
