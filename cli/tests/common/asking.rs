//! Requests to a server, over a connection each.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use super::served::Server;

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Asks a server; `None` if it does not answer.
pub(crate) fn ask(address: &str, method: &str, path: &str, body: &str) -> Option<Reply> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Reply { status, head: head.to_lowercase(), body: body.to_owned() })
}

/// The JSON of an answer that must be 200 or 201.
pub(crate) fn ok(server: &Server, method: &str, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let reply = ask(&server.address, method, path, &body).unwrap();
    assert!(matches!(reply.status, 200 | 201), "{method} {path}: {}", reply.body);
    reply.json()
}

/// A metric without labels, or with all of its labels.
pub(crate) fn metric(server: &Server, name: &str) -> f64 {
    let reply = ask(&server.address, "GET", "/metrics", "").unwrap();
    let line = reply.body.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("{name}: {}", reply.body)).parse().unwrap()
}
