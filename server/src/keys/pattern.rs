//! Names of collections with `*` for any characters.

/// A pattern that names match as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(String);

impl Pattern {
    /// `None` if no name can match: it is empty, or has characters that no name has.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*');
        (!text.is_empty() && text.len() <= 128 && text.chars().all(known))
            .then(|| Self(text.to_owned()))
    }

    /// Whether every name matches.
    pub(crate) fn matches_all(&self) -> bool {
        self.0.bytes().all(|b| b == b'*')
    }

    /// Whether a name matches. Each `*` takes as little as it can, and the last one more where that fails; so the time
    /// is at most the product of both lengths.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while n < name.len() {
            if pattern.get(p) == Some(&b'*') {
                star = Some((p, n));
                p += 1;
            } else if pattern.get(p) == Some(&name[n]) {
                (p, n) = (p + 1, n + 1);
            } else if let Some((at, taken)) = star {
                star = Some((at, taken + 1));
                (p, n) = (at + 1, taken + 1);
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|b| *b == b'*')
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, name, matches) in [
            ("docs", "docs", true),
            ("docs", "docs2", false),
            ("docs", "doc", false),
            ("docs-*", "docs-2026", true),
            ("docs-*", "docs-", true),
            ("docs-*", "docs", false),
            ("*", "", true),
            ("*-old", "a-old-old", true),
            ("*-old", "a-old-new", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXcYb", false),
            ("**", "x", true),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap().matches(name), matches, "{pattern} {name}");
        }
        let slow = Pattern::new(&"*a".repeat(64)).unwrap();
        assert!(!slow.matches(&"a".repeat(63)));
        assert!(Pattern::new("**").unwrap().matches_all());
        assert!(!Pattern::new("*a").unwrap().matches_all());
        for wrong in ["", "a b", "a/b", "ä", &"a".repeat(129)] {
            assert!(Pattern::new(wrong).is_none(), "{wrong}");
        }
    }
}
