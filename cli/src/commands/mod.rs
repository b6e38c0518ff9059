//! One file a subcommand.

pub(crate) mod add;
pub(crate) mod completions;
pub(crate) mod dataset;
pub(crate) mod delete;
pub(crate) mod demo;
pub(crate) mod encode;
pub(crate) mod eval;
pub(crate) mod eval_args;
pub(crate) mod export;
pub(crate) mod fuse;
pub(crate) mod index;
pub(crate) mod index_check;
pub(crate) mod inspect;
pub(crate) mod judged;
pub(crate) mod lists;
pub(crate) mod manual;
pub(crate) mod merge;
pub(crate) mod model;
pub(crate) mod search;
pub(crate) mod serve;
pub(crate) mod sets;
pub(crate) mod sets_table;
pub(crate) mod stages;
pub(crate) mod tokens;
pub(crate) mod tune;
pub(crate) mod upgrade;
