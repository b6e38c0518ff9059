//! A file on its way: written under a name of its own in the same folder, renamed when it is whole, so
//! that the name asked for never stands for half a file.

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use tempfile::NamedTempFile;

use crate::error::DatasetError;

/// A file that is there when [`Self::commit`] was called, and not before. Its name's end decides
/// about compression: `.gz`, `.zst`, or none.
pub struct OutputFile {
    target: PathBuf,
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
    /// Begins a file.
    ///
    /// # Errors
    /// When the file is there and `overwrite` is not set, or the folder takes no file.
    pub fn create(target: &Path, overwrite: bool) -> Result<Self, DatasetError> {
        if !overwrite && target.exists() {
            return Err(DatasetError::Exists { path: target.to_owned() });
        }
        let fail = |e| DatasetError::Write(named(target, e));
        let folder = target.parent().filter(|p| !p.as_os_str().is_empty());
        let mut builder = tempfile::Builder::new();
        builder.prefix(".new-").suffix(".tmp");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // What the umask leaves of it; a temporary file is its owner's alone otherwise.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(folder.unwrap_or(Path::new("."))).map_err(fail)?;
        let file = BufWriter::with_capacity(1 << 18, file);
        let ends = |end| target.extension().is_some_and(|found| found == end);
        let sink = if ends("gz") {
            Sink::Gzip(GzEncoder::new(file, flate2::Compression::default()))
        } else if ends("zst") {
            Sink::Zstd(zstd::stream::write::Encoder::new(file, 0).map_err(fail)?)
        } else {
            Sink::Plain(file)
        };
        Ok(Self { target: target.to_owned(), sink })
    }

    /// Ends the file and gives it its name; returns its bytes on disk.
    ///
    /// # Errors
    /// When the disk refuses; then nothing of that name was made.
    pub fn commit(self) -> Result<u64, DatasetError> {
        let target = self.target;
        let fail = |e| DatasetError::Write(named(&target, e));
        let file = match self.sink {
            Sink::Plain(file) => file,
            Sink::Gzip(encoder) => encoder.finish().map_err(fail)?,
            Sink::Zstd(encoder) => encoder.finish().map_err(fail)?,
        };
        let file = file.into_inner().map_err(|e| fail(e.into_error()))?;
        file.as_file().sync_all().map_err(fail)?;
        let bytes = file.as_file().metadata().map_err(fail)?.len();
        file.persist(&target).map_err(|e| fail(e.error))?;
        Ok(bytes)
    }
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
