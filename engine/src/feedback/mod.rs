//! Pseudo-relevance feedback over channels: which documents of a first round feed back, and what the second round
//! searches and answers with. What documents add to a query is the searcher's.

mod from;
mod options;
mod rounds;
mod shown;

pub use from::FeedbackFrom;
pub(crate) use options::FeedbackPlan;
pub use options::{FeedbackCondition, FeedbackOptions, MOST_FEEDBACK_DEPTH};
pub(crate) use shown::expanded_queries;
