//! An open index: one generation, its parts mapped and checked.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use quarry_vectors::TermId;
use rayon::prelude::*;
use roaring::RoaringBitmap;

use crate::IndexError;
use crate::calibration::{self, Calibration};
use crate::clusters::{self, Clusters};
use crate::container::{Part, Verify, hex};
use crate::deleted;
use crate::doctable::{self, DocTable};
use crate::features::{Channels, Features};
use crate::files;
use crate::folder::{self, Lease};
use crate::forward::{self, ForwardIndex};
use crate::impact::{self, ImpactLists};
use crate::lexicon::{self, Lexicon};
use crate::manifest::{Manifest, PartEntry, SegmentEntry};
use crate::names;
use crate::provenance::{self, Provenance};
use crate::seismic::{self, SeismicLists};
use crate::text::{self, TextIndex};
use crate::tokens::{self, TokenStore};

/// Asset kind: the encoder's tokenizer file, as it was.
pub const TOKENIZER: &str = "tokenizer";
/// Asset kind: the encoder's table of query token weights, as it was.
pub const QUERY_TABLE: &str = "query-table";

/// Every kind of binary part, with the version that is written.
pub const KINDS: [(&str, u32); 11] = [
    (doctable::KIND, doctable::VERSION),
    (deleted::KIND, deleted::VERSION),
    (forward::KIND, forward::VERSION),
    (seismic::KIND, seismic::VERSION),
    (impact::KIND, impact::VERSION),
    (clusters::KIND, clusters::VERSION),
    (calibration::KIND, calibration::VERSION),
    (text::KIND, text::VERSION),
    (tokens::KIND, tokens::VERSION),
    (provenance::KIND, provenance::VERSION),
    (lexicon::KIND, lexicon::VERSION),
];

/// Kinds of parts that are made of the other parts of their segment, and can be made again.
pub const DERIVED: [&str; 4] = [impact::KIND, seismic::KIND, clusters::KIND, calibration::KIND];

/// Which parts are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    /// Those that no other part can give: all but [`DERIVED`] ones.
    Sources,
}

impl Which {
    fn takes(self, kind: &str) -> bool {
        self == Self::All || !DERIVED.contains(&kind)
    }
}

/// A sealed segment.
#[derive(Debug)]
pub struct Segment {
    entry: SegmentEntry,
    documents: DocTable,
    deleted: Option<RoaringBitmap>,
    forward: Option<ForwardIndex>,
    seismic: Option<SeismicLists>,
    impact: Option<ImpactLists>,
    clusters: Option<Clusters>,
    calibration: Option<Calibration>,
    text: Option<TextIndex>,
    tokens: Option<TokenStore>,
    provenance: Option<Provenance>,
}

impl Segment {
    /// Opens a segment whose parts lie in `folder`, whether a manifest names it yet or not.
    ///
    /// # Errors
    /// As [`Index::open`], for these parts.
    pub fn open(folder: &Path, entry: &SegmentEntry, verify: Verify) -> Result<Self, IndexError> {
        open_segment(folder, entry, (&|_| verify, Which::All))
    }

    /// Its line in the manifest.
    #[must_use]
    pub fn entry(&self) -> &SegmentEntry {
        &self.entry
    }

    /// Rows and ids.
    #[must_use]
    pub fn documents(&self) -> &DocTable {
        &self.documents
    }

    /// The exact vectors, when the index has a sparse channel.
    #[must_use]
    pub fn forward(&self) -> Option<&ForwardIndex> {
        self.forward.as_ref()
    }

    /// Blocked lists, when they were built.
    #[must_use]
    pub fn seismic(&self) -> Option<&SeismicLists> {
        self.seismic.as_ref()
    }

    /// Impact-ordered lists, when they were built.
    #[must_use]
    pub fn impact(&self) -> Option<&ImpactLists> {
        self.impact.as_ref()
    }

    /// The rows that were deleted, if any were.
    #[must_use]
    pub fn deleted(&self) -> Option<&RoaringBitmap> {
        self.deleted.as_ref()
    }

    /// Clusters of similar documents with their summaries, when they were built.
    #[must_use]
    pub fn clusters(&self) -> Option<&Clusters> {
        self.clusters.as_ref()
    }

