//! Models by name, from a hub that the test plays: HTTP over a local socket, as a hub answers it,
//! and as it does not.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use quarry_encoders::{EncoderError, Hub, HubEvent};
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The connection ends half-way through the graph, so many times.
    Cut(usize),
    /// A byte of the graph is another.
    Flipped,
    /// The hub says the graph is longer than it is.
    TooLong,
    /// A file is listed that reaches out of the folder.
    Outside,
    /// A redirection to nowhere.
    Nowhere,
    /// The etag is a path.
    BadEtag,
    /// The other server sends bytes without end.
    Endless,
    /// A file is listed that is not there.
    Listed(&'static str),
}

struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
    /// Requests that brought a token.
    tokens: Arc<Mutex<Vec<String>>>,
    cuts: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

fn graph() -> Vec<u8> {
    (0..200_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

fn files() -> BTreeMap<&'static str, Vec<u8>> {
    BTreeMap::from([
        ("config.json", b"{}".to_vec()),
        ("onnx/model.onnx", graph()),
        ("README.md", b"not needed".to_vec()),
    ])
}

fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// The files of a hub's model.
type Files = BTreeMap<String, Vec<u8>>;

impl Server {
    fn start(fault: Fault, token: Option<&'static str>) -> Self {
        let files = files().into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
        Self::serving(files, fault, token)
    }

    fn serving(files: Files, fault: Fault, token: Option<&'static str>) -> Self {
        Self::beside(files, fault, token, None)
    }

    /// A server whose large files lie at another one's address.
    fn beside(
        files: Files,
        fault: Fault,
        token: Option<&'static str>,
        other: Option<String>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let cuts = Arc::new(AtomicUsize::new(if let Fault::Cut(n) = fault { n } else { 0 }));
        let tokens = Arc::new(Mutex::new(Vec::new()));
        let logs = (Arc::clone(&requests), Arc::clone(&tokens));
        let (ended, left) = (Arc::clone(&stop), Arc::clone(&cuts));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                // A client that went away is its own affair.
                let manner = (fault, token, other.as_deref());
                let _ = answer(&stream.unwrap(), &files, manner, (&logs.0, &logs.1), &left);
            }
        });
        Self { address, requests, tokens, cuts, stop, thread: Some(thread) }
    }

    fn hub(&self, cache: &TempDir) -> Hub {
        Hub {
            endpoint: self.address.clone(),
            cache: cache.path().join("hub"),
            token: None,
            offline: false,
        }
    }

    /// Requests for the graph's bytes, by the range asked for.
    fn ranges(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|r| r.contains("/cdn/")).cloned().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address.trim_start_matches("http://"));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A path as it was before `%XX`.
fn decoded(path: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
            out.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).unwrap()
}

