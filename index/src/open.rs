//! An open index: one generation, its parts mapped and checked.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use quarry_vectors::TermId;
use rayon::prelude::*;

use crate::claim;
use crate::container::{Verify, hex};
use crate::dense::DenseKept;
use crate::error::IndexError;
use crate::features::{Channels, Features};
use crate::folder::{self, Lease};
use crate::kinds;
use crate::lexicon::{self, Lexicon};
use crate::manifest::{Manifest, PartEntry};
use crate::names;
use crate::segment::{Opening, Segment, check_identity};
use crate::storage::Storage;
use crate::tokens::TokensKept;

/// One generation of an index, open for reading.
#[derive(Debug)]
pub struct Index {
    storage: Storage,
    manifest: Manifest,
    lexicon: Option<Arc<Lexicon>>,
    assets: Vec<(PartEntry, Arc<[u8]>)>,
    segments: Vec<Segment>,
    features: Features,
    _lease: Lease,
}

/// What open generations of one index share.
struct Shared {
    manifest: Manifest,
    lexicon: Option<Arc<Lexicon>>,
    assets: Vec<(PartEntry, Arc<[u8]>)>,
    segments: Vec<Segment>,
}

impl Index {
    /// Opens the current generation of the index in `folder`.
    ///
    /// # Errors
    /// When there is none, or any file of it is missing, cut, damaged, foreign or too new.
    /// Cost: [`Verify::Full`] reads every byte once, files in parallel.
    pub fn open(folder: &Path, verify: Verify) -> Result<Self, IndexError> {
        Self::open_parts(folder, Opening { before: None, verify: &|_| verify, sources_only: false })
    }

