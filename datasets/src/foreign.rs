//! Files of other kinds, told by their first bytes, so that a message says what was given and what to
//! do with it.
//!
//! Where any bytes could be meant (a binary format that was named), nothing here is asked.

use std::path::Path;

/// What a file is that no reader here takes, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Foreign {
    pub(crate) what: &'static str,
    pub(crate) hint: &'static str,
}

const fn foreign(what: &'static str, hint: &'static str) -> Option<Foreign> {
    Some(Foreign { what, hint })
}

const NPZ: &str = "save it as .csr: numpy.array([rows, columns, nnz], 'i8'), indptr as 'i8', indices as 'i4', data \
     as 'f4', one after another with tofile";
const NPY: &str = "it holds numbers alone: `quarry dense add --rows` and `quarry tokens add --npy` take it; sparse \
     vectors come as .csr, .bin or JSON lines";
const LINES: &str = "write it as JSON lines, one object a line";
const UNPACK: &str = "unpack it; plain files, .gz and .zst are read";
const UTF16: &str = "`iconv -f utf-16 -t utf-8 FILE` makes it UTF-8";
const UTF16_LE: &str = "`iconv -f utf-16le -t utf-8 FILE` makes it UTF-8";
const UTF16_BE: &str = "`iconv -f utf-16be -t utf-8 FILE` makes it UTF-8";
const UTF32: &str = "`iconv -f utf-32 -t utf-8 FILE` makes it UTF-8";

/// What the beginning of a file's content is the beginning of, if it is nothing that is read here.
pub(crate) fn of_bytes(head: &[u8]) -> Option<Foreign> {
    let npz = || head.windows(4).take(128).any(|w| w == b".npy");
    match head {
        [b'P', b'K', 3, 4, ..] if npz() => {
            foreign("NumPy's .npz archive (scipy.sparse.save_npz)", NPZ)
        }
        [b'P', b'K', 3 | 5, 4 | 6, ..] => foreign("a zip archive", UNPACK),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => foreign("NumPy's .npy array", NPY),
        [b'P', b'A', b'R', b'1', ..] => foreign("Parquet", LINES),
        [b'A', b'R', b'R', b'O', b'W', b'1', ..] => foreign("an Arrow file", LINES),
        [b'O', b'R', b'C', ..] if head.len() > 3 && !head[3].is_ascii_graphic() => {
            foreign("an ORC file", LINES)
        }
        [0x1f, 0x8b, 8, ..] => foreign("gzip within a compressed file", "unpack it once"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            foreign("Zstandard within a compressed file", "unpack it once")
        }
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] => foreign("compressed by bzip2", UNPACK),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => foreign("compressed by xz", UNPACK),
        [b'7', b'z', 0xbc, 0xaf, ..] => foreign("a 7z archive", UNPACK),
        [0x04, 0x22, 0x4d, 0x18, ..] => foreign("compressed by lz4", UNPACK),
        [0x89, b'H', b'D', b'F', ..] => foreign("an HDF5 file", LINES),
        [b'S', b'Q', b'L', b'i', b't', b'e', b' ', ..] => foreign("an SQLite database", LINES),
        [0x80, 2..=5, b'c' | b'}' | b']' | 0x95, ..] => {
            foreign("a Python pickle, which can run code when it is read", LINES)
        }
        [b'%', b'P', b'D', b'F', b'-', ..] => {
            foreign("a PDF file", "extract its text as JSON lines")
        }
        [0, 5, 0x16, 7, ..] => {
            foreign("a macOS companion file (AppleDouble, `._NAME`)", "give the file without `._`")
        }
        _ if head.get(257..262) == Some(b"ustar") => foreign("a tar archive", UNPACK),
        [0x89, b'P', b'N', b'G', ..] | [0xff, 0xd8, 0xff, ..] | [b'G', b'I', b'F', b'8', ..] => {
            foreign("a picture", "documents are texts or vectors")
        }
        // The length of its header comes first; a matrix has zeros behind such a number of columns.
        [_, _, _, _, 0, 0, 0, 0, b'{', b'"', header @ ..]
            if header.iter().take(16).all(|b| b.is_ascii_graphic() || *b == b' ') =>
        {
            foreign("safetensors", "these are a model's weights; --model takes the model's folder")
        }
        [0xff, 0xfe, 0, 0, text @ ..] if is_wide(text, 0) => foreign("UTF-32 text", UTF32),
        [0, 0, 0xfe, 0xff, text @ ..] if is_wide(text, 3) => foreign("UTF-32 text", UTF32),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] if is_utf16(head) => foreign("UTF-16 text", UTF16),
        [0, ..] if is_utf16(head) => foreign("UTF-16 text without its mark", UTF16_BE),
        _ if is_utf16(head) => foreign("UTF-16 text without its mark", UTF16_LE),
        _ => of_text(head),
    }
}

fn of_text(head: &[u8]) -> Option<Foreign> {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let lower: Vec<u8> = text.iter().take(16).map(u8::to_ascii_lowercase).collect();
    if [&b"<!doctype"[..], b"<html", b"<?xml", b"<head"].iter().any(|tag| lower.starts_with(tag)) {
        return foreign("a page of HTML or XML", "was a download answered with an error page?");
    }
    match text {
        [b'[', rest @ ..] if rest.trim_ascii_start().starts_with(b"{") => foreign(
            "a JSON array",
            "one object a line is read: `jq -c '.[]' FILE > FILE.jsonl` writes it so",
        ),
        [b'{', rest @ ..] if first_line_is_open(rest) => foreign(
            "JSON over several lines",
            "one object a line is read: `jq -c . FILE > FILE.jsonl` writes it so",
        ),
        _ => None,
    }
}

