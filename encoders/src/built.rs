//! Graphs that are built of a checkpoint in the model folder, where it has weights and no graph.
//!
//! 1. read the files that the manifest names, each with its checksum  2. write the graph in memory
//!    (`graphs`)
//!
//! Nothing is written to disk: docs/decisions/0008-graphs-of-checkpoints.md. What identifies such a
//! graph are the files' checksums and how it is built, not its bytes.

use std::path::Path;

use prost::Message;
use serde::{Deserialize, Serialize};

use crate::external::locations;
use crate::graph_bytes::GraphBytes;
use crate::graphs::{
    Between, Body, Checkpoint, GraphError, Head, Precision, Projection, RECIPE, Residual,
    Saturation, SpladeHead, SpladePooling, TokenHead, Weights,
};
use crate::onnx_proto::ModelHeader;
use crate::{EncoderError, ExternalFile, files};

/// How a side's graph is built; the side's own `file` is then the `model.safetensors`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuiltGraph {
    /// `config.json`, in the model folder.
    pub config: ExternalFile,
    /// In which numbers products with weights are computed.
    pub precision: Precision,
    /// What follows the body.
    pub head: BuiltHead,
}

/// What follows the body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum BuiltHead {
    /// The checkpoint's own masked-language head, pooled over the tokens.
    Splade {
        /// How tokens become one vector.
        pooling: SpladePooling,
        /// What a logit becomes.
        saturation: Saturation,
    },
    /// Projections, then rows of length one.
    Tokens {
        /// The projections, in order.
        projections: Vec<ProjectionLayer>,
    },
    /// Nothing: the hidden states as they are.
    Hidden,
}

/// y = f(x Wᵀ + b), plus what a residual adds, of tensors in a safetensors file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectionLayer {
    /// File in the model folder.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
    /// The tensor W, `[outputs, inputs]`.
    pub tensor: String,
    /// The tensor b, `[outputs]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<String>,
    /// The function f.
    #[serde(default, skip_serializing_if = "is_identity")]
    pub activation: Between,
    /// What is added after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residual: Option<ResidualLayer>,
}

/// What a projection adds after its function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResidualLayer {
    /// Its input, of the same width.
    Input,
    /// Its input times this tensor, `[outputs, inputs]`.
    Tensor(String),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_identity(between: &Between) -> bool {
    *between == Between::Identity
}

/// A graph of a model folder as a manifest names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GraphSource<'a> {
    /// The file, relative to the folder: a graph, or the weights that one is built of.
    pub(crate) file: &'a str,
    pub(crate) sha256: &'a str,
    pub(crate) external: &'a [ExternalFile],
    pub(crate) built: Option<&'a BuiltGraph>,
}

