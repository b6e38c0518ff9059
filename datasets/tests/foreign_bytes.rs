//! No bytes make a reader panic, hang or take absurd memory: refusing is success.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::Write;

use proptest::prelude::*;
use quarry_datasets::{
    CollectionFormat, CollectionOptions, Qrels, QueryFormat, QueryOptions, Run, open_collection,
    open_queries, read_vocabulary,
};

/// Reads `bytes` as everything that they could be taken for.
fn read_as_everything(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let path = file.path();
    for format in [
        None,
        Some(CollectionFormat::Beir),
        Some(CollectionFormat::MsMarco),
        Some(CollectionFormat::JsonLines),
        Some(CollectionFormat::SeismicBin),
        Some(CollectionFormat::BigAnnCsr),
        Some(CollectionFormat::Ciff),
    ] {
        let options = CollectionOptions { format, ..CollectionOptions::default() };
        if let Ok(mut reader) = open_collection(path, &options) {
            for document in reader.by_ref().flatten() {
                assert!(!document.id.is_empty());
            }
            assert!(reader.next().is_none());
            let _ = (reader.bytes_read(), reader.documents_total());
        }
    }
    for format in [
        QueryFormat::Auto,
        QueryFormat::JsonLines,
        QueryFormat::Text,
        QueryFormat::Anserini,
        QueryFormat::SeismicBin,
        QueryFormat::BigAnnCsr,
    ] {
        let _ = open_queries(path, &QueryOptions { format, ..QueryOptions::default() });
    }
    let _ = (Qrels::read(path).is_ok(), Run::read(path).is_ok(), read_vocabulary(path).is_ok());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut w = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    w.write_all(bytes).unwrap();
    w.finish().unwrap()
}

/// A sound file of every kind.
fn sound() -> Vec<Vec<u8>> {
    let words = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
    let one = 1f32.to_bits();
    let json = b"{\"_id\":\"a\",\"title\":\"t\",\"text\":\"x\",\"vector\":{\"b\":2.5,\"c\":7},\"f\":[1,{}]}\n";
    let bin = words(&[3, 2, 1, 5, one, one, 0, 1, 9, one]);
    // rows 2, columns 9, nnz 3; indptr 0 2 3; indices; data
    let csr = words(&[2, 0, 9, 0, 3, 0, 0, 0, 2, 0, 3, 0, 5, 1, 8, one, one, one]);
    // Header (1 list, 2 documents), a list of a term and two postings, two records.
    let ciff = [
        &b"\x06\x08\x01\x10\x01\x18\x02"[..],
        b"\x0f\x0a\x01a\x10\x02\x22\x02\x10\x03\x22\x04\x08\x01\x10\x07",
        b"\x03\x12\x01x\x05\x08\x01\x12\x01y",
    ];
    let mut files = vec![
        ciff.concat(),
        json.repeat(2),
        "1\tcafÃ© â€™\n2\tb b a\n".as_bytes().to_vec(),
        bin,
        csr,
        b"query-id\tcorpus-id\tscore\nq\td\t1\nq\te\t-1\n".to_vec(),
        b"q 0 d 1\nq 0 e 2\n".to_vec(),
        b"q Q0 d 1 2.5 tag\nq Q0 e 2 1.5 tag\n".to_vec(),
        b"q\td\t1\nq\te\t2\n".to_vec(),
    ];
    let packed: Vec<Vec<u8>> =
        files.iter().flat_map(|f| [gzip(f), zstd::encode_all(&f[..], 1).unwrap()]).collect();
    files.extend(packed);
    files
}

#[test]
fn sound_files_do_not_panic_either() {
    sound().iter().for_each(|file| read_as_everything(file));
}

/// `PROPTEST_CASES`, or enough for a daily run.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(512)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_as_everything(&bytes);
    }

    #[test]
    fn arbitrary_small_words(words in prop::collection::vec(prop_oneof![0u32..12, any::<u32>()], 0..60)) {
        read_as_everything(&words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>());
    }

    #[test]
    fn arbitrary_text(text in "[\\{\\}\\[\\]\":,0-9a-ce.\\-\\\\ \t\r\né\u{feff}]{0,200}") {
        read_as_everything(text.as_bytes());
    }

    #[test]
    fn mutated_files(
        file in prop::sample::select(sound()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut file = file;
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if cuts {
            file.truncate(cut.index(file.len()));
        }
        read_as_everything(&file);
    }
}