/// Whether an object's first line holds its brace alone, so that its end is on another line.
fn first_line_is_open(after_brace: &[u8]) -> bool {
    let line = after_brace.split(|b| *b == b'\n').next().unwrap_or_default();
    line.len() < after_brace.len() && line.trim_ascii().is_empty()
}

/// Whether a text begins with four characters of ASCII in four bytes each, whose place is given.
fn is_wide(text: &[u8], place: usize) -> bool {
    text.len() >= 16
        && text.chunks_exact(4).take(4).all(|unit| {
            unit.iter()
                .enumerate()
                .all(|(at, b)| if at == place { b.is_ascii_graphic() } else { *b == 0 })
        })
}

/// A byte order mark, or every second byte zero, as Latin text has it.
fn is_utf16(head: &[u8]) -> bool {
    let text = head.get(..16.min(head.len() & !1)).unwrap_or_default();
    let pairs = || text.chunks_exact(2).skip(1);
    let little = pairs().all(|p| p[0] != 0 && p[1] == 0);
    let big = pairs().all(|p| p[0] == 0 && p[1] != 0);
    match text {
        [0xff, 0xfe, ..] => text.len() >= 6 && little,
        [0xfe, 0xff, ..] => text.len() >= 6 && big,
        [first, 0, ..] => text.len() >= 8 && first.is_ascii_graphic() && little,
        [0, first, ..] => text.len() >= 8 && first.is_ascii_graphic() && big,
        _ => false,
    }
}

/// Whether a name ends with `.end`, before the ending of a compression.
pub(crate) fn stem_ends(path: &Path, end: &str) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    Path::new(stem).extension().is_some_and(|found| found.eq_ignore_ascii_case(end))
}

/// What a name's end says of a file whose content says nothing.
pub(crate) fn of_name(path: &Path) -> Option<Foreign> {
    let end = path.extension()?.to_str()?.to_ascii_lowercase();
    match end.as_str() {
        "csv" => foreign(
            "a .csv by its name",
            "id TAB text is read, or JSON lines; commas and quotes are not taken apart",
        ),
        "parquet" => foreign("Parquet by its name", LINES),
        "npz" => foreign("a .npz by its name", NPZ),
        "npy" => foreign("a .npy by its name", NPY),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_for_what_they_are() {
        let utf16 = |text: &str, little: bool| -> Vec<u8> {
            let two = |c: u16| if little { c.to_le_bytes() } else { c.to_be_bytes() };
            text.encode_utf16().flat_map(two).collect()
        };
        let mut tar = vec![b'a'; 300];
        tar[257..262].copy_from_slice(b"ustar");
        for (head, want) in [
            (
                &b"PK\x03\x04\x2d\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0b\0\0\0indices.npy"
                    [..],
                ".npz",
            ),
            (b"PK\x03\x04\x14\0\0\0\x08\0corpus.jsonl", "zip"),
            (b"PK\x05\x06\0\0\0\0", "zip"),
            (b"\x93NUMPY\x01\0v\0{'descr'", ".npy"),
            (b"PAR1\x15\x04", "Parquet"),
            (b"\x1f\x8b\x08\0", "gzip within"),
            (b"BZh91AY&SY", "bzip2"),
            (b"\xfd7zXZ\0", "xz"),
            (b"\x80\x04\x95\x10", "pickle"),
            (b"%PDF-1.7", "PDF"),
            (b"\0\x05\x16\x07garbage", "macOS"),
            (b"\n <!DOCTYPE html><p>404", "HTML"),
            (b"[{\"id\": 1}]", "JSON array"),
            (b"{\n  \"id\": 1\n}\n", "several lines"),
            (&utf16("\u{feff}{\"id\":1}", true), "UTF-16"),
            (&utf16("\u{feff}{\"id\":1}", false), "UTF-16"),
            (&utf16("{\"id\":1}", true), "UTF-16"),
            (&utf16("1\ttext", false), "UTF-16"),
            (b"\xff\xfe\0\0{\0\0\0\"\0\0\0i\0\0\0d\0\0\0", "UTF-32"),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "picture"),
            (b"\x40\0\0\0\0\0\0\0{\"weight\":{\"dtype\"", "safetensors"),
            (&tar, "tar"),
        ] {
            let found = of_bytes(head);
            assert!(found.is_some_and(|f| f.what.contains(want)), "{want}: {found:?}");
        }
        assert!(of_name(Path::new("a/b.CSV")).is_some());
    }

    #[test]
    fn what_is_read_is_not_foreign() {
        // Counts of .bin files whose bytes resemble a mark.
        let bin = |n: u32, nnz: u32| [n.to_le_bytes(), nnz.to_le_bytes(), [5, 0, 0, 0]].concat();
        for head in [
            &b""[..],
            b"{",
            b"{}\n",
            b"{\"_id\":\"a\"}\n{",
            b"1\ttext",
            b"PK\ttext",
            b"ORCHID\tx",
            b"[x",
            &bin(0xfeff, 3),
            &bin(0x007b_feff, 300),
            &bin(7, 0x0001_0001),
            // A matrix of 8,827 columns.
            &[3i64, 0x227b, 40].map(i64::to_le_bytes).concat(),
        ] {
            assert_eq!(of_bytes(head), None, "{head:?}");
        }
    }
}
