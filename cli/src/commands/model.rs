//! `quarry model`: what a model folder is recognised as, and models by name.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};
use quarry_encoders::{
    DocumentSide, Family, MANIFEST_FILE, Model, ModelManifest, OnnxDocuments, Pooling, QuerySide,
};

use crate::model;
use crate::output::line;

/// Show what a model is recognised as, or fetch one by name
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show how a model would encode: its family, files and parameters
    ///
    /// A folder without a quarry-model.json is recognised by its files. What is printed with --json
    /// can be corrected and saved as quarry-model.json in the folder, which then takes its place.
    Show {
        /// A folder, or a name as org/name
        model: String,
        /// Take it for this family
        #[arg(long, value_parser = family)]
        family: Option<Family>,
        /// Print the manifest as JSON
        #[arg(long)]
        json: bool,
        /// Write the manifest into the folder, where it then holds
        #[arg(long)]
        write: bool,
    },
    /// Fetch a model into the Hugging Face cache
    ///
    /// HF_ENDPOINT names another hub, HF_HOME or HF_HUB_CACHE another cache, HF_TOKEN a token;
    /// HF_HUB_OFFLINE=1 forbids fetching. Every file is compared with its checksum.
    Pull {
        /// Its name, as org/name
        name: String,
    },
    /// Make a model folder's graph of token embeddings of the published checkpoint that it names
    ///
    /// Every file is checked by its checksum, the one that is made too. What is there already is
    /// checked and kept. `make build` does this for the bundled model.
    Make {
        /// The model folder [default: the bundled one]
        folder: Option<PathBuf>,
        /// Folder of the checkpoint: config.json and model.safetensors
        #[arg(long, value_name = "CHECKPOINT")]
        from: Option<PathBuf>,
    },
}

fn family(text: &str) -> Result<Family, String> {
    let known = || Family::NAMED.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let found = Family::NAMED.iter().find(|(name, _)| *name == text);
    found.map(|(_, family)| *family).ok_or_else(|| format!("known families: {}", known()))
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.action {
        Action::Show { model, family, json, write } => show(model, *family, *json, *write),
        Action::Pull { name } => {
            let folder = model::fetch(name, true)?;
            Ok(line(folder.display().to_string())?)
        }
        Action::Make { folder, from } => {
            let folder = folder.clone().map_or_else(model::bundled, Ok)?;
            let made = quarry_encoders::make_token_graph(&folder, from.as_deref())?;
            Ok(line(format!("{}: there and checked", made.display()))?)
        }
    }
}

fn show(given: &str, family: Option<Family>, json: bool, write: bool) -> anyhow::Result<()> {
    let folder = model::folder(given)?;
    let manifest = Model::manifest_of(&folder, family)
        .with_context(|| format!("model {}", folder.display()))?;
    // Tokenizer and table belong together, or this fails.
    let model = Model::with_manifest(&folder, manifest)?;
    if matches!(model.manifest().query, QuerySide::TokenTable(_) | QuerySide::Binary(_)) {
        model.query_encoder()?;
    }
    let manifest = model.manifest();
    if write {
        let path = folder.join(MANIFEST_FILE);
        if path.exists() {
            bail!("{}: is there already; remove it first", path.display());
        }
        fs::write(&path, serde_json::to_string_pretty(manifest)? + "\n")
            .with_context(|| path.display().to_string())?;
    }
    if json {
        return crate::output::json(manifest);
    }
    print(manifest)
}

fn print(manifest: &ModelManifest) -> anyhow::Result<()> {
    line(format!("name        {}", manifest.name))?;
    if let Some(family) = manifest.family {
        line(format!("family      {}", serde_json::to_value(family)?.as_str().unwrap_or("?")))?;
    }
    line(format!("dimensions  {}", manifest.dimension))?;
    line(format!("tokenizer   {}", manifest.tokenizer.file))?;
    let DocumentSide::Onnx(document) = &manifest.document;
    line(format!("documents   {}", side(document)))?;
    let questions = match &manifest.query {
        QuerySide::TokenTable(table) => {
            format!("table {}, {:?}", table.file, table.parameters.tf)
        }
        QuerySide::Binary(_) => "each token weighs 1".to_owned(),
        QuerySide::Onnx(query) if query.own_terms => {
            format!("{}; own tokens only", side(&query.graph))
        }
        QuerySide::Onnx(query) => side(&query.graph),
    };
    Ok(line(format!("questions   {questions}"))?)
}

/// A network in one line.
fn side(side: &OnnxDocuments) -> String {
    let parameters = &side.parameters;
    let mut text = format!("{}, at most {} tokens", side.file, parameters.max_tokens);
    let pooling = match side.pooling {
        Pooling::InGraph => "pooled inside",
        Pooling::Max => "largest",
        Pooling::Sum => "sum",
    };
    text.push_str(&format!(", {pooling} of {} ({:?})", side.output, side.activation));
    if parameters.echo.is_some() {
        text.push_str(", text twice, second copy pooled");
    }
    if !parameters.prompt.is_empty() {
        text.push_str(&format!(", prompt {:?}", parameters.prompt));
    }
    if !parameters.drop_tokens.is_empty() {
        text.push_str(&format!(", without {}", parameters.drop_tokens.join(" ")));
    }
    text
}
