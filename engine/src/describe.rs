//! The capabilities of a collection.

use quarry_index::Segment;
use quarry_index::seismic::TINY_SEGMENT;
use quarry_searcher::Method;
use serde_json::{Map, Value};

use crate::channel::Channel;
use crate::search::Version;
use crate::snapshot::Snapshot;

/// A collection and its capabilities.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Description {
    /// The index and generation.
    pub version: Version,
    /// Number of documents, without deleted ones.
    pub documents: u64,
    /// Identity of the encoder of each channel, as recorded in the index.
    pub encoders: Map<String, Value>,
    /// Channels that can be searched.
    pub channels: Vec<Channel>,
    /// Channels that take text queries.
    pub text_queries: Vec<Channel>,
    /// Methods of the sparse channel.
    pub methods: Vec<Method>,
    /// Channels that can explain hits.
    pub explain: Vec<Channel>,
    /// Whether hits can be reranked.
    pub rerank: bool,
    /// Whether documents' fields are stored.
    pub stored_fields: bool,
}

impl Snapshot {
    /// The capabilities of this generation.
    #[must_use]
    pub fn describe(&self) -> Description {
        let index = self.index();
        let manifest = index.manifest();
        let (sparse, bm25, second) = (index.has_sparse(), index.has_text(), self.second_stage());
        let maxsim_text = second.is_some_and(|second| second.encoder.is_some());
        let dense = index.dense().is_some();
        let dense_text = dense && self.dense_encoder().is_some();
        let of = |has: [bool; 4]| {
            let channels = [Channel::Sparse, Channel::Bm25, Channel::Maxsim, Channel::Dense];
            channels.into_iter().zip(has).filter(|c| c.1).map(|c| c.0).collect()
        };
        // Tiny segments are scanned where they have no lists.
        let lists = |has: fn(&Segment) -> bool| {
            let segments = index.segments();
            let fits = |s: &Segment| has(s) || s.entry().rows <= TINY_SEGMENT;
            segments.iter().any(has) && segments.iter().all(fits)
        };
        let methods = [
            (Method::Auto, true),
            (Method::Impact, lists(|s| s.impact().is_some())),
            (Method::Clusters, lists(|s| s.clusters().is_some())),
            (Method::Seismic, lists(|s| s.seismic().is_some())),
            (Method::Exact, true),
            (Method::Scan, true),
        ];
        Description {
            version: self.version(),
            documents: manifest.documents(),
            encoders: manifest.encoders.clone(),
            channels: of([sparse, bm25, second.is_some(), dense]),
            text_queries: of([sparse && self.encoder().is_some(), bm25, maxsim_text, dense_text]),
            methods: methods.into_iter().filter(|m| sparse && m.1).map(|m| m.0).collect(),
            explain: of([sparse, false, false, false]),
            rerank: second.is_some(),
            stored_fields: bm25,
        }
    }
}
