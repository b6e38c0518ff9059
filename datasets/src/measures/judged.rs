//! One query's ranking seen through its judgements, and the share of it that is judged.

use std::collections::HashMap;

use super::count::number;

/// The grades of the documents of a ranking, best first, and of all judged documents.
#[derive(Debug)]
pub(crate) struct Judged {
    /// Grade by place; `None` where the document is not judged.
    pub(crate) ranked: Vec<Option<i32>>,
    /// All grades of the query, in no order.
    pub(crate) all: Vec<i32>,
}

impl Judged {
    pub(crate) fn new<'a>(
        ranking: impl Iterator<Item = &'a str>,
        grades: &HashMap<String, i32>,
    ) -> Self {
        Self {
            ranked: ranking.map(|id| grades.get(id).copied()).collect(),
            all: grades.values().copied().collect(),
        }
    }

    /// The first `cutoff` places, or all.
    pub(crate) fn top(&self, cutoff: Option<usize>) -> &[Option<i32>] {
        &self.ranked[..self.ranked.len().min(cutoff.unwrap_or(usize::MAX))]
    }

    /// The places (from 0) among the first `cutoff` that hold a grade of at least `relevant`.
    pub(crate) fn hits(&self, cutoff: Option<usize>, relevant: i32) -> impl Iterator<Item = usize> {
        self.top(cutoff)
            .iter()
            .enumerate()
            .filter(move |(_, grade)| grade.is_some_and(|g| g >= relevant))
            .map(|(place, _)| place)
    }

    /// The number of documents judged at least `relevant`.
    pub(crate) fn relevant(&self, relevant: i32) -> usize {
        self.all.iter().filter(|grade| **grade >= relevant).count()
    }
}

/// Share of the first `cutoff` results (of all, without one) that are judged, whatever the grade;
/// of those there are if the ranking
/// is shorter. Zero for an empty ranking.
pub(crate) fn share(judged: &Judged, cutoff: Option<usize>) -> f64 {
    let top = judged.top(cutoff);
    if top.is_empty() {
        return 0.0;
    }
    number(top.iter().flatten().count()) / number(top.len())
}
