//! What `index` and `add` share: options of the input, of encoding, and of how an index is stored.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::ValueEnum;
use quarry_datasets::{CollectionFormat, Duplicates};
use quarry_engine::write::{Encoding, Input, PassageSize, TextsAs};
use quarry_index::fields::{FieldRule, FieldRules};
use quarry_indexer::{Levels, Lists, SealOptions, WordLists, default_clusters, default_seismic};

use crate::bytes::parse_bytes;
use crate::collections::place;
use crate::exit::Usage;
use crate::output::note;
use crate::{model, models};

/// What is read, and what becomes of it: of a build and of documents added.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct InputArgs {
    /// Collection: a file, a folder, or the name of a pulled collection (`quarry dataset list`)
    pub(crate) input: PathBuf,
    /// Format of INPUT [default: detected]
    #[arg(long, value_enum)]
    pub(crate) format: Option<FormatArg>,
    /// Field of JSON lines that holds a document's vector, as {token: weight} or as indices and values
    /// [default: vector]
    #[arg(long, value_name = "NAME")]
    pub(crate) vector_field: Option<String>,
    /// Divide the weights of given vectors by X: 100 if they are integers, 100 times the real weights
    #[arg(long, value_name = "X")]
    pub(crate) scale: Option<f32>,
    /// Collection with the ids, texts and fields of INPUT's vectors: the same documents in the same order
    #[arg(long, value_name = "COLLECTION", conflicts_with = "doc_ids")]
    pub(crate) texts: Option<PathBuf>,
    /// File of the tokens that term numbers stand for, one a line, for .bin and .csr
    #[arg(long, value_name = "FILE")]
    pub(crate) vocab: Option<PathBuf>,
    /// File of the ids of the vectors in .bin and .csr, one a line [default: their positions, from 0]
    #[arg(long, value_name = "FILE")]
    pub(crate) doc_ids: Option<PathBuf>,
    /// Documents of one id that are not the same: refuse them, or take the last. Those that are the same
    /// are left out, and counted
    #[arg(long, value_enum, default_value_t = DuplicatesArg::Refuse)]
    pub(crate) duplicates: DuplicatesArg,
    /// Do not repair MS MARCO's doubly encoded UTF-8
    #[arg(long)]
    pub(crate) raw_encoding: bool,
    /// Type of another field of the documents, such as year:integer or place.city:keyword. Types: keyword,
    /// integer, float, date, bool, any (no check), stored (no check, and no filter). A value of another type is
    /// an error. A field that is not named has the type of its first value. May be given several times
    #[arg(long = "field", value_name = "NAME:TYPE", value_parser = parse_field)]
    pub(crate) fields: Vec<(String, FieldRule)>,
    /// Model that encodes the texts: a folder, a name such as org/name, or doc=MODEL,query=MODEL
    /// [default: the bundled model]
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    #[command(flatten)]
    pub(crate) run_on: model::RunOnArgs,
    /// Truncate texts after N tokens [default: the model's longest input]
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<u32>,
    /// Split texts into passages of N tokens, title included. The score of a document is that of its best
    /// passage [default: long texts are truncated]
    #[arg(long, value_name = "N")]
    pub(crate) passages: Option<u32>,
    /// Number of tokens that neighbouring passages share, about; at most half of --passages
    #[arg(long, value_name = "N", default_value_t = 32, requires = "passages")]
    pub(crate) passage_overlap: u32,
    /// Keep the N heaviest components of each vector; 0 keeps all [default: the model's]
    #[arg(long, value_name = "N")]
    pub(crate) top_k: Option<u32>,
    /// Record the word that each component of a vector comes from, for `search --explain`
    #[arg(long)]
    pub(crate) provenance: bool,
    /// What to build from texts: `sparse` (vectors and words) or `bm25` (words only, without a model)
    #[arg(long, value_enum, default_value_t = crate::channels::Channel::Sparse)]
    pub(crate) channel: crate::channels::Channel,
    /// Index structures to build over the vectors, comma-separated. With `none`, every search is a full scan
    #[arg(long, value_enum, value_delimiter = ',', default_value = "auto")]
    pub(crate) lists: Vec<ListsArg>,
    /// Bytes of a stored weight: `auto` takes one where that loses nothing, else two
    #[arg(long, value_enum, default_value_t = LevelsArg::Auto)]
    pub(crate) levels: LevelsArg,
    /// Seed of all random choices
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) seismic: SeismicArgs,
    #[command(flatten)]
    pub(crate) clusters: ClustersArgs,
    /// Most memory for buffers and sorting, such as 512MiB or 4GiB
    #[arg(long, value_name = "BYTES", default_value = "1GiB", value_parser = parse_bytes)]
    pub(crate) memory: u64,
}

