//! Turns a stream of documents into finished shards.
//!
//! 1. one thread reads documents and groups them into shards, refusing repeated ids
//! 2. the calling thread encodes a shard (the encoder uses all cores) or takes the vectors given
//! 3. one thread writes the shard
//!
//! When several machines share a build (`shares/`), each reads all documents but skips the shards of
//! the other machines.
//!
//! At most four shards are in memory. Where shards are cut depends only on count and size, so the same
//! input gives the same shards; an encoder whose output depends only on its batch gives the same vectors
//! in a resumed run.

use std::collections::HashSet;
use std::path::Path;

use crossbeam_channel::{Receiver, Sender, bounded};
use quarry_index::fields::FieldRules;
use quarry_index::provenance;
use quarry_index::text::StoredDocument;
use quarry_vectors::{Document, EncodeDocument, InputVector, Passage, SparseVector, Traced};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::BuildError;
use crate::fields::Fields;
use crate::options::{BuildOptions, EncoderSetup, Event, IngestOptions};
use crate::pieces::pieces;
use crate::shares::{Share, take_into};
use crate::spool::{self, Shard, ShardMeta, SpoolDoc, shard_path};
use crate::terms::{Known, Terms};

/// A shard ends when its texts and vectors reach this size, even if it has few documents.
const SHARD_BYTES: usize = 16 << 20;

/// The result of ingesting.
#[derive(Debug, Default)]
pub(crate) struct Ingested {
    pub(crate) shards: usize,
    pub(crate) documents: u64,
    pub(crate) resumed_documents: u64,
    pub(crate) truncated: u64,
    /// For a share: hash of all input documents, of every machine's shards.
    pub(crate) digest: u64,
}

/// How documents are read and checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) ingest: &'a IngestOptions,
    /// Types of the documents' other fields.
    pub(crate) fields: &'a FieldRules,
    /// The index folder, for error messages.
    pub(crate) out: &'a Path,
}

impl<'a> Reading<'a> {
    /// The settings of a build.
    pub(crate) fn of(options: &'a BuildOptions) -> Self {
        Self { ingest: &options.ingest, fields: &options.seal.fields, out: &options.out }
    }
}

