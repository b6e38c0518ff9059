//! A query set, read as a whole.

use std::path::Path;

use quarry_vectors::Query;

use crate::collection::{check_scale, open_collection};
use crate::detect::{Looks, look};
use crate::error::DatasetError;
use crate::input::Input;
use crate::lines::{Line, Lines};
use crate::options::{CollectionFormat, CollectionOptions, QueryFormat, QueryOptions};
use crate::qrels::Qrels;
use crate::{anserini_queries, folder, json_record, tab_separated};

/// Reads all queries of a file or of a folder of BEIR or MS MARCO, in file order; of a folder those of the
/// split that are judged.
///
/// # Errors
/// When it cannot be read, is in no known format, or a record is damaged; when the split of a
/// folder is not there, or [`QueryOptions::scale`] is not a finite number above 0.
pub fn open_queries(path: &Path, options: &QueryOptions) -> Result<Vec<Query>, DatasetError> {
    check_scale(options.scale)?;
    if options.format == QueryFormat::Beir || path.is_dir() {
        return of_folder(path, options);
    }
    let input = Input::open(path)?;
    let format = match options.format {
        QueryFormat::Auto => match look(&input)? {
            Looks::JsonLines => QueryFormat::JsonLines,
            Looks::TabSeparated => QueryFormat::Text,
            Looks::SeismicBin => QueryFormat::SeismicBin,
            Looks::BigAnnCsr => QueryFormat::BigAnnCsr,
            Looks::Ciff => {
                return Err(DatasetError::UnknownFormat {
                    path: path.to_owned(),
                    expected: "queries; this is CIFF, which holds documents",
                });
            }
        },
        named => named,
    };
    let scale = options.scale;
    let parse: &dyn Fn(Line<'_>) -> Result<Query, DatasetError> = match format {
        QueryFormat::Auto | QueryFormat::Beir | QueryFormat::JsonLines => {
            &|line| json_record::query(line, scale)
        }
        QueryFormat::Text => &tab_separated::query,
        QueryFormat::Anserini => &|line| anserini_queries::query(line, scale),
        QueryFormat::SeismicBin => return vectors(path, CollectionFormat::SeismicBin, scale),
        QueryFormat::BigAnnCsr => return vectors(path, CollectionFormat::BigAnnCsr, scale),
    };
    let mut queries = Vec::new();
    Lines::new(input).each_filled(|line| {
        queries.push(parse(line)?);
        Ok(())
    })?;
    Ok(queries)
}

fn of_folder(folder: &Path, options: &QueryOptions) -> Result<Vec<Query>, DatasetError> {
    let (file, format) = if folder::is_msmarco(folder) {
        let split = options.split.as_deref().unwrap_or("SPLIT");
        (folder::msmarco_queries(folder, split)?, QueryFormat::Text)
    } else {
        (folder::require(folder, "queries.jsonl")?, QueryFormat::JsonLines)
    };
    let mut queries = open_queries(&file, &QueryOptions { format, ..options.clone() })?;
    if let Some(split) = &options.split
        && (format == QueryFormat::Text || folder.join("qrels").is_dir())
    {
        let qrels = Qrels::read(&folder::split(folder, split)?)?;
        queries.retain(|query| qrels.judged(&query.id).is_some());
    }
    Ok(queries)
}

fn vectors(
    path: &Path,
    format: CollectionFormat,
    scale: Option<f32>,
) -> Result<Vec<Query>, DatasetError> {
    let options = CollectionOptions { format: Some(format), scale, ..CollectionOptions::default() };
    open_collection(path, &options)?
        .map(|document| {
            let document = document?;
            Ok(Query { id: document.id, text: document.text, vector: document.vector })
        })
        .collect()
}
