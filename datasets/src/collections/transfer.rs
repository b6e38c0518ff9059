//! One file over HTTP, whole or not at all.
//!
//! 1. `FILE.part` holds what has arrived  2. the rest is asked for by Range; a server that sends all of
//!    it (200) begins anew  3. a server that says another length than the registry is not listened to, and
//!    of one that says none no byte more is taken  4. a transfer that breaks goes on where it broke, as
//!    long as bytes arrive  5. the whole file's MD5 is compared: one that differs is removed, one that does
//!    not is renamed to `FILE`
//!
//! Redirections are followed here, hop by hop, so that what is sent depends on who is asked.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use md5::{Digest, Md5};
use sha2::Sha256;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE};
use ureq::http::{HeaderMap, Response, StatusCode, Uri};

use super::PullEvent;
use super::address::join;
use crate::error::DatasetError;

/// Silence after which a connection counts as broken.
const SILENCE: Duration = Duration::from_secs(60);
/// Redirections that are followed.
const HOPS: usize = 10;

/// A file on its way.
pub(super) struct Transfer<'a> {
    /// The collection, for messages.
    pub(super) name: &'a str,
    pub(super) address: &'a str,
    pub(super) md5: &'a str,
    /// Its length by the registry.
    pub(super) bytes: u64,
    /// Where it goes.
    pub(super) to: &'a Path,
    /// Attempts without a new byte before giving up, and the time between two of them.
    pub(super) tries: (usize, Duration),
    pub(super) progress: &'a dyn Fn(PullEvent<'_>),
}

/// What an attempt came to.
enum Attempt {
    Whole,
    /// Broken off, why, and whether bytes had arrived.
    Broken(String, bool),
}

impl Transfer<'_> {
    /// Fetches the file unless it is there; gives its length and SHA-256.
    pub(super) fn run(&self) -> Result<(u64, String), DatasetError> {
        if !self.to.exists() {
            let part = part_of(self.to);
            self.fetch(&part)?;
            return self.checked(&part, Some(self.to));
        }
        self.checked(self.to, None)
    }

    fn fetch(&self, part: &Path) -> Result<(), DatasetError> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .accept_encoding("identity")
            .user_agent(concat!("quarry/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(SILENCE))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .build()
            .into();
        let (mut failed, mut any) = (0, false);
        loop {
            match self.attempt(&agent, part)? {
                Attempt::Whole => return Ok(()),
                Attempt::Broken(reason, arrived) => {
                    any |= arrived;
                    failed = if arrived { 1 } else { failed + 1 };
                    // A server that was never reached is not waited for.
                    if !any || failed >= self.tries.0 {
                        return Err(self.failed(part, reason));
                    }
                    sleep(self.tries.1);
                }
            }
        }
    }

    fn attempt(&self, agent: &ureq::Agent, part: &Path) -> Result<Attempt, DatasetError> {
        let fail = |e| DatasetError::open(part, e);
        let mut out = File::options().create(true).append(true).open(part).map_err(fail)?;
        let mut have = out.metadata().map_err(fail)?.len();
        if have > self.bytes {
            // Of another file.
            out.set_len(0).map_err(fail)?;
            have = 0;
        }
        if have == self.bytes {
            return Ok(Attempt::Whole);
        }
        let response = match self.ask(agent, have) {
            Ok(response) => response,
            Err(reason) => return Ok(Attempt::Broken(reason, false)),
        };
        let range = Range::of(response.headers());
        let (start, total) = match response.status() {
            StatusCode::OK => (0, length(response.headers())),
            StatusCode::PARTIAL_CONTENT if range.start == Some(have) => (have, range.total),
            StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => (have, range.total),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Ok(Attempt::Broken(format!("the server answers {status}"), have > 0));
            }
            status => return Err(self.failed(part, format!("the server answers {status}"))),
        };
        if let Some(total) = total
            && total != self.bytes
        {
            let reason = format!(
                "the server says it has {total} bytes, the registry {}: another file",
                self.bytes
            );
            return Err(self.failed(part, reason));
        }
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            let reason = format!("the server has no more than {have} of {} bytes", self.bytes);
            return Err(self.failed(part, reason));
        }
        if start == 0 {
            out.set_len(0).map_err(fail)?;
        }
        let bytes = Some(self.bytes);
        (self.progress)(PullEvent::File { address: self.address, arrived: start, bytes });
        let mut body = response.into_body().into_reader().take(self.bytes - start);
        let mut buffer = vec![0; 1 << 16];
        let mut at = start;
        loop {
            let n = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Ok(Attempt::Broken(e.to_string(), at > start)),
            };
            out.write_all(&buffer[..n]).map_err(fail)?;
            at += n as u64;
            (self.progress)(PullEvent::Bytes(n as u64));
        }
        out.sync_all().map_err(fail)?;
        if at < self.bytes {
            let reason = format!("the connection ended after {at} of {} bytes", self.bytes);
            return Ok(Attempt::Broken(reason, at > start));
        }
        Ok(Attempt::Whole)
    }

    /// The answer to a request for the file from byte `have` on, wherever redirections lead.
    fn ask(&self, agent: &ureq::Agent, have: u64) -> Result<Response<ureq::Body>, String> {
        let mut address: Uri = self.address.parse().map_err(|e| format!("no address: {e}"))?;
        for _ in 0..=HOPS {
            let mut request = agent.get(address.clone());
            if address.host().is_some_and(|host| host.ends_with(".core.windows.net")) {
                // Ranges of large files need a version of the storage's protocol that has them.
                request = request.header("x-ms-version", "2019-12-12");
            }
            if have > 0 {
                request = request.header(RANGE, format!("bytes={have}-"));
            }
            let response = request.call().map_err(|e| e.to_string())?;
            let status = response.status();
            if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                return Ok(response);
            }
            let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            address = next(&address, to.unwrap_or_default())?;
        }
        Err(format!("more than {HOPS} redirections"))
    }

    /// Compares a file's sum; one that is right is moved to `to`, one that is not removed.
    fn checked(&self, path: &Path, to: Option<&Path>) -> Result<(u64, String), DatasetError> {
        let fail = |e| DatasetError::open(path, e);
        let (bytes, md5, sha256) = sums(path).map_err(fail)?;
        if !md5.eq_ignore_ascii_case(self.md5) {
            fs::remove_file(path).map_err(fail)?;
            return Err(DatasetError::FetchedOther {
                name: self.name.to_owned(),
                address: self.address.to_owned(),
                expected: self.md5.to_owned(),
                found: md5,
            });
        }
        if let Some(to) = to {
            fs::rename(path, to).map_err(fail)?;
        }
        Ok((bytes, sha256))
    }

    fn failed(&self, part: &Path, reason: String) -> DatasetError {
        // An empty beginning is none.
        if fs::metadata(part).is_ok_and(|m| m.len() == 0) {
            let _ = fs::remove_file(part);
        }
        DatasetError::Fetch {
            name: self.name.to_owned(),
            address: self.address.to_owned(),
            reason,
            to: self.to.to_owned(),
        }
    }
}