    /// What searches of the segment cost and find, when that was measured.
    #[must_use]
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// Text, when the collection had any.
    #[must_use]
    pub fn text(&self) -> Option<&TextIndex> {
        self.text.as_ref()
    }

    /// Token embeddings, when they were added.
    #[must_use]
    pub fn tokens(&self) -> Option<&TokenStore> {
        self.tokens.as_ref()
    }

    /// Where components come from, when that was kept.
    #[must_use]
    pub fn provenance(&self) -> Option<&Provenance> {
        self.provenance.as_ref()
    }
}

/// One generation of an index, open for reading.
#[derive(Debug)]
pub struct Index {
    folder: PathBuf,
    manifest: Manifest,
    lexicon: Option<Lexicon>,
    assets: Vec<(PartEntry, Vec<u8>)>,
    segments: Vec<Segment>,
    features: Features,
    _lease: Lease,
}

impl Index {
    /// Opens the current generation of the index in `folder`.
    ///
    /// # Errors
    /// When there is none, or any file of it is missing, cut, damaged, foreign or too new.
    /// Cost: [`Verify::Full`] reads every byte once, files in parallel.
    pub fn open(folder: &Path, verify: Verify) -> Result<Self, IndexError> {
        Self::open_parts(folder, &|_| verify, Which::All)
    }

