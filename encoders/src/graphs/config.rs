//! What a checkpoint's `config.json` says of its body, and what each family calls its tensors.
//!
//! Names and defaults are those of Hugging Face's transformers.

use std::path::Path;

use serde::Deserialize;

use super::error::GraphError;
use super::weights::Weights;

/// Classes of distances in MPNet's attention: transformers' code reads no other number.
pub(super) const BUCKETS: usize = 32;

/// MPNet's padding token; transformers' code takes this one whatever the configuration says.
const MPNET_PADDING: u32 = 1;

/// Known bodies; they differ in names and in how positions count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Devlin et al. 2019.
    Bert,
    /// Sanh et al. 2019: no token types.
    DistilBert,
    /// Liu et al. 2019, and XLM-RoBERTa: positions begin behind the padding token's id.
    Roberta,
    /// Song et al. 2020: RoBERTa's positions, and a bias by distance in attention.
    Mpnet,
}

/// The function between the two products of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// x Φ(x).
    Gelu,
    /// Its approximation by a hyperbolic tangent.
    GeluTanh,
    Relu,
}

impl Activation {
    /// What transformers calls it.
    fn by_name(name: &str) -> Option<Self> {
        match name {
            "gelu" => Some(Self::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Some(Self::GeluTanh),
            "relu" => Some(Self::Relu),
            _ => None,
        }
    }

    /// A number that no value of it is below: int8 steps begin there.
    pub(super) fn low(self) -> f32 {
        match self {
            Self::Gelu | Self::GeluTanh => -0.171,
            Self::Relu => 0.0,
        }
    }
}

/// The body of a checkpoint: sizes and names.
#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    /// Its family.
    pub family: Family,
    /// Width of a hidden state.
    pub width: usize,
    /// Number of layers.
    pub layers: usize,
    /// Attention heads a layer; divides `width`.
    pub heads: usize,
    /// Width between the two products of a feed-forward layer.
    pub inner: usize,
    /// Number of word embeddings.
    pub vocabulary: usize,
    /// Longest input in tokens.
    pub max_positions: u32,
    pub(crate) activation: Activation,
    pub(crate) epsilon: f32,
    /// The padding token, behind whose id RoBERTa's positions begin.
    pub(crate) padding: u32,
    /// Rows of the table of token types.
    pub(crate) token_types: usize,
    /// Whether the vocabulary matrix is the word embeddings.
    pub(crate) tied: bool,
}

/// The fields read; all others do not change the computation of a hidden state.
///
/// `auto_map` names code of the model's own, which may compute anything; `quantization_config` says that
/// the weights are packed.
#[derive(Deserialize)]
struct Fields {
    vocab_size: usize,
    max_position_embeddings: usize,
    #[serde(alias = "dim")]
    hidden_size: usize,
    #[serde(alias = "n_layers")]
    num_hidden_layers: usize,
    #[serde(alias = "n_heads")]
    num_attention_heads: usize,
    #[serde(alias = "hidden_dim")]
    intermediate_size: usize,
    #[serde(alias = "activation", default = "gelu")]
    hidden_act: String,
    #[serde(default = "epsilon")]
    layer_norm_eps: f64,
    pad_token_id: Option<u32>,
    #[serde(default = "two")]
    type_vocab_size: usize,
    #[serde(default = "absolute")]
    position_embedding_type: String,
    #[serde(default = "buckets")]
    relative_attention_num_buckets: usize,
    #[serde(default)]
    is_decoder: bool,
    #[serde(default = "yes")]
    tie_word_embeddings: bool,
    auto_map: Option<serde_json::Value>,
    quantization_config: Option<serde_json::Value>,
}

