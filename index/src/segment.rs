//! An open segment: its parts, as the table of kinds opens and checks them.

use std::any::Any;
use std::sync::Arc;

use quarry_vectors::DocId;
use rayon::prelude::*;
use roaring::RoaringBitmap;

use crate::calibration::{Calibration, StoredCalibration};
use crate::clusters::Clusters;
use crate::container::{Part, Verify, hex};
use crate::deleted::Deleted;
use crate::dense::DenseStore;
use crate::doctable::DocTable;
use crate::error::IndexError;
use crate::forward::ForwardIndex;
use crate::impact::ImpactLists;
use crate::kinds::{Access, Kind, OtherRows, PARTS, PartKind};
use crate::manifest::{PartEntry, SegmentEntry};
use crate::neighbours::Neighbours;
use crate::part::SegmentPart;
use crate::provenance::Provenance;
use crate::seismic::SeismicLists;
use crate::storage::Storage;
use crate::text::TextIndex;
use crate::tokens::TokenStore;
use crate::versions::{self, Versions};
use crate::words::WordLists;

/// Which parts are opened, and how much of each is checked.
#[derive(Clone, Copy)]
pub(crate) struct Opening<'a> {
    /// An open generation of the same index, whose parts are used again where they are the same files.
    pub(crate) before: Option<&'a [Segment]>,
    /// By kind.
    pub(crate) verify: &'a (dyn Fn(&str) -> Verify + Sync),
    /// Whether derived parts are passed over, whatever their version or state.
    pub(crate) sources_only: bool,
}

impl Opening<'_> {
    pub(crate) fn takes(&self, kind: Option<Kind>) -> bool {
        !(self.sources_only && kind.is_some_and(|kind| kind.derived))
    }
}

/// A sealed segment. Copies share its open parts.
#[derive(Debug, Clone)]
pub struct Segment {
    entry: SegmentEntry,
    /// Every segment has one; it is among `parts` too.
    documents: DocTable,
    parts: Vec<OpenPart>,
}

#[derive(Debug, Clone)]
struct OpenPart {
    kind: &'static PartKind,
    /// Shared with the other open generations that have this file.
    part: Arc<dyn SegmentPart>,
    /// How it was checked.
    verify: Verify,
}

impl OpenPart {
    fn get<P: SegmentPart>(&self) -> Option<&P> {
        let part: &dyn Any = &*self.part;
        part.downcast_ref()
    }
}

impl Segment {
    /// Opens a segment whose parts lie in `storage`, whether a manifest names it yet or not.
    ///
    /// # Errors
    /// As [`Index::open`](crate::Index::open), for these parts.
    pub fn open(
        storage: &Storage,
        entry: &SegmentEntry,
        verify: Verify,
    ) -> Result<Self, IndexError> {
        let opening = Opening { before: None, verify: &|_| verify, sources_only: false };
        Self::open_parts(storage, entry, opening)
    }

    pub(crate) fn open_parts(
        storage: &Storage,
        entry: &SegmentEntry,
        opening: Opening<'_>,
    ) -> Result<Self, IndexError> {
        let before = opening.before.and_then(|all| all.iter().find(|s| s.entry.id == entry.id));
        let (mut found, mut parts) = (Vec::with_capacity(PARTS.len()), Vec::new());
        for kind in PARTS.iter().filter(|kind| opening.takes(Some(kind.kind))) {
            let Some(part) = entry.parts.iter().find(|p| p.kind == kind.kind.name) else {
                continue;
            };
            if let Some(open) = before
                .and_then(|before| before.same(part, entry.rows, (opening.verify)(kind.kind.name)))
            {
                parts.push(open);
                continue;
            }
            // First of all whether it is the right file; its version and bytes are looked at below.
            let file = storage.map(&part.file)?;
            let envelope = Part::of(file, kind.kind.name, 0..u32::MAX, Verify::Envelope)?;
            check_identity(part, &envelope)?;
            found.push((kind, envelope));
        }
        let opened: Vec<Result<Option<OpenPart>, IndexError>> = found
            .into_par_iter()
            .with_max_len(1)
            .map(|(kind, part)| open_part(kind, part, entry.rows, opening.verify))
            .collect();
        let mut new = Vec::with_capacity(opened.len());
        for part in opened {
            new.extend(part?);
        }
        for OpenPart { kind, part, .. } in &new {
            if matches!(kind.access, Access::Random | Access::Hot) {
                part.part().file().advise_random();
            }
        }
        parts.extend(new);
        let documents = parts.iter().find_map(OpenPart::get::<DocTable>).cloned();
        let documents = documents.ok_or_else(|| {
            IndexError::corrupt(
                storage.folder(),
                format!("segment {} has no document table", entry.id),
            )
        })?;
        Ok(Self { entry: entry.clone(), documents, parts })
    }

