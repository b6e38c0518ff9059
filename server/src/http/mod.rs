//! The engine behind routes.
//!
//! 1. `serve` binds, loads, accepts and drains; `stall` ends connections that do not read
//! 2. `observe` wraps every request: id, key, log line, metrics, form of errors
//! 3. `routes` answers; `params` reads queries of URLs, `body` reads bodies
//! 4. `admission` bounds what runs and what waits; searches run on blocking threads
//! 5. `app` is what requests share; an engine is taken from it once a request

mod admission;
mod app;
mod body;
mod config;
mod metrics;
mod observe;
mod openapi;
mod params;
mod routes;
mod serve;
mod signal;
mod stall;

pub use config::{ConfigError, Key, ServerConfig};
pub use openapi::openapi;
pub use serve::{ServeError, run, serve};
pub use signal::terminated;
