//! Names of collections, which are names of folders too.

use std::fmt;
use std::str::FromStr;

/// Longest name in bytes.
const LONGEST: usize = 64;

/// A name of `a-z`, `0-9`, `_` and `-`, of at most 64 characters, the first a letter or digit. So it names a folder
/// inside of the store and nothing else, on any file system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionName(String);

impl CollectionName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CollectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CollectionName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let first = name.bytes().next().is_some_and(plain);
        let rest = name.bytes().all(|b| plain(b) || matches!(b, b'-' | b'_'));
        match first && rest && name.len() <= LONGEST {
            true => Ok(Self(name.to_owned())),
            false => Err(format!(
                "a name has 1 to {LONGEST} of the characters a-z, 0-9, - and _, and begins with a letter or digit"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names() {
        for name in ["a", "0", "docs", "docs-2026_x", &"a".repeat(64)] {
            assert!(name.parse::<CollectionName>().is_ok(), "{name}");
        }
        for name in [
            "",
            "-a",
            "_a",
            ".",
            "..",
            ".quarry",
            "a/b",
            "a\\b",
            "A",
            "a.b",
            "ä",
            "a b",
            &"a".repeat(65),
        ] {
            assert!(name.parse::<CollectionName>().is_err(), "{name}");
        }
    }
}
