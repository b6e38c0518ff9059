//! Which model to use: the one named, else the bundled one beside the program; and what the command line says
//! where the engine refuses one.

use std::env;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use anyhow::{Context, bail};
use clap::ValueEnum;
use quarry_encoders::{Model, TokenOptions, workspace_of};
use quarry_engine::{
    Device, EngineError, Hub, HubEvent, Index, MadeBy, ModelSource, Models, QueryModel,
};
use quarry_index::features::TokensKept;
use quarry_vectors::{EncodeQuery, EncodeTokens};

use crate::bytes::parse_bytes;
use crate::output::note;
use crate::progress::Progress;

/// The bundled model's folder, under `models/`.
pub(crate) const BUNDLED: &str = "quarry-mini";

/// Where and within which bounds a model is run.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct RunOnArgs {
    /// Where the model is run; cuda is refused where ONNX Runtime has none
    #[arg(long, visible_alias = "encode-device", value_enum, default_value_t = DeviceArg::Cpu)]
    device: DeviceArg,
    /// Bytes that a batch's products with the vocabulary may take in each session; weights and the
    /// layers' own tensors come on top [default: 512MiB]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    encode_memory: Option<u64>,
}

/// Where a network is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum DeviceArg {
    /// The processor.
    #[default]
    Cpu,
    /// The first CUDA device.
    Cuda,
}

impl From<DeviceArg> for Device {
    fn from(arg: DeviceArg) -> Self {
        match arg {
            DeviceArg::Cpu => Self::Cpu,
            DeviceArg::Cuda => Self::Cuda,
        }
    }
}

impl RunOnArgs {
    /// Whether anything but the default was given.
    pub(crate) fn is_given(&self) -> bool {
        self.device != DeviceArg::Cpu || self.encode_memory.is_some()
    }

    /// What of it may change a vector's last digits.
    pub(crate) fn description(&self) -> serde_json::Value {
        serde_json::json!([format!("{:?}", self.device), self.encode_memory])
    }

    /// The options of an encoder.
    pub(crate) fn options(
        &self,
        sessions: Option<NonZeroUsize>,
        max_tokens: Option<u32>,
        top_k: Option<u32>,
    ) -> quarry_encoders::DocumentOptions {
        let device = self.device.into();
        quarry_encoders::DocumentOptions {
            sessions,
            max_tokens,
            top_k,
            device,
            output_memory: self.encode_memory,
            provenance: false,
            pool_outside: false,
        }
    }
}

/// The bundled model's folder.
pub(crate) fn bundled() -> anyhow::Result<PathBuf> {
    let exe = std::env::current_exe().context("where this program lies is unknown")?;
    let exe = exe.canonicalize().unwrap_or(exe);
    // An unpacked archive, /usr/bin/quarry with /usr/share/quarry, and target/release/quarry; no other
    // folder above, where anybody may have put a model of that name.
    let beside = exe.parent();
    let shared = beside.and_then(Path::parent).map(|prefix| prefix.join("share/quarry"));
    let project = workspace_of(&exe).map(Path::to_owned);
    let roots = [beside.map(Path::to_owned), shared, project];
    let mut folders = roots.into_iter().flatten().map(|root| root.join("models").join(BUNDLED));
    if let Some(folder) = folders.find(|folder| folder.is_dir()) {
        return Ok(folder);
    }
    bail!(
        "the bundled model `models/{BUNDLED}` is not beside {}; name a model folder with --model",
        exe.display()
    )
}

/// The hub and cache that the environment names, as Python's `huggingface_hub` reads it.
fn hub() -> anyhow::Result<Hub> {
    let set = |name: &str| env::var(name).ok().filter(|v| !v.is_empty());
    let home = match (set("HF_HOME"), set("XDG_CACHE_HOME"), set("HOME")) {
        (Some(home), _, _) => PathBuf::from(home),
        (None, Some(cache), _) => PathBuf::from(cache).join("huggingface"),
        (None, None, Some(home)) => PathBuf::from(home).join(".cache/huggingface"),
        (None, None, None) => bail!("HOME is not set, so there is no cache; set HF_HOME"),
    };
    let token = set("HF_TOKEN").or_else(|| {
        let kept = std::fs::read_to_string(home.join("token")).ok()?;
        Some(kept.trim().to_owned()).filter(|t| !t.is_empty())
    });
    let yes = |v: String| matches!(v.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on");
    Ok(Hub {
        endpoint: set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned()),
        cache: set("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from),
        token,
        offline: set("HF_HUB_OFFLINE").is_some_and(yes),
    })
}

/// Where models come from: beside this program, and the hub that the environment names.
pub(crate) fn models() -> Models {
    Models { bundled: bundled().ok(), hub: hub().ok(), progress: Some(Arc::new(shown())) }
}

/// Shows what is fetched from a hub.
fn shown() -> impl Fn(HubEvent<'_>) + Send + Sync {
    let progress = OnceLock::new();
    let arrived = Mutex::new((0u64, 0u64));
    move |event: HubEvent<'_>| {
        let progress: &Progress = progress.get_or_init(|| Progress::new(false));
        let Ok(mut arrived) = arrived.lock() else { return };
        match event {
            HubEvent::File { name, bytes } => {
                progress.stage(name, 0);
                *arrived = (0, bytes);
            }
            HubEvent::Absent { name } => {
                note(format!("note: {name:?} is listed, and the hub does not have it; left out"));
            }
            HubEvent::Bytes(more) => {
                arrived.0 += more;
                progress.set(arrived.0, Some(arrived.1), "bytes", "");
                if arrived.0 >= arrived.1 {
                    progress.finish();
                }
            }
        }
    }
}

