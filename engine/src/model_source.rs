//! Which model is meant.

use std::convert::Infallible;
use std::str::FromStr;

/// Which model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ModelSource {
    /// The one that comes with the program.
    #[default]
    Bundled,
    /// A folder, or a name on the hub as `org/name`.
    Named(String),
    /// Two published networks that were trained together.
    Pair {
        /// Encodes documents.
        documents: String,
        /// Encodes queries.
        queries: String,
    },
}

impl FromStr for ModelSource {
    type Err = Infallible;

    /// `doc=MODEL,query=MODEL` is a pair; everything else a folder or name.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let pair = text.strip_prefix("doc=").and_then(|rest| rest.split_once(",query="));
        Ok(match pair {
            Some((documents, queries)) => {
                Self::Pair { documents: documents.to_owned(), queries: queries.to_owned() }
            }
            None => Self::Named(text.to_owned()),
        })
    }
}
