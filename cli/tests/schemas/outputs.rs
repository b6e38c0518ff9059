//! What `--json` prints, one type for each command. The schemas in docs/schemas are made of these, and real
//! outputs are held against them: a key that is missing or new is found.
#![allow(dead_code, reason = "the types stand for JSON; nothing is read from them")]

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::parts::{Calibration, DenseMeta, Graph, Manifest, Segment, TokensMeta};

/// `quarry index --json`: the index, or with --shard the shard.
#[derive(JsonSchema)]
#[serde(untagged)]
pub(crate) enum Index {
    /// Of an index.
    Built(Built),
    /// Of a shard.
    Shard(Shard),
}

/// What a build did.
#[derive(JsonSchema)]
pub(crate) struct Built {
    /// The generation that is current now.
    generation: u64,
    /// Identity of the index.
    uuid: String,
    /// Documents of the index.
    documents: u64,
    /// Rows of the index: more than documents if texts were split into passages.
    rows: u64,
    /// Documents taken from an interrupted build.
    resumed_documents: u64,
    /// Documents whose vector is empty; only BM25 finds them.
    empty_vectors: u64,
    /// Passages truncated at the model's longest input, in this run.
    truncated: u64,
    /// Fields of --field that no document has.
    unmet_fields: Vec<String>,
    /// Mean number of components of a row.
    mean_components: f64,
    /// Largest relative error of a stored weight; 0 if nothing is lost. Null without vectors, and if the build
    /// was complete before.
    max_relative_error: Option<f64>,
    /// Bytes of all files.
    bytes: u64,
    /// Whether the index was complete before.
    already_complete: bool,
}

/// What the build of a shard did.
#[derive(JsonSchema)]
pub(crate) struct Shard {
    /// Which shard, such as 2/3.
    shard: String,
    /// Documents of the whole input.
    input_documents: u64,
    /// Documents of this shard.
    documents: u64,
    /// Rows of this shard.
    rows: u64,
    /// Documents taken from an interrupted run.
    resumed_documents: u64,
    /// Passages truncated at the model's longest input, in this run.
    truncated: u64,
    /// Whether the shard was complete before.
    already_complete: bool,
}

/// `quarry add --json`
#[derive(JsonSchema)]
pub(crate) struct Add {
    /// The generation that is current now.
    generation: u64,
    /// Documents added, including those that replaced others.
    added: u64,
    /// Documents that were replaced.
    replaced: u64,
    /// Documents left out because a later one of the input has the same id.
    repeated: u64,
    /// Added documents whose vector is empty.
    empty_vectors: u64,
    /// Passages truncated at the model's longest input.
    truncated: u64,
    /// For vectors without ids: the number that became the first id.
    numbered_from: Option<u64>,
    /// The merge that followed, if one did.
    merged: Option<Merged>,
}

/// What a merge of segments did.
#[derive(JsonSchema)]
pub(crate) struct Merged {
    /// The generation that is current now.
    generation: u64,
    /// Segments that were merged.
    merged: u64,
    /// Segments of the index now.
    segments: u64,
    /// Rows of deleted documents that were dropped.
    dropped: u64,
}

/// `quarry delete --json`
#[derive(JsonSchema)]
pub(crate) struct Delete {
    /// The generation that is current now.
    generation: u64,
    /// Documents deleted.
    deleted: u64,
    /// Ids that no document has.
    unknown: Vec<String>,
}

/// `quarry merge --json`: of segments, of the shards of a build, or of the shards of an encoding.
#[derive(JsonSchema)]
#[serde(untagged)]
pub(crate) enum Merge {
    /// Segments were merged.
    Segments(Merged),
    /// There was nothing to merge.
    Nothing(NothingMerged),
    /// Shards became an index.
    Shards(Built),
    /// Files of vectors became one.
    Vectors(MergedVectors),
}

/// One segment without deleted documents.
#[derive(JsonSchema)]
pub(crate) struct NothingMerged {
    /// Always 0.
    merged: u64,
}

/// One file of vectors.
#[derive(JsonSchema)]
pub(crate) struct MergedVectors {
    /// Vectors of the file.
    vectors: u64,
}

/// `quarry lists --json`
#[derive(JsonSchema)]
pub(crate) struct Lists {
    /// The new generation; null if no list was missing.
    generation: Option<u64>,
}

/// `quarry tokens add --json`
#[derive(JsonSchema)]
pub(crate) struct Tokens {
    /// The new generation.
    generation: u64,
    /// The token embeddings of each segment.
    tokens: Vec<StoredTokens>,
}

/// Token embeddings of a segment.
#[derive(JsonSchema)]
pub(crate) struct StoredTokens {
    /// How they are stored.
    meta: TokensMeta,
    /// Bytes of the file.
    bytes: u64,
}

