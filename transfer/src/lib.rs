#![doc = include_str!("../README.md")]

mod address;
mod client;
mod download;
mod error;

pub use address::{Origin, encode_segment, origin, resolve};
pub use client::Client;
pub use download::{ContentRange, Download, DownloadEvent, content_length, content_range};
pub use error::{ErrorKind, TransferError};

// Part of the types above.
pub use ureq::Body;
pub use ureq::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};
