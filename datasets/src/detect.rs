//! Telling file formats apart by their first bytes.
//!
//! Text formats hold no zero byte, while the binary ones cannot avoid them: their counts are
//! small numbers in wide fields. A CIFF file begins with a header that decodes whole.

use crate::bigann_csr::Shape;
use crate::ciff;
use crate::error::DatasetError;
use crate::foreign::{self, Foreign};
use crate::input::Input;

/// What a file looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looks {
    /// Lines of JSON objects.
    JsonLines,
    /// Lines with tabs.
    TabSeparated,
    /// Seismic's binary format.
    SeismicBin,
    /// The CSR format.
    BigAnnCsr,
    /// The Common Index File Format.
    Ciff,
}

/// Looks at the head of a file.
pub(crate) fn look(input: &Input) -> Result<Looks, DatasetError> {
    let head = input.head();
    let size = (!input.compressed()).then(|| input.progress().total());
    let path = || input.path().to_owned();
    let unknown = || match foreign::of_name(input.path()) {
        Some(Foreign { what, hint }) => DatasetError::OtherKind { path: path(), what, hint },
        None => DatasetError::UnknownFormat {
            path: path(),
            expected: "JSON lines, tab-separated lines, Seismic's .bin, a .csr matrix or CIFF",
        },
    };
    input.refuse_foreign()?;
    if ciff::begins(head) && !is_csr(head, size) {
        return Ok(Looks::Ciff);
    }
    if head.iter().take(64).any(|b| *b == 0) {
        // A cut matrix, or one of other widths, is one by its name and the numbers at its head: its
        // reader says what is wrong.
        let named = foreign::stem_ends(input.path(), "csr") && is_csr(head, None);
        let csr = named || is_csr(head, size);
        return Ok(if csr { Looks::BigAnnCsr } else { Looks::SeismicBin });
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let line = text.trim_ascii_start();
    if line.first() == Some(&b'{') {
        return Ok(Looks::JsonLines);
    }
    let line = line.split(|b| *b == b'\n').next().unwrap_or(line);
    if line.contains(&b'\t') { Ok(Looks::TabSeparated) } else { Err(unknown()) }
}

/// Whether the head is that of a matrix whose first row starts at 0 and whose size fits.
fn is_csr(head: &[u8], size: Option<u64>) -> bool {
    let number =
        |at: usize| head.get(at..)?.first_chunk::<8>().map(|word| i64::from_le_bytes(*word));
    let shape = match (number(0), number(8), number(16)) {
        (Some(rows), Some(columns), Some(nnz)) => Shape::new(rows, columns, nnz),
        _ => None,
    };
    shape.is_some_and(|s| number(24) == Some(0) && size.is_none_or(|size| s.size() == Some(size)))
}
