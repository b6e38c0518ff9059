//! How an index was built, and the rules that added documents must follow.

use std::collections::HashMap;
use std::path::Path;

use quarry_index::Index;
use quarry_index::dense::DenseKept;
use quarry_index::manifest::Manifest;
use quarry_index::tokens::TokensKept;
use quarry_vectors::{EncodeDense, EncodeTokens};
use serde_json::Value;

use crate::BuildError;
use crate::build::JOB;
use crate::options::{BuildOptions, EncoderSetup, IngestOptions, SealOptions};
use crate::update::tokens::TokenOptions;

/// How an index was built, for code that adds to it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AsBuilt {
    /// Identity of the encoder of its vectors.
    pub encoder: Option<Value>,
    /// Tokens per passage, and tokens that neighbours share, if texts were split.
    pub passages: Option<[u32; 2]>,
    /// Whether the origin of each component is stored.
    pub provenance: bool,
    /// The channel named when it was built.
    pub channel: Option<String>,
    /// Its token embeddings.
    pub tokens: Option<TokensKept>,
    /// Its dense vectors.
    pub dense: Option<DenseKept>,
}

impl AsBuilt {
    /// Reads them from an open index.
    #[must_use]
    pub fn of(index: &Index) -> Self {
        let (tokens, dense) = (index.features().tokens.clone(), index.features().dense.clone());
        Self { tokens, dense, ..Self::of_manifest(index.manifest()) }
    }

    fn of_manifest(manifest: &Manifest) -> Self {
        let job = manifest.build.get(JOB);
        let at = |path: &str| job.and_then(|job| job.pointer(path)).filter(|v| !v.is_null());
        // Earlier versions recorded the passages in the description of the input.
        let passages = at("/passages").or_else(|| at("/source/passages"));
        let number = |at: usize| {
            let number = passages.and_then(|p| p.get(at)).and_then(Value::as_u64)?;
            u32::try_from(number).ok()
        };
        Self {
            encoder: manifest.encoders.get("sparse").cloned(),
            passages: number(0).map(|tokens| [tokens, number(1).unwrap_or(0)]),
            provenance: at("/provenance").and_then(Value::as_bool).unwrap_or(false),
            channel: at("/source/channel").and_then(Value::as_str).map(str::to_owned),
            tokens: None,
            dense: None,
        }
    }

    /// Refuses an encoder (or the lack of one) that would give other vectors, passages or origins.
    pub(super) fn check(
        &self,
        encoder: Option<&EncoderSetup<'_>>,
        path: &Path,
    ) -> Result<(), BuildError> {
        let given = encoder.map(|e| &e.identity);
        if self.encoder.as_ref() != given {
            let text = |value: Option<&Value>| value.map_or("null".to_owned(), Value::to_string);
            return Err(BuildError::OtherEncoder {
                path: path.to_path_buf(),
                built_with: text(self.encoder.as_ref()),
                given: text(given),
            });
        }
        let Some(encoder) = encoder else { return Ok(()) };
        let other = |what, built: String, given: String| {
            Err(BuildError::OtherRules { path: path.to_path_buf(), what, built, given })
        };
        let passages = encoder.passages.map(|p| [p.tokens, p.overlap]);
        if passages != self.passages {
            let text = |passages: Option<[u32; 2]>| match passages {
                Some([tokens, overlap]) => format!("of {tokens} tokens, {overlap} of them shared"),
                None => "none".to_owned(),
            };
            return other("passages", text(self.passages), text(passages));
        }
        if encoder.provenance != self.provenance {
            let text = |kept: bool| if kept { "kept" } else { "not kept" }.to_owned();
            return other("provenance", text(self.provenance), text(encoder.provenance));
        }
        Ok(())
    }
}

/// Options for adding documents.
#[derive(Debug, Clone, Copy)]
pub struct Adding<'a> {
    /// The index folder.
    pub folder: &'a Path,
    /// Memory, seed, types of fields, how weights are stored. Lists `Auto`: those that the index has and
    /// those that the size calls for.
    pub seal: &'a SealOptions,
    /// Shards and vocabulary. `ids_are_unique` is ignored: of documents with the same id the last stays.
    pub ingest: &'a IngestOptions,
    /// Source of the token embeddings of the new documents.
    pub tokens: AddTokens<'a>,
    /// Who makes their dense vectors.
    pub dense: AddDense<'a>,
    /// Versions of the new documents by id, all of them; `None`: they have none of their own.
    pub versions: Option<&'a HashMap<String, u64>>,
    /// Whether to merge the smallest segments afterwards if there are more than
    /// [`super::MOST_SEGMENTS`].
    pub merge: bool,
}