fn yes() -> bool {
    true
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn absolute() -> String {
    "absolute".to_owned()
}

fn epsilon() -> f64 {
    1e-12
}

fn two() -> usize {
    2
}

fn buckets() -> usize {
    BUCKETS
}

/// What is known when one field is read before all others.
#[derive(Deserialize)]
struct Kind {
    model_type: String,
}

impl Body {
    /// Reads a `config.json`; `path` is for messages.
    ///
    /// # Errors
    /// [`GraphError::Config`] or [`GraphError::Unsupported`].
    pub fn parse(json: &[u8], path: &Path) -> Result<Self, GraphError> {
        let not_json = |source| GraphError::Config { path: path.to_owned(), source };
        let refuse = |field, expected, found: String| GraphError::Unsupported {
            path: path.to_owned(),
            field,
            expected,
            found,
        };
        // The family comes first: another one's fields have other names.
        let Kind { model_type } = serde_json::from_slice(json).map_err(not_json)?;
        let family = match model_type.as_str() {
            "bert" => Family::Bert,
            "distilbert" => Family::DistilBert,
            "roberta" | "xlm-roberta" => Family::Roberta,
            "mpnet" => Family::Mpnet,
            _ => {
                let known = "bert, distilbert, roberta, xlm-roberta or mpnet";
                return Err(refuse("model_type", known, format!("{model_type:?}")));
            }
        };
        let fields: Fields = serde_json::from_slice(json).map_err(not_json)?;
        let Some(activation) = Activation::by_name(&fields.hidden_act) else {
            return Err(refuse("hidden_act", "gelu, gelu_new or relu", fields.hidden_act));
        };
        if fields.position_embedding_type != "absolute" {
            let found = fields.position_embedding_type;
            return Err(refuse("position_embedding_type", "\"absolute\"", found));
        }
        if family == Family::Mpnet && fields.relative_attention_num_buckets != BUCKETS {
            let found = fields.relative_attention_num_buckets.to_string();
            return Err(refuse("relative_attention_num_buckets", "32", found));
        }
        if fields.is_decoder {
            return Err(refuse("is_decoder", "false", "true".to_owned()));
        }
        let none = [
            ("auto_map", "none: a model of transformers' own", fields.auto_map),
            ("quantization_config", "none: plain numbers", fields.quantization_config),
        ];
        for (field, expected, found) in none {
            if let Some(found) = found {
                return Err(refuse(field, expected, found.to_string()));
            }
        }
        let sizes = [
            ("hidden_size", fields.hidden_size),
            ("num_hidden_layers", fields.num_hidden_layers),
            ("num_attention_heads", fields.num_attention_heads),
            ("intermediate_size", fields.intermediate_size),
            ("vocab_size", fields.vocab_size),
            ("max_position_embeddings", fields.max_position_embeddings),
        ];
        for (field, size) in sizes {
            // The upper bound keeps products of two sizes far from overflow.
            if size == 0 || size > 1 << 24 {
                return Err(refuse(field, "1 to 16777216", size.to_string()));
            }
        }
        if !fields.hidden_size.is_multiple_of(fields.num_attention_heads) {
            let heads = fields.num_attention_heads.to_string();
            return Err(refuse("num_attention_heads", "a divisor of hidden_size", heads));
        }
        let padding = match family {
            Family::Mpnet => MPNET_PADDING,
            Family::Roberta => fields.pad_token_id.unwrap_or(1),
            Family::Bert | Family::DistilBert => fields.pad_token_id.unwrap_or(0),
        };
        let positions = u32::try_from(fields.max_position_embeddings).unwrap_or(u32::MAX);
        let max_positions = match family {
            Family::Bert | Family::DistilBert => positions,
            Family::Roberta | Family::Mpnet => positions.saturating_sub(padding.saturating_add(1)),
        };
        if max_positions == 0 {
            let found = positions.to_string();
            return Err(refuse("max_position_embeddings", "more than pad_token_id + 1", found));
        }
        let (epsilon, token_types) = match family {
            Family::DistilBert => (1e-12, 0),
            Family::Mpnet => (fields.layer_norm_eps, 0),
            Family::Bert | Family::Roberta => (fields.layer_norm_eps, fields.type_vocab_size),
        };
        Ok(Self {
            family,
            width: fields.hidden_size,
            layers: fields.num_hidden_layers,
            heads: fields.num_attention_heads,
            inner: fields.intermediate_size,
            vocabulary: fields.vocab_size,
            max_positions,
            activation,
            #[allow(clippy::cast_possible_truncation, reason = "the runtime computes in f32")]
            epsilon: epsilon as f32,
            padding,
            token_types,
            tied: fields.tie_word_embeddings,
        })
    }

    /// A tensor that a checkpoint with a masked-language head has.
    pub(crate) fn head_tensor(&self) -> String {
        format!("{}.weight", Names::of(self.family).head.dense)
    }

    /// The function of the masked-language head.
    pub(super) fn head_activation(&self) -> Activation {
        match self.family {
            Family::Bert | Family::DistilBert => self.activation,
            Family::Roberta | Family::Mpnet => Activation::Gelu,
        }
    }
}

/// What a family calls its tensors, less `.weight` and `.bias`. In names of a layer `{}` stands for
/// its number.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) words: &'static str,
    pub(super) positions: &'static str,
    pub(super) types: Option<&'static str>,
    pub(super) embedding_norm: &'static str,
    /// A bias of attention for each class of distances and each head.
    pub(super) distances: Option<&'static str>,
    layer: &'static str,
    pub(super) query: &'static str,
    pub(super) key: &'static str,
    pub(super) value: &'static str,
    pub(super) attended: &'static str,
    pub(super) attention_norm: &'static str,
    pub(super) inner: &'static str,
    pub(super) outer: &'static str,
    pub(super) norm: &'static str,
    /// The masked-language head's.
    pub(super) head: HeadNames,
    /// What stands before the body's names when a head stands beside it.
    body: &'static str,
}

