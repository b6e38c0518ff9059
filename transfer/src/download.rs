//! One attempt to complete a partial file.
//!
//! 1. the rest is requested by Range; a server that sends the whole file (200) restarts it  2. a server that
//!    announces another length than expected is refused, and no byte beyond the expected length is read
//!    3. what arrived stays in the file, for the next attempt

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use ureq::http::{HeaderMap, HeaderValue, StatusCode, Uri};

use crate::client::Client;
use crate::error::TransferError;

/// A file to download.
#[derive(Clone, Copy)]
pub struct Download<'a> {
    /// Where it is.
    pub address: &'a Uri,
    /// Headers for each address that is asked; `Range` is added.
    pub headers: &'a dyn Fn(&Uri) -> HeaderMap,
    /// The partial file: made if it does not exist, else continued. Emptied if longer than `bytes`.
    pub part: &'a Path,
    /// The file's length.
    pub bytes: u64,
    /// Called as bytes arrive.
    pub progress: &'a dyn Fn(DownloadEvent),
}

/// What happens during a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownloadEvent {
    /// Bytes arrive from here on.
    From(u64),
    /// This many more have been written.
    Bytes(u64),
}

impl std::fmt::Debug for Download<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download")
            .field("address", &self.address)
            .field("part", &self.part)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// A `Content-Range`: `bytes FIRST-LAST/TOTAL`, or `bytes */TOTAL`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// First byte of the part.
    pub first: Option<u64>,
    /// Length of the whole file.
    pub total: Option<u64>,
}

/// The `Content-Range` of a response; empty if it has none that can be read.
#[must_use]
pub fn content_range(headers: &HeaderMap) -> ContentRange {
    let text = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    text.and_then(ContentRange::parse).unwrap_or_default()
}

impl ContentRange {
    fn parse(text: &str) -> Option<Self> {
        let (part, total) = text.trim_start_matches("bytes").trim().split_once('/')?;
        let first = part.split_once('-').and_then(|(first, _)| first.trim().parse().ok());
        Some(Self { first, total: total.trim().parse().ok() })
    }
}

/// The `Content-Length` of a response, if it has one that can be read.
#[must_use]
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

impl Client {
    /// Completes a partial file, in one attempt. When it returns, the file has [`Download::bytes`] bytes and is
    /// on disk. A file that is complete already costs no request.
    ///
    /// # Errors
    /// [`TransferError`]; its [`kind`](TransferError::kind) says whether another attempt can help. What has
    /// arrived stays in the file.
    pub fn download(&self, download: &Download<'_>) -> Result<(), TransferError> {
        let expected = download.bytes;
        let fail = |source| TransferError::File { path: download.part.to_owned(), source };
        let opened = File::options().create(true).append(true).open(download.part);
        let mut out = opened.map_err(fail)?;
        let mut have = out.metadata().map_err(fail)?.len();
        if have > expected {
            // It began as another file.
            out.set_len(0).map_err(fail)?;
            have = 0;
        }
        if have == expected {
            (download.progress)(DownloadEvent::From(have));
            return out.sync_all().map_err(fail);
        }
        let headers = |address: &Uri| {
            let mut headers = (download.headers)(address);
            if have > 0
                && let Ok(range) = HeaderValue::from_str(&format!("bytes={have}-"))
            {
                headers.insert(RANGE, range);
            }
            headers
        };
        let response = self.get(download.address, &headers)?;
        let range = content_range(response.headers());
        let (start, total) = match response.status() {
            StatusCode::OK => (0, content_length(response.headers())),
            StatusCode::PARTIAL_CONTENT if range.first == Some(have) => (have, range.total),
            StatusCode::PARTIAL_CONTENT => {
                return Err(TransferError::OtherRange { expected: have });
            }
            StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => (have, range.total),
            status => return Err(TransferError::Status(status)),
        };
        if let Some(found) = total
            && found != expected
        {
            return Err(TransferError::OtherLength { found, expected });
        }
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Err(TransferError::NoMore { arrived: have, expected });
        }
        if start == 0 {
            out.set_len(0).map_err(fail)?;
        }
        (download.progress)(DownloadEvent::From(start));
        let mut body = response.into_body().into_reader().take(expected - start);
        let mut buffer = vec![0; 1 << 16];
        let mut at = start;
        let cut = loop {
            let n = match body.read(&mut buffer) {
                Ok(0) => break None,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => break Some(e),
            };
            out.write_all(&buffer[..n]).map_err(fail)?;
            at += n as u64;
            (download.progress)(DownloadEvent::Bytes(n as u64));
        };
        out.sync_all().map_err(fail)?;
        if at < expected {
            let progressed = at > start;
            return Err(TransferError::Cut { arrived: at, expected, progressed, source: cut });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let range = |first, total| Some(ContentRange { first, total });
        assert_eq!(ContentRange::parse("bytes 5-9/10"), range(Some(5), Some(10)));
        assert_eq!(ContentRange::parse("bytes */10"), range(None, Some(10)));
        assert_eq!(ContentRange::parse("bytes 5-9/*"), range(Some(5), None));
        assert_eq!(ContentRange::parse("nonsense"), None);
    }
}
