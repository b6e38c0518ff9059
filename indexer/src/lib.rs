#![doc = include_str!("../README.md")]

mod build;
mod calibration;
mod clusters;
mod error;
mod fields;
mod impact;
mod ingest;
mod job;
mod living;
mod options;
mod order;
mod pieces;
mod quantize;
mod relist;
mod seal;
mod seismic;
mod shares;
mod spool;
mod terms;
#[cfg(test)]
mod test_support;
mod text;
mod tokens;
mod unseal;
mod upgrade;
mod weights;
mod workspace;

pub use build::build;
pub use calibration::store_calibration;
pub use error::BuildError;
pub use living::{
    AddReport, AddTokens, Adding, AsBuilt, DeleteReport, MOST_SEGMENTS, Merge, MergeReport, add,
    delete, merge,
};
pub use options::{
    BuildOptions, BuildReport, EncoderSetup, Event, LEAST_MEMORY, Levels, Lists, MANY_ROWS,
    Passages, SealOptions, default_clusters, default_seismic,
};
pub use relist::{AddOptions, add_lists};
pub use shares::{JoinOptions, Share, ShareReport, build_share, is_share, join};
pub use tokens::{TokenInput, TokenOptions, add_tokens};
pub use upgrade::{UpgradeReport, upgrade};
