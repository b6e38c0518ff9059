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
    /// Dimensions of a vector, in place of the model's own: the first ones (Kusupati et al., Matryoshka representation
    /// learning, NeurIPS 2022). Where the model brings vectors to length one, that is done after the cut.
    pub dims: Option<u32>,
}

impl DenseOptions {
    /// The model's parameters with what is set here in their place.
    #[must_use]
    pub fn apply(&self, parameters: &DenseParameters) -> DenseParameters {
        DenseParameters {
            max_tokens: self.max_tokens.unwrap_or(parameters.max_tokens),
            dims: self.dims.unwrap_or(parameters.dims),
            ..parameters.clone()
        }
    }
}
