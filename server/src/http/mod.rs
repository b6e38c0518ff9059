//! The HTTP server around the engine.
//!
//! 1. `serve` binds, loads, accepts and drains; `connections` limits open connections, using the state that
//!    `work` tracks for each; `stall` ends connections whose clients do not read; `tls` has the certificate
//! 2. `observe` wraps every request: id, log line, metrics, error bodies; `access` says who asks, and what they may
//!    `layers` stand around that: other origins, compressed bodies
//! 3. `router` maps paths to handlers in `routes`, in `writing` and `copying` those that change something, in `many` those about many
//!    documents, in `exporting` that of all, in `tasks` those of long work,
//!    in `snapshots` and `restoring` those of snapshots, in `keying` those of keys, and in `aliases`
//!    those of aliases, which are resolved before a path is routed; `params` parses URL
//!    queries, `body` reads bodies, `answer` limits what is written; `streams` has bodies that may be
//!    long
//!    `slow` notes searches that take long
//! 4. `admission` limits running and waiting searches, `writes` does so for writes, both by measured times (`pace`); they
//!    run on blocking threads
//! 5. `app` is the state that requests share; each request takes the engine from it once; `watch` opens newer
//!    generations; `following` those of a `leader`, which `giving` gives out

mod access;
mod admission;
mod aliases;
mod answer;
mod app;
mod body;
mod conditions;
mod config;
mod connections;
mod copying;
mod document;
mod error;
mod errors;
mod exporting;
mod exports;
mod following;
mod given_out;
mod giving;
mod keying;
mod layers;
mod leader;
mod many;
mod metrics;
mod observe;
mod openapi;
mod pace;
mod params;
mod patching;
mod reload;
mod restoring;
mod router;
mod routes;
mod serve;
mod signal;
mod slow;
mod snapshots;
mod stall;
mod store_metrics;
mod streams;
mod tasks;
mod tls;
mod url_search;
mod watch;
mod work;
mod writes;
mod writing;

pub use config::{ConfigError, Key, ServerConfig};
pub use error::ServeError;
pub use layers::BadOrigin;
pub use leader::Leader;
pub use openapi::openapi;
pub use params::search_request;
pub use reload::Reload;
pub use serve::{run, serve};
pub use signal::terminated;
pub use tls::{TlsError, TlsFiles};
