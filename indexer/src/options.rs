//! Options, progress events and reports of builds.

use std::path::PathBuf;

use quarry_index::clusters::ClusterParams;
use quarry_index::features::{Channels, Features};
use quarry_index::fields::FieldRules;
use quarry_index::impact::MOST_DOCUMENTS;
use quarry_index::seismic::{SMALL_SEGMENT, SeismicParams, TINY_SEGMENT};
use quarry_vectors::{EncodeDocument, SplitText};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::BuildError;

/// Smallest memory limit: enough for three shards in flight, the lists of one term and tantivy's smallest
/// arena.
pub const LEAST_MEMORY: u64 = 128 << 20;

/// Number of rows from which clusters are worth building beside impact-ordered lists. Both took the same
/// time at 0.4 million documents; at 1.6 million, clusters took 0.8 of it (docs/figures/search.md). Below
/// a million rows the gain does not justify a second kind of lists.
pub const MANY_ROWS: u64 = 1_000_000;

/// Which kinds of lists are built over the vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lists {
    /// Impact-ordered lists for segments of more than [`SMALL_SEGMENT`] rows, and clusters as well for
    /// more than [`MANY_ROWS`].
    #[default]
    Auto,
    /// Exactly these, at any size. With none of them, every search is a full scan.
    These {
        /// Impact-ordered lists.
        impact: bool,
        /// Seismic's inverted lists, cut into blocks with summaries.
        seismic: bool,
        /// Clusters of similar documents with summaries; documents are stored in cluster order.
        clusters: bool,
    },
}

impl Lists {
    /// No lists: every search is a full scan.
    pub const NONE: Self = Self::These { impact: false, seismic: false, clusters: false };
    /// Impact-ordered lists only.
    pub const IMPACT: Self = Self::These { impact: true, seismic: false, clusters: false };
    /// Blocked lists only.
    pub const SEISMIC: Self = Self::These { impact: false, seismic: true, clusters: false };
    /// Clusters only.
    pub const CLUSTERS: Self = Self::These { impact: false, seismic: false, clusters: true };

    /// For a segment of this many rows that joins others: the lists that the index has, plus those that `Auto` builds.
    /// None for at most [`TINY_SEGMENT`] rows.
    pub(crate) fn of(features: &Features, rows: u64) -> Self {
        if rows <= TINY_SEGMENT {
            return Self::NONE;
        }
        let (auto, fits) = (Self::Auto, rows <= MOST_DOCUMENTS);
        Self::These {
            impact: auto.impact(rows) || (features.impact && fits),
            seismic: auto.seismic(rows) || features.seismic.is_some(),
            clusters: auto.clusters(rows) || (features.clusters.is_some() && fits),
        }
    }

    /// Whether a segment of this many rows gets impact-ordered lists.
    pub(crate) fn impact(self, rows: u64) -> bool {
        match self {
            Self::Auto => rows > SMALL_SEGMENT && rows <= MOST_DOCUMENTS,
            Self::These { impact, .. } => impact,
        }
    }

    /// Whether a segment gets blocked lists.
    pub(crate) fn seismic(self, rows: u64) -> bool {
        match self {
            Self::Auto => rows > MOST_DOCUMENTS,
            Self::These { seismic, .. } => seismic,
        }
    }

    /// Whether a segment gets clusters.
    pub(crate) fn clusters(self, rows: u64) -> bool {
        match self {
            Self::Auto => rows > MANY_ROWS && rows <= MOST_DOCUMENTS,
            Self::These { clusters, .. } => clusters,
        }
    }
}

/// Whether impact-ordered lists of words are built, for segments that have text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WordLists {
    /// For segments of more than [`SMALL_SEGMENT`] rows.
    #[default]
    Auto,
    /// At any size.
    Always,
    /// Not at all: BM25 scores every posting.
    Never,
}

impl WordLists {
    /// [`Self::Always`] if the index has them at any size, otherwise `Auto`.
    pub(crate) fn of(features: &Features) -> Self {
        if features.words { Self::Always } else { Self::Auto }
    }

    /// Whether a segment of this many rows gets them.
    pub(crate) fn wanted(self, rows: u64) -> bool {
        let fits = rows <= MOST_DOCUMENTS;
        match self {
            Self::Auto => rows > SMALL_SEGMENT && fits,
            Self::Always => fits,
            Self::Never => false,
        }
    }
}

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Levels {
    /// One byte if that is lossless, otherwise two.
    #[default]
    Auto,
    /// One byte.
    U8,
    /// Two bytes.
    U16,
}

