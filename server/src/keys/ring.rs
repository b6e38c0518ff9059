//! The keys of a running server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use subtle::ConstantTimeEq;
use time::OffsetDateTime;

use super::file::{KeyFile, KeyFileError, Stamp};
use super::pattern::Pattern;
use super::record::{KeyRecord, NewKey, hash_of};

/// Why a key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No such key; or it has ended.
    Unknown,
    /// It has asked too often.
    TooOften,
}

/// A key, ready to be compared.
#[derive(Debug)]
pub(crate) struct HeldKey {
    pub(crate) record: KeyRecord,
    pub(crate) patterns: Vec<Pattern>,
    digest: [u8; 32],
    /// In the file.
    place: usize,
}

type Held = HashMap<String, Arc<HeldKey>>;

/// The keys of a file, in memory.
#[derive(Debug)]
pub(crate) struct KeyRing {
    file: KeyFile,
    held: RwLock<Arc<Held>>,
    seen: Mutex<Option<Stamp>>,
    /// What each key with a rate has left.
    buckets: Mutex<HashMap<String, Bucket>>,
}

/// Requests that a key has left; it is filled up as time passes, to one second's worth.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl KeyRing {
    /// Reads the file.
    pub(crate) fn open(file: KeyFile) -> Result<Self, KeyFileError> {
        let stamp = file.stamp()?;
        let held = RwLock::new(Arc::new(hold(file.read()?)));
        Ok(Self { file, held, seen: Mutex::new(Some(stamp)), buckets: Mutex::default() })
    }

    fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The key that was sent. Hashes are compared in constant time, also where there is no key of this id.
    pub(crate) fn find(&self, given: &[u8], now: OffsetDateTime) -> Result<Arc<HeldKey>, Refusal> {
        let held = self.held();
        let id = given.split(|byte| *byte == b'_').nth(1).unwrap_or_default();
        let found = std::str::from_utf8(id).ok().and_then(|id| held.get(id));
        let none = [0; 32];
        let equal = hash_of(given).ct_eq(found.map_or(&none, |key| &key.digest));
        let key = found.filter(|key| bool::from(equal) && !key.record.is_expired(now));
        key.cloned().ok_or(Refusal::Unknown)
    }

    /// Counts a request towards the key's rate.
    pub(crate) fn count(&self, key: &HeldKey, now: Instant) -> Result<(), Refusal> {
        let Some(rate) = key.record.rate else { return Ok(()) };
        let rate = f64::from(rate.get());
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket { left: rate, at: now };
        let bucket = buckets.entry(key.record.id.clone()).or_insert(full);
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        let left = passed.mul_add(rate, bucket.left).min(rate);
        let enough = left >= 1.0;
        *bucket = Bucket { left: if enough { left - 1.0 } else { left }, at: now };
        if enough { Ok(()) } else { Err(Refusal::TooOften) }
    }

    /// All keys, in the order in which they were made.
    pub(crate) fn records(&self) -> Vec<KeyRecord> {
        let held = self.held();
        let mut keys: Vec<_> = held.values().collect();
        keys.sort_by_key(|key| key.place);
        keys.into_iter().map(|key| key.record.clone()).collect()
    }

    /// Adds a key to the file. Blocks.
    pub(crate) fn add(&self, key: &NewKey) -> Result<(), KeyFileError> {
        self.file.add(key)?;
        self.reload()
    }

    /// Removes a key from the file; false if there is none. Blocks.
    pub(crate) fn remove(&self, id: &str) -> Result<bool, KeyFileError> {
        let removed = self.file.remove(id)?;
        self.reload()?;
        Ok(removed)
    }

    /// Reads the file if it has changed; true if it was read. After an error the keys of before hold, and the same
    /// state of the file is not tried again. Blocks.
    pub(crate) fn reload_if_changed(&self) -> Result<bool, KeyFileError> {
        let stamp = self.file.stamp();
        let known = stamp.as_ref().ok().copied();
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == known {
                return Ok(false);
            }
            *seen = known;
        }
        stamp?;
        self.reload().map(|()| true)
    }

    fn reload(&self) -> Result<(), KeyFileError> {
        let held = hold(self.file.read()?);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.retain(|id, _| held.contains_key(id));
        drop(buckets);
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(held);
        Ok(())
    }
}

fn hold(records: Vec<KeyRecord>) -> Held {
    let ready = |(place, record): (usize, KeyRecord)| {
        let (patterns, digest) = (record.patterns(), record.digest()?);
        Some((record.id.clone(), Arc::new(HeldKey { record, patterns, digest, place })))
    };
    records.into_iter().enumerate().filter_map(ready).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;
    use crate::keys::{KeyRequest, Scope, parse_time};

    fn key(rate: Option<u32>, end: &str) -> NewKey {
        NewKey::make(KeyRequest {
            name: "x".into(),
            scopes: vec![Scope::Search],
            collections: vec!["*".into()],
            filter: None,
            expires_at: Some(parse_time(end).unwrap()),
            rate: rate.and_then(NonZeroU32::new),
        })
        .unwrap()
    }

    #[test]
    fn only_the_whole_key_is_found_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::new(folder.path().join("keys"));
        let made = key(None, "9000-01-01");
        file.add(&made).unwrap();
        let ring = KeyRing::open(file.clone()).unwrap();
        let now = OffsetDateTime::now_utc();
        let find = |given: &str, now| ring.find(given.as_bytes(), now).map(|k| k.record.id.clone());
        assert_eq!(find(&made.key, now), Ok(made.record.id.clone()));
        assert_eq!(find(&made.key, parse_time("9000-01-01").unwrap()), Err(Refusal::Unknown));
        let id = &made.record.id;
        for wrong in ["", "_", &made.key[1..], &made.key[..79], &format!("qk_{id}_"), "qk_\u{e4}_"]
        {
            assert_eq!(find(wrong, now), Err(Refusal::Unknown), "{wrong}");
        }
        // Another process adds one.
        assert!(!ring.reload_if_changed().unwrap());
        let other = key(None, "9000-01-02");
        file.add(&other).unwrap();
        assert!(ring.reload_if_changed().unwrap());
        assert!(find(&other.key, now).is_ok());
        assert!(ring.remove(id).unwrap());
        assert!(find(&made.key, now).is_err() && find(&other.key, now).is_ok());
        // A file that is none changes nothing, and is told once.
        std::fs::write(file.path(), "{").unwrap();
        assert!(ring.reload_if_changed().is_err());
        assert!(!ring.reload_if_changed().unwrap());
        assert!(find(&other.key, now).is_ok());
    }

    #[test]
    fn rates_fill_up_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::new(folder.path().join("keys"));
        let made = key(Some(2), "9000-01-01");
        file.add(&made).unwrap();
        let ring = KeyRing::open(file).unwrap();
        let key = ring.find(made.key.as_bytes(), OffsetDateTime::now_utc()).unwrap();
        let start = Instant::now();
        let asks = [0, 0, 0, 499, 501, 502, 9000, 9000, 9000]
            .map(|ms| ring.count(&key, start + Duration::from_millis(ms)).is_ok());
        assert_eq!(asks, [true, true, false, false, true, false, true, true, false]);
    }
}
