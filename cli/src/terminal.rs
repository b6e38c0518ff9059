//! Text from outside on a terminal: ids, titles, names of files and what errors repeat of them. Control
//! characters would move the cursor, change colours or what is on the screen; marks of writing
//! direction would show words in another order than they stand in.
//!
//! They are written as JSON escapes them (`\u001b`), so that JSON stays JSON. Line ends and tabs stay.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

/// Whether a character is not shown as itself.
fn is_control(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text without characters that a terminal obeys.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    replaced(text, is_control)
}

/// The same on one line: what is one value may not look like several.
pub(crate) fn on_one_line(text: &str) -> Cow<'_, str> {
    replaced(text, |c| is_control(c) || matches!(c, '\n' | '\t'))
}

fn replaced(text: &str, replace: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&replace) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if replace(c) {
            // None of them lies beyond the first plane.
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Passes text on, escaped; bytes that are no UTF-8 become U+FFFD.
#[derive(Debug)]
pub(crate) struct Escaping<W> {
    inner: W,
    /// The beginning of a character whose rest is still to come.
    rest: Vec<u8>,
}

impl<W: Write> Escaping<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, rest: Vec::new() }
    }
}

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(bytes);
        let mut left = all.as_slice();
        while !left.is_empty() {
            match std::str::from_utf8(left) {
                Ok(text) => {
                    self.inner.write_all(escaped(text).as_bytes())?;
                    break;
                }
                Err(error) => {
                    let (text, rest) = left.split_at(error.valid_up_to());
                    self.inner.write_all(escaped(&String::from_utf8_lossy(text)).as_bytes())?;
                    let Some(length) = error.error_len() else {
                        self.rest = rest.to_vec();
                        break;
                    };
                    self.inner.write_all("\u{fffd}".as_bytes())?;
                    left = rest.get(length..).unwrap_or_default();
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Standard output: as it is written for a program, escaped on a terminal.
pub(crate) fn stdout() -> Box<dyn Write> {
    let out = io::stdout();
    match out.is_terminal() {
        true => Box::new(Escaping::new(out.lock())),
        false => Box::new(out.lock()),
    }
}

/// Standard error, always escaped: nothing reads it as data.
pub(crate) fn stderr() -> Escaping<io::StderrLock<'static>> {
    Escaping::new(io::stderr().lock())
}

/// Takes one record of the log at a time, and writes it on one line.
#[derive(Debug)]
pub(crate) struct LogLine;

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let mut err = io::stderr().lock();
        err.write_all(on_one_line(text.trim_end_matches('\n')).as_bytes())?;
        err.write_all(b"\n")?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        for (text, want) in [
            (
                "plain \u{e4} \u{65e5}\u{672c} \u{1f600}\n\t",
                "plain \u{e4} \u{65e5}\u{672c} \u{1f600}\n\t",
            ),
            ("\u{1b}[31mred\u{1b}[0m", "\\u001b[31mred\\u001b[0m"),
            ("a\rb\u{8}\u{7}\u{0}", "a\\u000db\\u0008\\u0007\\u0000"),
            ("\u{9b}31m\u{7f}", "\\u009b31m\\u007f"),
            ("abc\u{202e}fed\u{2066}x\u{200f}", "abc\\u202efed\\u2066x\\u200f"),
        ] {
            assert_eq!(escaped(text), want);
        }
        assert_eq!(on_one_line("a\nb\tc"), "a\\u000ab\\u0009c");
    }

    #[test]
    fn json_stays_json() {
        let text = "\u{9b}\u{202e}\u{7f}";
        let json = serde_json::to_string(text).unwrap();
        let shown = escaped(&json);
        assert!(shown.is_ascii());
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
    }

    #[test]
    fn characters_may_be_cut_anywhere() {
        let text = "\u{e4}\u{1b}\u{1f600}\u{202e}z".as_bytes();
        for cut in 0..=text.len() {
            let mut out = Escaping::new(Vec::new());
            out.write_all(&text[..cut]).unwrap();
            out.write_all(&text[cut..]).unwrap();
            assert_eq!(out.inner, "\u{e4}\\u001b\u{1f600}\\u202ez".as_bytes(), "cut at {cut}");
        }
        let mut out = Escaping::new(Vec::new());
        out.write_all(b"a\xff\xfeb\x9b").unwrap();
        assert_eq!(out.inner, "a\u{fffd}\u{fffd}b\u{fffd}".as_bytes());
    }
}
