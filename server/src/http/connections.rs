//! Open connections: their number, which ones are closed for new ones, and time limits.
//!
//! 1. a connection takes a seat; if none is left, the connection that has been idle longest is closed
//! 2. if all are busy, it takes a reserved seat, where only probes are answered; if none of these is
//!    left, the oldest of them is closed  3. a request that exceeds its time limit is ended by closing
//!    its connection
//!
//! So neither accepting a connection nor a probe ever waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::timeout_at;

use super::app::App;
use super::router::{probes, router};
use super::stall::Stalling;
use super::work::{Counted, Work};

/// Most bytes of a request's head: headers and a percent-encoded query in the URL.
const HEAD_BYTES: usize = 128 << 10;
/// The same on a reserved seat: the smallest size that hyper allows.
const PROBE_HEAD_BYTES: usize = 8 << 10;
/// Connections beyond the limit that only answer probes.
const RESERVED: usize = 32;
/// Time limit for the head of a request on a reserved seat.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection idle for less than this is not closed: its next request may be on its way.
const LEAST_IDLE: Duration = Duration::from_millis(250);

/// An open connection.
struct Entry {
    work: Work,
    abort: AbortHandle,
    opened: Instant,
    reserved: bool,
}

/// How one kind of seat is served.
struct Seats {
    router: Router,
    http: http1::Builder,
    most: usize,
}

/// All open connections, within the limit.
pub(super) struct Connections {
    seats: Seats,
    reserve: Seats,
    stall_timeout: Duration,
    request_timeout: Duration,
    open: HashMap<Id, Entry>,
    tasks: JoinSet<()>,
    graceful: GracefulShutdown,
}

impl Connections {
    pub(super) fn new(app: &Arc<App>) -> Self {
        let config = &app.config;
        let http = |timeout: Duration, bytes: usize| {
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(timeout).max_buf_size(bytes);
            http
        };
        let mut once = http(config.head_timeout.min(PROBE_TIMEOUT), PROBE_HEAD_BYTES);
        once.keep_alive(false);
        Self {
            seats: Seats {
                router: router(app.clone()),
                http: http(config.head_timeout, HEAD_BYTES),
                most: config.connections.get(),
            },
            reserve: Seats { router: probes(app.clone()), http: once, most: RESERVED },
            stall_timeout: config.stall_timeout,
            request_timeout: config.request_timeout,
            open: HashMap::new(),
            tasks: JoinSet::new(),
            graceful: GracefulShutdown::new(),
        }
    }

    /// Serves an accepted connection.
    pub(super) fn spawn(&mut self, stream: TcpStream) {
        self.reap();
        let reserved =
            self.count(false) >= self.seats.most && !self.make_room(Instant::now(), LEAST_IDLE);
        if reserved && self.count(true) >= self.reserve.most {
            let oldest = self.open.iter().filter(|(_, e)| e.reserved).min_by_key(|(_, e)| e.opened);
            let oldest = oldest.map(|(id, _)| *id);
            self.cut(oldest);
        }
        // Answers are written whole, so waiting to fill packets would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let seats = if reserved { &self.reserve } else { &self.seats };
        let work = Work::new();
        let io = TokioIo::new(Stalling::new(stream, self.stall_timeout, work.clone()));
        let service = TowerToHyperService::new(seats.router.clone());
        let service = Counted { service, work: work.clone() };
        let connection = self.graceful.watch(seats.http.serve_connection(io, service));
        let overdue = work.clone().overdue(self.request_timeout);
        let abort = self.tasks.spawn(async move {
            tokio::select! {
                ended = connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection");
                    }
                }
                () = overdue => tracing::warn!("a request took too long; its connection was closed"),
            }
        });
        let entry = Entry { work, opened: Instant::now(), reserved, abort };
        self.open.insert(entry.abort.id(), entry);
    }

    fn count(&self, reserved: bool) -> usize {
        self.open.values().filter(|entry| entry.reserved == reserved).count()
    }

    /// Closes the connection that has been idle longest, if that is at least `least`.
    fn make_room(&mut self, now: Instant, least: Duration) -> bool {
        let idle = self.open.iter().filter(|(_, entry)| !entry.reserved);
        let idle = idle.filter_map(|(id, entry)| Some((entry.work.idle_since()?, *id)));
        let longest = idle.min_by_key(|(since, _)| *since);
        let longest = longest.filter(|(since, _)| now.saturating_duration_since(*since) >= least);
        self.cut(longest.map(|(_, id)| id))
    }

    /// Closes a connection to free a file descriptor when the system has none left.
    pub(super) fn yield_one(&mut self) {
        self.reap();
        self.make_room(Instant::now(), Duration::ZERO);
    }

    fn cut(&mut self, id: Option<Id>) -> bool {
        let entry = id.and_then(|id| self.open.remove(&id));
        if let Some(entry) = &entry {
            entry.abort.abort();
        }
        entry.is_some()
    }

    /// Removes the entries of connections that have ended.
    pub(super) fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            let id = match ended {
                Ok((id, ())) => id,
                Err(error) => error.id(),
            };
            self.open.remove(&id);
        }
    }

    /// Lets requests in progress finish until `by`, then closes the remaining connections.
    pub(super) async fn end(self, by: tokio::time::Instant) {
        let Self { graceful, tasks, .. } = self;
        if timeout_at(by, graceful.shutdown()).await.is_err() {
            tracing::warn!(connections = tasks.len(), "closed at the end of the drain time");
        }
    }
}
