//! A small index and an encoder that can be made slow.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use quarry_engine::{Collection, OpenOptions, QueryModel};
use quarry_index::dense::{self, DenseOptions, DenseStorage, DenseWriter};
use quarry_index::doctable::{self, DocTableBuilder};
use quarry_index::fields::FieldRules;
use quarry_index::folder::{FolderWriter, Mark};
use quarry_index::forward::{self, ForwardWriter, LevelWidth, Quantization};
use quarry_index::lexicon;
use quarry_index::manifest::{FORMAT, MANIFEST_MAGIC, Manifest, PartEntry, SegmentEntry};
use quarry_index::strings::StringTableBuilder;
use quarry_index::text::{self, TextWriter};
use quarry_index::{Index, Verify};
use quarry_server::Engine;
use quarry_vectors::{DenseVector, EncodeError, EncodeQuery, SparseVector};
use serde_json::{Map, json};

pub(crate) const TOKENS: [&str; 6] = ["dog", "cat", "sleep", "run", "bird", "unused"];

/// id, title, text, other fields, vector.
type Row = (&'static str, &'static str, &'static str, serde_json::Value, &'static [(u32, f32)]);

fn rows() -> [Row; 4] {
    [
        ("d1", "Dogs", "Dogs sleep.", json!({"lang": "en"}), &[(0, 2.5), (2, 1.25)]),
        ("d2", "Cats", "Cats sleep and run.", json!({"lang": "de"}), &[(1, 2.0), (2, 0.5)]),
        ("a/b c", "Birds", "Birds run from dogs.", json!({}), &[(0, 0.5), (3, 1.0), (4, 3.0)]),
        ("d4", "", "Nothing.", json!({}), &[]),
    ]
}

/// Which parts the index has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts {
    pub(crate) sparse: bool,
    pub(crate) text: bool,
}

pub(crate) const ALL: Parts = Parts { sparse: true, text: true };

/// Builds and opens an index in `folder`.
pub(crate) fn build(folder: &Path, parts: Parts) -> Arc<Index> {
    let mut writer = FolderWriter::create(folder, &|_| Mark::Nothing).unwrap();
    let segment = uuid::Uuid::new_v4();
    let place = |kind: &str| {
        let name = quarry_index::names::part(segment, kind);
        (folder.join(&name), name)
    };
    let mut entries = Vec::new();
    let mut assets = Vec::new();

    let (path, name) = place(doctable::KIND);
    let mut documents = DocTableBuilder::default();
    rows().iter().for_each(|r| documents.push(r.0, None).unwrap());
    let written = documents.write(&path).unwrap();
    entries.push(PartEntry::new(doctable::KIND, doctable::VERSION, &name, written, true));

    if parts.sparse {
        let (path, name) = place(forward::KIND);
        let dimension = u32::try_from(TOKENS.len()).unwrap();
        let quantization = Quantization { levels: LevelWidth::U8, scale: 0.25, lossless: true };
        let mut vectors = ForwardWriter::create(&path, dimension, quantization).unwrap();
        for (terms, weights) in rows().map(|r| r.4.iter().copied().unzip::<_, _, Vec<_>, Vec<_>>())
        {
            vectors.push(&terms, &weights).unwrap();
        }
        let (written, _) = vectors.finish().unwrap();
        entries.push(PartEntry::new(forward::KIND, forward::VERSION, &name, written, true));

        let (path, name) = place(lexicon::KIND);
        let mut tokens = StringTableBuilder::default();
        TOKENS.iter().for_each(|t| tokens.push(t).unwrap());
        let written =
            lexicon::write(&path, lexicon::Terms::Names { tokens: &tokens, places: dimension })
                .unwrap();
        assets.push(PartEntry::new(lexicon::KIND, lexicon::VERSION, &name, written, true));
    }
    if parts.text {
        let (path, name) = place(text::KIND);
        let written = pack_texts(&path);
        entries.push(PartEntry::new(text::KIND, text::VERSION, &name, written, true));
    }
    let rows = rows().len() as u64;
    let encoders = json!({"sparse": {"name": "fake"}});
    let manifest = Manifest {
        magic: MANIFEST_MAGIC.into(),
        format: FORMAT,
        uuid: uuid::Uuid::new_v4(),
        generation: 0,
        applied_sequence: 0,
        written_by: "test".into(),
        seed: 0,
        build: Map::new(),
        encoders: encoders.as_object().unwrap().clone(),
        fields: std::collections::BTreeMap::new(),
        features: Default::default(),
        assets,
        segments: vec![SegmentEntry { id: segment, rows, documents: rows, parts: entries }],
    };
    writer.commit(manifest).unwrap();
    Arc::new(Index::open(folder, Verify::Full).unwrap())
}

