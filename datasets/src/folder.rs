//! Finding files in folders.

use std::path::{Path, PathBuf};

use crate::error::DatasetError;
use crate::foreign::stem_ends;
use crate::input::open_file;

/// `folder/name`, plain or compressed.
pub(crate) fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    ["", ".gz", ".zst"].iter().map(|end| folder.join(format!("{name}{end}"))).find(|p| p.is_file())
}

/// As [`find`], with an error that names the file.
pub(crate) fn require(folder: &Path, name: &str) -> Result<PathBuf, DatasetError> {
    find(folder, name)
        .ok_or_else(|| DatasetError::Missing { path: folder.join(name), hint: String::new() })
}

/// The documents of a folder of MS MARCO.
pub(crate) const MSMARCO_DOCUMENTS: &str = "collection.tsv";

/// Whether this is a folder of MS MARCO: documents in one file, queries and judgements in
/// `queries.SPLIT.tsv` and `qrels.SPLIT.tsv`.
pub(crate) fn is_msmarco(folder: &Path) -> bool {
    find(folder, MSMARCO_DOCUMENTS).is_some() && find(folder, "corpus.jsonl").is_none()
}

/// The judgements of one split of a folder, BEIR's or MS MARCO's; the error names the splits there are.
pub(crate) fn split(folder: &Path, split: &str) -> Result<PathBuf, DatasetError> {
    if is_msmarco(folder) {
        return of_split(folder, "qrels.", split);
    }
    of_split(&folder.join("qrels"), "", split)
}

/// The queries of one split of a folder of MS MARCO.
pub(crate) fn msmarco_queries(folder: &Path, split: &str) -> Result<PathBuf, DatasetError> {
    of_split(folder, "queries.", split)
}

/// `folder/BEFORE SPLIT.tsv`.
fn of_split(folder: &Path, before: &str, split: &str) -> Result<PathBuf, DatasetError> {
    let name = format!("{before}{split}.tsv");
    if let Some(found) = find(folder, &name) {
        return Ok(found);
    }
    let splits: Vec<String> = list(folder)
        .unwrap_or_default()
        .iter()
        .filter_map(|file| Some(stem(file)?.strip_prefix(before)?.strip_suffix(".tsv")?.to_owned()))
        .collect();
    let hint =
        if splits.is_empty() { String::new() } else { format!("; there is {}", splits.join(", ")) };
    Err(DatasetError::Missing { path: folder.join(name), hint })
}

/// Refuses a folder of queries or judgements without documents: its other files are not these.
pub(crate) fn expect_documents(folder: &Path) -> Result<(), DatasetError> {
    let there = |name: &str| folder.join(name).symlink_metadata().is_ok();
    for file in ["corpus.jsonl", "corpus.jsonl.gz", "corpus.jsonl.zst"] {
        if there(file) {
            // It is there, and was not found to be a file.
            open_file(&folder.join(file))?;
        }
    }
    if find(folder, "queries.jsonl").is_none() && !folder.join("qrels").is_dir() {
        return Ok(());
    }
    let hint =
        "; the folder has queries or qrels, so it is a collection, and its documents are lacking";
    Err(DatasetError::Missing { path: folder.join("corpus.jsonl"), hint: hint.to_owned() })
}

/// What else lies in a collection's folder that might be documents: not its own files.
pub(crate) fn beside_corpus(folder: &Path, corpus: &Path) -> Vec<String> {
    let data = |path: &PathBuf| {
        let ends = ["jsonl", "ndjson", "json", "tsv", "bin", "csr", "ciff"];
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path != corpus
            && ends.iter().any(|end| stem_ends(path, end))
            && !["queries", "qrels", "."].iter().any(|own| name.starts_with(own))
    };
    let files = list(folder).unwrap_or_default().into_iter().filter(data);
    files.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect()
}

/// The JSON files of a folder, plain or compressed, in order of their names; and the names of what is no
/// part. Hidden files (`.NAME`, macOS's `._NAME`) are none, and are not spoken of.
pub(crate) fn json_parts(folder: &Path) -> Result<(Vec<PathBuf>, Vec<String>), DatasetError> {
    let fail = |e| DatasetError::open(folder, e);
    let (mut parts, mut others) = (Vec::new(), Vec::new());
    for entry in folder.read_dir().map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_file = path.is_file();
        if name.starts_with('.') {
            continue;
        }
        if stem_ends(&path, "jsonl") || stem_ends(&path, "json") {
            // One that cannot be read would be missed by nobody.
            open_file(&path)?;
            parts.push(path);
        } else {
            others.push(if is_file { name } else { format!("{name}/") });
        }
    }
    parts.sort();
    others.sort();
    Ok((parts, others))
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let fail = |e| DatasetError::open(folder, e);
    let mut files = Vec::new();
    for entry in folder.read_dir().map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A file's name without the suffix of a compression.
fn stem(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    Some(name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name))
}
