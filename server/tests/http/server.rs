//! A server on its own thread, and a plain HTTP client.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use quarry_index::Index;
use quarry_server::{Engine, Hosted, ServeError, ServerConfig};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::index::{ALL, FakeEncoder, Parts, build, build_dense, engine};

pub(crate) const SEARCH: &str = "/v1/collections/c/search";

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) encoder: Arc<FakeEncoder>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
    folder: tempfile::TempDir,
}

pub(crate) fn config() -> ServerConfig {
    ServerConfig::new("127.0.0.1:0".parse().unwrap(), "c")
}

/// Runs `serve` on a runtime that does not wait for blocked threads at its end.
pub(crate) fn spawn(
    config: ServerConfig,
    load: impl FnOnce() -> Result<Engine, std::io::Error> + Send + 'static,
    stop: oneshot::Receiver<()>,
) -> (SocketAddr, JoinHandle<Result<(), ServeError>>) {
    serve_on_thread(config, |_| load(), stop)
}

/// The same for whatever is served.
pub(crate) fn serve_on_thread<H, E>(
    config: ServerConfig,
    load: impl FnOnce(SocketAddr) -> Result<H, E> + Send + 'static,
    stop: oneshot::Receiver<()>,
) -> (SocketAddr, JoinHandle<Result<(), ServeError>>)
where
    H: Into<Hosted> + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let stopped = async move { drop(stop.await) };
        let bound = move |address| tell.send(address).unwrap();
        let result = runtime.block_on(quarry_server::serve(config, load, bound, stopped));
        runtime.shutdown_background();
        result
    });
    (told.recv().unwrap(), thread)
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(config(), ALL, true)
    }

    pub(crate) fn with(config: ServerConfig, parts: Parts, encodes: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let index = build(&folder.path().join("index"), parts);
        Self::of_index(config, (folder, index), encodes)
    }

    /// Over an index with dense vectors.
    pub(crate) fn dense() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let index = build_dense(&folder.path().join("index"));
        Self::of_index(config(), (folder, index), true)
    }

    fn of_index(
        config: ServerConfig,
        (folder, index): (tempfile::TempDir, Arc<Index>),
        encodes: bool,
    ) -> Self {
        let encoder = Arc::new(FakeEncoder::default());
        let used = encodes.then(|| encoder.clone() as Arc<dyn quarry_vectors::EncodeQuery>);
        let (stop, stopped) = oneshot::channel();
        let (address, thread) = spawn(config, move || Ok(engine(index, used)), stopped);
        let server = Self { address, encoder, stop: Some(stop), thread: Some(thread), folder };
        server.await_status("/readyz", 200);
        server
    }

    /// A server whose connections speak TLS; it may still be loading.
    pub(crate) fn over_tls(config: ServerConfig) -> (SocketAddr, Self) {
        let folder = tempfile::tempdir().unwrap();
        let index = build(&folder.path().join("index"), ALL);
        let encoder = Arc::new(FakeEncoder::default());
        let used = Some(encoder.clone() as Arc<dyn quarry_vectors::EncodeQuery>);
        let (stop, stopped) = oneshot::channel();
        let (address, thread) = spawn(config, move || Ok(engine(index, used)), stopped);
        (address, Self { address, encoder, stop: Some(stop), thread: Some(thread), folder })
    }

    /// The folder of the index.
    pub(crate) fn index(&self) -> PathBuf {
        self.folder.path().join("index")
    }

    pub(crate) fn narrow(in_flight: usize, queue: usize) -> Self {
        let mut config = config();
        config.in_flight = NonZeroUsize::new(in_flight).unwrap();
        config.queue = queue;
        config.queue_time = Duration::from_secs(3600);
        Self::with(config, ALL, true)
    }

    pub(crate) fn await_status(&self, path: &str, status: u16) {
        while get(self.address, path).status != status {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        get(self.address, path)
    }

    pub(crate) fn post(&self, body: &str) -> Reply {
        self.send("POST", SEARCH, &[("Content-Type", "application/json")], body)
    }

    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        exchange(self.address, &request(method, path, headers, body))
    }

    /// A search on another thread.
    pub(crate) fn post_aside(&self, body: &str) -> JoinHandle<Reply> {
        let json = [("Content-Type", "application/json")];
        let (address, bytes) = (self.address, request("POST", SEARCH, &json, body));
        std::thread::spawn(move || exchange(address, &bytes))
    }

    /// The same, retried while a connection that has just been closed still counts.
    pub(crate) fn post_until_taken(&self, body: &str) -> JoinHandle<Reply> {
        let json = [("Content-Type", "application/json")];
        let (address, bytes) = (self.address, request("POST", SEARCH, &json, body));
        std::thread::spawn(move || {
            loop {
                let reply = exchange(address, &bytes);
                if reply.status != 429 {
                    return reply;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        })
    }

    /// The value of a line of the metrics.
    pub(crate) fn metric(&self, line: &str) -> Option<f64> {
        let text = self.get("/metrics").text();
        text.lines().find_map(|l| l.strip_prefix(line)?.trim().parse().ok())
    }

    /// Waits until a line of the metrics has a value.
    pub(crate) fn await_metric(&self, line: &str, value: f64) {
        while self.metric(line) != Some(value) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub(crate) fn join(&mut self) -> Result<(), ServeError> {
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.encoder.open();
        // A server that ended on its own does not listen any more.
        let _ = self.stop.take().map(|s| s.send(()));
    }
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|h| h.0.eq_ignore_ascii_case(name));
        let value = found.next().map(|h| h.1.as_str());
        assert!(found.next().is_none(), "{name} twice");
        value
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The body of a successful answer.
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    /// Checks the form of an error and returns its details.
    pub(crate) fn error(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        let body = self.json();
        let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&body), ["error", "request_id"]);
        // Conflicts and rejections of batches say more.
        let further = |key: &String| !["current", "rejected"].contains(&key.as_str());
        let of_all: Vec<String> = keys(&body["error"]).into_iter().filter(further).collect();
        assert_eq!(of_all, ["code", "message", "param", "hint"]);
        assert_eq!(body["request_id"].as_str(), self.header("x-request-id"));
        assert_eq!(body["error"]["code"], code, "{body}");
        assert_ne!(body["error"]["message"], "");
        body["error"].clone()
    }
}

pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if method != "GET" && method != "HEAD" {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    (text + "\r\n" + body).into_bytes()
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Reply {
    exchange(address, &request("GET", path, &[], ""))
}

/// The same where the connection may be closed without an answer.
pub(crate) fn get_raw(address: SocketAddr, path: &str) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&request("GET", path, &[], "")).unwrap();
    let mut bytes = Vec::new();
    // Closed in whatever way.
    let _ = stream.read_to_end(&mut bytes);
    let http = bytes.starts_with(b"HTTP/");
    Reply { status: u16::from(http), headers: Vec::new(), body: bytes }
}

pub(crate) fn exchange(address: SocketAddr, bytes: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(bytes).unwrap();
    read(&mut stream)
}

/// Reads an answer until the connection closes; status 0 if nothing arrives.
pub(crate) fn read(stream: &mut TcpStream) -> Reply {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
        return Reply { status: 0, headers: Vec::new(), body: bytes };
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .map(|l| l.split_once(':').unwrap())
        .map(|(n, v)| (n.to_owned(), v.trim().to_owned()))
        .collect();
    let mut reply = Reply { status, headers, body: bytes[end + 4..].to_vec() };
    if reply.header("transfer-encoding").is_some() {
        let (body, whole) = unchunked(&reply.body);
        assert!(whole || reply.body.is_empty());
        reply.body = body;
        return reply;
    }
    // Of what is known nothing is sent.
    if reply.status == 304 {
        assert!(reply.body.is_empty());
        return reply;
    }
    // Every other answer is written whole, with its length.
    let length = reply.header("content-length").unwrap().parse::<usize>().unwrap();
    assert!(reply.body.len() == length || reply.body.is_empty());
    reply
}

/// A body that was sent in chunks, and whether it had its regular end.
pub(crate) fn unchunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(line) = rest.windows(2).position(|w| w == b"\r\n") {
        let length = std::str::from_utf8(&rest[..line]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        let Some(chunk) = rest.get(line + 2..line + 2 + length) else { break };
        if length == 0 {
            return (body, true);
        }
        body.extend_from_slice(chunk);
        rest = rest.get(line + 4 + length..).unwrap_or_default();
    }
    (body, false)
}
