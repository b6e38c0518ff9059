//! What is asked. Unknown names are refused everywhere, so that a misspelt option is never lost.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use super::ApiError;
use super::json::from_json;

/// A search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchRequest {
    /// What is searched for.
    pub query: QueryInput,
    /// Results wanted.
    #[serde(default = "default_k")]
    #[schema(default = 10, minimum = 1, maximum = 1000)]
    pub k: u32,
    /// What is searched: one channel, or several whose rankings are fused. Their order changes nothing.
    #[serde(default = "default_channels")]
    #[schema(default = json!(["sparse"]))]
    pub channels: Vec<Channel>,
    /// How vectors are searched.
    #[serde(default)]
    #[schema(inline, default = "auto")]
    pub method: Method,
    /// Stored fields wanted with each hit: `title`, `text` or any other field of the documents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Whether each hit tells its matched tokens.
    #[serde(default)]
    pub explain: bool,
    /// Milliseconds that the search may take, waiting included; 1000 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(default = 1000, minimum = 1, maximum = 60_000)]
    pub timeout_ms: Option<u64>,
    /// Waits until the change of this number can be found, within `timeout_ms`: the `seq` of a write's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_seq: Option<u64>,
    /// overlap@k with the exact search to aim at, above 0 and at most 1; 0.98 if absent. Of the channel sparse, and of
    /// `dense_method` graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 1)]
    pub overlap: Option<f32>,
    /// Impact, clusters: postings added up; planned if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub postings: Option<u32>,
    /// Impact: documents scored exactly; clusters: clusters whose documents are; planned if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub candidates: Option<u32>,
    /// Seismic: query terms whose lists are visited, heaviest first; planned if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 4096)]
    pub query_cut: Option<u32>,
    /// Seismic: blocks that promise less than this share of the k-th score are skipped; above 0
    /// and at most 1; planned if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 1)]
    pub heap_factor: Option<f32>,
    /// How dense vectors are searched.
    #[serde(default, skip_serializing_if = "DenseMethod::is_exact")]
    #[schema(inline, default = "exact")]
    pub dense_method: DenseMethod,
    /// Graph: rows kept during the walk, at least `k`; from `overlap` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100_000)]
    pub dense_beam: Option<u32>,
    /// Which documents may be found, by their other fields, in tantivy's query syntax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "year:[1998 TO 1999] AND topic:ice")]
    pub filter: Option<String>,
    /// How the rankings of several channels become one; `{}` and absent take the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fusion: Option<FusionInput>,
    /// Search again, with what the best documents add to the query; `{}` takes the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<FeedbackInput>,
    /// Rescore what is found by MaxSim over token embeddings; `{}` takes the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank: Option<RerankInput>,
}

/// How the rankings of several channels become one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FusionInput {
    /// How scores come to one scale; `max` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    pub method: Option<Fusion>,
    /// What each channel counts: 1 if absent, of `bm25` 0.3. 0, or from 0.000001 to 1,000,000; not all 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightsInput>,
    /// Hits of each channel that are fused; 1000 if absent. Where more are wanted, as many. As long as it is not
    /// below `k`, the first hits are the same however many are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub window: Option<u32>,
    /// Of `rrf`: what is added to a rank, 0 to 10,000; 60 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub k: Option<f64>,
}

/// Weights by channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightsInput {
    /// Of `sparse`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub sparse: Option<f64>,
    /// Of `bm25`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub bm25: Option<f64>,
    /// Of `dense`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub dense: Option<f64>,
}

/// How scores of several rankings come to one scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fusion {
    /// A score over the best of its ranking; a document that the ranking lacks gets 0.
    #[default]
    Max,
    /// The least score of a ranking becomes 0, the best 1; a document that `sparse` lacks is scored all the same, one
    /// that another ranking lacks gets 0.
    MinMax,
    /// The distance from the ranking's mean, in standard deviations; a document that `sparse` lacks is scored all
    /// the same, one that another ranking lacks gets the ranking's least.
    Z,
    /// Reciprocal rank fusion: 1 over `k` and the rank, from 1; a document that the ranking lacks gets 0.
    Rrf,
}

