//! The server's configuration and its validation.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::admission::SearchLimits;
use super::layers::{BadOrigin, origins};
use super::leader::Leader;
use super::reload::Reload;
use super::tls::TlsFiles;
use crate::keys::KeyFile;

/// A secret that clients send with each request. It is never displayed.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// Creates a key. [`ServerConfig::validate`] checks it.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// Whether `given` is the key, in constant time.
    #[must_use]
    pub fn matches(&self, given: &[u8]) -> bool {
        let key = self.0.as_bytes();
        let differing = key.iter().enumerate().fold(0u8, |all, (at, byte)| {
            std::hint::black_box(all | (byte ^ given.get(at).copied().unwrap_or(0)))
        });
        (differing == 0) & (key.len() == given.len())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// The server's configuration.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Address to listen on; port 0 picks a free port.
    pub address: SocketAddr,
    /// Name of the collection in routes: letters, digits, `-`, `_`, `.`; not starting with `.`. `None` for a folder of
    /// collections, which have their own names.
    pub collection: Option<String>,
    /// The key that clients must send as `Authorization: Bearer KEY` or `X-API-Key: KEY`.
    pub key: Option<Key>,
    /// The file of further keys, each with what it may do. It is read again when it changes.
    pub keys: Option<KeyFile>,
    /// Follow this server: its collections are served, and none is written to. Only for a folder of collections.
    pub follow: Option<Leader>,
    /// Speak TLS, with this certificate; read again when newer generations are looked for at once.
    pub tls: Option<TlsFiles>,
    /// Origins whose pages may ask, as `https://docs.example`; or `*` alone, for all.
    pub cors_origins: Vec<String>,
    /// Searches that take at least as long are logged with their query, and listed by `GET /v1/slow`.
    pub slow: Option<Duration>,
    /// Allow serving without a key on an address that other machines can reach.
    pub no_auth: bool,
    /// Most searches that run at the same time.
    pub in_flight: NonZeroUsize,
    /// Most searches that wait; more are refused with 429.
    pub queue: usize,
    /// Longest time that a search waits to begin; then it is refused with 429. Its own deadline holds as well.
    pub queue_time: Duration,
    /// Most writes that run or wait; more are refused with 429.
    pub writes: NonZeroUsize,
    /// Most bytes of a body with documents; all bodies together may have four times as many.
    pub write_bytes: NonZeroUsize,
    /// Most bytes of a document.
    pub document_bytes: NonZeroUsize,
    /// Most open connections. To accept another one, the connection that has been idle longest is closed;
    /// if all are busy, the new one is only answered on `/livez` and `/readyz`.
    pub connections: NonZeroUsize,
    /// Time limit for a request's head to arrive, and for a connection to be idle.
    pub head_timeout: Duration,
    /// Time limit for a request's body to arrive.
    pub body_timeout: Duration,
    /// Time after which a client that reads nothing of its answer is disconnected.
    pub stall_timeout: Duration,
    /// Time limit from a request's head to the end of its answer.
    pub request_timeout: Duration,
    /// Most bytes of an answer; a search with a longer one is refused with 422.
    pub answer_bytes: NonZeroUsize,
    /// Time limit from the signal to stop until the server ends.
    pub drain_timeout: Duration,
    /// Asks the server to look for newer generations at once; [`super::run`] does so on SIGHUP.
    pub reload: Reload,
}

/// Why a configuration is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The address is reachable from other machines, and there is no key.
    #[error(
        "{address} can be reached from other machines: give a key or a file of keys, or state that none is wanted"
    )]
    KeyNeeded {
        /// The address.
        address: SocketAddr,
    },
    /// Both a key and `no_auth` are set.
    #[error("a key is given, and also the statement that none is wanted: choose one")]
    KeyAndNoAuth,
    /// The key cannot be sent in a header.
    #[error("a key must be one or more visible ASCII characters")]
    Key,
    /// A document may be larger than the body that it comes in.
    #[error(
        "a document may have {document} bytes (--document-bytes), and the body that it comes in only {body} (--write-bytes)"
    )]
    DocumentBytes {
        /// Most bytes of a document.
        document: NonZeroUsize,
        /// Most bytes of a body.
        body: NonZeroUsize,
    },
    /// An origin is not as browsers send it.
    #[error(transparent)]
    Origin(#[from] BadOrigin),
    /// The name cannot be part of a route.
    #[error(
        "collection name `{name}`: only letters, digits, `-`, `_` and `.`, not starting with `.`"
    )]
    Collection {
        /// The name.
        name: String,
    },
}

