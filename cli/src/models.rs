//! Where models may be taken from: what the environment names, for the engine, which reads none.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use quarry_encoders::Model;
use quarry_engine::{HubEvent, Index, ModelSource, Models, QueryModel};
use quarry_vectors::EncodeQuery;

use crate::hub::hub;
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
