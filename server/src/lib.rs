#![doc = include_str!("../README.md")]

pub mod api;
mod engine;
mod hosted;
mod http;
pub mod keys;

pub use engine::Engine;
#[doc(hidden)]
pub use engine::split_documents;
pub use hosted::Hosted;
#[doc(hidden)]
pub use http::search_request as parse_url;
pub use http::{
    BadOrigin, ConfigError, Key, Leader, Reload, ServeError, ServerConfig, TlsError, TlsFiles,
    openapi, run, serve, terminated,
};
