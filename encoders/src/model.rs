//! A model folder, opened: the manifest read or made, the small files read and verified.

use std::path::{Path, PathBuf};

use quarry_vectors::{EncodeDocument, EncodeQuery};

use crate::onnx_documents::Parts;
use crate::vocabulary::wordpiece_json;
use crate::{
    DenseModel, DocumentOptions, DocumentSide, EncoderError, EncoderIdentity, Family,
    MANIFEST_FILE, ModelManifest, OnnxDocumentEncoder, OnnxDocuments, OnnxQueries,
    OnnxQueryEncoder, QueryGraphIdentity, QuerySide, TokenEncoder, TokenModel, TokenOptions,
    TokenTableQuery, TokenizerFile, Vocabulary, files, recognise, shapes,
};

/// An opened model folder.
///
/// Tokenizer and query table are read and verified at once, a graph only when an encoder is made of
/// it.
#[derive(Debug)]
pub struct Model {
    folder: PathBuf,
    manifest: ModelManifest,
    tokenizer: ReadTokenizer,
    query: ReadQuery,
}

/// A tokenizer, read.
#[derive(Debug, Clone)]
struct ReadTokenizer {
    vocabulary: Vocabulary,
    json: Vec<u8>,
    sha256: String,
    pad_token: String,
}

/// The query side's files, read.
#[derive(Debug)]
enum ReadQuery {
    /// The model gives token embeddings alone.
    None,
    Table(Vec<u8>),
    Binary,
    Graph {
        folder: PathBuf,
        tokenizer: Box<ReadTokenizer>,
    },
}

impl ReadTokenizer {
    fn read(folder: &Path, file: &TokenizerFile, dimension: u32) -> Result<Self, EncoderError> {
        let mut json = files::read_verified(&folder.join(&file.file), &file.sha256)?;
        let mut sha256 = file.sha256.clone();
        if let Some(lowercase) = file.lowercase {
            json = wordpiece_json(&json, lowercase)?;
            sha256 = files::sha256(&json);
        }
        let vocabulary = if file.unnamed_ids {
            Vocabulary::with_rows(&json, dimension)?
        } else {
            Vocabulary::from_bytes(&json)?
        };
        vocabulary.expect_size(dimension)?;
        Ok(Self { vocabulary, json, sha256, pad_token: file.pad_token.clone() })
    }
}

impl Model {
    /// Opens the model in `folder`: by its `quarry-model.json`, or, where there is none, by what its
    /// files are recognised as.
    ///
    /// # Errors
    /// When a file is missing, is not the one the manifest was written for, or is not what it
    /// should be; [`EncoderError::Unrecognised`] when the files are not a model of a known family.
    pub fn open(folder: &Path) -> Result<Self, EncoderError> {
        let manifest = Self::manifest_of(folder, None)?;
        Self::with_manifest(folder, manifest)
    }

