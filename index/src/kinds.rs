//! The kinds of parts, one row each: what opening, checking and preloading a segment loops over.
//!
//! A new kind is a file with its format, whose type implements `SegmentPart`, and a row in `PARTS`.

use std::ops::Range;

use crate::calibration::{self, StoredCalibration};
use crate::clusters::{self, Clusters};
use crate::container::{Part, Verify};
use crate::deleted::{self, Deleted};
use crate::dense::{self, DenseStore};
use crate::doctable::{self, DocTable};
use crate::error::IndexError;
use crate::forward::{self, ForwardIndex};
use crate::impact::{self, ImpactLists};
use crate::lexicon;
use crate::names;
use crate::neighbours::{self, Neighbours};
use crate::part::SegmentPart;
use crate::provenance::{self, Provenance};
use crate::seismic::{self, SeismicLists};
use crate::text::{self, TextIndex};
use crate::tokens::{self, TokenStore};
use crate::versions::{self, Versions};
use crate::words::{self, WordLists};

/// Asset kind: the encoder's tokenizer file, unchanged.
pub const TOKENIZER: &str = "tokenizer";
/// Asset kind: the encoder's table of query token weights, unchanged.
pub const QUERY_TABLE: &str = "query-table";

/// Kinds of files that are stored unchanged.
const ASSETS: [&str; 2] = [TOKENIZER, QUERY_TABLE];

/// A kind of binary part that this build reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its name in manifests, file names and envelopes.
    pub name: &'static str,
    /// The version that is written.
    pub version: u32,
    /// Whether it is computed from the other parts of its segment, so that it can be built again.
    pub derived: bool,
}

/// How searches read a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Once, when it is opened, or through tantivy: no advice.
    Default,
    /// A few places of it for each hit: read in no order.
    Random,
    /// By every query, in no order: worth a copy in memory.
    Hot,
    /// By every query, from the first byte to the last: worth a copy in memory.
    Scanned,
}

/// What becomes of a part that covers another number of rows than its segment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OtherRows {
    /// The index is refused: parts of one segment that differ.
    Refused,
    /// The part is refused, with this message.
    RefusedAs(&'static str),
    /// It is left out, as if the segment did not have it.
    LeftOut,
}

/// A row of [`PARTS`].
#[derive(Debug)]
pub(crate) struct PartKind {
    pub(crate) kind: Kind,
    /// Versions that are read (end exclusive).
    pub(crate) readable: Range<u32>,
    pub(crate) access: Access,
    pub(crate) other_rows: OtherRows,
    pub(crate) read: fn(Part, Verify) -> Result<Box<dyn SegmentPart>, IndexError>,
}

impl PartKind {
    const fn of<P: SegmentPart>(name: &'static str, readable: Range<u32>) -> Self {
        Self {
            kind: Kind { name, version: readable.end - 1, derived: false },
            readable,
            access: Access::Default,
            other_rows: OtherRows::Refused,
            read: |part, verify| Ok(Box::new(P::read(part, verify)?)),
        }
    }

    const fn derived(mut self) -> Self {
        self.kind.derived = true;
        self
    }

    const fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    const fn other_rows(mut self, other_rows: OtherRows) -> Self {
        self.other_rows = other_rows;
        self
    }
}

/// Every kind of part that a segment may have. Of several faults the first in this order is reported.
pub(crate) static PARTS: [PartKind; 14] = [
    PartKind::of::<DocTable>(doctable::KIND, doctable::READABLE),
    PartKind::of::<ForwardIndex>(forward::KIND, forward::READABLE).access(Access::Hot),
    PartKind::of::<SeismicLists>(seismic::KIND, seismic::READABLE).access(Access::Hot).derived(),
    PartKind::of::<ImpactLists>(impact::KIND, impact::READABLE).access(Access::Hot).derived(),
    PartKind::of::<TextIndex>(text::KIND, text::READABLE),
    PartKind::of::<WordLists>(words::KIND, words::READABLE).access(Access::Hot).derived(),
    PartKind::of::<Clusters>(clusters::KIND, clusters::READABLE).access(Access::Hot).derived(),
    PartKind::of::<TokenStore>(tokens::KIND, tokens::READABLE).access(Access::Hot),
    PartKind::of::<DenseStore>(dense::KIND, dense::READABLE).access(Access::Scanned),
    PartKind::of::<Neighbours>(neighbours::KIND, neighbours::READABLE)
        .access(Access::Hot)
        .other_rows(OtherRows::LeftOut)
        .derived(),
    PartKind::of::<Provenance>(provenance::KIND, provenance::READABLE).access(Access::Random),
    PartKind::of::<Versions>(versions::KIND, versions::READABLE).access(Access::Random),
    // Measured on other rows, it says nothing about these.
    PartKind::of::<StoredCalibration>(calibration::KIND, calibration::READABLE)
        .other_rows(OtherRows::LeftOut)
        .derived(),
    PartKind::of::<Deleted>(deleted::KIND, deleted::READABLE)
        .other_rows(OtherRows::RefusedAs("deleted rows of another segment")),
];

/// Every kind of binary part: those of segments, then the lexicon.
pub fn all() -> impl Iterator<Item = Kind> {
    let lexicon = Kind { name: lexicon::KIND, version: lexicon::VERSION, derived: false };
    PARTS.iter().map(|part| part.kind).chain([lexicon])
}

/// The kind of binary part with this name, if this build knows it.
#[must_use]
pub fn find(name: &str) -> Option<Kind> {
    all().find(|kind| kind.name == name)
}

/// Whether files of this kind are stored unchanged: [`TOKENIZER`] and [`QUERY_TABLE`].
pub(crate) fn is_asset(name: &str) -> bool {
    ASSETS.contains(&name)
}

/// Whether a file's name is `ID-KIND.qry`, `ID-KIND-VERSION.qry`, or `ID-ASSET.json`, of a known kind.
pub(crate) fn is_part(name: &str) -> bool {
    let Some((id, rest)) = name.split_once('-') else { return false };
    if !names::is_uuid(id) {
        return false;
    }
    if let Some(kind) = rest.strip_suffix(".json") {
        return is_asset(kind);
    }
    let Some(rest) = rest.strip_suffix(".qry") else { return false };
    let kind = match rest.rsplit_once('-') {
        Some((kind, version)) if names::is_uuid(version) => kind,
        _ => rest,
    };
    find(kind).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_names() {
        let id = "0123456789abcdef0123456789abcdef";
        for Kind { name, .. } in all() {
            assert!(
                is_part(&format!("{id}-{name}.qry")) && is_part(&format!("{id}-{name}-{id}.qry"))
            );
        }
        for name in [
            format!("{id}-tokenizer.qry"),
            format!("{id}-forward.json"),
            format!("{id}-backward.qry"),
            format!("{}-forward.qry", id.to_uppercase()),
            format!("{}-forward.qry", &id[1..]),
            format!("{id}-forward-{id}-{id}.qry"),
            format!("{id}-forward-1.qry"),
            format!("{id}-forward.qry.bak"),
            format!("{id}.qry"),
            "left.qry".to_owned(),
            "0123-tokenizer.json".to_owned(),
        ] {
            assert!(!is_part(&name), "{name}");
        }
        assert!(is_part(&format!("{id}-query-table.json")));
    }

    #[test]
    fn kinds_differ() {
        let names: std::collections::BTreeSet<&str> = all().map(|kind| kind.name).collect();
        assert_eq!(names.len(), PARTS.len() + 1);
    }
}
