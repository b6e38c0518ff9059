//! Encoders that know the vectors of some texts already, and ask another encoder for the rest.
//!
//! Texts are found by title and body. Where a text stands in several documents that were encoded in different company,
//! the sparse vectors are given in the order of the documents, which is the order in which they are asked for: an
//! addition from a log is so the same to the bit.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use quarry_index::provenance;
use quarry_vectors::{
    DenseVector, Document, EncodeDense, EncodeDocument, EncodeError, EncodeTokens, Passage,
    PooledBy, SparseVector, SplitText, TokenEmbeddings, Traced,
};

use super::encoded_text::{EncodedRow, EncodedText};

/// What was made of the texts of some documents.
#[derive(Debug, Default)]
pub(crate) struct Known {
    splits: HashMap<String, Vec<Range<usize>>>,
    /// By the text of a row, in the order of the documents.
    rows: HashMap<String, Vec<(Arc<EncodedText>, usize)>>,
}

impl Known {
    /// What is known of these documents.
    pub(crate) fn of<'a>(
        documents: impl IntoIterator<Item = (&'a Document, &'a Arc<EncodedText>)>,
    ) -> Self {
        let mut known = Self::default();
        for (document, text) in documents {
            let ranges = text.rows.iter().map(|row| row.bytes.clone()).collect();
            known.splits.insert(key(&document.title, &document.text), ranges);
            for (at, row) in text.rows.iter().enumerate() {
                let Some(part) = document.text.get(row.bytes.clone()) else { continue };
                let rows = known.rows.entry(key(&document.title, part)).or_default();
                rows.push((Arc::clone(text), at));
            }
        }
        known
    }

    /// The row of a text, the `nth` of them or the last.
    fn row(&self, passage: &Passage<'_>, nth: usize) -> Option<&EncodedRow> {
        let rows = self.rows.get(&key(passage.title, passage.text))?;
        let (text, at) = rows.get(nth).or(rows.last())?;
        text.rows.get(*at)
    }
}

/// A title and a text as one; their border counts.
fn key(title: &str, text: &str) -> String {
    format!("{} {title}{text}", title.len())
}

