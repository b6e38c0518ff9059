//! What an index says of itself, as `inspect`, `tokens add` and `tune` print it. index/FORMAT.md explains it.
#![allow(dead_code, reason = "the types stand for JSON; nothing is read from them")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::{Map, Value};

/// A generation of an index.
#[derive(JsonSchema)]
pub(crate) struct Manifest {
    /// Always quarry-index.
    magic: String,
    /// Format of the index.
    format: u32,
    /// Identity of the index.
    uuid: String,
    /// Number of the generation, from 1.
    generation: u64,
    /// Always 0.
    applied_sequence: u64,
    /// Version of the program that wrote it.
    written_by: String,
    /// Seed of all random choices.
    seed: u64,
    /// How it was built.
    build: Map<String, Value>,
    /// Identities of encoders, by channel.
    encoders: Map<String, Value>,
    /// Types of other fields, given or seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<BTreeMap<String, BTreeMap<String, String>>>,
    /// What added documents get.
    features: Features,
    /// Files of the whole index.
    assets: Vec<File>,
    /// Segments, in order.
    segments: Vec<SegmentFiles>,
}

/// What added documents get.
#[derive(JsonSchema)]
pub(crate) struct Features {
    /// What can be searched.
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<Channels>,
    /// Token embeddings.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<TokensKept>,
    /// Dense vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    dense: Option<DenseKept>,
    /// The graph over dense vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    neighbours: Option<NeighbourParams>,
    /// Impact-ordered lists.
    impact: bool,
    /// Impact-ordered lists of words.
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<bool>,
    /// Seismic's lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    seismic: Option<SeismicParams>,
    /// Clusters.
    #[serde(skip_serializing_if = "Option::is_none")]
    clusters: Option<ClusterParams>,
}

/// What can be searched.
#[derive(JsonSchema)]
pub(crate) struct Channels {
    /// Vectors.
    sparse: bool,
    /// Words.
    bm25: bool,
}

/// How token embeddings are stored.
#[derive(JsonSchema)]
pub(crate) struct TokensKept {
    /// Dimensions of a row.
    dims: u64,
    /// Forms that are stored.
    forms: Vec<Form>,
    /// Rows that are merged into one, at most.
    pool: u64,
    /// Centroids of the form 4bit.
    centroids: u64,
    /// Identity of the model, or name of the imported file.
    source: Value,
}

/// How dense vectors are stored.
#[derive(JsonSchema)]
pub(crate) struct DenseKept {
    /// Dimensions of a vector.
    dims: u64,
    /// int8, fp16 or fp32.
    storage: String,
    /// Identity of the model, or name of the imported file.
    source: Value,
}

/// A form of token embeddings.
#[derive(JsonSchema)]
pub(crate) enum Form {
    /// One byte a dimension.
    #[serde(rename = "int8")]
    Int8,
    /// Half precision.
    #[serde(rename = "fp16")]
    Fp16,
    /// A centroid and half a byte a dimension.
    #[serde(rename = "4bit")]
    Residual,
    /// One bit a dimension.
    #[serde(rename = "1bit")]
    Sign,
}

/// A file of an index.
#[derive(JsonSchema)]
pub(crate) struct File {
    /// What it holds.
    kind: String,
    /// Version of its layout.
    version: u32,
    /// Its name in the folder.
    file: String,
    /// Its length in bytes.
    bytes: u64,
    /// XXH3-64, in hexadecimal.
    checksum: String,
    /// Whether a program that does not know the kind must refuse the index.
    required: bool,
}

/// Files of a segment.
#[derive(JsonSchema)]
pub(crate) struct SegmentFiles {
    /// Name of the segment.
    id: String,
    /// Documents, or passages of those that were split.
    rows: u64,
    /// Documents that are not deleted.
    documents: u64,
    /// Its files.
    parts: Vec<File>,
}

/// What a segment holds; null for what it does not have.
#[derive(JsonSchema)]
pub(crate) struct Segment {
    /// Name of the segment.
    id: String,
    /// Documents, or passages of those that were split.
    rows: u64,
    /// The vectors.
    forward: Option<Forward>,
    /// Seismic's lists.
    seismic: Option<Seismic>,
    /// Impact-ordered lists.
    impact: Option<Impact>,
    /// Impact-ordered lists of words.
    words: Option<Words>,
    /// Clusters.
    clusters: Option<Clusters>,
    /// The table that --overlap chooses by.
    calibration: Option<Calibration>,
    /// Whether it has words and stored documents.
    text: bool,
    /// Words that components come from.
    provenance: Option<Provenance>,
    /// Token embeddings.
    tokens: Option<Tokens>,
    /// Dense vectors.
    dense: Option<Dense>,
    /// The graph over dense vectors.
    neighbours: Option<Graph>,
}

