//! TLS: a certificate and its key, read again at SIGHUP.
//!
//! Clients that offer HTTP/2 (ALPN) get it. A file that cannot be used at a reload is logged, and what was read before
//! stays; connections that are open keep theirs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

/// HTTP/2, as ALPN names it.
pub(crate) const H2: &[u8] = b"h2";

/// The files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those that lead to its issuer, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// Why a certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: no {what} in PEM was found in it", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
    },
    /// They do not go together, or are of a kind that is not supported.
    #[error("{} and {}: {source}", files.certificate.display(), files.key.display())]
    Pair {
        /// The files.
        files: TlsFiles,
        /// What is wrong.
        source: rustls::Error,
    },
}

/// The certificate that is in use.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsFiles,
    used: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files. Blocks.
    pub(crate) fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let used = RwLock::new(Arc::new(read(&files)?));
        Ok(Self { files, used })
    }

    /// Reads the files again; after an error what was read before stays. Blocks.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let read = Arc::new(read(&self.files)?);
        *self.used.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.used.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn read(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let what = "certificate";
    let of = |error| fault(&files.certificate, what, error);
    let chain = CertificateDer::pem_file_iter(&files.certificate).map_err(of)?;
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(of)?;
    if chain.is_empty() {
        return Err(TlsError::Pem { path: files.certificate.clone(), what });
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| fault(&files.key, "private key", error))?;
    let pair = |source| TlsError::Pair { files: files.clone(), source };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair)?;
    config.alpn_protocols = vec![H2.to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn fault(path: &Path, what: &'static str, error: pem::Error) -> TlsError {
    match error {
        pem::Error::Io(source) => TlsError::Io { path: path.to_owned(), source },
        _ => TlsError::Pem { path: path.to_owned(), what },
    }
}