    /// The open part of this entry, if the segment has it and checked it as thoroughly.
    fn same(&self, part: &PartEntry, rows: u64, verify: Verify) -> Option<OpenPart> {
        if self.entry.rows != rows || !self.entry.parts.contains(part) {
            return None;
        }
        let open = self.parts.iter().find(|open| open.kind.kind.name == part.kind)?;
        (open.verify == Verify::Full || open.verify == verify).then(|| open.clone())
    }

    /// Copies the parts that every query reads into memory, but for those that another generation has open: they were
    /// copied when that was opened.
    pub(crate) fn preload(&mut self) -> Result<(), IndexError> {
        let read = |part: &&mut OpenPart| matches!(part.kind.access, Access::Hot | Access::Scanned);
        let hot = self.parts.iter_mut().filter(read);
        let own = hot.filter_map(|part| Arc::get_mut(&mut part.part));
        own.map(SegmentPart::part_mut).try_for_each(Part::preload)
    }

    /// Whether all parts cover the rows that the manifest gives the segment.
    pub(crate) fn rows_agree(&self) -> bool {
        self.parts.iter().all(|part| part.part.part().documents() == self.entry.rows)
    }

    /// Whether no part names a term that a lexicon of `lexicon` terms, with the scaled terms behind it,
    /// does not have.
    pub(crate) fn terms_agree(&self, lexicon: u32) -> bool {
        let Some(forward) = self.forward() else { return true };
        let most = self.parts.iter().map(|part| part.part.terms()).max().unwrap_or(0);
        forward.lexicon_terms() <= lexicon && most <= forward.meta().dimension
    }

    fn part<P: SegmentPart>(&self) -> Option<&P> {
        self.parts.iter().find_map(OpenPart::get)
    }

    /// Its entry in the manifest.
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
        self.part()
    }

    /// Blocked lists, when they were built.
    #[must_use]
    pub fn seismic(&self) -> Option<&SeismicLists> {
        self.part()
    }

    /// Impact-ordered lists, when they were built.
    #[must_use]
    pub fn impact(&self) -> Option<&ImpactLists> {
        self.part()
    }

    /// The rows that were deleted, if any were.
    #[must_use]
    pub fn deleted(&self) -> Option<&RoaringBitmap> {
        self.part().map(Deleted::rows)
    }

    /// Clusters of similar documents with their summaries, when they were built.
    #[must_use]
    pub fn clusters(&self) -> Option<&Clusters> {
        self.part()
    }

    /// What searches of the segment cost and find, when that was measured.
    #[must_use]
    pub fn calibration(&self) -> Option<&Calibration> {
        self.part().map(StoredCalibration::table)
    }

    /// Text, when the collection had any.
    #[must_use]
    pub fn text(&self) -> Option<&TextIndex> {
        self.part()
    }

    /// Impact-ordered lists of words, when they were built.
    #[must_use]
    pub fn words(&self) -> Option<&WordLists> {
        self.part()
    }

    /// Token embeddings, when they were added.
    #[must_use]
    pub fn tokens(&self) -> Option<&TokenStore> {
        self.part()
    }

    /// Dense vectors, when they were added.
    #[must_use]
    pub fn dense(&self) -> Option<&DenseStore> {
        self.part()
    }

    /// The graph of near rows, when it was made of these dense vectors.
    #[must_use]
    pub fn neighbours(&self) -> Option<&Neighbours> {
        let dense = self.dense()?;
        self.part::<Neighbours>().filter(|graph| graph.is_of(dense.part()))
    }

    /// The version of a row's document: the number of the change that wrote it, or one that all documents have of a segment
    /// without numbers.
    #[must_use]
    pub fn version(&self, doc: DocId) -> u64 {
        let numbered = self.part::<Versions>().and_then(|versions| versions.get(doc));
        numbered.unwrap_or_else(|| versions::of_segment(self.entry.id))
    }

    /// Whether its documents have versions of their own.
    #[must_use]
    pub fn has_versions(&self) -> bool {
        self.part::<Versions>().is_some()
    }

    /// Where components come from, when that was kept.
    #[must_use]
    pub fn provenance(&self) -> Option<&Provenance> {
        self.part()
    }
}

/// Opens one part of a segment of `rows` rows; `None` when it is to be left out.
fn open_part(
    kind: &'static PartKind,
    part: Part,
    rows: u64,
    verify: &(dyn Fn(&str) -> Verify + Sync),
) -> Result<Option<OpenPart>, IndexError> {
    let name = kind.kind.name;
    let verify = verify(name);
    let checked = part.check(name, kind.readable.clone(), verify);
    checked.map_err(|error| if kind.kind.derived { error.of_derived() } else { error })?;
    let part = (kind.read)(part, verify)?;
    let found = part.part();
    match kind.other_rows {
        OtherRows::LeftOut if found.documents() != rows => Ok(None),
        OtherRows::RefusedAs(what) if found.documents() != rows => {
            Err(IndexError::corrupt(found.path(), what))
        }
        _ => Ok(Some(OpenPart { kind, part: part.into(), verify })),
    }
}

/// Refuses a file that is not the one that the manifest names.
pub(crate) fn check_identity(part: &PartEntry, envelope: &Part) -> Result<(), IndexError> {
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
