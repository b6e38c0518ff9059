//! Which model to use: the one named, else the bundled one; and the index's own for questions.

use std::env;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::ValueEnum;
use quarry_encoders::{
    Device, DocumentOptions, EncoderIdentity, Hub, HubEvent, Model, QuerySide, TokenOptions,
    TokenTableQuery, workspace_of,
};
use quarry_index::{Index, QUERY_TABLE, TOKENIZER};
use quarry_vectors::{EncodeError, EncodeQuery, EncodeTokens, SparseVector};

use crate::bytes::parse_bytes;
use crate::output::note;
use crate::progress::Progress;

/// The bundled model's folder, under `models/`.
pub(crate) const BUNDLED: &str = "quarry-mini";

/// Most questions that go through a network at once.
const QUERY_SESSIONS: usize = 8;

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
    ) -> DocumentOptions {
        let device = self.device.into();
        DocumentOptions {
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

/// Fetches a model; `anew` asks the hub even when the cache has it.
pub(crate) fn fetch(name: &str, anew: bool) -> anyhow::Result<PathBuf> {
    let hub = hub()?;
    let progress = Progress::new(false);
    let arrived = std::sync::Mutex::new((0u64, 0u64));
    let show = |event: HubEvent<'_>| {
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
            }
        }
    };
    let found = if anew { hub.pull(name, &show) } else { hub.get(name, &show) };
    progress.finish();
    Ok(found?)
}

/// The folder of a model given by folder or name.
pub(crate) fn folder(given: &str) -> anyhow::Result<PathBuf> {
    let path = Path::new(given);
    if path.is_dir() {
        return Ok(path.to_owned());
    }
    if Hub::is_name(given) {
        return fetch(given, false);
    }
    bail!("{given}: no such folder; a model is a folder, or a name such as org/name")
}

/// Opens the model given, or the bundled one, checking every file against its manifest.
pub(crate) fn open(given: Option<&str>) -> anyhow::Result<Model> {
    let open = |given: &str| {
        let folder = folder(given)?;
        Model::open(&folder).with_context(|| format!("model {}", folder.display()))
    };
    let Some(given) = given else {
        let folder = bundled()?;
        return Model::open(&folder).with_context(|| format!("model {}", folder.display()));
    };
    let pair = given.strip_prefix("doc=").and_then(|rest| rest.split_once(",query="));
    match pair {
        Some((documents, questions)) => Ok(open(documents)?.with_questions(open(questions)?)?),
        None => open(given),
    }
}

/// The identity of the encoder that made an index's vectors, if one of ours did.
pub(crate) fn identity(index: &Index) -> anyhow::Result<Option<EncoderIdentity>> {
    let Some(value) = index.manifest().encoders.get("sparse") else { return Ok(None) };
    let identity = serde_json::from_value(value.clone())
        .context("the index's manifest describes an encoder that this build does not know")?;
    Ok(Some(identity))
}

/// The query encoder of an index: from the copies it keeps, or from `--model`, which must be the
/// model that encoded its documents. `device` is where a network is run: one other than the processor
/// is refused where there is none to run.
pub(crate) fn query_encoder(
    index: &Index,
    given: Option<&str>,
    device: DeviceArg,
) -> anyhow::Result<Option<Arc<dyn EncodeQuery>>> {
    let identity = identity(index)?;
    let no_network = |why: &str| {
        anyhow::anyhow!("--encode-device cuda: {why}, so that there is no network to run there")
    };
    if let Some(given) = given {
        let model = open(Some(given))?;
        if let Some(identity) = &identity {
            let found = model.identity(&DocumentOptions::default())?;
            // A question's network is all that has to be the same; where there is none, questions go
            // by copies in the index, and the model named has to be the one that they are of.
            let same = match &identity.query_graph {
                Some(graph) => found.query_graph.as_ref() == Some(graph),
                None => {
                    found.tokenizer_sha256 == identity.tokenizer_sha256
                        && found.query_table_sha256 == identity.query_table_sha256
                        && found.model_sha256 == identity.model_sha256
                        && found.query == identity.query
                }
            };
            if !same {
                bail!(
                    "the index was encoded with model `{}`, --model names `{}` with other files: questions and \
                     documents would not match",
                    identity.model_name,
                    found.model_name
                );
            }
        } else if index
            .lexicon()
            .is_some_and(|l| u64::from(l.len()) != model.vocabulary().tokens().len() as u64)
        {
            bail!("the index's lexicon is not the vocabulary of `{}`", model.manifest().name);
        }
        if device == DeviceArg::Cuda && !matches!(model.manifest().query, Some(QuerySide::Onnx(_)))
        {
            return Err(no_network("questions of this model go by a table"));
        }
        // Each session holds the network's weights; a GPU needs one.
        let most = if device == DeviceArg::Cuda { 1 } else { QUERY_SESSIONS };
        let sessions = NonZeroUsize::new(rayon::current_num_threads().min(most));
        let options =
            DocumentOptions { sessions, device: device.into(), ..DocumentOptions::default() };
        return Ok(Some(model.question_encoder(&options)?.into()));
    }
    if device == DeviceArg::Cuda {
        return Err(no_network("no --model is given"));
    }
    let Some(identity) = identity else { return Ok(None) };
    if identity.query_graph.is_some() {
        // Encoded questions can be searched with all the same.
        return Ok(Some(Arc::new(NeedsModel { name: identity.model_name })));
    }
    let copies =
        TokenTableQuery::from_copies(&identity, index.asset(TOKENIZER), index.asset(QUERY_TABLE))
            .context("the index's copies of tokenizer and query table")?;
    Ok(copies.map(|encoder| Arc::new(encoder) as Arc<dyn EncodeQuery>))
}

/// In place of a network that was not given.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "the index was encoded with model `{name}`, whose questions go through its network: give it with \
     --model {name}"
)]
struct NeedsModel {
    name: String,
}

impl EncodeQuery for NeedsModel {
    fn encode_query(&self, _: &str) -> Result<SparseVector, EncodeError> {
        Err(EncodeError(Box::new(self.clone())))
    }
}

/// Whether an index's questions go through a network.
pub(crate) fn needs_network(index: &Index) -> anyhow::Result<bool> {
    Ok(identity(index)?.is_some_and(|identity| identity.query_graph.is_some()))
}

/// Refuses a model that gives no token embeddings.
pub(crate) fn expect_tokens(given: Option<&str>) -> anyhow::Result<()> {
    let model = open(given)?;
    if model.token_model().is_none() {
        bail!(
            "model `{}` gives no token embeddings; name one that does with --token-model",
            model.manifest().name
        );
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
