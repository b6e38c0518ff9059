//! Why the server failed to start.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use super::config::ConfigError;
use super::tls::TlsError;
use crate::keys::KeyFileError;

/// Why the server failed to start or ended on its own.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file of keys cannot be read.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Listening on the address failed.
    #[error("{address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// Loading the index or the encoder failed.
    #[error("loading failed: {0}")]
    Load(#[source] Box<dyn Error + Send + Sync>),
    /// Setting up threads, signals or metrics failed.
    #[error("setting up: {0}")]
    Setup(#[source] Box<dyn Error + Send + Sync>),
}
