#![doc = include_str!("../README.md")]

mod anserini_queries;
mod bigann_csr;
mod collection;
pub mod collections;
mod detect;
mod double_encoding;
mod error;
mod folder;
mod input;
mod json_record;
mod lines;
pub mod measures;
mod options;
mod qrels;
mod queries;
mod run;
mod run_format;
mod run_reader;
mod seismic_bin;
mod tab_separated;
mod token_rows;
mod vocabulary;

pub use collection::{CollectionReader, open_collection};
pub use double_encoding::repair_double_encoding;
pub use error::{DatasetError, Position};
pub use lines::MAX_LINE_BYTES;
pub use options::{CollectionFormat, CollectionOptions, QueryFormat, QueryOptions};
pub use qrels::{Qrels, open_qrels};
pub use queries::open_queries;
pub use run::Run;
pub use run_format::{RunFormat, write_ranking};
pub use seismic_bin::MAX_COMPONENTS;
pub use token_rows::TokenRows;
pub use vocabulary::read_vocabulary;
