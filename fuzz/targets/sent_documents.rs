//! Documents as they are sent to a server: the body taken apart, and each document read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quarry_engine::read_sent_document;
use quarry_server::split_documents;

/// Fields that stay fields even if they look like vectors.
const KEPT: &str = "kept";

fuzz_target!(init: quarry_fuzz::begin(), |data: &[u8]| {
    for lines in [false, true] {
        let Ok(documents) = split_documents(data, lines, 1000) else { continue };
        let mut before = 0;
        for (line, text) in documents {
            assert!(line > before && !text.is_empty() && data.len() >= text.len());
            before = line;
            for kept in [&[][..], &[KEPT.to_owned()]] {
                let _ = read_sent_document(text, line, kept);
            }
        }
    }
});
