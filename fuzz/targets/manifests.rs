//! Manifests with checksums that fit; after a zero byte, CURRENT itself.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use quarry_fuzz::{Forge, search_all, split, whole_index};

static FORGE: LazyLock<Forge> = LazyLock::new(|| Forge::of(&whole_index()));

fuzz_target!(init: quarry_fuzz::begin(), |data: &[u8]| {
    let (manifest, current) = split(data);
    FORGE.commit(manifest);
    if !current.is_empty() {
        std::fs::write(FORGE.folder().join("CURRENT"), current).expect("CURRENT");
    }
    search_all(FORGE.folder());
});
