//! The HTTP server around the engine.
//!
//! 1. `serve` binds, loads, accepts and drains; `connections` limits open connections, using the state that
//!    `work` tracks for each; `stall` ends connections whose clients do not read
//! 2. `observe` wraps every request: id, key, log line, metrics, error bodies
//! 3. `router` maps paths to handlers in `routes`, and in `writing` those that change something; `params` parses URL
//!    queries, `body` reads bodies, `answer` limits what is written
//! 4. `admission` limits running and waiting searches, `writes` does so for writes; they run on blocking threads
//! 5. `app` is the state that requests share; each request takes the engine from it once; `watch` opens newer
//!    generations

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
mod reload;
mod router;
mod routes;
mod serve;
mod signal;
mod stall;
mod watch;
mod work;
mod writes;
mod writing;

pub use config::{ConfigError, Key, ServerConfig};
pub use openapi::openapi;
pub use params::search_request;
pub use reload::Reload;
pub use serve::{ServeError, run, serve};
pub use signal::terminated;
