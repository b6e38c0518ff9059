//! Overload, slow clients, and shutdown.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use quarry_server::{ConfigError, Engine, ServeError};
use tokio::sync::oneshot;

use crate::index::{ALL, build, engine};
use crate::server::{SEARCH, Server, config, exchange, get, read, request, spawn};

const DOG: &str = r#"{"query":{"text":"dog"},"timeout_ms":60000}"#;
const WAIT: &str = r#"{"query":{"text":"wait dog"},"timeout_ms":60000}"#;

#[test]
fn overload_is_refused_and_passes() {
    let server = Server::narrow(2, 3);
    let held: Vec<_> = (0..2).map(|_| server.post_aside(WAIT)).collect();
    server.encoder.await_waiting(2);
    let queued: Vec<_> = (0..3).map(|_| server.post_aside(DOG)).collect();
    server.await_metric("quarry_searches_queued", 3.0);
    assert_eq!(server.metric("quarry_searches_in_flight"), Some(2.0));
    let crowd: Vec<_> = (0..20).map(|_| server.post_aside(DOG)).collect();
    for one in crowd {
        let reply = one.join().unwrap();
        reply.error(429, "overloaded");
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    server.get(&format!("{SEARCH}?q=dog")).error(429, "overloaded");
    server.get("/v1/collections/c/documents/d1").error(429, "overloaded");
    // Routes that need no search still answer.
    for path in ["/livez", "/readyz", "/metrics", "/v1/collections/c"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    assert_eq!(server.metric("quarry_searches_rejected_total"), Some(22.0));
    server.encoder.open();
    for one in held.into_iter().chain(queued) {
        assert_eq!(one.join().unwrap().ok()["hits"][0]["id"], "d1");
    }
    server.post(DOG).ok();
    server.await_metric("quarry_searches_in_flight", 0.0);
}

#[test]
fn time_limits_cover_running_and_waiting() {
    let server = Server::narrow(1, 5);
    let started = Instant::now();
    let body = r#"{"query":{"text":"wait"},"timeout_ms":100}"#;
    let error = server.post(body).error(504, "timeout");
    assert_eq!(error["param"], "timeout_ms");
    assert!(started.elapsed() >= Duration::from_millis(100));
    // The abandoned search still holds its slot, so this one only waits.
    server.post(r#"{"query":{"text":"dog"},"timeout_ms":50}"#).error(504, "timeout");
    server.get("/v1/collections/c/documents/d1").error(504, "timeout");
    assert_eq!(server.metric("quarry_searches_in_flight"), Some(1.0));
    server.encoder.open();
    server.post(DOG).ok();
}

#[test]
fn clients_who_leave_make_room() {
    let server = Server::narrow(1, 1);
    let held = server.post_aside(WAIT);
    server.encoder.await_waiting(1);
    let json = [("Content-Type", "application/json")];
    let mut leaver = TcpStream::connect(server.address).unwrap();
    leaver.write_all(&request("POST", SEARCH, &json, DOG)).unwrap();
    server.await_metric("quarry_searches_queued", 1.0);
    drop(leaver);
    server.await_metric("quarry_searches_queued", 0.0);
    server.encoder.open();
    held.join().unwrap().ok();
}

#[test]
fn slow_clients_hold_nothing() {
    let mut config = config();
    config.in_flight = NonZeroUsize::MIN;
    config.queue = 0;
    config.head_timeout = Duration::from_millis(300);
    config.body_timeout = Duration::from_millis(300);
    let server = Server::with(config, ALL, true);
    let mut slow_heads = Vec::new();
    let mut slow_bodies = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(b"POST /v1/collections/c/search HTTP/1.1\r\nHost: t\r\n").unwrap();
        slow_heads.push(stream);
        let mut stream = TcpStream::connect(server.address).unwrap();
        let head = "Host: t\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{";
        stream.write_all(format!("POST {SEARCH} HTTP/1.1\r\n{head}").as_bytes()).unwrap();
        slow_bodies.push(stream);
    }
    // With one slot and no queue, a client that held anything would be noticed.
    server.post(DOG).ok();
    for stream in &mut slow_bodies {
        read(stream).error(408, "body_timeout");
    }
    for stream in &mut slow_heads {
        assert!(matches!(read(stream).status, 0 | 408));
    }
    server.post(DOG).ok();
}

#[test]
fn clients_who_do_not_read_are_disconnected() {
    let mut config = config();
    config.connections = NonZeroUsize::MIN;
    config.stall_timeout = Duration::from_millis(300);
    config.head_timeout = Duration::from_millis(300);
    let server = Server::with(config, ALL, true);
    let mut stream = TcpStream::connect(server.address).unwrap();
    let ask = b"GET /openapi.json HTTP/1.1\r\nHost: t\r\n\r\n".repeat(64);
    // Requests more than socket buffers hold and never reads, until it is disconnected.
    while stream.write_all(&ask).is_ok() {}
    // Only one connection is allowed: an answer to a search means that the first is gone.
    await_search(&server);
}

/// A slow reader keeps making progress, so only the time limit of the whole request ends it.
#[test]
fn a_whole_request_has_a_time_limit() {
    let mut config = config();
    config.connections = NonZeroUsize::MIN;
    config.request_timeout = Duration::from_millis(400);
    let server = Server::with(config, ALL, true);
    let json = [("Content-Type", "application/json")];
    let mut slow = loop {
        let mut slow = TcpStream::connect(server.address).unwrap();
        slow.write_all(&request("POST", SEARCH, &json, WAIT)).unwrap();
        // Answered with an error while a connection that has just been closed still counts.
        slow.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let refused = slow.peek(&mut [0]).is_ok_and(|read| read > 0);
        if !refused {
            slow.set_read_timeout(None).unwrap();
            break slow;
        }
    };
    server.encoder.await_waiting(1);
    let started = Instant::now();
    assert_eq!(read(&mut slow).status, 0, "the connection is closed without an answer");
    assert!(started.elapsed() < Duration::from_secs(20));
    server.encoder.open();
    await_search(&server);
}

fn await_search(server: &Server) {
    let by = Instant::now() + Duration::from_secs(20);
    while server.post(DOG).status != 200 {
        assert!(Instant::now() < by, "no connection became free");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn idle_connections_give_way() {
    let mut config = config();
    config.connections = NonZeroUsize::new(2).unwrap();
    let patience = Duration::from_secs(600);
    config.head_timeout = patience;
    let server = Server::with(config, ALL, true);
    let mut idle: Vec<_> = (0..2).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    // A connection with an incomplete head is idle.
    idle[0].write_all(b"GET /livez HTTP/1.1\r\nX: ").unwrap();
    let started = Instant::now();
    assert_eq!(server.get("/livez").status, 200);
    await_search(&server);
    assert!(started.elapsed() < patience / 2);
    // Whichever the server saw first: it reads each on a thread of its own.
    let closed = |stream: &mut TcpStream| {
        stream.set_nonblocking(true).unwrap();
        matches!(stream.read(&mut [0]), Ok(0))
    };
    let mut looks = (0..6000).inspect(|_| std::thread::sleep(Duration::from_millis(10)));
    assert!(looks.any(|_| idle.iter_mut().any(closed)), "neither was closed");
}

#[test]
fn probes_are_answered_at_the_connection_limit() {
    let mut config = config();
    config.connections = NonZeroUsize::new(2).unwrap();
    config.in_flight = NonZeroUsize::new(2).unwrap();
    let server = Server::with(config, ALL, true);
    let held: Vec<_> = (0..2).map(|_| server.post_until_taken(WAIT)).collect();
    server.encoder.await_waiting(2);
    // Long enough for an idle connection to be closed.
    std::thread::sleep(Duration::from_millis(400));
    let reply = server.post(DOG);
    reply.error(429, "overloaded");
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(reply.header("connection"), Some("close"));
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(TcpStream::connect(server.address).unwrap());
    }
    let started = Instant::now();
    for _ in 0..5 {
        assert_eq!(server.get("/livez").status, 200);
        assert_eq!(server.get("/readyz").status, 200);
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    server.encoder.open();
    for one in held {
        one.join().unwrap().ok();
    }
    await_search(&server);
}

#[test]
fn an_answer_has_a_limit() {
    let mut config = config();
    config.answer_bytes = NonZeroUsize::new(700).unwrap();
    let server = Server::with(config, ALL, true);
    let fields = r#"{"query":{"text":"dog sleep"},"fields":["title","text"],"explain":true,"k":K}"#;
    let error = server.post(&fields.replace('K', "9")).error(422, "answer_too_large");
    assert_eq!(error["param"], "fields");
    assert!(error["hint"].as_str().unwrap().contains("lower `k`"));
    server.post(&fields.replace('K', "1").replace(r#","explain":true"#, "")).ok();
    let limits = &server.get("/v1/collections/c").ok()["capabilities"]["limits"];
    assert_eq!(limits["answer_bytes"], 700);
}

#[test]
fn not_ready_while_loading() {
    let folder = tempfile::tempdir().unwrap();
    let index = build(folder.path(), ALL);
    let (go, wait) = mpsc::channel::<()>();
    let (stop, stopped) = oneshot::channel();
    let load = move || {
        wait.recv().unwrap();
        Ok(engine(index, None))
    };
    let (address, thread) = spawn(config(), load, stopped);
    assert_eq!(get(address, "/livez").status, 200);
    let reply = get(address, "/readyz");
    reply.error(503, "not_ready");
    assert_eq!(reply.header("retry-after"), Some("1"));
    for path in ["/v1/collections", "/v1/collections/c", "/v1/collections/c/search?q=dog"] {
        get(address, path).error(503, "not_ready");
    }
    assert_eq!(get(address, "/metrics").status, 200);
    go.send(()).unwrap();
    while get(address, "/readyz").status != 200 {
        std::thread::sleep(Duration::from_millis(5));
    }
    get(address, "/v1/collections/c/search?q=dog&channel=bm25").ok();
    stop.send(()).unwrap();
    thread.join().unwrap().unwrap();
}

#[test]
fn what_cannot_be_served_is_an_error() {
    let (_stop, stopped) = oneshot::channel();
    let load = || Err(std::io::Error::other("no such index"));
    let (_, thread) = spawn(config(), load, stopped);
    let error = thread.join().unwrap().unwrap_err();
    assert!(matches!(&error, ServeError::Load(_)));
    assert_eq!(error.to_string(), "loading failed: no such index");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let serve = |config| {
        let load = |_| -> Result<Engine, std::io::Error> { panic!("must not load") };
        let never = std::future::pending();
        runtime.block_on(quarry_server::serve(config, load, |_| {}, never)).unwrap_err()
    };
    let mut open = config();
    open.address = "0.0.0.0:0".parse().unwrap();
    assert!(matches!(serve(open), ServeError::Config(ConfigError::KeyNeeded { .. })));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut busy = config();
    busy.address = taken.local_addr().unwrap();
    assert!(matches!(serve(busy), ServeError::Bind { .. }));
}

#[test]
fn draining_answers_accepted_requests() {
    let mut server = Server::narrow(1, 2);
    let held = server.post_aside(WAIT);
    server.encoder.await_waiting(1);
    let queued = server.post_aside(DOG);
    server.await_metric("quarry_searches_queued", 1.0);
    server.stop();
    server.await_status("/readyz", 503);
    assert_eq!(server.get("/livez").status, 200);
    let reply = server.post(DOG);
    reply.error(503, "not_ready");
    assert_eq!(reply.header("retry-after"), Some("1"));
    server.encoder.open();
    held.join().unwrap().ok();
    queued.join().unwrap().ok();
    server.join().unwrap();
    assert!(TcpStream::connect(server.address).is_err());
}

#[test]
fn draining_has_a_time_limit() {
    let mut config = config();
    config.drain_timeout = Duration::from_millis(300);
    let mut server = Server::with(config, ALL, true);
    // Neither an idle connection nor a hanging search delays the end.
    let mut idle = TcpStream::connect(server.address).unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    let address = server.address;
    let json = [("Content-Type", "application/json")];
    let mut hanging = TcpStream::connect(address).unwrap();
    hanging.write_all(&request("POST", SEARCH, &json, WAIT)).unwrap();
    server.encoder.await_waiting(1);
    let started = Instant::now();
    server.stop();
    server.join().unwrap();
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert!(started.elapsed() < Duration::from_secs(8));
    assert_eq!(read(&mut hanging).status, 0);
    server.encoder.open();
}

#[test]
fn an_idle_server_stops_at_once() {
    let mut server = Server::start();
    exchange(server.address, &request("GET", "/livez", &[], "")).ok();
    let mut idle = TcpStream::connect(server.address).unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    let started = Instant::now();
    server.stop();
    server.join().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let index = build(folder.path(), ALL);
    let load = move |_| Ok::<_, std::io::Error>(engine(index, None));
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        quarry_server::run(config(), load, move |address| tell.send(address).unwrap())
    });
    // Once the address is reported, the signal is caught.
    let address = told.recv().unwrap();
    assert_eq!(get(address, "/livez").status, 200);
    let id = std::process::id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    thread.join().unwrap().unwrap();
    assert!(TcpStream::connect(address).is_err());
}

/// Sixteen clients who ask again and again wait a moment for each other, and none is refused.
#[test]
fn a_moment_in_the_queue_is_no_overload() {
    let mut config = config();
    config.in_flight = NonZeroUsize::MIN;
    config.queue_time = Duration::from_secs(60);
    let server = Server::with(config, ALL, true);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| (0..25).for_each(|_| drop(server.post(DOG).ok())));
        }
    });
    assert_eq!(server.metric("quarry_searches_rejected_total"), Some(0.0));
}

#[test]
fn a_search_waits_no_longer_than_the_queue_allows() {
    let mut config = config();
    config.in_flight = NonZeroUsize::MIN;
    config.queue_time = Duration::from_millis(50);
    let server = Server::with(config, ALL, true);
    let held = server.post_aside(WAIT);
    server.encoder.await_waiting(1);
    let error = server.post(DOG).error(429, "overloaded");
    assert_eq!(error["message"], "no search could begin within 50 ms");
    // Its own limit comes first.
    server.post(r#"{"query":{"text":"dog"},"timeout_ms":1}"#).error(504, "timeout");
    assert_eq!(server.get("/readyz").status, 200);
    server.encoder.open();
    held.join().unwrap().ok();
    server.post(DOG).ok();
}
