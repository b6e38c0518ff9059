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
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::{timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::app::App;
use super::router::{probes, router};
use super::stall::Stalling;
use super::tls::{H2, Tls};
use super::work::{Counted, Work};

/// Most bytes of a request's head: headers and a percent-encoded query in the URL.
const HEAD_BYTES: usize = 128 << 10;
/// The same on a reserved seat: the smallest size that hyper allows.
const PROBE_HEAD_BYTES: usize = 8 << 10;
/// Most requests at the same time on a connection of HTTP/2.
const STREAMS: u32 = 64;
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
    http: Speaking,
    most: usize,
}

/// How a connection is spoken on.
#[derive(Clone)]
struct Speaking {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    /// Time limit for the handshake of TLS.
    handshake: Duration,
}

impl Speaking {
    fn new(timeout: Duration, head_bytes: usize) -> Self {
        let mut http1 = http1::Builder::new();
        http1.timer(TokioTimer::new()).header_read_timeout(timeout).max_buf_size(head_bytes);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(timeout)
            .keep_alive_timeout(timeout)
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX));
        Self { http1, http2, handshake: timeout }
    }

    /// Speaks TLS first if that is wanted, and then what was agreed on.
    async fn speak(self, stream: TcpStream, wrapped: Wrapped) {
        let Wrapped { tls, stall, work, watcher, service } = wrapped;
        let Some(acceptor) = tls else {
            let io = TokioIo::new(Stalling::new(stream, stall, work));
            return told(watcher.watch(self.http1.serve_connection(io, service)).await);
        };
        let stream = match timeout(self.handshake, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake"),
            Err(_) => return tracing::debug!("the TLS handshake took too long"),
        };
        let h2 = stream.get_ref().1.alpn_protocol() == Some(H2);
        let io = TokioIo::new(Stalling::new(stream, stall, work));
        match h2 {
            true => told(watcher.watch(self.http2.serve_connection(io, service)).await),
            false => told(watcher.watch(self.http1.serve_connection(io, service)).await),
        }
    }
}

/// What a connection is served with.
struct Wrapped {
    tls: Option<TlsAcceptor>,
    stall: Duration,
    work: Work,
    watcher: Watcher,
    service: Counted<TowerToHyperService<Router>>,
}

fn told(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "connection");
    }
}

/// All open connections, within the limit.
pub(super) struct Connections {
    app: Arc<App>,
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
        let mut once = Speaking::new(config.head_timeout.min(PROBE_TIMEOUT), PROBE_HEAD_BYTES);
        once.http1.keep_alive(false);
        Self {
            app: Arc::clone(app),
            seats: Seats {
                router: router(app.clone()),
                http: Speaking::new(config.head_timeout, HEAD_BYTES),
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
        let service = TowerToHyperService::new(seats.router.clone());
        let connection = seats.http.clone().speak(
            stream,
            Wrapped {
                tls: self.app.tls.as_ref().map(Tls::acceptor),
                stall: self.stall_timeout,
                work: work.clone(),
                watcher: self.graceful.watcher(),
                service: Counted { service, work: work.clone() },
            },
        );
        let overdue = work.clone().overdue(self.request_timeout);
        let abort = self.tasks.spawn(async move {
            tokio::select! {
                () = connection => {}
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