/// The same index with dense vectors of two dimensions; the third document has none.
pub(crate) fn build_dense(folder: &Path) -> Arc<Index> {
    drop(build(folder, ALL));
    let mut writer = FolderWriter::open(folder).unwrap();
    let mut manifest = writer.current().unwrap().clone();
    let entry = &mut manifest.segments[0];
    let name = quarry_index::names::next_part(entry.id, dense::KIND);
    let source = json!({"file": "docs.npy"});
    let options = DenseOptions { dims: 2, storage: DenseStorage::Fp32, source };
    let mut part = DenseWriter::create(&folder.join(&name), options).unwrap();
    for values in [Some([1.0, 0.0]), Some([0.0, 1.0]), None, Some([0.5, 0.25])] {
        let vector = values.map(|values| DenseVector::new(values.to_vec()).unwrap());
        part.push(vector.as_ref()).unwrap();
    }
    let (written, _) = part.finish().unwrap();
    entry.parts.push(PartEntry::new(dense::KIND, dense::VERSION, &name, written, false));
    writer.commit(manifest).unwrap();
    Arc::new(Index::open(folder, Verify::Full).unwrap())
}

/// An engine over an index; with an encoder it encodes text.
pub(crate) fn engine(index: Arc<Index>, encoder: Option<Arc<dyn EncodeQuery>>) -> Engine {
    let mut options = OpenOptions::default();
    options.observe = true;
    options.queries = encoder.map_or(QueryModel::None, QueryModel::Encoder);
    Engine::new(Collection::of_index(index, &options).unwrap())
}

fn pack_texts(path: &Path) -> quarry_index::container::Written {
    let work = tempfile::tempdir().unwrap();
    let mut writer = TextWriter::create(work.path(), 0, &FieldRules::new()).unwrap();
    for (_, title, body, other, _) in rows() {
        let stored = json!({"title": title, "text": body, "fields": other});
        writer.add(&stored.to_string()).unwrap();
    }
    writer.finish(path).unwrap()
}

/// Words that are tokens get weight 1. `wait` waits at the gate, `fail` fails, `panic` panics, `alien`
/// gives a term that no index has.
#[derive(Debug, Default)]
pub(crate) struct FakeEncoder {
    gate: Mutex<Gate>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Gate {
    open: bool,
    waiting: usize,
}

impl FakeEncoder {
    /// Opens the gate for good.
    pub(crate) fn open(&self) {
        self.gate.lock().unwrap().open = true;
        self.moved.notify_all();
    }

    /// Waits until `n` searches are at the gate.
    pub(crate) fn await_waiting(&self, n: usize) {
        let gate = self.gate.lock().unwrap();
        drop(self.moved.wait_while(gate, |g| g.waiting < n).unwrap());
    }
}

impl EncodeQuery for FakeEncoder {
    fn encode_query(&self, text: &str) -> Result<SparseVector, EncodeError> {
        let mut pairs = Vec::new();
        for word in text.split_whitespace() {
            match word {
                "wait" => {
                    let mut gate = self.gate.lock().unwrap();
                    gate.waiting += 1;
                    self.moved.notify_all();
                    drop(self.moved.wait_while(gate, |g| !g.open).unwrap());
                }
                "fail" => return Err(EncodeError("the model is a secret".into())),
                "panic" => panic!("asked to"),
                "alien" => pairs.push((99, 1.0)),
                _ => {
                    let at = TOKENS.iter().position(|t| *t == word);
                    pairs.extend(at.map(|t| (u32::try_from(t).unwrap(), 1.0)));
                }
            }
        }
        Ok(SparseVector::from_pairs(pairs).unwrap())
    }
}
