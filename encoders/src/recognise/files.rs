//! The files of a published model, and what its configuration says.

use serde_json::Value;

use super::checkpoint::{self, CheckpointFile};
use super::folder::{Folder, number};
use super::graph::{GraphFile, OutputFact};
use crate::{EncoderError, ExternalFile, OnnxInputs, TokenizerFile, Vocabulary, files};

/// The encoder that a folder holds, before its family is known.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: String,
    pub(super) sha256: String,
    pub(super) external: Vec<ExternalFile>,
    /// The configuration, where `file` holds the weights of a checkpoint that the graph is built of.
    pub(super) checkpoint: Option<ExternalFile>,
    pub(super) inputs: OnnxInputs,
    pub(super) output: String,
    /// Whether the output is `[batch, dimension]`.
    pub(super) pooled: bool,
    pub(super) dimension: u32,
    pub(super) max_positions: u32,
    /// Longest text by the tokenizer's configuration.
    pub(super) max_length: Option<u32>,
    pub(super) tokenizer: TokenizerFile,
    pub(super) special_tokens: Vec<String>,
    /// `architectures` of the configuration.
    pub(super) architecture: String,
}

impl Folder {
    /// All that the files say of the encoder.
    pub(super) fn find(&self) -> Result<Found, EncoderError> {
        let config = self.json("config.json")?.unwrap_or(Value::Null);
        let rows = number(&config, "vocab_size");
        let Side { file, sha256, external, checkpoint, inputs, output, pooled, last } =
            match self.first(&["model.onnx", "onnx/model.onnx"]) {
                Some(file) => self.graph(file, rows)?,
                None => match self.checkpoint() {
                    Some(folder) => Side::of(checkpoint::sparse(&folder)?),
                    None => return Err(self.no_graph()),
                },
            };
        let tokenizer_config = self.json("tokenizer_config.json")?.unwrap_or(Value::Null);
        let special_map = self.json("special_tokens_map.json")?.unwrap_or(Value::Null);
        let (tokenizer, special_tokens, dimension) =
            self.tokenizer(&config, &tokenizer_config, &special_map, last.or(rows))?;
        let architecture = config["architectures"][0].as_str().unwrap_or_default().to_owned();
        let max_length = tokenizer_config["model_max_length"].as_f64();
        Ok(Found {
            file,
            sha256,
            external,
            checkpoint,
            inputs,
            output,
            pooled,
            dimension,
            max_positions: Self::positions(&config),
            // A tokenizer without a limit says 1e30.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and a million"
            )]
            max_length: max_length.filter(|n| (1.0..1e6).contains(n)).map(|n| n as u32),
            tokenizer,
            special_tokens,
            architecture,
        })
    }

    /// A graph with a vocabulary's outputs.
    fn graph(&self, file: String, rows: Option<u32>) -> Result<Side, EncoderError> {
        let graph = GraphFile::read(&self.root.join(&file))?;
        let inputs = inputs(&graph.inputs).map_err(|reason| self.refuse(reason))?;
        let (output, pooled, last) = output(&graph, rows).map_err(|reason| self.refuse(reason))?;
        let external = self.external(&file, &graph)?;
        let sha256 = graph.sha256;
        Ok(Side { file, sha256, external, checkpoint: None, inputs, output, pooled, last })
    }

    /// The tokenizer, its special tokens, and the number of dimensions.
    pub(super) fn tokenizer(
        &self,
        config: &Value,
        tokenizer_config: &Value,
        special_map: &Value,
        rows: Option<u32>,
    ) -> Result<(TokenizerFile, Vec<String>, u32), EncoderError> {
        let here = |file: &str| self.first(&[file]);
        let (file, lowercase) = match (here("tokenizer.json"), here("vocab.txt")) {
            (Some(file), _) => (file, None),
            (None, Some(file)) => {
                (file, Some(tokenizer_config["do_lower_case"].as_bool().unwrap_or(true)))
            }
            (None, None) => {
                return Err(self.refuse(
                    "there is no tokenizer: neither tokenizer.json nor vocab.txt; save the model's \
                     fast tokenizer (AutoTokenizer.from_pretrained(...).save_pretrained(...))",
                ));
            }
        };
        let bytes = files::read(&self.root.join(&file))?;
        let json = match lowercase {
            Some(lowercase) => crate::vocabulary::wordpiece_json(&bytes, lowercase)?,
            None => bytes.clone(),
        };
        let vocabulary = match rows {
            Some(rows) => Vocabulary::with_rows(&json, rows)?,
            None => Vocabulary::from_bytes(&json)?,
        };
        let dimension = u32::try_from(vocabulary.tokens().len()).unwrap_or(u32::MAX);
        // A special token is a string, or an object with its `content`.
        let text = token_text;
        let roles = [
            "unk_token",
            "sep_token",
            "pad_token",
            "cls_token",
            "mask_token",
            "bos_token",
            "eos_token",
        ];
        let special: Vec<String> = roles
            .iter()
            .filter_map(|role| text(&special_map[*role]).or_else(|| text(&tokenizer_config[*role])))
            .filter(|token| vocabulary.id(token).is_some())
            .collect();
        let by_id = |id: &Value| {
            let id = usize::try_from(id.as_u64()?).ok()?;
            vocabulary.tokens().get(id).cloned()
        };
        // What fills up rows is masked: any token serves where the model names none.
        let pad_token = text(&special_map["pad_token"])
            .or_else(|| text(&tokenizer_config["pad_token"]))
            .filter(|token| vocabulary.id(token).is_some())
            .or_else(|| by_id(&config["pad_token_id"]))
            .or_else(|| vocabulary.id("[PAD]").map(|_| "[PAD]".to_owned()))
            .or_else(|| by_id(&config["eos_token_id"]))
            .or_else(|| vocabulary.tokens().first().cloned())
            .unwrap_or_default();
        let mut special = special;
        if special.is_empty() {
            let usual = ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"];
            special = usual
                .iter()
                .filter(|t| vocabulary.id(t).is_some())
                .map(|t| (*t).to_owned())
                .collect();
        }
        special.sort_unstable();
        special.dedup();
        let unnamed_ids = match lowercase {
            _ if rows.is_none() => false,
            _ => Vocabulary::from_bytes(&json)
                .map_or(true, |v| v.tokens().len() != vocabulary.tokens().len()),
        };
        let sha256 = files::sha256(&bytes);
        Ok((TokenizerFile { file, sha256, pad_token, unnamed_ids, lowercase }, special, dimension))
    }
}

