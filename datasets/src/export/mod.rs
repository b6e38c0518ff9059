//! Vectors written in the formats of other engines, in a stated order and with bounded memory.
//!
//! Documents come through a [`Pass`], which goes through all of them in one order each time it is
//! called; a format whose arrays stand apart (`.csr`) or that stands by term (CIFF) calls it again
//! instead of keeping what it saw. Names that a format has no room for go into files beside it.

mod ciff;
mod csr;
mod document_line;
mod json_lines;
mod seismic_bin;

use std::io::Write;

use quarry_vectors::SparseVector;

use crate::error::DatasetError;

pub use ciff::{CiffExport, CiffReport, DistortedList, write_ciff};
pub use csr::write_csr;
pub use document_line::DocumentLine;
pub use json_lines::{VectorRecord, write_json_line};
pub use seismic_bin::write_seismic_bin;

/// What a pass hands every document to: its id and its vector.
pub type Visit<'v, E> = &'v mut dyn FnMut(&str, &SparseVector) -> Result<(), E>;
/// Goes through the documents once; in the same order each time.
pub type Pass<'p, E> = &'p dyn Fn(Visit<'_, E>) -> Result<(), E>;

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    /// Documents.
    pub documents: u64,
    /// Components of all of them together.
    pub components: u64,
}

/// Counts documents and components.
fn counts<E: From<DatasetError>>(pass: Pass<'_, E>) -> Result<Exported, E> {
    let mut counts = Exported::default();
    pass(&mut |_, vector| {
        counts.documents += 1;
        counts.components += vector.len() as u64;
        Ok(())
    })?;
    Ok(counts)
}

/// Writes names one a line: ids, or tokens by number of the term.
///
/// # Errors
/// When a name is empty, contains the end of a line or begins with a byte order mark, so that it would
/// not be read back, or the disk refuses.
pub fn write_name(out: &mut impl Write, what: &str, name: &str) -> Result<(), DatasetError> {
    if name.is_empty() || name.contains(['\n', '\r']) || name.starts_with('\u{feff}') {
        return Err(cannot(format!("the {what} {name:?} cannot stand on a line of its own")));
    }
    put(out, name.as_bytes())?;
    put(out, b"\n")
}

fn put(out: &mut impl Write, bytes: &[u8]) -> Result<(), DatasetError> {
    out.write_all(bytes).map_err(DatasetError::Write)
}

fn cannot(what: String) -> DatasetError {
    DatasetError::Export { what }
}