fn answer(
    stream: &TcpStream,
    files: &Files,
    (fault, token, other): (Fault, Option<&str>, Option<&str>),
    (log, tokens): (&Mutex<Vec<String>>, &Mutex<Vec<String>>),
    cuts: &AtomicUsize,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or(Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let headers: BTreeMap<String, String> = lines
        .map_while(|line| line.ok().filter(|l| !l.is_empty()))
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect();
    let range = headers.get("range").cloned().unwrap_or_default();
    log.lock().unwrap().push(format!("{path} {range}"));
    if headers.contains_key("authorization") {
        tokens.lock().unwrap().push(path.clone());
    }
    let mut out = stream;
    let mut send = |status: &str, more: &str, body: &[u8]| -> std::io::Result<()> {
        write!(
            out,
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{more}\r\n",
            body.len()
        )?;
        out.write_all(body)
    };
    if token.is_some_and(|t| headers.get("authorization") != Some(&format!("Bearer {t}"))) {
        return send("401 Unauthorized", "", b"");
    }
    if path.starts_with("/api/models/org/toy") {
        let mut names: Vec<&str> = files.keys().map(String::as_str).collect();
        if fault == Fault::Outside {
            names.push("../../outside.json");
        }
        if let Fault::Listed(name) = fault {
            names.push(name);
        }
        let siblings: Vec<_> = names.iter().map(|n| json!({"rfilename": n})).collect();
        let info = json!({"sha": COMMIT, "siblings": siblings});
        return send("200 OK", "content-type: application/json\r\n", info.to_string().as_bytes());
    }
    let (bytes, is_graph, at_hub) =
        if let Some(file) = path.strip_prefix(&format!("/org/toy/resolve/{COMMIT}/")) {
            match files.get(&decoded(file)) {
                Some(bytes) => (bytes.clone(), file.ends_with("onnx"), true),
                None => return send("404 Not Found", "", b""),
            }
        } else if path.starts_with("/cdn/") {
            (graph(), true, false)
        } else {
            return send("404 Not Found", "", b"");
        };
    let commit = format!("x-repo-commit: {COMMIT}\r\n");
    if is_graph && at_hub {
        // Large files lie elsewhere.
        let etag = if fault == Fault::BadEtag { "../../evil".to_owned() } else { sha256(&bytes) };
        let host = headers.get("host").cloned().unwrap_or_default();
        let host = other.unwrap_or(&host);
        let location = match fault {
            Fault::Nowhere => String::new(),
            _ => format!("location: http://{host}/cdn/graph\r\n"),
        };
        return send("302 Found", &format!("{commit}x-linked-etag: \"{etag}\"\r\n{location}"), b"");
    }
    let mut body = bytes.clone();
    if fault == Fault::Endless && !at_hub && range != "bytes=0-0" {
        write!(out, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
        loop {
            // Until whoever reads has enough.
            out.write_all(&[7; 1 << 16])?;
        }
    }
    if is_graph && fault == Fault::Flipped {
        body[77] ^= 1;
    }
    let total = body.len() + if is_graph && fault == Fault::TooLong { 5 } else { 0 };
    // "bytes=FROM-" or "bytes=FROM-TO"
    let (from, to) = range.trim_start_matches("bytes=").split_once('-').unwrap_or(("0", ""));
    let from: usize = from.parse().unwrap_or(0);
    let to: usize = to.parse().map_or(body.len(), |to: usize| (to + 1).min(body.len()));
    if from >= body.len() {
        return send("416 Range Not Satisfiable", "", b"");
    }
    let part = &body[from..to];
    let mut git = sha1::Sha1::new();
    git.update(format!("blob {}\0", bytes.len()));
    git.update(&bytes);
    let git = format!("{:x}", git.finalize());
    let more =
        format!("{commit}etag: \"{git}\"\r\ncontent-range: bytes {from}-{}/{total}\r\n", to - 1);
    let whole = to - from > 1;
    if is_graph
        && whole
        && cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
    {
        write!(
            out,
            "HTTP/1.1 206 Partial Content\r\nconnection: close\r\ncontent-length: {}\r\n{more}\r\n",
            part.len()
        )?;
        return out.write_all(&part[..part.len() / 2]);
    }
    send("206 Partial Content", &more, part)
}

fn quiet(_: HubEvent<'_>) {}

fn reason(result: Result<std::path::PathBuf, EncoderError>) -> String {
    match result {
        Err(EncoderError::Hub { name, doing, reason }) if name.contains("org") => {
            format!("{doing}: {reason}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_model_is_fetched_once_and_then_found_offline() {
    let server = Server::start(Fault::None, None);
    let cache = tempfile::tempdir().unwrap();
    let mut hub = server.hub(&cache);
    assert_eq!(hub.cached("org/toy"), None);
    let seen = Mutex::new((Vec::new(), 0));
    let folder = hub
        .get("org/toy", &|event| {
            let mut seen = seen.lock().unwrap();
            match event {
                HubEvent::File { name, bytes } => seen.0.push((name.to_owned(), bytes)),
                HubEvent::Bytes(bytes) => seen.1 += bytes,
                HubEvent::Absent { name } => panic!("{name}"),
            }
        })
        .unwrap();
    assert_eq!(folder, cache.path().join("hub/models--org--toy/snapshots").join(COMMIT));
    assert_eq!(fs::read(folder.join("onnx/model.onnx")).unwrap(), graph());
    assert!(!folder.join("README.md").exists());
    let main = cache.path().join("hub/models--org--toy/refs/main");
    assert_eq!(fs::read_to_string(main).unwrap(), COMMIT);
    let seen = seen.into_inner().unwrap();
    assert!(seen.0.contains(&("onnx/model.onnx".to_owned(), 200_000)), "{seen:?}");
    assert!(seen.1 >= 200_002);

    let asked = server.requests.lock().unwrap().len();
    hub.offline = true;
    assert_eq!(hub.get("org/toy", &quiet).unwrap(), folder);
    assert_eq!(server.requests.lock().unwrap().len(), asked);
    assert!(reason(hub.get("org/other", &quiet)).contains("HF_HUB_OFFLINE"));

    // Asked again, only what changed is fetched: nothing.
    hub.offline = false;
    hub.pull("org/toy", &quiet).unwrap();
    assert_eq!(server.requests.lock().unwrap().len(), asked + 1);
}

#[test]
fn an_interrupted_transfer_goes_on() {
    let server = Server::start(Fault::Cut(1), None);
    let cache = tempfile::tempdir().unwrap();
    let folder = server.hub(&cache).pull("org/toy", &quiet).unwrap();
    assert_eq!(fs::read(folder.join("onnx/model.onnx")).unwrap(), graph());
    assert_eq!(server.cuts.load(Ordering::SeqCst), 0);
    let resumed = |r: &String| r.ends_with(" bytes=100000-");
    assert!(server.ranges().iter().any(resumed), "{:?}", server.ranges());
}

#[test]
fn what_did_not_arrive_whole_is_no_model() {
    for (fault, says) in [
        (Fault::Cut(usize::MAX), "3 tries"),
        (Fault::Flipped, "checksum"),
        (Fault::TooLong, "bytes arrived of 200005"),
        (Fault::Nowhere, "not that of a hub"),
        (Fault::BadEtag, "no checksum"),
    ] {
        let server = Server::start(fault, None);
        let cache = tempfile::tempdir().unwrap();
        let hub = server.hub(&cache);
        let reason = reason(hub.pull("org/toy", &quiet));
        assert!(reason.contains(says), "{fault:?}: {reason}");
        assert_eq!(hub.cached("org/toy"), None, "{fault:?}");
        let blob = cache.path().join("hub/models--org--toy/blobs").join(sha256(&graph()));
        assert!(!blob.exists(), "{fault:?}");
    }
}

#[test]
fn a_name_that_reaches_out_is_left_alone() {
    let server = Server::start(Fault::Outside, None);
    let cache = tempfile::tempdir().unwrap();
    server.hub(&cache).pull("org/toy", &quiet).unwrap();
    assert!(server.requests.lock().unwrap().iter().all(|r| !r.contains("outside")));
}

#[test]
fn a_token_is_sent_and_its_lack_is_told() {
    let server = Server::start(Fault::None, Some("secret"));
    let cache = tempfile::tempdir().unwrap();
    let mut hub = server.hub(&cache);
    let without = reason(hub.pull("org/toy", &quiet));
    assert!(without.contains("401") && without.contains("HF_TOKEN"), "{without}");
    hub.token = Some("secret".to_owned());
    hub.pull("org/toy", &quiet).unwrap();
    assert!(reason(hub.pull("org/none", &quiet)).contains("404"));
    hub.endpoint = "http://127.0.0.1:9".to_owned();
    assert!(reason(hub.pull("org/toy", &quiet)).contains("HF_ENDPOINT"));
}

/// Large files lie on other hosts, or on another port of the same: neither is told the token.
#[test]
fn a_token_goes_to_the_hub_alone() {
    for host in ["127.0.0.1", "localhost"] {
        let other = Server::start(Fault::None, None);
        let port = other.address.rsplit(':').next().unwrap();
        let files: Files = files().into_iter().map(|(n, b)| (n.to_owned(), b)).collect();
        let hub =
            Server::beside(files, Fault::None, Some("secret"), Some(format!("{host}:{port}")));
        let cache = tempfile::tempdir().unwrap();
        let asked = Hub { token: Some("secret".to_owned()), ..hub.hub(&cache) };
        assert!(!format!("{asked:?}").contains("secret"));
        let folder = asked.pull("org/toy", &quiet).unwrap();
        assert_eq!(fs::read(folder.join("onnx/model.onnx")).unwrap(), graph());
        assert!(!other.ranges().is_empty() && hub.ranges().is_empty());
        assert_eq!(*other.tokens.lock().unwrap(), Vec::<String>::new());
        assert_eq!(hub.tokens.lock().unwrap().len(), hub.requests.lock().unwrap().len());
    }
}

#[test]
fn no_more_is_taken_than_the_hub_says_there_is() {
    let server = Server::start(Fault::Endless, None);
    let cache = tempfile::tempdir().unwrap();
    let seen = Mutex::new(0);
    let result = server.hub(&cache).pull("org/toy", &|event| {
        if let HubEvent::Bytes(bytes) = event {
            *seen.lock().unwrap() += bytes;
        }
    });
    let reason = reason(result);
    assert!(reason.contains("checksum") && reason.contains("3 tries"), "{reason}");
    assert!(*seen.lock().unwrap() <= 3 * 200_000 + 2);
    let blobs = fs::read_dir(cache.path().join("hub/models--org--toy/blobs")).unwrap();
    let left: u64 = blobs.map(|blob| blob.unwrap().metadata().unwrap().len()).sum();
    assert_eq!(left, 2, "the configuration alone");
}

#[test]
fn what_is_listed_and_not_there_is_told() {
    let cache = tempfile::tempdir().unwrap();
    let server = Server::start(Fault::Listed("my notes.txt"), None);
    let absent = Mutex::new(Vec::new());
    let result = server.hub(&cache).pull("org/toy", &|event| {
        if let HubEvent::Absent { name } = event {
            absent.lock().unwrap().push(name.to_owned());
        }
    });
    result.unwrap();
    assert_eq!(*absent.lock().unwrap(), ["my notes.txt"]);
    for needed in ["tokenizer.json", "onnx/model.onnx_data"] {
        let cache = tempfile::tempdir().unwrap();
        let server = Server::start(Fault::Listed(needed), None);
        let reason = reason(server.hub(&cache).pull("org/toy", &quiet));
        assert!(reason.contains(needed) && reason.contains("404"), "{reason}");
        assert_eq!(server.hub(&cache).cached("org/toy"), None);
    }
}

#[test]
fn names_of_any_characters_are_fetched() {
    let odd = [
        "my notes.txt",
        "100%.txt",
        "a#b.json",
        "a?b.json",
        "\u{e9}t\u{e9}/a&b=c.json",
        "a[1].json",
    ];
    let mut all: Files = files().into_iter().map(|(n, b)| (n.to_owned(), b)).collect();
    all.extend(odd.iter().map(|name| ((*name).to_owned(), name.as_bytes().to_vec())));
    let server = Server::serving(all, Fault::None, None);
    let cache = tempfile::tempdir().unwrap();
    let folder = server.hub(&cache).pull("org/toy", &quiet).unwrap();
    for name in odd {
        assert_eq!(fs::read(folder.join(name)).unwrap(), name.as_bytes(), "{name}");
    }
}

/// A model of safetensors alone is fetched whole, and encodes.
#[test]
fn a_checkpoint_is_fetched_and_its_graph_built() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/multivector");
    let read = |name: &str, files: &[&str]| -> Files {
        let file = |f: &&str| ((*f).to_owned(), fs::read(folder.join(name).join(f)).unwrap());
        files.iter().map(file).collect()
    };
    let tokens = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    let modules =
        ["modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"];
    let dense = ["1_Dense/config.json", "1_Dense/model.safetensors"];
    for (name, more) in [
        ("colbert-bert", &["artifact.metadata"][..]),
        ("pylate-bert", &[modules.as_slice(), &dense].concat()),
    ] {
        let mut files = read(name, &[&tokens, more].concat());
        // A graph beside the weights is not what they are taken for.
        files.insert("model.onnx".to_owned(), graph());
        let server = Server::serving(files, Fault::None, None);
        let cache = tempfile::tempdir().unwrap();
        let mut hub = server.hub(&cache);
        let at = hub.pull("org/toy", &quiet).unwrap();
        assert!(!at.join("model.onnx").exists(), "{name}");
        hub.offline = true;
        assert_eq!(hub.get("org/toy", &quiet).unwrap(), at);
        let by_name = quarry_encoders::Model::open(&at).unwrap();
        assert_eq!(by_name.manifest().name, "org/toy");
        let by_folder = quarry_encoders::Model::open(&folder.join(name)).unwrap();
        let rows = |model: &quarry_encoders::Model| {
            model.token_encoder(&Default::default()).unwrap().question("stone").unwrap()
        };
        assert_eq!(rows(&by_name), rows(&by_folder), "{name}");
    }

    // What no graph can be built of is refused before its weights are fetched.
    let mut files = read("colbert-bert", &tokens);
    files.insert("config.json".to_owned(), br#"{"model_type": "modernbert"}"#.to_vec());
    let server = Server::serving(files, Fault::None, None);
    let cache = tempfile::tempdir().unwrap();
    let reason = reason(server.hub(&cache).pull("org/toy", &quiet));
    assert!(reason.contains("modernbert"), "{reason}");
    assert!(server.requests.lock().unwrap().iter().all(|r| !r.contains("model.safetensors")));
}
