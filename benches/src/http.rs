//! A client for load tests: one keep-alive connection, and no library that would be measured with the server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use anyhow::Context;
use quarry_vectors::{InputVector, Query};
use serde_json::{Value, json};

/// A keep-alive connection to a server.
#[derive(Debug)]
pub struct Connection {
    host: String,
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Connection {
    /// Connects to an address, such as 127.0.0.1:7878.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn open(address: &str) -> anyhow::Result<Self> {
        let writer = TcpStream::connect(address).with_context(|| address.to_owned())?;
        writer.set_nodelay(true)?;
        let reader = BufReader::new(writer.try_clone()?);
        Ok(Self { host: address.to_owned(), reader, writer })
    }

    /// Posts JSON, or one document a line, to a path; gives status and body.
    ///
    /// # Errors
    /// If the connection fails, or the answer is not HTTP with a length.
    pub fn post(&mut self, path: &str, lines: bool, body: &str) -> anyhow::Result<(u16, Vec<u8>)> {
        let kind = if lines { "application/x-ndjson" } else { "application/json" };
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        self.writer.write_all(head.as_bytes())?;
        self.writer.write_all(body.as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> anyhow::Result<(u16, Vec<u8>)> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).context("no status line")?.parse()?;
        let mut length = 0;
        loop {
            line.clear();
            self.reader.read_line(&mut line)?;
            let header = line.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        Ok((status, body))
    }
}

/// A query as the member `query` of a search.
#[must_use]
pub fn query_input(query: &Query) -> Value {
    match &query.vector {
        Some(InputVector::Terms(v)) => {
            json!({"sparse": {"term_ids": v.terms(), "weights": v.weights()}})
        }
        Some(InputVector::Tokens(tokens)) => {
            let tokens: serde_json::Map<_, _> =
                tokens.iter().map(|(t, w)| (t.clone(), json!(w))).collect();
            json!({"sparse": {"tokens": tokens}})
        }
        None => json!({"text": query.text}),
    }
}
