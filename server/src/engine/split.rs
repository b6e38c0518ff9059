//! Finds the documents in a body, without reading them: one a line, or the elements of a list.
//!
//! A list is scanned for the commas between its elements, outside of strings and brackets. So a fault in
//! one makes only that one unreadable, unless it leaves a string or bracket open, and nothing is held twice.

use crate::api::{ApiError, ErrorCode};

/// How documents stand in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A JSON list.
    List,
    /// A JSON object a line.
    Lines,
}

/// A document's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// Its line, or its place in the list, from 1.
    pub(super) line: u64,
    pub(super) text: &'a str,
}

/// The documents in `body`, at most `most`.
pub(super) fn split(body: &[u8], form: Form, most: usize) -> Result<Vec<Piece<'_>>, ApiError> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let message = format!("the body is not UTF-8 (byte {})", error.valid_up_to());
        ApiError::new(ErrorCode::InvalidJson, message)
    })?;
    let mut pieces = Vec::new();
    let take = |piece| {
        if pieces.len() == most {
            let message = format!("the body has more than {most} documents");
            return Err(ApiError::new(ErrorCode::BodyTooLarge, message));
        }
        pieces.push(piece);
        Ok(())
    };
    match form {
        Form::Lines => lines(text, take)?,
        Form::List => list(text, take)?,
    }
    Ok(pieces)
}

/// The documents in a body with their lines, at most `most`: a JSON list, or with `lines` one a line. For the fuzz target.
///
/// # Errors
/// If it is not UTF-8, no list, or has more.
#[doc(hidden)]
pub fn split_documents(
    body: &[u8],
    lines: bool,
    most: usize,
) -> Result<Vec<(u64, &str)>, ApiError> {
    let form = if lines { Form::Lines } else { Form::List };
    Ok(split(body, form, most)?.into_iter().map(|piece| (piece.line, piece.text)).collect())
}

fn lines<'a>(
    text: &'a str,
    mut take: impl FnMut(Piece<'a>) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    let numbered = (1..).zip(text.lines().map(str::trim));
    numbered
        .filter(|(_, text)| !text.is_empty())
        .try_for_each(|(line, text)| take(Piece { line, text }))
}

fn list<'a>(
    text: &'a str,
    mut take: impl FnMut(Piece<'a>) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    let bytes = text.as_bytes();
    let begin = bytes.iter().position(|b| !b.is_ascii_whitespace());
    let Some(begin) = begin.filter(|at| bytes[*at] == b'[') else {
        let error = ApiError::new(ErrorCode::InvalidValue, "a list of documents was expected");
        return Err(error.hint(
            "send [{\"id\": ..., \"text\": ...}, ...], or one document a line as application/x-ndjson",
        ));
    };
    let (mut from, mut line) = (begin + 1, 1);
    loop {
        let Some(end) = element_end(bytes, from) else {
            let message = "the body ends within the list of documents";
            return Err(ApiError::new(ErrorCode::InvalidJson, message));
        };
        let (element, last) = (text[from..end].trim(), bytes[end] == b']');
        if !element.is_empty() {
            take(Piece { line, text: element })?;
        } else if !(last && line == 1) {
            let message = format!("the list has no element before byte {end}");
            return Err(ApiError::new(ErrorCode::InvalidJson, message));
        }
        (from, line) = (end + 1, line + 1);
        if last {
            break;
        }
    }
    match bytes[from..].iter().all(u8::is_ascii_whitespace) {
        true => Ok(()),
        false => {
            let message = format!("the list ends at byte {from}, and more follows");
            Err(ApiError::new(ErrorCode::InvalidJson, message))
        }
    }
}

/// Where the element that begins at `from` ends: at a comma, or at the end of the list.
fn element_end(bytes: &[u8], from: usize) -> Option<usize> {
    let (mut depth, mut string, mut escaped) = (0usize, false, false);
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        if string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => string = true,
            b'{' | b'[' => depth += 1,
            b',' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    fn found(body: &str, form: Form) -> Vec<(u64, &str)> {
        split(body.as_bytes(), form, 3).unwrap().into_iter().map(|p| (p.line, p.text)).collect()
    }

    #[test]
    fn elements_and_lines() {
        assert_eq!(found(" [ ] ", Form::List), []);
        let body = r#"[{"a":"],\"[{"}, {"b":[1,{"c":2}]} ,3]"#;
        let whole = [(1, r#"{"a":"],\"[{"}"#), (2, r#"{"b":[1,{"c":2}]}"#), (3, "3")];
        assert_eq!(found(body, Form::List), whole);
        // A fault within an element is found when it is read.
        assert_eq!(found(r#"[{"a":1} x, }]"#, Form::List), [(1, r#"{"a":1} x"#), (2, "}")]);
        assert_eq!(found("", Form::Lines), []);
        assert_eq!(found("{}\r\n\n {\"a\":1} \n", Form::Lines), [(1, "{}"), (3, "{\"a\":1}")]);
    }

    #[test]
    fn what_is_not_a_list() {
        for (body, code) in [
            ("", ErrorCode::InvalidValue),
            ("{}", ErrorCode::InvalidValue),
            ("[", ErrorCode::InvalidJson),
            ("[{}", ErrorCode::InvalidJson),
            (r#"[{"a":"]"#, ErrorCode::InvalidJson),
            ("[,]", ErrorCode::InvalidJson),
            ("[{},]", ErrorCode::InvalidJson),
            ("[] x", ErrorCode::InvalidJson),
            ("[1,2,3,4]", ErrorCode::BodyTooLarge),
        ] {
            let error = split(body.as_bytes(), Form::List, 3).unwrap_err();
            assert_eq!(error.code(), code, "{body}");
        }
        let error = split(b"\xff", Form::Lines, 3).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidJson);
        assert!(split(b"1\n2\n3\n4", Form::Lines, 3).is_err());
        let deep = "[".repeat(1_000_000);
        assert!(split(deep.as_bytes(), Form::List, 3).is_err());
    }
}
