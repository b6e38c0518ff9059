#![doc = include_str!("../README.md")]

mod build;
mod clusters;
mod error;
mod fields;
mod impact;
mod ingest;
mod job;
mod options;
mod order;
mod pieces;
mod quantize;
mod seal;
mod seismic;
mod shares;
mod spool;
mod terms;
#[cfg(test)]
mod test_support;
mod unseal;
mod update;
mod upgrade;
mod weights;
mod words;
mod workspace;

pub use build::build;
pub use error::BuildError;
pub use fields::FieldCheck;
pub use options::{
    BuildOptions, BuildReport, EncoderSetup, Event, IngestOptions, LEAST_MEMORY, Levels, Lists,
    MANY_ROWS, Passages, SealOptions, WordLists, default_clusters, default_seismic,
};
pub use shares::{JoinOptions, Share, ShareReport, build_share, is_share, join};
pub use update::{
    AddDense, AddDenseOptions, AddOptions, AddReport, AddTokens, Adding, AsBuilt, DENSE_MODEL_FROM,
    DeleteReport, DenseInput, MOST_SEGMENTS, MakeGraph, MakeGraphs, Merge, MergeBeside,
    MergeReport, NewGraph, PreparedMerge, Rewrite, TokenInput, TokenOptions, add, add_dense,
    add_lists, add_neighbours, add_tokens, delete, install_merge, merge, prepare_merge, rewrite,
    store_calibration, tidy,
};
pub use upgrade::{UpgradeReport, upgrade};