/// Reads `documents` into shards under `build`, after the ones already there; with `share`, only that
/// share's shards are written. `known` are the terms that the index already has.
pub(crate) fn ingest<I, E>(
    documents: I,
    encoder: Option<&EncoderSetup<'_>>,
    (options, known): (Reading<'_>, &Known),
    (build, share): (&Path, Option<Share>),
    progress: &(dyn Fn(Event) + Sync),
) -> Result<Ingested, BuildError>
where
    I: IntoIterator<Item = Result<Document, E>>,
    I::IntoIter: Send,
    E: std::error::Error + Send + Sync + 'static,
{
    let mut seen = Seen::new(build, options.ingest.ids_are_unique, share);
    let mut fields = Fields::new(options.fields);
    let mut terms = Terms::new(known, options.ingest.vocabulary.as_deref());
    let mut done = Ingested::default();
    let mut before = Vec::new();
    while share.is_none() && shard_path(build, done.shards).exists() {
        let shard = Shard::open(&shard_path(build, done.shards))?;
        seen.take_shard(&shard)?;
        terms.take_shard(&shard.meta);
        fields.take(&shard.meta.fields);
        before.push(Before { documents: shard.meta.documents, digest: shard.meta.digest });
        done.documents += shard.meta.documents;
        done.shards += 1;
    }
    done.resumed_documents = done.documents;
    if done.documents > 0 {
        progress(Event::Resumed { documents: done.documents });
    }
    let documents = documents.into_iter();
    std::thread::scope(|scope| {
        let (to_encode, from_reader) = bounded::<Result<Batch, BuildError>>(1);
        let (to_write, from_encoder) = bounded::<(usize, Vec<SpoolDoc>, ShardMeta)>(1);
        let digest = share.map(|_| Xxh3::new());
        let reader = scope
            .spawn(move || read(documents, (before, digest), (seen, fields), options, &to_encode));
        let synced = encoder.is_some() || share.is_some();
        let writer = scope.spawn(move || write_shards(&from_encoder, build, synced));
        let of = (share, build);
        let encoding = Encoding { encoder, of, progress };
        let result = encoding.run(&from_reader, &to_write, (&mut terms, &mut done));
        drop((from_reader, to_write));
        let written = writer.join().map_err(|_| BuildError::Worker("the shard writer"))?;
        // A failing disk first shows as a closed channel; the writer's own error says more.
        written?;
        result?;
        done.digest = reader.join().map_err(|_| BuildError::Worker("the reader"))?;
        Ok::<_, BuildError>(())
    })?;
    done.truncated = encoder.map_or(0, |e| e.encoder.truncated());
    Ok(done)
}

/// The documents of one shard.
struct Batch {
    documents: Vec<Document>,
    /// Paths of other fields first met in these documents.
    fields: FieldRules,
    /// Hash of the documents as they were read.
    digest: u64,
}

/// A shard written by an earlier run.
struct Before {
    documents: u64,
    digest: u64,
}

/// Checks, while the input is read again, that earlier shards were made from the same documents.
struct Again {
    shards: std::vec::IntoIter<Before>,
    number: usize,
    left: u64,
    digest: Xxh3,
    expected: u64,
}

impl Again {
    fn new(shards: Vec<Before>) -> Self {
        let shards = shards.into_iter();
        Self { shards, number: 0, left: 0, digest: Xxh3::new(), expected: 0 }
    }

    /// Takes the next document of an earlier shard; fails if the documents differ from those of that run.
    fn take(&mut self, document: &Document, out: &Path) -> Result<(), BuildError> {
        while self.left == 0 {
            let Some(next) = self.shards.next() else { return Ok(()) };
            (self.left, self.expected) = (next.documents, next.digest);
        }
        take_into(&mut self.digest, document);
        self.left -= 1;
        if self.left > 0 {
            return Ok(());
        }
        let found = std::mem::replace(&mut self.digest, Xxh3::new()).digest();
        self.number += 1;
        if found == self.expected {
            return Ok(());
        }
        Err(BuildError::ResumeMismatch {
            path: out.to_path_buf(),
            what: format!("documents of shard {}, up to `{}`", self.number, document.id),
            was: format!("{:016x} by their hash", self.expected),
            now: format!("{found:016x}"),
        })
    }
}

/// Groups documents into shards. Returns the hash of everything read, if it is wanted.
fn read<E: std::error::Error + Send + Sync + 'static>(
    documents: impl Iterator<Item = Result<Document, E>>,
    (before, mut digest): (Vec<Before>, Option<Xxh3>),
    (mut seen, mut fields): (Seen<'_>, Fields),
    options: Reading<'_>,
    out: &Sender<Result<Batch, BuildError>>,
) -> u64 {
    let (mut shard, mut bytes, mut count) = (Vec::new(), 0, 0u64);
    let skip: u64 = before.iter().map(|shard| shard.documents).sum();
    let (mut again, mut of_shard) = (Again::new(before), Xxh3::new());
    for document in documents {
        let checked =
            document.map_err(|e| BuildError::Input(Box::new(e))).and_then(|mut document| {
                count += 1;
                if count <= skip {
                    again.take(&document, options.out)?;
                } else {
                    take_into(&mut of_shard, &document);
                    seen.check(&document, &shard)?;
                    fields.apply(&mut document)?;
                }
                Ok(document)
            });
        match checked {
            Err(error) => {
                // The receiver is gone only if it failed itself, and then its error is reported.
                let _ = out.send(Err(error));
                return 0;
            }
            Ok(_) if count <= skip => continue,
            Ok(document) => {
                if let Some(digest) = &mut digest {
                    take_into(digest, &document);
                }
                bytes += size_of_document(&document);
                shard.push(document);
            }
        }
        if shard.len() >= options.ingest.shard_documents || bytes >= SHARD_BYTES {
            bytes = 0;
            seen.shard += 1;
            let documents = std::mem::take(&mut shard);
            let digest = std::mem::replace(&mut of_shard, Xxh3::new()).digest();
            if out.send(Ok(Batch { documents, fields: fields.of_shard(), digest })).is_err() {
                return 0;
            }
        }
    }
    let last = if count < skip {
        Err(BuildError::InputShrank { path: options.out.to_path_buf(), found: count, done: skip })
    } else {
        Ok(Batch { documents: shard, fields: fields.of_shard(), digest: of_shard.digest() })
    };
    if !matches!(&last, Ok(batch) if batch.documents.is_empty()) {
        let _ = out.send(last);
    }
    digest.map_or(0, |digest| digest.digest())
}

fn size_of_document(document: &Document) -> usize {
    let vector = match &document.vector {
        None => 0,
        Some(InputVector::Terms(v)) => 8 * v.len(),
        Some(InputVector::Tokens(t)) => t.iter().map(|(token, _)| 32 + token.len()).sum(),
    };
    let fields: usize =
        document.fields.iter().map(|(k, v)| k.len() + 64 + v.as_str().map_or(0, str::len)).sum();
    100 + document.id.len() + document.title.len() + document.text.len() + fields + vector
}

/// Turns shards of documents into shards of vectors.
struct Encoding<'a> {
    encoder: Option<&'a EncoderSetup<'a>>,
    /// The share whose shards are made, and the folder of the shards.
    of: (Option<Share>, &'a Path),
    progress: &'a (dyn Fn(Event) + Sync),
}

impl Encoding<'_> {
    fn run(
        &self,
        from_reader: &Receiver<Result<Batch, BuildError>>,
        to_write: &Sender<(usize, Vec<SpoolDoc>, ShardMeta)>,
        (terms, done): (&mut Terms<'_>, &mut Ingested),
    ) -> Result<(), BuildError> {
        let (mut components, mut this_run) = (0, 0);
        for shard in from_reader {
            let batch = shard?;
            let documents = &batch.documents;
            let number = done.shards;
            done.shards += 1;
            done.documents += documents.len() as u64;
            if self.is_left_out(number, documents, done)? {
                // Term ids are numbered over all documents, those of other machines too.
                if self.encoder.is_none() {
                    terms.vectors(documents, &mut ShardMeta::default())?;
                }
            } else {
                this_run += documents.len() as u64;
                let (docs, meta) = self.encode(batch, terms)?;
                components += meta.components;
                if to_write.send((number, docs, meta)).is_err() {
                    return Err(BuildError::Worker("the shard writer"));
                }
            }
            (self.progress)(Event::Documents { documents: done.documents, components, this_run });
        }
        Ok(())
    }

    /// Whether a shard belongs to another machine or was written by an earlier run.
    fn is_left_out(
        &self,
        number: usize,
        documents: &[Document],
        done: &mut Ingested,
    ) -> Result<bool, BuildError> {
        let (Some(share), build) = self.of else { return Ok(false) };
        if !share.owns(number) {
            return Ok(true);
        }
        let path = shard_path(build, number);
        if !path.exists() {
            return Ok(false);
        }
        let shard = Shard::open(&path)?;
        let view = shard.view()?;
        let was = view.iter().filter(|row| row.passage.as_ref().is_none_or(|p| p.ordinal == 0));
        if !was.map(|row| row.id).eq(documents.iter().map(|d| d.id.as_str())) {
            return Err(BuildError::ResumeMismatch {
                path: build.to_path_buf(),
                what: format!("documents of shard-{number:06}"),
                was: format!("{} other documents", shard.meta.documents),
                now: documents.first().map_or(String::new(), |d| format!("`{}` and more", d.id)),
            });
        }
        done.resumed_documents += documents.len() as u64;
        Ok(true)
    }

    fn encode(
        &self,
        Batch { mut documents, fields, digest }: Batch,
        terms: &mut Terms<'_>,
    ) -> Result<(Vec<SpoolDoc>, ShardMeta), BuildError> {
        let pieces = pieces(&documents, self.encoder.and_then(|e| e.passages).map(|p| p.splitter))?;
        let mut meta = ShardMeta {
            documents: documents.len() as u64,
            rows: pieces.len() as u64,
            fields,
            digest,
            ..ShardMeta::default()
        };
        let vectors = match self.encoder {
            Some(setup) => {
                meta.has_vectors = true;
                let passages: Vec<Passage<'_>> =
                    pieces.iter().map(|piece| piece.passage(&documents)).collect();
                meta.traced = setup.encoder.traces().filter(|_| setup.provenance);
                let vectors = encoded(setup.encoder, &passages, meta.traced.is_some())?;
                if vectors.len() != passages.len() {
                    return Err(BuildError::EncoderCount {
                        found: vectors.len(),
                        expected: passages.len(),
                    });
                }
                vectors
            }
            None => {
                let given = terms.vectors(&documents, &mut meta)?;
                given.into_iter().map(|vector| (vector, Vec::new())).collect()
            }
        };
        let mut docs = Vec::with_capacity(pieces.len());
        for (piece, (vector, origins)) in pieces.into_iter().zip(vectors) {
            let document = &mut documents[piece.document];
            meta.components += vector.len() as u64;
            meta.empty_vectors += u64::from(vector.is_empty());
            meta.dimension =
                meta.dimension.max(vector.terms().last().map_or(0, |t| t.saturating_add(1)));
            meta.weights.add(vector.weights());
            let (id, line) = (document.id.clone(), document.line);
            let stored = stored_json(piece.take(document))?;
            meta.has_text |= !stored.is_empty();
            docs.push(SpoolDoc { id, line, passage: piece.span, stored, vector, origins });
        }
        Ok((docs, meta))
    }
}

/// The vectors and, with `trace`, the records of their origins.
fn encoded(
    encoder: &dyn EncodeDocument,
    passages: &[Passage<'_>],
    trace: bool,
) -> Result<Vec<(SparseVector, Vec<u8>)>, BuildError> {
    if !trace {
        let vectors = encoder.encode_documents(passages)?;
        return Ok(vectors.into_iter().map(|vector| (vector, Vec::new())).collect());
    }
    let record = |traced: Traced| {
        let (components, origins) = (traced.vector.len(), traced.origins.len());
        if components != origins {
            return Err(BuildError::Origins { found: origins, expected: components });
        }
        Ok((traced.vector, provenance::record(&traced.origins)))
    };
    encoder.trace_documents(passages)?.into_iter().map(record).collect()
}

fn write_shards(
    from_encoder: &Receiver<(usize, Vec<SpoolDoc>, ShardMeta)>,
    build: &Path,
    synced: bool,
) -> Result<(), BuildError> {
    for (number, docs, meta) in from_encoder {
        spool::write(&shard_path(build, number), &docs, &meta, synced)?;
    }
    Ok(())
}

fn stored_json(document: Document) -> Result<String, BuildError> {
    if document.title.is_empty() && document.text.is_empty() && document.fields.is_empty() {
        return Ok(String::new());
    }
    let stored =
        StoredDocument { title: document.title, text: document.text, fields: document.fields };
    serde_json::to_string(&stored).map_err(|e| BuildError::Document {
        id: document.id,
        line: document.line,
        what: format!("cannot be stored: {e}"),
    })
}

/// Ids seen so far, as 64-bit hashes. On equal hashes the full ids are compared.
#[derive(Debug)]
struct Seen<'a> {
    build: &'a Path,
    hashes: HashSet<u64>,
    unique: bool,
    share: Option<Share>,
    /// Number of the current shard.
    shard: usize,
}

impl<'a> Seen<'a> {
    fn new(build: &'a Path, unique: bool, share: Option<Share>) -> Self {
        Self { build, hashes: HashSet::new(), unique, share, shard: 0 }
    }

    fn take_shard(&mut self, shard: &Shard) -> Result<(), BuildError> {
        if !self.unique {
            self.hashes.extend(shard.view()?.iter().map(|row| xxh3_64(row.id.as_bytes())));
        }
        Ok(())
    }

    fn check(&mut self, document: &Document, open_shard: &[Document]) -> Result<(), BuildError> {
        if document.id.is_empty() {
            return Err(BuildError::Document {
                id: String::new(),
                line: document.line,
                what: "the id is empty".into(),
            });
        }
        if self.unique || self.hashes.insert(xxh3_64(document.id.as_bytes())) {
            return Ok(());
        }
        match self.first_line(&document.id, open_shard)? {
            // Either two ids share a hash, or the shard is still being written: sealing decides.
            None => Ok(()),
            Some(first) => {
                Err(BuildError::DuplicateId { id: document.id.clone(), first, line: document.line })
            }
        }
    }

    /// The line where an id occurred before, in the current shard or a finished one. Repetitions in a shard
    /// that is still being written, or on another machine, are found when the document table is sealed.
    fn first_line(&self, id: &str, open_shard: &[Document]) -> Result<Option<u64>, BuildError> {
        if let Some(found) = open_shard.iter().find(|d| d.id == id) {
            return Ok(Some(found.line));
        }
        for number in 0.. {
            let path = shard_path(self.build, number);
            match self.share {
                // Shards of an earlier run may follow the current one.
                Some(_) if number >= self.shard => break,
                Some(share) if !share.owns(number) => continue,
                _ if !path.exists() => break,
                _ => {}
            }
            let shard = Shard::open(&path)?;
            if let Some(row) = shard.view()?.iter().find(|row| row.id == id) {
                return Ok(Some(row.line));
            }
        }
        Ok(None)
    }
}
