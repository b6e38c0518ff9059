//! What a caller may set of a dense encoder.

use std::num::NonZeroUsize;

use super::parameters::DenseParameters;

/// What a caller may set; what is `None` is left to the model or the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DenseOptions {
    /// Sessions, each of one thread; the machine's cores unless set. Does not change vectors. One is enough where
    /// only queries are encoded, one at a time.
    pub sessions: Option<NonZeroUsize>,
    /// Longest text in tokens, in place of the model's own.
    pub max_tokens: Option<u32>,
}

impl DenseOptions {
    /// The model's parameters with what is set here in their place.
    #[must_use]
    pub fn apply(&self, parameters: &DenseParameters) -> DenseParameters {
        let max_tokens = self.max_tokens.unwrap_or(parameters.max_tokens);
        DenseParameters { max_tokens, ..parameters.clone() }
    }
}
