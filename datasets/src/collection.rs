//! A collection as a stream of documents, whatever its format.
//!
//! 1. a folder is BEIR's, MS MARCO's, or one of JSON parts; a file's format is seen by its head
//! 2. one record at a time is read, checked and handed on; nothing is kept
//! 3. the first error ends the stream, since what follows damage cannot be trusted

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use quarry_vectors::{Document, InputVector, SparseVector};

use crate::bigann_csr::BigAnnCsr;
use crate::ciff_reader::CiffReader;
use crate::detect::{Looks, look};
use crate::error::{DatasetError, Position};
use crate::input::{Input, Progress};
use crate::lines::{Lines, is_blank};
use crate::notice::Notice;
use crate::options::{CollectionFormat, CollectionOptions};
use crate::seismic_bin::{SeismicBin, refuse};
use crate::tab_separated::Table;
use crate::unique::{Duplicates, LeftOut, Unique, Verdict};
use crate::{folder, json_record};

/// Opens a file or folder for reading once through.
///
/// # Errors
/// When it cannot be opened, is in no known format, or its head is damaged; when
/// [`CollectionOptions::scale`] is not a finite number above 0.
pub fn open_collection(
    path: &Path,
    options: &CollectionOptions,
) -> Result<CollectionReader, DatasetError> {
    check_scale(options.scale)?;
    let mut skipped = Vec::new();
    let (format, mut parts) = if path.is_dir() {
        let format = options
            .format
            .or_else(|| folder::find(path, "corpus.jsonl").map(|_| CollectionFormat::Beir));
        match format {
            Some(CollectionFormat::Beir) => {
                let corpus = folder::require(path, "corpus.jsonl")?;
                skipped = folder::beside_corpus(path, &corpus);
                (Some(CollectionFormat::JsonLines), vec![corpus])
            }
            None | Some(CollectionFormat::MsMarco) if folder::is_msmarco(path) => {
                let documents = folder::require(path, folder::MSMARCO_DOCUMENTS)?;
                (Some(CollectionFormat::MsMarco), vec![documents])
            }
            None | Some(CollectionFormat::JsonLines) => {
                if format.is_none() {
                    folder::expect_documents(path)?;
                }
                let (parts, others) = folder::json_parts(path)?;
                skipped = others;
                (Some(CollectionFormat::JsonLines), parts)
            }
            Some(other) => (Some(other), vec![path.to_owned()]),
        }
    } else {
        (options.format, vec![path.to_owned()])
    };
    if parts.is_empty() {
        return Err(DatasetError::UnknownFormat {
            path: path.to_owned(),
            expected: "a folder with corpus.jsonl, collection.tsv or JSON lines files",
        });
    }
    let mut bytes_total = 0;
    for part in &parts {
        bytes_total += part.metadata().map_err(|e| DatasetError::open(part, e))?.len();
    }
    let first = parts.remove(0);
    let source = Source::open(&first, format, options.memory)?;
    let texts = options.texts.as_deref().map(|path| {
        let options = CollectionOptions {
            format: None,
            texts: None,
            ids: None,
            vector_field: None,
            duplicates: None,
            ..options.clone()
        };
        open_collection(path, &options).map(Box::new)
    });
    // What .bin and .csr are named by cannot repeat, unless names were given.
    let ordinals = matches!(source, Source::Bin(..) | Source::Csr(_))
        && options.texts.is_none()
        && options.ids.is_none();
    let unique = match options.duplicates.filter(|_| !ordinals) {
        None => None,
        Some(Duplicates::Refuse) => Some(Unique::refusing()),
        Some(Duplicates::Last) => Some(Unique::last(open_collection(path, &unchecked(options))?)?),
    };
    let ids = options.ids.as_deref().map(Ids::open).transpose()?;
    if ids.is_some() && !matches!(source, Source::Bin(..) | Source::Csr(_)) {
        return Err(DatasetError::HasIds { path: first });
    }
    Ok(CollectionReader {
        root: path.to_owned(),
        unique,
        left_out: LeftOut::default(),
        format: source.format(),
        documents_total: source.documents(),
        source: Some(source),
        path: first,
        parts: parts.into(),
        options: options.clone(),
        texts: texts.transpose()?,
        ids,
        bytes_total,
        bytes_before: 0,
        repairs: 0,
        notices: if skipped.is_empty() {
            Vec::new()
        } else {
            vec![Notice::Skipped { folder: path.to_owned(), names: skipped }]
        },
    })
}