/// How vectors, lists and fields are stored.
#[derive(Debug, Clone)]
pub struct SealOptions {
    /// Bytes that buffers and sorting may take together. In addition the process needs the model (if
    /// any), about 40 bytes a document for ids, and mapped pages that the system can drop.
    pub memory: u64,
    /// Seed of every random choice.
    pub seed: u64,
    /// How weights are stored.
    pub levels: Levels,
    /// Which kinds of lists are built over the vectors.
    pub lists: Lists,
    /// Whether lists of words are built.
    pub words: WordLists,
    /// How blocked lists are built.
    pub seismic: SeismicParams,
    /// How clusters are built.
    pub clusters: ClusterParams,
    /// Types of the documents' other fields, by path. Any other path gets the JSON kind of its first
    /// value; up to 1,000 paths.
    pub fields: FieldRules,
}

impl Default for SealOptions {
    /// 1 GiB of memory, seed 42, `Auto` lists and levels.
    fn default() -> Self {
        Self {
            memory: 1 << 30,
            seed: 42,
            levels: Levels::Auto,
            lists: Lists::Auto,
            words: WordLists::Auto,
            seismic: default_seismic(),
            clusters: default_clusters(),
            fields: FieldRules::new(),
        }
    }
}

/// How documents are read and grouped into shards.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// Documents per shard (a spool file), the unit of encoding and resuming.
    pub shard_documents: usize,
    /// Whether ids are known to be unique (row numbers of binary files), so that no check is needed.
    pub ids_are_unique: bool,
    /// Names of terms by term number, for vectors that use numbers.
    pub vocabulary: Option<Vec<String>>,
}

impl Default for IngestOptions {
    /// Shards of 65,536 documents; ids are checked; terms by number have no names.
    fn default() -> Self {
        Self { shard_documents: 1 << 16, ids_are_unique: false, vocabulary: None }
    }
}

/// All options of a build.
#[derive(Debug, Clone, Default)]
pub struct BuildOptions {
    /// The index folder.
    pub out: PathBuf,
    /// Replace an existing index.
    pub overwrite: bool,
    /// Continue an interrupted build.
    pub resume: bool,
    /// The options as the user gave them, for the manifest.
    pub description: Map<String, Value>,
    /// Identifies the input; a resumed build must have the same value.
    pub source: Value,
    /// Channels that the index has even if no document brings them. `None`: the channels that its
    /// documents bring, or both with an encoder.
    pub channels: Option<Channels>,
    /// How documents are read.
    pub ingest: IngestOptions,
    /// How documents are stored.
    pub seal: SealOptions,
}

impl BuildOptions {
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        self.seal.check()?;
        self.ingest.check()
    }
}

impl IngestOptions {
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        if self.shard_documents > 0 {
            return Ok(());
        }
        let found = "0".to_owned();
        Err(BuildError::Param { name: "shard documents", found, expected: "at least 1" })
    }
}

impl SealOptions {
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        if self.memory < LEAST_MEMORY {
            return Err(BuildError::Memory { found: self.memory, least: LEAST_MEMORY });
        }
        for (name, value) in
            [("cluster size", self.clusters.size), ("cluster components", self.clusters.components)]
        {
            if value == 0 {
                let found = "0".to_owned();
                return Err(BuildError::Param { name, found, expected: "at least 1" });
            }
        }
        let params = &self.seismic;
        if params.n_postings == 0 {
            let (found, expected) = ("0".to_owned(), "at least 1");
            return Err(BuildError::Param { name: "n-postings", found, expected });
        }
        let share = |name, value: f32| {
            if value > 0.0 && value <= 1.0 {
                return Ok(());
            }
            Err(BuildError::Param {
                name,
                found: value.to_string(),
                expected: "a number above 0 and at most 1",
            })
        };
        share("centroid fraction", params.centroid_fraction)?;
        share("summary energy", params.summary_energy)?;
        if !(params.max_fraction >= 1.0 && params.max_fraction.is_finite()) {
            let found = params.max_fraction.to_string();
            return Err(BuildError::Param {
                name: "max fraction",
                found,
                expected: "a number of at least 1",
            });
        }
        Ok(())
    }
}

/// The default parameters of Seismic's lists.
///
/// Chosen on wiki396k, queries 1,001 to 6,980, for an overlap@10 of at least 0.97 on both query sets
/// with the searcher's default parameters (docs/figures/search.md).
#[must_use]
pub fn default_seismic() -> SeismicParams {
    SeismicParams {
        n_postings: 400,
        max_fraction: 6.0,
        min_per_document: 16,
        centroid_fraction: 0.1,
        min_cluster_size: 2,
        document_cut: 15,
        summary_energy: 0.4,
    }
}