impl ServerConfig {
    /// The defaults: one running search per core, and 1,024 that wait, each for half a second at most.
    #[must_use]
    pub fn new(address: SocketAddr, collection: impl Into<String>) -> Self {
        Self { collection: Some(collection.into()), ..Self::of_folder(address) }
    }

    /// The same for a folder of collections.
    #[must_use]
    pub fn of_folder(address: SocketAddr) -> Self {
        // Below 1024, a common limit on open files.
        const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(512).unwrap();
        const ANSWER_BYTES: NonZeroUsize = NonZeroUsize::new(32 << 20).unwrap();
        const WRITES: NonZeroUsize = NonZeroUsize::new(64).unwrap();
        const WRITE_BYTES: NonZeroUsize = NonZeroUsize::new(16 << 20).unwrap();
        const DOCUMENT_BYTES: NonZeroUsize = NonZeroUsize::new(1 << 20).unwrap();
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self {
            address,
            collection: None,
            key: None,
            keys: None,
            follow: None,
            tls: None,
            cors_origins: Vec::new(),
            slow: None,
            no_auth: false,
            in_flight: cores,
            queue: 1024,
            queue_time: Duration::from_millis(500),
            writes: WRITES,
            write_bytes: WRITE_BYTES,
            document_bytes: DOCUMENT_BYTES,
            connections: CONNECTIONS,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(120),
            answer_bytes: ANSWER_BYTES,
            drain_timeout: Duration::from_secs(10),
            reload: Reload::default(),
        }
    }

    /// The limits on searches.
    pub(crate) fn searches(&self) -> SearchLimits {
        let Self { in_flight, queue, queue_time, .. } = *self;
        SearchLimits { in_flight, queue, queue_time }
    }

    /// Validates the configuration.
    ///
    /// # Errors
    /// If the address is not a loopback address and neither a key nor `no_auth` is set; if both are set; if
    /// the key or the collection name is invalid.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let wrong =
            |name: &&String| name.is_empty() || name.starts_with('.') || !name.chars().all(allowed);
        if let Some(name) = self.collection.as_ref().filter(wrong) {
            return Err(ConfigError::Collection { name: name.clone() });
        }
        origins(&self.cors_origins)?;
        if self.document_bytes > self.write_bytes {
            let (document, body) = (self.document_bytes, self.write_bytes);
            return Err(ConfigError::DocumentBytes { document, body });
        }
        match &self.key {
            _ if self.no_auth && (self.key.is_some() || self.keys.is_some()) => {
                Err(ConfigError::KeyAndNoAuth)
            }
            Some(Key(key)) if key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic()) => {
                Err(ConfigError::Key)
            }
            None if !self.no_auth
                && self.keys.is_none()
                && !self.address.ip().to_canonical().is_loopback() =>
            {
                Err(ConfigError::KeyNeeded { address: self.address })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_compared_in_full() {
        let key = Key::new("secret");
        assert!(key.matches(b"secret"));
        for wrong in ["", "s", "secre", "secrets", "Secret", "secret\0"] {
            assert!(!key.matches(wrong.as_bytes()), "{wrong:?}");
        }
        assert_eq!(format!("{key:?}"), "Key(..)");
    }

    #[test]
    fn beyond_loopback_a_key_is_needed() {
        for (address, local) in [
            ("127.0.0.1:0", true),
            ("[::1]:80", true),
            ("[::ffff:127.0.0.1]:80", true),
            ("0.0.0.0:0", false),
            ("[::]:0", false),
            ("10.1.2.3:80", false),
        ] {
            let mut config = ServerConfig::new(address.parse().unwrap(), "c");
            assert_eq!(config.validate().is_ok(), local, "{address}");
            config.key = Some(Key::new("k"));
            assert_eq!(config.validate(), Ok(()), "{address}");
            config.no_auth = true;
            assert_eq!(config.validate(), Err(ConfigError::KeyAndNoAuth));
            config.key = None;
            assert_eq!(config.validate(), Ok(()), "{address}");
        }
    }

    #[test]
    fn names_and_keys_must_be_usable() {
        let mut config = ServerConfig::new("127.0.0.1:0".parse().unwrap(), "a/b");
        assert!(matches!(config.validate(), Err(ConfigError::Collection { .. })));
        config.collection = Some("sci-fact_1.0".into());
        config.key = Some(Key::new("two words"));
        assert_eq!(config.validate(), Err(ConfigError::Key));
        config.key = Some(Key::new(""));
        assert_eq!(config.validate(), Err(ConfigError::Key));
    }
}
