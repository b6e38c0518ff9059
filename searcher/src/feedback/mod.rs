//! Pseudo-relevance feedback: documents that are taken for relevant add terms to the query that found them.
//!
//! Which documents, and what becomes of the new query, is the caller's: here one query and its documents become
//! another query. One way for each kind of query: sparse vectors
//! (`rocchio.rs`), words (`rm3.rs`), dense vectors (`vector_prf.rs`).

mod expansion;
pub(crate) mod known_words;
mod rm3;
mod rocchio;
pub(crate) mod sums;
mod vector_prf;

pub use expansion::{Expansion, MOST_FEEDBACK_TERMS};
