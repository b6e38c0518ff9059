#![doc = include_str!("../README.md")]

pub mod api;
mod engine;
mod hosted;
mod http;

pub use engine::Engine;
pub use hosted::Hosted;
#[doc(hidden)]
pub use http::search_request as parse_url;
pub use http::{
    ConfigError, Key, Reload, ServeError, ServerConfig, openapi, run, serve, terminated,
};
