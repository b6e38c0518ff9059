//! Documents: the first byte chooses format and ending, the rest is the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quarry_datasets::{CollectionFormat, CollectionOptions, open_collection};

fuzz_target!(init: quarry_fuzz::begin(), |data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    let formats = [
        None,
        Some(CollectionFormat::MsMarco),
        Some(CollectionFormat::JsonLines),
        Some(CollectionFormat::SeismicBin),
        Some(CollectionFormat::BigAnnCsr),
        Some(CollectionFormat::Ciff),
    ];
    let names = [
        "file",
        "file.jsonl",
        "file.tsv",
        "file.bin",
        "file.csr",
        "file.ciff",
        "file.jsonl.gz",
        "file.zst",
    ];
    let name = names[usize::from(choice >> 4) % names.len()];
    let (_room, path) = quarry_fuzz::named(name, bytes);
    let format = formats[usize::from(choice & 15) % formats.len()];
    let options = CollectionOptions { format, memory: 1 << 20, ..CollectionOptions::default() };
    if let Ok(reader) = open_collection(&path, &options) {
        for document in reader.take(10_000) {
            let Ok(document) = document else { return };
            assert!(!document.id.is_empty());
        }
    }
});
