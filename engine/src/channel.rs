//! What can be searched.

/// What is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Channel {
    /// Learned sparse vectors.
    Sparse,
    /// Words, by BM25.
    Bm25,
    /// Token embeddings, by MaxSim with every document.
    Maxsim,
    /// Dense vectors, by the dot product with every document's.
    Dense,
}

impl Channel {
    /// Its name in commands and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sparse => "sparse",
            Self::Bm25 => "bm25",
            Self::Maxsim => "maxsim",
            Self::Dense => "dense",
        }
    }
}
