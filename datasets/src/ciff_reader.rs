//! CIFF as a stream of documents: lists are by term, documents are wanted, so the file is inverted.
//!
//! 1. pass over the lists and read the document records: how many there really are
//! 2. read the lists: check them, and count the components of each document
//! 3. for each run of documents whose postings fit the memory: read the lists once more, keep their
//!    postings by document, then their ids, and hand the documents out
//!
//! What a header declares takes no memory before as many records were read. An impact is a weight as
//! it is; the scale of a writer that states one is for the caller to give.

use std::fmt;
use std::path::{Path, PathBuf};

use prost::Message;
use quarry_vectors::{Document, InputVector};

use crate::ciff::{DocRecord, Header, PostingsList, VERSION};
use crate::error::{DatasetError, Position};
use crate::input::{Input, count};
use crate::seismic_bin::Bytes;

/// Impacts up to here are whole numbers of 32-bit floats.
const LARGEST_IMPACT: i32 = 1 << 24;
/// Most bytes of a posting: its length, and two numbers with their tags.
const POSTING_BYTES: u64 = 24;
/// Room for a list's term and numbers.
const LIST_BYTES: u64 = 1 << 20;
/// Bytes a posting takes in memory.
const KEPT_BYTES: u64 = 8;

pub(crate) struct CiffReader {
    path: PathBuf,
    lists: u64,
    documents: u64,
    file_size: u64,
    memory: u64,
    /// By number of the list.
    terms: Vec<String>,
    /// Components of each document.
    counts: Vec<u32>,
    /// The run that is being handed out.
    run: Run,
    next: usize,
}

/// Consecutive documents with their postings.
#[derive(Default)]
struct Run {
    first: usize,
    ids: Vec<String>,
    /// Where each document's postings end.
    ends: Vec<usize>,
    /// List and impact.
    postings: Vec<(u32, u32)>,
}

