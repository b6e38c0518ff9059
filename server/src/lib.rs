#![doc = include_str!("../README.md")]

pub mod api;
mod engine;
mod http;

pub use engine::Engine;
#[doc(hidden)]
pub use http::search_request as parse_url;
pub use http::{ConfigError, Key, ServeError, ServerConfig, openapi, run, serve, terminated};
