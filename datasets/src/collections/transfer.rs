//! One file of a collection, whole or not at all.
//!
//! 1. `FILE.part` holds what has arrived  2. a transfer that breaks goes on where it broke, as long as bytes
//!    arrive  3. the whole file's MD5 is compared: a file that differs is removed, one that matches is renamed
//!    to `FILE`

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::thread::sleep;

use md5::{Digest, Md5};
use quarry_transfer::{
    Client, Download, DownloadEvent, ErrorKind, HeaderMap, HeaderValue, TransferError, Uri,
};
use sha2::Sha256;

use super::event::PullEvent;
use super::part_of;
use super::retries::Retries;
use crate::error::DatasetError;

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
    pub(super) retries: Retries,
    pub(super) progress: &'a dyn Fn(PullEvent<'_>),
}

/// A file's length and checksum.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl Transfer<'_> {
    /// Fetches the file unless it is there.
    pub(super) fn run(&self) -> Result<Fetched, DatasetError> {
        if !self.to.exists() {
            let part = part_of(self.to);
            self.fetch(&part)?;
            return self.checked(&part, Some(self.to));
        }
        self.checked(self.to, None)
    }

    fn fetch(&self, part: &Path) -> Result<(), DatasetError> {
        let address: Uri = self.address.parse().map_err(|e| {
            let reason = format!("{} is not an address: {e}", self.address);
            self.failed(part, reason)
        })?;
        let length = || fs::metadata(part).map_or(0, |m| m.len());
        let client = Client::new();
        let download = Download {
            address: &address,
            headers: &headers,
            part,
            bytes: self.bytes,
            progress: &|event| match event {
                // Nothing is on its way: the file was there.
                DownloadEvent::From(at) if at == self.bytes => {}
                DownloadEvent::From(arrived) => {
                    let bytes = Some(self.bytes);
                    (self.progress)(PullEvent::File { address: self.address, arrived, bytes });
                }
                DownloadEvent::Bytes(bytes) => (self.progress)(PullEvent::Bytes(bytes)),
            },
        };
        let (mut failed, mut reached) = (0, false);
        loop {
            let Err(error) = client.download(&download) else { return Ok(()) };
            let progressed = matches!(&error, TransferError::Cut { progressed: true, .. });
            failed = if progressed { 0 } else { failed + 1 };
            // A server that was never reached is not waited for.
            reached |= progressed || matches!(&error, TransferError::Status(_)) && length() > 0;
            let again = error.kind() == ErrorKind::Interrupted && reached;
            if !again || failed >= self.retries.attempts {
                return Err(match error {
                    TransferError::File { path, source } => DatasetError::open(&path, source),
                    TransferError::OtherLength { found, expected } => {
                        let reason = format!(
                            "the server says it has {found} bytes, the registry {expected}: another file"
                        );
                        self.failed(part, reason)
                    }
                    other => self.failed(part, other.to_string()),
                });
            }
            sleep(self.retries.pause);
        }
    }

    /// Compares a file's sum; one that is right is moved to `to`, one that is not removed.
    fn checked(&self, path: &Path, to: Option<&Path>) -> Result<Fetched, DatasetError> {
        let fail = |e| DatasetError::open(path, e);
        let Sums { bytes, md5, sha256 } = sums(path).map_err(fail)?;
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
        Ok(Fetched { bytes, sha256 })
    }

    fn failed(&self, part: &Path, reason: String) -> DatasetError {
        // An empty partial file is of no use; another error counts more than one of removing it.
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

fn headers(address: &Uri) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if address.host().is_some_and(|host| host.ends_with(".core.windows.net")) {
        // Ranges of large files need a version of the storage's protocol that has them.
        headers.insert("x-ms-version", HeaderValue::from_static("2019-12-12"));
    }
    headers
}

#[derive(Debug)]
struct Sums {
    bytes: u64,
    md5: String,
    sha256: String,
}

/// Length, MD5 and SHA-256 of a file.
fn sums(path: &Path) -> io::Result<Sums> {
    let mut file = File::open(path)?;
    let (mut md5, mut sha256) = (Md5::new(), Sha256::new());
    let mut buffer = vec![0; 1 << 18];
    let mut bytes = 0;
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            let (md5, sha256) =
                (format!("{:x}", md5.finalize()), format!("{:x}", sha256.finalize()));
            return Ok(Sums { bytes, md5, sha256 });
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
    fn sums_of_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty");
        fs::write(&path, b"").unwrap();
        let sums = sums(&path).unwrap();
        assert_eq!((sums.bytes, sums.md5.as_str()), (0, "d41d8cd98f00b204e9800998ecf8427e"));
        assert!(sums.sha256.starts_with("e3b0c44298fc1c14"));
    }

    #[test]
    fn ranges_of_a_large_blob_need_a_newer_protocol() {
        let of = |address: &str| headers(&address.parse().unwrap()).len();
        assert_eq!(of("https://msmarco.z22.web.core.windows.net/a"), 1);
        assert_eq!(of("https://core.windows.net.example/a"), 0);
    }
}