/// The same, with every document handed on.
fn unchecked(options: &CollectionOptions) -> CollectionOptions {
    CollectionOptions { duplicates: None, ..options.clone() }
}

pub(crate) fn check_scale(scale: Option<f32>) -> Result<(), DatasetError> {
    match scale {
        Some(scale) if !(scale.is_finite() && scale > 0.0) => Err(DatasetError::Scale(scale)),
        _ => Ok(()),
    }
}

/// The documents of a collection in file order: an iterator of `Result<Document, DatasetError>`.
///
/// Memory is that of one record and some buffers, whatever the size of the file, and what
/// [`CollectionOptions::duplicates`] needs. After an error the iterator ends.
#[derive(Debug)]
pub struct CollectionReader {
    /// What was opened.
    root: PathBuf,
    unique: Option<Unique>,
    left_out: LeftOut,
    source: Option<Source>,
    path: PathBuf,
    parts: VecDeque<PathBuf>,
    options: CollectionOptions,
    texts: Option<Box<CollectionReader>>,
    ids: Option<Ids>,
    format: CollectionFormat,
    documents_total: Option<u64>,
    bytes_total: u64,
    bytes_before: u64,
    repairs: u64,
    notices: Vec<Notice>,
}

impl CollectionReader {
    /// The format, as it was found or asked for; a BEIR folder reads as JSON lines.
    #[must_use]
    pub fn format(&self) -> CollectionFormat {
        self.format
    }

    /// Size in bytes on disk of all files that are read, compressed if they are.
    #[must_use]
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// Bytes of these files read so far. Runs ahead of the documents by a buffer. Cost: O(1).
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_before + self.source.as_ref().map_or(0, Source::bytes_read)
    }

    /// The number of documents, where the format tells it beforehand (`.bin`, `.csr`, CIFF).
    #[must_use]
    pub fn documents_total(&self) -> Option<u64> {
        self.documents_total
    }

    /// Documents so far whose text was repaired (see [`CollectionOptions::repair_encoding`]).
    #[must_use]
    pub fn repairs(&self) -> u64 {
        self.repairs + self.texts.as_ref().map_or(0, |texts| texts.repairs())
    }

    /// What is worth saying of what was read so far, once: later calls give what came since.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        let mut notices = std::mem::take(&mut self.notices);
        let LeftOut { count, first } = std::mem::take(&mut self.left_out);
        if let Some((path, line)) = first {
            notices.push(match self.options.duplicates {
                Some(Duplicates::Last) => Notice::Replaced { path, count, line },
                _ => Notice::Repeated { path, what: "document", count, line },
            });
        }
        if let Some(texts) = &mut self.texts {
            notices.extend(texts.take_notices());
        }
        notices
    }

    /// Documents left out so far, since their ids repeat.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.left_out.count
    }

    /// The next document that is to be handed on.
    fn next_unique(&mut self) -> Result<Option<Document>, DatasetError> {
        loop {
            let Some(document) = self.named()? else { return Ok(None) };
            let Some(unique) = &mut self.unique else { return Ok(Some(document)) };
            match unique.judge(&document) {
                Verdict::New => return Ok(Some(document)),
                Verdict::LeftOut => {
                    let path = self.place();
                    self.left_out.add(&path, document.line);
                }
                Verdict::Other => match self.first(&document)? {
                    // Two ids with one hash.
                    None => return Ok(Some(document)),
                    Some((first_path, first)) => {
                        return Err(DatasetError::RepeatedDocument {
                            path: self.place(),
                            at: Position::Line(document.line),
                            first_path,
                            first: Position::Line(first),
                            id: document.id,
                        });
                    }
                },
            }
        }
    }

    /// The file in which the latest document's line stands.
    fn place(&self) -> PathBuf {
        self.texts.as_ref().map_or(&self.path, |texts| &texts.path).clone()
    }

    /// Where the first document of this one's id stands, if it is another one; reads all before it again.
    fn first(&self, document: &Document) -> Result<Option<(PathBuf, u64)>, DatasetError> {
        let here = (self.place(), document.line);
        let mut again = open_collection(&self.root, &unchecked(&self.options))?;
        while let Some(found) = again.named()? {
            let there = (again.place(), found.line);
            if there == here {
                break;
            }
            if found.id == document.id {
                return Ok(Some(there));
            }
        }
        Ok(None)
    }

    /// The file that documents come from now.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next document, with what [`CollectionOptions::texts`] says of it.
    fn named(&mut self) -> Result<Option<Document>, DatasetError> {
        let document = self.read()?;
        let Some(texts) = &mut self.texts else { return Ok(document) };
        let text = texts.read()?;
        let found = match (document, text) {
            (None, None) => return Ok(None),
            (Some(document), Some(text)) => {
                use CollectionFormat::{BigAnnCsr, SeismicBin};
                let nameless = self.ids.is_none() && matches!(self.format, SeismicBin | BigAnnCsr);
                if document.id == text.id || nameless {
                    // The line is that of the texts: there its id is found.
                    return Ok(Some(Document { vector: document.vector, ..text }));
                }
                format!("line {} has {:?} for {:?}", text.line, text.id, document.id)
            }
            (Some(document), None) => format!("the texts end before document {}", document.id),
            (None, Some(text)) => format!("the vectors end before line {} of the texts", text.line),
        };
        let (vectors, texts) = (self.path.clone(), texts.path.clone());
        Err(DatasetError::OtherTexts { vectors, texts, found })
    }

    fn read(&mut self) -> Result<Option<Document>, DatasetError> {
        loop {
            let Some(source) = &mut self.source else { return Ok(None) };
            let next = source.next(&self.path, &self.options, &mut self.repairs)?;
            if let Source::MsMarco(_, _, table) = source {
                self.notices.extend(table.notice.take());
            }
            if let Some(mut document) = next {
                if let Some(ids) = &mut self.ids {
                    document.id = ids.next(document.line)?;
                    document.numbered = false;
                }
                return Ok(Some(document));
            }
            if let Some(ids) = &mut self.ids {
                ids.end(source.documents().unwrap_or(0))?;
            }
            self.bytes_before += source.bytes_read();
            self.source = match self.parts.pop_front() {
                Some(part) => {
                    let next = Source::open(&part, Some(self.format), self.options.memory)?;
                    self.path = part;
                    Some(next)
                }
                None => None,
            };
        }
    }
}

