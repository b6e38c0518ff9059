//! What a search is asked for.

use std::num::NonZeroUsize;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::SearchError;

/// Agreement with the exact search that is aimed at when nothing is said.
pub const DEFAULT_OVERLAP: f32 = 0.98;

/// How vectors are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// What costs least at the overlap wanted.
    #[default]
    Auto,
    /// Impact-ordered lists, largest contributions first; approximate.
    Impact,
    /// Clusters of similar documents, chosen by their summaries; approximate.
    Clusters,
    /// Blocked lists with summaries; approximate.
    Seismic,
    /// The k best by proof: over impact-ordered lists where there are any, else by a scan.
    Exact,
    /// Every document scored, one after another; the oracle.
    Scan,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Auto, Self::Impact, Self::Clusters, Self::Seismic, Self::Exact, Self::Scan];

    /// Its name in commands and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Impact => "impact",
            Self::Clusters => "clusters",
            Self::Seismic => "seismic",
            Self::Exact => "exact",
            Self::Scan => "scan",
        }
    }

    /// The method of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name() == name)
    }
}

/// A search by vector. Knobs that are not set are planned: from the index's own measurements where
/// it has any, else they take their defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SparseParams {
    /// Results wanted.
    pub k: NonZeroUsize,
    /// How to search.
    pub method: Method,
    /// overlap@k to aim at, in (0, 1]; 1 makes `Auto` exact.
    pub overlap: f32,
    /// Impact, clusters: postings added up, about.
    pub postings: Option<NonZeroUsize>,
    /// Impact: documents scored exactly, about. Clusters: clusters whose documents are.
    pub candidates: Option<NonZeroUsize>,
    /// Seismic: query terms whose lists are visited, heaviest first.
    pub query_cut: Option<NonZeroUsize>,
    /// Seismic: stop at the first block with `estimate < heap_factor * threshold`; in (0, 1].
    pub heap_factor: Option<f32>,
    /// When to give up.
    pub deadline: Option<Instant>,
}

impl SparseParams {
    /// The defaults, for k results.
    #[must_use]
    pub fn new(k: NonZeroUsize) -> Self {
        Self {
            k,
            method: Method::Auto,
            overlap: DEFAULT_OVERLAP,
            postings: None,
            candidates: None,
            query_cut: None,
            heap_factor: None,
            deadline: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), SearchError> {
        share("overlap", self.overlap)?;
        self.heap_factor.map_or(Ok(()), |factor| share("heap_factor", factor))
    }
}

fn share(name: &'static str, found: f32) -> Result<(), SearchError> {
    if found > 0.0 && found <= 1.0 {
        return Ok(());
    }
    let expected = "a number above 0 and at most 1";
    Err(SearchError::Param { name, found: found.to_string(), expected })
}

/// A search by words.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bm25Params {
    /// Results wanted.
    pub k: NonZeroUsize,
    /// Saturation of term frequency.
    pub k1: f32,
    /// Share of length normalisation, in [0, 1].
    pub b: f32,
    /// When to give up.
    pub deadline: Option<Instant>,
}

impl Bm25Params {
    /// k1 0.9 and b 0.4, the field's usual values for passages.
    #[must_use]
    pub fn new(k: NonZeroUsize) -> Self {
        Self { k, k1: 0.9, b: 0.4, deadline: None }
    }

    pub(crate) fn check(&self) -> Result<(), SearchError> {
        if !(self.k1.is_finite() && self.k1 >= 0.0) {
            let found = self.k1.to_string();
            return Err(SearchError::Param {
                name: "k1",
                found,
                expected: "a finite number of at least 0",
            });
        }
        if !(0.0..=1.0).contains(&self.b) {
            let found = self.b.to_string();
            return Err(SearchError::Param { name: "b", found, expected: "a number from 0 to 1" });
        }
        Ok(())
    }
}
