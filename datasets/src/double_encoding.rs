//! Repair of UTF-8 that was read as Latin-1 or Windows-1252 and encoded a second time.
//!
//! 1. find a character that stands for the lead byte of a UTF-8 sequence (U+00C2..=U+00F4)
//! 2. the characters after it must stand for the right number of continuation bytes: U+0080 to
//!    U+00BF for themselves, or the 27 characters that Windows-1252 has in 0x80..=0x9F
//! 3. the bytes must be a valid sequence; it is then replaced by the character they encode
//!
//! Everything else stays, so a text that is partly broken is partly repaired. Correct text may
//! hold such a pair by chance (a capital letter with an accent before a closing quote); pairs are
//! therefore taken only if they contain a C1 control character, which correct text never does, or
//! if the lead is one of those by which the common scripts give themselves away.

use std::borrow::Cow;

/// Undoes double encoding; borrows when there is nothing to undo.
///
/// Cost: O(length); text of ASCII alone is only scanned.
#[must_use]
pub fn repair_double_encoding(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(offset) = text.as_bytes()[at..].iter().position(|b| matches!(b, 0xc3)) {
        // 0xC3 begins U+00C0..=U+00FF in UTF-8, among them every lead byte.
        at += offset;
        match sequence(&text[at..]) {
            Some((character, length)) => {
                out.push_str(&text[copied..at]);
                out.push(character);
                at += length;
                copied = at;
            }
            None => at += 2,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// The character that the start of `text` encodes twice, and the bytes of `text` it takes.
fn sequence(text: &str) -> Option<(char, usize)> {
    let mut chars = text.char_indices();
    let (_, first) = chars.next()?;
    let lead = u8::try_from(u32::from(first)).ok()?;
    let continuations = match lead {
        0xc2..=0xdf => 1,
        0xe0..=0xef => 2,
        0xf0..=0xf4 => 3,
        _ => return None,
    };
    let mut bytes = [lead, 0, 0, 0];
    let mut control = false;
    for byte in &mut bytes[1..=continuations] {
        let (_, c) = chars.next()?;
        control |= ('\u{80}'..='\u{9f}').contains(&c);
        *byte = continuation(c)?;
    }
    // Latin-1 supplement (as in `Ã©`, `Â°`), Greek and Cyrillic; longer ones are not an accident.
    let telling = matches!(lead, 0xc2 | 0xc3 | 0xce..=0xd1) || continuations > 1;
    if !(control || telling) {
        return None;
    }
    let decoded = std::str::from_utf8(&bytes[..=continuations]).ok()?.chars().next()?;
    Some((decoded, chars.offset()))
}

/// The continuation byte that a character stands for.
fn continuation(c: char) -> Option<u8> {
    let byte = match c {
        '\u{80}'..='\u{bf}' => return u8::try_from(u32::from(c)).ok(),
        '€' => 0x80,
        '‚' => 0x82,
        'ƒ' => 0x83,
        '„' => 0x84,
        '…' => 0x85,
        '†' => 0x86,
        '‡' => 0x87,
        'ˆ' => 0x88,
        '‰' => 0x89,
        'Š' => 0x8a,
        '‹' => 0x8b,
        'Œ' => 0x8c,
        'Ž' => 0x8e,
        '‘' => 0x91,
        '’' => 0x92,
        '“' => 0x93,
        '”' => 0x94,
        '•' => 0x95,
        '–' => 0x96,
        '—' => 0x97,
        '˜' => 0x98,
        '™' => 0x99,
        'š' => 0x9a,
        '›' => 0x9b,
        'œ' => 0x9c,
        'ž' => 0x9e,
        'Ÿ' => 0x9f,
        _ => return None,
    };
    Some(byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn latin1(text: &str) -> String {
        text.bytes().map(char::from).collect()
    }

    #[test]
    fn known_damage_is_repaired() {
        for (broken, want) in [
            ("itâ€™s 5Â°C in the cafÃ©", "it’s 5°C in the café"),
            ("it\u{e2}\u{80}\u{99}s", "it’s"),
            ("Î²-carotene, 20 Âµg", "β-carotene, 20 µg"),
            ("ðŸ˜€!", "😀!"),
            ("Å\u{82}", "ł"),
            ("half Ã© and half é", "half é and half é"),
        ] {
            assert_eq!(repair_double_encoding(broken), want);
        }
    }

    #[test]
    fn correct_text_stays() {
        for text in
            ["", "plain", "café", "“MENÚ”", "CAFÉ»", "Ünïcödé", "naïve – “quoted”", "東京", "Ã"]
        {
            assert!(matches!(repair_double_encoding(text), Cow::Borrowed(_)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn undoes_latin1_of_telling_scripts(text in "[a-z é-ÿα-ωа-я一-龥😀-😎’–]{0,40}") {
            let broken = latin1(&text);
            prop_assert_eq!(repair_double_encoding(&broken), text);
        }

        #[test]
        fn never_panics(text in any::<String>(), noise in "[\u{80}-\u{ff}€™]{0,30}") {
            let _ = repair_double_encoding(&text);
            let _ = repair_double_encoding(&noise);
        }
    }
}
