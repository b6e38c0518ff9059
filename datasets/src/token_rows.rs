//! Token embeddings as other programs export them: three files, read by document in any order.
//!
//! 1. an .npy matrix of fp16 or fp32, one row a token, the documents' rows one after another
//! 2. an .npy vector of whole numbers: how many rows each document has
//! 3. a text file of the documents' ids, one a line, in the same order
//!
//! Lengths and ids are kept in memory, rows are read when they are asked for.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::f16;
use npyz::{DType, NpyFile, NpyHeader, Order};
use quarry_vectors::{TokenEmbeddings, caught};

use crate::error::DatasetError;
use crate::input::{Input, open_file};
use crate::lines::Lines;

/// An open export of token embeddings.
pub struct TokenRows {
    path: PathBuf,
    file: File,
    data_at: u64,
    width: Width,
    dims: usize,
    starts: Vec<u64>,
    ids: Vec<String>,
    by_id: HashMap<String, usize>,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Half,
    Single,
}

impl fmt::Debug for TokenRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRows")
            .field("path", &self.path)
            .field("dims", &self.dims)
            .field("documents", &self.ids.len())
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
        let (header, mut file) = header(rows)?;
        let width = match descr(&header).as_str() {
            "<f2" => Width::Half,
            "<f4" => Width::Single,
            other => {
                let what =
                    format!("values of type `{other}`; expected fp16 or fp32 (`<f2`, `<f4`)");
                return Err(wrong(rows, what));
            }
        };
        let &[count, dims] = header.shape() else {
            let what = format!("shape {:?}; expected tokens x dimensions", header.shape());
            return Err(wrong(rows, what));
        };
        if header.order() != Order::C {
            return Err(wrong(rows, "rows lie column by column; save it in C order".into()));
        }
        let data_at = file.stream_position().map_err(|e| DatasetError::open(rows, e))?;
        let bytes = file.metadata().map_err(|e| DatasetError::open(rows, e))?.len();
        let size = if width == Width::Half { 2 } else { 4 };
        let needs = count
            .checked_mul(dims)
            .and_then(|n| n.checked_mul(size))
            .and_then(|n| n.checked_add(data_at));
        if needs != Some(bytes) {
            let what = format!(
                "{bytes} bytes are not {count} x {dims} values and their head: the file is cut or damaged"
            );
            return Err(wrong(rows, what));
        }
        let dims = usize::try_from(dims)
            .ok()
            .filter(|d| *d > 0)
            .ok_or_else(|| wrong(rows, "no dimensions".into()))?;
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
        let (ids_path, ids) = (ids, read_ids(ids)?);
        if ids.len() != counts.len() {
            let what = format!(
                "{} ids for {} lengths: the files do not belong together",
                ids.len(),
                counts.len()
            );
            return Err(wrong(ids_path, what));
        }
        let mut by_id = HashMap::with_capacity(ids.len());
        for (number, id) in ids.iter().enumerate() {
            if by_id.insert(id.clone(), number).is_some() {
                let line = number as u64 + 1;
                return Err(DatasetError::RepeatedName {
                    path: ids_path.into(),
                    line,
                    name: id.clone(),
                });
            }
        }
        let path = rows.to_path_buf();
        Ok(Self { path, file, data_at, width, dims, starts, ids, by_id, buffer: Vec::new() })
    }

    /// Dimensions of a row.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// The ids, in the files' order.
    #[must_use]
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Where a document stands in the files.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
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
        let size = if self.width == Width::Half { 2 } else { 4 };
        let row_bytes = self.dims * size;
        let count = usize::try_from(end - start).unwrap_or(usize::MAX);
        // Opening saw that the file has all rows, so this cannot overflow.
        self.buffer.resize(count * row_bytes, 0);
        let at = self.data_at + start * row_bytes as u64;
        self.file
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.file.read_exact(&mut self.buffer))
            .map_err(|e| DatasetError::open(&self.path, e))?;
        let values = match self.width {
            Width::Half => {
                let (pairs, _) = self.buffer.as_chunks::<2>();
                pairs.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()
            }
            Width::Single => {
                let (fours, _) = self.buffer.as_chunks::<4>();
                fours.iter().map(|b| f32::from_le_bytes(*b)).collect()
            }
        };
        TokenEmbeddings::new(self.dims, values).map_err(|e| DatasetError::TokenRows {
            path: self.path.clone(),
            what: format!("`{}` (rows from {start}): {e}", self.ids[position]),
        })
    }
}

fn descr(header: &NpyHeader) -> String {
    match header.dtype() {
        DType::Plain(plain) => plain.to_string(),
        other => other.descr(),
    }
}

/// Bytes of a header: far more than a type and a shape take.
const MOST_HEADER: usize = 1 << 16;

/// Opening brackets of a header: a plain array has one brace and one parenthesis, an array of records with
/// one field has four.
const MOST_BRACKETS: usize = 4;

/// Reads the head of an .npy file, and leaves the file where its values begin.
fn header(path: &Path) -> Result<(NpyHeader, File), DatasetError> {
    let mut file = open_file(path)?;
    let wrong = |what: String| DatasetError::TokenRows {
        path: path.into(),
        what: format!("no .npy file: {what}"),
    };
    let mut head = Vec::new();
    let most = (MOST_HEADER + 12) as u64;
    (&mut file).take(most).read_to_end(&mut head).map_err(|e| DatasetError::open(path, e))?;
    check_header(&head).map_err(wrong)?;
    file.rewind().map_err(|e| DatasetError::open(path, e))?;
    // It multiplies the shape, which may be of any numbers.
    let header = caught(|| NpyHeader::from_reader(&mut file)).map_err(wrong)?;
    Ok((header.map_err(|e| wrong(e.to_string()))?, file))
}

/// Refuses what would cost the library memory or time without bound: it makes room for the length that the
/// file gives, to 4 GiB from version 2 on, and its time quadruples with each bracket within another.
fn check_header(head: &[u8]) -> Result<(), String> {
    let [_, _, _, _, _, _, version, _, rest @ ..] = head else { return Ok(()) };
    let (length, text) = match (version, rest) {
        (0 | 1, [a, b, text @ ..]) => (u32::from(u16::from_le_bytes([*a, *b])), text),
        (_, [a, b, c, d, text @ ..]) => (u32::from_le_bytes([*a, *b, *c, *d]), text),
        _ => return Ok(()),
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > MOST_HEADER {
        return Err(format!("a header of {length} bytes; expected at most {MOST_HEADER}"));
    }
    let text = &text[..length.min(text.len())];
    if text.iter().filter(|b| matches!(b, b'(' | b'[' | b'{')).count() > MOST_BRACKETS {
        return Err("its header is nested; expected one plain type and a shape".into());
    }
    Ok(())
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

fn read_ids(path: &Path) -> Result<Vec<String>, DatasetError> {
    let mut lines = Lines::new(Input::open_text(path)?);
    let mut ids = Vec::new();
    while let Some(line) = lines.next()? {
        if line.text.is_empty() {
            return Err(DatasetError::EmptyId { path: path.into(), at: line.at() });
        }
        ids.push(line.text.to_owned());
    }
    Ok(ids)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn npy(path: &Path, descr: &str, shape: &str, data: &[u8]) {
        let head = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        let padded = (10 + head.len() + 1).next_multiple_of(64) - 11;
        bytes.extend(u16::try_from(padded + 1).unwrap().to_le_bytes());
        bytes.extend(format!("{head:<padded$}\n").bytes());
        bytes.extend(data);
        std::fs::write(path, bytes).unwrap();
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

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
