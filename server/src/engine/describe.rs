//! Describes an index and its capabilities.

use std::num::NonZeroUsize;

use super::Engine;
use super::version::version;
use crate::api::{
    ApiError, Capabilities, Channel, CollectionResponse, DEFAULT_TIMEOUT_MS, FieldResponse, Limits,
    MAX_BODY_BYTES, MAX_FIELDS, MAX_K, MAX_QUERY_BYTES, MAX_QUERY_TERMS, MAX_TIMEOUT_MS,
};

impl Engine {
    /// Describes the collection under the name it is served as.
    #[must_use]
    pub fn describe(&self, name: &str) -> CollectionResponse {
        let found = self.collection.describe();
        CollectionResponse {
            name: name.to_owned(),
            aliases: Vec::new(),
            index: version(found.version),
            documents: found.documents,
            encoders: found.encoders,
            capabilities: Capabilities {
                channels: channels(&found.channels),
                text_queries: channels(&found.text_queries),
                methods: found.methods.into_iter().map(Into::into).collect(),
                explain: channels(&found.explain),
                rerank: found.rerank,
                stored_fields: found.stored_fields,
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
            },
            fields: None,
            more_fields: false,
        }
    }

    /// Adds the fields of the documents, as far as a filter lets one know.
    pub(crate) fn describe_fields(
        &self,
        described: &mut CollectionResponse,
        within: Option<&str>,
    ) -> Result<(), ApiError> {
        let found = self.collection.snapshot().fields(within).map_err(|error| {
            let error = ApiError::from(error);
            if within.is_some() { error.without_list() } else { error }
        })?;
        let fields = found.fields.into_iter().map(|(name, field)| FieldResponse {
            name,
            given: field.given.map(|given| given.to_string()),
            kinds: field.kinds,
            values: field.values,
            examples: field.examples,
        });
        described.fields = Some(fields.collect());
        described.more_fields = found.more;
        Ok(())
    }
}

/// The channels that requests can name.
fn channels(found: &[quarry_engine::Channel]) -> Vec<Channel> {
    found.iter().filter_map(|channel| Channel::of(*channel)).collect()
}
