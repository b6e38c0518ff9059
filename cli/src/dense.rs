//! Options about dense vectors of queries.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::ValueEnum;
use quarry_datasets::{DenseRows, NamedDenseRows};
use quarry_engine::{
    DenseMethod, DenseModel, DenseSearchOptions, DenseVector, Index, SearchOptions,
};
use quarry_vectors::{Query, counted};

use crate::applies::Given;
use crate::exit::{BadInput, Usage};
use crate::models;
use crate::output::{agreeing, note};

/// How dense vectors are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum DenseMethodArg {
    /// Compare every vector.
    #[default]
    Exact,
    /// Walk the graph that `quarry dense graph` builds; approximate, aims at --overlap.
    Graph,
}

impl From<DenseMethodArg> for DenseMethod {
    fn from(arg: DenseMethodArg) -> Self {
        match arg {
            DenseMethodArg::Exact => Self::Exact,
            DenseMethodArg::Graph => Self::Graph,
        }
    }
}

impl From<DenseMethodArg> for quarry_server::api::DenseMethod {
    fn from(arg: DenseMethodArg) -> Self {
        match arg {
            DenseMethodArg::Exact => Self::Exact,
            DenseMethodArg::Graph => Self::Graph,
        }
    }
}

/// Dense vectors of queries, and how they are searched.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct DenseArgs {
    /// File of the queries' dense vectors, queries x dimensions (.npy, fp16 or fp32), one row for each query, in
    /// their order
    #[arg(long, value_name = "FILE")]
    pub(crate) dense_queries: Option<PathBuf>,
    /// File of the queries' ids, one a line, in the order of the rows; rows may then be more than queries
    #[arg(long, value_name = "FILE", requires = "dense_queries")]
    pub(crate) dense_query_ids: Option<PathBuf>,
    /// Model of the queries' dense vectors: a folder, or a name such as org/name [default: the index's, else the
    /// bundled model]
    #[arg(long, value_name = "MODEL", conflicts_with = "dense_queries")]
    pub(crate) dense_model: Option<String>,
    /// How to search dense vectors
    #[arg(long, value_enum, default_value_t = DenseMethodArg::Exact)]
    pub(crate) dense_method: DenseMethodArg,
    /// Graph: number of rows to keep during the walk [default: from --overlap]
    #[arg(long, value_name = "N")]
    pub(crate) dense_beam: Option<NonZeroUsize>,
}

/// Options of the channel dense.
pub(crate) const OF_DENSE: [&str; 5] =
    ["dense_queries", "dense_query_ids", "dense_model", "dense_method", "dense_beam"];

impl DenseArgs {
    /// Refuses options of another method.
    pub(crate) fn check(&self, given: Given<'_>) -> Result<(), Usage> {
        let graph = self.dense_method == DenseMethodArg::Graph;
        given.only_if(graph, &["dense_beam"], "it is of --dense-method graph")
    }

    /// Whether --overlap says how thoroughly dense vectors are searched.
    pub(crate) fn takes_overlap(&self) -> bool {
        self.dense_method == DenseMethodArg::Graph && self.dense_beam.is_none()
    }

    /// Adds how dense vectors are searched.
    pub(crate) fn on(&self, options: SearchOptions, overlap: f32) -> SearchOptions {
        let method = self.dense_method.into();
        let dense = DenseSearchOptions { method, overlap, beam: self.dense_beam };
        let mut options = options;
        options.dense = dense;
        options
    }

    /// What makes the dense vectors of queries.
    pub(crate) fn model(&self) -> DenseModel {
        match &self.dense_queries {
            Some(_) => DenseModel::Brought,
            None => {
                DenseModel::Model(models::source(self.dense_model.as_deref()).unwrap_or_default())
            }
        }
    }

    /// The vectors of queries, in their order, where they are in a file.
    pub(crate) fn vectors(&self, queries: &[Query]) -> anyhow::Result<Option<Vec<DenseVector>>> {
        let Some(path) = &self.dense_queries else { return Ok(None) };
        let missing = |query: &Query| {
            BadInput(format!(
                "{}: the row of query `{}` is zero, which stands for no vector",
                path.display(),
                query.id
            ))
        };
        let mut vectors = Vec::with_capacity(queries.len());
        if let Some(ids) = &self.dense_query_ids {
            let mut rows = NamedDenseRows::open(path, ids)?;
            for query in queries {
                let found = rows.vector(&query.id).ok_or_else(|| {
                    BadInput(format!("{}: no row for query `{}`", ids.display(), query.id))
                })?;
                vectors.push(found?.ok_or_else(|| missing(query))?);
            }
            return Ok(Some(vectors));
        }
        let mut rows = DenseRows::open(path)?;
        if rows.len() != queries.len() as u64 {
            let text = format!(
                "{}: {} for {}; --dense-query-ids FILE says which row is of which query",
                path.display(),
                counted(rows.len(), "row"),
                counted(queries.len() as u64, "query")
            );
            return Err(BadInput(text).into());
        }
        for (position, query) in (0..).zip(queries) {
            vectors.push(rows.vector(position)?.ok_or_else(|| missing(query))?);
        }
        Ok(Some(vectors))
    }
}

/// Says which documents the channel dense does not find.
pub(crate) fn tell_lacking(index: &Index) {
    let (mut segments, mut documents) = (0u64, 0);
    let Some(kept) = index.dense() else { return };
    let imported = kept.imported_from().is_some();
    for segment in index.without_dense() {
        (segments, documents) = (segments + 1, documents + segment.entry().documents);
    }
    if segments > 0 {
        note(format!(
            "note: {} in {} {} no dense vectors: --channel dense does not find {}; `quarry dense add {}{}` adds the \
             missing ones",
            counted(documents, "document"),
            counted(segments, "segment"),
            agreeing(documents, "has", "have"),
            agreeing(documents, "it", "them"),
            index.folder().display(),
            if imported { " --rows FILE --ids FILE" } else { "" }
        ));
    }
}
