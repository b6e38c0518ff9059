//! TLS, HTTP/2, compressed bodies, other origins, and the log of slow searches.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use quarry_server::{ServerConfig, TlsFiles};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::index::ALL;
use crate::server::{SEARCH, Server, config};

const DOG: &str = r#"{"query":{"text":"dog sleep"}}"#;

fn server(change: impl FnOnce(&mut ServerConfig)) -> Server {
    let mut config = config();
    change(&mut config);
    Server::with(config, ALL, true)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

/// A request with a body of bytes; answers may be compressed.
fn exchange(address: SocketAddr, request: Request<Full<Bytes>>) -> Response<Bytes> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        whole(sender.send_request(request).await.unwrap()).await
    })
}

async fn whole(answer: Response<hyper::body::Incoming>) -> Response<Bytes> {
    let (head, body) = answer.into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

fn post(headers: &[(&str, &str)], body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::post(SEARCH).header("host", "t");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.header("content-type", "application/json").body(Full::new(body.into())).unwrap()
}

fn code(answer: &Response<Bytes>) -> (u16, String) {
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    (answer.status().as_u16(), body["error"]["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn bodies_may_be_compressed() {
    let server = Server::start();
    let plain = exchange(server.address, post(&[], DOG));
    let hits = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap()["hits"].clone();
    for (encoding, bytes) in
        [("gzip", gzip(DOG.as_bytes())), ("zstd", zstd::encode_all(DOG.as_bytes(), 3).unwrap())]
    {
        let answer = exchange(server.address, post(&[("content-encoding", encoding)], bytes));
        assert_eq!(hits(answer.body()), hits(plain.body()), "{encoding}");
        // What is not what it says.
        let broken = exchange(server.address, post(&[("content-encoding", encoding)], DOG));
        assert_eq!(code(&broken), (400, "invalid_json".into()), "{encoding}");
    }
    for encoding in ["br", "gzip, zstd", "GZIP"] {
        let answer = exchange(server.address, post(&[("content-encoding", encoding)], DOG));
        assert_eq!(code(&answer), (415, "unsupported_media_type".into()), "{encoding}");
    }
}

/// Few bytes that inflate to very many are refused at the limit of a body.
#[test]
fn bombs_are_refused() {
    let server = Server::start();
    let spaces = vec![b' '; 64 << 20];
    for (encoding, bytes) in
        [("gzip", gzip(&spaces)), ("zstd", zstd::encode_all(&*spaces, 3).unwrap())]
    {
        assert!(bytes.len() < 100_000);
        let answer = exchange(server.address, post(&[("content-encoding", encoding)], bytes));
        assert_eq!(code(&answer), (413, "body_too_large".into()), "{encoding}");
    }
    server.post(DOG).ok();
}

#[test]
fn answers_are_compressed_for_those_who_take_it() {
    let server = Server::start();
    let get = |accept: &str| {
        let request = Request::get("/openapi.json").header("host", "t");
        let request = request.header("accept-encoding", accept).body(Full::default()).unwrap();
        exchange(server.address, request)
    };
    let plain = get("identity");
    assert!(plain.headers().get("content-encoding").is_none());
    let packed = get("gzip");
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    let mut inflated = Vec::new();
    std::io::copy(&mut flate2::read::GzDecoder::new(&**packed.body()), &mut inflated).unwrap();
    assert_eq!(inflated, **plain.body());
    let packed = get("zstd");
    assert_eq!(packed.headers()["content-encoding"], "zstd");
    assert_eq!(zstd::decode_all(&**packed.body()).unwrap(), **plain.body());
    assert!(packed.body().len() * 4 < plain.body().len());
}

#[test]
fn only_pages_of_listed_origins_may_ask() {
    let server = server(|config| {
        config.cors_origins = vec!["https://docs.example".into(), "http://localhost:3000".into()];
        config.key = Some(quarry_server::Key::new("secret"));
    });
    let preflight = |origin: &str| {
        let headers = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "content-type,x-api-key"),
        ];
        server.send("OPTIONS", SEARCH, &headers, "")
    };
    let allowed = preflight("http://localhost:3000");
    assert_eq!(allowed.status, 200);
    let origin = "access-control-allow-origin";
    assert_eq!(allowed.header(origin), Some("http://localhost:3000"));
    assert!(allowed.header("access-control-allow-headers").unwrap().contains("x-api-key"));
    assert_eq!(preflight("https://evil.example").header(origin), None);
    // Errors can be read as well; the key is needed all the same.
    let from = [("Origin", "https://docs.example")];
    let refused = server.send("GET", SEARCH, &from, "");
    refused.error(401, "unauthorized");
    assert_eq!(refused.header(origin), Some("https://docs.example"));
    let none = Server::start();
    assert_eq!(none.send("GET", SEARCH, &from, "").header(origin), None);
}

/// A certificate for `localhost` in two files.
fn certify(folder: &Path) -> TlsFiles {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = TlsFiles { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    files
}

/// A search over TLS by a client that trusts this certificate only.
fn over_tls(address: SocketAddr, trusted: &Path, http2: bool) -> Result<Value, std::io::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        assert_eq!(agreed.as_deref() == Some(b"h2"), http2);
        let io = TokioIo::new(stream);
        let body = Full::new(Bytes::from_static(DOG.as_bytes()));
        let request = Request::post(format!("https://localhost{SEARCH}"));
        let request = request.header("content-type", "application/json").body(body).unwrap();
        let answer = if http2 {
            let client = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
            let (sender, connection) = client.handshake(io).await.unwrap();
            tokio::spawn(connection);
            // Several at the same time, on one connection.
            let mut asked = tokio::task::JoinSet::new();
            for _ in 0..20 {
                let (mut sender, request) = (sender.clone(), request.clone());
                asked
                    .spawn(async move { whole(sender.send_request(request).await.unwrap()).await });
            }
            asked.join_all().await.pop().unwrap()
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            whole(sender.send_request(request).await.unwrap()).await
        };
        assert_eq!(answer.status(), 200);
        Ok(serde_json::from_slice(answer.body()).unwrap())
    })
}

