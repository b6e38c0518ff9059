//! Checks which options go together. An option without effect on the input is refused, since users would
//! believe that it worked.

use quarry_datasets::CollectionFormat;
use quarry_vectors::{Document, InputVector};

use super::{Encoding, Input, Setting, TextsAs, WriteError};

/// The documents of an index, and how they are built.
#[derive(Debug, Clone, Copy)]
pub(super) struct Content<'a> {
    pub(super) encoding: &'a Encoding,
    pub(super) texts_as: TextsAs,
    /// Whether options that were not given are taken from how the index was built.
    pub(super) filled_in: bool,
    /// Whether the documents bring vectors.
    pub(super) has_vectors: bool,
    pub(super) first: Option<&'a Document>,
}

impl Content<'_> {
    /// Whether a model encodes the documents.
    pub(super) fn encodes(&self) -> bool {
        !self.has_vectors && self.texts_as == TextsAs::Sparse
    }

    /// Refuses options without effect on this collection.
    pub(super) fn check_input(
        &self,
        input: &Input,
        format: CollectionFormat,
    ) -> Result<(), WriteError> {
        let shown = input.path.display();
        let texts = format!("{shown} brings texts, and it is about given vectors");
        let vectors = format!("{shown} brings its vectors, and it is about encoding texts");
        let brings = self.first.is_some_and(|document| document.vector.is_some());
        if self.first.is_some() && !brings {
            refuse(input.scale.is_some(), Setting::Scale, &texts)?;
            refuse(input.vocabulary.is_some(), Setting::Vocabulary, &texts)?;
            refuse(input.vector_field.is_some(), Setting::VectorField, &texts)?;
        }
        // Words are not encoded; options about that are refused elsewhere.
        let encodes = self.encodes() || self.texts_as == TextsAs::Bm25;
        if self.first.is_some() && !encodes {
            self.check_encoding(&vectors)?;
        }
        let named = matches!(self.first.map(|d| &d.vector), Some(Some(InputVector::Tokens(_))));
        let why = "the vectors name their tokens; it names term numbers";
        refuse(named && input.vocabulary.is_some(), Setting::Vocabulary, why)?;
        let fields = format == CollectionFormat::JsonLines;
        let why = "it names a field of JSON lines";
        refuse(input.vector_field.is_some() && !fields, Setting::VectorField, why)?;
        let table = format == CollectionFormat::MsMarco;
        let why = "it is about MS MARCO's tables, id TAB text";
        refuse(!input.repair_encoding && !table, Setting::RawEncoding, why)?;
        let bm25 = self.texts_as == TextsAs::Bm25;
        refuse(brings && bm25 && !self.filled_in, Setting::Bm25, &vectors)
    }

    /// Refuses options about encoding if nothing is encoded.
    pub(super) fn check_encoding(&self, why: &str) -> Result<(), WriteError> {
        let (given, encoding) = (!self.filled_in, self.encoding);
        refuse(given && encoding.max_tokens.is_some(), Setting::MaxTokens, why)?;
        refuse(given && encoding.top_k.is_some(), Setting::TopK, why)?;
        refuse(encoding.is_run_elsewhere(), Setting::Device, why)
    }

    /// Refuses token embeddings for documents that have no text.
    pub(super) fn check_tokens(&self, tokens: bool) -> Result<(), WriteError> {
        let textless = |d: &Document| d.vector.is_some() && d.text.is_empty() && d.title.is_empty();
        match tokens && self.first.is_some_and(textless) {
            true => Err(WriteError::TokensWithoutTexts),
            false => Ok(()),
        }
    }

    /// Refuses a model, or an option that needs one, if no model encodes the documents.
    pub(super) fn check_model(&self, input: Option<&Input>) -> Result<(), WriteError> {
        let kept = self.encoding.provenance || self.encoding.passages.is_some();
        if self.filled_in && self.has_vectors && kept {
            return Err(WriteError::VectorsAmongTexts);
        }
        if let Some(input) = input.filter(|i| i.texts.is_some() && !self.has_vectors) {
            return Err(WriteError::TextsWithoutVectors { input: input.path.clone() });
        }
        if self.encodes() {
            return Ok(());
        }
        if self.encoding.model.is_some() {
            return Err(WriteError::ModelWithoutTexts);
        }
        if self.encoding.provenance {
            return Err(WriteError::ProvenanceWithoutModel);
        }
        if self.encoding.passages.is_some() {
            return Err(WriteError::PassagesWithoutModel);
        }
        Ok(())
    }
}

fn refuse(given: bool, setting: Setting, why: &str) -> Result<(), WriteError> {
    match given {
        true => Err(WriteError::DoesNothing { setting, why: why.to_owned() }),
        false => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use quarry_vectors::SparseVector;

    use super::*;

    fn document(vector: Option<InputVector>) -> Document {
        Document { id: "a".into(), vector, ..Document::default() }
    }

    fn refused(result: Result<(), WriteError>) -> Option<Setting> {
        match result {
            Ok(()) => None,
            Err(WriteError::DoesNothing { setting, .. }) => Some(setting),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn options_without_effect_are_refused() {
        let text = document(None);
        let vector = SparseVector::new(vec![1], vec![1.0]).unwrap();
        let vector = document(Some(InputVector::Terms(vector)));
        let plain = Encoding::default();
        let of = |first, has_vectors| Content {
            encoding: &plain,
            texts_as: TextsAs::Sparse,
            filled_in: false,
            has_vectors,
            first: Some(first),
        };
        let input = Input::new("x");
        let scaled = Input { scale: Some(2.0), ..input.clone() };
        let jsonl = CollectionFormat::JsonLines;
        assert_eq!(refused(of(&text, false).check_input(&scaled, jsonl)), Some(Setting::Scale));
        assert_eq!(refused(of(&vector, true).check_input(&scaled, jsonl)), None);
        let short = Encoding { max_tokens: Some(9), ..Encoding::default() };
        let content = Content { encoding: &short, ..of(&vector, true) };
        assert_eq!(refused(content.check_input(&input, jsonl)), Some(Setting::MaxTokens));
        // Options taken from the index were not given by the user.
        let content = Content { filled_in: true, ..content };
        assert_eq!(refused(content.check_input(&input, jsonl)), None);
        let raw = Input { repair_encoding: false, ..input.clone() };
        assert_eq!(refused(of(&text, false).check_input(&raw, jsonl)), Some(Setting::RawEncoding));
        assert_eq!(refused(of(&text, false).check_input(&raw, CollectionFormat::MsMarco)), None);
    }

    #[test]
    fn a_model_needs_texts() {
        let with = Encoding { provenance: true, ..Encoding::default() };
        let content = Content {
            encoding: &with,
            texts_as: TextsAs::Bm25,
            filled_in: false,
            has_vectors: false,
            first: None,
        };
        let error = content.check_model(None).unwrap_err();
        assert!(matches!(error, WriteError::ProvenanceWithoutModel), "{error}");
        let content = Content { texts_as: TextsAs::Sparse, ..content };
        content.check_model(None).unwrap();
        let input = Input { texts: Some("texts".into()), ..Input::new("x") };
        let error = content.check_model(Some(&input)).unwrap_err();
        assert!(matches!(error, WriteError::TextsWithoutVectors { .. }), "{error}");
    }
}
