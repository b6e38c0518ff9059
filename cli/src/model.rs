//! Where and within which bounds a model is run, and where the bundled one lies.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::ValueEnum;
use quarry_encoders::{data_folder, workspace_of};
use quarry_engine::Device;

use crate::bytes::parse_bytes;

/// The bundled model's folder, under `models/`.
pub(crate) const BUNDLED: &str = "quarry-mini";

/// Where and within which bounds a model is run.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct RunOnArgs {
    /// Device for the model. `cuda` is an error if ONNX Runtime has no CUDA device
    #[arg(long, visible_alias = "encode-device", value_enum, default_value_t = DeviceArg::Cpu)]
    device: DeviceArg,
    /// Most memory for the vocabulary logits of a batch, in each session; model weights and other tensors
    /// come on top [default: 512MiB]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    encode_memory: Option<u64>,
}

/// Where a network is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum DeviceArg {
    /// The CPU.
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
    // An unpacked archive, /usr/bin/quarry with /usr/share/quarry, target/release/quarry, and what `make install`
    // puts into the user's data folder; no other folder above, where anybody may have put a model of that name.
    let beside = exe.parent();
    let shared = beside.and_then(Path::parent).map(|prefix| prefix.join("share/quarry"));
    let project = workspace_of(&exe).map(Path::to_owned);
    let roots = [beside.map(Path::to_owned), shared, project, data_folder()];
    let mut folders = roots.into_iter().flatten().map(|root| root.join("models").join(BUNDLED));
    if let Some(folder) = folders.find(|folder| folder.is_dir()) {
        return Ok(folder);
    }
    bail!(
        "the bundled model `models/{BUNDLED}` is not beside {}, nor in the user's data folder; `make install` in the \
         project's folder puts it there, or name a model folder with --model",
        exe.display()
    )
}
