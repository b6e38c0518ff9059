//! What an index has as a whole, whatever its segments hold: its manifest says it, so that an index
//! without documents is still one of vectors, or of words, and what is added later gets the same.

use serde::{Deserialize, Serialize};

use crate::clusters::ClusterParams;
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

/// What documents that are added get, too.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Features {
    /// What can be searched; not decided as long as no document was there and no encoder was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Channels>,
    /// Token embeddings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokensKept>,
    /// Impact-ordered lists.
    #[serde(default)]
    pub impact: bool,
    /// Blocked lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seismic: Option<SeismicParams>,
    /// Clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clusters: Option<ClusterParams>,
}
