//! The checksum of a part, of its bytes as they pass by.
//!
//! It is what a manifest says of the file: XXH3-64 of all bytes, but for the last eight of a binary part, which repeat it.

use xxhash_rust::xxh3::Xxh3;

use crate::container::hex;

/// Bytes at the end of a binary part that do not count.
const REPEATED: usize = 8;

/// Takes in a part's bytes from its beginning.
pub struct PartChecksum {
    hash: Xxh3,
    /// Bytes at the end that do not count.
    without: usize,
    /// The last bytes so far, at most as many.
    held: Vec<u8>,
}

impl std::fmt::Debug for PartChecksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartChecksum").finish_non_exhaustive()
    }
}

impl PartChecksum {
    /// Of a file of this name, of which no byte was read yet.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let binary = std::path::Path::new(name).extension().is_some_and(|end| end == "qry");
        Self { hash: Xxh3::new(), without: if binary { REPEATED } else { 0 }, held: Vec::new() }
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let keep = self.without;
        if bytes.len() >= keep {
            let (counted, last) = bytes.split_at(bytes.len() - keep);
            self.hash.update(&self.held);
            self.hash.update(counted);
            self.held.clear();
            self.held.extend_from_slice(last);
            return;
        }
        self.held.extend_from_slice(bytes);
        let counted = self.held.len().saturating_sub(keep);
        self.hash.update(&self.held[..counted]);
        self.held.drain(..counted);
    }

    /// The checksum as manifests print it.
    #[must_use]
    pub fn finish(&self) -> String {
        hex(self.hash.digest())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    proptest! {
        #[test]
        fn in_whatever_pieces(bytes in prop::collection::vec(any::<u8>(), 8..200), cuts in prop::collection::vec(0usize..200, 0..20)) {
            for (name, counted) in [("a-forward.qry", bytes.len() - 8), ("a-tokenizer.json", bytes.len())] {
                let mut checksum = PartChecksum::of(name);
                let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % bytes.len()).collect();
                cuts.sort_unstable();
                let mut at = 0;
                for cut in cuts.into_iter().chain([bytes.len()]) {
                    checksum.update(&bytes[at..cut]);
                    at = cut;
                }
                prop_assert_eq!(checksum.finish(), hex(xxh3_64(&bytes[..counted])));
            }
        }
    }
}
