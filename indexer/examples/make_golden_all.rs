//! Writes the index with every kind of part, in one segment: `index/testdata/golden-all`, or the folder
//! given. Run when a version changes; `index/tests/golden_all.rs` holds what it has.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use quarry_index::calibration::{Calibration, Curve, Point, Setting};
use quarry_index::clusters::ClusterParams;
use quarry_index::folder::read_current;
use quarry_index::seismic::SeismicParams;
use quarry_index::tokens::Form;
use quarry_indexer::{
    BuildError, BuildOptions, EncoderSetup, LEAST_MEMORY, Levels, Lists, TokenInput, TokenOptions,
    add_tokens, build, delete, store_calibration,
};
use quarry_vectors::{
    Document, EncodeDocument, EncodeError, Field, Origin, Passage, PooledBy, SparseVector,
    TokenEmbeddings, Traced,
};
use serde_json::{Map, Value, json};

/// The vocabulary; `[CLS]` stands in no text.
const TOKENS: [&str; 12] = [
    "[CLS]", "granite", "marble", "slate", "rock", "stone", "ice", "chalk", "öl", "glass", "sand",
    "clay",
];

/// Gives a component for each word that it knows, of a quarter for its length and place.
struct Words;

impl Words {
    fn one(passage: &Passage<'_>) -> Traced {
        let mut found: Vec<(u32, f32, Origin)> = vec![(0, 0.25, Origin::default())];
        let mut position = 0;
        for (field, text) in [(Field::Title, passage.title), (Field::Text, passage.text)] {
            for word in text.split_whitespace() {
                position += 1;
                let Some(term) = TOKENS.iter().position(|token| *token == word) else { continue };
                let start = word.as_ptr() as usize - text.as_ptr() as usize;
                let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                let place = Some((field, narrow(start)..narrow(start + word.len())));
                let weight = 0.25
                    * f32::from(u8::try_from(word.len() * 3 + position as usize % 5).unwrap_or(1));
                match found.iter_mut().find(|known| known.0 == narrow(term)) {
                    Some(known) if known.1 < weight => {
                        (known.1, known.2) = (weight, Origin { position, place });
                    }
                    Some(_) => {}
                    None => found.push((narrow(term), weight, Origin { position, place })),
                }
            }
        }
        if position == 0 {
            return Traced::default();
        }
        found.sort_by_key(|known| known.0);
        let pairs = found.iter().map(|known| (known.0, known.1));
        let vector = SparseVector::from_pairs(pairs).unwrap_or_default();
        Traced { vector, origins: found.into_iter().map(|known| known.2).collect() }
    }
}

impl EncodeDocument for Words {
    fn encode_documents(&self, passages: &[Passage<'_>]) -> Result<Vec<SparseVector>, EncodeError> {
        Ok(passages.iter().map(|passage| Self::one(passage).vector).collect())
    }

    fn traces(&self) -> Option<PooledBy> {
        Some(PooledBy::Max)
    }

    fn trace_documents(&self, passages: &[Passage<'_>]) -> Result<Vec<Traced>, EncodeError> {
        Ok(passages.iter().map(Self::one).collect())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../index/testdata/golden-all");
    let out = std::env::args_os().nth(1).map_or(default, PathBuf::from);
    let options = BuildOptions {
        out: out.clone(),
        overwrite: false,
        resume: false,
        memory: LEAST_MEMORY,
        seed: 42,
        levels: Levels::Auto,
        lists: Lists::These { impact: true, seismic: true, clusters: true },
        seismic: SeismicParams {
            n_postings: 4,
            max_fraction: 2.0,
            min_per_document: 2,
            centroid_fraction: 0.5,
            min_cluster_size: 0,
            document_cut: 4,
            summary_energy: 0.75,
        },
        clusters: ClusterParams { size: 3, components: 4 },
        shard_documents: 5,
        description: object(json!({"purpose": "golden index with every kind of part"})),
        source: json!("indexer/examples/make_golden_all.rs"),
        ids_are_unique: false,
        channels: None,
        vocabulary: None,
        fields: std::collections::BTreeMap::new(),
    };
    let encoder = EncoderSetup {
        encoder: &Words,
        identity: json!({"name": "words", "purpose": "golden"}),
        tokens: TOKENS.map(str::to_owned).to_vec(),
        tokenizer: Some(b"{\"tokenizer\": true}\n".to_vec()),
        query_table: Some(b"{\"rock\": 1.5}\n".to_vec()),
        passages: None,
        provenance: true,
    };
    build(documents().into_iter().map(Ok::<_, Infallible>), Some(&encoder), &options, &|_| {})?;
    let tokens = TokenOptions {
        forms: Form::ALL.to_vec(),
        pool: 1,
        centroids: 3,
        replace: false,
        source: json!("golden"),
    };
    // Of each document one to three rows, which its id decides.
    let mut rows = |id: &str| {
        let count = 1 + id.len() % 3;
        let value = |at: usize| {
            let byte = id.as_bytes()[at % id.len()];
            f32::from(u8::try_from((usize::from(byte) * (at + 3)) % 17).unwrap_or(0)) / 17.0 - 0.4
        };
        TokenEmbeddings::new(4, (0..4 * count).map(value).collect())
            .map_err(|error| BuildError::Input(Box::new(error)))
    };
    add_tokens(&out, &tokens, TokenInput::Rows(4, &mut rows), &|_| {})?;
    delete(&out, ["d03", "d08"].into_iter())?;
    let point = |postings, overlap, micros| Point {
        setting: Setting { postings: Some(postings), candidates: Some(100), ..Setting::default() },
        overlap,
        micros,
    };
    let table = Calibration {
        source: "golden".into(),
        queries: 4,
        kernels: "scalar".into(),
        curves: vec![Curve {
            method: "impact".into(),
            k: 10,
            query_terms: 6.5,
            points: vec![point(1000, 0.875, 12.5), point(2000, 0.9375, 25.0)],
        }],
    };
    let manifest = read_current(&out)?.0;
    store_calibration(&out, &manifest, &[Some(table)])?;
    Ok(())
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn documents() -> Vec<Document> {
    let texts = [
        ("granite", "granite is hard stone"),
        ("", "marble rock and more marble"),
        ("slate", ""),
        ("", "ice is no stone"),
        ("chalk", "chalk is a soft stone"),
        ("", "öl and sand"),
        ("", ""),
        ("clay", "clay and sand make stone"),
        ("glass", "glass of sand"),
        ("", "granite rock beside slate rock"),
        ("ice", "ice rock ice"),
        ("", "words that nobody knows"),
    ];
    let fields = [
        json!({"year": 1998, "tags": ["soft", "white", null, true, -1.5]}),
        json!({"year": 2001, "place": {"cliff": "Dover"}}),
        json!({}),
    ];
    (1u64..)
        .zip(texts)
        .map(|(line, (title, text))| Document {
            id: if line == 9 { "ü-09".into() } else { format!("d{line:02}") },
            title: title.into(),
            text: text.into(),
            fields: object(fields[usize::try_from(line).unwrap_or(0) % 3].clone()),
            vector: None,
            line,
        })
        .collect()
}
