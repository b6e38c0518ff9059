//! Text parts whose checksums are right and whose bytes tantivy did not write: reading one is an error
//! or gives nonsense, but ends neither the process nor its memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{built, top, with_text};
use quarry_index::container::Part;
use quarry_index::text::{KIND, TextIndex};
use quarry_index::{Index, IndexError, Verify, words};
use quarry_indexer::WordLists;
use quarry_searcher::{ChannelQuery, Options, SearchError, Searcher};
use quarry_vectors::{DocId, Document, is_guarded};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

fn documents() -> Vec<Document> {
    let document = |n: usize| {
        let text = format!("rock and sea {n} {}", ["lava", "ice", "bread"][n % 3]);
        let Value::Object(fields) =
            serde_json::json!({"year": n % 9, "topic": format!("t{}", n % 4)})
        else {
            unreachable!()
        };
        Document { fields, ..with_text(&format!("d{n}"), "Title", &text) }
    };
    (0..90).map(document).collect()
}

/// The index's files, so that each try gets fresh ones.
struct Original {
    files: Vec<(String, Vec<u8>)>,
    text: String,
    words: String,
    /// Where each of tantivy's files lies in the part.
    places: Vec<(String, usize, usize)>,
}

impl Original {
    fn new() -> Self {
        let built = built(documents(), |o| o.seal.words = WordLists::Always);
        let folder = built.index().folder().to_owned();
        let part = |kind| {
            let found = built.index().manifest().parts().find(|p| p.kind == kind);
            found.unwrap().file.clone()
        };
        let (text, words) = (part(KIND), part(words::KIND));
        let part = Part::open(&folder.join(&text), KIND, 0..9, Verify::Full).unwrap();
        let start = part.section_range("files").unwrap().start;
        let meta: Value = part.json("meta").unwrap();
        let number = |v: &Value| usize::try_from(v.as_u64().unwrap()).unwrap();
        let places = meta["files"].as_array().unwrap().iter().map(|file| {
            let name = file["name"].as_str().unwrap().to_owned();
            (name, start + number(&file["offset"]), number(&file["bytes"]))
        });
        let places = places.collect();
        let names = fs::read_dir(&folder).unwrap().map(|e| e.unwrap());
        let names = names.filter(|e| e.file_type().unwrap().is_file());
        let names: Vec<String> = names.map(|e| e.file_name().into_string().unwrap()).collect();
        let files = names.into_iter().map(|n| (n.clone(), fs::read(folder.join(n)).unwrap()));
        Self { files: files.collect(), text, words, places }
    }

    /// A copy whose text part `spoil` changed, with checksums that fit.
    fn forged(&self, spoil: impl FnOnce(&mut [u8])) -> tempfile::TempDir {
        self.forged_part(&self.text, spoil)
    }

    fn forged_part(&self, file: &str, spoil: impl FnOnce(&mut [u8])) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in &self.files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let path = folder.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        spoil(&mut bytes);
        let end = bytes.len() - 8;
        let checksum = xxh3_64(&bytes[..end]);
        bytes[end..].copy_from_slice(&checksum.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        sign(folder.path(), file, checksum);
        folder
    }

    fn place(&self, ending: &str) -> (usize, usize) {
        let place = self.places.iter().find(|p| p.0.ends_with(ending)).unwrap();
        (place.1, place.2)
    }
}

fn sign(folder: &Path, text: &str, checksum: u64) {
    let read =
        |path: &PathBuf| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let hex = quarry_index::container::hex;
    let current_path = folder.join("CURRENT");
    let mut current = read(&current_path);
    let path = folder.join(current["manifest"].as_str().unwrap());
    let mut manifest = read(&path);
    for part in manifest["segments"][0]["parts"].as_array_mut().unwrap() {
        if part["file"] == text {
            part["checksum"] = hex(checksum).into();
        }
    }
    let bytes = serde_json::to_vec(&manifest).unwrap();
    fs::write(&path, &bytes).unwrap();
    current["bytes"] = bytes.len().into();
    current["checksum"] = hex(xxh3_64(&bytes)).into();
    fs::write(&current_path, serde_json::to_vec(&current).unwrap()).unwrap();
}

