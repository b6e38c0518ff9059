//! Archives of collections: the first byte chooses ZIP or tar.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: quarry_fuzz::begin(), |data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    let (room, path) = quarry_fuzz::file(bytes);
    let into = room.path().join("into");
    std::fs::create_dir(&into).expect("a folder");
    let _ = quarry_datasets::collections::unpack_any(&path, &into, choice % 2 == 0);
    // Nothing gets out of the folder.
    assert_eq!(std::fs::read_dir(room.path()).expect("a folder").count(), 2);
});
