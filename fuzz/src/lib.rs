//! What the targets share: places for files, indexes to spoil, and searches over what opens.
//!
//! A target never looks at what comes back: an error is as good as an answer. What must not happen is a
//! panic, an overflow, a read beyond a buffer, memory or time without bound; the fuzzer sees those.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quarry_index::{Index, Verify};
use quarry_reranker::CpuReranker;
use quarry_searcher::{
    ChannelQuery, DenseMethod, DenseSearchOptions, Hit, Method, Options, Rerank, RerankParams,
    RerankQuery, Searcher, SparseOptions,
};
use quarry_vectors::{DenseVector, DocId, SparseVector, TokenEmbeddings};
use serde_json::Value;
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

/// What every target begins with. libFuzzer's hook ends the process at a panic, before it can become an
/// error; one that does become an error ([`quarry_vectors::caught`]) is no finding.
pub fn begin() {
    let ends = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !quarry_vectors::is_guarded() {
            ends(panic);
        }
    }));
}

/// A folder in memory, where there is such a place.
pub fn room() -> TempDir {
    let memory = Path::new("/dev/shm");
    let room = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    room.expect("a temporary folder")
}

/// A file with these bytes.
pub fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    named("file", bytes)
}

/// A file of this name with these bytes.
pub fn named(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let room = room();
    let path = room.path().join(name);
    fs::write(&path, bytes).expect("a temporary file");
    (room, path)
}

/// The repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A committed index with all kinds of parts.
pub fn whole_index() -> PathBuf {
    repository().join("index/testdata/golden-all")
}

/// The bytes before a zero, and those after it.
pub fn split(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[]),
    }
}

/// An index in memory whose files can be replaced, with checksums that fit.
pub struct Forge {
    room: TempDir,
    manifest_name: String,
    manifest: Value,
    /// Where the manifest names a part, its file, its bytes.
    pub parts: Vec<(String, String, Vec<u8>)>,
}

impl Forge {
    /// A copy of the index in `folder`.
    pub fn of(folder: &Path) -> Self {
        let room = room();
        for entry in fs::read_dir(folder).expect("an index") {
            let entry = entry.expect("an index");
            fs::copy(entry.path(), room.path().join(entry.file_name())).expect("a copy");
        }
        let json = |path: &Path| -> Value {
            serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
        };
        let current = json(&room.path().join("CURRENT"));
        let manifest_name = current["manifest"].as_str().expect("a name").to_owned();
        let manifest = json(&room.path().join(&manifest_name));
        let mut parts = Vec::new();
        let mut add = |pointer: String, part: &Value| {
            let file = part["file"].as_str().expect("a name").to_owned();
            if file.ends_with(".qry") {
                let bytes = fs::read(room.path().join(&file)).expect("a part");
                parts.push((pointer, file, bytes));
            }
        };
        for (at, part) in manifest["assets"].as_array().expect("assets").iter().enumerate() {
            add(format!("/assets/{at}"), part);
        }
        for (s, segment) in manifest["segments"].as_array().expect("segments").iter().enumerate() {
            for (at, part) in segment["parts"].as_array().expect("parts").iter().enumerate() {
                add(format!("/segments/{s}/parts/{at}"), part);
            }
        }
        Self { room, manifest_name, manifest, parts }
    }

    pub fn folder(&self) -> &Path {
        self.room.path()
    }

    /// The manifest, as it was.
    pub fn manifest(&self) -> &Value {
        &self.manifest
    }

    /// Puts `bytes` in the place of a part, with the checksum that they need.
    pub fn replace(&self, part: usize, mut bytes: Vec<u8>) {
        let (pointer, name, _) = &self.parts[part];
        let end = bytes.len().saturating_sub(8);
        let checksum = xxh3_64(&bytes[..end]);
        bytes.truncate(end);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        // A new file each time: mappings of before stay as they are.
        let path = self.room.path().join(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, &bytes).expect("a part");
        let mut manifest = self.manifest.clone();
        let entry = manifest.pointer_mut(pointer).expect("a part");
        entry["bytes"] = bytes.len().into();
        entry["checksum"] = format!("{checksum:016x}").into();
        self.commit(&serde_json::to_vec(&manifest).expect("JSON"));
    }

    /// Puts the part that was there back.
    pub fn restore(&self, part: usize) {
        let (_, name, bytes) = &self.parts[part];
        let path = self.room.path().join(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, bytes).expect("a part");
    }

    /// Makes these bytes the manifest.
    pub fn commit(&self, manifest: &[u8]) {
        let path = self.room.path().join(&self.manifest_name);
        let _ = fs::remove_file(&path);
        fs::write(&path, manifest).expect("a manifest");
        let current = serde_json::json!({
            "magic": "quarry-index",
            "manifest": self.manifest_name,
            "bytes": manifest.len(),
            "checksum": format!("{:016x}", xxh3_64(manifest)),
        });
        fs::write(self.room.path().join("CURRENT"), current.to_string()).expect("CURRENT");
    }
}

