//! Problems with a request that did not prevent an answer.

use std::fmt;

/// Most names in a message; the list of names is complete.
const NAMED: usize = 20;

/// Kinds of warnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WarningKind {
    /// Terms from the encoder that the index does not have.
    UnknownTerms,
    /// Tokens or term numbers of a query vector that the index does not have.
    UnknownTokens,
    /// Words that no document has.
    UnknownWords,
    /// No token of the text is known.
    EmptyText,
    /// No token of the vector is known and has a weight.
    EmptyVector,
    /// No word of the text is in the index.
    EmptyWords,
    /// Requested fields that no hit has.
    UnknownFields,
    /// Requested fields of an index that stores no documents.
    NothingStored,
    /// k1 and b are not those of the index's lists of words.
    EveryPosting,
    /// Candidates without token embeddings, whose place reranking did not change.
    NoTokens,
}

/// A problem with a request that did not prevent an answer. `Display` gives a sentence with the first
/// names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// The kind.
    pub kind: WarningKind,
    /// All names concerned.
    pub names: Vec<String>,
}

impl Warning {
    pub(crate) fn empty(kind: WarningKind) -> Self {
        Self { kind, names: Vec::new() }
    }

    /// A warning about names; `None` if there are none.
    pub(crate) fn of(kind: WarningKind, names: Vec<String>) -> Option<Self> {
        (!names.is_empty()).then_some(Self { kind, names })
    }

    /// The names in the message.
    #[must_use]
    pub fn first_names(&self) -> &[String] {
        self.names.get(..NAMED).unwrap_or(&self.names)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            WarningKind::EmptyText => {
                return f.write_str("no token of the query is known, so nothing can match");
            }
            WarningKind::EmptyVector => {
                return f.write_str("the query vector has no known token with a weight");
            }
            WarningKind::EmptyWords => {
                let text = "no word of the query occurs in the index, so nothing can match";
                return f.write_str(text);
            }
            WarningKind::EveryPosting => {
                return f.write_str(
                    "k1 and b are not those of the index's lists of words: every posting was scored",
                );
            }
            WarningKind::UnknownTerms => "terms the index does not know",
            WarningKind::UnknownTokens => "tokens the index does not know",
            WarningKind::UnknownWords => "words that no document has",
            WarningKind::UnknownFields => "fields that no hit has",
            WarningKind::NothingStored => "fields of an index that stores no documents",
            WarningKind::NoTokens => {
                "candidates without token embeddings, which keep the place that the search gave them"
            }
        };
        let more = if self.names.len() > NAMED { ", ..." } else { "" };
        write!(f, "{} {what}: {}{more}", self.names.len(), self.first_names().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_has_the_first_names_and_the_count_of_all() {
        let names = |n: usize| (0..n).map(|i| format!("w{i}")).collect::<Vec<_>>();
        assert_eq!(Warning::of(WarningKind::UnknownTokens, names(0)), None);
        let two = Warning::of(WarningKind::UnknownTokens, names(2));
        let text = two.map(|w| w.to_string());
        assert_eq!(text.as_deref(), Some("2 tokens the index does not know: w0, w1"));
        let many = Warning { kind: WarningKind::NoTokens, names: names(21) };
        assert!(many.to_string().ends_with("w18, w19, ..."), "{many}");
        assert_eq!((many.first_names().len(), many.names.len()), (20, 21));
    }
}