/// The graph over a segment's dense vectors.
#[derive(JsonSchema)]
pub(crate) struct Graph {
    /// How it was made, and what was measured.
    meta: GraphMeta,
    /// Bytes of the file.
    bytes: u64,
}

/// How a graph was made.
#[derive(JsonSchema)]
pub(crate) struct GraphMeta {
    /// Parameters.
    params: NeighbourParams,
    /// Seed of the random choices.
    seed: u64,
    /// Checksum of the dense vectors that it was made of.
    dense: String,
    /// What walks found and cost, ascending by k and beam.
    measured: Vec<MeasuredBeam>,
}

/// Parameters of a graph.
#[derive(JsonSchema)]
pub(crate) struct NeighbourParams {
    /// Most neighbours of a row.
    degree: u32,
    /// Rows that the search for a row's neighbours keeps.
    beam: u32,
}

/// What walks with a beam found and cost.
#[derive(JsonSchema)]
pub(crate) struct MeasuredBeam {
    /// Results asked for.
    k: u32,
    /// Rows kept.
    beam: u32,
    /// Mean overlap@k with the exact search.
    overlap: f64,
    /// Mean number of rows scored.
    scored: f64,
}

/// Lists of words.
#[derive(JsonSchema)]
pub(crate) struct Words {
    /// What they were made with.
    meta: WordsMeta,
    /// How they lie.
    lists: Impact,
}

/// What lists of words were made with.
#[derive(JsonSchema)]
pub(crate) struct WordsMeta {
    /// Saturation of term frequency.
    k1: f64,
    /// Share of length normalisation.
    b: f64,
    /// Mean length of the segment's texts, in words.
    mean_length: f64,
    /// Words of the dictionary.
    words: u64,
    /// Words of fewer rows have no list.
    least_rows: u32,
}

/// Vectors of a segment.
#[derive(JsonSchema)]
pub(crate) struct Forward {
    /// Number of terms, scaled ones included.
    dimension: u32,
    /// Width of a term: u16 or u32.
    terms: String,
    /// How weights are stored.
    quantization: Quantization,
    /// Stored levels of all documents.
    components: u64,
    /// Largest error of a weight.
    max_error: f64,
    /// Mean squared error.
    mean_square_error: f64,
    /// Scaled terms.
    scaled: u32,
    /// Weights up to this may be off by as much.
    tolerance: Option<f64>,
    /// Largest relative error of a weight above `tolerance`.
    max_relative_error: f64,
}

/// How weights are stored.
#[derive(JsonSchema)]
pub(crate) struct Quantization {
    /// Width of a level: u8 or u16.
    levels: String,
    /// Weight of one level.
    scale: f64,
    /// Whether nothing is lost.
    lossless: bool,
}

/// Seismic's lists.
#[derive(JsonSchema)]
pub(crate) struct Seismic {
    /// How they were built.
    params: SeismicParams,
    /// Seed of random choices.
    seed: u64,
    /// Lists.
    lists: u32,
    /// Blocks of all lists.
    blocks: u64,
    /// Postings of all blocks.
    postings: u64,
    /// Components of all summaries.
    summary_components: u64,
}

/// Parameters of Seismic's lists.
#[derive(JsonSchema)]
pub(crate) struct SeismicParams {
    /// Postings per term, on average.
    n_postings: u32,
    /// Longest list, as a multiple of `n_postings`.
    max_fraction: f32,
    /// Postings of a document that are always kept.
    min_per_document: u32,
    /// Blocks of a list, as a share of its postings.
    centroid_fraction: f32,
    /// Smaller blocks are dissolved.
    min_cluster_size: u32,
    /// Components of a document that decide its block.
    document_cut: u32,
    /// Share of the total weight that a summary keeps.
    summary_energy: f32,
}

/// Impact-ordered lists.
#[derive(JsonSchema)]
pub(crate) struct Impact {
    /// Lists.
    lists: u32,
    /// Postings of all lists.
    postings: u64,
    /// Rows of a window.
    window: u32,
    /// Windows of the segment.
    windows: u32,
    /// Lists of at least this many postings are dense.
    dense_from: u32,
}

/// Clusters.
#[derive(JsonSchema)]
pub(crate) struct Clusters {
    /// How they were built.
    params: ClusterParams,
    /// Seed of random choices.
    seed: u64,
    /// Clusters.
    clusters: u32,
    /// Documents of the largest cluster.
    most: u32,
}

/// Parameters of clusters.
#[derive(JsonSchema)]
pub(crate) struct ClusterParams {
    /// Target number of documents per cluster.
    size: u32,
    /// Largest number of components of a summary.
    components: u32,
}

