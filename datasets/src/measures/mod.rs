//! Measures of effectiveness: how well a run's rankings agree with judgements.
//!
//! Values equal `trec_eval`'s, names are those of `ir_measures`. Each measure is a pure function of
//! one query's ranking and grades; [`evaluate`] applies them to all judged queries.

mod average_precision;
mod evaluate;
mod incomplete_beta;
mod judged;
mod name;
mod ndcg;
mod precision;
mod randomization_test;
mod recall;
mod reciprocal_rank;
mod success;
mod t_test;

pub use evaluate::{EvaluateOptions, Evaluation, TieOrder, evaluate};
use judged::Judged;
pub use name::Measure;
pub use randomization_test::randomization_test;
pub use t_test::{TTest, paired_t_test};

/// A count as a factor of a measure; exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts of documents are far below 2^53")]
fn number(count: usize) -> f64 {
    count as f64
}
