//! A measure and its name: `nDCG@10`, `R(rel=2)@100`, `AP`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use super::judged::{self, Judged};
use super::{average_precision, ndcg, precision, recall, reciprocal_rank, success};
use crate::error::DatasetError;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Ndcg,
    ReciprocalRank,
    Recall,
    Precision,
    AveragePrecision,
    Success,
    Judged,
}

/// A measure with its cutoff and the grade from which on a document is relevant.
///
/// Parsed and printed as `ir_measures` does: `nDCG`, `RR`, `AP` and `Judged` with or without `@k`;
/// `R`, `P` and `Success` with it; `(rel=2)` after the name raises the threshold from 1, where
/// there is one. `NDCG`, `MRR`, `MAP`, `Recall` and `Precision` are understood as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Measure {
    kind: Kind,
    cutoff: Option<NonZeroU32>,
    relevant: i32,
}

impl Measure {
    /// How many results it looks at; `None` for all.
    #[must_use]
    pub fn cutoff(&self) -> Option<NonZeroU32> {
        self.cutoff
    }

    pub(crate) fn value(&self, judged: &Judged) -> f64 {
        // A cutoff that does not fit in memory cuts nothing.
        let k = self.cutoff.and_then(|k| usize::try_from(k.get()).ok());
        match self.kind {
            Kind::Ndcg => ndcg::ndcg(judged, k),
            Kind::ReciprocalRank => reciprocal_rank::reciprocal_rank(judged, k, self.relevant),
            Kind::Recall => recall::recall(judged, k, self.relevant),
            Kind::Precision => precision::precision(judged, k, self.relevant),
            Kind::AveragePrecision => {
                average_precision::average_precision(judged, k, self.relevant)
            }
            Kind::Success => success::success(judged, k, self.relevant),
            Kind::Judged => judged::share(judged, k),
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.kind {
            Kind::Ndcg => "nDCG",
            Kind::ReciprocalRank => "RR",
            Kind::Recall => "R",
            Kind::Precision => "P",
            Kind::AveragePrecision => "AP",
            Kind::Success => "Success",
            Kind::Judged => "Judged",
        };
        // Assembled first, so that a width given by the caller holds for the whole.
        let mut out = name.to_owned();
        if self.relevant != 1 {
            out += &format!("(rel={})", self.relevant);
        }
        if let Some(k) = self.cutoff {
            out += &format!("@{k}");
        }
        f.pad(&out)
    }
}

impl FromStr for Measure {
    type Err = DatasetError;

    fn from_str(text: &str) -> Result<Self, DatasetError> {
        let fail = |reason| DatasetError::Measure { name: text.to_owned(), reason };
        let (head, cutoff) = match text.split_once('@') {
            Some((head, k)) => {
                let k =
                    k.parse().map_err(|_| fail("the cutoff after @ is not an integer above 0"))?;
                (head, Some(k))
            }
            None => (text, None),
        };
        let (name, relevant) = match head.split_once('(') {
            Some((name, inner)) => {
                let grade = inner.strip_suffix(')').and_then(|i| i.strip_prefix("rel="));
                let grade: Option<i32> = grade.and_then(|g| g.parse().ok());
                let grade = grade.filter(|g| *g >= 1);
                (name, grade.ok_or_else(|| fail("the only parameter is (rel=GRADE), from 1 up"))?)
            }
            None => (head, 1),
        };
        let kind = match name {
            "nDCG" | "NDCG" => Kind::Ndcg,
            "RR" | "MRR" => Kind::ReciprocalRank,
            "R" | "Recall" => Kind::Recall,
            "P" | "Precision" => Kind::Precision,
            "AP" | "MAP" => Kind::AveragePrecision,
            "Success" => Kind::Success,
            "Judged" => Kind::Judged,
            _ => return Err(fail("known are nDCG, RR, R, P, AP, Success and Judged")),
        };
        if relevant != 1 && matches!(kind, Kind::Ndcg | Kind::Judged) {
            return Err(fail("it has no threshold of relevance"));
        }
        let needs_cutoff = matches!(kind, Kind::Recall | Kind::Precision | Kind::Success);
        if needs_cutoff && cutoff.is_none() {
            return Err(fail("it needs a cutoff, as in P@10"));
        }
        Ok(Self { kind, cutoff, relevant })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_print_as_they_parse() {
        for name in [
            "nDCG@10",
            "nDCG",
            "RR@10",
            "RR",
            "R@100",
            "P@10",
            "AP@1000",
            "AP",
            "Success@5",
            "Judged@10",
            "R(rel=2)@100",
            "AP(rel=3)",
        ] {
            assert_eq!(name.parse::<Measure>().unwrap().to_string(), name);
        }
        assert_eq!("MRR@10".parse::<Measure>().unwrap().to_string(), "RR@10");
        assert_eq!(format!("{:>8}|", "AP".parse::<Measure>().unwrap()), "      AP|");
        for wrong in [
            "",
            "@",
            "nDCG@0",
            "nDCG@x",
            "R",
            "P",
            "foo@1",
            "nDCG(rel=2)@10",
            "R(rel=0)@5",
            "R(x=2)@5",
            "R(rel=2@5",
            "RR@-1",
        ] {
            assert!(wrong.parse::<Measure>().is_err(), "{wrong}");
        }
    }
}
