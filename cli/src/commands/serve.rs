//! `quarry serve DIR`, `quarry serve --data DIR`

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use quarry_engine::store::{Store, StoreError, StoreLimits, StoreOptions};
use quarry_engine::{Collection, DenseModel, OpenOptions, TokenModel, TokensOptions, Verify};
use quarry_server::keys::KeyFile;
use quarry_server::{Engine, Key, Leader, ServerConfig, TlsFiles};

use crate::bytes::parse_bytes;
use crate::exit::Usage;
use crate::output::{line, note};
use crate::{dense, model, models, rerank};

/// Serve an index over HTTP, or a folder of collections that can be written to
///
/// `quarry serve DIR` only reads: generations that other commands commit, such as `quarry add`, are opened within a
/// second, and at SIGHUP at once. With `--data` collections are made, changed and removed by requests, and this server
/// is the only writer.
///
/// Prints the address on standard output once it is bound. GET /readyz answers 200 once the index is loaded;
/// GET /openapi.json describes the routes. On SIGTERM, running searches have 10 seconds to finish. If all
/// connections are taken, the one that has been idle longest is closed for a new one; if none is idle, GET /livez and
/// /readyz are still answered, and other requests with 429.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File of options in TOML, such as `listen = "0.0.0.0:7878"`. The environment goes before it (QUARRY_SERVE_LISTEN),
    /// and options before both
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How the log is written
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Log searches that take at least this many milliseconds, with their query, and list them at GET /v1/slow
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=600_000))]
    slow_ms: Option<u64>,
    /// Folder of the index
    #[arg(conflicts_with = "data")]
    dir: Option<PathBuf>,
    /// Folder of collections, made if it is not there. Each index folder in it is served under its name
    #[arg(long, value_name = "DIR", conflicts_with_all = ["name", "model", "token_model", "dense_model", "encode_device"])]
    data: Option<PathBuf>,
    /// Follow the server at this address, such as http://10.0.0.1:7878: its collections are fetched into --data as they are
    /// sealed there, within seconds, and served; writes are refused
    #[arg(long, value_name = "URL", requires = "data")]
    follow: Option<String>,
    /// Key with the scope `admin` that the followed server wants; better given as QUARRY_SERVE_FOLLOW_KEY, where others do not
    /// see it
    #[arg(long, value_name = "KEY", requires = "follow")]
    follow_key: Option<String>,
    /// Name of the collection in routes [default: that of the folder]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Most writes that run or wait; further ones are answered with 429 [default: 64]
    #[arg(long, value_name = "N", conflicts_with = "dir")]
    writes: Option<NonZeroUsize>,
    /// Largest body with documents, such as 64MiB; all that are held may have four times as much together [default:
    /// 16MiB]
    #[arg(long, value_name = "BYTES", conflicts_with = "dir", value_parser = parse_bytes)]
    write_bytes: Option<u64>,
    /// Largest document in such a body; larger ones are rejected, each by its line [default: 1MiB]
    #[arg(long, value_name = "BYTES", conflicts_with = "dir", value_parser = parse_bytes)]
    document_bytes: Option<u64>,
    /// Most bytes of texts that wait to be encoded, such as 64MiB; further ones are answered with 429, and larger ones
    /// wait alone [default: 16MiB]
    #[arg(long, value_name = "BYTES", conflicts_with = "dir", value_parser = parse_bytes)]
    encode_bytes: Option<u64>,
    /// Free bytes of the disk below which no documents are taken, such as 10GiB; 0 for none [default: 1GiB, or a twentieth
    /// of the disk if that is less]
    #[arg(long, value_name = "BYTES", conflicts_with = "dir", value_parser = parse_bytes)]
    min_free_disk: Option<u64>,
    /// Free bytes of memory below which no documents are taken, such as 1GiB; 0 for none [default: 128MiB, or a fiftieth of
    /// the memory if that is less]
    #[arg(long, value_name = "BYTES", conflicts_with = "dir", value_parser = parse_bytes)]
    min_free_memory: Option<u64>,
    /// Address to listen on; port 0 stands for any free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7878")]
    listen: SocketAddr,
    /// Key that clients must send, as `Authorization: Bearer KEY` or `X-API-Key: KEY`
    #[arg(long, value_name = "KEY", env = "QUARRY_KEY", hide_env_values = true)]
    key: Option<String>,
    /// File of further keys, each with what it may do (`quarry key`); it is followed as it changes
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Certificate for TLS, in PEM, with those that lead to its issuer; read again at SIGHUP
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Origins whose pages may ask, such as `https://docs.example`; several are separated by commas. `*` lets all
    /// [default: none]
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',')]
    cors_origin: Vec<String>,
    /// Allow requests from other machines without a key
    #[arg(long, conflicts_with_all = ["key", "keys"])]
    no_auth: bool,
    /// Most searches that wait; further ones are answered with 429 [default: 1024]
    #[arg(long, value_name = "N")]
    queue: Option<usize>,
    /// Longest time in milliseconds that a search waits to begin; then it is answered with 429. Its own time limit holds
    /// as well
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    queue_ms: u64,
    /// Most searches that run at the same time [default: the number of cores]
    #[arg(long, value_name = "N")]
    in_flight: Option<NonZeroUsize>,
    /// Most open connections
    #[arg(long, value_name = "N", default_value = "512")]
    connections: NonZeroUsize,
    /// Longest time for the headers of a request to arrive, and for a connection to be idle
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    head_timeout: u64,
    /// Longest time for the body of a request to arrive
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    body_timeout: u64,
    /// Longest time from the headers of a request to the last byte of the answer; then the connection is closed
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    request_timeout: u64,
    /// Largest answer, such as 64MiB; a search with a larger one is answered with 422. All answers being sent
    /// may take eight times as much together
    #[arg(long, value_name = "BYTES", default_value = "32MiB", value_parser = parse_bytes)]
    answer_bytes: u64,
    /// Model of the queries: a folder, or a name such as org/name. Needed if queries go through a network
    /// [default: the copy in the index]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Model of the queries' token embeddings: a folder, or a name such as org/name [default: --model, else
    /// the bundled model]
    #[arg(long, value_name = "MODEL")]
    token_model: Option<String>,
    /// Model of the queries' dense vectors: a folder, or a name such as org/name [default: the index's, else the
    /// bundled model]
    #[arg(long, value_name = "MODEL")]
    dense_model: Option<String>,
    /// Device for the query encoder. `cuda` is an error without a CUDA device, and for an index whose queries
    /// need no network
    #[arg(long, value_enum, default_value_t = model::DeviceArg::Cpu)]
    encode_device: model::DeviceArg,
    /// Open the index without comparing checksums
    #[arg(long)]
    no_verify: bool,
    /// Copy vectors and lists into memory before the first search, on huge pages if the system has them
    #[arg(long)]
    preload: bool,
    /// Device that scores token embeddings
    #[arg(long, value_enum, default_value_t = rerank::Device::Auto)]
    device: rerank::Device,
    /// Most GPU memory for token embeddings, such as 2GiB; the CPU scores documents that do not fit
    /// [default: the free memory less a reserve]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    device_memory: Option<u64>,
}

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// Lines for people
    Text,
    /// A JSON object a line
    Json,
}