/// `quarry dense add --json`
#[derive(JsonSchema)]
pub(crate) struct DenseAdd {
    /// The new generation.
    generation: u64,
    /// The dense vectors of each segment.
    dense: Vec<StoredDense>,
}

/// `quarry dense graph --json`
#[derive(JsonSchema)]
pub(crate) struct DenseGraph {
    /// The new generation; null if nothing was missing.
    generation: Option<u64>,
    /// The graph of each segment that has one.
    graphs: Vec<Graph>,
}

/// Dense vectors of a segment.
#[derive(JsonSchema)]
pub(crate) struct StoredDense {
    /// How they are stored.
    meta: DenseMeta,
    /// Bytes of the file.
    bytes: u64,
}

/// `quarry upgrade --json`
#[derive(JsonSchema)]
pub(crate) struct Upgrade {
    /// Kinds of files that were of an earlier version; `format` stands for the manifest.
    outdated: Vec<String>,
    /// Documents of the new index.
    documents: u64,
    /// Segments of the new index.
    segments: u64,
    /// Rows of deleted documents that were left out.
    dropped: u64,
}

/// `quarry tune --json`: a table for each segment; null for a segment that is always searched exactly.
#[derive(JsonSchema)]
#[serde(transparent)]
pub(crate) struct Tune(Vec<Option<Calibration>>);

/// `quarry inspect --json`
#[derive(JsonSchema)]
pub(crate) struct Inspect {
    /// The manifest of the current generation.
    manifest: Manifest,
    /// Terms of the lexicon; null without vectors.
    terms: Option<u64>,
    /// What each segment holds.
    segments: Vec<Segment>,
}

/// `quarry export --json`. The keys from `lists` on are null, unless the format is CIFF.
#[derive(JsonSchema)]
pub(crate) struct Export {
    /// Documents, or queries, written.
    documents: u64,
    /// Components of all vectors.
    components: u64,
    /// Bytes of the file.
    bytes: u64,
    /// Postings lists.
    lists: Option<u64>,
    /// Impact of a weight of 1.
    scale: Option<f64>,
    /// Largest difference between a weight and its impact divided by `scale`.
    max_error: Option<f64>,
    /// Impacts that are off by more than half their weight.
    distorted: Option<u64>,
    /// Times that the index was read.
    passes: Option<u64>,
    /// The description in the file.
    description: Option<String>,
}

/// `quarry dataset list --json`
#[derive(JsonSchema)]
#[serde(transparent)]
pub(crate) struct DatasetList(Vec<Collection>);

/// A collection that is known by name.
#[derive(JsonSchema)]
pub(crate) struct Collection {
    /// Its name, such as beir/scifact.
    name: String,
    /// What it is about.
    about: String,
    /// Number of documents, about.
    documents: u64,
    /// Splits that have judgements, the usual one first.
    splits: Vec<String>,
    /// What is known of its licence.
    licence: String,
    /// The page of its makers.
    homepage: String,
    /// Files that are fetched.
    files: Vec<RemoteFile>,
    /// Folders of a collection that consists of several ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<String>,
    /// How much of it is in the cache.
    state: CollectionState,
    /// Where it is, or would be, in the cache.
    folder: String,
}

/// A file that is fetched.
#[derive(JsonSchema)]
pub(crate) struct RemoteFile {
    /// Its address.
    address: String,
    /// Its length in bytes.
    bytes: u64,
    /// Its MD5 sum in hexadecimal.
    md5: String,
    /// What becomes of it.
    becomes: Becomes,
}

/// What becomes of a fetched file.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Becomes {
    /// A ZIP archive; this folder of it is the collection.
    Zip(String),
    /// A compressed tar archive.
    TarGz,
    /// A file, kept under this name.
    File(String),
}

/// How much of a collection is in the cache.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CollectionState {
    /// All: its name can be used.
    Pulled,
    /// This number of bytes.
    Begun(u64),
    /// Nothing.
    Absent,
}

/// `quarry dataset pull --json`
#[derive(JsonSchema)]
pub(crate) struct DatasetPull {
    /// The name.
    name: String,
    /// Its folder.
    folder: String,
    /// Whether it was in the cache before.
    was_there: bool,
}

/// `quarry eval --json`: of one run, with --rerank of each stage, with --conditions of each of them, with --sets of each
/// collection.
#[derive(JsonSchema)]
#[serde(untagged)]
pub(crate) enum Eval {
    /// Of one run.
    Run(Evaluation),
    /// With --rerank.
    Stages(Stages),
    /// With --conditions.
    Conditions(Conditions),
    /// With --sets: by name of a collection; `skipped` has the reasons of those that were left out.
    Sets(BTreeMap<String, OfSet>),
}

