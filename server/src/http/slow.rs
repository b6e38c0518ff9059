//! Notes searches that take long, in the log and for `GET /v1/slow`. Nothing of a query is noted without a limit.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

use crate::api::{ErrorCode, SearchRequest, SlowResponse, SlowSearch, Timings};
use crate::keys::time_text;

/// Searches kept.
const KEPT: usize = 100;
/// Most bytes of a text that are kept.
const MOST_TEXT: usize = 1024;

/// The last slow searches.
#[derive(Debug)]
pub(crate) struct SlowLog {
    limit: Option<Duration>,
    kept: Mutex<VecDeque<SlowSearch>>,
}

/// A search that was answered.
#[derive(Debug)]
pub(crate) struct Answered<'a> {
    pub(crate) request: &'a SearchRequest,
    pub(crate) collection: &'a str,
    pub(crate) request_id: &'a str,
    /// The id of the key.
    pub(crate) key: Option<&'a str>,
    pub(crate) total: Duration,
    pub(crate) result: Result<Timings, ErrorCode>,
}

impl SlowLog {
    /// Notes searches that take at least `limit`; none without it.
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self { limit, kept: Mutex::default() }
    }

    /// Notes a search if it took long.
    pub(crate) fn note(&self, answered: &Answered<'_>) {
        if self.limit.is_none_or(|limit| answered.total < limit) {
            return;
        }
        let Answered { request, collection, request_id, key, total, result } = *answered;
        let slow = SlowSearch {
            at: time_text(OffsetDateTime::now_utc()),
            request_id: request_id.to_owned(),
            key: key.map(str::to_owned),
            collection: collection.to_owned(),
            total_ms: millis(total),
            timings_us: result.ok(),
            error: result.err(),
            text: request.query.text.as_deref().map(beginning),
            k: request.k,
            channels: request.channels.clone(),
            filter: request.filter.as_deref().map(beginning),
            rerank: request.rerank.is_some(),
        };
        // Serialising it does not fail.
        let told = serde_json::to_string(&slow).unwrap_or_default();
        tracing::warn!(request_id, total_ms = slow.total_ms, search = told, "slow search");
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(KEPT - 1);
        kept.push_front(slow);
    }

    /// What was noted, newest first.
    pub(crate) fn noted(&self) -> SlowResponse {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        SlowResponse { slow_ms: self.limit.map(millis), searches: kept.iter().cloned().collect() }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn beginning(text: &str) -> String {
    let end = text.char_indices().map(|(at, c)| at + c.len_utf8());
    let end = end.take_while(|end| *end <= MOST_TEXT).last();
    text[..end.unwrap_or(0)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_slow_searches_are_kept() {
        let log = SlowLog::new(Some(Duration::from_millis(10)));
        let request = SearchRequest::text("ä".repeat(1000));
        let note = |log: &SlowLog, total, id: &str| {
            let result = Err(ErrorCode::Timeout);
            let request = &request;
            log.note(&Answered {
                request,
                collection: "c",
                request_id: id,
                key: None,
                total,
                result,
            });
        };
        note(&log, Duration::from_millis(9), "fast");
        (0..150).for_each(|n| note(&log, Duration::from_millis(10), &n.to_string()));
        let noted = log.noted();
        assert_eq!((noted.slow_ms, noted.searches.len()), (Some(10), 100));
        assert_eq!(noted.searches[0].request_id, "149");
        assert_eq!(noted.searches[0].text.as_ref().map(String::len), Some(1024));
        let off = SlowLog::new(None);
        note(&off, Duration::MAX, "slow");
        assert_eq!(off.noted(), SlowResponse { slow_ms: None, searches: Vec::new() });
    }
}