/// Tensors of a masked-language head.
#[derive(Debug)]
pub(super) struct HeadNames {
    pub(super) dense: &'static str,
    pub(super) norm: &'static str,
    /// The vocabulary matrix, where it is not the word embeddings.
    pub(super) decoder: &'static str,
    /// The bias of the vocabulary, the whole name, in any of these places.
    pub(super) bias: [&'static str; 2],
}

const BERT: Names = Names {
    words: "embeddings.word_embeddings",
    positions: "embeddings.position_embeddings",
    types: Some("embeddings.token_type_embeddings"),
    embedding_norm: "embeddings.LayerNorm",
    distances: None,
    layer: "encoder.layer",
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    attended: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    inner: "intermediate.dense",
    outer: "output.dense",
    norm: "output.LayerNorm",
    head: HeadNames {
        dense: "cls.predictions.transform.dense",
        norm: "cls.predictions.transform.LayerNorm",
        decoder: "cls.predictions.decoder",
        bias: ["cls.predictions.bias", "cls.predictions.decoder.bias"],
    },
    body: "bert.",
};

const ROBERTA: Names = Names {
    head: HeadNames {
        dense: "lm_head.dense",
        norm: "lm_head.layer_norm",
        decoder: "lm_head.decoder",
        bias: ["lm_head.bias", "lm_head.decoder.bias"],
    },
    body: "roberta.",
    ..BERT
};

const DISTILBERT: Names = Names {
    types: None,
    layer: "transformer.layer",
    query: "attention.q_lin",
    key: "attention.k_lin",
    value: "attention.v_lin",
    attended: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    inner: "ffn.lin1",
    outer: "ffn.lin2",
    norm: "output_layer_norm",
    head: HeadNames {
        dense: "vocab_transform",
        norm: "vocab_layer_norm",
        decoder: "vocab_projector",
        bias: ["vocab_projector.bias", "vocab_projector.bias"],
    },
    body: "distilbert.",
    ..BERT
};

const MPNET: Names = Names {
    types: None,
    query: "attention.attn.q",
    key: "attention.attn.k",
    value: "attention.attn.v",
    attended: "attention.attn.o",
    attention_norm: "attention.LayerNorm",
    distances: Some("encoder.relative_attention_bias"),
    body: "mpnet.",
    ..ROBERTA
};

impl Names {
    pub(super) fn of(family: Family) -> &'static Self {
        match family {
            Family::Bert => &BERT,
            Family::DistilBert => &DISTILBERT,
            Family::Roberta => &ROBERTA,
            Family::Mpnet => &MPNET,
        }
    }

    /// What stands before the names in this file: nothing where the body was saved alone.
    pub(super) fn prefix(&self, weights: &Weights<'_>) -> &'static str {
        let with = weights.has(&format!("{}{}.weight", self.body, self.words));
        if with { self.body } else { "" }
    }

    /// The whole name of a layer's part.
    pub(super) fn in_layer(&self, prefix: &str, layer: usize, part: &str) -> String {
        format!("{prefix}{}.{layer}.{part}", self.layer)
    }
}
