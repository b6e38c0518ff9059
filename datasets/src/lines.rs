//! Lines of UTF-8 text, one at a time, of bounded length.
//!
//! A byte order mark at the start of the file and a carriage return at the end of a line are
//! dropped. One buffer is reused, so memory is that of the longest line.

use std::fmt;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use crate::error::{DatasetError, Position};
use crate::input::{Input, count};

/// The longest line that is read, in bytes without its end: 256 MiB.
pub const MAX_LINE_BYTES: u64 = 1 << 28;

/// One line of a file, with what messages about it need.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) path: &'a Path,
    pub(crate) number: u64,
    pub(crate) text: &'a str,
}

impl Line<'_> {
    pub(crate) fn at(&self) -> Position {
        Position::Line(self.number)
    }

    pub(crate) fn malformed(&self, expected: &'static str, found: &str) -> DatasetError {
        DatasetError::malformed(self.path, self.at(), expected, found)
    }
}

pub(crate) struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    buffer: Vec<u8>,
    number: u64,
    limit: u64,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines")
            .field("path", &self.path)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Lines {
    pub(crate) fn new(input: Input) -> Self {
        Self {
            path: input.path().to_owned(),
            reader: input.into_reader(),
            buffer: Vec::new(),
            number: 0,
            limit: MAX_LINE_BYTES,
        }
    }

    /// The next line; `None` at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<Line<'_>>, DatasetError> {
        self.buffer.clear();
        let number = self.number + 1;
        // Two more than the limit leave room for the line's end.
        (&mut self.reader).take(self.limit + 2).read_until(b'\n', &mut self.buffer).map_err(
            |source| DatasetError::Read {
                path: self.path.clone(),
                at: Position::Line(number),
                source,
            },
        )?;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        self.number = number;
        let mut bytes = self.buffer.as_slice();
        bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if number == 1 {
            bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        }
        if count(bytes.len()) > self.limit {
            return Err(DatasetError::LineTooLong {
                path: self.path.clone(),
                line: number,
                limit: self.limit,
            });
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(Line { path: &self.path, number, text })),
            Err(e) => Err(DatasetError::Utf8 {
                path: self.path.clone(),
                line: number,
                byte: e.valid_up_to(),
            }),
        }
    }

    /// Hands every line that is not blank to `each`.
    pub(crate) fn each_filled(
        mut self,
        mut each: impl FnMut(Line<'_>) -> Result<(), DatasetError>,
    ) -> Result<(), DatasetError> {
        while let Some(line) = self.next()? {
            if !is_blank(line.text) {
                each(line)?;
            }
        }
        Ok(())
    }
}

/// Whether a line holds white space only; such lines are skipped where records are lines.
pub(crate) fn is_blank(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8], limit: u64) -> Result<Vec<String>, DatasetError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, bytes).unwrap();
        let mut lines = Lines::new(Input::open(&path)?);
        lines.limit = limit;
        let mut out = Vec::new();
        while let Some(line) = lines.next()? {
            out.push(line.text.to_owned());
        }
        Ok(out)
    }

    #[test]
    fn ends_and_mark_are_dropped() {
        let got = lines(b"\xef\xbb\xbfa\r\nb\n\r\n\xef\xbb\xbfc", 100).unwrap();
        assert_eq!(got, ["a", "b", "", "\u{feff}c"]);
        assert!(lines(b"", 100).unwrap().is_empty());
    }

    #[test]
    fn bad_lines_are_named() {
        let e = lines(b"ok\nab\xff\n", 100).unwrap_err();
        assert!(matches!(e, DatasetError::Utf8 { line: 2, byte: 2, .. }), "{e}");
        assert_eq!(lines(b"1234\r\n12\n", 4).unwrap(), ["1234", "12"]);
        let e = lines(b"1\n12345\n", 4).unwrap_err();
        assert!(matches!(e, DatasetError::LineTooLong { line: 2, limit: 4, .. }), "{e}");
        let e = lines(b"1234567890", 4).unwrap_err();
        assert!(matches!(e, DatasetError::LineTooLong { line: 1, .. }), "{e}");
    }
}
