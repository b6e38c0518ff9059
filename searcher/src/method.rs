//! The methods of a search by vector.

use serde::{Deserialize, Serialize};

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
    /// A walk over a graph of near rows; approximate. Of dense vectors alone, so it is not among [`Self::ALL`].
    Graph,
}

impl Method {
    /// All of a search by sparse vector.
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
            Self::Graph => "graph",
        }
    }

    /// The method of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name() == name)
    }
}
