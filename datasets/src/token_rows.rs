//! Token embeddings as other programs export them: three files, read by document in any order.
//!
//! 1. an .npy matrix of fp16 or fp32, one row a token, the documents' rows one after another
//! 2. an .npy vector of whole numbers: how many rows each document has
//! 3. a text file of the documents' ids, one a line, in the same order
//!
//! Lengths and ids are kept in memory, rows are read when they are asked for.

use std::fmt;
use std::io::BufReader;
use std::path::Path;

use npyz::NpyFile;
use quarry_vectors::TokenEmbeddings;

use crate::error::DatasetError;
use crate::npy::{Ids, Matrix, descr, header};

/// An open export of token embeddings.
pub struct TokenRows {
    matrix: Matrix,
    starts: Vec<u64>,
    ids: Ids,
}

impl fmt::Debug for TokenRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRows")
            .field("path", &self.matrix.path())
            .field("dims", &self.dims())
            .field("documents", &self.ids().len())
            .finish_non_exhaustive()
    }
}

impl TokenRows {
    /// Opens the three files and checks that they belong together.
    ///
    /// # Errors
    /// When a file cannot be read or is of another kind, ids repeat, or the numbers do not fit.
    pub fn open(rows: &Path, lengths: &Path, ids: &Path) -> Result<Self, DatasetError> {
        let wrong = |path: &Path, what: String| DatasetError::TokenRows { path: path.into(), what };
        let matrix = Matrix::open(rows, "tokens x dimensions")?;
        let count = matrix.rows();
        let counts = read_lengths(lengths)?;
        let mut starts = vec![0u64];
        for n in &counts {
            let next = starts.last().copied().unwrap_or(0).checked_add(*n);
            starts.push(next.ok_or_else(|| wrong(lengths, "the lengths overflow".into()))?);
        }
        let sum = starts.last().copied().unwrap_or(0);
        if sum != count {
            let what = format!("the lengths add up to {sum} rows, {} has {count}", rows.display());
            return Err(wrong(lengths, what));
        }
        let (ids_path, ids) = (ids, Ids::read(ids)?);
        if ids.all().len() != counts.len() {
            let what = format!(
                "{} ids for {} lengths: the files do not belong together",
                ids.all().len(),
                counts.len()
            );
            return Err(wrong(ids_path, what));
        }
        Ok(Self { matrix, starts, ids })
    }

    /// Dimensions of a row.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.matrix.dims()
    }

    /// The ids, in the files' order.
    #[must_use]
    pub fn ids(&self) -> &[String] {
        self.ids.all()
    }

    /// Where a document stands in the files.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<usize> {
        self.ids.find(id)
    }

    /// The rows of the document at a position.
    ///
    /// # Errors
    /// When they cannot be read or are not finite.
    ///
    /// # Panics
    /// When there is no such position.
    pub fn rows(&mut self, position: usize) -> Result<TokenEmbeddings, DatasetError> {
        let (start, end) = (self.starts[position], self.starts[position + 1]);
        let values = self.matrix.read(start..end)?;
        TokenEmbeddings::new(self.dims(), values).map_err(|e| DatasetError::TokenRows {
            path: self.matrix.path().into(),
            what: format!("`{}` (rows from {start}): {e}", self.ids()[position]),
        })
    }
}