#[test]
fn tls_speaks_both_versions_and_reads_new_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let files = certify(folder.path());
    let old = folder.path().join("old.pem");
    std::fs::copy(&files.certificate, &old).unwrap();
    let mut config = config();
    config.tls = Some(files.clone());
    let reload = config.reload.clone();
    let (address, mut server) = Server::over_tls(config);
    for http2 in [false, true] {
        while over_tls_ready(address, &files.certificate).is_none() {}
        let answer = over_tls(address, &files.certificate, http2).unwrap();
        assert_eq!(answer["hits"][0]["id"], "d1");
    }
    // A new one is used once that is asked for; one that is broken is not.
    certify(folder.path());
    assert!(over_tls(address, &files.certificate, true).is_err());
    reload.ask();
    while over_tls_ready(address, &files.certificate).is_none() {}
    assert!(over_tls(address, &old, false).is_err());
    let new = folder.path().join("new.pem");
    std::fs::copy(&files.certificate, &new).unwrap();
    std::fs::write(&files.certificate, "no certificate").unwrap();
    reload.ask();
    std::thread::sleep(Duration::from_millis(300));
    over_tls(address, &new, true).unwrap();
    // Bytes that are no TLS end the connection, and no other.
    assert_eq!(crate::server::get_raw(address, "/livez").status, 0);
    over_tls(address, &new, true).unwrap();
    server.stop();
    server.join().unwrap();
}

/// Whether a handshake succeeds.
fn over_tls_ready(address: SocketAddr, trusted: &Path) -> Option<()> {
    let ready = std::panic::catch_unwind(|| over_tls(address, trusted, false).is_ok());
    let ready = ready.unwrap_or(false);
    std::thread::sleep(Duration::from_millis(20));
    ready.then_some(())
}

#[test]
fn certificates_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let files = certify(folder.path());
    let told = |files: TlsFiles| {
        let mut config = config();
        config.tls = Some(files);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let load = |_| Err::<quarry_server::Engine, _>(std::io::Error::other("not reached"));
        let served = quarry_server::serve(config, load, |_| {}, std::future::pending());
        runtime.block_on(served).unwrap_err().to_string()
    };
    let absent = TlsFiles { key: folder.path().join("none.pem"), ..files.clone() };
    assert!(told(absent).contains("none.pem"));
    let swapped = TlsFiles { certificate: files.key.clone(), key: files.certificate.clone() };
    assert!(told(swapped).contains("no certificate in PEM"));
    let other = tempfile::tempdir().unwrap();
    let mixed = TlsFiles { key: certify(other.path()).key, ..files };
    assert!(told(mixed).contains("KeyMismatch"));
}

#[test]
fn slow_searches_are_listed() {
    let server = server(|config| config.slow = Some(Duration::from_nanos(1)));
    let id = [("Content-Type", "application/json"), ("X-Request-Id", "mine")];
    server.send("POST", SEARCH, &id, DOG).ok();
    server.post(r#"{"query":{"text":"wait"},"timeout_ms":10}"#).error(504, "timeout");
    let slow = server.get("/v1/slow").ok();
    assert_eq!(slow["slow_ms"], 0);
    let [newest, first] = slow["searches"].as_array().unwrap().as_slice() else {
        panic!("{slow}");
    };
    assert_eq!(newest["error"], "timeout");
    assert_eq!((&first["request_id"], &first["text"]), (&json!("mine"), &json!("dog sleep")));
    assert_eq!((&first["collection"], &first["error"]), (&json!("c"), &Value::Null));
    assert!(first["timings_us"]["search"].is_u64());
    let off = Server::start();
    off.post(DOG).ok();
    assert_eq!(off.get("/v1/slow").ok(), json!({"slow_ms": null, "searches": []}));
}