impl Args {
    /// Whether the log is JSON.
    pub(crate) fn logs_json(&self) -> bool {
        self.log_format == LogFormat::Json
    }

    /// The server that is followed.
    fn leader(&self) -> Result<Option<Leader>, Usage> {
        let leader = self.follow.as_ref().map(|url| Leader::new(url, self.follow_key.as_deref()));
        leader.transpose().map_err(|what| Usage(format!("--follow: {what}")))
    }

    /// The files of the certificate.
    fn tls(&self) -> Option<TlsFiles> {
        let (certificate, key) = self.tls_cert.clone().zip(self.tls_key.clone())?;
        Some(TlsFiles { certificate, key })
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    rerank::check_memory(args.device, args.device_memory, false)?;
    let (mut config, routes) = match &args.dir {
        Some(dir) => {
            // What is not there, or cannot be read, is said before anything is bound; that the address is open
            // to others is the server's to refuse, and comes first.
            if args.listen.ip().is_loopback()
                || args.no_auth
                || args.key.is_some()
                || args.keys.is_some()
            {
                quarry_index::folder::read_current(dir)?;
            }
            let name = match &args.name {
                Some(name) => name.clone(),
                None => folder_name(dir)?,
            };
            let routes = format!("/v1/collections/{name}");
            (ServerConfig::new(args.listen, name), routes)
        }
        None if args.data.is_none() => return Err(Usage(NEITHER.to_owned()).into()),
        None => (ServerConfig::of_folder(args.listen), "/v1/collections".to_owned()),
    };
    config.key = args.key.as_ref().map(Key::new);
    config.keys = args.keys.as_ref().map(KeyFile::new);
    config.tls = args.tls();
    config.follow = args.leader()?;
    config.cors_origins.clone_from(&args.cors_origin);
    config.slow = args.slow_ms.map(Duration::from_millis);
    config.no_auth = args.no_auth;
    config.queue = args.queue.unwrap_or(config.queue);
    config.queue_time = Duration::from_millis(args.queue_ms);
    config.in_flight = args.in_flight.unwrap_or(config.in_flight);
    config.connections = args.connections;
    config.head_timeout = Duration::from_secs(args.head_timeout);
    config.body_timeout = Duration::from_secs(args.body_timeout);
    config.request_timeout = Duration::from_secs(args.request_timeout);
    config.answer_bytes = positive("--answer-bytes", args.answer_bytes)?;
    config.writes = args.writes.unwrap_or(config.writes);
    if let Some(bytes) = args.write_bytes {
        config.write_bytes = positive("--write-bytes", bytes)?;
    }
    if let Some(bytes) = args.document_bytes {
        config.document_bytes = positive("--document-bytes", bytes)?;
    }
    let mut limits = StoreLimits {
        min_free_disk: args.min_free_disk,
        min_free_memory: args.min_free_memory,
        ..StoreLimits::default()
    };
    if let Some(bytes) = args.encode_bytes {
        limits.encode_bytes = positive("--encode-bytes", bytes)?.get();
    }
    let options = open_options(args);
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let bound = |address: SocketAddr| {
        // Whoever started us with port 0 reads the address here; nobody need listen, though.
        let _ = line(format!("{scheme}://{address}{routes}"));
    };
    let ended = match (args.dir.clone(), args.data.clone()) {
        (None, Some(data)) => {
            // Said before an address is.
            Store::expect_unheld(&data).context("serving")?;
            let leader = args.follow.clone();
            let load = move |address: SocketAddr| -> Result<Store, StoreError> {
                let address = format!("{scheme}://{address}");
                let options = StoreOptions { address, open: options };
                let store = Store::with_limits(&data, options, &limits)?;
                match leader {
                    Some(leader) => store.follow(&leader)?,
                    None => store.follow_none()?,
                }
                Ok(store)
            };
            quarry_server::run(config, load, bound)
        }
        (Some(dir), _) => quarry_server::run(config, move |_| one(&dir, &options), bound),
        (None, None) => {
            return Err(Usage(NEITHER.to_owned()).into());
        }
    };
    ended.context("serving")
}

/// Nothing to serve.
const NEITHER: &str = "nothing to serve: give the folder of an index, which is read only, or --data DIR, a folder of \
                       collections that are written to over HTTP";

fn positive(option: &str, bytes: u64) -> Result<NonZeroUsize, Usage> {
    let number = usize::try_from(bytes).ok().and_then(NonZeroUsize::new);
    number.ok_or_else(|| Usage(format!("{option}: a number above 0 was expected")))
}

/// Opens an index; says what its queries cannot have.
fn one(dir: &Path, options: &OpenOptions) -> anyhow::Result<Engine> {
    let collection = Collection::open(dir, options).map_err(rerank::told)?;
    let snapshot = collection.snapshot();
    if snapshot.needs().is_some() {
        note(
            "note: queries of this index go through a network: without --model, only encoded ones are answered",
        );
    }
    // A model that the index names is opened for the first text: better now than in somebody's query.
    if let Some(encoder) = snapshot.encoder()
        && let Err(error) = encoder.encode_query("ready")
    {
        note(format!("note: queries given as text fail: {error}"));
    }
    if snapshot.second_stage().is_some() {
        rerank::tell_lacking(snapshot.index());
    }
    if let Some(error) = snapshot.tokens_lack() {
        let error = rerank::advice(error).unwrap_or_else(|| error.to_string());
        note(format!(
            "note: requests that rerank must bring their query's token embeddings ({error})"
        ));
    }
    dense::tell_lacking(snapshot.index());
    if let Some(error) = snapshot.dense_lacks() {
        let error = rerank::advice(error).unwrap_or_else(|| error.to_string());
        note(format!(
            "note: requests to the channel dense must bring their query's dense vector ({error})"
        ));
    }
    Ok(Engine::new(collection))
}

fn open_options(args: &Args) -> OpenOptions {
    let model = args.model.as_deref();
    let source = models::source(args.token_model.as_deref().or(model));
    let mut tokens = TokensOptions::new(TokenModel::Model(source.unwrap_or_default()));
    tokens.optional = true;
    tokens.device = args.device.into();
    tokens.device_memory = rerank::bytes(args.device_memory);
    let mut options = OpenOptions::default().with_tokens(tokens);
    options.verify = if args.no_verify { Verify::Envelope } else { Verify::Full };
    let source = models::source(args.dense_model.as_deref());
    options.dense = DenseModel::IfItFits(source.unwrap_or_default());
    options.preload = args.preload;
    options.models = models::models();
    options.queries = models::of_queries(model);
    options.encode_device = args.encode_device.into();
    options.observe = true;
    options
}

fn folder_name(dir: &std::path::Path) -> anyhow::Result<String> {
    let whole = dir.canonicalize().with_context(|| dir.display().to_string())?;
    let name = whole.file_name().and_then(|n| n.to_str()).unwrap_or("index");
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    Ok(name.chars().map(plain).collect())
}