    /// The manifest of a folder, read or made; `family` takes the place of what would be recognised.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn manifest_of(
        folder: &Path,
        family: Option<Family>,
    ) -> Result<ModelManifest, EncoderError> {
        let written = folder.join(MANIFEST_FILE).exists();
        if family.is_none() && (written || !recognise::is_candidate(folder)) {
            return ModelManifest::read(folder);
        }
        recognise::recognise(folder, family)
    }

    /// Opens the model in `folder` by a manifest of the caller's. Where a graph fixes a length, that is the
    /// longest input.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn with_manifest(folder: &Path, mut manifest: ModelManifest) -> Result<Self, EncoderError> {
        shapes::fit(folder, &mut manifest)?;
        let tokenizer = ReadTokenizer::read(folder, &manifest.tokenizer, manifest.dimension)?;
        let query = match &manifest.query {
            None => ReadQuery::None,
            Some(QuerySide::TokenTable(table)) => {
                ReadQuery::Table(files::read_verified(&folder.join(&table.file), &table.sha256)?)
            }
            Some(QuerySide::Binary(_)) => ReadQuery::Binary,
            Some(QuerySide::Onnx(query)) => {
                let own = match &query.tokenizer {
                    None => tokenizer.clone(),
                    Some(file) => {
                        let own = ReadTokenizer::read(folder, file, manifest.dimension)?;
                        if own.vocabulary.tokens() != tokenizer.vocabulary.tokens() {
                            return Err(EncoderError::TwoTokenizers {
                                query: folder.join(&file.file),
                                document: folder.join(&manifest.tokenizer.file),
                            });
                        }
                        own
                    }
                };
                ReadQuery::Graph { folder: folder.to_owned(), tokenizer: Box::new(own) }
            }
        };
        Ok(Self { folder: folder.to_owned(), manifest, tokenizer, query })
    }

    /// A model whose documents are encoded as by `self`, its questions as `questions` encodes
    /// documents: two published networks that were trained together (efficient SPLADE, Lassance
    /// and Clinchant, SIGIR 2022).
    ///
    /// # Errors
    /// [`EncoderError::TwoTokenizers`] when their tokens differ, [`EncoderError::NoSparse`] when one
    /// of them gives no sparse vectors.
    pub fn with_questions(mut self, questions: Self) -> Result<Self, EncoderError> {
        if self.vocabulary().tokens() != questions.vocabulary().tokens() {
            return Err(EncoderError::TwoTokenizers {
                query: questions.folder.join(&questions.manifest.tokenizer.file),
                document: self.folder.join(&self.manifest.tokenizer.file),
            });
        }
        self.document()?;
        let graph = questions.document()?.clone();
        self.manifest.name = format!("{} + {}", self.manifest.name, questions.manifest.name);
        self.manifest.query = Some(QuerySide::Onnx(Box::new(OnnxQueries {
            graph,
            tokenizer: Some(questions.manifest.tokenizer),
            own_terms: false,
        })));
        self.query =
            ReadQuery::Graph { folder: questions.folder, tokenizer: Box::new(questions.tokenizer) };
        Ok(self)
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &ModelManifest {
        &self.manifest
    }

    /// The tokenizer and its tokens by id, for the index's lexicon.
    #[must_use]
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.tokenizer.vocabulary
    }

    /// Bytes of the tokenizer, for the index's copy.
    #[must_use]
    pub fn tokenizer_json(&self) -> &[u8] {
        &self.tokenizer.json
    }

    /// Bytes of the query table, for the index's copy; `None` where the model has none.
    #[must_use]
    pub fn query_table(&self) -> Option<&[u8]> {
        match &self.query {
            ReadQuery::Table(bytes) => Some(bytes),
            ReadQuery::None | ReadQuery::Binary | ReadQuery::Graph { .. } => None,
        }
    }

    /// The side of documents.
    pub(crate) fn document(&self) -> Result<&OnnxDocuments, EncoderError> {
        match &self.manifest.document {
            Some(DocumentSide::Onnx(document)) => Ok(document),
            None => Err(self.no_sparse()),
        }
    }

    /// The refusal of a model without sparse vectors, which says what it gives.
    fn no_sparse(&self) -> EncoderError {
        let name = self.manifest.name.clone();
        match self.manifest.tokens {
            None => EncoderError::DenseAlone { name },
            Some(_) => EncoderError::NoSparse { name },
        }
    }

    /// What it gives, in words: of `sparse vectors`, `token embeddings` and `dense vectors` those that it does.
    #[must_use]
    pub fn gives(&self) -> String {
        let ModelManifest { document, tokens, dense, .. } = &self.manifest;
        let all = [
            (document.is_some(), "sparse vectors"),
            (tokens.is_some(), "token embeddings"),
            (dense.is_some(), "dense vectors"),
        ];
        let given: Vec<&str> = all.into_iter().filter(|one| one.0).map(|one| one.1).collect();
        given.join(" and ")
    }

    /// What an index of vectors made with `options` has to keep of this model.
    ///
    /// # Errors
    /// [`EncoderError::NoSparse`] or [`EncoderError::DenseAlone`] where it gives none.
    pub fn identity(&self, options: &DocumentOptions) -> Result<EncoderIdentity, EncoderError> {
        let document = self.document()?;
        let (mut query_table_sha256, mut parameters, mut query_graph) = (None, None, None);
        match (&self.manifest.query, &self.query) {
            (None, _) => {}
            (Some(QuerySide::TokenTable(table)), _) => {
                query_table_sha256 = Some(table.sha256.clone());
                parameters = Some(table.parameters.clone());
            }
            (Some(QuerySide::Binary(binary)), _) => parameters = Some(binary.parameters.clone()),
            (Some(QuerySide::Onnx(query)), read) => {
                let tokenizer = match read {
                    ReadQuery::Graph { tokenizer, .. } => tokenizer,
                    ReadQuery::None | ReadQuery::Table(_) | ReadQuery::Binary => &self.tokenizer,
                };
                query_graph = Some(QueryGraphIdentity {
                    sha256: query.graph.identity_sha256(),
                    tokenizer_sha256: tokenizer.sha256.clone(),
                    own_terms: query.own_terms,
                    parameters: query.graph.parameters.clone(),
                });
            }
        }
        Ok(EncoderIdentity {
            model_name: self.manifest.name.clone(),
            dimension: self.manifest.dimension,
            model_sha256: document.identity_sha256(),
            tokenizer_sha256: self.tokenizer.sha256.clone(),
            query_table_sha256,
            document: options.apply(&document.parameters),
            query: parameters,
            query_graph,
        })
    }

    /// Loads the document side. Cost: reads the graph and opens the sessions, each under a second
    /// for the bundled model.
    ///
    /// # Errors
    /// When ONNX Runtime is missing, the graph is not the one of the manifest, or an option is
    /// out of range.
    pub fn document_encoder(
        &self,
        options: &DocumentOptions,
    ) -> Result<Box<dyn EncodeDocument>, EncoderError> {
        Ok(Box::new(self.onnx_document_encoder(options)?))
    }

    /// As [`Self::document_encoder`], for a caller that wants the encoder's own errors.
    ///
    /// # Errors
    /// As [`Self::document_encoder`].
    pub fn onnx_document_encoder(
        &self,
        options: &DocumentOptions,
    ) -> Result<OnnxDocumentEncoder, EncoderError> {
        load(&self.folder, self.document()?, &self.tokenizer, options)
    }

    /// The query side, by table or by network.
    ///
    /// # Errors
    /// When the table is not what it should be; for a network, as [`Self::document_encoder`].
    pub fn question_encoder(
        &self,
        options: &DocumentOptions,
    ) -> Result<Box<dyn EncodeQuery>, EncoderError> {
        match &self.query {
            ReadQuery::Graph { .. } => Ok(Box::new(self.onnx_query_encoder(options)?)),
            ReadQuery::None | ReadQuery::Table(_) | ReadQuery::Binary => {
                Ok(Box::new(self.query_encoder()?))
            }
        }
    }

    /// A query side that needs no network.
    ///
    /// # Errors
    /// When the table is not what it should be; [`EncoderError::QueryKind`] when it needs one.
    pub fn query_encoder(&self) -> Result<TokenTableQuery, EncoderError> {
        let (table, parameters) = match (&self.manifest.query, &self.query) {
            (Some(QuerySide::TokenTable(side)), ReadQuery::Table(bytes)) => {
                (Some(bytes.as_slice()), &side.parameters)
            }
            (Some(QuerySide::Binary(side)), _) => (None, &side.parameters),
            (None, _) => return Err(self.no_sparse()),
            _ => return Err(EncoderError::QueryKind { asked: "a table", has: "a network" }),
        };
        TokenTableQuery::new(self.vocabulary().clone(), table, parameters)
    }

    /// A query side that is a network. Of `options`, its parameters are left out: those are the
    /// model's.
    ///
    /// # Errors
    /// As [`Self::document_encoder`]; [`EncoderError::QueryKind`] when it needs none.
    pub fn onnx_query_encoder(
        &self,
        options: &DocumentOptions,
    ) -> Result<OnnxQueryEncoder, EncoderError> {
        self.document()?;
        let (Some(QuerySide::Onnx(side)), ReadQuery::Graph { folder, tokenizer }) =
            (&self.manifest.query, &self.query)
        else {
            return Err(EncoderError::QueryKind { asked: "a network", has: "a table" });
        };
        let options = DocumentOptions { max_tokens: None, top_k: None, ..options.clone() };
        let encoder = load(folder, &side.graph, tokenizer, &options)?;
        Ok(OnnxQueryEncoder::new(encoder, side.own_terms))
    }

    /// The model's token embeddings: its own, or those that a dense model pools; `None` where it gives none.
    #[must_use]
    pub fn token_model(&self) -> Option<TokenModel> {
        let tokens = self.manifest.token_side()?;
        Some(TokenModel {
            name: self.manifest.name.clone(),
            vocabulary: self.vocabulary().clone(),
            tokenizer_sha256: self.tokenizer.sha256.clone(),
            pad_token: self.tokenizer.pad_token.clone(),
            folder: self.folder.clone(),
            side: tokens,
        })
    }

    /// The model's dense vectors; `None` where it gives none.
    #[must_use]
    pub fn dense_model(&self) -> Option<DenseModel> {
        let dense = self.manifest.dense.as_ref()?;
        // One graph may serve both.
        let tokens = self.manifest.tokens.as_ref().filter(|tokens| tokens.file == dense.file);
        Some(DenseModel {
            name: self.manifest.name.clone(),
            vocabulary: self.vocabulary().clone(),
            tokenizer_sha256: self.tokenizer.sha256.clone(),
            pad_token: self.tokenizer.pad_token.clone(),
            folder: self.folder.clone(),
            side: dense.clone(),
            made_from: tokens.and_then(|tokens| tokens.made_from.clone()),
        })
    }

    /// Loads the token embeddings' encoder; as [`TokenModel::encoder`].
    ///
    /// # Errors
    /// [`EncoderError::NoTokens`] where the model gives none; else as [`TokenModel::encoder`].
    pub fn token_encoder(&self, options: &TokenOptions) -> Result<TokenEncoder, EncoderError> {
        match self.token_model() {
            Some(model) => model.encoder(options),
            None => Err(EncoderError::NoTokens { folder: self.folder.clone() }),
        }
    }
}

/// Reads and verifies a graph, or builds it, and opens its sessions.
fn load(
    folder: &Path,
    side: &OnnxDocuments,
    tokenizer: &ReadTokenizer,
    options: &DocumentOptions,
) -> Result<OnnxDocumentEncoder, EncoderError> {
    let path = folder.join(&side.file);
    let onnx = side.source().read(folder)?;
    let parts = Parts {
        vocabulary: &tokenizer.vocabulary,
        pad_token: &tokenizer.pad_token,
        side,
        path: &path,
    };
    OnnxDocumentEncoder::new(&parts, onnx, options)
}
