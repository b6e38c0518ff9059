//! Measures of effectiveness: how well a run's rankings agree with judgements.
//!
//! Values equal `trec_eval`'s, names are those of `ir_measures`. Each measure is a pure function of
//! one query's ranking and grades; [`evaluate`] applies them to all judged queries.

mod average_precision;
mod count;
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
pub use name::Measure;
pub use randomization_test::randomization_test;
pub use t_test::{TTest, paired_t_test};
