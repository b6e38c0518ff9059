//! A model folder, opened: the manifest checked, the small files read and verified.

use std::path::{Path, PathBuf};

use quarry_vectors::EncodeDocument;

use crate::onnx_documents::Parts;
use crate::tokens::GraphSource;
use crate::{
    DocumentOptions, DocumentSide, EncoderError, EncoderIdentity, ModelManifest,
    OnnxDocumentEncoder, QuerySide, TokenEncoder, TokenModel, TokenOptions, TokenTableQuery,
    Vocabulary, files,
};

/// An opened model folder.
///
/// Tokenizer and query table are read and verified at once, the graph only when a document
/// encoder is made of it.
#[derive(Debug)]
pub struct Model {
    folder: PathBuf,
    manifest: ModelManifest,
    vocabulary: Vocabulary,
    tokenizer_json: Vec<u8>,
    query_table: Vec<u8>,
}

impl Model {
    /// Opens the model in `folder`.
    ///
    /// # Errors
    /// When a file is missing, is not the one the manifest was written for, or is not what it
    /// should be.
    pub fn open(folder: &Path) -> Result<Self, EncoderError> {
        let manifest = ModelManifest::read(folder)?;
        let QuerySide::TokenTable(query) = &manifest.query;
        let tokenizer = &manifest.tokenizer;
        let tokenizer_json =
            files::read_verified(&folder.join(&tokenizer.file), &tokenizer.sha256)?;
        let query_table = files::read_verified(&folder.join(&query.file), &query.sha256)?;
        let vocabulary = Vocabulary::from_bytes(&tokenizer_json)?;
        vocabulary.expect_size(manifest.dimension)?;
        Ok(Self { folder: folder.to_owned(), manifest, vocabulary, tokenizer_json, query_table })
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &ModelManifest {
        &self.manifest
    }

    /// The tokenizer and its tokens by id, for the index's lexicon.
    #[must_use]
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Bytes of the tokenizer, for the index's copy.
    #[must_use]
    pub fn tokenizer_json(&self) -> &[u8] {
        &self.tokenizer_json
    }

    /// Bytes of the query table, for the index's copy.
    #[must_use]
    pub fn query_table(&self) -> &[u8] {
        &self.query_table
    }

    /// What an index of vectors made with `options` has to keep of this model.
    #[must_use]
    pub fn identity(&self, options: &DocumentOptions) -> EncoderIdentity {
        let DocumentSide::Onnx(document) = &self.manifest.document;
        let QuerySide::TokenTable(query) = &self.manifest.query;
        EncoderIdentity {
            model_name: self.manifest.name.clone(),
            dimension: self.manifest.dimension,
            model_sha256: document.sha256.clone(),
            tokenizer_sha256: self.manifest.tokenizer.sha256.clone(),
            query_table_sha256: query.sha256.clone(),
            document: options.apply(&document.parameters),
            query: query.parameters.clone(),
        }
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
        let DocumentSide::Onnx(_) = &self.manifest.document;
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
        let DocumentSide::Onnx(side) = &self.manifest.document;
        let path = self.folder.join(&side.file);
        let onnx = files::read_verified(&path, &side.sha256)?;
        let parts = Parts {
            vocabulary: &self.vocabulary,
            pad_token: &self.manifest.tokenizer.pad_token,
            side,
            onnx: &onnx,
            path: &path,
        };
        OnnxDocumentEncoder::new(&parts, options)
    }

    /// The query side.
    ///
    /// # Errors
    /// When the table is not what it should be.
    pub fn query_encoder(&self) -> Result<TokenTableQuery, EncoderError> {
        let QuerySide::TokenTable(query) = &self.manifest.query;
        TokenTableQuery::new(self.vocabulary.clone(), &self.query_table, &query.parameters)
    }

    /// The model's token embeddings; `None` where it gives none.
    #[must_use]
    pub fn token_model(&self) -> Option<TokenModel> {
        let tokens = self.manifest.tokens.as_ref()?;
        let graph = GraphSource::File {
            path: self.folder.join(&tokens.file),
            made_from: tokens.made_from.as_ref().map(|from| from.package.clone()),
        };
        Some(TokenModel {
            name: self.manifest.name.clone(),
            vocabulary: self.vocabulary.clone(),
            tokenizer_sha256: self.manifest.tokenizer.sha256.clone(),
            pad_token: self.manifest.tokenizer.pad_token.clone(),
            inputs: tokens.inputs.clone(),
            output: tokens.output.clone(),
            width: tokens.width,
            max_positions: tokens.max_positions,
            parameters: tokens.parameters.clone(),
            model_sha256: tokens.sha256.clone(),
            graph,
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
