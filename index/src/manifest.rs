//! The manifest: what one generation of an index consists of.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::container::Written;
use crate::features::Features;
use crate::fields::FieldRules;

/// Version of the index format as a whole: of the manifest and of how folders are laid out. Parts
/// have versions of their own.
pub const FORMAT: u32 = 1;
/// Oldest format that this build reads.
pub(crate) const OLDEST_FORMAT: u32 = 1;
/// First field of every manifest; a JSON file without it is not ours.
pub const MANIFEST_MAGIC: &str = "quarry-index";

/// One file of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartEntry {
    /// What it holds: `forward`, `seismic`, `documents`, `text`, `lexicon`, ...
    pub kind: String,
    /// Version of that kind's format.
    pub version: u32,
    /// Its name in the folder; never used twice.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// XXH3-64 of all its bytes (of binary parts: all but the last eight, which repeat it), in 16
    /// hexadecimal digits.
    pub checksum: String,
    /// Whether a reader that does not know the kind must refuse the index.
    pub required: bool,
}

impl PartEntry {
    /// The entry of a binary part just written.
    #[must_use]
    pub fn new(kind: &str, version: u32, file: &str, written: Written, required: bool) -> Self {
        Self {
            kind: kind.to_owned(),
            version,
            file: file.to_owned(),
            bytes: written.bytes,
            checksum: crate::container::hex(written.checksum),
            required,
        }
    }
}

/// A sealed set of documents whose order never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// Name of the segment; every part's file name begins with it.
    pub id: Uuid,
    /// Rows: documents, or passages where documents were split.
    pub rows: u64,
    /// Documents, without those deleted.
    pub documents: u64,
    /// Its parts. A later generation may add some.
    pub parts: Vec<PartEntry>,
}

/// One generation of an index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always [`MANIFEST_MAGIC`].
    pub magic: String,
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// Identity of the index, kept over its generations.
    pub uuid: Uuid,
    /// Number of this generation, from 1.
    pub generation: u64,
    /// Last operation of the write-ahead log that this generation contains; 0 as long as there is
    /// no log.
    pub applied_sequence: u64,
    /// Version of the program that wrote it.
    pub written_by: String,
    /// Seed of every random choice of the build.
    pub seed: u64,
    /// How it was built, for people and for rebuilding: the options as given.
    pub build: serde_json::Map<String, serde_json::Value>,
    /// The encoder's identity, per channel (`sparse`): hashes of model, tokenizer and query table.
    pub encoders: serde_json::Map<String, serde_json::Value>,
    /// Types of the documents' other fields, given or seen, for what is added later.
    #[serde(default, skip_serializing_if = "FieldRules::is_empty")]
    pub fields: FieldRules,
    /// What the index has, for documents that are added later; older manifests lack it.
    #[serde(default)]
    pub features: Features,
    /// Files of the whole index: lexicon, tokenizer, query table.
    pub assets: Vec<PartEntry>,
    /// Sealed segments, in order.
    pub segments: Vec<SegmentEntry>,
}

impl Manifest {
    /// Documents of all segments, without those deleted.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.segments.iter().fold(0, |all, s| all.saturating_add(s.documents))
    }

    /// Every part of the generation: assets, then segment by segment.
    pub fn parts(&self) -> impl Iterator<Item = &PartEntry> {
        self.assets.iter().chain(self.segments.iter().flat_map(|s| &s.parts))
    }
}
