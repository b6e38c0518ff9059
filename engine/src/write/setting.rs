//! Names of build options, for errors about options without effect.

use std::fmt;

/// An option that an error is about. A command line has its own name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Setting {
    /// [`Input::scale`](super::Input::scale).
    Scale,
    /// [`Input::vocabulary`](super::Input::vocabulary).
    Vocabulary,
    /// [`Input::vector_field`](super::Input::vector_field).
    VectorField,
    /// [`Encoding::max_tokens`](super::Encoding::max_tokens).
    MaxTokens,
    /// [`Encoding::top_k`](super::Encoding::top_k).
    TopK,
    /// [`Encoding::device`](super::Encoding::device) and its memory.
    Device,
    /// [`Input::repair_encoding`](super::Input::repair_encoding) turned off.
    RawEncoding,
    /// [`TextsAs::Bm25`](super::TextsAs::Bm25).
    Bm25,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scale => "the scale of weights",
            Self::Vocabulary => "the vocabulary",
            Self::VectorField => "the field of vectors",
            Self::MaxTokens => "the longest passage",
            Self::TopK => "the number of components",
            Self::Device => "the device or memory of a network",
            Self::RawEncoding => "leaving doubly encoded UTF-8",
            Self::Bm25 => "building words alone",
        })
    }
}
