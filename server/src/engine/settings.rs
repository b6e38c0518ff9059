//! How a collection is made, of a request.

use std::collections::BTreeMap;

use quarry_engine::FieldType;
use quarry_engine::store::{CollectionModel, CollectionSettings};

use crate::api::{ApiError, CollectionInput};

/// Checks what a request says of a collection.
pub(crate) fn settings(input: CollectionInput) -> Result<CollectionSettings, ApiError> {
    let model = match input.model {
        None => CollectionModel::Bundled,
        Some(None) => CollectionModel::None,
        Some(Some(name)) => CollectionModel::Named(name),
    };
    let mut fields = BTreeMap::new();
    for (path, kind) in input.fields {
        let kind: FieldType =
            kind.parse().map_err(|message| ApiError::invalid(format!("fields.{path}"), message))?;
        fields.insert(path, kind);
    }
    if input.passages == Some(0) {
        return Err(ApiError::invalid("passages", "0 is not 1 or more"));
    }
    let CollectionInput { passages, provenance, dense, tokens, .. } = input;
    Ok(CollectionSettings { model, fields, passages, provenance, dense, tokens })
}
