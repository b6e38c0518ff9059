//! Matrices of numpy (.npy), read row by row, and the ids that go with their rows.
//!
//! Rows are read when they are asked for; memory holds those alone.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::f16;
use npyz::{DType, NpyHeader, Order};
use quarry_vectors::caught;

use crate::error::DatasetError;
use crate::input::{Input, open_file};
use crate::lines::Lines;

/// An open matrix of fp16 or fp32.
#[derive(Debug)]
pub(crate) struct Matrix {
    path: PathBuf,
    file: File,
    data_at: u64,
    width: Width,
    rows: u64,
    dims: usize,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Half,
    Single,
}

impl Width {
    fn bytes(self) -> usize {
        match self {
            Self::Half => 2,
            Self::Single => 4,
        }
    }
}

impl Matrix {
    /// Opens the file and checks that it has all values that its head speaks of; `shape` says in messages what was
    /// expected.
    pub(crate) fn open(path: &Path, shape: &str) -> Result<Self, DatasetError> {
        let wrong = |what: String| DatasetError::TokenRows { path: path.into(), what };
        let (header, mut file) = header(path)?;
        let width = match descr(&header).as_str() {
            "<f2" => Width::Half,
            "<f4" => Width::Single,
            other => {
                let what =
                    format!("values of type `{other}`; expected fp16 or fp32 (`<f2`, `<f4`)");
                return Err(wrong(what));
            }
        };
        let &[rows, dims] = header.shape() else {
            return Err(wrong(format!("shape {:?}; expected {shape}", header.shape())));
        };
        if header.order() != Order::C {
            return Err(wrong("rows lie column by column; save it in C order".into()));
        }
        let data_at = file.stream_position().map_err(|e| DatasetError::open(path, e))?;
        let bytes = file.metadata().map_err(|e| DatasetError::open(path, e))?.len();
        let needs = rows
            .checked_mul(dims)
            .and_then(|n| n.checked_mul(width.bytes() as u64))
            .and_then(|n| n.checked_add(data_at));
        if needs != Some(bytes) {
            let what = format!(
                "{bytes} bytes are not {rows} x {dims} values and their head: the file is cut or damaged"
            );
            return Err(wrong(what));
        }
        let dims = usize::try_from(dims)
            .ok()
            .filter(|d| *d > 0)
            .ok_or_else(|| wrong("no dimensions".into()))?;
        let path = path.to_path_buf();
        Ok(Self { path, file, data_at, width, rows, dims, buffer: Vec::new() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn dims(&self) -> usize {
        self.dims
    }

    /// The values of some rows, which have to be there.
    pub(crate) fn read(&mut self, rows: Range<u64>) -> Result<Vec<f32>, DatasetError> {
        let row_bytes = self.dims * self.width.bytes();
        let count = usize::try_from(rows.end - rows.start).unwrap_or(usize::MAX);
        // Opening saw that the file has all rows, so this cannot overflow.
        self.buffer.resize(count * row_bytes, 0);
        let at = self.data_at + rows.start * row_bytes as u64;
        self.file
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.file.read_exact(&mut self.buffer))
            .map_err(|e| DatasetError::open(&self.path, e))?;
        Ok(match self.width {
            Width::Half => {
                let (pairs, _) = self.buffer.as_chunks::<2>();
                pairs.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()
            }
            Width::Single => {
                let (fours, _) = self.buffer.as_chunks::<4>();
                fours.iter().map(|b| f32::from_le_bytes(*b)).collect()
            }
        })
    }
}

/// Ids of documents or queries, one a line, each once.
#[derive(Debug)]
pub(crate) struct Ids {
    all: Vec<String>,
    by_id: HashMap<String, usize>,
}

impl Ids {
    pub(crate) fn read(path: &Path) -> Result<Self, DatasetError> {
        let all = read_ids(path)?;
        let mut by_id = HashMap::with_capacity(all.len());
        for (number, id) in all.iter().enumerate() {
            if by_id.insert(id.clone(), number).is_some() {
                let line = number as u64 + 1;
                return Err(DatasetError::RepeatedName {
                    path: path.into(),
                    line,
                    name: id.clone(),
                });
            }
        }
        Ok(Self { all, by_id })
    }

    /// All of them, in the file's order.
    pub(crate) fn all(&self) -> &[String] {
        &self.all
    }

    /// The place of an id.
    pub(crate) fn find(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }
}

/// The type of a file's values, as numpy writes it.
pub(crate) fn descr(header: &NpyHeader) -> String {
    match header.dtype() {
        DType::Plain(plain) => plain.to_string(),
        other => other.descr(),
    }
}

/// Bytes of a header: far more than a type and a shape take.
pub(crate) const MOST_HEADER: usize = 1 << 16;

/// Opening brackets of a header: a plain array has one brace and one parenthesis, an array of records with
/// one field has four.
const MOST_BRACKETS: usize = 4;

/// Reads the head of an .npy file, and leaves the file where its values begin.
pub(crate) fn header(path: &Path) -> Result<(NpyHeader, File), DatasetError> {
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
    if !head.starts_with(b"\x93NUMPY") {
        let packed = head.starts_with(&[0x1f, 0x8b]) || head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
        let more = if packed { "; it is compressed: unpack it" } else { "" };
        return Err(format!("it does not begin as numpy.save writes it{more}"));
    }
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
pub(crate) mod testing {
    use std::path::Path;

    /// Writes a file of this type and shape.
    pub(crate) fn npy(path: &Path, descr: &str, shape: &str, data: &[u8]) {
        let head = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        let padded = (10 + head.len() + 1).next_multiple_of(64) - 11;
        bytes.extend(u16::try_from(padded + 1).unwrap().to_le_bytes());
        bytes.extend(format!("{head:<padded$}\n").bytes());
        bytes.extend(data);
        std::fs::write(path, bytes).unwrap();
    }

    pub(crate) fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }
}