/// The default parameters of clusters (docs/decisions/0004-clusters.md).
#[must_use]
pub fn default_clusters() -> ClusterParams {
    ClusterParams { size: 4, components: 256 }
}

/// How texts are split into passages. The numbers are stored, so that added texts are split alike.
#[derive(Clone, Copy)]
pub struct Passages<'a> {
    /// Splits a text.
    pub splitter: &'a dyn SplitText,
    /// Tokens per passage.
    pub tokens: u32,
    /// Approximate number of tokens that neighbouring passages share.
    pub overlap: u32,
}

impl std::fmt::Debug for Passages<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Passages({}, {})", self.tokens, self.overlap)
    }
}

/// An encoder, and the files of it that the index keeps.
pub struct EncoderSetup<'a> {
    /// Turns passages into vectors.
    pub encoder: &'a dyn EncodeDocument,
    /// Its identity, for the manifest and for resuming a build.
    pub identity: Value,
    /// Its vocabulary, by term id.
    pub tokens: Vec<String>,
    /// Its tokenizer file, and the name that the copy in the index ends with.
    pub tokenizer: Option<Vec<u8>>,
    /// Its table of query token weights.
    pub query_table: Option<Vec<u8>>,
    /// Splits long texts into passages, each a row of its own. Without it, text beyond the model's
    /// longest input is cut off.
    pub passages: Option<Passages<'a>>,
    /// Whether the origin of each component is stored; the encoder must be able to report it.
    pub provenance: bool,
}

impl EncoderSetup<'_> {
    /// Fails if provenance is requested that the encoder cannot report.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        match self.provenance && self.encoder.traces().is_none() {
            true => Err(BuildError::NoProvenance),
            false => Ok(()),
        }
    }
}

impl std::fmt::Debug for EncoderSetup<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncoderSetup").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Progress of a build.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    /// Documents found in the finished shards of an earlier run.
    Resumed {
        /// Number of documents.
        documents: u64,
    },
    /// Documents read, encoded and written so far, earlier runs included.
    Documents {
        /// Number of documents.
        documents: u64,
        /// Components of the vectors of this run.
        components: u64,
        /// Documents of this run.
        this_run: u64,
    },
    /// A new stage begins.
    Stage {
        /// Its name.
        name: &'static str,
        /// Its number of steps.
        total: u64,
    },
    /// Progress within the stage.
    Step {
        /// Steps done.
        done: u64,
    },
}

/// What a build did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BuildReport {
    /// The generation committed.
    pub generation: u64,
    /// The index's identity.
    pub uuid: String,
    /// Number of documents.
    pub documents: u64,
    /// Number of rows: more than documents if texts were split into passages.
    pub rows: u64,
    /// Documents taken over from an interrupted run.
    pub resumed_documents: u64,
    /// Documents with an empty vector, which only BM25 finds.
    pub empty_vectors: u64,
    /// Passages cut off at the encoder's longest input, in this run.
    pub truncated: u64,
    /// Fields with a given type that no document has.
    pub unmet_fields: Vec<String>,
    /// Mean number of components per row.
    pub mean_components: f64,
    /// Largest relative error of a stored weight; 0 if storage is lossless. `None` without vectors, or if
    /// the build was already complete.
    pub max_relative_error: Option<f64>,
    /// Total bytes of all parts.
    pub bytes: u64,
    /// Whether the build was already complete, so that nothing was done.
    pub already_complete: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_by_size() {
        let kinds =
            |lists: Lists, rows| [lists.impact(rows), lists.seismic(rows), lists.clusters(rows)];
        let [none, impact, both, seismic] = [
            [false, false, false],
            [true, false, false],
            [true, false, true],
            [false, true, false],
        ];
        for (rows, wanted) in [
            (0, none),
            (SMALL_SEGMENT, none),
            (SMALL_SEGMENT + 1, impact),
            (MANY_ROWS, impact),
            (MANY_ROWS + 1, both),
            (MOST_DOCUMENTS, both),
            (MOST_DOCUMENTS + 1, seismic),
        ] {
            assert_eq!(kinds(Lists::Auto, rows), wanted, "{rows}");
            assert_eq!(kinds(Lists::NONE, rows), none, "{rows}");
            assert_eq!(kinds(Lists::IMPACT, rows), impact, "{rows}");
        }
    }
}
