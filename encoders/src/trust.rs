//! Whether a shared library that nobody named may be loaded: its code runs as the user.
//!
//! 1. its bytes have a checksum of `onnxruntime.sums`, the list that the fetch script installs by
//! 2. in a folder of the user's: nobody else may write to it or to any folder above

use std::path::Path;

use crate::EncoderError;
use crate::files::sha256_of;

/// The libraries that are known; the fetch script reads the same file.
const SUMS: &str = include_str!("../onnxruntime.sums");

/// The checksums of all systems' libraries.
fn known() -> impl Iterator<Item = &'static str> {
    let lines = SUMS.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_whitespace().nth(4))
}

/// Why the library must not be loaded, if there is a reason.
pub(crate) fn unknown(path: &Path) -> Result<Option<String>, EncoderError> {
    if !path.is_file() {
        return Ok(Some("is not a file".to_owned()));
    }
    let found = sha256_of(path)?;
    let unknown = !known().any(|sum| sum == found);
    Ok(unknown.then(|| format!("has the sha256 {found}, which is not that of a known library")))
}

/// Who besides the user and root may change the file, or put another in its place. Links are followed:
/// every folder on the way counts.
#[cfg(unix)]
pub(crate) fn others_may_write(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    /// Set on folders such as /tmp, where only an entry's owner may replace it.
    const STICKY: u32 = 0o1000;
    const OTHERS_WRITE: u32 = 0o022;

    // The owner of a new file is the user that this process acts as.
    let user = match tempfile::tempfile().and_then(|file| file.metadata()) {
        Ok(facts) => facts.uid(),
        Err(error) => return Some(format!("cannot be judged, as no file can be made: {error}")),
    };
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(error) => return Some(format!("cannot be resolved: {error}")),
    };
    for entry in path.ancestors().chain(real.ancestors()) {
        // The end of a relative path.
        if entry.as_os_str().is_empty() {
            return Some("is not an absolute path".to_owned());
        }
        let shown = entry.display();
        let facts = match std::fs::metadata(entry) {
            Ok(facts) => facts,
            Err(error) => return Some(format!("{shown} cannot be looked at: {error}")),
        };
        if ![0, user].contains(&facts.uid()) {
            return Some(format!("{shown} belongs to another user ({})", facts.uid()));
        }
        let sticky = facts.is_dir() && facts.mode() & STICKY != 0;
        if facts.mode() & OTHERS_WRITE != 0 && !sticky {
            let mode = facts.mode() & 0o7777;
            return Some(format!(
                "others may write to {shown} (mode {mode:o}); chmod go-w {shown} keeps them out"
            ));
        }
    }
    None
}

/// As on Unix; elsewhere folders of a user are the user's alone.
#[cfg(not(unix))]
pub(crate) fn others_may_write(_: &Path) -> Option<String> {
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_known_by_its_bytes() {
        assert_eq!(known().count(), 3);
        assert!(known().all(|sum| sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit())));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("libonnxruntime.so.1.30.0");
        std::fs::write(&path, b"another").unwrap();
        assert!(unknown(&path).unwrap().unwrap().contains("sha256"));
        assert!(unknown(dir.path()).unwrap().is_some());
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_others_write_to_is_not_trusted() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        std::fs::create_dir_all(&folder).unwrap();
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let file = folder.join("lib");
        std::fs::write(&file, b"x").unwrap();
        mode(&dir.path().join("a"), 0o755);
        mode(&folder, 0o755);
        mode(&file, 0o644);
        assert_eq!(others_may_write(&file), None);
        for (path, open, shut) in [
            (file.clone(), 0o666, 0o644),
            (file.clone(), 0o664, 0o644),
            (folder.clone(), 0o777, 0o755),
            (dir.path().join("a"), 0o775, 0o755),
        ] {
            mode(&path, open);
            let why = others_may_write(&file).unwrap();
            assert!(why.contains(&path.display().to_string()), "{why}");
            mode(&path, shut);
        }
        // A link out of a good folder leads where others write.
        let link = dir.path().join("a/link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(others_may_write(&link), None);
        mode(&folder, 0o777);
        assert!(others_may_write(&link).is_some());
        // Where an entry's owner alone may replace it, all may write.
        mode(&folder, 0o1777);
        assert_eq!(others_may_write(&link), None);
    }
}
