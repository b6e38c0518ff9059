//! The fields that documents have, with their kinds, for who writes filters.
//!
//! Cost: of each field a few look-ups in each segment's dictionary, and its columns are opened; no value is read.

use quarry_index::guarded;
use quarry_index::text::TextIndex;

use crate::error::SearchError;
use crate::filter::query::FIELDS;
use crate::filter::values::{Kinds, paths};
use crate::searcher::Searcher;

/// A field of documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedField {
    /// Its path, as a filter names it.
    pub path: String,
    /// The kinds of its values: `text`, `number`, `boolean`, `date`, `object`.
    pub kinds: Vec<&'static str>,
    /// Number of its values: of lists each one counts, and those of deleted documents until they are merged away; where texts
    /// are split, each passage has its document's.
    pub values: u64,
}

impl Searcher {
    /// The fields that are indexed for filters, by path, at most `most`, and whether there are more.
    ///
    /// # Errors
    /// When the index's files cannot be read.
    pub fn fields(&self, most: usize) -> Result<(Vec<ListedField>, bool), SearchError> {
        let texts = self.texts();
        let Some(first) = texts.first() else { return Ok((Vec::new(), false)) };
        guarded(first.path(), || {
            let mut paths = paths(&texts, most.saturating_add(1))?;
            let more = paths.len() > most;
            if more {
                paths.pop_last();
            }
            let listed = paths.into_iter().map(|path| listed(&texts, path));
            Ok((listed.collect::<Result<_, SearchError>>()?, more))
        })
    }
}

fn listed(texts: &[&TextIndex], path: String) -> Result<ListedField, SearchError> {
    let kinds = Kinds::of(texts, &path)?.names();
    let mut values = 0;
    for text in texts {
        let columns = text.reader().fast_fields();
        let columns = columns.dynamic_column_handles(&format!("{FIELDS}.{path}"));
        for column in columns.map_err(Box::new)? {
            values += u64::from(column.open()?.num_values());
        }
    }
    Ok(ListedField { path, kinds, values })
}