/// Everything that reads the text part; the kinds of errors met.
fn read_all(folder: &Path) -> Result<usize, String> {
    let index = match Index::open(folder, Verify::Full) {
        Ok(index) => index,
        Err(IndexError::Text { .. } | IndexError::Corrupt { .. }) => return Ok(1),
        Err(other) => return Err(format!("{other:?}")),
    };
    let mut refused = 0;
    let searcher = Searcher::new(Arc::new(index));
    let text = searcher.index().segments()[0].text().unwrap();
    for row in 0..90 {
        match text.stored(DocId(row)) {
            Ok(_) => {}
            Err(IndexError::Text { .. } | IndexError::Corrupt { .. }) => refused += 1,
            Err(other) => return Err(format!("{other:?}")),
        }
    }
    let mut met = |result: Result<(), SearchError>| match result {
        Ok(()) => Ok(()),
        Err(
            SearchError::Index(IndexError::Text { .. } | IndexError::Corrupt { .. })
            | SearchError::Text(_)
            | SearchError::TextIo(_)
            | SearchError::Filter { .. },
        ) => {
            refused += 1;
            Ok(())
        }
        Err(other) => Err(format!("{other:?}")),
    };
    // Many results are found by every posting, few by lists.
    for k in [100, 2] {
        for question in ["rock sea", "ice", "nowhere", "17 rock bread"] {
            let query = ChannelQuery::Words(question);
            met(searcher.search(&query, &Options::new(top(k))).map(drop))?;
        }
    }
    for filter in ["year:[2 TO 5]", "topic:t1 OR year:7", "year:*", "topic:>t2"] {
        met(searcher.filter(filter).map(drop))?;
    }
    assert!(!is_guarded());
    Ok(refused)
}

#[test]
fn a_forged_text_part_is_an_error_and_no_panic() {
    // Panics that become errors need not be told of here.
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !is_guarded() {
            told(panic);
        }
    }));
    let original = Original::new();
    assert_eq!(read_all(original.forged(|_| {}).path()), Ok(0));
    let mut refused = 0;
    for seed in 0..400 {
        let mut random = SmallRng::seed_from_u64(seed);
        let (_, at, bytes) = &original.places[random.random_range(0..original.places.len())];
        if *bytes == 0 {
            continue;
        }
        let folder = original.forged(|part| {
            for _ in 0..random.random_range(1..4) {
                // Each of tantivy's files has its table at the end.
                let last = bytes.saturating_sub(60);
                let place = match random.random_range(0..2) {
                    0 => random.random_range(0..*bytes),
                    _ => random.random_range(last..*bytes),
                };
                let value = [0, 1, 128, 255, random.random()][random.random_range(0..5)];
                part[at + place] = value;
            }
        });
        refused += read_all(folder.path()).unwrap_or_else(|e| panic!("seed {seed}: {e}")).min(1);
    }
    assert!(refused > 50, "{refused} of 400 were seen");
}

#[test]
fn forged_lists_of_words_are_an_error_and_no_panic() {
    let original = Original::new();
    let whole = original.files.iter().find(|f| f.0 == original.words).unwrap().1.len();
    let mut refused = 0;
    for seed in 0..400 {
        let mut random = SmallRng::seed_from_u64(seed);
        let folder = original.forged_part(&original.words, |part| {
            for _ in 0..random.random_range(1..4) {
                // The numbers of the envelope are forged elsewhere.
                let at = random.random_range(64..whole - 64);
                part[at] = [0, 1, 128, 255, random.random()][random.random_range(0..5)];
            }
        });
        refused += read_all(folder.path()).unwrap_or_else(|e| panic!("seed {seed}: {e}")).min(1);
    }
    assert!(refused > 20, "{refused} of 400 were seen");
}

#[test]
fn a_block_that_says_it_is_huge_takes_no_memory() {
    let original = Original::new();
    let (at, _) = original.place(".store");
    for length in [u32::MAX, 1 << 31, (256 << 20) + 1] {
        let folder = original.forged(|part| {
            part[at..at + 4].copy_from_slice(&length.to_le_bytes());
        });
        let path = folder.path().join(&original.text);
        let text = TextIndex::open(&path, Verify::Full).unwrap();
        let error = text.stored(DocId(0)).unwrap_err();
        assert!(matches!(error, IndexError::Text { .. }), "{error:?}");
        assert!(error.to_string().contains(&length.to_string()), "{error}");
        assert!(!error.is_of_system());
    }
}
