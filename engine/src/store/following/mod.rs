//! A store whose collections are those of another one, its leader: generation by generation, as they are sealed there.
//!
//! 1. the leader says what its sealed generation is (`given.rs`); its files never change, so that a follower fetches those
//!    that it lacks, under their names  2. a generation is fetched aside, each file compared with its checksum, and then moved
//!    in, the pointer to it last (`taken.rs`): after a crash there is the generation of before, or the new one
//! 3. which collections were taken from where is kept in `.quarry/follows.json` (`mark.rs`): only these are replaced or
//!    removed
//!
//! How files come is the caller's business.

mod given;
mod mark;
mod taken;

pub(super) use given::place;
pub use given::{Given, GivenFile};
pub(super) use mark::Followed;
pub(super) use taken::{Fetch, fill, take_in};