/// Source of the token embeddings of added documents.
#[derive(Clone, Copy, Default)]
pub enum AddTokens<'a> {
    /// None: for an index without token embeddings; an error for one that has them.
    #[default]
    None,
    /// An encoder and its identity, which must be that of the index's embeddings.
    Encoder(&'a dyn EncodeTokens, &'a Value),
    /// None, although the index has them: until `add_tokens` fills the gap, reranking leaves the new
    /// documents where the first stage put them.
    Without,
}

impl std::fmt::Debug for AddTokens<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Encoder(..) => "Encoder",
            Self::Without => "Without",
        })
    }
}

/// Who makes the dense vectors of documents that are added.
#[derive(Clone, Copy, Default)]
pub enum AddDense<'a> {
    /// Nobody: right for an index without any, refused for another.
    #[default]
    None,
    /// An encoder, with its identity, which must be the one that the index has them of.
    Encoder(&'a dyn EncodeDense, &'a Value),
    /// Nobody, though the index has them: the channel does not find the new documents until `add_dense` fills the
    /// gap. Refused for an index without any.
    Without,
}

impl std::fmt::Debug for AddDense<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Encoder(..) => "Encoder",
            Self::Without => "Without",
        })
    }
}

impl<'a> Adding<'a> {
    /// With the options of a build into the index's folder; without token embeddings, dense vectors and a merge.
    #[must_use]
    pub fn new(options: &'a BuildOptions) -> Self {
        let BuildOptions { out, seal, ingest, .. } = options;
        let (tokens, dense) = (AddTokens::None, AddDense::None);
        Self { folder: out, seal, ingest, tokens, dense, versions: None, merge: false }
    }

    /// The encoder of dense vectors and how they are stored, where the index has them and they are wanted.
    pub(super) fn dense_of(
        &self,
        index: &Index,
    ) -> Result<Option<(&'a dyn EncodeDense, DenseKept)>, BuildError> {
        let path = || index.folder().to_path_buf();
        match (&index.features().dense, self.dense) {
            (None, AddDense::None) | (Some(_), AddDense::Without) => Ok(None),
            (None, _) => Err(BuildError::NoDenseThere { path: path() }),
            (Some(kept), AddDense::None) => {
                Err(BuildError::NeedsDense { path: path(), made_by: kept.made_by() })
            }
            (Some(kept), AddDense::Encoder(encoder, source)) => {
                let imported = kept.source.get("file").is_some();
                if imported || !kept.same_source(source) || kept.dims != encoder.dims() {
                    return Err(BuildError::OtherDense {
                        path: path(),
                        made_by: kept.made_by(),
                        given: DenseKept { source: source.clone(), ..kept.clone() }.made_by(),
                    });
                }
                Ok(Some((encoder, kept.clone())))
            }
        }
    }

    /// The encoder of token embeddings and their storage options, if the index has them.
    pub(super) fn tokens_of(
        &self,
        index: &Index,
    ) -> Result<Option<(&'a dyn EncodeTokens, TokenOptions)>, BuildError> {
        let path = || index.folder().to_path_buf();
        let kept = index.features().tokens.as_ref();
        match (kept, self.tokens) {
            (None, AddTokens::None | AddTokens::Without) | (Some(_), AddTokens::Without) => {
                Ok(None)
            }
            (None, AddTokens::Encoder(..)) => Err(BuildError::NoTokensThere { path: path() }),
            (Some(kept), AddTokens::None) => {
                Err(BuildError::NeedsTokens { path: path(), made_by: kept.source.to_string() })
            }
            (Some(kept), AddTokens::Encoder(encoder, source)) => {
                let imported = kept.source.get("file").is_some();
                if imported || !kept.same_source(source) || kept.dims != encoder.dims() {
                    return Err(BuildError::OtherTokens {
                        path: path(),
                        made_by: kept.source.to_string(),
                        given: source.to_string(),
                    });
                }
                Ok(Some((encoder, TokenOptions::like(kept))))
            }
        }
    }
}