/// The graph of a sparse encoder, or the checkpoint that it is built of.
struct Side {
    file: String,
    sha256: String,
    external: Vec<ExternalFile>,
    checkpoint: Option<ExternalFile>,
    inputs: OnnxInputs,
    output: String,
    pooled: bool,
    last: Option<u32>,
}

impl Side {
    /// As `graphs` builds it: pooled inside.
    fn of(checkpoint: CheckpointFile) -> Self {
        let CheckpointFile { file, sha256, config, body, .. } = checkpoint;
        Self {
            file,
            sha256,
            external: Vec::new(),
            checkpoint: Some(config),
            inputs: checkpoint::inputs(),
            output: crate::graphs::SPARSE_OUTPUT.to_owned(),
            pooled: true,
            last: u32::try_from(body.vocabulary).ok(),
        }
    }
}

/// A token as configurations write it: a text, or an object with one.
pub(super) fn token_text(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value["content"].as_str()).map(str::to_owned)
}

/// The inputs by the names that exporters give them.
pub(super) fn inputs(names: &[String]) -> Result<OnnxInputs, String> {
    let (mut ids, mut mask, mut types, mut positions, mut pool) = (None, None, None, None, None);
    for name in names {
        let slot = match name.as_str() {
            "input_ids" | "input" | "ids" => &mut ids,
            "attention_mask" | "input_mask" | "mask" => &mut mask,
            "token_type_ids" | "segment_ids" | "input_type" | "token_types" => &mut types,
            "position_ids" | "positions" => &mut positions,
            "pool_mask" => &mut pool,
            other => {
                return Err(format!(
                    "the graph takes an input {other:?}, and what it should be is not known; \
                     known are token ids (input_ids), attention_mask or input_mask, token_type_ids, \
                     segment_ids or input_type, position_ids, pool_mask"
                ));
            }
        };
        if slot.replace(name.clone()).is_some() {
            return Err(format!(
                "the graph takes {name:?} beside another input of the same meaning"
            ));
        }
    }
    match (ids, mask) {
        (Some(token_ids), Some(attention_mask)) => Ok(OnnxInputs {
            token_ids,
            attention_mask,
            token_types: types,
            positions,
            pool_mask: pool,
        }),
        _ => Err(format!(
            "the graph takes {}; expected token ids (input_ids) and a mask (attention_mask)",
            names.join(", ")
        )),
    }
}

/// The only output, or the first of `known`.
pub(super) fn meant<'a>(graph: &'a GraphFile, known: &[&str]) -> Result<&'a OutputFact, String> {
    let found = match graph.outputs.as_slice() {
        [only] => Some(only),
        several => known.iter().find_map(|name| several.iter().find(|o| o.name == *name)),
    };
    let names = || graph.outputs.iter().map(|o| o.name.as_str()).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| format!("which output is meant: {}?", names()))
}

/// The output to use: its name, whether it is pooled, and its width.
fn output(graph: &GraphFile, rows: Option<u32>) -> Result<(String, bool, Option<u32>), String> {
    let known = ["logits", "sparse_embedding", "sentence_embedding", "output", "last_hidden_state"];
    let found = meant(graph, &known)?;
    // A pooled output may be wider than the configuration says, never narrower hidden states.
    if let (Some(last), Some(rows)) = (found.last, rows)
        && last < rows
    {
        return Err(format!(
            "the graph's output {} has a width of {last}, the vocabulary {rows} tokens: these are no \
             weights of tokens (an export without the language-model head?)",
            found.name
        ));
    }
    let pooled = match found.axes {
        Some(2) => true,
        Some(3) => false,
        _ => {
            return Err(format!(
                "the graph does not say whether its output {} is one vector a text or one a token",
                found.name
            ));
        }
    };
    Ok((found.name.clone(), pooled, found.last))
}
