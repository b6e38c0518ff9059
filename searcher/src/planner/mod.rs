//! Which method, with which parameters, a query is searched by; and how an index measures what they cost.

pub(crate) mod calibrate;
pub(crate) mod choose;
mod costs;
mod grid;
mod made;
pub(crate) mod observed;
pub(crate) mod plan;
mod topics;
