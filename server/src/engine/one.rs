//! Changes of one document, as requests ask for them.

use std::sync::Arc;

use quarry_engine::store::{
    Ack, Change, Changed, Condition, Guard, Live, Mode, RequestKey, Selection,
};
use quarry_engine::{Document, read_sent_document};
use serde_json::{Map, Value};

use super::documents::{kept_fields, refusal};
use super::outcome::Outcome;
use super::version::version;
use crate::api::{ApiError, DeleteResponse, ErrorCode, WrittenResponse, json_object};

/// A change of one document.
#[derive(Debug)]
pub(crate) struct OneSent<'a> {
    pub(crate) id: String,
    pub(crate) body: &'a [u8],
    pub(crate) ack: Ack,
    pub(crate) condition: Option<Condition>,
    pub(crate) key: Option<RequestKey>,
    /// Most bytes of the document after a patch.
    pub(crate) most: usize,
}

impl OneSent<'_> {
    pub(super) fn guard(&self) -> Guard {
        let conditions = self.condition.iter().cloned().map(Some).collect();
        Guard { conditions, key: self.key.clone(), ..Guard::default() }
    }

    /// The object in the body; an id in it must be that of the URL, and is left out.
    pub(super) fn object(&self) -> Result<Map<String, Value>, ApiError> {
        let mut object = json_object(self.body)?;
        for name in ["_id", "id"] {
            let same = |given: &Value| match given {
                Value::String(given) => *given == self.id,
                Value::Number(given) => given.to_string() == self.id,
                _ => false,
            };
            if object.remove(name).is_some_and(|given| !same(&given)) {
                let message = format!("another id than that of the URL, `{}`", self.id);
                return Err(ApiError::invalid(name, message));
            }
        }
        Ok(object)
    }

    /// The document in the body.
    fn document(&self, live: &Live) -> Result<Document, ApiError> {
        let mut object = self.object()?;
        if object.contains_key("if_version") {
            let message = "it is said of documents in a batch; for one document send If-Match";
            return Err(ApiError::invalid("if_version", message));
        }
        object.insert("_id".to_owned(), Value::String(self.id.clone()));
        let text = Value::Object(object).to_string();
        read_sent_document(&text, 1, &kept_fields(live))
            .map_err(|refused| ApiError::new(ErrorCode::InvalidDocument, refused.reason))
    }
}

/// Puts the document.
pub(crate) fn put_one(
    live: &Arc<Live>,
    sent: &OneSent<'_>,
) -> Result<Outcome<WrittenResponse>, ApiError> {
    let documents = vec![sent.document(live)?];
    let change = Change::Put { documents, mode: Mode::Upsert };
    let mut changed = live.change_if(change, sent.guard(), sent.ack)?;
    let answer = match changed.refused.pop() {
        Some(one) => Err(refusal(one.kind, one.reason).into()),
        None => Ok(written(&changed)),
    };
    Ok(Outcome { answer, replayed: changed.replayed })
}

fn written(changed: &Changed) -> WrittenResponse {
    let Changed { version: found, sequence: seq, replaced, .. } = *changed;
    WrittenResponse { index: version(found), seq, version: seq, created: replaced == 0 }
}

/// Deletes the document.
pub(crate) fn delete_one(
    live: &Arc<Live>,
    sent: &OneSent<'_>,
) -> Result<Outcome<DeleteResponse>, ApiError> {
    let change = Change::Delete(Selection::Ids(vec![sent.id.clone()]));
    let mut changed = live.change_if(change, sent.guard(), sent.ack)?;
    let answer = match changed.refused.pop() {
        Some(one) => Err(refusal(one.kind, one.reason).into()),
        None if changed.deleted == 0 => {
            let message = format!("no document has the id `{}`", sent.id);
            Err(ApiError::new(ErrorCode::DocumentNotFound, message).param("id"))
        }
        None => {
            let Changed { version: found, sequence: seq, deleted, unknown, .. } = changed;
            Ok(DeleteResponse { index: version(found), seq, deleted, unknown, dry_run: None })
        }
    };
    Ok(Outcome { answer, replayed: changed.replayed })
}
