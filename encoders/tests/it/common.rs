//! The models that the tests run: the bundled one, and toys of eight words in a folder of their
//! own, whose files a test may spoil.

use std::fs;
use std::path::{Path, PathBuf};

use quarry_encoders::{EncoderError, Model, OnnxDocumentEncoder, find_runtime};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// The bundled model's folder.
pub(crate) fn bundled_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/quarry-mini")
}

/// The bundled model.
pub(crate) fn bundled() -> Model {
    require_runtime();
    Model::open(&bundled_folder()).unwrap()
}

/// Fails with the message that says what to run.
fn require_runtime() {
    if let Err(error) = find_runtime() {
        panic!("{error}");
    }
}

/// A toy model in a folder of its own.
pub(crate) struct Toy {
    folder: TempDir,
    manifest: Value,
}

impl Toy {
    /// A toy with the graph `tests/toy/GRAPH.onnx`.
    pub(crate) fn new(graph: &str) -> Self {
        require_runtime();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/toy");
        let folder = tempfile::tempdir().unwrap();
        for file in ["tokenizer.json", "query_table.json"] {
            fs::copy(source.join(file), folder.path().join(file)).unwrap();
        }
        fs::copy(source.join(format!("{graph}.onnx")), folder.path().join("model.onnx")).unwrap();
        let mut inputs = json!({ "token_ids": "input_ids", "attention_mask": "attention_mask" });
        if graph == "good" {
            inputs["token_types"] = json!("token_type_ids");
        }
        let manifest = json!({
            "format": 1,
            "name": "toy",
            "dimension": 8,
            "tokenizer": { "file": "tokenizer.json", "sha256": "", "pad_token": "[PAD]" },
            "document": {
                "kind": "onnx", "file": "model.onnx", "sha256": "", "inputs": inputs,
                "output": "out", "pooling": "in-graph", "max_positions": 16,
                "parameters": {
                    "max_tokens": 6, "top_k": 3, "separator": " ",
                    "drop_tokens": ["[PAD]", "[UNK]", "[CLS]", "[SEP]"],
                },
            },
            "query": {
                "kind": "token-table", "file": "query_table.json", "sha256": "",
                "parameters": { "tf": "1+ln", "drop_tokens": ["[CLS]", "[SEP]"] },
            },
        });
        let mut toy = Self { folder, manifest };
        toy.sign();
        toy
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Sets a value of the manifest, named by a JSON pointer.
    pub(crate) fn set(&mut self, pointer: &str, value: Value) {
        *self.manifest.pointer_mut(pointer).unwrap() = value;
        self.write();
    }

    /// Adds a field to the manifest's object at a JSON pointer.
    pub(crate) fn add(&mut self, pointer: &str, field: &str, value: Value) {
        self.manifest.pointer_mut(pointer).unwrap()[field] = value;
        self.write();
    }

    /// Replaces a file; the manifest keeps the old checksum until [`Self::sign`].
    pub(crate) fn replace(&self, file: &str, bytes: &[u8]) {
        fs::write(self.path(file), bytes).unwrap();
    }

    /// The checksum of a file as it is.
    pub(crate) fn sum(&self, file: &str) -> String {
        format!("{:x}", Sha256::digest(fs::read(self.path(file)).unwrap()))
    }

    /// Writes the checksums of the files as they are into the manifest.
    pub(crate) fn sign(&mut self) {
        for side in ["tokenizer", "document", "query"] {
            let file = self.manifest[side]["file"].as_str().unwrap().to_owned();
            self.manifest[side]["sha256"] = json!(self.sum(&file));
        }
        self.write();
    }

    fn write(&self) {
        fs::write(self.path("quarry-model.json"), self.manifest.to_string()).unwrap();
    }

    pub(crate) fn open(&self) -> Result<Model, EncoderError> {
        Model::open(self.folder.path())
    }

    pub(crate) fn documents(&self) -> Result<OnnxDocumentEncoder, EncoderError> {
        self.open()?.onnx_document_encoder(&Default::default())
    }
}
