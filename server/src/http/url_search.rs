//! The parameters of a search in a URL, for the OpenAPI description: made of the description of [`SearchRequest`], so that
//! both have the same names, defaults and bounds.
//!
//! What is an object in a body is one word in a URL: `fusion` and `feedback` are their first choice alone, `rerank` is
//! true or false, and `q` is the query's text.
//!
//! [`SearchRequest`]: crate::api::SearchRequest

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{OpenApi, RefOr, Required};

const PATH: &str = "/v1/collections/{collection}/search";

/// Adds the parameters to the description.
pub(super) fn describe(openapi: &mut OpenApi) {
    let Some(components) = openapi.components.as_ref() else { return };
    let object = |name: &str| match components.schemas.get(name) {
        Some(RefOr::T(Schema::Object(object))) => Some(object),
        _ => None,
    };
    let property = |of: &str, name: &str| object(of)?.properties.get(name).cloned();
    let Some(body) = object("SearchRequest") else { return };
    let text = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).build();
    let mut all = vec![parameter("q", Some("The query, as text.".to_owned()), text.into(), true)];
    for (name, schema) in body.properties.iter().filter(|(name, _)| *name != "query") {
        let described = description(schema);
        let schema = match name.as_str() {
            "fusion" => property("FusionInput", "method"),
            "feedback" => property("FeedbackInput", "condition"),
            "rerank" => Some(Object::with_type(Type::Boolean).into()),
            _ => Some(schema.clone()),
        };
        all.extend(schema.map(|schema| parameter(name, described, schema, false)));
    }
    let get = openapi.paths.paths.get_mut(PATH).and_then(|path| path.get.as_mut());
    if let Some(get) = get {
        get.parameters.get_or_insert_default().extend(all);
    }
}

fn parameter(
    name: &str,
    description: Option<String>,
    schema: RefOr<Schema>,
    required: bool,
) -> Parameter {
    let list = matches!(schema, RefOr::T(Schema::Array(_)));
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(if required { Required::True } else { Required::False })
        .description(description)
        // Lists are separated by commas.
        .style(list.then_some(ParameterStyle::Form))
        .explode(list.then_some(false))
        .schema(Some(schema))
        .build()
}

fn description(schema: &RefOr<Schema>) -> Option<String> {
    match schema {
        RefOr::T(Schema::Object(object)) => object.description.clone(),
        RefOr::T(Schema::Array(array)) => array.description.clone(),
        RefOr::T(Schema::OneOf(one_of)) => one_of.description.clone(),
        RefOr::T(Schema::AllOf(all_of)) => all_of.description.clone(),
        RefOr::Ref(reference) => Some(reference.description.clone()).filter(|d| !d.is_empty()),
        RefOr::T(_) => None,
    }
}