/// What is known of each passage, and what `encode` makes of the others, in one call.
fn filled<T>(
    passages: &[Passage<'_>],
    known: impl FnMut(&Passage<'_>) -> Option<T>,
    encode: impl FnOnce(&[Passage<'_>]) -> Result<Vec<T>, EncodeError>,
) -> Result<Vec<T>, EncodeError> {
    let mut found: Vec<Option<T>> = passages.iter().map(known).collect();
    let lacking: Vec<Passage<'_>> = passages
        .iter()
        .zip(&found)
        .filter(|(_, found)| found.is_none())
        .map(|(passage, _)| *passage)
        .collect();
    if !lacking.is_empty() {
        let mut made = encode(&lacking)?.into_iter();
        found.iter_mut().filter(|found| found.is_none()).for_each(|one| *one = made.next());
    }
    let all: Option<Vec<T>> = found.into_iter().collect();
    all.ok_or_else(|| EncodeError("the encoder gave fewer vectors than texts".into()))
}

/// For sparse vectors.
pub(super) struct KnownDocuments<'a> {
    known: &'a Known,
    encoder: &'a dyn EncodeDocument,
    /// How often each text was asked for.
    asked: Mutex<HashMap<String, usize>>,
}

impl<'a> KnownDocuments<'a> {
    pub(super) fn new(known: &'a Known, encoder: &'a dyn EncodeDocument) -> Self {
        Self { known, encoder, asked: Mutex::default() }
    }

    fn row(&self, passage: &Passage<'_>) -> Option<&EncodedRow> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let times = asked.entry(key(passage.title, passage.text)).or_default();
        *times += 1;
        self.known.row(passage, *times - 1)
    }
}

impl EncodeDocument for KnownDocuments<'_> {
    fn encode_documents(&self, passages: &[Passage<'_>]) -> Result<Vec<SparseVector>, EncodeError> {
        let known = |passage: &Passage<'_>| self.row(passage)?.sparse.clone();
        filled(passages, known, |lacking| self.encoder.encode_documents(lacking))
    }

    fn traces(&self) -> Option<PooledBy> {
        self.encoder.traces()
    }

    fn trace_documents(&self, passages: &[Passage<'_>]) -> Result<Vec<Traced>, EncodeError> {
        let known = |passage: &Passage<'_>| {
            let row = self.row(passage)?;
            let (vector, record) = row.sparse.clone().zip(row.origins.as_deref())?;
            let origins = match record {
                [] => Vec::new(),
                record => provenance::origins(record, vector.len())?,
            };
            Some(Traced { vector, origins })
        };
        filled(passages, known, |lacking| self.encoder.trace_documents(lacking))
    }

    fn truncated(&self) -> u64 {
        self.encoder.truncated()
    }
}

/// For passages.
pub(super) struct KnownSplits<'a> {
    pub(super) known: &'a Known,
    pub(super) splitter: &'a dyn SplitText,
}

impl SplitText for KnownSplits<'_> {
    fn split(&self, title: &str, text: &str) -> Result<Vec<Range<usize>>, EncodeError> {
        match self.known.splits.get(&key(title, text)) {
            Some(ranges) => Ok(ranges.clone()),
            None => self.splitter.split(title, text),
        }
    }
}

/// For token embeddings.
pub(super) struct KnownTokens {
    pub(super) known: Arc<Known>,
    pub(super) encoder: Arc<dyn EncodeTokens>,
}

impl EncodeTokens for KnownTokens {
    fn dims(&self) -> usize {
        self.encoder.dims()
    }

    fn encode_passages(
        &self,
        passages: &[Passage<'_>],
    ) -> Result<Vec<TokenEmbeddings>, EncodeError> {
        let known = |passage: &Passage<'_>| self.known.row(passage, 0)?.tokens.clone();
        filled(passages, known, |lacking| self.encoder.encode_passages(lacking))
    }

    fn encode_question(&self, text: &str) -> Result<TokenEmbeddings, EncodeError> {
        self.encoder.encode_question(text)
    }
}

/// For dense vectors.
pub(super) struct KnownDense {
    pub(super) known: Arc<Known>,
    pub(super) encoder: Arc<dyn EncodeDense>,
}

impl EncodeDense for KnownDense {
    fn dims(&self) -> usize {
        self.encoder.dims()
    }

    fn encode_passages(
        &self,
        passages: &[Passage<'_>],
    ) -> Result<Vec<Option<DenseVector>>, EncodeError> {
        let known = |passage: &Passage<'_>| self.known.row(passage, 0)?.dense.clone();
        filled(passages, known, |lacking| self.encoder.encode_passages(lacking))
    }

    fn encode_question(&self, text: &str) -> Result<Option<DenseVector>, EncodeError> {
        self.encoder.encode_question(text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    /// Term 0, with the number of passages in the call as its weight.
    struct Company;

    impl EncodeDocument for Company {
        fn encode_documents(&self, all: &[Passage<'_>]) -> Result<Vec<SparseVector>, EncodeError> {
            let weight = f32::from(u16::try_from(all.len()).unwrap());
            Ok(all.iter().map(|_| SparseVector::new(vec![0], vec![weight]).unwrap()).collect())
        }
    }

    fn document(title: &str, text: &str) -> Document {
        Document { title: title.into(), text: text.into(), ..Document::default() }
    }

    fn encoded(rows: &[(Range<usize>, f32)]) -> Arc<EncodedText> {
        let row = |(bytes, weight): &(Range<usize>, f32)| EncodedRow {
            bytes: bytes.clone(),
            sparse: Some(SparseVector::new(vec![1], vec![*weight]).unwrap()),
            ..EncodedRow::default()
        };
        Arc::new(EncodedText { rows: rows.iter().map(row).collect() })
    }

    #[test]
    fn texts_keep_their_order_and_the_rest_is_encoded() {
        let documents =
            [document("a", "b"), document("", "ab"), document("a", "b"), document("t", "one two")];
        let texts = [
            encoded(&[(0..1, 10.0)]),
            encoded(&[(0..2, 20.0)]),
            encoded(&[(0..1, 30.0)]),
            encoded(&[(0..3, 40.0), (4..7, 50.0)]),
        ];
        let known = Known::of(documents.iter().zip(&texts));
        let encoder = KnownDocuments::new(&known, &Company);
        let passage = |title, text| Passage { title, text };
        let asked = [
            passage("a", "b"),
            passage("", "new"),
            passage("", "ab"),
            passage("t", "two"),
            passage("a", "b"),
            passage("", "newer"),
            passage("t", "one two"),
        ];
        let made = encoder.encode_documents(&asked).unwrap();
        let weights: Vec<f32> = made.iter().map(|vector| vector.weights()[0]).collect();
        // Those that are not known are encoded together.
        assert_eq!(weights, [10.0, 3.0, 20.0, 50.0, 30.0, 3.0, 3.0]);
        let splits = KnownSplits { known: &known, splitter: &Halves };
        assert_eq!(splits.split("t", "one two").unwrap(), [0..3, 4..7]);
        assert_eq!(splits.split("", "one two").unwrap(), [0..1, 1..7]);
    }

    struct Halves;

    impl SplitText for Halves {
        fn split(&self, _: &str, text: &str) -> Result<Vec<Range<usize>>, EncodeError> {
            Ok(vec![0..1, 1..text.len()])
        }
    }
}
