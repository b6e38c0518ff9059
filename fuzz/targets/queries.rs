//! Queries: the first byte chooses the format, the rest is the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quarry_datasets::{QueryFormat, QueryOptions, open_queries, read_vocabulary};

fuzz_target!(init: quarry_fuzz::begin(), |data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    let formats = [
        QueryFormat::Auto,
        QueryFormat::JsonLines,
        QueryFormat::Text,
        QueryFormat::Anserini,
        QueryFormat::SeismicBin,
        QueryFormat::BigAnnCsr,
    ];
    let (_room, path) = quarry_fuzz::file(bytes);
    let format = formats[usize::from(*choice) % formats.len()];
    let _ = open_queries(&path, &QueryOptions { format, split: None, ..QueryOptions::default() });
    let _ = read_vocabulary(&path);
});
