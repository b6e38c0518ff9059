//! The handlers of routes that make, change and remove collections.

use axum::body::Bytes;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use quarry_engine::store::{Ack, CollectionName, CollectionSettings, Made, Mode};

use super::access::{Caller, forbidden};
use super::app::App;
use super::body::{HeldBody, form, is_tar};
use super::conditions::{Keyed, answered, no_condition};
use super::errors::WriteErrors;
use super::restoring::restored;
use super::routes::{Parts, Shared, no_parameters, parts};
use crate::Engine;
use crate::api::{
    ApiError, CollectionInput, CollectionResponse, DocumentsResponse, ErrorCode, RemovedResponse,
};
use crate::engine::{Sent, put, settings};

/// Make a collection, empty, of another one's documents, or of a snapshot. The same request again changes nothing, but for a copy.
#[utoipa::path(put, path = "/v1/collections/{collection}", tag = "collections",
    params(("collection" = String, Path, description = "Its name: 1 to 64 of a-z, 0-9, - and _, first a letter or digit.")),
    request_body(content((CollectionInput = "application/json"), (Vec<u8> = "application/x-tar")),
        description = "How it is made; or an archive of a snapshot, which is checked before anything of it counts."),
    responses((status = 201, description = "It was made.", body = CollectionResponse),
        (status = 200, description = "It was there, made the same way.", body = CollectionResponse), WriteErrors))]
pub(crate) async fn make_collection(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    name: Parts<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let name = parts(name)?;
    let store = app.store()?;
    no_parameters(request.uri())?;
    let name = named(&name)?;
    if is_tar(request.headers()) {
        return restored(&app, name, request).await;
    }
    let body = settings_body(&app, request).await?;
    let input = CollectionInput::from_json(&body.bytes)?;
    let source = source(input, &caller)?;
    let pass = app.writes.seat(body.room)?;
    let described = app.write(pass, move || {
        let made = match &source {
            Source::Copy(from) => store.copy(&name, from)?,
            Source::New(settings) => store.make(&name, settings)?,
            Source::Snapshot(of, snapshot) => {
                Made { live: store.restore(&name, (of, snapshot))?, new: true }
            }
        };
        let engine = Engine::new(made.live.collection().clone());
        Ok((made.new, engine.describe(name.as_str())))
    });
    let (new, described) = described.await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(described)).into_response())
}

/// What a collection is made of.
enum Source {
    New(CollectionSettings),
    Copy(CollectionName),
    /// A snapshot of a collection.
    Snapshot(CollectionName, CollectionName),
}

/// What a request wants a collection to be made of, which the key may read.
fn source(mut input: CollectionInput, caller: &Caller) -> Result<Source, ApiError> {
    let (from, snapshot) = (input.from.take(), input.snapshot.take());
    let read = from.iter().chain(snapshot.iter().map(|snapshot| &snapshot.collection));
    if !read.into_iter().all(|read| caller.reaches(read)) {
        return Err(forbidden());
    }
    let alone = |param, others: bool| match others || input != CollectionInput::default() {
        true => {
            let message = "a copy is made as its original was; give nothing else";
            Err(ApiError::invalid(param, message))
        }
        false => Ok(()),
    };
    let name = |param, name: &str| {
        name.parse().map_err(|message: String| ApiError::invalid(param, message))
    };
    match (from, snapshot) {
        (Some(from), other) => {
            alone("from", other.is_some())?;
            Ok(Source::Copy(name("from", &from)?))
        }
        (None, Some(snapshot)) => {
            alone("snapshot", false)?;
            let of = name("snapshot.collection", &snapshot.collection)?;
            Ok(Source::Snapshot(of, name("snapshot.name", &snapshot.name)?))
        }
        (None, None) => Ok(Source::New(settings(input)?)),
    }
}

/// The body that says how a collection is made. Nothing need be declared if nothing is sent.
pub(super) async fn settings_body(app: &App, request: Request) -> Result<HeldBody, ApiError> {
    let (head, body) = request.into_parts();
    let empty = declared(&head.headers).unwrap_or(0) == 0
        && !head.headers.contains_key(header::TRANSFER_ENCODING);
    match empty {
        true => Ok(HeldBody { bytes: Bytes::new(), room: None }),
        false => app.writes.bodies()?.json(&head.headers, body, app.config.body_timeout).await,
    }
}

/// Remove a collection that was made over HTTP, with all its documents.
#[utoipa::path(delete, path = "/v1/collections/{collection}", tag = "collections",
    params(("collection" = String, Path, description = "Name of the collection.")),
    responses((status = 200, description = "It is gone.", body = RemovedResponse), WriteErrors))]
pub(crate) async fn remove_collection(
    State(app): Shared,
    name: Parts<String>,
    uri: Uri,
) -> Result<Json<RemovedResponse>, ApiError> {
    let name = parts(name)?;
    let store = app.store()?;
    no_parameters(&uri)?;
    // One that cannot be opened is not removed; the store refuses an alias.
    if app.named_by(&name).is_none() {
        drop(app.live(&name)?);
    }
    let removed = name.clone();
    let name = named(&name)?;
    let pass = app.writes.enter(0)?;
    app.write(pass, move || Ok(store.remove(&name)?)).await?;
    Ok(Json(RemovedResponse { removed }))
}

