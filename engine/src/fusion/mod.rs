//! Several rankings of a query become one: of channels of an index, or of runs.

mod channels;
mod fuse;
mod options;

pub use channels::FoundOn;
pub(crate) use channels::of_channels;
pub(crate) use fuse::{List, Scored, fuse};
pub(crate) use options::is_weight;
pub use options::{
    BM25_WEIGHT, ChannelWeight, DEFAULT_RRF_K, DEFAULT_WINDOW, FusionMethod, FusionOptions,
    LEAST_WEIGHT, MOST_RRF_K, MOST_WEIGHT,
};