/// The means, by name of a measure, and `overlap@K` with --against-exact.
#[derive(JsonSchema)]
pub(crate) struct Evaluation {
    /// Mean over all judged queries, by name of the measure.
    #[serde(flatten)]
    means: BTreeMap<String, f64>,
    /// Judged queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    queries: Option<u64>,
    /// Judged queries without a ranking.
    #[serde(skip_serializing_if = "Option::is_none")]
    unanswered: Option<u64>,
    /// Judged documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    judged_documents: Option<u64>,
    /// Judged documents that the index lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    judged_documents_missing: Option<u64>,
    /// With --compare: the other run, by name of the measure.
    #[serde(skip_serializing_if = "Option::is_none")]
    compared: Option<BTreeMap<String, Compared>>,
    /// With --per-query: the values by query and by name of the measure.
    #[serde(skip_serializing_if = "Option::is_none")]
    per_query: Option<BTreeMap<String, BTreeMap<String, f64>>>,
}

/// A measure of the other run, and the paired t-test.
#[derive(JsonSchema)]
pub(crate) struct Compared {
    /// Mean of the other run.
    mean: f64,
    /// Mean of the run less mean of the other one.
    difference: f64,
    /// Statistic of the test.
    t: f64,
    /// Two-sided p-value.
    p: f64,
}

/// The stages of reranking over the same queries.
#[derive(JsonSchema)]
pub(crate) struct Stages {
    /// Judged queries.
    queries: u64,
    /// Judged queries without a ranking in the first stage.
    unanswered: u64,
    /// Judged documents.
    judged_documents: u64,
    /// Judged documents that the index lacks.
    judged_documents_missing: u64,
    /// What scored the token embeddings.
    device: String,
    /// The search.
    first_stage: Stage,
    /// The search, reranked.
    reranked: Stage,
    /// MaxSim with every document; absent with --no-exhaustive.
    #[serde(skip_serializing_if = "Option::is_none")]
    exhaustive: Option<Stage>,
}

/// Ways to feed back, over the same queries.
#[derive(JsonSchema)]
pub(crate) struct Conditions {
    /// Judged queries.
    queries: u64,
    /// Judged queries without a ranking where nothing feeds back.
    unanswered: u64,
    /// Judged documents.
    judged_documents: u64,
    /// Judged documents that the index lacks.
    judged_documents_missing: u64,
    /// In their order, without feedback first.
    conditions: Vec<Condition>,
}

/// A way to feed back.
#[derive(JsonSchema)]
pub(crate) struct Condition {
    /// `none`, `before`, `after` or `both`.
    condition: String,
    /// Channels that are fed back.
    channels: Vec<String>,
    /// The file of the run.
    run: String,
    /// By name of the measure.
    measures: BTreeMap<String, Change>,
}

/// A mean; but for the first condition with its difference from that one, and the paired t-test.
#[derive(JsonSchema)]
pub(crate) struct Change {
    /// Mean over all judged queries.
    mean: f64,
    /// Mean less that of the first condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<f64>,
    /// Statistic of the test.
    #[serde(skip_serializing_if = "Option::is_none")]
    t: Option<f64>,
    /// Two-sided p-value.
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<f64>,
}

/// A stage.
#[derive(JsonSchema)]
pub(crate) struct Stage {
    /// Mean over all judged queries, by name of the measure.
    #[serde(flatten)]
    means: BTreeMap<String, f64>,
    /// Microseconds a query, over all cores.
    micros_a_query: f64,
    /// What reranking did, summed over the queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<RerankStats>,
}

/// Candidates of reranking.
#[derive(JsonSchema)]
pub(crate) struct RerankStats {
    /// All candidates.
    candidates: u64,
    /// Skipped by alpha.
    pruned: u64,
    /// Skipped by beta.
    skipped: u64,
    /// Scored by the coarser form.
    scored: u64,
    /// Scored again in fp16.
    rescored: u64,
    /// Left in place for lack of token embeddings.
    without_tokens: u64,
}

/// A collection of --sets by system (bm25, sparse, reranked), its parts, or the reason why it is left out.
#[derive(JsonSchema)]
#[serde(untagged)]
pub(crate) enum OfSet {
    /// By system; `parts` holds the same of each part.
    Systems(BTreeMap<String, OfSystem>),
    /// Reasons by name, under `skipped`.
    Skipped(BTreeMap<String, String>),
}

/// A system's means, or the parts of the collection.
#[derive(JsonSchema)]
#[serde(untagged)]
pub(crate) enum OfSystem {
    /// Of a system.
    Means(SystemMeans),
    /// Of each part by system.
    Parts(BTreeMap<String, BTreeMap<String, SystemMeans>>),
}

/// Means of a system.
#[derive(JsonSchema)]
pub(crate) struct SystemMeans {
    /// Mean over all judged queries, by name of the measure.
    #[serde(flatten)]
    means: BTreeMap<String, f64>,
    /// Judged queries.
    queries: u64,
    /// Judged queries without a ranking.
    unanswered: u64,
}