/// Provenance of a segment.
#[derive(JsonSchema)]
pub(crate) struct Provenance {
    /// What is kept.
    meta: ProvenanceMeta,
    /// Bytes of the file.
    bytes: u64,
}

/// What provenance is kept.
#[derive(JsonSchema)]
pub(crate) struct ProvenanceMeta {
    /// max: the token that gave a weight. sum: the token with the largest share.
    pooled_by: String,
    /// Rows that have it.
    rows: u64,
    /// Bytes of all records.
    bytes: u64,
}

/// Dense vectors of a segment.
#[derive(JsonSchema)]
pub(crate) struct Dense {
    /// How they are stored.
    meta: DenseMeta,
    /// Bytes of the file.
    bytes: u64,
    /// Bytes of a row.
    bytes_a_row: u64,
}

/// How dense vectors are stored.
#[derive(JsonSchema)]
pub(crate) struct DenseMeta {
    /// Dimensions of a vector.
    dims: u64,
    /// Dimensions of a stored row, with padding.
    stride: u64,
    /// Rows that have a vector.
    vectors: u64,
    /// int8, fp16 or fp32.
    storage: String,
    /// Identity of the model, or name of the imported file.
    source: Value,
}

/// Token embeddings of a segment.
#[derive(JsonSchema)]
pub(crate) struct Tokens {
    /// How they are stored.
    meta: TokensMeta,
    /// Bytes of the file.
    bytes: u64,
    /// Bytes of a row, by form.
    bytes_a_row: BTreeMap<String, u64>,
}

/// How token embeddings are stored.
#[derive(JsonSchema)]
pub(crate) struct TokensMeta {
    /// Dimensions of a row.
    dims: u64,
    /// Dimensions of a stored row, with padding.
    stride: u64,
    /// Rows of all documents.
    tokens: u64,
    /// Rows of the longest document.
    longest: u64,
    /// Forms that are stored.
    forms: Vec<Form>,
    /// Upper bound of the norm of a row.
    max_norm: f32,
    /// Mean bound of the error of the int8 form.
    mean_error: f64,
    /// Rows that are merged into one, at most.
    pool: u64,
    /// Centroids of the form 4bit.
    centroids: u64,
    /// Identity of the model, or name of the imported file.
    source: Value,
}

/// What each overlap costs.
#[derive(JsonSchema)]
pub(crate) struct Calibration {
    /// Where its queries come from.
    source: String,
    /// Queries of each kind.
    queries: u32,
    /// Instructions of the inner loops: scalar, avx2 or avx512.
    kernels: String,
    /// Time of each unit of work, by method.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    units: Vec<Units>,
    /// A curve for each method, k and kind of query.
    curves: Vec<Curve>,
}

/// Microseconds of each unit of work on one thread.
#[derive(JsonSchema)]
pub(crate) struct Units {
    /// The method.
    method: String,
    /// Of a query, whatever it does.
    query: f64,
    /// Of one of each.
    each: Work,
}

/// What a search does, mean over queries.
#[derive(JsonSchema)]
pub(crate) struct Work {
    /// Terms of the query.
    terms: f64,
    /// Postings added up.
    postings: f64,
    /// Documents scored exactly.
    documents: f64,
    /// Blocks whose summary was read.
    blocks: f64,
}

/// A method's operating points.
#[derive(JsonSchema)]
pub(crate) struct Curve {
    /// The method.
    method: String,
    /// Number of results.
    k: u32,
    /// Mean number of terms of the queries.
    query_terms: f64,
    /// Mean number of terms if all weights of a query were equal.
    #[serde(skip_serializing_if = "Option::is_none")]
    even_terms: Option<f64>,
    /// Points, cheapest first.
    points: Vec<Point>,
}

/// An operating point.
#[derive(JsonSchema)]
pub(crate) struct Point {
    /// The parameters.
    setting: Setting,
    /// Mean overlap@k with the exact search.
    overlap: f64,
    /// Microseconds a query on one thread.
    micros: f64,
    /// What was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    work: Option<Work>,
}

/// Parameters of a method; those of other methods are absent.
#[derive(JsonSchema)]
pub(crate) struct Setting {
    /// Postings to add up.
    #[serde(skip_serializing_if = "Option::is_none")]
    postings: Option<u32>,
    /// Documents to score exactly, or clusters.
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates: Option<u32>,
    /// Query terms whose lists are visited.
    #[serde(skip_serializing_if = "Option::is_none")]
    query_cut: Option<u32>,
    /// Share of the threshold that a block's estimate must reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    heap_factor: Option<f32>,
    /// Share of the query that is always kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<f32>,
}