impl Iterator for CollectionReader {
    type Item = Result<Document, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.next_unique().transpose();
        if matches!(item, Some(Err(_))) {
            self.bytes_before = self.bytes_read();
            self.source = None;
        }
        item
    }
}

impl std::iter::FusedIterator for CollectionReader {}

#[derive(Debug)]
enum Source {
    Json(Lines, Progress),
    MsMarco(Lines, Progress, Table),
    Bin(SeismicBin, Progress),
    Csr(BigAnnCsr),
    Ciff(Box<CiffReader>),
}

/// A file of ids beside vectors without names.
#[derive(Debug)]
struct Ids {
    path: PathBuf,
    lines: Lines,
}

impl Ids {
    fn open(path: &Path) -> Result<Self, DatasetError> {
        Ok(Self { path: path.to_owned(), lines: Lines::new(Input::open_text(path)?) })
    }

    /// The id of vector `ordinal`, the next one.
    fn next(&mut self, ordinal: u64) -> Result<String, DatasetError> {
        let path = self.path.clone();
        match self.lines.next()? {
            Some(line) if line.text.is_empty() => {
                Err(DatasetError::EmptyId { path, at: line.at() })
            }
            Some(line) => Ok(line.text.to_owned()),
            None => Err(DatasetError::Ids { path, found: ordinal, vectors: ordinal + 1 }),
        }
    }

    /// Refuses more ids than vectors.
    fn end(&mut self, vectors: u64) -> Result<(), DatasetError> {
        match self.lines.next()? {
            None => Ok(()),
            Some(line) => {
                let found = line.number;
                Err(DatasetError::Ids { path: self.path.clone(), found, vectors })
            }
        }
    }
}

