//! nDCG: discounted cumulated gain over that of the ideal ranking.
//!
//! The gain of a document is its grade, zero if that is negative; place `i` (from 1) divides it
//! by log2(i + 1). The ideal ranking is of all judged documents, cut at the same place.

use super::count::number;
use super::judged::Judged;

pub(crate) fn ndcg(judged: &Judged, cutoff: Option<usize>) -> f64 {
    let mut best = judged.all.clone();
    best.sort_unstable_by(|a, b| b.cmp(a));
    best.truncate(cutoff.unwrap_or(usize::MAX));
    let ideal = gain(best.into_iter());
    if ideal == 0.0 {
        return 0.0;
    }
    gain(judged.top(cutoff).iter().map(|grade| grade.unwrap_or(0))) / ideal
}

fn gain(grades: impl Iterator<Item = i32>) -> f64 {
    grades.enumerate().map(|(i, grade)| f64::from(grade.max(0)) / (number(i) + 2.0).log2()).sum()
}
