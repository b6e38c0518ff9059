//! Keys of clients: what each may do, and the file that they live in.
//!
//! 1. `record`: a key as the file has it: the hash of the key, never the key, with scopes, collections (`pattern`), a
//!    filter, an end and a rate
//! 2. `file`: reads the file; changes it under a lock, written aside and renamed
//! 3. `ring`: the keys of a running server: finds the key that was sent, in constant time, counts its rate, and follows
//!    changes of the file

mod file;
mod pattern;
mod record;
mod ring;

pub use file::{KeyFile, KeyFileError};
pub use record::{KeyRecord, KeyRequest, NewKey, Scope, parse_time, time_text};
pub(crate) use ring::{HeldKey, KeyRing, Refusal};