    /// The same, with the parts of each kind checked as `verify` says of it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_checking(
        folder: &Path,
        verify: &(dyn Fn(&str) -> Verify + Sync),
    ) -> Result<Self, IndexError> {
        Self::open_parts(folder, verify, Which::All)
    }

    /// Opens the current generation without the [`DERIVED`] parts, whatever their version or state:
    /// what an index of this version can be made of.
    ///
    /// # Errors
    /// As [`Self::open`], of the other parts.
    pub fn open_sources(folder: &Path, verify: Verify) -> Result<Self, IndexError> {
        Self::open_parts(folder, &|_| verify, Which::Sources)
    }

    fn open_parts(
        folder: &Path,
        verify: &(dyn Fn(&str) -> Verify + Sync),
        which: Which,
    ) -> Result<Self, IndexError> {
        let (manifest, lease) = folder::read_current(folder)?;
        check_names(folder, &manifest)?;
        let known = |part: &PartEntry| {
            names::is_known(&part.kind) || names::ASSETS.contains(&part.kind.as_str())
        };
        for part in manifest.parts().filter(|part| which.takes(&part.kind)) {
            if !known(part) {
                if part.required {
                    return Err(IndexError::UnknownPart {
                        path: folder.join(format!("manifest-{}.json", manifest.generation)),
                        kind: part.kind.clone(),
                        version: part.version,
                    });
                }
                tracing::debug!(
                    kind = part.kind,
                    file = part.file,
                    "optional part of an unknown kind is skipped"
                );
            }
            check_length(folder, part)?;
        }
        let mut lexicon = None;
        let mut assets = Vec::new();
        for part in &manifest.assets {
            let path = folder.join(&part.file);
            if part.kind == lexicon::KIND {
                let (opened, envelope) = Lexicon::open(&path, verify(lexicon::KIND))?;
                check_identity(part, &envelope)?;
                lexicon = Some(opened);
            } else if known(part) {
                assets.push((part.clone(), read_asset(&path, part)?));
            }
        }
        let segments = manifest
            .segments
            .par_iter()
            .map(|entry| open_segment(folder, entry, (verify, which)))
            .collect::<Result<Vec<_>, _>>()?;
        let features = Features::of(&manifest, lexicon.as_ref(), &segments);
        let index = Self {
            folder: folder.to_path_buf(),
            manifest,
            lexicon,
            assets,
            segments,
            features,
            _lease: lease,
        };
        index.check_together()?;
        Ok(index)
    }

    /// Copies vectors and lists into memory, on huge pages where the system gives them, so that no
    /// query waits for a disk. Takes their size in memory, and the time to read them once.
    ///
    /// # Errors
    /// When memory is short.
    pub fn preload(&mut self) -> Result<(), IndexError> {
        for segment in &mut self.segments {
            segment.forward.as_mut().map_or(Ok(()), ForwardIndex::preload)?;
            segment.impact.as_mut().map_or(Ok(()), ImpactLists::preload)?;
            segment.seismic.as_mut().map_or(Ok(()), SeismicLists::preload)?;
            segment.clusters.as_mut().map_or(Ok(()), Clusters::preload)?;
            segment.tokens.as_mut().map_or(Ok(()), TokenStore::preload)?;
        }
        Ok(())
    }

    /// Where it lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The generation's manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Tokens and terms, when the index has a sparse channel.
    #[must_use]
    pub fn lexicon(&self) -> Option<&Lexicon> {
        self.lexicon.as_ref()
    }

    /// Whether a term's number alone says which term it is: terms are numbers, or places in a list of
    /// names that the encoder or a vocabulary gave. Names in the order in which documents brought them
    /// are no such list.
    #[must_use]
    pub fn takes_numbers(&self) -> bool {
        let named = |lexicon: &&Lexicon| lexicon.is_named();
        self.lexicon.as_ref().filter(named).is_none_or(|_| self.places() > 0)
    }

    /// How many terms with names have numbers: places in a list of names that the encoder or a vocabulary
    /// gave. Names that documents brought since stand behind them, and have none.
    #[must_use]
    pub fn places(&self) -> u32 {
        let Some(lexicon) = self.lexicon.as_ref().filter(|l| l.is_named()) else { return 0 };
        // Lists were not marked once; an encoder's always were ones.
        let encoder = self.manifest.encoders.get("sparse");
        let dimension = encoder.map(|e| e.get("dimension").and_then(serde_json::Value::as_u64));
        let of_encoder = dimension.map_or(0, |dimension| {
            dimension.and_then(|d| u32::try_from(d).ok()).unwrap_or(lexicon.len())
        });
        match lexicon.places() {
            0 => of_encoder.min(lexicon.len()),
            places => places,
        }
    }

    /// The term that a file or a request gives by number; none for one that the index has not met.
    ///
    /// # Errors
    /// [`IndexError::NamedTerms`] where numbers say nothing.
    pub fn term_of_number(&self, number: u32) -> Result<Option<TermId>, IndexError> {
        if !self.takes_numbers() {
            return Err(IndexError::NamedTerms { path: self.folder.clone(), number });
        }
        let Some(lexicon) = &self.lexicon else { return Ok(None) };
        let beyond = lexicon.is_named() && number >= self.places();
        Ok(lexicon.term_at(number).filter(|_| !beyond))
    }

    /// The bytes of an asset such as [`TOKENIZER`].
    #[must_use]
    pub fn asset(&self, kind: &str) -> Option<&[u8]> {
        self.assets.iter().find(|(p, _)| p.kind == kind).map(|(_, bytes)| bytes.as_slice())
    }

    /// Segments in order.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// What the index has as a whole, and keeps having when documents are added.
    #[must_use]
    pub fn features(&self) -> &Features {
        &self.features
    }

    fn channels(&self) -> Channels {
        self.features.channels.unwrap_or(Channels { sparse: false, bm25: false })
    }

    /// Whether the index is one of vectors: every segment with documents has them.
    #[must_use]
    pub fn has_sparse(&self) -> bool {
        let all = self.segments.iter().all(|s| s.documents.is_empty() || s.forward.is_some());
        self.channels().sparse && self.lexicon.is_some() && all
    }

    /// Whether the index is one of words: every segment with documents has text.
    #[must_use]
    pub fn has_text(&self) -> bool {
        let all = self.segments.iter().all(|s| s.documents.is_empty() || s.text.is_some());
        self.channels().bm25 && all
    }

    /// Dimensions of the token embeddings, where segments have them, and all of these the same.
    #[must_use]
    pub fn token_dims(&self) -> Option<usize> {
        let mut dims =
            self.segments.iter().filter_map(|s| s.tokens.as_ref()).map(|t| t.meta().dims);
        let first = dims.next()?;
        dims.all(|d| d == first).then_some(first)
    }

    /// Segments with documents that have no token embeddings.
    pub fn without_tokens(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|s| s.tokens.is_none() && s.entry.documents > 0)
    }

    /// Whether every segment has token embeddings, all of the same dimensions.
    #[must_use]
    pub fn has_tokens(&self) -> bool {
        self.token_dims().is_some() && self.without_tokens().next().is_none()
    }

    fn check_together(&self) -> Result<(), IndexError> {
        for segment in &self.segments {
            let rows = segment.documents.len() as u64;
            let documents = segment.documents.count(segment.deleted.as_ref());
            if documents != segment.entry.documents {
                return Err(IndexError::corrupt(
                    &self.folder,
                    format!(
                        "segment {} has {documents} documents, the manifest says {}",
                        segment.entry.id, segment.entry.documents
                    ),
                ));
            }
            let fits = rows == segment.entry.rows
                && segment.forward.as_ref().is_none_or(|f| f.len() as u64 == rows)
                && segment.seismic.as_ref().is_none_or(|s| s.documents() == rows)
                && segment.impact.as_ref().is_none_or(|i| i.documents() == rows)
                && segment.clusters.as_ref().is_none_or(|c| c.documents() == rows)
                && segment.tokens.as_ref().is_none_or(|t| t.documents() as u64 == rows)
                && segment.provenance.as_ref().is_none_or(|p| p.documents() == rows)
                && segment.text.as_ref().is_none_or(|t| u64::from(t.reader().max_doc()) == rows);
            if !fits {
                return Err(IndexError::corrupt(
                    &self.folder,
                    format!(
                        "the parts of segment {} differ in their number of documents",
                        segment.entry.id
                    ),
                ));
            }
            if let Some(forward) = &segment.forward {
                let terms = self.lexicon.as_ref().map_or(0, Lexicon::len);
                let blocked = segment.seismic.as_ref().map_or(0, |s| s.meta().lists);
                let impact = segment.impact.as_ref().map_or(0, |i| i.meta().lists);
                let summed = segment.clusters.as_ref().map_or(0, |c| c.summaries().meta().lists);
                let listed = blocked.max(impact).max(summed);
                if forward.lexicon_terms() > terms || listed > forward.meta().dimension {
                    return Err(IndexError::corrupt(
                        &self.folder,
                        format!("segment {} uses terms that the lexicon lacks", segment.entry.id),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Refuses a manifest that names a segment, a file or a kind of part of one segment twice.
fn check_names(folder: &Path, manifest: &Manifest) -> Result<(), IndexError> {
    let twice = |what: &str, name: &str| {
        let path = folder.join(format!("manifest-{}.json", manifest.generation));
        IndexError::corrupt(&path, format!("it names the {what} {name} twice"))
    };
    let mut files = HashSet::new();
    for part in manifest.parts() {
        if !files.insert(part.file.as_str()) {
            return Err(twice("file", &part.file));
        }
    }
    let mut segments = HashSet::new();
    for segment in &manifest.segments {
        if !segments.insert(segment.id) {
            return Err(twice("segment", &segment.id.to_string()));
        }
        let mut kinds = HashSet::new();
        if let Some(part) = segment.parts.iter().find(|part| !kinds.insert(part.kind.as_str())) {
            return Err(twice("kind of part", &part.kind));
        }
    }
    let mut kinds = HashSet::new();
    if let Some(part) = manifest.assets.iter().find(|part| !kinds.insert(part.kind.as_str())) {
        return Err(twice("kind of file", &part.kind));
    }
    Ok(())
}

fn open_segment(
    folder: &Path,
    entry: &SegmentEntry,
    (checked, which): (&(dyn Fn(&str) -> Verify + Sync), Which),
) -> Result<Segment, IndexError> {
    let verify = |kind: &str| checked(kind);
    let find = |kind: &str| {
        let part = entry.parts.iter().find(|p| p.kind == kind && which.takes(kind));
        part.map(|p| (p, folder.join(&p.file)))
    };
    let check = |kind: &str| -> Result<Option<PathBuf>, IndexError> {
        let Some((part, path)) = find(kind) else {
            return Ok(None);
        };
        // The envelope's own checks come with the part; here only that it is the right file.
        let envelope = Part::open(&path, kind, 0..u32::MAX, Verify::Envelope)?;
        check_identity(part, &envelope)?;
        Ok(Some(path))
    };
    let documents = check(doctable::KIND)?.ok_or_else(|| {
        IndexError::corrupt(folder, format!("segment {} has no document table", entry.id))
    })?;
    let (forward, seismic, impact, text) =
        (check(forward::KIND)?, check(seismic::KIND)?, check(impact::KIND)?, check(text::KIND)?);
    let (clusters, tokens) = (check(clusters::KIND)?, check(tokens::KIND)?);
    let ((documents, forward), ((seismic, impact), (clusters, (text, tokens)))) = rayon::join(
        || {
            rayon::join(
                || DocTable::open(&documents, verify(doctable::KIND)),
                || forward.map(|p| ForwardIndex::open(&p, verify(forward::KIND))).transpose(),
            )
        },
        || {
            rayon::join(
                || {
                    rayon::join(
                        || {
                            seismic
                                .map(|p| SeismicLists::open(&p, verify(seismic::KIND)))
                                .transpose()
                        },
                        || impact.map(|p| ImpactLists::open(&p, verify(impact::KIND))).transpose(),
                    )
                },
                || {
                    rayon::join(
                        || clusters.map(|p| Clusters::open(&p, verify(clusters::KIND))).transpose(),
                        || {
                            rayon::join(
                                || {
                                    text.map(|p| TextIndex::open(&p, verify(text::KIND)))
                                        .transpose()
                                },
                                || {
                                    tokens
                                        .map(|p| TokenStore::open(&p, verify(tokens::KIND)))
                                        .transpose()
                                },
                            )
                        },
                    )
                },
            )
        },
    );
    let provenance = check(provenance::KIND)?
        .map(|path| Provenance::open(&path, verify(provenance::KIND)))
        .transpose()?;
    let calibration = check(calibration::KIND)?
        .map(|path| Calibration::open(&path, verify(calibration::KIND)))
        .transpose()?
        // Measured on other rows, it says nothing of these.
        .and_then(|(table, documents)| (documents == entry.rows).then_some(table));
    let deleted = match check(deleted::KIND)? {
        Some(path) => {
            let (deleted, rows) = deleted::open(&path, verify(deleted::KIND))?;
            if rows != entry.rows {
                return Err(IndexError::corrupt(&path, "deleted rows of another segment"));
            }
            Some(deleted)
        }
        None => None,
    };
    let segment = Segment {
        entry: entry.clone(),
        documents: documents?,
        deleted,
        forward: forward?,
        seismic: seismic?,
        impact: impact?,
        clusters: clusters?,
        calibration,
        text: text?,
        tokens: tokens?,
        provenance,
    };
    if let Some(forward) = &segment.forward {
        forward.advise_random();
    }
    if let Some(lists) = &segment.seismic {
        lists.advise_random();
    }
    if let Some(lists) = &segment.impact {
        lists.advise_random();
    }
    if let Some(clusters) = &segment.clusters {
        clusters.advise_random();
    }
    if let Some(tokens) = &segment.tokens {
        tokens.advise_random();
    }
    if let Some(provenance) = &segment.provenance {
        provenance.advise_random();
    }
    Ok(segment)
}

fn check_length(folder: &Path, part: &PartEntry) -> Result<(), IndexError> {
    let path = folder.join(&part.file);
    files::expect_file(&path)?;
    let found = std::fs::metadata(&path).map_err(IndexError::io(&path))?.len();
    if found != part.bytes {
        return Err(IndexError::Length { path, found, expected: part.bytes });
    }
    Ok(())
}

fn check_identity(part: &PartEntry, envelope: &Part) -> Result<(), IndexError> {
    let found = hex(envelope.checksum());
    if found != part.checksum {
        return Err(IndexError::Swapped {
            path: envelope.path().to_path_buf(),
            found: format!("checksum {found}"),
            expected: part.checksum.clone(),
        });
    }
    Ok(())
}

fn read_asset(path: &Path, part: &PartEntry) -> Result<Vec<u8>, IndexError> {
    let bytes = files::read(path)?;
    let found = hex(xxhash_rust::xxh3::xxh3_64(&bytes));
    if found != part.checksum {
        return Err(IndexError::Checksum {
            path: path.to_path_buf(),
            found,
            expected: part.checksum.clone(),
        });
    }
    Ok(bytes)
}
