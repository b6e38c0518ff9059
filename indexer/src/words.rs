//! Impact-ordered lists of words, built from a sealed text part within a memory limit.
//!
//! 1. find the words of enough rows: they get a list  2. take as many of them as fit the memory, and decode
//!    their postings, one word a job  3. make levels of frequencies and lengths, cut each list into bands and
//!    encode it  4. write lists in the order of the dictionary
//!
//! Cost: O(postings of words that have a list).

use std::path::Path;
use std::sync::Arc;

use quarry_index::container::Written;
use quarry_index::impact::{EncodedList, ImpactMeta, encode};
use quarry_index::text::TextIndex;
use quarry_index::words::{B, K1, ONE, WordsMeta, WordsWriter, least_rows};
use quarry_index::{IndexError, guarded};
use rayon::prelude::*;
use tantivy::InvertedIndexReader;
use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::TermInfo;
use tantivy::schema::IndexRecordOption;

use crate::BuildError;
use crate::impact::bands::Banding;

/// Bytes per posting while it is decoded, cut into bands and encoded.
const POSTING_BYTES: u64 = 6 + 4 + 3;

/// Whether a text part has words that lists can be made of.
pub(crate) fn has_words(text: &TextIndex) -> Result<bool, BuildError> {
    let tokens = guarded(text.path(), || {
        let inverted = text.reader().inverted_index(text.fields().contents);
        let inverted =
            inverted.map_err(|error| IndexError::corrupt(text.path(), format!("{error}")))?;
        Ok::<_, BuildError>(inverted.total_num_tokens())
    })?;
    Ok(tokens > 0)
}

/// Builds the part at `path`; `None` for a text part without a word.
pub(crate) fn build(
    text: &TextIndex,
    path: &Path,
    memory: u64,
) -> Result<Option<Written>, BuildError> {
    guarded(text.path(), || written(text, path, memory))
}

fn written(text: &TextIndex, path: &Path, memory: u64) -> Result<Option<Written>, BuildError> {
    let field = text.fields().contents;
    let of_tantivy = |error| IndexError::corrupt(text.path(), format!("{error}"));
    let inverted = text.reader().inverted_index(field).map_err(of_tantivy)?;
    let lengths = text.reader().get_fieldnorms_reader(field).map_err(of_tantivy)?;
    let (rows, tokens) = (u64::from(text.reader().max_doc()), inverted.total_num_tokens());
    if tokens == 0 {
        return Ok(None);
    }
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    let meta = WordsMeta {
        k1: K1,
        b: B,
        mean_length: tokens as f64 / rows as f64,
        words: inverted.terms().num_terms() as u64,
        least_rows: least_rows(rows),
    };
    let words = frequent(&inverted, meta.least_rows).map_err(IndexError::io(text.path()))?;
    let starts = words.iter().map(|word| word.postings_range.start as u64).collect();
    let mut writer = WordsWriter::create(path, starts, rows, meta.clone())?;
    let lists = Lists { inverted, lengths, layout: writer.layout().clone(), norms: norms(&meta) };
    let most = memory / POSTING_BYTES;
    let mut left = words.as_slice();
    while !left.is_empty() {
        let mut postings = 0;
        let fits = |word: &&TermInfo| {
            postings += u64::from(word.doc_freq);
            postings <= most
        };
        let (now, later) = left.split_at(left.iter().take_while(fits).count().max(1));
        let encoded: Result<Vec<_>, _> = now
            .par_iter()
            .map_init(Banding::new, |banding, word| lists.of(word, banding))
            .collect();
        for list in &encoded.map_err(IndexError::io(text.path()))? {
            writer.push(list)?;
        }
        left = later;
    }
    Ok(Some(writer.finish()?))
}

/// The words of `least_rows` rows or more, in the order of the dictionary.
fn frequent(inverted: &InvertedIndexReader, least_rows: u32) -> std::io::Result<Vec<TermInfo>> {
    let mut words = inverted.terms().stream()?;
    let mut frequent = Vec::new();
    while words.advance() {
        if words.value().doc_freq >= least_rows {
            frequent.push(words.value().clone());
        }
    }
    Ok(frequent)
}

/// What is added to a frequency, by a length as it is stored.
fn norms(meta: &WordsMeta) -> [f64; 256] {
    let mut norms = [0.0; 256];
    for (id, norm) in (0u8..=255).zip(norms.iter_mut()) {
        *norm = meta.norm(FieldNormReader::id_to_fieldnorm(id));
    }
    norms
}

/// What lists are made of.
struct Lists {
    inverted: Arc<InvertedIndexReader>,
    lengths: FieldNormReader,
    layout: ImpactMeta,
    norms: [f64; 256],
}

impl Lists {
    fn of(&self, word: &TermInfo, banding: &mut Banding) -> std::io::Result<EncodedList> {
        let with = IndexRecordOption::WithFreqs;
        let mut postings = self.inverted.read_block_postings_from_terminfo(word, with)?;
        let rows = word.doc_freq as usize;
        let expected = rows.min(self.lengths.num_docs() as usize);
        let (mut docs, mut levels) = (Vec::with_capacity(expected), Vec::with_capacity(expected));
        while !postings.docs().is_empty() && docs.len() < expected {
            docs.extend_from_slice(postings.docs());
            let pairs = postings.docs().iter().zip(postings.freqs());
            levels.extend(pairs.map(|(doc, tf)| self.level(*doc, *tf)));
            postings.advance();
        }
        if docs.len() != rows || levels.len() != rows {
            let what = format!("{} of {rows} postings, {} frequencies", docs.len(), levels.len());
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, what));
        }
        Ok(encode(&self.layout, &banding.cut(&docs, &levels)))
    }

    fn level(&self, doc: u32, tf: u32) -> u16 {
        let tf = f64::from(tf);
        let impact = tf / (tf + self.norms[usize::from(self.lengths.fieldnorm_id(doc))]);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an impact is at most 1"
        )]
        let level = (impact * f64::from(ONE)).ceil() as u16;
        level.max(1)
    }
}
