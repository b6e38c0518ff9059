//! `quarry model make [FOLDER] --from CHECKPOINT`

use std::path::PathBuf;

use clap::Subcommand;

use crate::model;
use crate::output::line;

/// Model folders
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Make(MakeArgs),
}

/// Make a model folder's graph of token embeddings of the published checkpoint that it names
///
/// Every file is checked by its checksum, the one that is made too. What is there already is checked
/// and kept. `make build` does this for the bundled model.
#[derive(Debug, clap::Args)]
struct MakeArgs {
    /// The model folder [default: the bundled one]
    folder: Option<PathBuf>,
    /// Folder of the checkpoint: config.json and model.safetensors
    #[arg(long, value_name = "CHECKPOINT")]
    from: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let What::Make(args) = &args.what;
    let folder = model::folder(args.folder.as_deref())?;
    let made = quarry_encoders::make_token_graph(&folder, args.from.as_deref())?;
    line(format!("{}: there and checked", made.display()))?;
    Ok(())
}
