//! A file on its way: written under another name in the same folder and renamed when it is whole, so
//! that its own name never stands for half a file.
//!
//! 1. refuse a target that is there, unless it may be replaced, and one that is not a file
//! 2. write under `.NAME.xxxxxx.tmp`  3. sync the file, rename it, sync the folder
//!
//! A link is followed: the file that it names is replaced, and the link stays.

use std::fmt;
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use tempfile::NamedTempFile;

use crate::error::DatasetError;

/// A file that is there when [`Self::commit`] was called, and not before; dropped without it, nothing
/// is left. The end of its name decides about compression: `.gz`, `.zst`, or none.
pub struct OutputFile {
    /// As it was given, for messages.
    target: PathBuf,
    /// Where a link leads to; else the same.
    place: PathBuf,
    /// Whether a file may be replaced, and then the permissions of the one that is there.
    overwrite: bool,
    was: Option<Permissions>,
    sink: Sink,
}

enum Sink {
    Plain(BufWriter<NamedTempFile>),
    Gzip(GzEncoder<BufWriter<NamedTempFile>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<NamedTempFile>>),
}

impl fmt::Debug for OutputFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputFile").field("target", &self.target).finish_non_exhaustive()
    }
}

impl OutputFile {
    /// Whether a file could be begun, without beginning one: for outputs that come after long work
    /// whose place is not known to be writable yet.
    ///
    /// # Errors
    /// When something is there that is not a file, or a file that `overwrite` does not allow to replace.
    pub fn check(target: &Path, overwrite: bool) -> Result<(), DatasetError> {
        place(target, overwrite).map(|_| ())
    }

    /// Begins a file. With `overwrite` one that is there is replaced, its permissions are kept.
    ///
    /// # Errors
    /// When the file is there and `overwrite` is not set, when the target is a folder, a FIFO or a
    /// device, or the folder takes no file.
    pub fn create(target: &Path, overwrite: bool) -> Result<Self, DatasetError> {
        let (place, was) = place(target, overwrite)?;
        let fail = |e| DatasetError::Write(named(target, e));
        let folder = folder_of(&place);
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        // A name may be as long as the file system takes; the temporary one must not be longer.
        let name: String = name.chars().take(40).collect();
        let mut builder = tempfile::Builder::new();
        let prefix = format!(".{name}.");
        builder.prefix(&prefix).suffix(".tmp");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As any new file: the system takes the umask's bits away.
            builder.permissions(Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(folder).map_err(fail)?;
        let file = BufWriter::with_capacity(1 << 18, file);
        let ends = |end| target.extension().is_some_and(|found| found == end);
        let sink = if ends("gz") {
            Sink::Gzip(GzEncoder::new(file, flate2::Compression::default()))
        } else if ends("zst") {
            Sink::Zstd(zstd::stream::write::Encoder::new(file, 0).map_err(fail)?)
        } else {
            Sink::Plain(file)
        };
        Ok(Self { target: target.to_owned(), place, overwrite, was, sink })
    }

    /// Writes a whole file: [`Self::create`], `bytes`, [`Self::commit`].
    ///
    /// # Errors
    /// As these.
    pub fn write_whole(target: &Path, overwrite: bool, bytes: &[u8]) -> Result<u64, DatasetError> {
        let mut file = Self::create(target, overwrite)?;
        file.write_all(bytes).map_err(DatasetError::Write)?;
        file.commit()
    }

    /// Ends the file and gives it its name; returns its bytes on disk.
    ///
    /// # Errors
    /// When the disk refuses, or a file of that name was made in the meantime and must not be replaced;
    /// then nothing has changed.
    pub fn commit(self) -> Result<u64, DatasetError> {
        let Self { target, place, overwrite, was, sink } = self;
        let fail = |e| DatasetError::Write(named(&target, e));
        let file = match sink {
            Sink::Plain(file) => file,
            Sink::Gzip(encoder) => encoder.finish().map_err(fail)?,
            Sink::Zstd(encoder) => encoder.finish().map_err(fail)?,
        };
        let file = file.into_inner().map_err(|e| fail(e.into_error()))?;
        if let Some(was) = was {
            // A file system without permissions keeps its own.
            let _ = file.as_file().set_permissions(was);
        }
        file.as_file().sync_all().map_err(fail)?;
        let bytes = file.as_file().metadata().map_err(fail)?.len();
        if overwrite {
            file.persist(&place).map_err(|e| fail(e.error))?;
        } else {
            file.persist_noclobber(&place).map_err(|e| match e.error.kind() {
                io::ErrorKind::AlreadyExists => DatasetError::Exists { path: target.clone() },
                _ => fail(e.error),
            })?;
        }
        sync_folder(folder_of(&place)).map_err(fail)?;
        Ok(bytes)
    }
}

/// The file that is meant, and the permissions of the one that is there.
fn place(target: &Path, overwrite: bool) -> Result<(PathBuf, Option<Permissions>), DatasetError> {
    let fail = |e| DatasetError::Write(named(target, e));
    if target.file_name().is_none() {
        return Err(DatasetError::NotAFile { path: target.to_owned(), found: "a folder" });
    }
    let is_link = match fs::symlink_metadata(target) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((target.to_owned(), None)),
        Err(e) => return Err(fail(e)),
        Ok(found) => found.file_type().is_symlink(),
    };
    let there = match fs::metadata(target) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let found = "a link to a file that is not there";
            return Err(DatasetError::NotAFile { path: target.to_owned(), found });
        }
        other => other.map_err(fail)?,
    };
    if !there.is_file() {
        let found = if there.is_dir() { "a folder" } else { "a device, a socket or a FIFO" };
        return Err(DatasetError::NotAFile { path: target.to_owned(), found });
    }
    if !overwrite {
        return Err(DatasetError::Exists { path: target.to_owned() });
    }
    let place = if is_link { target.canonicalize().map_err(fail)? } else { target.to_owned() };
    Ok((place, Some(there.permissions())))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// After this a crash of the system does not take the new name back.
fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.sink {
            Sink::Plain(file) => file.write(bytes),
            Sink::Gzip(file) => file.write(bytes),
            Sink::Zstd(file) => file.write(bytes),
        };
        written.map_err(|e| named(&self.target, e))
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = match &mut self.sink {
            Sink::Plain(file) => file.flush(),
            Sink::Gzip(file) => file.flush(),
            Sink::Zstd(file) => file.flush(),
        };
        flushed.map_err(|e| named(&self.target, e))
    }
}

/// The error with the file that it is about. An interrupted call stays one, to be tried again.
fn named(path: &Path, error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::Interrupted {
        return error;
    }
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn names(folder: &Path) -> usize {
        folder.read_dir().unwrap().count()
    }

    #[test]
    fn a_file_is_there_when_it_is_whole_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        OutputFile::write_whole(&path, false, b"good").unwrap();
        assert!(matches!(OutputFile::create(&path, false), Err(DatasetError::Exists { .. })));
        assert!(matches!(OutputFile::check(&path, false), Err(DatasetError::Exists { .. })));
        let mut half = OutputFile::create(&path, true).unwrap();
        half.write_all(b"half of another").unwrap();
        half.flush().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"good");
        drop(half);
        assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"good".to_vec(), 1));
        OutputFile::write_whole(&path, true, b"better").unwrap();
        assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"better".to_vec(), 1));
        // One that came in the meantime is not replaced.
        let late = folder.path().join("late");
        let file = OutputFile::create(&late, false).unwrap();
        fs::write(&late, "mine").unwrap();
        assert!(matches!(file.commit(), Err(DatasetError::Exists { .. })));
        assert_eq!((fs::read(&late).unwrap(), names(folder.path())), (b"mine".to_vec(), 2));
        let long = folder.path().join("n".repeat(255));
        OutputFile::write_whole(&long, false, b"x").unwrap();
        assert!(OutputFile::create(&folder.path().join("no/folder"), false).is_err());
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path(), Path::new("/"), Path::new("..")] {
            let error = OutputFile::create(path, true).unwrap_err();
            assert!(matches!(error, DatasetError::NotAFile { .. }), "{}: {error}", path.display());
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_devices_and_permissions() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let error = OutputFile::create(Path::new("/dev/null"), true).unwrap_err().to_string();
        assert!(error.contains("/dev/null") && error.contains("a device"), "{error}");
        symlink(at("nowhere"), at("broken")).unwrap();
        assert!(matches!(
            OutputFile::create(&at("broken"), true),
            Err(DatasetError::NotAFile { .. })
        ));
        // A new file has the bits that any new file has here.
        fs::write(at("plain"), "").unwrap();
        OutputFile::write_whole(&at("new"), false, b"1").unwrap();
        let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("new"), mode("plain"));
        // A replaced one keeps its own, and a link stays a link.
        fs::set_permissions(at("new"), Permissions::from_mode(0o600)).unwrap();
        symlink(at("new"), at("link")).unwrap();
        assert!(matches!(OutputFile::create(&at("link"), false), Err(DatasetError::Exists { .. })));
        OutputFile::write_whole(&at("link"), true, b"2").unwrap();
        assert!(at("link").is_symlink());
        assert_eq!((fs::read(at("new")).unwrap(), mode("new")), (b"2".to_vec(), 0o600));
    }
}
