//! Numbers of things in messages.

use std::fmt::Write as _;

/// `1 document`, `2 documents`, `12,345 queries`: the number with its thousands apart, and the noun, given in
/// the singular, in the form that goes with it.
#[must_use]
pub fn counted(number: u64, noun: &str) -> String {
    let mut out = thousands(number);
    let plural = number != 1;
    // Writing to a string does not fail.
    let _ = match noun.strip_suffix('y') {
        Some(stem) if plural && !stem.ends_with(['a', 'e', 'o', 'u']) => write!(out, " {stem}ies"),
        _ if plural => write!(out, " {noun}s"),
        _ => write!(out, " {noun}"),
    };
    out
}

/// The word that goes with this number of things: `was` or `were`.
#[must_use]
pub fn agreeing(number: u64, one: &'static str, several: &'static str) -> &'static str {
    if number == 1 { one } else { several }
}

/// 1234567 as `1,234,567`.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_not_several() {
        assert_eq!(counted(0, "document"), "0 documents");
        assert_eq!(counted(1, "document"), "1 document");
        assert_eq!(counted(1, "query"), "1 query");
        assert_eq!(counted(1_234_567, "query"), "1,234,567 queries");
        assert_eq!(counted(2, "array"), "2 arrays");
        assert_eq!(thousands(7), "7");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}
