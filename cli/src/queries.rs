//! Queries: read from files, and encoded by the engine, with what the command line says of it.

use std::collections::BTreeMap;
use std::path::Path;

use clap::ValueEnum;
use quarry_datasets::{QueryFormat, QueryOptions, read_queries};
use quarry_engine::{
    Channel, EncodedQuery, EngineError, Index, SearchError, Snapshot, SparseQuery,
};
use quarry_vectors::{InputVector, Query, SparseVector};

use crate::exit::Usage;
use crate::output::{agreeing, count, counted, note};
use crate::told::told;

/// How a file of queries is read.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct QueryArgs {
    /// Format of the queries. A .tsv is read as text, unless this is `anserini`
    #[arg(long, value_enum, default_value_t = QueryFormatArg::Auto)]
    query_format: QueryFormatArg,
    /// Divide the weights of given query vectors by X
    #[arg(long, value_name = "X")]
    query_scale: Option<f32>,
    /// Field of JSON lines that holds a query's vector [default: vector]
    #[arg(long, value_name = "NAME")]
    vector_field: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum QueryFormatArg {
    /// Detect from content; a .tsv is read as text.
    #[default]
    Auto,
    /// A BEIR folder.
    Beir,
    /// One JSON object a line.
    Jsonl,
    /// id TAB text.
    Text,
    /// id TAB tokens, each repeated by its weight.
    Anserini,
    /// Seismic's inner binary format.
    Bin,
    /// BigANN's sparse matrix.
    Csr,
}

impl From<QueryFormatArg> for QueryFormat {
    fn from(arg: QueryFormatArg) -> Self {
        match arg {
            QueryFormatArg::Auto => Self::Auto,
            QueryFormatArg::Beir => Self::Beir,
            QueryFormatArg::Jsonl => Self::JsonLines,
            QueryFormatArg::Text => Self::Text,
            QueryFormatArg::Anserini => Self::Anserini,
            QueryFormatArg::Bin => Self::SeismicBin,
            QueryFormatArg::Csr => Self::BigAnnCsr,
        }
    }
}

/// Options of a file of queries.
pub(crate) const OF_QUERIES: [&str; 3] = ["query_format", "query_scale", "vector_field"];

/// Whether a file's name ends so, before the ending of a compression.
fn options_end(name: &str, end: &str) -> bool {
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    Path::new(name).extension().is_some_and(|found| found.eq_ignore_ascii_case(end))
}

impl QueryArgs {
    /// Reads a file or folder, of a folder the queries that a split judges.
    pub(crate) fn read(&self, path: &Path, split: Option<&str>) -> anyhow::Result<Vec<Query>> {
        let options = QueryOptions {
            format: self.query_format.into(),
            scale: self.query_scale,
            vector_field: self.vector_field.clone(),
            split: split.map(str::to_owned),
        };
        let read = read_queries(path, &options)?;
        let (path, given) = (path.display(), |query: &Query| query.vector.is_some());
        if self.query_scale.is_some() && !read.queries.iter().any(given) {
            let text = format!(
                "--query-scale divides given weights, and {path} brings texts: leave it out"
            );
            return Err(Usage(text).into());
        }
        let numbered = |query: &Query| matches!(query.vector, Some(InputVector::Terms(_)));
        let binary = ["bin", "csr"].iter().any(|end| options_end(&path.to_string(), end));
        if self.vector_field.is_some() && binary && read.queries.iter().all(numbered) {
            let text = format!(
                "--vector-field names a field of JSON lines, and {path} has none: leave it out"
            );
            return Err(Usage(text).into());
        }
        for notice in &read.notices {
            note(format!("note: {notice}"));
        }
        Ok(read.queries)
    }
}

/// Says how many queries found nothing, where nothing but their words can be the reason.
pub(crate) fn tell_silent<'a>(ids: impl Iterator<Item = &'a str>) {
    let silent: Vec<&str> = ids.collect();
    if let Some(first) = silent.first() {
        let many = silent.len() as u64;
        note(format!(
            "note: {} {} no words that can match, such as {first:?}: nothing is found for {}",
            counted(many, "query"),
            agreeing(many, "has", "have"),
            agreeing(many, "it", "them")
        ));
    }
}

