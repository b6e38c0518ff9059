//! Packing the files of a finished tantivy index into one part.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::layout::{KIND, Meta, PackedFile, VERSION};
use crate::container::{ALIGN, PartWriter, Written};
use crate::error::IndexError;

/// The name that a packed segment has in tantivy's files, in the two forms that it uses. tantivy draws one
/// at random; with a fixed one the same documents give the same bytes.
const SEGMENT_NAME: (&str, &str) =
    ("00000000000000000000000000000001", "00000000-0000-0000-0000-000000000001");

/// Packs the files of a finished tantivy index (one segment, in `folder`) into one part. The segment is
/// given a fixed name.
///
/// # Errors
/// When a file cannot be read, there is not one segment, or the disk refuses.
pub(super) fn pack(folder: &Path, path: &Path, documents: u64) -> Result<Written, IndexError> {
    let list = folder.join(TANTIVY_LIST);
    let text = std::fs::read_to_string(&list).map_err(IndexError::io(&list))?;
    let drawn = segment_name(&text)
        .ok_or_else(|| IndexError::corrupt(&list, "tantivy's list does not name one segment"))?;
    let text = text.replace(&drawn, SEGMENT_NAME.1);
    let drawn = drawn.replace('-', "");
    let mut names: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(IndexError::io(folder))? {
        let name = PathBuf::from(entry.map_err(IndexError::io(folder))?.file_name());
        // Readers need neither locks nor tantivy's list of files to collect; other files are not tantivy's.
        let text = name.to_string_lossy();
        if text == TANTIVY_LIST || text.strip_prefix(&drawn).is_some_and(|end| end.starts_with('.'))
        {
            names.push(name);
        }
    }
    names.sort();
    let mut part = PartWriter::create(path, KIND, VERSION)?;
    let mut files = Vec::new();
    part.section("files")?;
    let mut buffer = vec![0u8; 1 << 18];
    for name in names {
        let source = folder.join(&name);
        let start = part.section_len();
        let mut file: Box<dyn Read> = if name.as_os_str() == TANTIVY_LIST {
            Box::new(text.as_bytes())
        } else {
            Box::new(File::open(&source).map_err(IndexError::io(&source))?)
        };
        loop {
            let n = file.read(&mut buffer).map_err(IndexError::io(&source))?;
            if n == 0 {
                break;
            }
            part.write(&buffer[..n])?;
        }
        let bytes = part.section_len() - start;
        let name = name.to_string_lossy().replace(&drawn, SEGMENT_NAME.0);
        files.push(PackedFile { name, offset: start, bytes });
        // tantivy's columns are read as words; keep every file aligned.
        let over = part.section_len() % ALIGN as u64;
        if over > 0 {
            part.write(&vec![0u8; ALIGN - usize::try_from(over).unwrap_or(0)])?;
        }
    }
    part.put_json("meta", &Meta { files })?;
    part.finish(documents)
}

/// tantivy's list of segments.
const TANTIVY_LIST: &str = "meta.json";

/// The name of the one segment of tantivy's list, as it stands there.
fn segment_name(list: &str) -> Option<String> {
    let list: serde_json::Value = serde_json::from_str(list).ok()?;
    match list.get("segments")?.as_array()?.as_slice() {
        [one] => Some(one.get("segment_id")?.as_str()?.to_owned()),
        _ => None,
    }
}
