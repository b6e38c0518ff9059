//! Where models may be taken from: what the environment names, for the engine, which reads none.

use std::env;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::bail;
use quarry_encoders::Model;
use quarry_engine::{Hub, HubEvent, Index, ModelSource, Models, QueryModel};
use quarry_vectors::EncodeQuery;

use crate::model::{self, DeviceArg};
use crate::output::note;
use crate::progress::Progress;
use crate::told::told;

/// The model that an option names: a folder, a name, or a pair.
pub(crate) fn source(given: Option<&str>) -> Option<ModelSource> {
    given.map(|given| given.parse().unwrap_or_else(|never| match never {}))
}

/// Where models are looked for; fetches are shown.
pub(crate) fn models() -> Models {
    Models { bundled: model::bundled().ok(), hub: hub().ok(), progress: Some(Arc::new(shown())) }
}

/// What encodes text queries: the model given, else the index's own copies.
pub(crate) fn of_queries(given: Option<&str>) -> QueryModel {
    source(given).map_or(QueryModel::Copies, QueryModel::Model)
}

/// The folder of a model given by folder or name.
pub(crate) fn folder(given: &str) -> anyhow::Result<PathBuf> {
    models().folder(given).map_err(told)
}

/// Opens the model given, or the bundled one, checking every file against its manifest.
pub(crate) fn open(given: Option<&str>) -> anyhow::Result<Model> {
    models().open(&source(given).unwrap_or_default()).map_err(told)
}

/// Fetches a model from the hub even when the cache has it.
pub(crate) fn pull(name: &str) -> anyhow::Result<PathBuf> {
    Ok(hub()?.pull(name, &shown())?)
}

/// The query encoder of an index, as the engine makes it.
pub(crate) fn query_encoder(
    index: &Index,
    given: Option<&str>,
    device: DeviceArg,
) -> anyhow::Result<Option<Arc<dyn EncodeQuery>>> {
    models().query_encoder(index, source(given).as_ref(), device.into()).map_err(told)
}

/// The hub and cache that the environment names, as Python's `huggingface_hub` reads it.
pub(crate) fn hub() -> anyhow::Result<Hub> {
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

/// A progress bar for each file, begun with the first.
fn shown() -> impl Fn(HubEvent<'_>) + Send + Sync {
    let state: Mutex<Option<(Progress, u64, u64)>> = Mutex::new(None);
    move |event: HubEvent<'_>| {
        let Ok(mut state) = state.lock() else { return };
        match event {
            HubEvent::File { name, bytes } => {
                let progress = Progress::new(false);
                progress.stage(name, 0);
                *state = Some((progress, 0, bytes));
            }
            HubEvent::Absent { name } => {
                note(format!("note: {name:?} is listed, and the hub does not have it; left out"));
            }
            HubEvent::Bytes(more) => {
                let Some((progress, arrived, total)) = state.as_mut() else { return };
                *arrived += more;
                progress.set(*arrived, Some(*total), "bytes", "");
                if arrived >= total {
                    progress.finish();
                }
            }
        }
    }
}
