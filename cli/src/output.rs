//! Standard output and small ways of writing numbers. What a terminal would obey is escaped there.

use std::io::{self, Write};

pub(crate) use quarry_vectors::{agreeing, counted, thousands as count};
use serde::Serialize;

use crate::terminal::{stderr, stdout};

/// Writes one line to standard output.
pub(crate) fn line(text: impl AsRef<str>) -> io::Result<()> {
    let mut out = stdout();
    out.write_all(text.as_ref().as_bytes())?;
    out.write_all(b"\n")
}

/// Writes text as it is, such as a table, to standard output.
pub(crate) fn text(text: &str) -> io::Result<()> {
    stdout().write_all(text.as_bytes())
}

/// Writes a value as indented JSON to standard output.
pub(crate) fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    Ok(line(text)?)
}

/// Writes a message to standard error; nothing is done when that is closed.
pub(crate) fn note(text: impl AsRef<str>) {
    let _ = writeln!(stderr(), "{}", text.as_ref());
}

/// 1234567 as `1.2 MB`: decimal units.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn bytes(count: u64) -> String {
    let (mut value, mut unit) = (count as f64, "B");
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") }
}

/// Rows as a table: the first column to the left, the others to the right.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| {
        rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut text = String::new();
        for (c, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[c].saturating_sub(cell.chars().count()));
            let cell = if c == 0 { format!("{cell}{pad}") } else { format!("  {pad}{cell}") };
            text.push_str(&cell);
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

/// A table of words: as [`table`], with all columns flush left.
pub(crate) fn words(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| {
        rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let padded = |(cell, width): (&String, &usize)| {
        format!("{cell}{}", " ".repeat(width.saturating_sub(cell.chars().count())))
    };
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(padded).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_234_567), "1.2 MB");
        assert_eq!(
            table(&[vec!["a".into(), "10".into()], vec!["bcd".into(), "2".into()]]),
            "a    10\nbcd   2\n"
        );
    }
}
