//! Families of published models, by name.

use serde::{Deserialize, Serialize};

/// Families of published sparse encoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Documents and questions through one network; ln(1 + max(x, 0)), the largest of the positions
    /// (Formal et al., arXiv 2109.10086; SPLADE++, SPLADE-v3, Splade_PP, Granite).
    Splade,
    /// Documents as `splade`; each token of a question weighs 1 (SPLADE-v3-Doc, arXiv 2403.06789).
    SpladeDoc,
    /// As `splade`, but a question keeps only its own tokens (SPLADE-v3-Lexical).
    SpladeLexical,
    /// Inference-free with a table, ln(1 + max(x, 0)), special tokens dropped on both sides
    /// (OpenSearch doc-v1 and doc-v2; Geng et al., arXiv 2411.04403).
    OpensearchV2,
    /// As `opensearch-v2` with ln(1 + ln(1 + max(x, 0))) (doc-v3; Shen et al., arXiv 2504.14839).
    OpensearchV3,
    /// Documents as `splade`; questions by a learned table (Nardini et al., arXiv 2505.01452).
    LiLsr,
    /// A causal language model; all positions are pooled.
    Decoder,
    /// A causal language model that is given the text twice; the second copy is pooled
    /// (Echo-Mistral-SPLADE, Doshi et al., arXiv 2408.11119).
    Echo,
    /// A sentence-transformers `SparseEncoder`: as its modules say.
    SparseEncoder,
    /// Token embeddings in Stanford's ColBERT format (ColBERTv2, answerai-colbert).
    Colbert,
    /// Token embeddings in PyLate's format (GTE-ModernColBERT and others).
    Pylate,
    /// Dense vectors of a sentence-transformers `SentenceTransformer`: as its modules say.
    SentenceTransformer,
}

impl Family {
    /// All that can be named, with their names.
    pub const NAMED: [(&'static str, Self); 10] = [
        ("splade", Self::Splade),
        ("splade-doc", Self::SpladeDoc),
        ("splade-lexical", Self::SpladeLexical),
        ("opensearch-v2", Self::OpensearchV2),
        ("opensearch-v3", Self::OpensearchV3),
        ("li-lsr", Self::LiLsr),
        ("decoder", Self::Decoder),
        ("echo", Self::Echo),
        ("colbert", Self::Colbert),
        ("pylate", Self::Pylate),
    ];

    pub(crate) fn is_opensearch(self) -> bool {
        matches!(self, Self::OpensearchV2 | Self::OpensearchV3)
    }
}
