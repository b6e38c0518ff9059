//! A small collection of 320 English passages with 40 judged questions, in BEIR's layout: for demonstrations and
//! tests.

/// `corpus.jsonl`.
pub const CORPUS: &str = include_str!("../sample/corpus.jsonl");
/// `queries.jsonl`.
pub const QUERIES: &str = include_str!("../sample/queries.jsonl");
/// `qrels/test.tsv`.
pub const QRELS: &str = include_str!("../sample/qrels/test.tsv");