    /// The same, with the parts of each kind checked as `verify` says of it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_checking(
        folder: &Path,
        verify: &(dyn Fn(&str) -> Verify + Sync),
    ) -> Result<Self, IndexError> {
        Self::open_parts(folder, Opening { before: None, verify, sources_only: false })
    }

    /// Opens the current generation without its [derived](kinds::Kind::derived) parts, whatever their version or state:
    /// what an index of this version can be made of.
    ///
    /// # Errors
    /// As [`Self::open`], of the other parts.
    pub fn open_sources(folder: &Path, verify: Verify) -> Result<Self, IndexError> {
        Self::open_parts(folder, Opening { before: None, verify: &|_| verify, sources_only: true })
    }

    fn open_parts(folder: &Path, opening: Opening<'_>) -> Result<Self, IndexError> {
        let (manifest, lease) = folder::read_current(folder)?;
        let storage = Storage::of(folder);
        // In a folder that this process writes to, the next generation shares what the last one has open.
        let before = claim::open::<Shared>(folder);
        let before = before.as_deref().filter(|before| before.manifest.uuid == manifest.uuid);
        let opening =
            Opening { before: before.map(|before| before.segments.as_slice()), ..opening };
        let known: HashSet<&str> =
            before.iter().flat_map(|b| b.manifest.parts()).map(|p| p.file.as_str()).collect();
        check_names(&storage, &manifest)?;
        for part in manifest.parts() {
            let kind = kinds::find(&part.kind);
            if !opening.takes(kind) {
                continue;
            }
            if kind.is_none() && !kinds::is_asset(&part.kind) {
                if part.required {
                    return Err(IndexError::UnknownPart {
                        path: storage.path(&names::manifest(manifest.generation)),
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
            if !known.contains(part.file.as_str()) {
                check_length(&storage, part)?;
            }
        }
        let mut lexicon = None;
        let mut assets = Vec::new();
        for part in &manifest.assets {
            let same = before.filter(|before| before.manifest.assets.contains(part));
            if part.kind == lexicon::KIND {
                if let Some(open) = same.and_then(|before| before.lexicon.clone()) {
                    lexicon = Some(open);
                    continue;
                }
                let path = storage.path(&part.file);
                let (opened, envelope) = Lexicon::open(&path, (opening.verify)(lexicon::KIND))?;
                check_identity(part, &envelope)?;
                lexicon = Some(Arc::new(opened));
            } else if kinds::find(&part.kind).is_some() || kinds::is_asset(&part.kind) {
                let known = same.and_then(|before| before.assets.iter().find(|(p, _)| p == part));
                let bytes = match known {
                    Some((_, bytes)) => Arc::clone(bytes),
                    None => read_asset(&storage, part)?.into(),
                };
                assets.push((part.clone(), bytes));
            }
        }
        let segments = manifest
            .segments
            .par_iter()
            .map(|entry| Segment::open_parts(&storage, entry, opening))
            .collect::<Result<Vec<_>, _>>()?;
        let features = features_of(&manifest, lexicon.as_deref(), &segments);
        let index = Self { storage, manifest, lexicon, assets, segments, features, _lease: lease };
        index.check_together()?;
        if !opening.sources_only {
            claim::keep_open(folder, || index.shared());
        }
        Ok(index)
    }

    fn shared(&self) -> Shared {
        Shared {
            manifest: self.manifest.clone(),
            lexicon: self.lexicon.clone(),
            assets: self.assets.clone(),
            segments: self.segments.clone(),
        }
    }

    /// Copies vectors and lists into memory, on huge pages where the system gives them, so that no
    /// query waits for a disk. Takes their size in memory, and the time to read them once.
    ///
    /// # Errors
    /// When memory is short.
    pub fn preload(&mut self) -> Result<(), IndexError> {
        self.segments.iter_mut().try_for_each(Segment::preload)
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.storage.folder()
    }

    /// Its files.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The generation's manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Tokens and terms, when the index has a sparse channel.
    #[must_use]
    pub fn lexicon(&self) -> Option<&Lexicon> {
        self.lexicon.as_deref()
    }

    /// Whether a term's number alone says which term it is: terms are numbers, or places in a list of
    /// names that the encoder or a vocabulary gave. Names in the order in which documents brought them
    /// are no such list.
    #[must_use]
    pub fn takes_numbers(&self) -> bool {
        let named = |lexicon: &&Lexicon| lexicon.is_named();
        self.lexicon().filter(named).is_none_or(|_| self.places() > 0)
    }

    /// How many terms with names have numbers: places in a list of names that the encoder or a vocabulary
    /// gave. Names that documents brought since stand behind them, and have none.
    #[must_use]
    pub fn places(&self) -> u32 {
        let Some(lexicon) = self.lexicon().filter(|l| l.is_named()) else { return 0 };
        // Older lexicons do not mark lists; those of encoders always were lists.
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

    /// The term that a file or a request gives by number; `None` for one that the index does not have.
    ///
    /// # Errors
    /// [`IndexError::NamedTerms`] where numbers do not identify terms.
    pub fn term_of_number(&self, number: u32) -> Result<Option<TermId>, IndexError> {
        if !self.takes_numbers() {
            return Err(IndexError::NamedTerms { path: self.folder().to_path_buf(), number });
        }
        let Some(lexicon) = &self.lexicon else { return Ok(None) };
        let beyond = lexicon.is_named() && number >= self.places();
        Ok(lexicon.term_at(number).filter(|_| !beyond))
    }

    /// The bytes of an asset such as [`crate::kinds::TOKENIZER`].
    #[must_use]
    pub fn asset(&self, kind: &str) -> Option<&[u8]> {
        self.assets.iter().find(|(p, _)| p.kind == kind).map(|(_, bytes)| &**bytes)
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
        let all = self.segments.iter().all(|s| s.documents().is_empty() || s.forward().is_some());
        self.channels().sparse && self.lexicon.is_some() && all
    }

    /// Whether the index is one of words: every segment with documents has text.
    #[must_use]
    pub fn has_text(&self) -> bool {
        let all = self.segments.iter().all(|s| s.documents().is_empty() || s.text().is_some());
        self.channels().bm25 && all
    }

    /// Dimensions of the token embeddings, where segments have them, and all of these the same.
    #[must_use]
    pub fn token_dims(&self) -> Option<usize> {
        let mut dims = self.segments.iter().filter_map(Segment::tokens).map(|t| t.meta().dims);
        let first = dims.next()?;
        dims.all(|d| d == first).then_some(first)
    }

    /// Segments with documents that have no token embeddings.
    pub fn without_tokens(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|s| s.tokens().is_none() && s.entry().documents > 0)
    }

    /// Whether every segment has token embeddings, all of the same dimensions.
    #[must_use]
    pub fn has_tokens(&self) -> bool {
        self.token_dims().is_some() && self.without_tokens().next().is_none()
    }

    /// How the dense vectors of its segments are stored, where segments have them, and all of these alike. Without
    /// segments: how those of documents to come will be.
    #[must_use]
    pub fn dense(&self) -> Option<DenseKept> {
        if self.segments.is_empty() {
            return self.features().dense.clone();
        }
        let mut kept = self.segments.iter().filter_map(Segment::dense).map(DenseKept::of);
        let first = kept.next()?;
        kept.all(|other| first.fits(&other)).then_some(first)
    }

    /// Segments with documents that have no dense vectors.
    pub fn without_dense(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|s| s.dense().is_none() && s.entry().documents > 0)
    }

    fn check_together(&self) -> Result<(), IndexError> {
        for segment in &self.segments {
            let entry = segment.entry();
            let documents = segment.documents().count(segment.deleted());
            if documents != entry.documents {
                return Err(IndexError::corrupt(
                    self.folder(),
                    format!(
                        "segment {} has {documents} documents, the manifest says {}",
                        entry.id, entry.documents
                    ),
                ));
            }
            if !segment.rows_agree() {
                let id = entry.id;
                let what = format!("the parts of segment {id} differ in their number of documents");
                return Err(IndexError::corrupt(self.folder(), what));
            }
            if !segment.terms_agree(self.lexicon().map_or(0, Lexicon::len)) {
                let what = format!("segment {} uses terms that the lexicon lacks", entry.id);
                return Err(IndexError::corrupt(self.folder(), what));
            }
        }
        Ok(())
    }
}

/// Refuses a manifest that names a segment, a file or a kind of part of one segment twice.
fn check_names(storage: &Storage, manifest: &Manifest) -> Result<(), IndexError> {
    let twice = |what: &str, name: &str| {
        let path = storage.path(&names::manifest(manifest.generation));
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

fn check_length(storage: &Storage, part: &PartEntry) -> Result<(), IndexError> {
    let found = storage.length(&part.file)?;
    if found != part.bytes {
        let path = storage.path(&part.file);
        return Err(IndexError::Length { path, found, expected: part.bytes });
    }
    Ok(())
}

fn read_asset(storage: &Storage, part: &PartEntry) -> Result<Vec<u8>, IndexError> {
    let bytes = storage.read(&part.file)?;
    let found = hex(xxhash_rust::xxh3::xxh3_64(&bytes));
    if found != part.checksum {
        return Err(IndexError::Checksum {
            path: storage.path(&part.file),
            found,
            expected: part.checksum.clone(),
        });
    }
    Ok(bytes)
}

/// What the index has: what the manifest says, with what the segments show (older manifests lack it).
fn features_of(manifest: &Manifest, lexicon: Option<&Lexicon>, segments: &[Segment]) -> Features {
    let said = &manifest.features;
    // In older indexes, segments whose documents were all deleted have no vectors.
    let all =
        |has: fn(&Segment) -> bool| segments.iter().all(|s| s.documents().is_empty() || has(s));
    let channels = said.channels.or_else(|| {
        let sparse = lexicon.is_some() && all(|s| s.forward().is_some());
        let bm25 = segments.iter().any(|s| s.text().is_some()) && all(|s| s.text().is_some());
        (!segments.is_empty()).then_some(Channels { sparse, bm25 })
    });
    let tokens = segments.iter().find_map(Segment::tokens).map(TokensKept::of);
    let dense = segments.iter().find_map(Segment::dense).map(DenseKept::of);
    Features {
        channels,
        tokens: said.tokens.clone().or(tokens),
        dense: said.dense.clone().or(dense),
        neighbours: said.neighbours.or_else(|| {
            segments.iter().find_map(Segment::neighbours).map(|graph| graph.meta().params)
        }),
        impact: said.impact || segments.iter().any(|s| s.impact().is_some()),
        words: said.words || segments.iter().any(|s| s.words().is_some()),
        seismic: said
            .seismic
            .or_else(|| segments.iter().find_map(|s| s.seismic()).map(|l| l.meta().params)),
        clusters: said
            .clusters
            .or_else(|| segments.iter().find_map(|s| s.clusters()).map(|c| c.meta().params)),
    }
}