impl GraphSource<'_> {
    /// What identifies the graph with its weights: the file's own SHA-256, or that of the list of all
    /// files and of how the graph is built.
    pub(crate) fn identity(&self) -> String {
        if self.external.is_empty() && self.built.is_none() {
            return self.sha256.to_owned();
        }
        let mut list = format!("{}\n", self.sha256);
        for file in self.external {
            list.push_str(&format!("{} {}\n", file.sha256, file.file));
        }
        if let Some(built) = self.built {
            let BuiltGraph { config, precision, head } = built;
            list.push_str(&format!("built {RECIPE} {} {precision:?}\n", config.sha256));
            match head {
                BuiltHead::Splade { pooling, saturation } => {
                    list.push_str(&format!("{pooling:?} {saturation:?}\n"));
                }
                BuiltHead::Hidden => list.push_str("hidden\n"),
                BuiltHead::Tokens { projections } => {
                    for ProjectionLayer { file: _, sha256, tensor, bias, activation, residual } in
                        projections
                    {
                        list.push_str(&format!(
                            "{sha256} {tensor} {bias:?} {activation:?} {residual:?}\n"
                        ));
                    }
                }
            }
        }
        files::sha256(list.as_bytes())
    }

    /// Names of all files with their checksums: fields of the manifest for messages, first of the
    /// name and then of the sum.
    pub(crate) fn files(&self) -> Vec<(&str, &str)> {
        let mut all: Vec<(&str, &str)> =
            self.external.iter().map(|f| (f.file.as_str(), f.sha256.as_str())).collect();
        if let Some(built) = self.built {
            all.push((&built.config.file, &built.config.sha256));
            if let BuiltHead::Tokens { projections } = &built.head {
                all.extend(projections.iter().map(|p| (p.file.as_str(), p.sha256.as_str())));
            }
        }
        all
    }

    /// The graph, every file verified. Cost: reads the files; a graph that is built takes some
    /// copies of the weights besides.
    pub(crate) fn read(&self, folder: &Path) -> Result<GraphBytes, EncoderError> {
        let path = folder.join(self.file);
        if let Some(built) = self.built {
            return Ok(GraphBytes::InMemory(self.build(folder, &path, built)?));
        }
        let graph = files::read_verified(&path, self.sha256)?;
        self.expect_listed(&graph, &path)?;
        if self.external.is_empty() {
            return Ok(GraphBytes::InMemory(graph));
        }
        let mut linked = false;
        for file in self.external {
            let beside = path.with_file_name(&file.file);
            files::verify(&beside, &file.sha256)?;
            linked |= beside.is_symlink();
        }
        Ok(if linked { GraphBytes::InFile } else { GraphBytes::Beside(graph) })
    }

    /// Weights that lie in files which the manifest has no checksum of are nobody's.
    fn expect_listed(&self, graph: &[u8], path: &Path) -> Result<(), EncoderError> {
        let refused = |reason| EncoderError::Unrecognised { folder: path.to_owned(), reason };
        let model = ModelHeader::decode(graph)
            .map_err(|error| refused(format!("no ONNX graph: {error}")))?;
        let listed = |name: &String| self.external.iter().any(|file| file.file == *name);
        match locations(&model).into_iter().find(|name| !listed(name)) {
            Some(name) => Err(refused(format!(
                "its weights lie in `{name}`, which the manifest does not list under `external`"
            ))),
            None => Ok(()),
        }
    }

    fn build(
        &self,
        folder: &Path,
        path: &Path,
        built: &BuiltGraph,
    ) -> Result<Vec<u8>, EncoderError> {
        let config = folder.join(&built.config.file);
        let body = Body::parse(&files::read_verified(&config, &built.config.sha256)?, &config)?;
        let weights = files::read_verified(path, self.sha256)?;
        let checkpoint = Checkpoint::new(body, weights, path.to_owned())?;
        let head = match &built.head {
            BuiltHead::Splade { pooling, saturation } => {
                Head::Splade(SpladeHead { pooling: *pooling, saturation: *saturation })
            }
            BuiltHead::Hidden => Head::Tokens(TokenHead { projections: Vec::new(), plain: true }),
            BuiltHead::Tokens { projections } => {
                let layer = |layer: &ProjectionLayer| match layer.file == self.file {
                    true => Ok(projection(&checkpoint.weights()?, layer)?),
                    false => {
                        let path = folder.join(&layer.file);
                        let bytes = files::read_verified(&path, &layer.sha256)?;
                        Ok::<_, EncoderError>(projection(&Weights::new(&bytes, &path)?, layer)?)
                    }
                };
                let projections = projections.iter().map(layer).collect::<Result<_, _>>()?;
                Head::Tokens(TokenHead { projections, plain: false })
            }
        };
        Ok(checkpoint.graph(&head, built.precision)?)
    }
}

fn projection(weights: &Weights<'_>, layer: &ProjectionLayer) -> Result<Projection, GraphError> {
    let part = "the projection";
    let matrix = weights.any_matrix(&layer.tensor, part)?;
    let bias =
        layer.bias.as_ref().map(|name| weights.vector(name, matrix.rows, part)).transpose()?;
    let residual = match &layer.residual {
        None => None,
        Some(ResidualLayer::Input) => Some(Residual::Input),
        Some(ResidualLayer::Tensor(name)) => {
            Some(Residual::Product(weights.matrix(name, matrix.rows, matrix.columns, part)?))
        }
    };
    Ok(Projection { matrix, bias, between: layer.activation, residual })
}