/// Opens an index, and asks it everything that an index can be asked.
pub fn search_all(folder: &Path) {
    let Ok(index) = Index::open(folder, Verify::Full) else { return };
    let index = Arc::new(index);
    let k = NonZeroUsize::new(10).expect("ten");
    let searcher = Searcher::new(Arc::clone(&index));
    let terms = index.lexicon().map_or(0, quarry_index::lexicon::Lexicon::len);
    let pairs = (0..terms.min(40))
        .map(|term| (term, 1.0 + f32::from(u8::try_from(term).unwrap_or(0)) / 7.0));
    let Ok(query) = SparseVector::from_pairs(pairs) else { return };
    let mut some: Vec<Hit> = Vec::new();
    for method in Method::ALL {
        let params = Options {
            sparse: SparseOptions { method, ..SparseOptions::default() },
            ..Options::new(k)
        };
        if let Ok(outcome) = searcher.search(&ChannelQuery::Sparse(&query), &params) {
            for hit in &outcome.hits {
                assert!(hit.score.is_finite(), "a score that is no number by {method:?}");
                let _ = (searcher.id(hit).len(), searcher.passage(hit));
            }
            assert!(
                outcome.hits.windows(2).all(|two| two[0].score >= two[1].score),
                "hits out of order by {method:?}"
            );
            some = outcome.hits;
        }
    }
    for hit in some.iter().take(3) {
        let _ = searcher.explain(&query, hit);
        let _ = searcher.stored(hit);
        let _ = searcher.stored_whole(hit);
        let _ = searcher.score(&query, hit);
    }
    // A frequent word's best document is found over lists, the rest by every posting.
    for (question, k) in [("rock ice bread marble glacier", k), ("rock", NonZeroUsize::MIN)] {
        if let Ok(outcome) = searcher.search(&ChannelQuery::Words(question), &Options::new(k)) {
            for hit in &outcome.hits {
                let _ = searcher.stored(hit);
            }
        }
    }
    search_dense(&index, &searcher, k);
    for filter in ["year:[1990 TO 2000] OR topic:ice", "NOT tags:soft"] {
        if let Ok(filter) = searcher.filter(filter) {
            let _ = searcher.search(
                &ChannelQuery::Sparse(&query),
                &Options { filter: Some(&filter), ..Options::new(k) },
            );
        }
    }
    for segment in index.segments() {
        let documents = segment.documents();
        for row in (0..).take(documents.len().min(100)) {
            let _ = documents.find(documents.id(DocId(row))).count();
        }
    }
    rerank_all(&index, &some, k);
}

fn search_dense(index: &Index, searcher: &Searcher, k: NonZeroUsize) {
    let Some(kept) = index.dense() else { return };
    let values = (0..kept.dims).map(|at| f32::from(u8::try_from(at % 7).unwrap_or(0)) - 2.5);
    let Ok(query) = DenseVector::new(values.collect()) else { return };
    let exact = Options::new(k);
    // A beam so narrow that a walk over few rows is cheaper than the scan.
    let walk = DenseSearchOptions {
        method: DenseMethod::Graph,
        beam: Some(NonZeroUsize::MIN),
        ..DenseSearchOptions::default()
    };
    let walk = Options { dense: walk, ..Options::new(NonZeroUsize::MIN) };
    for options in [exact, walk] {
        if let Ok(outcome) = searcher.search(&ChannelQuery::Dense(&query), &options) {
            assert!(outcome.hits.iter().all(|hit| hit.score.is_finite()));
            assert!(outcome.hits.windows(2).all(|two| two[0].score >= two[1].score));
        }
    }
    for store in index.segments().iter().filter_map(|segment| segment.dense()) {
        for row in (0..).take(store.documents().min(100)) {
            let _ = store.vector(DocId(row));
        }
    }
}

fn rerank_all(index: &Arc<Index>, candidates: &[Hit], k: NonZeroUsize) {
    let Ok(reranker) = CpuReranker::new(Arc::clone(index)) else { return };
    let dims = reranker.dims();
    if dims > 4096 {
        return;
    }
    let values = (0..dims * 3).map(|at| (f32::from(u8::try_from(at % 7).unwrap_or(0)) - 3.0) / 9.0);
    let Ok(rows) = TokenEmbeddings::new(dims, values.collect()) else { return };
    for form in quarry_index::tokens::Form::ALL {
        let made = CpuReranker::new(Arc::clone(index)).and_then(|r| r.with_form(form));
        let Ok(reranker) = made else { continue };
        for exact in [false, true] {
            let params = RerankParams { exact, ..RerankParams::pruned(k) };
            let query = RerankQuery { tokens: &rows, candidates };
            if let Ok(found) = reranker.rerank(&[query], &params) {
                assert!(found[0].hits.iter().all(|hit| hit.score.is_finite()));
            }
            let _ = reranker.exhaustive(&[&rows], &params);
        }
    }
}