/// How Seismic's lists are built.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SeismicArgs {
    /// Seismic: number of postings to keep per term, on average
    #[arg(long, value_name = "N", default_value_t = default_seismic().n_postings)]
    pub(crate) n_postings: u32,
    /// Seismic: longest list, as a multiple of --n-postings
    #[arg(long, value_name = "X", default_value_t = default_seismic().max_fraction)]
    pub(crate) max_fraction: f32,
    /// Seismic: always keep the N heaviest postings of a document
    #[arg(long, value_name = "N", default_value_t = default_seismic().min_per_document)]
    pub(crate) min_per_document: u32,
    /// Seismic: number of blocks of a list, as a share of its postings
    #[arg(long, value_name = "SHARE", default_value_t = default_seismic().centroid_fraction)]
    pub(crate) centroid_fraction: f32,
    /// Seismic: share of the total weight that a summary keeps
    #[arg(long, value_name = "SHARE", default_value_t = default_seismic().summary_energy)]
    pub(crate) summary_energy: f32,
}

/// How clusters are built.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ClustersArgs {
    /// Clusters: target number of documents per cluster
    #[arg(long, value_name = "N", default_value_t = default_clusters().size)]
    pub(crate) cluster_size: u32,
    /// Clusters: largest number of components of a summary
    #[arg(long, value_name = "N", default_value_t = default_clusters().components)]
    pub(crate) cluster_components: u32,
}

