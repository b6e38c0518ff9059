//! What can be wrong with an index folder: one variant a case, each with its facts.

use std::io;
use std::path::{Path, PathBuf};

use tantivy::TantivyError;

/// An error of tantivy.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TextError(Box<TantivyError>);

/// Why an index could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Something else lies where a file should.
    #[error("{path}: is {}, not a file", if *.folder { "a folder" } else { "a pipe or a device" })]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// Whether it is a folder.
        folder: bool,
    },
    /// The folder has no `CURRENT`: nothing was ever committed there.
    #[error("{path}: no index here{}", if *.interrupted {
        " (a build was interrupted: run the same `quarry index` command again with --resume)"
    } else {
        " (`quarry index INPUT --out DIR` builds one)"
    })]
    NoIndex {
        /// The folder.
        path: PathBuf,
        /// Whether an unfinished build lies there.
        interrupted: bool,
    },
    /// There is no such folder.
    #[error("{path}: no such folder, so no index (`quarry index INPUT --out DIR` builds one)")]
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The file does not begin and end as a file of Quarry's does.
    #[error("{path}: not a Quarry file: expected {expected}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was expected there.
        expected: String,
    },
    /// Written by a newer version, or by one that is no longer read.
    #[error("{path}: {what} version {found}, this build reads {oldest} to {newest}: {}",
        way_on(path, *found < *oldest, *derived))]
    Version {
        /// The file.
        path: PathBuf,
        /// Which of its versions.
        what: String,
        /// What the file says.
        found: u32,
        /// Oldest that can be read.
        oldest: u32,
        /// Newest that can be read.
        newest: u32,
        /// Whether it is a part of an index that can be built again from the other parts of its segment.
        derived: bool,
    },
    /// The file is not as long as it was when written.
    #[error("{path}: {found} bytes, {expected} were written: the file was truncated or extended")]
    Length {
        /// The file.
        path: PathBuf,
        /// Length on disk.
        found: u64,
        /// Length when written.
        expected: u64,
    },
    /// The bytes are not those that were written.
    #[error("{path}: checksum {found}, {expected} was written: the file is damaged")]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Checksum of the bytes on disk.
        found: String,
        /// Checksum when written.
        expected: String,
    },
    /// A whole file of Quarry's, but not the one that the manifest names.
    #[error("{path}: holds {found}, the manifest expects {expected}")]
    Swapped {
        /// The file.
        path: PathBuf,
        /// What the file says it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// The bytes are those that were written, but they contradict each other.
    #[error("{path}: {what}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A required part is of a kind that this build does not know.
    #[error(
        "{path}: part kind `{kind}` (version {version}) is required and unknown to this build; a newer quarry reads it"
    )]
    UnknownPart {
        /// The manifest.
        path: PathBuf,
        /// The kind.
        kind: String,
        /// Its version.
        version: u32,
    },
    /// Another process is writing.
    #[error("{path}: another process is writing to this index; wait for it to end")]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A server keeps the folder for writing.
    #[error(
        "{path}: the server at {address} keeps this folder for writing; send it your changes over HTTP, or stop it"
    )]
    Served {
        /// The folder.
        path: PathBuf,
        /// Address of the collection at that server.
        address: String,
    },
    /// A server that was stopped by force left changes in its log.
    #[error(
        "{path}: has changes that a server logged and did not seal before it was stopped; `quarry serve --data` on the folder around it makes them again, and seals them"
    )]
    HasLog {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds something else.
    #[error(
        "{path}: the folder holds `{found}`, and neither an index nor an unfinished build; choose another --out, \
         or empty it"
    )]
    NotAnIndexFolder {
        /// The folder.
        path: PathBuf,
        /// What lies there.
        found: String,
    },
    /// A limit of the format.
    #[error("{what}: {found} exceeds the format's limit of {limit}")]
    Limit {
        /// Which limit.
        what: String,
        /// The value.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// Tantivy refused.
    #[error("{path}: text part: {source}")]
    Text {
        /// The file or folder.
        path: PathBuf,
        /// The error of tantivy.
        source: TextError,
    },
    /// A term is given by its number, and the index knows its terms by name.
    #[error(
        "{path}: this index names its terms, in the order in which documents introduced them, so a number \
         such as {number} does not identify a term; give the names of the numbers (--vocab FILE), or \
         vectors by token"
    )]
    NamedTerms {
        /// The folder.
        path: PathBuf,
        /// The number.
        number: u32,
    },
    /// The index has no such part.
    #[error("{path}: this index has no {part}; {hint}")]
    Missing {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        part: String,
        /// What to do.
        hint: String,
    },
}

impl IndexError {
    /// Wraps an error of the system with the path it is about.
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_path_buf(), source }
    }

    /// Whether the operating system failed, as opposed to the files being wrong.
    #[must_use]
    pub fn is_of_system(&self) -> bool {
        match self {
            Self::Io { .. } => true,
            Self::Text { source, .. } => match &*source.0 {
                TantivyError::IoError(error) => error.raw_os_error().is_some(),
                TantivyError::OpenDirectoryError(_)
                | TantivyError::OpenWriteError(_)
                | TantivyError::LockFailure(..) => true,
                _ => false,
            },
            _ => false,
        }
    }

    /// The same about a part that is derived from the other parts of its segment.
    pub(crate) fn of_derived(mut self) -> Self {
        if let Self::Version { derived, .. } = &mut self {
            *derived = true;
        }
        self
    }

    /// The error for bytes at `path` that contradict each other.
    #[must_use]
    pub fn corrupt(path: &Path, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_path_buf(), what: what.into() }
    }

    /// Wraps an error of tantivy.
    pub(crate) fn text(path: &Path) -> impl FnOnce(TantivyError) -> Self + '_ {
        move |source| Self::Text { path: path.to_path_buf(), source: TextError(Box::new(source)) }
    }
}

/// What the user can do about a version that is not read.
fn way_on(path: &Path, is_old: bool, derived: bool) -> String {
    if !is_old {
        return "a newer quarry wrote it, and reads it".into();
    }
    match path.parent() {
        // The parts that it was computed from still exist.
        Some(folder) if derived => {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
            let out = match &name {
                Some(name) => folder.with_file_name(format!("{name}.upgraded")),
                None => folder.join("../upgraded"),
            };
            format!("`quarry upgrade {} {}` builds it again", quoted(folder), quoted(&out))
        }
        _ => "build the index again".into(),
    }
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('-') {
        return text;
    }
    let start = if text.starts_with('-') { "./" } else { "" };
    format!("'{start}{}'", text.replace('\'', "'\\''"))
}