impl Source {
    pub(crate) fn open(
        path: &Path,
        format: Option<CollectionFormat>,
        memory: u64,
    ) -> Result<Self, DatasetError> {
        let input = Input::open(path)?;
        let format = match format {
            Some(format) => {
                use CollectionFormat::{Beir, JsonLines, MsMarco};
                if matches!(format, Beir | JsonLines | MsMarco) {
                    input.refuse_foreign()?;
                }
                format
            }
            // Nothing, or blank lines: a collection without documents.
            None if input.head().trim_ascii().is_empty() => CollectionFormat::JsonLines,
            None => match look(&input)? {
                Looks::JsonLines => CollectionFormat::JsonLines,
                Looks::TabSeparated => CollectionFormat::MsMarco,
                Looks::SeismicBin => CollectionFormat::SeismicBin,
                Looks::BigAnnCsr => CollectionFormat::BigAnnCsr,
                Looks::Ciff => CollectionFormat::Ciff,
            },
        };
        let progress = input.progress();
        Ok(match format {
            CollectionFormat::Beir | CollectionFormat::JsonLines => {
                Self::Json(Lines::new(input), progress)
            }
            CollectionFormat::MsMarco => {
                Self::MsMarco(Lines::new(input), progress, Table::default())
            }
            CollectionFormat::SeismicBin => Self::Bin(SeismicBin::new(input)?, progress),
            CollectionFormat::BigAnnCsr => Self::Csr(BigAnnCsr::new(input)?),
            CollectionFormat::Ciff => Self::Ciff(Box::new(CiffReader::new(input, memory)?)),
        })
    }

    fn format(&self) -> CollectionFormat {
        match self {
            Self::Json(..) => CollectionFormat::JsonLines,
            Self::MsMarco(..) => CollectionFormat::MsMarco,
            Self::Bin(..) => CollectionFormat::SeismicBin,
            Self::Csr(_) => CollectionFormat::BigAnnCsr,
            Self::Ciff(_) => CollectionFormat::Ciff,
        }
    }

    fn documents(&self) -> Option<u64> {
        match self {
            Self::Json(..) | Self::MsMarco(..) => None,
            Self::Bin(bin, _) => Some(bin.documents()),
            Self::Csr(csr) => Some(csr.documents()),
            Self::Ciff(ciff) => Some(ciff.documents()),
        }
    }

    fn bytes_read(&self) -> u64 {
        match self {
            Self::Json(_, progress) | Self::MsMarco(_, progress, _) | Self::Bin(_, progress) => {
                progress.read()
            }
            Self::Csr(csr) => csr.bytes_read(),
            Self::Ciff(ciff) => ciff.bytes_read(),
        }
    }

    fn next(
        &mut self,
        path: &Path,
        options: &CollectionOptions,
        repairs: &mut u64,
    ) -> Result<Option<Document>, DatasetError> {
        match self {
            Self::Json(lines, _) => {
                let rules = json_record::Rules {
                    scale: options.scale,
                    vector_field: options.vector_field.as_deref(),
                    kept: &options.kept_fields,
                };
                while let Some(line) = lines.next()? {
                    if !is_blank(line.text) {
                        return json_record::document(line, rules).map(Some);
                    }
                }
                Ok(None)
            }
            Self::MsMarco(lines, _, table) => {
                while let Some(line) = lines.next()? {
                    if !is_blank(line.text)
                        && let Some((document, changed)) =
                            table.document(line, options.repair_encoding)?
                    {
                        *repairs += u64::from(changed);
                        return Ok(Some(document));
                    }
                }
                Ok(None)
            }
            Self::Bin(bin, _) => bin.next()?.map(|v| numbered(path, v, options.scale)).transpose(),
            Self::Csr(csr) => csr.next()?.map(|v| numbered(path, v, options.scale)).transpose(),
            Self::Ciff(ciff) => ciff.next(options.scale),
        }
    }
}

/// A vector without a name: its ordinal becomes its id.
fn numbered(
    path: &Path,
    (ordinal, vector): (u64, SparseVector),
    scale: Option<f32>,
) -> Result<Document, DatasetError> {
    let vector = match scale {
        None => vector,
        Some(scale) => {
            let weights = vector.weights().iter().map(|w| w / scale).collect();
            SparseVector::new(vector.terms().to_vec(), weights)
                .map_err(|e| refuse(path, Position::Ordinal(ordinal), &e))?
        }
    };
    Ok(Document {
        id: ordinal.to_string(),
        vector: Some(InputVector::Terms(vector)),
        numbered: true,
        line: ordinal,
        ..Document::default()
    })
}
