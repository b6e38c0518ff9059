//! A copy of a collection that is made otherwise: by another model, with other fields, passages or parts.
//!
//! 1. the new one is made aside, empty, and the documents of the old one, as they are stored, are put into it (`source.rs`)
//! 2. what changes in the old one meanwhile is watched, and made again in the new one, until little is left
//! 3. changes of the old one wait a moment for the last of it; then the new one gets its name, and is level

mod job;
mod source;

pub(super) use job::{Copying, copy};