/// Feedback: the best documents of a first search add terms to the query of a second one. For short queries and
/// recall; takes twice the time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FeedbackInput {
    /// Whose documents feed back, and what is answered; if absent as `from` says, else `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    pub condition: Option<Condition>,
    /// The ranking whose documents feed back; if absent as `condition` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    pub from: Option<FeedbackFrom>,
    /// Documents that add terms; with 0 there is no feedback. If absent 3 on `sparse`, 10 on `bm25`, 2 on `dense`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100)]
    pub depth: Option<u32>,
    /// Channels that are fed back; all that are searched if absent. With `before` the one that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<Channel>>,
    /// What is added on `sparse`: 20 terms with a weight of 0.2 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparse: Option<ExpansionInput>,
    /// What is added on `bm25`: 20 terms with a weight of 0.3 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bm25: Option<ExpansionInput>,
    /// How far the vector of `dense` moves towards the mean of the documents: a weight of 0.4 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dense: Option<MeanInput>,
    /// Ids of documents that never add terms, such as that of a query that is a document itself; at most 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Vec<String>>,
}

/// How much documents add to a query.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpansionInput {
    /// Terms that are taken of the documents, the heaviest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub terms: Option<u32>,
    /// Their share of the new query's weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub weight: Option<f64>,
}

/// How far a dense vector moves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MeanInput {
    /// Share of the documents' mean in the new vector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub weight: Option<f64>,
}

/// Where feedback stands beside the fusion of several channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// The best of each channel's own ranking feed it back, then channels are fused; with one channel plain
    /// feedback.
    #[default]
    After,
    /// The best of the fused ranking feed one channel back, which answers alone.
    Before,
    /// The best of the fused ranking feed channels back, which are fused again.
    Both,
}

/// The ranking whose best documents feed back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FeedbackFrom {
    /// Each channel's own, as `after` takes it.
    Own,
    /// The fused one, as `both` and `before` take it.
    Fused,
    /// That of the one channel, or the fused one of several, reranked: needs `rerank`. With several channels `both` or
    /// `before`.
    Reranked,
}

/// A second stage. `score` of a hit is then MaxSim plus `weight` x the query's rows x the first score,
/// standardised over the candidates.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RerankInput {
    /// Candidates that the search hands on, at least `k`; 100 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub depth: Option<u32>,
    /// Candidates whose first score lies more than this share below the k-th are left out; null
    /// keeps all; 0.4 if absent, with `exact` null.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "or_null")]
    #[schema(value_type = Option<f32>, minimum = 0)]
    pub alpha: Option<Option<f32>>,
    /// Scoring stops after this many candidates in a row that do not enter the k best; null scores
    /// all; 20 if absent, with `exact` null.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "or_null")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    pub beta: Option<Option<u32>>,
    /// Weight of the first stage's standardised score; 0.05 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub weight: Option<f32>,
    /// Whether the result must equal scoring in fp16.
    #[serde(default)]
    pub exact: bool,
    /// The query's token embeddings, where the server has no encoder of them; at most 1,024 rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vectors: Option<Vec<Vec<f32>>>,
}

/// Tells null from absent.
#[expect(clippy::option_option, reason = "absent, null and a value differ")]
fn or_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// What is searched for: one of its fields. With several channels one or more: `bm25` searches the text, `sparse` and
/// `dense` their vector, else that of the text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryInput {
    /// A text; at most 32 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "how do dogs sleep")]
    pub text: Option<String>,
    /// A query vector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparse: Option<SparseInput>,
    /// A dense vector of as many numbers as the index's vectors have dimensions, at most 4,096; not all 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dense: Option<Vec<f32>>,
}

/// A query vector: `tokens`, or `term_ids` with `weights`. At most 4,096 terms; weights are finite
/// and not negative; the weights of a repeated term are summed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SparseInput {
    /// Weights by token of the index's lexicon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::HashMap<String, f32>>)]
    pub tokens: Option<TokenWeights>,
    /// Term numbers, where the index's terms are numbers or places in its encoder's vocabulary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term_ids: Option<Vec<u32>>,
    /// Weights, in the order of `term_ids`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<f32>>,
}

/// Tokens with weights, in the order given; in JSON an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenWeights(pub Vec<(String, f32)>);

/// What is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// Learned sparse vectors.
    Sparse,
    /// Words, by BM25.
    Bm25,
    /// Dense vectors, by their dot product.
    Dense,
}

/// How vectors are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// What costs least at the overlap wanted.
    #[default]
    Auto,
    /// Impact-ordered lists, largest contributions first; approximate.
    Impact,
    /// Clusters of similar documents, chosen by their summaries; approximate.
    Clusters,
    /// Blocked lists with summaries; approximate.
    Seismic,
    /// The k best by proof.
    Exact,
    /// Every document scored, one after another.
    Scan,
    /// A walk over a graph of near dense vectors; approximate. Only answers have it.
    Graph,
}