pub(super) fn named(name: &str) -> Result<CollectionName, ApiError> {
    name.parse().map_err(|message: String| ApiError::invalid("collection", message))
}

/// Add documents, or replace those whose ids are there. Answered when they can be found, and are as safe as `ack` says.
#[utoipa::path(post, path = "/v1/collections/{collection}/documents", tag = "documents",
    params(
        ("collection" = String, Path, description = "Name of the collection."),
        ("mode" = Option<String>, Query, description = "`upsert` (if absent) takes all documents, `insert` those whose ids are not there, `update` those whose ids are."),
        ("atomic" = Option<bool>, Query, description = "Whether all documents are taken or none: if one is rejected, the answer is 422 and names those rejected."),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request, for a day: sent again with the same key, it is answered again and not made again (`Idempotency-Replayed: true`); another request with the key is 409."),
        ("ack" = Option<String>, Query, description = "When the request is answered: `received`, when the documents can be found; `synced` (if absent), when the disk has them in the log as well; `sealed`, when they are in a generation that other processes can open."),
    ),
    request_body(
        content((Vec<serde_json::Value> = "application/json"), (String = "application/x-ndjson")),
        description = "Documents with `id` (or `_id`), `title`, `text`, `vector` and any other fields: a JSON list, or one a line. One with `if_version` is taken only if the document of its id has this version; 0: only if none is there."),
    responses((status = 200, description = "What became of them; documents that were not taken are named.", body = DocumentsResponse), WriteErrors))]
pub(crate) async fn put_documents(
    State(app): Shared,
    name: Parts<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let live = app.live(&parts(name)?)?;
    let PutParameters { mode, ack, atomic } = put_parameters(request.uri())?;
    let (head, body) = request.into_parts();
    no_condition(&head.headers)?;
    let form = form(&head.headers)?;
    let most = app.config.write_bytes.get();
    let body = app.writes.bodies()?.read(body, most, app.config.body_timeout).await?;
    let (body, room) = (body.bytes, body.room);
    let key = Keyed { method: &head.method, uri: &head.uri, headers: &head.headers, body: &body }
        .key()?;
    let pass = app.writes.seat(room)?;
    let most = app.config.document_bytes.get();
    let answer = app
        .write(pass, move || put(&live, Sent { body: &body, form, mode, ack, most, atomic, key }));
    // Without a limit of its own, which would hide what was done; it is about as long as the body at most.
    let outcome = answer.await?;
    if let (Ok(answer), false) = (&outcome.answer, outcome.replayed) {
        app.metrics.write_stages(&answer.timings_us);
    }
    Ok(answered(outcome))
}

/// The length of a body that its head declares.
fn declared(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What the URL says of documents that are put.
struct PutParameters {
    mode: Mode,
    ack: Ack,
    atomic: bool,
}

/// Other parameters are refused.
fn put_parameters(uri: &Uri) -> Result<PutParameters, ApiError> {
    let [mode, ack, atomic] = parameters(uri, ["mode", "ack", "atomic"])?;
    let mode = match mode.as_deref() {
        None | Some("upsert") => Mode::Upsert,
        Some("insert") => Mode::Insert,
        Some("update") => Mode::Update,
        Some(other) => {
            let message = format!("`{other}` is none of upsert, insert, update");
            return Err(ApiError::invalid("mode", message));
        }
    };
    let atomic = match atomic.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            return Err(ApiError::invalid(
                "atomic",
                format!("`{other}` is neither true nor false"),
            ));
        }
    };
    Ok(PutParameters { mode, ack: acknowledged(ack.as_deref())?, atomic })
}

/// The acknowledgement in the URL; other parameters are refused.
pub(super) fn ack_alone(uri: &Uri) -> Result<Ack, ApiError> {
    let [ack] = parameters(uri, ["ack"])?;
    acknowledged(ack.as_deref())
}

fn acknowledged(ack: Option<&str>) -> Result<Ack, ApiError> {
    match ack {
        None | Some("synced") => Ok(Ack::Synced),
        Some("received") => Ok(Ack::Received),
        Some("sealed") => Ok(Ack::Sealed),
        Some(other) => {
            let message = format!("`{other}` is none of received, synced, sealed");
            Err(ApiError::invalid("ack", message))
        }
    }
}

/// The values of the parameters of these names; others, and repeated ones, are refused.
pub(super) fn parameters<const N: usize>(
    uri: &Uri,
    names: [&str; N],
) -> Result<[Option<String>; N], ApiError> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|e| ApiError::new(ErrorCode::InvalidValue, e.body_text()))?;
    let mut values = [const { None }; N];
    for (name, value) in pairs {
        let Some(at) = names.iter().position(|known| *known == name) else {
            let message = format!("unknown parameter `{name}`");
            return Err(ApiError::new(ErrorCode::UnknownField, message).param(name));
        };
        if values[at].replace(value).is_some() {
            return Err(ApiError::invalid(name, "given more than once"));
        }
    }
    Ok(values)
}