impl ClustersArgs {
    pub(crate) fn params(&self) -> quarry_index::clusters::ClusterParams {
        quarry_index::clusters::ClusterParams {
            size: self.cluster_size,
            components: self.cluster_components,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListsArg {
    /// `impact` for more than 10,000 documents, `clusters` too for more than a million.
    Auto,
    /// Impact-ordered lists, for exact and approximate search.
    Impact,
    /// Impact-ordered lists of words, for BM25; `auto` has them for more than 10,000 documents with text.
    Words,
    /// Seismic's blocked lists with summaries, for approximate search.
    Seismic,
    /// Clusters of similar documents with summaries, for approximate search. Documents are stored by cluster.
    Clusters,
    /// No structures: every search is a full scan.
    None,
}

/// `year:integer`; a path may have colons of its own.
fn parse_field(text: &str) -> Result<(String, FieldRule), String> {
    match text.rsplit_once(':') {
        Some((name, given)) if !name.is_empty() => {
            Ok((name.to_owned(), FieldRule::Given(given.parse()?)))
        }
        _ => Err(format!("`{text}` is not NAME:TYPE, such as year:integer")),
    }
}

fn fields(given: &[(String, FieldRule)]) -> Result<FieldRules, Usage> {
    let mut rules = FieldRules::new();
    for (name, rule) in given {
        if rules.insert(name.clone(), *rule).is_some_and(|before| before != *rule) {
            return Err(Usage(format!("--field: `{name}` was given two types")));
        }
    }
    Ok(rules)
}

/// `auto` and `none` stand alone.
fn lists(wanted: &[ListsArg]) -> Result<Lists, Usage> {
    match wanted {
        [ListsArg::Auto] => Ok(Lists::Auto),
        [ListsArg::None] => Ok(Lists::NONE),
        _ if wanted.iter().any(|l| matches!(l, ListsArg::Auto | ListsArg::None)) => {
            Err(Usage("--lists: auto and none stand alone".to_owned()))
        }
        _ => Ok(Lists::These {
            impact: wanted.contains(&ListsArg::Impact),
            seismic: wanted.contains(&ListsArg::Seismic),
            clusters: wanted.contains(&ListsArg::Clusters),
        }),
    }
}

/// As [`lists`], for those of words.
fn word_lists(wanted: &[ListsArg]) -> WordLists {
    match wanted {
        [ListsArg::Auto] => WordLists::Auto,
        _ if wanted.contains(&ListsArg::Words) => WordLists::Always,
        _ => WordLists::Never,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DuplicatesArg {
    /// Fail, and name both places.
    Refuse,
    /// Take the last one.
    Last,
}

impl From<DuplicatesArg> for Duplicates {
    fn from(arg: DuplicatesArg) -> Self {
        match arg {
            DuplicatesArg::Refuse => Self::Refuse,
            DuplicatesArg::Last => Self::Last,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LevelsArg {
    /// One byte where that loses nothing, else two.
    Auto,
    /// One byte.
    U8,
    /// Two bytes.
    U16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    /// A BEIR folder.
    Beir,
    /// MS MARCO's collection.tsv.
    Msmarco,
    /// One JSON object a line.
    Jsonl,
    /// Seismic's inner binary format.
    Bin,
    /// BigANN's sparse matrix.
    Csr,
    /// The Common Index File Format; its impacts are the weights, unless --scale divides them.
    Ciff,
}

impl From<FormatArg> for CollectionFormat {
    fn from(arg: FormatArg) -> Self {
        match arg {
            FormatArg::Beir => Self::Beir,
            FormatArg::Msmarco => Self::MsMarco,
            FormatArg::Jsonl => Self::JsonLines,
            FormatArg::Bin => Self::SeismicBin,
            FormatArg::Csr => Self::BigAnnCsr,
            FormatArg::Ciff => Self::Ciff,
        }
    }
}

impl From<LevelsArg> for Levels {
    fn from(arg: LevelsArg) -> Self {
        match arg {
            LevelsArg::Auto => Self::Auto,
            LevelsArg::U8 => Self::U8,
            LevelsArg::U16 => Self::U16,
        }
    }
}

impl InputArgs {
    /// The collection, and how it is read.
    pub(crate) fn collection(&self) -> anyhow::Result<Input> {
        Ok(Input {
            path: place(&self.input)?,
            format: self.format.map(Into::into),
            scale: self.scale,
            texts: self.texts.clone(),
            vector_field: self.vector_field.clone(),
            duplicates: self.duplicates.into(),
            vocabulary: self.vocab.clone(),
            ids: self.doc_ids.clone(),
            repair_encoding: !self.raw_encoding,
        })
    }

    /// Says that the default overlap is more than short passages can share. One that was given is refused
    /// before (`index_check`).
    pub(crate) fn tell_overlap(&self) {
        if let Some(tokens) = self.passages.filter(|tokens| self.passage_overlap > tokens / 2) {
            note(format!(
                "note: passages of {tokens} tokens share at most half of them, {} in place of the default {}",
                tokens / 2,
                self.passage_overlap
            ));
        }
    }

    /// How texts are encoded.
    pub(crate) fn encoding(&self, threads: Option<NonZeroUsize>) -> Encoding {
        let run_on = self.run_on.options(threads, self.max_tokens, self.top_k);
        let size = |tokens| PassageSize { tokens, overlap: self.passage_overlap };
        Encoding {
            model: models::source(self.model.as_deref()),
            device: run_on.device,
            memory: run_on.output_memory,
            sessions: run_on.sessions,
            max_tokens: run_on.max_tokens,
            top_k: run_on.top_k,
            passages: self.passages.map(size),
            provenance: self.provenance,
        }
    }

    /// What is built of texts.
    pub(crate) fn texts_as(&self) -> TextsAs {
        match self.channel == crate::channels::Channel::Bm25 {
            true => TextsAs::Bm25,
            false => TextsAs::Sparse,
        }
    }

    /// How vectors, lists and fields are stored.
    pub(crate) fn seal(&self) -> Result<SealOptions, Usage> {
        Ok(SealOptions {
            memory: self.memory,
            seed: self.seed,
            levels: self.levels.into(),
            lists: lists(&self.lists)?,
            words: word_lists(&self.lists),
            seismic: self.seismic.params(),
            clusters: self.clusters.params(),
            fields: fields(&self.fields)?,
        })
    }
}

impl SeismicArgs {
    pub(crate) fn params(&self) -> quarry_index::seismic::SeismicParams {
        quarry_index::seismic::SeismicParams {
            n_postings: self.n_postings,
            max_fraction: self.max_fraction,
            min_per_document: self.min_per_document,
            centroid_fraction: self.centroid_fraction,
            summary_energy: self.summary_energy,
            ..default_seismic()
        }
    }
}