/// How dense vectors are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DenseMethod {
    /// Every vector is compared.
    #[default]
    Exact,
    /// A walk over the graph of near rows; approximate.
    Graph,
}

impl DenseMethod {
    fn is_exact(&self) -> bool {
        *self == Self::Exact
    }
}

impl SearchRequest {
    /// A query of text, with the defaults.
    #[must_use]
    pub fn text(query: impl Into<String>) -> Self {
        Self::new(QueryInput { text: Some(query.into()), ..QueryInput::default() })
    }

    /// A search with the defaults.
    #[must_use]
    pub fn new(query: QueryInput) -> Self {
        Self {
            query,
            k: default_k(),
            channels: default_channels(),
            method: Method::Auto,
            fields: Vec::new(),
            explain: false,
            timeout_ms: None,
            min_seq: None,
            overlap: None,
            postings: None,
            candidates: None,
            query_cut: None,
            heap_factor: None,
            dense_method: DenseMethod::Exact,
            dense_beam: None,
            filter: None,
            fusion: None,
            feedback: None,
            rerank: None,
        }
    }

    /// Reads a request. Values are checked later, by the engine.
    ///
    /// # Errors
    /// [`super::ErrorCode::InvalidJson`], [`super::ErrorCode::UnknownField`] or [`super::ErrorCode::InvalidValue`], with
    /// the path of the field at fault.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ApiError> {
        from_json(
            bytes,
            &[
                "",
                "/query",
                "/query/sparse",
                "/fusion",
                "/fusion/weights",
                "/feedback",
                "/feedback/sparse",
                "/feedback/bm25",
                "/feedback/dense",
                "/rerank",
            ],
        )
    }
}

fn default_k() -> u32 {
    10
}

fn default_channels() -> Vec<Channel> {
    vec![Channel::Sparse]
}

impl Channel {
    /// Its name in requests and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sparse => "sparse",
            Self::Bm25 => "bm25",
            Self::Dense => "dense",
        }
    }

    /// The engine's channel, where requests can name it.
    pub(crate) fn of(channel: quarry_engine::Channel) -> Option<Self> {
        match channel {
            quarry_engine::Channel::Sparse => Some(Self::Sparse),
            quarry_engine::Channel::Bm25 => Some(Self::Bm25),
            quarry_engine::Channel::Dense => Some(Self::Dense),
            _ => None,
        }
    }
}

impl From<Channel> for quarry_engine::Channel {
    fn from(channel: Channel) -> Self {
        match channel {
            Channel::Sparse => Self::Sparse,
            Channel::Bm25 => Self::Bm25,
            Channel::Dense => Self::Dense,
        }
    }
}

impl From<Fusion> for quarry_engine::FusionMethod {
    fn from(method: Fusion) -> Self {
        match method {
            Fusion::Max => Self::Max,
            Fusion::MinMax => Self::MinMax,
            Fusion::Z => Self::Z,
            Fusion::Rrf => Self::Rrf,
        }
    }
}

impl From<FeedbackFrom> for quarry_engine::FeedbackFrom {
    fn from(from: FeedbackFrom) -> Self {
        match from {
            FeedbackFrom::Own => Self::Own,
            FeedbackFrom::Fused => Self::Fused,
            FeedbackFrom::Reranked => Self::Reranked,
        }
    }
}

impl From<Condition> for quarry_engine::FeedbackCondition {
    fn from(condition: Condition) -> Self {
        match condition {
            Condition::After => Self::After,
            Condition::Before => Self::Before,
            Condition::Both => Self::Both,
        }
    }
}

impl From<Method> for quarry_engine::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Auto => Self::Auto,
            Method::Impact => Self::Impact,
            Method::Clusters => Self::Clusters,
            Method::Seismic => Self::Seismic,
            Method::Exact => Self::Exact,
            Method::Scan => Self::Scan,
            Method::Graph => Self::Graph,
        }
    }
}

impl From<quarry_engine::Method> for Method {
    fn from(method: quarry_engine::Method) -> Self {
        match method {
            quarry_engine::Method::Auto => Self::Auto,
            quarry_engine::Method::Impact => Self::Impact,
            quarry_engine::Method::Clusters => Self::Clusters,
            quarry_engine::Method::Seismic => Self::Seismic,
            quarry_engine::Method::Exact => Self::Exact,
            quarry_engine::Method::Scan => Self::Scan,
            quarry_engine::Method::Graph => Self::Graph,
        }
    }
}

impl Serialize for TokenWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (token, weight) in &self.0 {
            map.serialize_entry(token, weight)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for TokenWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = TokenWeights;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tokens and their weights")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(TokenWeights(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}