fn read_lengths(path: &Path) -> Result<Vec<u64>, DatasetError> {
    let wrong = |what: String| DatasetError::TokenRows { path: path.into(), what };
    let (header, file) = header(path)?;
    if header.shape().len() != 1 {
        return Err(wrong(format!("shape {:?}; expected one length a document", header.shape())));
    }
    let kind = descr(&header);
    let npy = NpyFile::with_header(header, BufReader::new(file));
    let broken = |e: std::io::Error| wrong(format!("cannot be read on: {e}"));
    let signed: Vec<i64> = match kind.as_str() {
        "<i4" => npy.into_vec::<i32>().map_err(broken)?.into_iter().map(i64::from).collect(),
        "<u4" => npy.into_vec::<u32>().map_err(broken)?.into_iter().map(i64::from).collect(),
        "<i8" => npy.into_vec::<i64>().map_err(broken)?,
        "<u8" => {
            let all = npy.into_vec::<u64>().map_err(broken)?;
            all.into_iter().map(|n| i64::try_from(n).unwrap_or(-1)).collect()
        }
        other => {
            return Err(wrong(format!(
                "lengths of type `{other}`; expected whole numbers of 4 or 8 bytes"
            )));
        }
    };
    let one = |(i, n): (usize, i64)| {
        u64::try_from(n).map_err(|_| wrong(format!("length {n} of document {i} makes no sense")))
    };
    signed.into_iter().enumerate().map(one).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use half::f16;

    use super::*;
    use crate::npy::MOST_HEADER;
    use crate::npy::testing::{floats, npy};

    #[test]
    fn documents_are_read_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        npy(&at("rows"), "<f4", "(3, 2)", &floats(&[1., 2., 3., 4., 5., 6.]));
        let lengths: Vec<u8> = [1i32, 0, 2].iter().flat_map(|n| n.to_le_bytes()).collect();
        npy(&at("lengths"), "<i4", "(3,)", &lengths);
        std::fs::write(at("ids"), "a\nb\nc\n").unwrap();
        let mut read = TokenRows::open(&at("rows"), &at("lengths"), &at("ids")).unwrap();
        assert_eq!(read.find("c"), Some(2));
        assert_eq!(read.rows(2).unwrap().values(), [3., 4., 5., 6.]);
        assert_eq!(read.rows(1).unwrap().len(), 0);
        assert_eq!(read.rows(0).unwrap().values(), [1., 2.]);
        let half: Vec<u8> =
            [1f32, -0.5].iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
        npy(&at("half"), "<f2", "(1, 2)", &half);
        npy(&at("one"), "<i8", "(1,)", &1i64.to_le_bytes());
        std::fs::write(at("id"), "a\n").unwrap();
        let mut read = TokenRows::open(&at("half"), &at("one"), &at("id")).unwrap();
        assert_eq!(read.rows(0).unwrap().values(), [1., -0.5]);
    }

    /// 17 bytes asked for 4 GiB.
    #[test]
    fn a_header_that_claims_to_be_long_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for version in [2u8, 3, 255] {
            let head = [b"\x93NUMPY".as_slice(), &[version, 0], &[0x20, 0xff, 0xff, 0xff, 0x20]];
            std::fs::write(at("rows"), head.concat()).unwrap();
            let error = TokenRows::open(&at("rows"), &at("rows"), &at("ids")).unwrap_err();
            assert!(error.to_string().contains("a header of 4294967072 bytes"), "{error}");
        }
        npy(&at("rows"), "<f4", "(9223372036854775807, 4)", &floats(&[1.]));
        assert!(TokenRows::open(&at("rows"), &at("rows"), &at("ids")).is_err());
        // The longest that is taken is read, and the file ends before.
        let longest = u32::try_from(MOST_HEADER).unwrap().to_le_bytes();
        let head = [b"\x93NUMPY".as_slice(), &[2, 0], &longest];
        std::fs::write(at("rows"), head.concat()).unwrap();
        let error = TokenRows::open(&at("rows"), &at("rows"), &at("ids")).unwrap_err();
        assert!(!error.to_string().contains("at most"), "{error}");
    }

    /// 60 bytes kept the library busy for years.
    #[test]
    fn a_nested_header_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for bracket in ["(", "[", "{", "([{"] {
            npy(&at("rows"), "<f4", &bracket.repeat(40), &floats(&[1.]));
            let error = TokenRows::open(&at("rows"), &at("rows"), &at("ids")).unwrap_err();
            assert!(error.to_string().contains("its header is nested"), "{error}");
        }
    }

    #[test]
    fn files_that_do_not_belong_together_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        npy(&at("rows"), "<f4", "(2, 2)", &floats(&[1., 2., f32::NAN, 4.]));
        npy(&at("one"), "<i8", "(1,)", &1i64.to_le_bytes());
        npy(&at("two"), "<i8", "(1,)", &2i64.to_le_bytes());
        npy(&at("minus"), "<i8", "(1,)", &(-2i64).to_le_bytes());
        npy(&at("cut"), "<f4", "(2, 2)", &floats(&[1., 2., 3.]));
        npy(&at("flat"), "<f4", "(4,)", &floats(&[1., 2., 3., 4.]));
        npy(&at("ints"), "<i4", "(2, 2)", &floats(&[1., 2., 3., 4.]));
        std::fs::write(at("id"), "a\n").unwrap();
        std::fs::write(at("ids"), "a\nb\n").unwrap();
        std::fs::write(at("text"), "hello").unwrap();
        let open = |rows: &str, lengths: &str, ids: &str| {
            TokenRows::open(&at(rows), &at(lengths), &at(ids)).unwrap_err().to_string()
        };
        assert!(open("rows", "one", "id").contains("add up to 1 rows"));
        assert!(open("rows", "two", "ids").contains("2 ids for 1 lengths"));
        assert!(open("rows", "minus", "id").contains("length -2"));
        assert!(open("cut", "two", "id").contains("cut or damaged"));
        assert!(open("flat", "two", "id").contains("expected tokens x dimensions"));
        assert!(open("ints", "two", "id").contains("expected fp16 or fp32"));
        assert!(open("text", "two", "id").contains("no .npy file"));
        let mut read = TokenRows::open(&at("rows"), &at("two"), &at("id")).unwrap();
        assert!(read.rows(0).unwrap_err().to_string().contains("not a finite number"));
    }
}
