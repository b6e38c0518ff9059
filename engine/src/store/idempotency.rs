//! Answers to requests with a key, so that a request that is sent again is answered again and not made again.
//!
//! 1. the answer is logged with what was changed, so it is there after a crash if the change is  2. a seal writes all
//!    answers into `requests.json` in the collection's folder, before the log goes  3. what is older than a day goes, and the
//!    oldest where they are too many

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use quarry_index::Storage;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::StoreError;
use super::change::{Changed, RefusalKind, Refused, Spent};
use crate::Version;

/// The file with the answers.
pub(super) const REQUESTS: &str = "requests.json";
const MAGIC: &str = "quarry-requests";
const VERSION: u32 = 1;
/// Seconds that an answer is kept.
const KEPT: u64 = 24 * 60 * 60;
/// Most answers, and bytes of them as JSON.
const MOST: usize = 10_000;
const MOST_BYTES: usize = 8 << 20;

/// What names a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestKey {
    /// Chosen by who sends it.
    pub key: String,
    /// A hash of all that it asks for.
    pub digest: String,
}

/// An answer that is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct KeptAnswer {
    pub(super) request: RequestKey,
    /// Seconds since 1970.
    at: u64,
    generation: u64,
    sequence: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    accepted: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    replaced: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    encoded: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    deleted: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    refused: Vec<KeptRefusal>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct KeptRefusal {
    line: u64,
    id: String,
    kind: RefusalKind,
    reason: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl KeptAnswer {
    /// The answer to a request that was made now.
    pub(super) fn of(request: RequestKey, changed: &Changed) -> Self {
        let kept = |one: &Refused| {
            let Refused { line, id, kind, reason } = one.clone();
            KeptRefusal { line, id, kind, reason }
        };
        Self {
            request,
            at: now(),
            generation: changed.version.generation,
            sequence: changed.sequence,
            accepted: changed.accepted,
            replaced: changed.replaced,
            encoded: changed.encoded,
            deleted: changed.deleted,
            unknown: changed.unknown.clone(),
            refused: changed.refused.iter().map(kept).collect(),
        }
    }

    /// The answer again.
    fn changed(&self, index: Uuid) -> Changed {
        let refused = |one: &KeptRefusal| {
            let KeptRefusal { line, id, kind, reason } = one.clone();
            Refused { line, id, kind, reason }
        };
        Changed {
            version: Version { index, generation: self.generation },
            sequence: self.sequence,
            accepted: self.accepted,
            replaced: self.replaced,
            encoded: self.encoded,
            deleted: self.deleted,
            unknown: self.unknown.clone(),
            refused: self.refused.iter().map(refused).collect(),
            replayed: true,
            spent: Spent::default(),
        }
    }

    /// About its length as JSON.
    fn bytes(&self) -> usize {
        let texts = self.refused.iter().map(|one| 80 + one.id.len() + one.reason.len());
        let ids = self.unknown.iter().map(|id| 3 + id.len());
        200 + self.request.key.len() + texts.chain(ids).sum::<usize>()
    }
}

/// The answers that are kept.
#[derive(Debug, Default)]
pub(super) struct Answers {
    index: Uuid,
    by_key: HashMap<String, KeptAnswer>,
    /// Keys, the oldest first.
    order: VecDeque<String>,
    bytes: usize,
    /// Whether the file has others.
    changed: bool,
}

impl Answers {
    /// Reads those of the collection in `folder`. A file that cannot be read is logged, and is as if it were not there.
    pub(super) fn open(folder: &Path, index: Uuid) -> Self {
        let mut answers = Self { index, ..Self::default() };
        let storage = Storage::of(folder);
        if !storage.path(REQUESTS).exists() {
            return answers;
        }
        let read = storage.read(REQUESTS).map_err(|error| error.to_string()).and_then(|json| {
            serde_json::from_slice::<Record>(&json).map_err(|error| error.to_string())
        });
        match read {
            Ok(record) if record.magic == MAGIC && record.version == VERSION => {
                // Those of another index say nothing of this one.
                let own = record.answers.into_iter().filter(|_| record.index == index);
                own.for_each(|answer| answers.keep(answer));
                answers.changed = false;
            }
            Ok(record) => {
                let (file, found) = (storage.path(REQUESTS), record.version);
                tracing::warn!(file = %file.display(), found, "keys of requests cannot be read, and are forgotten");
            }
            Err(error) => {
                let file = storage.path(REQUESTS);
                tracing::warn!(file = %file.display(), error, "keys of requests cannot be read, and are forgotten");
            }
        }
        answers
    }

    /// The answer to a request that was made before; `Err` if another request had its key.
    pub(super) fn find(&self, request: &RequestKey) -> Result<Option<Changed>, StoreError> {
        let fresh = |answer: &&KeptAnswer| now().saturating_sub(answer.at) < KEPT;
        match self.by_key.get(&request.key).filter(fresh) {
            None => Ok(None),
            Some(answer) if answer.request.digest == request.digest => {
                Ok(Some(answer.changed(self.index)))
            }
            Some(_) => Err(StoreError::OtherRequest { key: request.key.clone() }),
        }
    }

    /// Keeps an answer; the oldest go where they are too many.
    pub(super) fn keep(&mut self, answer: KeptAnswer) {
        let key = answer.request.key.clone();
        self.bytes += answer.bytes();
        if let Some(before) = self.by_key.insert(key.clone(), answer) {
            self.bytes -= before.bytes();
            self.order.retain(|other| *other != key);
        }
        self.order.push_back(key);
        self.changed = true;
        let old = |answer: &KeptAnswer| now().saturating_sub(answer.at) >= KEPT;
        while let Some(first) = self.order.front() {
            let is_old = self.by_key.get(first).is_none_or(old);
            let many = self.order.len() > MOST || (self.bytes > MOST_BYTES && self.order.len() > 1);
            if !(is_old || many) {
                break;
            }
            if let Some(gone) = self.order.pop_front().and_then(|key| self.by_key.remove(&key)) {
                self.bytes -= gone.bytes();
            }
        }
    }

    /// Writes the file, if it has others.
    ///
    /// # Errors
    /// If the disk refuses; the old file then stays.
    pub(super) fn write(&mut self, folder: &Path) -> Result<(), StoreError> {
        if !self.changed {
            return Ok(());
        }
        let answers: Vec<&KeptAnswer> =
            self.order.iter().filter_map(|key| self.by_key.get(key)).collect();
        let record = Written { magic: MAGIC, version: VERSION, index: self.index, answers };
        let json = serde_json::to_vec(&record)
            .map_err(|source| StoreError::Record { folder: folder.to_owned(), source })?;
        let storage = Storage::of(folder);
        storage.replace(REQUESTS, &json)?;
        storage.sync()?;
        self.changed = false;
        Ok(())
    }
}

/// Whether a file holds answers, by its name and its first field.
pub(super) fn is_requests(path: &Path) -> bool {
    #[derive(Deserialize)]
    struct Head {
        magic: String,
    }
    let named = path.file_name().is_some_and(|name| name == REQUESTS);
    let head = || serde_json::from_slice::<Head>(&std::fs::read(path).ok()?).ok();
    named && head().is_some_and(|head| head.magic == MAGIC)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[derive(Debug, Deserialize)]
struct Record {
    magic: String,
    version: u32,
    index: Uuid,
    answers: Vec<KeptAnswer>,
}

#[derive(Debug, Serialize)]
struct Written<'a> {
    magic: &'a str,
    version: u32,
    index: Uuid,
    answers: Vec<&'a KeptAnswer>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    fn request(key: &str, digest: &str) -> RequestKey {
        RequestKey { key: key.to_owned(), digest: digest.to_owned() }
    }

    fn changed(index: Uuid) -> Changed {
        let refused = Refused {
            line: 3,
            id: "c".to_owned(),
            kind: RefusalKind::Conflict { current: 7 },
            reason: "other".to_owned(),
        };
        Changed {
            sequence: 9,
            accepted: 2,
            refused: vec![refused],
            ..Changed::nothing(Version { index, generation: 4 })
        }
    }

    #[test]
    fn the_same_request_has_the_same_answer() {
        let folder = tempfile::tempdir().unwrap();
        let index = Uuid::new_v4();
        let mut answers = Answers::open(folder.path(), index);
        assert_eq!(answers.find(&request("k", "1")).unwrap(), None);
        answers.keep(KeptAnswer::of(request("k", "1"), &changed(index)));
        let again = Changed { replayed: true, ..changed(index) };
        assert_eq!(answers.find(&request("k", "1")).unwrap(), Some(again.clone()));
        assert!(answers.find(&request("k", "2")).is_err());
        answers.write(folder.path()).unwrap();
        let read = Answers::open(folder.path(), index);
        assert_eq!(read.find(&request("k", "1")).unwrap(), Some(again));
        assert!(is_requests(&folder.path().join(REQUESTS)));
        // Those of another index, and what cannot be read, are none.
        let other = Answers::open(folder.path(), Uuid::new_v4());
        assert_eq!(other.find(&request("k", "1")).unwrap(), None);
        std::fs::write(folder.path().join(REQUESTS), "{").unwrap();
        assert!(!is_requests(&folder.path().join(REQUESTS)));
        let none = Answers::open(folder.path(), index);
        assert_eq!(none.find(&request("k", "1")).unwrap(), None);
    }

    #[test]
    fn the_oldest_go_after_a_day_or_where_they_are_many() {
        let index = Uuid::new_v4();
        let mut answers = Answers { index, ..Answers::default() };
        for number in 0..MOST + 5 {
            let key = request(&number.to_string(), "1");
            answers.keep(KeptAnswer::of(key, &Changed::nothing(changed(index).version)));
        }
        assert_eq!(answers.order.len(), MOST);
        assert_eq!(answers.find(&request("4", "1")).unwrap(), None);
        assert!(answers.find(&request("5", "1")).unwrap().is_some());
        let mut long = changed(index);
        long.unknown = vec!["x".repeat(MOST_BYTES / 2)];
        for key in ["a", "b", "c"] {
            answers.keep(KeptAnswer::of(request(key, "1"), &long));
        }
        assert!(answers.order.len() < 3 && answers.bytes <= MOST_BYTES);
        assert!(answers.find(&request("c", "1")).unwrap().is_some());
        let mut old = KeptAnswer::of(request("old", "1"), &changed(index));
        old.at -= KEPT;
        answers.keep(old);
        assert_eq!(answers.find(&request("old", "1")).unwrap(), None);
    }
}
