//! Reads a body as JSON; what is wrong is said in terms of JSON, with the place.

use serde::de::DeserializeOwned;

use super::json_words::in_json_words;
use super::{ApiError, ErrorCode};

/// Parses a body. `objects` are the places, as JSON pointers, at which an object must stand and no list.
pub(super) fn from_json<T: DeserializeOwned>(
    bytes: &[u8],
    objects: &[&str],
) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let request = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        describe(error.inner(), Some(path).filter(|p| p != "."), bytes)
    })?;
    json.end().map_err(|e| describe(&e, None, bytes))?;
    expect_objects(bytes, objects)?;
    Ok(request)
}

/// Refuses lists in place of objects, which serde takes for their fields in order.
fn expect_objects(bytes: &[u8], objects: &[&str]) -> Result<(), ApiError> {
    let body: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|e| describe(&e, None, bytes))?;
    for path in objects {
        if body.pointer(path).is_some_and(serde_json::Value::is_array) {
            let message = "an object was expected, and this is a list";
            let error = ApiError::new(ErrorCode::InvalidValue, message);
            let name = path.trim_start_matches('/').replace('/', ".");
            return Err(if name.is_empty() { error } else { error.param(name) });
        }
    }
    Ok(())
}

fn describe(error: &serde_json::Error, path: Option<String>, bytes: &[u8]) -> ApiError {
    use serde_json::error::Category;
    let message = error.to_string();
    // serde_json takes a number too large for its type as one that cannot be written.
    let too_large = message.starts_with("number out of range");
    // Neither are values that no variant of a name can be: the body is JSON all the same.
    let is_json = || serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
    if !matches!(error.classify(), Category::Data) && !too_large && !is_json() {
        return ApiError::new(ErrorCode::InvalidJson, format!("the body is no JSON: {message}"));
    }
    if message.starts_with("unknown field") {
        let error = ApiError::new(ErrorCode::UnknownField, message);
        return path.into_iter().fold(error, ApiError::param);
    }
    // serde's path ends at the object that lacks the field.
    let missing = message.strip_prefix("missing field `").and_then(|m| m.split('`').next());
    let param = match (path, missing) {
        (Some(path), Some(field)) => Some(format!("{path}.{field}")),
        (None, Some(field)) => Some(field.to_owned()),
        (path, None) => path,
    };
    let error = ApiError::new(ErrorCode::InvalidValue, in_json_words(&message));
    param.into_iter().fold(error, ApiError::param)
}

/// Parses a body that is an object of any names.
pub(crate) fn json_object(
    bytes: &[u8],
) -> Result<serde_json::Map<String, serde_json::Value>, ApiError> {
    let body = serde_json::from_slice(bytes).map_err(|error| describe(&error, None, bytes))?;
    match body {
        serde_json::Value::Object(object) => Ok(object),
        _ => Err(ApiError::new(ErrorCode::InvalidValue, "an object was expected")),
    }
}
