//! Outputs apart from inputs: no command writes over what it reads, nor among an index's files.

use std::path::{Path, PathBuf};

use quarry_index::folder::CURRENT;

use crate::exit::Refused;

/// Names of files by which a folder is a collection.
const OF_COLLECTIONS: [&str; 4] = ["corpus", "collection", "queries", "qrels"];

/// Refuses an output that is one of the inputs (by another name or link, too), that is a collection's own
/// file where an input is that collection's folder, or that lies in the folder of an index.
pub(crate) fn expect_apart(out: &Path, inputs: &[Option<&Path>]) -> Result<(), Refused> {
    let place = whole(out);
    let folder = place.parent().unwrap_or(Path::new("/"));
    if folder.join(CURRENT).is_file() {
        let text = format!(
            "{}: that is within the index {}, whose files are its own; name another place",
            out.display(),
            folder.display()
        );
        return Err(Refused(text));
    }
    for input in inputs.iter().flatten() {
        let input_place = whole(input);
        let of_folder = || {
            let name = place.file_name().unwrap_or_default().to_string_lossy();
            let within = place.strip_prefix(&input_place).is_ok_and(|rest| {
                rest.starts_with("qrels") || OF_COLLECTIONS.iter().any(|own| name.starts_with(own))
            });
            within && place.is_file()
        };
        if input_place == place || is_same_file(&input_place, &place) || of_folder() {
            let text = format!(
                "{}: that is read here ({}), and would be replaced by what is made of it; name another file",
                out.display(),
                input.display()
            );
            return Err(Refused(text));
        }
    }
    Ok(())
}

/// The path without links, as far as it is there.
fn whole(path: &Path) -> PathBuf {
    if let Ok(place) = path.canonicalize() {
        return place;
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (parent.canonicalize(), path.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}

/// Whether two names are of one file.
#[cfg(unix)]
fn is_same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (one.metadata(), other.metadata()) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_same_file(_: &Path, _: &Path) -> bool {
    false
}