/// Where a file is while it arrives.
pub(super) fn part_of(to: &Path) -> PathBuf {
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    PathBuf::from(part)
}

/// Where a redirection leads.
fn next(from: &Uri, to: &str) -> Result<Uri, String> {
    let found = join(from, to)
        .ok_or_else(|| format!("the server redirects to {to:?}, which is no address"))?;
    if from.scheme_str() == Some("https") && found.scheme_str() != Some("https") {
        return Err(format!("the server redirects from https to plain http: {found}"));
    }
    Ok(found)
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// `bytes START-END/TOTAL`, or `bytes */TOTAL`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Range {
    start: Option<u64>,
    total: Option<u64>,
}

impl Range {
    fn of(headers: &HeaderMap) -> Self {
        headers
            .get(CONTENT_RANGE)
            .and_then(|v| v.to_str().ok())
            .map_or_else(Self::default, Self::parse)
    }

    fn parse(text: &str) -> Self {
        let Some((range, total)) = text.trim_start_matches("bytes").trim().split_once('/') else {
            return Self::default();
        };
        let start = range.split_once('-').and_then(|(start, _)| start.trim().parse().ok());
        Self { start, total: total.trim().parse().ok() }
    }
}

/// Length, MD5 and SHA-256 of a file.
fn sums(path: &Path) -> io::Result<(u64, String, String)> {
    let mut file = File::open(path)?;
    let (mut md5, mut sha256) = (Md5::new(), Sha256::new());
    let mut buffer = vec![0; 1 << 18];
    let mut bytes = 0;
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok((
                bytes,
                format!("{:x}", md5.finalize()),
                format!("{:x}", sha256.finalize()),
            ));
        }
        md5.update(&buffer[..n]);
        sha256.update(&buffer[..n]);
        bytes += n as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let range = |start, total| Range { start, total };
        assert_eq!(Range::parse("bytes 5-9/10"), range(Some(5), Some(10)));
        assert_eq!(Range::parse("bytes */10"), range(None, Some(10)));
        assert_eq!(Range::parse("bytes 5-9/*"), range(Some(5), None));
        assert_eq!(Range::parse("nonsense"), range(None, None));
    }

    #[test]
    fn redirections_stay_encrypted() {
        let from: Uri = "https://data.example/a/b".parse().unwrap();
        assert!(next(&from, "c?d=e").is_ok());
        assert!(next(&from, "http://cdn.example/c").unwrap_err().contains("plain http"));
        assert!(next(&from, "").is_err());
    }

    #[test]
    fn sums_of_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty");
        fs::write(&path, b"").unwrap();
        let (bytes, md5, sha256) = sums(&path).unwrap();
        assert_eq!((bytes, md5.as_str()), (0, "d41d8cd98f00b204e9800998ecf8427e"));
        assert!(sha256.starts_with("e3b0c44298fc1c14"));
    }
}
