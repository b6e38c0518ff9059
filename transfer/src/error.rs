//! Why a transfer failed.

use std::io;
use std::path::PathBuf;

use ureq::http::StatusCode;

/// Whether another attempt can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The connection failed or the server is in trouble: a later attempt may succeed.
    Interrupted,
    /// Another attempt will fail the same way.
    Permanent,
}

/// Why a request or a download failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The request could not be sent, or no response came.
    #[error("{0}")]
    Request(#[source] Box<ureq::Error>),
    /// The target of a redirect is not an http or https address.
    #[error("the server redirects to {target:?}, which is not an address of http or https")]
    RedirectTarget {
        /// The target, as the server gave it.
        target: String,
    },
    /// A redirect would leave encryption.
    #[error("the server redirects from https to plain http: {target}")]
    RedirectToPlain {
        /// The target.
        target: String,
    },
    /// Redirects that do not end.
    #[error("more than {limit} redirects")]
    TooManyRedirects {
        /// How many are followed.
        limit: usize,
    },
    /// The server refuses, or fails.
    #[error("the server answers {0}")]
    Status(StatusCode),
    /// The server has a file of another length.
    #[error("the server says the file has {found} bytes, expected {expected}")]
    OtherLength {
        /// The length that the server gives.
        found: u64,
        /// The length that was expected.
        expected: u64,
    },
    /// The server sends another part of the file than was requested.
    #[error("the server sends another part of the file than was requested, byte {expected} on")]
    OtherRange {
        /// First byte requested.
        expected: u64,
    },
    /// The server has no bytes after those that arrived.
    #[error("{arrived} bytes arrived of {expected}, and the server has no more")]
    NoMore {
        /// Bytes in the partial file.
        arrived: u64,
        /// The length that was expected.
        expected: u64,
    },
    /// The connection ended early.
    #[error("{arrived} bytes arrived of {expected}{}", reason(.source.as_ref()))]
    Cut {
        /// Bytes in the partial file.
        arrived: u64,
        /// The length that was expected.
        expected: u64,
        /// Whether any of them arrived in this attempt.
        progressed: bool,
        /// What the connection reported; `None` if it was closed in good order.
        source: Option<io::Error>,
    },
    /// The partial file cannot be opened or written.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// The partial file.
        path: PathBuf,
        /// What the system reported.
        source: io::Error,
    },
}

fn reason(source: Option<&io::Error>) -> String {
    source.map(|e| format!(": {e}")).unwrap_or_default()
}

impl TransferError {
    /// Whether another attempt can help. A redirect counts as interrupted: the next one may lead elsewhere.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Request(_)
            | Self::RedirectTarget { .. }
            | Self::RedirectToPlain { .. }
            | Self::TooManyRedirects { .. }
            | Self::Cut { .. } => ErrorKind::Interrupted,
            Self::Status(status)
                if status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS =>
            {
                ErrorKind::Interrupted
            }
            Self::Status(_)
            | Self::OtherLength { .. }
            | Self::OtherRange { .. }
            | Self::NoMore { .. }
            | Self::File { .. } => ErrorKind::Permanent,
        }
    }
}
