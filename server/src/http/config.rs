//! How the server is set up, and what it refuses to be set up as.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

/// Searches that may wait for each one that runs.
const QUEUE_FACTOR: usize = 4;

/// A secret that callers send with each request. Never shown.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// A key. It is checked by [`ServerConfig::validate`].
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// Whether `given` is the key; takes the same time wherever the two differ.
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

/// How the server is set up.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// Name of the collection in routes: letters, digits, `-`, `_`, `.`.
    pub collection: String,
    /// What callers must send as `Authorization: Bearer KEY` or `X-API-Key: KEY`.
    pub key: Option<Key>,
    /// Serve an address that others can reach without a key.
    pub no_auth: bool,
    /// Searches that run at once.
    pub in_flight: NonZeroUsize,
    /// Searches that may wait; further ones are refused with 429.
    pub queue: usize,
    /// Connections at once. For a further one the one that has been idle longest is closed; when all
    /// are at work, the further one is answered probes alone.
    pub connections: NonZeroUsize,
    /// Longest time for a request's head to arrive, and for a connection to be idle.
    pub head_timeout: Duration,
    /// Longest time for a body to arrive.
    pub body_timeout: Duration,
    /// Longest time for a client to read nothing of its answer.
    pub stall_timeout: Duration,
    /// Longest time from a request's head to the end of its answer.
    pub request_timeout: Duration,
    /// Most bytes of one answer; a search whose answer would be longer is refused with 422.
    pub answer_bytes: NonZeroUsize,
    /// Longest time from the signal to stop to the end.
    pub drain_timeout: Duration,
}

/// Why a setup is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Others could search and read the index.
    #[error(
        "{address} can be reached from other machines: give a key, or state that none is wanted"
    )]
    KeyNeeded {
        /// The address.
        address: SocketAddr,
    },
    /// A key and the statement that none is wanted.
    #[error("a key is given and stated not to be wanted")]
    KeyAndNoAuth,
    /// The key cannot be sent in a header.
    #[error("a key has at least one character and only visible ASCII ones")]
    Key,
    /// The name cannot stand in a route.
    #[error(
        "collection name `{name}`: only letters, digits, `-`, `_` and `.`, not starting with `.`"
    )]
    Collection {
        /// The name.
        name: String,
    },
}

impl ServerConfig {
    /// The defaults: as many searches at once as there are cores, four times as many waiting.
    #[must_use]
    pub fn new(address: SocketAddr, collection: impl Into<String>) -> Self {
        // Below 1024, the number of open files that systems usually allow.
        const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(512).unwrap();
        const ANSWER_BYTES: NonZeroUsize = NonZeroUsize::new(32 << 20).unwrap();
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self {
            address,
            collection: collection.into(),
            key: None,
            no_auth: false,
            in_flight: cores,
            queue: QUEUE_FACTOR.saturating_mul(cores.get()),
            connections: CONNECTIONS,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(120),
            answer_bytes: ANSWER_BYTES,
            drain_timeout: Duration::from_secs(10),
        }
    }

    /// Checks the setup.
    ///
    /// # Errors
    /// When the address lies beyond loopback and there is neither a key nor `no_auth`; when there
    /// are both; when key or collection name cannot be used.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let name = &self.collection;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(allowed) {
            return Err(ConfigError::Collection { name: name.clone() });
        }
        match &self.key {
            Some(_) if self.no_auth => Err(ConfigError::KeyAndNoAuth),
            Some(Key(key)) if key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic()) => {
                Err(ConfigError::Key)
            }
            None if !self.no_auth && !self.address.ip().to_canonical().is_loopback() => {
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
    fn keys_are_compared_whole() {
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
        config.collection = "sci-fact_1.0".into();
        config.key = Some(Key::new("two words"));
        assert_eq!(config.validate(), Err(ConfigError::Key));
        config.key = Some(Key::new(""));
        assert_eq!(config.validate(), Err(ConfigError::Key));
    }
}
