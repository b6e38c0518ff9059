//! What a caller hears during a pull.

/// What happens during a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullEvent<'a> {
    /// A file's transfer begins, or goes on.
    File {
        /// Its address.
        address: &'a str,
        /// Bytes that had arrived before.
        arrived: u64,
        /// Its length in bytes, where the server says it.
        bytes: Option<u64>,
    },
    /// Bytes of it arrived.
    Bytes(u64),
    /// A file is unpacked.
    Unpacking {
        /// Its name.
        file: &'a str,
    },
    /// Bytes that came out of it.
    Unpacked(u64),
}
