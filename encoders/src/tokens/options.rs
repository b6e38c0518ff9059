//! What a caller may set of a token encoder.

use std::num::NonZeroUsize;

use super::parameters::TokenParameters;

/// What a caller may set; what is `None` is left to the model or the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenOptions {
    /// Sessions, each of one thread; the machine's cores unless set. Does not change embeddings.
    /// One is enough where only questions are encoded, one at a time.
    pub sessions: Option<NonZeroUsize>,
    /// Dimensions of a row, in place of the model's own: the first ones, brought to length one
    /// again.
    pub dims: Option<u32>,
    /// Longest document in tokens, in place of the model's own.
    pub max_tokens: Option<u32>,
    /// Longest question in tokens, in place of the model's own.
    pub query_max_tokens: Option<u32>,
}

impl TokenOptions {
    /// The model's parameters with what is set here in their place.
    #[must_use]
    pub fn apply(&self, parameters: &TokenParameters) -> TokenParameters {
        TokenParameters {
            dims: self.dims.unwrap_or(parameters.dims),
            max_tokens: self.max_tokens.unwrap_or(parameters.max_tokens),
            query_max_tokens: self.query_max_tokens.unwrap_or(parameters.query_max_tokens),
            ..parameters.clone()
        }
    }
}
