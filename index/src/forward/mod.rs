//! The forward index: every document's complete vector, exact to its stated quantisation.
//!
//! A weight is stored as a whole number of one or two bytes times one step for the segment, so
//! scores are sums of integers until the last step and do not depend on the order of summation.
//! Weights that this step is too fine or too coarse for are stored in multiples of another step
//! (`levels.rs`), under a scaled term (`scaled.rs`).
//! A document is one record: its terms ascending, then its levels in the same order, padded to 16
//! bytes; a table gives each record's place and length.

mod index;
mod layout;
mod levels;
mod record;
mod scaled;
mod write;

pub use index::ForwardIndex;
pub(crate) use layout::READABLE;
pub use layout::{ErrorBefore, ForwardMeta, KIND, SLACK, VERSION};
pub use levels::{Level, LevelWidth, Quantization, TermWidth};
pub use record::{Place, Record, Records};
pub use scaled::{ScaledTerm, ScaledTerms, factor};
pub use write::{ForwardWriter, Precision};