/// Queries as the engine takes them, in their order; terms given by number are the index's, or named by
/// `vocabulary`.
pub(crate) fn asked(
    index: &Index,
    queries: &[Query],
    vocabulary: Option<&[String]>,
) -> anyhow::Result<Vec<quarry_engine::Query>> {
    let Some(names) = vocabulary else { return Ok(queries.iter().map(Into::into).collect()) };
    if !queries.iter().any(|query| matches!(query.vector, Some(InputVector::Terms(_)))) {
        let text = "--vocab names terms given by number, and no query gives any: leave it out";
        return Err(Usage(text.to_owned()).into());
    }
    if index.lexicon().is_some_and(|lexicon| !lexicon.is_named()) {
        let text =
            "--vocab names terms, and the index's terms are numbers without names: leave it out";
        return Err(Usage(text.to_owned()).into());
    }
    let named = |query: &Query| {
        let mut asked = quarry_engine::Query::from(query);
        if let Some(InputVector::Terms(vector)) = &query.vector {
            let vector = SparseQuery::named(vector, names).map_err(|e| of_query(&query.id, e))?;
            asked.sparse = Some(vector);
        }
        Ok(asked)
    };
    queries.iter().map(named).collect()
}

/// Queries in the form that a channel of an index searches. Tokens that the index does not know are counted
/// and reported on standard error.
pub(crate) fn encoded(
    snapshot: &Snapshot,
    channel: Channel,
    queries: &[Query],
    vocabulary: Option<&[String]>,
) -> anyhow::Result<Vec<EncodedQuery>> {
    encoded_of(snapshot, channel, queries, &asked(snapshot.index(), queries, vocabulary)?)
}

/// The same of queries as the engine takes them.
pub(crate) fn encoded_of(
    snapshot: &Snapshot,
    channel: Channel,
    queries: &[Query],
    asked: &[quarry_engine::Query],
) -> anyhow::Result<Vec<EncodedQuery>> {
    let encoded = snapshot.encode(asked, channel).into_iter().zip(queries);
    let encoded: Vec<EncodedQuery> = encoded
        .map(|(found, query)| found.map_err(|error| of_query(&query.id, error)))
        .collect::<anyhow::Result<_>>()?;
    tell_unknown(&encoded);
    Ok(encoded)
}

/// The index's vectors of queries, as [`encoded`] makes them.
pub(crate) fn vectors(
    snapshot: &Snapshot,
    queries: &[Query],
    vocabulary: Option<&[String]>,
) -> anyhow::Result<Vec<SparseVector>> {
    let encoded = encoded(snapshot, Channel::Sparse, queries, vocabulary)?;
    Ok(encoded.iter().filter_map(EncodedQuery::vector).cloned().collect())
}

fn tell_unknown(encoded: &[EncodedQuery]) {
    let mut unknown: BTreeMap<&str, u64> = BTreeMap::new();
    for token in encoded.iter().flat_map(|query| &query.unknown) {
        *unknown.entry(token).or_default() += 1;
    }
    if !unknown.is_empty() {
        let all = unknown.values().sum();
        let examples: Vec<&str> = unknown.keys().take(5).copied().collect();
        note(format!(
            "note: {} ({} different) {} in the index's lexicon and cannot match, such as {}",
            counted(all, "query token"),
            count(unknown.len() as u64),
            agreeing(all, "is not", "are not"),
            examples.join(", ")
        ));
    }
}

/// An error of one query, with its id and the option that helps.
pub(crate) fn of_query(id: &str, error: EngineError) -> anyhow::Error {
    match &error {
        EngineError::Search(SearchError::NoSparse) => {
            let text = format!("{error}; search it with --channel bm25");
            anyhow::Error::from(error).context(text)
        }
        EngineError::NoQueryEncoder => anyhow::anyhow!(
            "query `{id}` is text, and this index has no query encoder: give encoded queries, or --model"
        ),
        EngineError::Weights { .. } | EngineError::BeyondVocabulary { .. } => {
            anyhow::Error::from(error).context(format!("query `{id}`"))
        }
        _ => told(error),
    }
}
