//! How a collection is made, of a request.

use std::collections::BTreeMap;

use quarry_engine::FieldType;
use quarry_engine::store::{CollectionModel, CollectionSettings};

use crate::api::{ApiError, CollectionInput, CopyInput};

/// Parts of a document that are not among its other fields.
const OWN: [&str; 5] = ["id", "_id", "title", "text", "vector"];

/// Checks what a request says of a collection.
pub(crate) fn settings(input: CollectionInput) -> Result<CollectionSettings, ApiError> {
    let model = match input.model {
        None => CollectionModel::Bundled,
        Some(None) => CollectionModel::None,
        Some(Some(name)) => CollectionModel::Named(name),
    };
    let fields = fields(input.fields)?;
    check_passages(input.passages)?;
    let CollectionInput { passages, provenance, dense, tokens, .. } = input;
    Ok(CollectionSettings { model, fields, passages, provenance, dense, tokens })
}

/// How a collection is made that has the documents of one made in the way of `before`.
pub(crate) fn changed(
    input: CopyInput,
    before: &CollectionSettings,
) -> Result<CollectionSettings, ApiError> {
    let model = match input.model {
        None => before.model.clone(),
        Some(None) => CollectionModel::None,
        Some(Some(name)) if name == "bundled" => CollectionModel::Bundled,
        Some(Some(name)) => CollectionModel::Named(name),
    };
    let passages = input.passages.unwrap_or(before.passages);
    check_passages(passages)?;
    Ok(CollectionSettings {
        model,
        fields: input.fields.map(fields).transpose()?.unwrap_or_else(|| before.fields.clone()),
        passages,
        provenance: input.provenance.unwrap_or(before.provenance),
        dense: input.dense.unwrap_or(before.dense),
        tokens: input.tokens.unwrap_or(before.tokens),
    })
}

/// Types of fields.
fn fields(given: BTreeMap<String, String>) -> Result<BTreeMap<String, FieldType>, ApiError> {
    let mut fields = BTreeMap::new();
    for (path, kind) in given {
        if OWN.contains(&path.as_str()) {
            let message =
                "every document has it, and it is no other field: a type is for other fields";
            return Err(ApiError::invalid(format!("fields.{path}"), message));
        }
        let kind: FieldType =
            kind.parse().map_err(|message| ApiError::invalid(format!("fields.{path}"), message))?;
        fields.insert(path, kind);
    }
    Ok(fields)
}

fn check_passages(passages: Option<u32>) -> Result<(), ApiError> {
    match passages {
        Some(0) => Err(ApiError::invalid("passages", "0 is not 1 or more")),
        _ => Ok(()),
    }
}
