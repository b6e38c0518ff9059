//! How texts become vectors: the model, its limits, and how long texts are split.

use std::num::NonZeroUsize;

use quarry_encoders::{Device, DocumentOptions, Model};
use quarry_indexer::{AsBuilt, EncoderSetup};
use quarry_vectors::EncodeDocument;
use serde_json::{Value, json};

use crate::{EngineError, ModelSource};

/// What is built from texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextsAs {
    /// Learned sparse vectors, and words for BM25.
    #[default]
    Sparse,
    /// Words for BM25 only; no model is needed.
    Bm25,
}

impl TextsAs {
    /// The channel's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sparse => "sparse",
            Self::Bm25 => "bm25",
        }
    }
}

/// The size of the passages that long texts are split into. Each passage is a row of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassageSize {
    /// Tokens per passage, including the title.
    pub tokens: u32,
    /// Approximate number of tokens that neighbouring passages share.
    pub overlap: u32,
}

/// How texts are encoded.
#[derive(Debug, Clone, Default)]
pub struct Encoding {
    /// The model; by default the bundled one.
    pub model: Option<ModelSource>,
    /// Device for the model's network.
    pub device: Device,
    /// Bytes that the vocabulary products of a batch may take in each session.
    pub memory: Option<u64>,
    /// Number of sessions, each with one thread; by default the number of cores. Does not change vectors.
    pub sessions: Option<NonZeroUsize>,
    /// Most tokens of a passage; the rest is cut off. By default the model's own limit.
    pub max_tokens: Option<u32>,
    /// Most components of a vector, keeping the heaviest; 0 for all. By default the model's own limit.
    pub top_k: Option<u32>,
    /// How long texts are split; `None`: text beyond the longest passage is lost.
    pub passages: Option<PassageSize>,
    /// Whether to store which word each component comes from.
    pub provenance: bool,
}

impl Encoding {
    /// The model given, or the one that the index was built with, or the bundled one.
    pub(super) fn source(&self, remembered: Option<&ModelSource>) -> ModelSource {
        self.model.as_ref().or(remembered).cloned().unwrap_or_default()
    }

    /// Whether device or memory differ from the defaults.
    pub(super) fn is_run_elsewhere(&self) -> bool {
        self.device != Device::Cpu || self.memory.is_some()
    }

    /// The settings of device and memory that may change the last digits of a vector.
    pub(super) fn run_on(&self) -> Value {
        json!([format!("{:?}", self.device), self.memory])
    }

    /// The encoder options.
    pub(super) fn options(&self) -> DocumentOptions {
        DocumentOptions {
            sessions: self.sessions,
            max_tokens: self.max_tokens,
            top_k: self.top_k,
            device: self.device,
            output_memory: self.memory,
            provenance: self.provenance,
            pool_outside: false,
        }
    }

    /// These options, with unset ones taken from how an index was built.
    pub(super) fn as_built(&self, built: &AsBuilt) -> Self {
        let document = built.encoder.as_ref().and_then(|e| e.get("document"));
        let of_document = |name: &str| {
            let number = document.and_then(|d| d.get(name)).and_then(Value::as_u64)?;
            u32::try_from(number).ok()
        };
        let kept = built.passages.map(|[tokens, overlap]| PassageSize { tokens, overlap });
        Self {
            max_tokens: self.max_tokens.or_else(|| of_document("max_tokens")),
            top_k: self.top_k.or_else(|| of_document("top_k")),
            passages: self.passages.or(kept),
            provenance: self.provenance || built.provenance,
            ..self.clone()
        }
    }
}

/// An encoder with the files of its model that an index keeps.
pub(super) fn setup<'a>(
    model: &Model,
    encoder: &'a dyn EncodeDocument,
    options: &DocumentOptions,
) -> Result<EncoderSetup<'a>, EngineError> {
    let json = |source| EngineError::Json { what: "the model's identity", source };
    Ok(EncoderSetup {
        encoder,
        identity: serde_json::to_value(model.identity(options)?).map_err(json)?,
        tokens: model.vocabulary().tokens().to_vec(),
        tokenizer: Some(model.tokenizer_json().to_vec()),
        query_table: model.query_table().map(<[u8]>::to_vec),
        passages: None,
        provenance: options.provenance,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_index() {
        let built = AsBuilt {
            encoder: Some(json!({"document": {"max_tokens": 128, "top_k": 64}})),
            passages: Some([32, 4]),
            provenance: true,
            ..AsBuilt::default()
        };
        let given = Encoding { top_k: Some(7), ..Encoding::default() };
        let filled = given.as_built(&built);
        assert_eq!((filled.max_tokens, filled.top_k), (Some(128), Some(7)));
        assert_eq!(filled.passages, Some(PassageSize { tokens: 32, overlap: 4 }));
        assert!(filled.provenance);
        let plain = Encoding::default().as_built(&AsBuilt::default());
        assert_eq!((plain.max_tokens, plain.passages, plain.provenance), (None, None, false));
    }
}
