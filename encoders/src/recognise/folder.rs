//! A folder of a published model, and the names of files in it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::graph::GraphFile;
use crate::{EncoderError, ExternalFile, files};

/// A model folder, or a folder of a module within one.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    /// The model folder.
    pub(super) root: PathBuf,
    /// The module's folder below it; empty for the model folder itself.
    pub(super) below: String,
}

impl Folder {
    pub(super) fn new(root: &Path, below: &str) -> Self {
        Self { root: root.to_owned(), below: below.trim_matches('/').to_owned() }
    }

    /// A folder below this one that the model's files name; one that is not below is refused.
    pub(super) fn inner(&self, below: &str) -> Result<Self, EncoderError> {
        let named = below.strip_suffix('/').unwrap_or(below);
        if !named.is_empty() && !files::is_inside(named) {
            return Err(self.refuse(format!(
                "the module's folder {below:?} is not below the model's; expected a name such as 1_SpladePooling"
            )));
        }
        Ok(Self::new(&self.root, &format!("{}/{named}", self.below)))
    }

    /// A file's name relative to the model folder.
    pub(super) fn name(&self, file: &str) -> String {
        if self.below.is_empty() { file.to_owned() } else { format!("{}/{file}", self.below) }
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.root.join(self.name(file))
    }

    pub(super) fn has(&self, file: &str) -> bool {
        self.path(file).is_file()
    }

    pub(super) fn refuse(&self, reason: impl Into<String>) -> EncoderError {
        EncoderError::Unrecognised { folder: self.root.join(&self.below), reason: reason.into() }
    }

    /// A JSON file; `None` when it is not there.
    pub(super) fn json(&self, file: &str) -> Result<Option<Value>, EncoderError> {
        if !self.has(file) {
            return Ok(None);
        }
        let path = self.path(file);
        let value = serde_json::from_slice(&files::read(&path)?)
            .map_err(|source| EncoderError::Manifest { path, source })?;
        Ok(Some(value))
    }

    /// The first of `names` that this folder has, or else the model folder; relative to the latter.
    pub(super) fn first(&self, names: &[&str]) -> Option<String> {
        let root = Self::new(&self.root, "");
        let all =
            [self, &root].into_iter().flat_map(|folder| names.iter().map(move |n| (folder, n)));
        all.into_iter().find(|(folder, n)| folder.has(n)).map(|(folder, n)| folder.name(n))
    }

    /// Where this folder, or else the model folder, has the weights of a checkpoint.
    pub(super) fn checkpoint(&self) -> Option<Self> {
        let root = Self::new(&self.root, "");
        let has = |folder: &Self| folder.has("model.safetensors") && folder.has("config.json");
        [self.clone(), root].into_iter().find(has)
    }

    /// The refusal of a folder that has neither a graph nor weights that one can be built of.
    pub(super) fn no_graph(&self) -> EncoderError {
        let root = Self::new(&self.root, "");
        let has = |file: &str| self.has(file) || root.has(file);
        self.refuse(match () {
            () if has("model.safetensors.index.json") => {
                "the weights lie in several files (model.safetensors.index.json), and graphs are \
                 built of one model.safetensors: save the model as one file, or export it to ONNX"
            }
            () if has("model.safetensors") => {
                "model.safetensors is there without its config.json: fetch the model again"
            }
            () if has("pytorch_model.bin") => {
                "the weights are in pytorch_model.bin, which can hold code: save the model as \
                 safetensors (save_pretrained), or export it to ONNX"
            }
            () => "neither model.onnx nor onnx/model.onnx nor model.safetensors is there",
        })
    }

    /// The checksums of the files beside a graph.
    pub(super) fn external(
        &self,
        file: &str,
        graph: &GraphFile,
    ) -> Result<Vec<ExternalFile>, EncoderError> {
        let path = self.root.join(file);
        let external = |name: &String| {
            if !files::is_inside(name) {
                return Err(self.refuse(format!("{file}: its weights lie outside, in {name:?}")));
            }
            let sha256 = files::sha256_of(&path.with_file_name(name))?;
            Ok(ExternalFile { file: name.clone(), sha256 })
        };
        graph.external.iter().map(external).collect()
    }

    /// Longest input by the configuration.
    pub(super) fn positions(config: &Value) -> u32 {
        let positions =
            number(config, "max_position_embeddings").or_else(|| number(config, "n_positions"));
        // RoBERTa's positions, and MPNet's, begin behind the padding token's id.
        let offset = match config["model_type"].as_str().unwrap_or_default() {
            "roberta" | "xlm-roberta" | "camembert" | "mpnet" => {
                1 + config["pad_token_id"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(1)
            }
            _ => 0,
        };
        positions.map_or(512, |n| n.saturating_sub(offset))
    }
}

/// A positive number of a configuration.
pub(super) fn number(config: &Value, name: &str) -> Option<u32> {
    config[name].as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0)
}