/// Fetches a model from the hub even when the cache has it.
pub(crate) fn pull(name: &str) -> anyhow::Result<PathBuf> {
    Ok(hub()?.pull(name, &shown())?)
}

/// The model that was given by folder or name, else the bundled one.
pub(crate) fn source(given: Option<&str>) -> ModelSource {
    given.map_or(ModelSource::Bundled, |given| match given.parse() {
        Ok(source) => source,
        Err(never) => match never {},
    })
}

/// What encodes text queries: the model given, else the index's own copies.
pub(crate) fn of_queries(given: Option<&str>) -> QueryModel {
    given.map_or(QueryModel::Copies, |_| QueryModel::Model(source(given)))
}

/// The folder of a model given by folder or name.
pub(crate) fn folder(given: &str) -> anyhow::Result<PathBuf> {
    models().folder(given).map_err(told)
}

/// Opens the model given, or the bundled one, checking every file against its manifest.
pub(crate) fn open(given: Option<&str>) -> anyhow::Result<Model> {
    models().open(&source(given)).map_err(told)
}

/// The query encoder of an index, as the engine makes it.
pub(crate) fn query_encoder(
    index: &Index,
    given: Option<&str>,
    device: DeviceArg,
) -> anyhow::Result<Option<Arc<dyn EncodeQuery>>> {
    let source = given.map(|_| source(given));
    models().query_encoder(index, source.as_ref(), device.into()).map_err(told)
}

/// The token encoder for documents that are added to an index with embeddings, and its identity.
pub(crate) fn document_encoder(
    kept: &TokensKept,
    given: Option<&str>,
) -> anyhow::Result<(Arc<dyn EncodeTokens>, serde_json::Value)> {
    let made = models().token_encoder(Some(kept), &source(given), None);
    let MadeBy { encoder, identity } = made.map_err(told)?;
    Ok((encoder, identity))
}

/// Refuses a model that gives no token embeddings.
pub(crate) fn expect_tokens(given: Option<&str>) -> anyhow::Result<()> {
    let model = open(given)?;
    if model.token_model().is_none() {
        let model = model.manifest().name.clone();
        return Err(told(EngineError::NoTokenModel { model, made_by: None }));
    }
    Ok(())
}

/// The token encoder of the model folder given, or of the bundled one, and its identity, which goes
/// into the index.
pub(crate) fn token_encoder(
    given: Option<&str>,
    options: &TokenOptions,
) -> anyhow::Result<(Arc<dyn EncodeTokens>, serde_json::Value)> {
    let model = open(given)?;
    let encoder = model.token_encoder(options)?;
    let identity = model.token_model().map(|tokens| tokens.identity(options));
    Ok((Arc::new(encoder), serde_json::to_value(identity)?))
}

/// An error of the engine, with the option that helps.
pub(crate) fn told(error: EngineError) -> anyhow::Error {
    match &error {
        EngineError::NoBundledModel => bundled().err().unwrap_or_else(|| error.into()),
        EngineError::NoHub { .. } => hub().err().unwrap_or_else(|| error.into()),
        _ => match advice(&error) {
            Some(text) => anyhow::Error::from(error).context(text),
            None => error.into(),
        },
    }
}

/// What an error says on the command line, where options help: its own words and theirs.
pub(crate) fn advice(error: &EngineError) -> Option<String> {
    let more = match error {
        EngineError::OtherModel(mismatch) => {
            format!("give that model with --model {}", mismatch.indexed)
        }
        EngineError::NeedsModel { model } => format!("give it with --model {model}"),
        EngineError::NoTokenModel { made_by: None, .. } => {
            "name one that does with --token-model".to_owned()
        }
        EngineError::NoTokenModel { made_by: Some(made_by), .. } => format!(
            "those of this index were made by `{made_by}`: give it with --token-model {made_by}"
        ),
        EngineError::OtherTokenModel { .. } => "name the model with --token-model".to_owned(),
        EngineError::NoNetwork { why } => {
            return Some(format!(
                "--encode-device cuda: {why}, so that there is no network to run there"
            ));
        }
        _ => return None,
    };
    Some(format!("{error}; {more}"))
}
