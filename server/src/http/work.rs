//! The state of a connection: whether it is idle and may be closed, and whether a request is overdue.
//!
//! A connection is busy from a request's head until the whole answer has been handed to the system: while
//! the request or its response body exists, and while bytes wait to be written.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::service::Service;
use tokio::time::sleep;

/// The state of one connection, shared.
#[derive(Debug, Clone)]
pub(crate) struct Work(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// When the requests in progress began, by their numbers, unless they may take any time; also those whose response body
    /// still exists. HTTP/2 has several at the same time.
    requests: BTreeMap<u64, Option<Instant>>,
    /// The number of the next one.
    next: u64,
    /// Whether bytes wait to be written.
    writing: bool,
    /// When the connection last became busy or idle.
    since: Instant,
}

impl State {
    fn busy(&self) -> bool {
        !self.requests.is_empty() || self.writing
    }

    /// When the oldest request that has a time limit began, or bytes began to wait after the last one.
    fn busy_since(&self) -> Option<Instant> {
        match self.requests.is_empty() {
            true => self.writing.then_some(self.since),
            false => self.requests.values().filter_map(|began| *began).min(),
        }
    }
}

impl Work {
    pub(crate) fn new() -> Self {
        let state =
            State { requests: BTreeMap::new(), next: 0, writing: false, since: Instant::now() };
        Self(Arc::new(Mutex::new(state)))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn seen<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Since when the connection is idle; `None` if it is busy.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.seen(|state| (!state.busy()).then_some(state.since))
    }

    /// Bytes are waiting to be written.
    pub(crate) fn writes(&self) {
        self.change(|state| state.writing = true);
    }

    /// All bytes have been written.
    pub(crate) fn wrote(&self) {
        self.change(|state| {
            if std::mem::take(&mut state.writing) && state.requests.is_empty() {
                state.since = Instant::now();
            }
        });
    }

    fn request(&self) -> Underway {
        let mut number = 0;
        self.change(|state| {
            number = state.next;
            state.next += 1;
            state.since = Instant::now();
            state.requests.insert(number, Some(state.since));
        });
        Underway { work: self.clone(), number }
    }

    /// Completes when a request has taken longer than `limit`.
    pub(crate) async fn overdue(self, limit: Duration) {
        loop {
            let left = self.seen(|state| {
                state.busy_since().map_or(limit, |since| limit.saturating_sub(since.elapsed()))
            });
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }
}

/// A request in progress, for its handler.
#[derive(Debug, Clone)]
pub(crate) struct Unhurried {
    work: Work,
    number: u64,
}

impl Unhurried {
    /// The request has no time limit from now on. Whoever calls this sees to it that it ends when its client stalls.
    pub(crate) fn take_time(&self) {
        self.work.change(|state| {
            if let Some(began) = state.requests.get_mut(&self.number) {
                *began = None;
            }
        });
    }
}

/// A request in progress; dropped with its response body.
#[derive(Debug)]
pub(crate) struct Underway {
    work: Work,
    number: u64,
}

impl Underway {
    /// Counts from now on.
    fn again(&self) {
        self.work.change(|state| {
            let began = state.requests.get_mut(&self.number);
            if let Some(began) = began.filter(|began| began.is_some()) {
                *began = Some(Instant::now());
            }
        });
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.work.change(|state| {
            state.requests.remove(&self.number);
            if !state.busy() {
                state.since = Instant::now();
            }
        });
    }
}

/// A service whose requests count as work.
#[derive(Debug, Clone)]
pub(crate) struct Counted<S> {
    pub(crate) service: S,
    pub(crate) work: Work,
}

/// Marks a response that has no end in sight: its time limit is counted from its last part on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streams;

/// A response body; when it is dropped, the request has ended.
#[derive(Debug)]
pub(crate) struct CountedBody {
    body: Body,
    request: Underway,
    streams: bool,
}

impl<S> Service<Request<Incoming>> for Counted<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response<CountedBody>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let begun = self.work.request();
        request
            .extensions_mut()
            .insert(Unhurried { work: begun.work.clone(), number: begun.number });
        let answer = self.service.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            let streams = answer.extensions().get::<Streams>().is_some();
            Ok(answer.map(|body| CountedBody { body, request: begun, streams }))
        })
    }
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let part = Pin::new(&mut self.body).poll_frame(cx);
        if self.streams && part.is_ready() {
            self.request.again();
        }
        part
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
