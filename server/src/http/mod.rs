//! The engine behind routes.
//!
//! 1. `serve` binds, loads, accepts and drains; `connections` bounds what is open, by what `work` says
//!    of each; `stall` ends connections that do not read
//! 2. `observe` wraps every request: id, key, log line, metrics, form of errors
//! 3. `router` finds the route; `routes` answers; `params` reads queries of URLs, `body` reads bodies, `answer` bounds what is
//!    written
//! 4. `admission` bounds what runs and what waits; searches run on blocking threads
//! 5. `app` is what requests share; an engine is taken from it once a request

mod admission;
mod answer;
mod app;
mod body;
mod config;
mod connections;
mod errors;
mod metrics;
mod observe;
mod openapi;
mod params;
mod router;
mod routes;
mod serve;
mod signal;
mod stall;
mod work;

pub use config::{ConfigError, Key, ServerConfig};
pub use openapi::openapi;
pub use params::search_request;
pub use serve::{ServeError, run, serve};
pub use signal::terminated;