impl fmt::Debug for CiffReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CiffReader")
            .field("lists", &self.lists)
            .field("documents", &self.documents)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl CiffReader {
    pub(crate) fn new(input: Input, memory: u64) -> Result<Self, DatasetError> {
        let path = input.path().to_owned();
        let file_size = input.progress().total();
        let mut bytes = Bytes::new(input);
        let header = read_header(&mut bytes)?;
        let (lists, documents) = (counted(header.num_postings_lists), counted(header.num_docs));
        for list in 0..lists {
            let at = Position::PostingsList(list);
            let length = bytes.varint(at, "the list that the header announces")?;
            bytes.skip(length, at)?;
        }
        for record in 0..documents {
            read_record(&mut bytes, record)?;
        }
        bytes.expect_end(Position::Record(documents))?;
        let mut reader = Self {
            path,
            lists,
            documents,
            file_size,
            memory,
            terms: Vec::new(),
            counts: Vec::new(),
            run: Run::default(),
            next: 0,
        };
        reader.count()?;
        Ok(reader)
    }

    pub(crate) fn documents(&self) -> u64 {
        self.documents
    }

    /// Bytes of the file done, by the share of the documents handed out.
    pub(crate) fn bytes_read(&self) -> u64 {
        let (done, whole) = (u128::from(count(self.next)), u128::from(self.documents));
        let share = (u128::from(self.file_size) * done).checked_div(whole);
        share.and_then(|n| u64::try_from(n).ok()).unwrap_or(self.file_size)
    }

    /// The next document.
    pub(crate) fn next(&mut self, scale: Option<f32>) -> Result<Option<Document>, DatasetError> {
        if self.next == self.counts.len() {
            return Ok(None);
        }
        if self.next == self.run.first + self.run.ids.len() {
            self.fill()?;
        }
        let at = self.next - self.run.first;
        let start = if at == 0 { 0 } else { self.run.ends[at - 1] };
        let mut pairs = Vec::with_capacity(self.run.ends[at] - start);
        for (list, impact) in &self.run.postings[start..self.run.ends[at]] {
            #[expect(clippy::cast_precision_loss, reason = "at most 2^24")]
            let weight = *impact as f32 / scale.unwrap_or(1.0);
            let token = self.terms[*list as usize].clone();
            if !weight.is_finite() {
                let (path, at) = (self.path.clone(), Position::Record(count(self.next)));
                return Err(DatasetError::Weight { path, at, term: token, found: weight });
            }
            if weight > 0.0 {
                pairs.push((token, weight));
            }
        }
        let document = Document {
            id: std::mem::take(&mut self.run.ids[at]),
            vector: Some(InputVector::Tokens(pairs)),
            line: count(self.next),
            ..Document::default()
        };
        self.next += 1;
        Ok(Some(document))
    }

    /// Reads the terms, and how many components each document has.
    fn count(&mut self) -> Result<(), DatasetError> {
        let (mut terms, mut counts) = (Vec::new(), vec![0u32; room(self.documents)]);
        let path = self.path.clone();
        self.each_list(|list| {
            for (document, impact) in list.postings() {
                counts[document] += u32::from(impact > 0);
            }
            terms.push(list.message.term);
            Ok(())
        })?;
        let mut order: Vec<usize> = (0..terms.len()).collect();
        order.sort_unstable_by(|a, b| terms[*a].cmp(&terms[*b]).then(a.cmp(b)));
        if let Some(pair) = order.windows(2).find(|w| terms[w[0]] == terms[w[1]]) {
            let at = Position::PostingsList(count(pair[1]));
            return Err(DatasetError::malformed(
                &path,
                at,
                "a term that has no list before",
                &terms[pair[1]],
            ));
        }
        (self.terms, self.counts) = (terms, counts);
        Ok(())
    }

    /// Takes the postings of the next documents, as many as fit the memory, and one at least.
    fn fill(&mut self) -> Result<(), DatasetError> {
        let first = self.next;
        let most = self.memory / KEPT_BYTES;
        let (mut postings, mut last) = (0u64, first);
        while last < self.counts.len()
            && (last == first || postings + u64::from(self.counts[last]) <= most)
        {
            postings += u64::from(self.counts[last]);
            last += 1;
        }
        let mut run = Run { first, ..Run::default() };
        let mut place = 0;
        // While lists are read an entry is where the next posting of the document goes.
        for document in first..last {
            run.ends.push(place);
            place += self.counts[document] as usize;
        }
        run.postings = vec![(0, 0); place];
        let mut bytes = self.each_list(|list| {
            for (document, impact) in list.postings() {
                if document >= first && document < last && impact > 0 {
                    let end = &mut run.ends[document - first];
                    match run.postings.get_mut(*end) {
                        Some(slot) => *slot = (list.number, impact),
                        None => return Err(list.changed()),
                    }
                    *end += 1;
                }
            }
            Ok(())
        })?;
        for record in 0..count(last) {
            let id = read_record(&mut bytes, record)?;
            if record >= count(first) {
                run.ids.push(id);
            }
        }
        self.run = run;
        Ok(())
    }

    /// Reads all lists in order and leaves the file at the first document record.
    fn each_list(
        &self,
        mut each: impl FnMut(List<'_>) -> Result<(), DatasetError>,
    ) -> Result<Bytes, DatasetError> {
        let mut bytes = Bytes::new(Input::open(&self.path)?);
        let header = read_header(&mut bytes)?;
        let counts = (counted(header.num_postings_lists), counted(header.num_docs));
        if counts != (self.lists, self.documents) {
            let found = format!("{} lists, {} documents", counts.0, counts.1);
            return Err(bytes.malformed(Position::Start, "the header it had before", &found));
        }
        // Longer than a posting of every document could make it: not a list.
        let longest = LIST_BYTES + POSTING_BYTES * self.documents;
        for number in 0..self.lists {
            let at = Position::PostingsList(number);
            let length = bytes.varint(at, "the list that the header announces")?;
            if length > longest {
                let found = format!("{length} bytes for {} documents", self.documents);
                return Err(bytes.malformed(at, "a list of the documents", &found));
            }
            let message: PostingsList = decode(&mut bytes, length, at)?;
            let list =
                List { path: &self.path, number: u32::try_from(number).unwrap_or(0), message };
            list.check(self.documents)?;
            each(list)?;
        }
        Ok(bytes)
    }
}

/// A postings list on its way.
struct List<'a> {
    path: &'a Path,
    number: u32,
    message: PostingsList,
}

