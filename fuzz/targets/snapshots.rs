//! Archives of snapshots: whatever comes, nothing is written but files that the record may name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quarry_engine::store::unpack;
use quarry_index::folder::owns;

fuzz_target!(init: quarry_fuzz::begin(), |data: &[u8]| {
    let outer = quarry_fuzz::room();
    let into = outer.path().join("into");
    std::fs::create_dir(&into).expect("a folder");
    let _ = unpack(data, &into);
    let names = |folder: &std::path::Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("it is there");
        entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(names(outer.path()), ["into"]);
    for name in names(&into) {
        assert!(owns(&name) || name == "collection.json", "{name}");
    }
});
