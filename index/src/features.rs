//! What an index has as a whole, independent of its segments. The manifest records it, so that an index
//! without documents still has its channels, and documents that are added later get the same parts.

use serde::{Deserialize, Serialize};

use crate::clusters::ClusterParams;
use crate::dense::DenseKept;
use crate::neighbours::NeighbourParams;
use crate::seismic::SeismicParams;
use crate::tokens::TokensKept;

/// What can be searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channels {
    /// Vectors.
    pub sparse: bool,
    /// Words.
    pub bm25: bool,
}

/// What the index has, and documents that are added get as well.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Features {
    /// What can be searched; `None` until there is a first document or an encoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Channels>,
    /// Token embeddings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokensKept>,
    /// Dense vectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dense: Option<DenseKept>,
    /// Graph of near rows, of dense vectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neighbours: Option<NeighbourParams>,
    /// Impact-ordered lists.
    #[serde(default)]
    pub impact: bool,
    /// Impact-ordered lists of words.
    #[serde(default, skip_serializing_if = "is_false")]
    pub words: bool,
    /// Blocked lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seismic: Option<SeismicParams>,
    /// Clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clusters: Option<ClusterParams>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}
