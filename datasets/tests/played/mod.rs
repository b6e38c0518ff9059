//! A server that the test plays.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// How the server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As it should.
    Good,
    /// It knows no ranges.
    NoRange,
    /// The connection ends half-way, so many times.
    Cut(usize),
    /// The same, and it knows no ranges.
    CutNoRange(usize),
    /// It sends bytes without end, and says no length.
    Endless,
    /// Every so many first answers are errors of the server after half a file.
    Error(usize),
}

pub(crate) struct Server {
    pub(crate) address: String,
    requests: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(files: BTreeMap<&'static str, Vec<u8>>, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let left = AtomicUsize::new(match manner {
            Manner::Cut(n) | Manner::CutNoRange(n) | Manner::Error(n) => n,
            _ => 0,
        });
        let (log, ended) = (Arc::clone(&requests), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                // A client that went away is its own affair.
                let _ = answer(&stream.unwrap(), &files, manner, &left, &log);
            }
        });
        Self { address, requests, stop, thread: Some(thread) }
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
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

fn answer(
    stream: &TcpStream,
    files: &BTreeMap<&'static str, Vec<u8>>,
    manner: Manner,
    left: &AtomicUsize,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or(Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let range = lines
        .map_while(|line| line.ok().filter(|l| !l.is_empty()))
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("range: ").map(str::to_owned))
        .unwrap_or_default();
    log.lock().unwrap().push(format!("{path} {range}").trim_end().to_owned());
    let mut out = stream;
    let head = |status: &str, length: usize, more: &str| {
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{more}\r\n")
    };
    let Some(body) = path.strip_prefix("/mirror/").and_then(|name| files.get(name)) else {
        return out.write_all(head("404 Not Found", 0, "").as_bytes());
    };
    let ranges = !matches!(manner, Manner::NoRange | Manner::CutNoRange(_));
    let from = range.strip_prefix("bytes=").and_then(|r| r.strip_suffix('-')?.parse().ok());
    let (status, from, more) = match from.filter(|_| ranges) {
        Some(from) if from >= body.len() => {
            let more = format!("content-range: bytes */{}\r\n", body.len());
            return out.write_all(head("416 Range Not Satisfiable", 0, &more).as_bytes());
        }
        Some(from) => {
            let more = format!("content-range: bytes {from}-{}/{}\r\n", body.len() - 1, body.len());
            ("206 Partial Content", from, more)
        }
        None => ("200 OK", 0, String::new()),
    };
    let part = &body[from..];
    let fails = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
    if fails && matches!(manner, Manner::Error(_)) && from > 0 {
        return out.write_all(head("503 Service Unavailable", 0, "").as_bytes());
    }
    if manner == Manner::Endless {
        out.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
        loop {
            // Until whoever reads has enough.
            out.write_all(&[7; 1 << 16])?;
        }
    }
    out.write_all(head(status, part.len(), &more).as_bytes())?;
    out.write_all(if fails { &part[..part.len() / 2] } else { part })
}
