//! Packing the files of a finished tantivy index into one part.

use std::path::{Path, PathBuf};

use tantivy::{Directory, Index};

use super::layout::{KIND, Meta, PackedFile, VERSION};
use crate::container::{ALIGN, PartWriter, Written};
use crate::error::IndexError;

/// The name that a packed segment has in tantivy's files, in the two forms that it uses. tantivy draws one
/// at random; with a fixed one the same documents give the same bytes.
const SEGMENT_NAME: (&str, &str) =
    ("00000000000000000000000000000001", "00000000-0000-0000-0000-000000000001");

/// Packs the files of a finished tantivy index (one segment, written under `folder` or in memory) into one part. The
/// segment is given a fixed name.
///
/// # Errors
/// When a file cannot be read, there is not one segment, or the disk refuses.
pub(super) fn pack(
    (index, directory): (&Index, &dyn Directory),
    folder: &Path,
    path: &Path,
    documents: u64,
) -> Result<Written, IndexError> {
    let list = folder.join(TANTIVY_LIST);
    // Not through the index, which hides the ends of files.
    let read = |name: &Path| {
        let file = directory.open_read(name).map_err(|e| IndexError::text(folder)(e.into()))?;
        file.read_bytes().map_err(IndexError::io(&folder.join(name)))
    };
    let text = String::from_utf8(read(Path::new(TANTIVY_LIST))?.to_vec())
        .map_err(|_| IndexError::corrupt(&list, "tantivy's list is not UTF-8"))?;
    let drawn = segment_name(&text)
        .ok_or_else(|| IndexError::corrupt(&list, "tantivy's list does not name one segment"))?;
    let text = text.replace(&drawn, SEGMENT_NAME.1);
    let drawn = drawn.replace('-', "");
    // Readers need neither locks nor tantivy's list of files to collect.
    let of_segment = |name: &PathBuf| {
        let name = name.to_string_lossy();
        let named = name.strip_prefix(&drawn).is_some_and(|end| end.starts_with('.'));
        // The list has files that were removed as well.
        named && directory.exists(Path::new(&*name)).unwrap_or(true)
    };
    let mut names: Vec<PathBuf> =
        index.directory().list_managed_files().into_iter().filter(of_segment).collect();
    names.push(PathBuf::from(TANTIVY_LIST));
    names.sort();
    let mut part = PartWriter::create(path, KIND, VERSION)?;
    let mut files = Vec::new();
    part.section("files")?;
    for name in names {
        let start = part.section_len();
        match name.as_os_str() == TANTIVY_LIST {
            true => part.write(text.as_bytes())?,
            false => part.write(&read(&name)?)?,
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
