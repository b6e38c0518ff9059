//! Token embeddings and dense vectors of other programs: rows, and lengths after four bytes that say where they begin.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quarry_datasets::{NamedDenseRows, TokenRows};

fuzz_target!(init: quarry_fuzz::begin(), |data: &[u8]| {
    let Some((cut, bytes)) = data.split_first_chunk::<2>() else { return };
    let cut = usize::from(u16::from_le_bytes(*cut)).min(bytes.len());
    let (_rows_room, rows) = quarry_fuzz::named("rows.npy", &bytes[..cut]);
    let (_lengths_room, lengths) = quarry_fuzz::named("lengths.npy", &bytes[cut..]);
    let (_ids_room, ids) = quarry_fuzz::named("ids.txt", b"a\nb\nc\n");
    if let Ok(mut dense) = NamedDenseRows::open(&rows, &ids) {
        for id in ["a", "b", "c", "d"] {
            let _ = dense.vector(id);
        }
    }
    if let Ok(mut rows) = TokenRows::open(&rows, &lengths, &ids) {
        for position in 0..rows.ids().len() {
            let _ = rows.rows(position);
        }
    }
});
