//! The Common Index File Format (Lin et al., 2020, arXiv:2003.08276): an inverted index as protocol
//! buffers, each message after its length as a varint.
//!
//! ```text
//! Header, then num_postings_lists times PostingsList, then num_docs times DocRecord
//! ```
//!
//! Docids are gaps to the docid before; the first posting's is the docid itself. Frequencies are
//! whole numbers: learned weights stand there as impacts.

use prost::Message;

/// Version of the format that is read and written.
pub(crate) const VERSION: i32 = 1;
/// A header beyond this length is none: it holds seven numbers and a description.
const LONGEST_HEADER: usize = 1 << 15;

/// What the file holds.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Header {
    #[prost(int32, tag = "1")]
    pub(crate) version: i32,
    #[prost(int32, tag = "2")]
    pub(crate) num_postings_lists: i32,
    #[prost(int32, tag = "3")]
    pub(crate) num_docs: i32,
    #[prost(int32, tag = "4")]
    pub(crate) total_postings_lists: i32,
    #[prost(int32, tag = "5")]
    pub(crate) total_docs: i32,
    #[prost(int64, tag = "6")]
    pub(crate) total_terms_in_collection: i64,
    #[prost(double, tag = "7")]
    pub(crate) average_doclength: f64,
    #[prost(string, tag = "8")]
    pub(crate) description: String,
}

/// A document of a list: the gap to the one before, and the term's frequency or impact.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Posting {
    #[prost(int32, tag = "1")]
    pub(crate) docid: i32,
    #[prost(int32, tag = "2")]
    pub(crate) tf: i32,
}

/// The documents of a term.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct PostingsList {
    #[prost(string, tag = "1")]
    pub(crate) term: String,
    #[prost(int64, tag = "2")]
    pub(crate) df: i64,
    #[prost(int64, tag = "3")]
    pub(crate) cf: i64,
    #[prost(message, repeated, tag = "4")]
    pub(crate) postings: Vec<Posting>,
}

/// A document's own id and its length.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct DocRecord {
    #[prost(int32, tag = "1")]
    pub(crate) docid: i32,
    #[prost(string, tag = "2")]
    pub(crate) collection_docid: String,
    #[prost(int32, tag = "3")]
    pub(crate) doclength: i32,
}

/// Whether a file that begins so is CIFF: a length and a header that decodes whole, with its version
/// first and the counts of one.
pub(crate) fn begins(head: &[u8]) -> bool {
    let mut rest = head;
    let Ok(length) = prost::decode_length_delimiter(&mut rest) else { return false };
    if length > LONGEST_HEADER || rest.first() != Some(&0x08) {
        return false;
    }
    rest.get(..length).and_then(|bytes| Header::decode(bytes).ok()).is_some_and(|header| {
        header.version == VERSION && header.num_postings_lists >= 0 && header.num_docs >= 0
    })
}
