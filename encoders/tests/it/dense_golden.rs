//! Dense vectors, and the token embeddings of dense models, as sentence-transformers gives them of the same folders
//! (`scripts/make_dense_models.py`), to 1e-4.

use std::path::{Path, PathBuf};

use quarry_encoders::graphs::Precision;
use quarry_encoders::{
    DenseEncoder, DenseOptions, EncoderError, Model, TokenOptions, find_runtime,
};
use quarry_vectors::{DenseVector, Passage, TokenEmbeddings};
use serde::Deserialize;

type Vectors = Vec<Option<Vec<f32>>>;
type Rows = Vec<Option<Vec<Vec<f32>>>>;

#[derive(Deserialize)]
struct Golden {
    texts: Vec<Text>,
    queries: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Text {
    title: String,
    text: String,
    times: Option<usize>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    documents: Vectors,
    queries: Vectors,
    cut: Option<Cut>,
    tokens: Option<Tokens>,
}

#[derive(Deserialize)]
struct Cut {
    dims: u32,
    documents: Vectors,
}

/// Rows of short texts; of others they are not kept.
#[derive(Deserialize)]
struct Tokens {
    documents: Rows,
    queries: Rows,
}

struct Passages {
    golden: Golden,
    texts: Vec<String>,
}

impl Passages {
    fn read() -> Self {
        find_runtime().unwrap();
        let golden: Golden = serde_json::from_str(include_str!("../dense/golden.json")).unwrap();
        let texts = golden.texts.iter().map(|t| t.text.repeat(t.times.unwrap_or(1))).collect();
        Self { golden, texts }
    }

    fn all(&self) -> Vec<Passage<'_>> {
        let pairs = self.golden.texts.iter().zip(&self.texts);
        pairs.map(|(t, text)| Passage { title: &t.title, text }).collect()
    }
}

fn saved(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dense").join(name)
}

fn encoder(name: &str, options: &DenseOptions) -> Result<DenseEncoder, EncoderError> {
    Model::open(&saved(name)).unwrap().dense_model().unwrap().encoder(options)
}

fn assert_close(found: &[f32], want: &[f32], what: &str) {
    assert_eq!(found.len(), want.len(), "{what}: dimensions");
    for (found, want) in found.iter().zip(want) {
        assert!((found - want).abs() <= 1e-4, "{what}: {found}, not {want}");
    }
}

fn assert_vectors(found: &[Option<DenseVector>], want: &Vectors, what: &str) {
    assert_eq!(found.len(), want.len(), "{what}");
    for (at, (found, want)) in found.iter().zip(want).enumerate() {
        match (found, want) {
            (Some(found), Some(want)) => {
                assert_close(found.values(), want, &format!("{what} {at}"));
            }
            (found, want) => assert_eq!(found.is_some(), want.is_some(), "{what} {at}"),
        }
    }
}

#[test]
fn vectors_are_those_of_sentence_transformers() {
    let passages = Passages::read();
    let names: Vec<&str> = passages.golden.cases.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["bert", "bert-onnx", "distilbert", "roberta", "mpnet"]);
    for case in &passages.golden.cases {
        let name = &case.name;
        let encoder = encoder(name, &DenseOptions::default()).unwrap();
        let found = encoder.passages(&passages.all()).unwrap();
        assert_vectors(&found, &case.documents, &format!("{name}: document"));
        assert!(encoder.truncated() >= 1, "{name}: a text is beyond the longest input");
        let questions = passages.golden.queries.iter();
        let found: Vec<_> = questions.map(|text| encoder.question(text).unwrap()).collect();
        assert_vectors(&found, &case.queries, &format!("{name}: query"));
    }
}

#[test]
fn vectors_are_cut_and_of_length_one_again() {
    let passages = Passages::read();
    let cuts = passages.golden.cases.iter().filter_map(|c| Some((&c.name, c.cut.as_ref()?)));
    for (name, cut) in cuts {
        let options = DenseOptions { dims: Some(cut.dims), ..DenseOptions::default() };
        let found = encoder(name, &options).unwrap().passages(&passages.all()).unwrap();
        assert_vectors(&found, &cut.documents, &format!("{name} cut"));
        // Whose vectors these are is another identity.
        let model = Model::open(&saved(name)).unwrap().dense_model().unwrap();
        let identity = |options: &DenseOptions| model.identity(options);
        assert_ne!(identity(&options), identity(&DenseOptions::default()));
    }
    let names: Vec<_> = passages.golden.cases.iter().filter(|c| c.cut.is_some()).collect();
    assert_eq!(names.len(), 2);
    for (dims, wide) in [(0, 12), (13, 12), (17, 12)] {
        let options = DenseOptions { dims: Some(dims), ..DenseOptions::default() };
        let error = encoder("distilbert", &options).unwrap_err();
        assert!(matches!(error, EncoderError::Parameter { found, .. } if found == dims), "{error}");
        assert!(error.to_string().contains(&format!("1 to {wide}")), "{error}");
    }
}

#[test]
fn a_dense_model_gives_its_tokens() {
    let passages = Passages::read();
    let close = |found: &[TokenEmbeddings], want: &Rows, what: &str| {
        assert_eq!(found.len(), want.len());
        for (at, (found, want)) in found.iter().zip(want).enumerate() {
            let Some(want) = want else { continue };
            assert_eq!(found.rows().count(), want.len(), "{what} {at}: rows");
            for (row, (found, want)) in found.rows().zip(want).enumerate() {
                assert_close(found, want, &format!("{what} {at}, row {row}"));
            }
        }
    };
    let mut cases = 0;
    for case in &passages.golden.cases {
        let Some(tokens) = &case.tokens else { continue };
        let name = &case.name;
        let model = Model::open(&saved(name)).unwrap();
        let encoder = model.token_encoder(&TokenOptions::default()).unwrap();
        let found = encoder.passages(&passages.all()).unwrap();
        close(&found, &tokens.documents, &format!("{name}: document"));
        // Blank texts have no rows, with a prompt or without.
        assert_eq!(found[2].rows().count(), 0);
        let questions = passages.golden.queries.iter();
        let found: Vec<_> = questions.map(|text| encoder.question(text).unwrap()).collect();
        close(&found, &tokens.queries, &format!("{name}: query"));
        cases += 1;
    }
    assert_eq!(cases, 2);
    // Layers behind the pooling are not for tokens: their width is the network's.
    let model = Model::open(&saved("distilbert")).unwrap();
    let encoder = model.token_encoder(&TokenOptions::default()).unwrap();
    assert_eq!(encoder.parameters().dims, 16);
}

/// MPNet's graph in 8 bits: near what it is, and a text's vector does not depend on its company.
#[test]
fn mpnet_is_built_in_8_bits_as_well() {
    let passages = Passages::read();
    let mut manifest = Model::manifest_of(&saved("mpnet"), None).unwrap();
    manifest.set_precision(Precision::Int8).unwrap();
    let model = Model::with_manifest(&saved("mpnet"), manifest).unwrap().dense_model().unwrap();
    let rough = model.encoder(&DenseOptions::default()).unwrap();
    let fine = encoder("mpnet", &DenseOptions::default()).unwrap();
    let together = rough.passages(&passages.all()).unwrap();
    for (at, want) in fine.passages(&passages.all()).unwrap().into_iter().enumerate() {
        let alone = rough.passages(&passages.all()[at..=at]).unwrap();
        assert_eq!(alone[0], together[at]);
        let (Some(a), Some(b)) = (&together[at], &want) else { continue };
        let cosine: f32 = a.values().iter().zip(b.values()).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.95, "{at}: {cosine}");
    }
}
