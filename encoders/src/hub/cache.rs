//! A model's place in the cache, in the layout that Python's `huggingface_hub` shares:
//!
//! ```text
//! models--ORG--NAME/refs/main                the commit
//! models--ORG--NAME/blobs/ETAG               a file's content
//! models--ORG--NAME/snapshots/COMMIT/FILE    a link to it
//! ```

use std::fs;
#[cfg(feature = "download")]
use std::fs::{File, TryLockError};
#[cfg(feature = "download")]
use std::io;
use std::path::{Path, PathBuf};

/// 40 or 64 hexadecimal digits.
#[cfg(feature = "download")]
pub(super) fn is_hash(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A model's folder in the cache.
#[derive(Debug)]
pub(super) struct Place(PathBuf);

impl Place {
    /// Of a model by its name, `org/name`.
    pub(super) fn of(cache: &Path, name: &str) -> Self {
        Self(cache.join(format!("models--{}", name.replace('/', "--"))))
    }

    /// The commit that `main` names, if one is there.
    pub(super) fn main(&self) -> Option<String> {
        let commit = fs::read_to_string(self.0.join("refs/main")).ok()?;
        let plain = |c: &String| !c.is_empty() && c.bytes().all(|b| b.is_ascii_alphanumeric());
        Some(commit.trim().to_owned()).filter(plain)
    }

    /// The folder of a commit.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.0.join("snapshots").join(commit)
    }
}

/// What a fetch writes.
#[cfg(feature = "download")]
impl Place {
    /// Makes `main` name a commit.
    pub(super) fn set_main(&self, commit: &str) -> io::Result<()> {
        let refs = self.0.join("refs");
        fs::create_dir_all(&refs)?;
        let aside = refs.join(format!("main.{}.part", std::process::id()));
        fs::write(&aside, commit)?;
        fs::rename(&aside, refs.join("main"))
    }

    /// Where the content with a checksum lies.
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.0.join("blobs").join(etag)
    }

    /// Holds off other processes that fetch the same content.
    pub(super) fn lock(&self, etag: &str) -> io::Result<Option<File>> {
        let blobs = self.0.join("blobs");
        fs::create_dir_all(&blobs)?;
        let path = blobs.join(format!("{etag}.lock"));
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Gives a commit the file `name` with the content of `etag`; its name must stay inside.
    pub(super) fn link(&self, commit: &str, name: &str, etag: &str) -> io::Result<()> {
        let link = self.snapshot(commit).join(name);
        if let Some(folder) = link.parent() {
            fs::create_dir_all(folder)?;
        }
        // What is there leads to nothing, or it would not be made.
        match fs::remove_file(&link) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        self.make_link(name, etag, &link)
    }

    #[cfg(unix)]
    fn make_link(&self, name: &str, etag: &str, link: &Path) -> io::Result<()> {
        let depth = Path::new(name).components().count();
        let up: PathBuf = std::iter::repeat_n("..", depth + 1).collect();
        std::os::unix::fs::symlink(up.join("blobs").join(etag), link)
    }

    #[cfg(not(unix))]
    fn make_link(&self, _: &str, etag: &str, link: &Path) -> io::Result<()> {
        let blob = self.blob(etag);
        fs::hard_link(&blob, link).or_else(|_| fs::copy(&blob, link).map(|_| ()))
    }
}

#[cfg(all(test, unix, feature = "download"))]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_their_content() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::of(dir.path(), "org/name");
        let (commit, etag) = ("0".repeat(40), "a".repeat(64));
        drop(place.lock(&etag).unwrap().unwrap());
        fs::write(place.blob(&etag), "content").unwrap();
        for name in ["a.json", "onnx/deep/model.onnx"] {
            // A link to what is gone is made anew.
            place.link(&commit, name, &"b".repeat(64)).unwrap();
            place.link(&commit, name, &etag).unwrap();
            let link = place.snapshot(&commit).join(name);
            assert_eq!(fs::read_to_string(link).unwrap(), "content");
        }
        assert_eq!(place.main(), None);
        place.set_main(&commit).unwrap();
        assert_eq!(place.main(), Some(commit));
        fs::write(dir.path().join("models--org--name/refs/main"), "../../evil").unwrap();
        assert_eq!(place.main(), None);
    }
}
