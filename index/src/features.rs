//! What an index has as a whole, whatever its segments hold: its manifest says it, so that an index
//! without documents is still one of vectors, or of words, and what is added later gets the same.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clusters::ClusterParams;
use crate::lexicon::Lexicon;
use crate::manifest::Manifest;
use crate::segment::Segment;
use crate::seismic::SeismicParams;
use crate::tokens::{Form, TokenStore};

/// What can be searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channels {
    /// Vectors.
    pub sparse: bool,
    /// Words.
    pub bm25: bool,
}

/// How token embeddings are stored, and what made them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokensKept {
    /// Dimensions of a row.
    pub dims: usize,
    /// The forms that are stored, ascending.
    pub forms: Vec<Form>,
    /// How many rows one pooled row stands for, at most.
    pub pool: usize,
    /// Centroids of the form `4bit`.
    pub centroids: usize,
    /// The encoder's identity, or the imported file's name.
    pub source: Value,
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

impl TokensKept {
    /// As a part stores them.
    #[must_use]
    pub fn of(store: &TokenStore) -> Self {
        let meta = store.meta();
        let mut forms = meta.forms.clone();
        forms.sort_unstable();
        let (dims, pool, centroids) = (meta.dims, meta.pool, meta.centroids);
        Self { dims, forms, pool, centroids, source: meta.source.clone() }
    }

    /// Whether embeddings of another source fit beside these: the same encoder, by whatever name it was
    /// found, or files that were imported.
    #[must_use]
    pub fn same_source(&self, other: &Value) -> bool {
        let nameless = |source: &Value| {
            let mut source = source.clone();
            if let Some(object) = source.as_object_mut() {
                object.remove("model_name");
            }
            source
        };
        let imported = |source: &Value| source.get("file").is_some();
        (imported(&self.source) && imported(other)) || nameless(&self.source) == nameless(other)
    }
}

impl Features {
    /// What the manifest says, with what the segments show: manifests of before say nothing.
    pub(crate) fn of(manifest: &Manifest, lexicon: Option<&Lexicon>, segments: &[Segment]) -> Self {
        let said = &manifest.features;
        // Segments of which every document went have lost their vectors in indexes of before.
        let all =
            |has: fn(&Segment) -> bool| segments.iter().all(|s| s.documents().is_empty() || has(s));
        let channels = said.channels.or_else(|| {
            let sparse = lexicon.is_some() && all(|s| s.forward().is_some());
            let bm25 = segments.iter().any(|s| s.text().is_some()) && all(|s| s.text().is_some());
            (!segments.is_empty()).then_some(Channels { sparse, bm25 })
        });
        let tokens = segments.iter().find_map(Segment::tokens).map(TokensKept::of);
        Self {
            channels,
            tokens: said.tokens.clone().or(tokens),
            impact: said.impact || segments.iter().any(|s| s.impact().is_some()),
            seismic: said
                .seismic
                .or_else(|| segments.iter().find_map(|s| s.seismic()).map(|l| l.meta().params)),
            clusters: said
                .clusters
                .or_else(|| segments.iter().find_map(|s| s.clusters()).map(|c| c.meta().params)),
        }
    }
}
