//! What can be asked of an index.

use std::num::NonZeroUsize;

use quarry_index::Segment;

use super::Engine;
use crate::api::{
    Capabilities, Channel, CollectionResponse, DEFAULT_TIMEOUT_MS, Limits, MAX_BODY_BYTES,
    MAX_FIELDS, MAX_K, MAX_QUERY_BYTES, MAX_QUERY_TERMS, MAX_TIMEOUT_MS, Method,
};

impl Engine {
    /// The collection under the name that it is served by.
    #[must_use]
    pub fn describe(&self, name: &str) -> CollectionResponse {
        let manifest = self.searcher.index().manifest();
        CollectionResponse {
            name: name.to_owned(),
            index: self.version.clone(),
            documents: manifest.documents(),
            encoders: manifest.encoders.clone(),
            capabilities: self.capabilities(),
        }
    }

    fn capabilities(&self) -> Capabilities {
        let index = self.searcher.index();
        let (sparse, bm25) = (index.has_sparse(), index.has_text());
        let all = |has: fn(&Segment) -> bool| index.segments().iter().all(has);
        let when = |has: bool, channel: Channel| has.then_some(channel).into_iter();
        let channels = when(sparse, Channel::Sparse).chain(when(bm25, Channel::Bm25)).collect();
        let encodes = sparse && self.encoder.is_some();
        let text_queries =
            when(encodes, Channel::Sparse).chain(when(bm25, Channel::Bm25)).collect();
        let methods = [
            (Method::Auto, true),
            (Method::Impact, all(|s| s.impact().is_some())),
            (Method::Clusters, all(|s| s.clusters().is_some())),
            (Method::Seismic, all(|s| s.seismic().is_some())),
            (Method::Exact, true),
            (Method::Scan, true),
        ];
        let methods = methods.into_iter().filter(|m| sparse && m.1).map(|m| m.0).collect();
        Capabilities {
            channels,
            text_queries,
            methods,
            explain: when(sparse, Channel::Sparse).collect(),
            rerank: self.second.is_some(),
            stored_fields: bm25,
            limits: Limits {
                k: MAX_K,
                query_bytes: MAX_QUERY_BYTES,
                query_terms: MAX_QUERY_TERMS,
                fields: MAX_FIELDS,
                body_bytes: MAX_BODY_BYTES,
                answer_bytes: self.answer_bytes.map(NonZeroUsize::get),
                default_timeout_ms: DEFAULT_TIMEOUT_MS,
                max_timeout_ms: MAX_TIMEOUT_MS,
            },
        }
    }
}
