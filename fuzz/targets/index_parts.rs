//! Parts of an index, forged with checksums that fit, then searched in every way.
//!
//! The first byte chooses the part; then each edit has eight bytes: a section (or the table of sections, or
//! the trailer), what is done there, a place, a value.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use quarry_fuzz::{Forge, search_all, whole_index};

static FORGE: LazyLock<Forge> = LazyLock::new(|| Forge::of(&whole_index()));

fn u64_at(bytes: &[u8], at: usize) -> usize {
    let raw = bytes.get(at..at + 8).and_then(|raw| raw.try_into().ok()).unwrap_or_default();
    usize::try_from(u64::from_le_bytes(raw)).unwrap_or(usize::MAX)
}

/// The range of a section of a sound part.
fn range(bytes: &[u8], section: usize) -> std::ops::Range<usize> {
    let end = bytes.len();
    let (table, count) = (u64_at(bytes, end - 64), u64_at(bytes, end - 56));
    match section % (count + 2) {
        at if at < count => {
            let entry = table + 32 * at;
            let start = u64_at(bytes, entry + 16);
            start..start + u64_at(bytes, entry + 24)
        }
        at if at == count => table..table + 32 * count,
        _ => end - 64..end - 16,
    }
}

fuzz_target!(init: quarry_fuzz::begin(), |data: &[u8]| {
    let Some((part, edits)) = data.split_first() else { return };
    let part = usize::from(*part) % FORGE.parts.len();
    let whole = &FORGE.parts[part].2;
    let mut bytes = whole.clone();
    for edit in edits.chunks_exact(8).take(8) {
        let section = range(whole, usize::from(edit[0]));
        if section.is_empty() {
            continue;
        }
        let place = usize::from(u16::from_le_bytes([edit[2], edit[3]]));
        let at = section.start + place % section.len();
        let value = [edit[4], edit[5], edit[6], edit[7]];
        let words =
            [0, 1, u32::MAX, u32::MAX - 1, 1 << 31, 0x7fc0_0000, 0x7f80_0000, 0xff80_0000, 65_536];
        match edit[1] % 5 {
            0 => bytes[at] = value[0],
            1 => bytes[at] ^= 1 << (value[0] % 8),
            2 => put(&mut bytes, &section, at / 4 * 4, &value),
            3 => {
                let word: u32 = words[usize::from(value[0]) % words.len()];
                put(&mut bytes, &section, at / 4 * 4, &word.to_le_bytes());
            }
            _ => {
                let word = u64::from(words[usize::from(value[0]) % words.len()]) << (value[1] % 33);
                put(&mut bytes, &section, at / 8 * 8, &word.to_le_bytes());
            }
        }
    }
    FORGE.replace(part, bytes);
    search_all(FORGE.folder());
    FORGE.restore(part);
});

fn put(bytes: &mut [u8], section: &std::ops::Range<usize>, at: usize, value: &[u8]) {
    let end = at + value.len();
    if at >= section.start && end <= section.end {
        bytes[at..end].copy_from_slice(value);
    }
}
