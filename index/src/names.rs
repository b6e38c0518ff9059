//! The names of our files, exactly: what a writer may remove. Any other name is somebody else's.
//!
//! A segment's and a version's UUID stand in 32 lower-case hexadecimal digits, so a name of ours is
//! met by chance nowhere; of the short names (`manifest-N.json`) the content has to agree as well.

use uuid::Uuid;

/// The name of a part of a segment that has no part of this kind yet; segments' ids are never used again.
#[must_use]
pub fn part(segment: Uuid, kind: &str) -> String {
    format!("{}-{kind}.qry", segment.simple())
}

/// A name that was never used, for a part of a kind that the segment may have had before.
#[must_use]
pub fn next_part(segment: Uuid, kind: &str) -> String {
    format!("{}-{kind}-{}.qry", segment.simple(), Uuid::new_v4().simple())
}

/// The name of a file that is stored unchanged. `id` was never used in such a name.
#[must_use]
pub fn asset(id: Uuid, kind: &str) -> String {
    format!("{}-{kind}.json", id.simple())
}

/// The name of a generation's manifest.
pub(crate) fn manifest(generation: u64) -> String {
    format!("manifest-{generation}.json")
}

/// The name of a log whose first operation has this number.
#[must_use]
pub fn log_file(first: u64) -> String {
    format!("log-{first}.qlog")
}

/// N of `log-N.qlog`, written as [`log_file`] does.
#[must_use]
pub fn log(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("log-")?.strip_suffix(".qlog")?;
    let number: u64 = digits.parse().ok()?;
    (number > 0 && number.to_string() == digits).then_some(number)
}

/// Random characters in the name of a file on its way.
pub(crate) const RANDOM: usize = 6;
pub(crate) const TEMPORARY: (&str, &str) = (".new-", ".tmp");

/// N of `manifest-N.json`, written as a manifest's name is: from 1, no sign, no zeros before.
pub(crate) fn generation(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("manifest-")?.strip_suffix(".json")?;
    let number: u64 = digits.parse().ok()?;
    (number > 0 && number.to_string() == digits).then_some(number)
}

/// Whether a name is one of a file on its way: `.new-`, six letters or digits, `.tmp`.
#[must_use]
pub fn is_temporary(name: &str) -> bool {
    let (before, after) = TEMPORARY;
    name.strip_prefix(before)
        .and_then(|rest| rest.strip_suffix(after))
        .is_some_and(|random| random.len() == RANDOM && is_random(random))
}

/// Whether this is a UUID as names have it: 32 lower-case hexadecimal digits.
#[must_use]
pub fn is_uuid(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Whether a name is `BEFORE`, a number of at least six digits, `AFTER`.
#[must_use]
pub fn is_numbered(name: &str, before: &str, after: &str) -> bool {
    name.strip_prefix(before)
        .and_then(|rest| rest.strip_suffix(after))
        .is_some_and(|digits| digits.len() >= 6 && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn is_random(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_names() {
        assert_eq!(generation("manifest-17.json"), Some(17));
        for name in [
            "manifest-0.json",
            "manifest-+7.json",
            "manifest-07.json",
            "manifest-.json",
            "manifest.json",
        ] {
            assert_eq!(generation(name), None, "{name}");
        }
        assert!(is_temporary(".new-aB3xYz.tmp"));
        for name in [".new-abc.tmp", ".new-abcdefg.tmp", ".new-abc_ef.tmp", "new-abcdef.tmp"] {
            assert!(!is_temporary(name), "{name}");
        }
        assert!(is_numbered("shard-000012.qry", "shard-", ".qry"));
        assert!(is_numbered("shard-1000012.qry", "shard-", ".qry"));
        assert!(!is_numbered("shard-12.qry", "shard-", ".qry"));
        assert!(!is_numbered("shard-00001x.qry", "shard-", ".qry"));
    }
}
