//! `vocab.txt`: one token a line, its line (from 0) being its number.

use std::collections::HashSet;
use std::path::Path;

use crate::error::DatasetError;
use crate::input::Input;
use crate::lines::Lines;

/// Reads a vocabulary: the token at place `i` names term `i`. Tokens are kept to the byte, white
/// space included, except for the line's end.
///
/// # Errors
/// When the file cannot be read or is not UTF-8, or a token is empty or repeated.
pub fn read_vocabulary(path: &Path) -> Result<Vec<String>, DatasetError> {
    let mut lines = Lines::new(Input::open_text(path)?);
    let mut tokens = Vec::new();
    let mut seen = HashSet::new();
    while let Some(line) = lines.next()? {
        if line.text.is_empty() {
            return Err(line.malformed("a token", line.text));
        }
        if !seen.insert(line.text.to_owned()) {
            return Err(DatasetError::RepeatedName {
                path: path.to_owned(),
                line: line.number,
                name: line.text.to_owned(),
            });
        }
        tokens.push(line.text.to_owned());
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<String>, DatasetError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vocab.txt");
        std::fs::write(&path, bytes).unwrap();
        read_vocabulary(&path)
    }

    #[test]
    fn tokens_in_order() {
        assert_eq!(read(b"[PAD]\r\n##a\n \n").unwrap(), ["[PAD]", "##a", " "]);
        assert!(matches!(read(b"a\n\nb\n"), Err(DatasetError::Malformed { .. })));
        assert!(matches!(read(b"a\nb\na\n"), Err(DatasetError::RepeatedName { line: 3, .. })));
    }
}
