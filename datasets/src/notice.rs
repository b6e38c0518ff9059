//! What is worth saying about an input that was read all the same.

use std::fmt;
use std::path::PathBuf;

use quarry_vectors::{agreeing, counted};

/// Names of files that a message gives at most.
const NAMED: usize = 5;

/// Something about an input that its owner should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A first line was taken for the names of the columns.
    Header {
        /// The file.
        path: PathBuf,
        /// The line, shortened.
        line: String,
    },
    /// Names in a folder of parts that were not read, in order.
    Skipped {
        /// The folder.
        folder: PathBuf,
        /// The names; those of folders end with `/`.
        names: Vec<String>,
    },
    /// Documents whose id comes again later were left out, as it was wanted.
    Replaced {
        /// The file of the first of them.
        path: PathBuf,
        /// How many were left out.
        count: u64,
        /// Line of the first of them.
        line: u64,
    },
    /// Records that repeat an earlier one to the letter were left out.
    Repeated {
        /// The file.
        path: PathBuf,
        /// What one of them is.
        what: &'static str,
        /// How many were left out.
        count: u64,
        /// Line of the first of them.
        line: u64,
    },
}

/// `1 document was`, `2 documents were`.
fn were(count: u64, noun: &str) -> String {
    format!("{} {}", counted(count, noun), agreeing(count, "was", "were"))
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { path, line } => write!(
                f,
                "{}: the first line, {line}, was taken for the names of the columns",
                path.display()
            ),
            Self::Skipped { folder, names } => {
                let more = names.len().saturating_sub(NAMED);
                let shown: Vec<String> =
                    names.iter().take(NAMED).map(|name| format!("{name:?}")).collect();
                write!(f, "{}: not read: {}", folder.display(), shown.join(", "))?;
                if more > 0 {
                    write!(f, " and {more} more")?;
                }
                f.write_str("; parts are files named .jsonl or .json, .gz and .zst of them")
            }
            Self::Replaced { path, count, line } => write!(
                f,
                "{} left out, because {} again later, the first {}, line {line}",
                were(*count, "document"),
                agreeing(*count, "its id comes", "their ids come"),
                path.display()
            ),
            Self::Repeated { path, what, count, line } => write!(
                f,
                "{}: {} left out, equal to the letter to an earlier one, the first on line {line}",
                path.display(),
                were(*count, what)
            ),
        }
    }
}
