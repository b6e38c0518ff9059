//! Names of models.

use std::convert::Infallible;
use std::str::FromStr;

/// The source of a model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ModelSource {
    /// The bundled model.
    #[default]
    Bundled,
    /// A folder, or a name on the hub such as `org/name`.
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

    /// `doc=MODEL,query=MODEL` is a pair; anything else is a folder or a name.
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