impl List<'_> {
    /// Documents by number, each with its impact.
    fn postings(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        let mut document = 0usize;
        self.message.postings.iter().map(move |posting| {
            document += usize::try_from(posting.docid).unwrap_or(0);
            (document, u32::try_from(posting.tf).unwrap_or(0))
        })
    }

    fn check(&self, documents: u64) -> Result<(), DatasetError> {
        let wrong = |expected, found: String| {
            let at = Position::PostingsList(u64::from(self.number));
            Err(DatasetError::malformed(self.path, at, expected, &found))
        };
        let message = &self.message;
        if message.term.is_empty() {
            return wrong("a term", String::new());
        }
        if u64::try_from(message.df).ok() != Some(count(message.postings.len())) {
            let found = format!("df {}, {} postings", message.df, message.postings.len());
            return wrong("as many postings as its df", found);
        }
        let mut document = 0u64;
        for (place, posting) in message.postings.iter().enumerate() {
            match u64::try_from(posting.docid) {
                Ok(gap) if gap > 0 || place == 0 => document += gap,
                _ => return wrong("docids that ascend", format!("gap {}", posting.docid)),
            }
            if document >= documents {
                let found = format!("docid {document} of {documents} documents");
                return wrong("docids of the documents", found);
            }
            if !(0..=LARGEST_IMPACT).contains(&posting.tf) {
                return wrong("frequencies of 0 to 16777216", posting.tf.to_string());
            }
        }
        Ok(())
    }

    /// The file is not the one that was counted.
    fn changed(&self) -> DatasetError {
        let at = Position::PostingsList(u64::from(self.number));
        DatasetError::malformed(self.path, at, "the postings it had before", &self.message.term)
    }
}

fn read_header(bytes: &mut Bytes) -> Result<Header, DatasetError> {
    let at = Position::Start;
    let length = bytes.varint(at, "its header")?;
    let header: Header = decode(bytes, length, at)?;
    if header.version != VERSION {
        return Err(bytes.malformed(at, "version 1 of CIFF", &header.version.to_string()));
    }
    if header.num_postings_lists < 0 || header.num_docs < 0 {
        let found = format!("{} lists, {} documents", header.num_postings_lists, header.num_docs);
        return Err(bytes.malformed(at, "numbers of lists and documents", &found));
    }
    Ok(header)
}

/// The id of document `record`.
fn read_record(bytes: &mut Bytes, record: u64) -> Result<String, DatasetError> {
    let at = Position::Record(record);
    let length = bytes.varint(at, "the document that the header announces")?;
    let message: DocRecord = decode(bytes, length, at)?;
    if u64::try_from(message.docid).ok() != Some(record) {
        return Err(bytes.malformed(at, "docids from 0 in order", &message.docid.to_string()));
    }
    if message.collection_docid.is_empty() {
        return Err(DatasetError::EmptyId { path: bytes.path().to_owned(), at });
    }
    Ok(message.collection_docid)
}

fn decode<M: Message + Default>(
    bytes: &mut Bytes,
    length: u64,
    at: Position,
) -> Result<M, DatasetError> {
    let decoded = M::decode(bytes.chunk(length, at, "the end of the message")?);
    decoded.map_err(|e| bytes.malformed(at, "a message of CIFF", &e.to_string()))
}

fn counted(number: i32) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn room(documents: u64) -> usize {
    usize::try_from(documents).unwrap_or(usize::MAX)
}
