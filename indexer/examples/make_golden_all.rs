//! Writes an index with every kind of part, in one segment: `index/testdata/golden-all`, or the folder
//! given. Run again when the version of a part changes; `index/tests/golden_all.rs` checks its content.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Range;
use std::path::{Path, PathBuf};

use quarry_index::calibration::{Calibration, Curve, Point, Setting, Units, Work};
use quarry_index::clusters::ClusterParams;
use quarry_index::dense::DenseStorage;
use quarry_index::fields::{FieldRule, FieldType};
use quarry_index::folder::{FolderWriter, read_current};
use quarry_index::manifest::PartEntry;
use quarry_index::neighbours::{MeasuredBeam, NONE, NeighbourGraph, NeighbourParams};
use quarry_index::seismic::SeismicParams;
use quarry_index::tokens::Form;
use quarry_index::{Segment, names, versions};
use quarry_indexer::{
    AddDenseOptions, AddOptions, BuildError, BuildOptions, DenseInput, EncoderSetup, IngestOptions,
    LEAST_MEMORY, Lists, MakeGraphs, NewGraph, Passages, SealOptions, TokenInput, TokenOptions,
    add_dense, add_lists, add_neighbours, add_tokens, build, delete, store_calibration,
};
use quarry_vectors::{
    DenseVector, DocId, Document, EncodeDocument, EncodeError, EncodeTokens, Field, Origin,
    Passage, PooledBy, SparseVector, SplitText, TokenEmbeddings, Traced,
};
use serde_json::{Map, Value, json};

/// The vocabulary, with the weight of one occurrence of each token; `[CLS]` is in no text. One weight is
/// far above the others, so that the vectors have scaled terms.
const TOKENS: [(&str, f32); 13] = [
    ("[CLS]", 0.25),
    ("granite", 2.5),
    ("marble", 2.25),
    ("slate", 2.0),
    ("rock", 1.25),
    ("stone", 1.0),
    ("ice", 1.5),
    ("chalk", 1.75),
    ("öl", 0.5),
    ("glass", 2.0),
    ("sand", 0.75),
    ("clay", 1.5),
    ("iridium", 60_000.0),
];

/// Title, text and the other fields.
type Source = (&'static str, &'static str, Value);

fn sources() -> [Source; 14] {
    [
        ("granite", "granite is hard stone", json!({"year": 1998, "topic": "stone"})),
        ("", "marble rock and more marble", json!({"year": 2001, "place": {"cliff": "Dover"}})),
        ("slate", "", json!({"year": 1950})),
        ("", "ice is no stone", json!({"year": 1995, "topic": "ice"})),
        ("chalk", "chalk is a soft stone", json!({"tags": ["soft", "white", null, true, -1.5]})),
        ("", "öl and sand", json!({"topic": "bread", "weight": 0.1})),
        ("", "", json!({"seen": "2024-03-11"})),
        ("clay", "clay and sand make stone. ice on rock. glass of sand", json!({"year": 1990})),
        ("glass", "glass of sand", json!({"note": "tabs\tand \"quotes\""})),
        ("", "granite rock beside slate rock", json!({})),
        ("ice", "ice rock ice", json!({"topic": "ice", "year": 2001})),
        ("", "words that nobody knows", json!({})),
        ("", "iridium and rock", json!({"year": 1803})),
        ("", "clay on ice. chalk on rock", json!({"topic": "deleted"})),
    ]
}

fn documents() -> Vec<Document> {
    (1u64..)
        .zip(sources())
        .map(|(line, (title, text, fields))| Document {
            id: if line == 9 { "ü-09".into() } else { format!("d{line:02}") },
            title: title.into(),
            text: text.into(),
            fields: object(fields),
            line,
            ..Document::default()
        })
        .collect()
}

/// A word of a passage, with its position.
struct Word<'a> {
    word: &'a str,
    field: Field,
    bytes: Range<u32>,
}

fn words<'a>(passage: &Passage<'a>) -> Vec<Word<'a>> {
    let mut out = Vec::new();
    for (field, text) in [(Field::Title, passage.title), (Field::Text, passage.text)] {
        for word in text.split([' ', '.']).filter(|word| !word.is_empty()) {
            let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            let start = narrow(word.as_ptr() as usize - text.as_ptr() as usize);
            out.push(Word { word, field, bytes: start..start + narrow(word.len()) });
        }
    }
    out
}

/// A component for each token in the passage: its weight times its number of occurrences; the first
/// occurrence is the origin.
struct Words;

impl Words {
    fn one(passage: &Passage<'_>) -> Result<Traced, EncodeError> {
        let words = words(passage);
        if words.is_empty() {
            return Ok(Traced::default());
        }
        let mut found = BTreeMap::from([(0, (TOKENS[0].1, Origin::default()))]);
        for (position, Word { word, field, bytes }) in (1..).zip(words) {
            let known = (0..).zip(TOKENS).find(|(_, token)| token.0 == word);
            let Some((term, (_, weight))) = known else { continue };
            let origin = Origin { position, place: Some((field, bytes)) };
            found.entry(term).or_insert((0.0, origin)).0 += weight;
        }
        let pairs = found.iter().map(|(term, (weight, _))| (*term, *weight));
        let vector = SparseVector::from_pairs(pairs).map_err(|e| EncodeError(Box::new(e)))?;
        Ok(Traced { vector, origins: found.into_values().map(|found| found.1).collect() })
    }
}

impl EncodeDocument for Words {
    fn encode_documents(&self, passages: &[Passage<'_>]) -> Result<Vec<SparseVector>, EncodeError> {
        passages.iter().map(|passage| Ok(Self::one(passage)?.vector)).collect()
    }

    fn traces(&self) -> Option<PooledBy> {
        Some(PooledBy::Sum)
    }

    fn trace_documents(&self, passages: &[Passage<'_>]) -> Result<Vec<Traced>, EncodeError> {
        passages.iter().map(Self::one).collect()
    }
}

/// One row per word, of four dimensions: 0.5 each, negative where that bit of the word's length is set.
struct Rows;

impl EncodeTokens for Rows {
    fn dims(&self) -> usize {
        4
    }

    fn encode_passages(
        &self,
        passages: &[Passage<'_>],
    ) -> Result<Vec<TokenEmbeddings>, EncodeError> {
        let one = |passage: &Passage<'_>| {
            let values = words(passage).into_iter().flat_map(|word| {
                let length = word.word.len();
                (0..4).map(move |bit| if length >> bit & 1 == 1 { -0.5 } else { 0.5 })
            });
            TokenEmbeddings::new(4, values.collect()).map_err(|e| EncodeError(Box::new(e)))
        };
        passages.iter().map(one).collect()
    }

    fn encode_question(&self, _: &str) -> Result<TokenEmbeddings, EncodeError> {
        Ok(TokenEmbeddings::default())
    }
}

/// One passage per sentence.
struct Sentences;

impl SplitText for Sentences {
    fn split(&self, _: &str, text: &str) -> Result<Vec<Range<usize>>, EncodeError> {
        let mut cuts = vec![0];
        cuts.extend(text.match_indices(". ").map(|found| found.0 + 2));
        cuts.push(text.len());
        Ok(cuts.windows(2).map(|two| two[0]..two[1]).collect())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../index/testdata/golden-all");
    let out = std::env::args_os().nth(1).map_or(default, PathBuf::from);
    let given = |name: &str, of| (name.to_owned(), FieldRule::Given(of));
    let options = BuildOptions {
        out: out.clone(),
        overwrite: false,
        resume: false,
        description: object(json!({"purpose": "golden index with every kind of part"})),
        source: json!("indexer/examples/make_golden_all.rs"),
        channels: None,
        ingest: IngestOptions { shard_documents: 5, ..IngestOptions::default() },
        seal: SealOptions {
            memory: LEAST_MEMORY,
            seed: 42,
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
            fields: BTreeMap::from([
                given("year", FieldType::Integer),
                given("topic", FieldType::Keyword),
                given("tags", FieldType::Any),
                given("seen", FieldType::Date),
                given("note", FieldType::Stored),
            ]),
            ..SealOptions::default()
        },
    };
    let encoder = EncoderSetup {
        encoder: &Words,
        identity: json!({"name": "words", "purpose": "golden"}),
        tokens: TOKENS.map(|token| token.0.to_owned()).to_vec(),
        tokenizer: Some(b"{\"tokenizer\": true}\n".to_vec()),
        query_table: Some(b"{\"rock\": 1.5}\n".to_vec()),
        passages: Some(Passages { splitter: &Sentences, tokens: 5, overlap: 0 }),
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
    add_tokens(&out, &tokens, TokenInput::Encoder(&Rows), &|_| {})?;
    delete(&out, ["d03", "d14"])?;
    add_golden_dense(&out)?;
    let words = AddOptions {
        impact: false,
        words: true,
        seismic: None,
        clusters: None,
        memory: LEAST_MEMORY,
    };
    add_lists(&out, &words, &|_| {})?;
    add_golden_graph(&out)?;
    add_golden_versions(&out)?;
    let manifest = read_current(&out)?.0;
    store_calibration(&out, &manifest, &[Some(calibration())])?;
    Ok(())
}

/// A vector of four dimensions for each document, but for two: shares of the id's bytes.
fn add_golden_dense(out: &Path) -> Result<u64, Box<dyn std::error::Error>> {
    let options = AddDenseOptions {
        storage: DenseStorage::Int8,
        replace: false,
        source: json!("golden"),
        model_from: None,
    };
    let mut read = |id: &str| {
        let values = (0..4u8).map(|at| {
            let sum: u32 = id.bytes().map(|byte| u32::from(byte ^ (at * 37))).sum();
            f32::from(u16::try_from(sum).unwrap_or(u16::MAX)) / 256.0 - f32::from(at) / 2.0
        });
        let vector = DenseVector::new(values.collect()).map_err(|e| BuildError::Input(e.into()))?;
        Ok((!["d05", "d12"].contains(&id)).then_some(vector))
    };
    Ok(add_dense(out, &options, DenseInput::Rows(4, &mut read), &|_| {})?)
}

/// Row after row 100, 101 and so on, as of changes of a server.
fn add_golden_versions(out: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut writer = FolderWriter::open(out)?;
    let mut manifest = read_current(out)?.0;
    for segment in &mut manifest.segments {
        let name = names::part(segment.id, versions::KIND);
        let rows: Vec<u64> = (100..100 + segment.rows).collect();
        let written = versions::write(&writer.storage().path(&name), &rows)?;
        let part = PartEntry::new(versions::KIND, versions::VERSION, &name, written, false);
        segment.parts.push(part);
    }
    writer.commit(manifest)?;
    Ok(writer.collect()?)
}

/// A ring: each row with a vector has the next such row, and the one before.
fn add_golden_graph(out: &Path) -> Result<(), BuildError> {
    let make = |segment: &Segment, _, _, _: &(dyn Fn(usize) + Sync)| {
        let dense = segment.dense()?;
        let count = u32::try_from(segment.documents().len()).unwrap_or(0);
        let some: Vec<u32> = (0..count).filter(|row| dense.has(DocId(*row))).collect();
        let mut rows = vec![NONE; 2 * count as usize];
        for (at, row) in some.iter().enumerate() {
            let place = 2 * *row as usize;
            rows[place] = some[(at + 1) % some.len()];
            rows[place + 1] = some[(at + some.len() - 1) % some.len()];
        }
        let entries = some.iter().copied().take(2).collect();
        let measured = vec![MeasuredBeam { k: 10, beam: 12, overlap: 0.875, scored: 14.5 }];
        Some(NewGraph { graph: NeighbourGraph { degree: 2, rows, entries }, measured })
    };
    let params = NeighbourParams { degree: 2, beam: 8 };
    add_neighbours(out, MakeGraphs { params, replace: false, make: &make }, &|_| {})?;
    Ok(())
}

fn calibration() -> Calibration {
    let work = Work { terms: 2.0, postings: 8.0, documents: 4.0, blocks: 1.0 };
    let each = Work { terms: 0.5, postings: 0.25, documents: 0.125, blocks: 1.0 };
    let point = |setting, overlap, micros| Point { setting, overlap, micros, work: Some(work) };
    let curve = |method: &str, points| Curve {
        method: method.into(),
        k: 10,
        query_terms: 2.0,
        even_terms: Some(1.5),
        points,
    };
    let knobs = |postings| Setting {
        postings: Some(postings),
        candidates: Some(10),
        kept: Some(0.5),
        ..Setting::default()
    };
    Calibration {
        source: "golden".into(),
        queries: 4,
        kernels: "scalar".into(),
        units: vec![Units { method: "impact".into(), query: 1.0, each }],
        curves: vec![
            curve("impact", vec![point(knobs(8), 0.875, 5.5), point(knobs(16), 1.0, 6.25)]),
            curve("exact", vec![point(Setting::default(), 1.0, 50.0)]),
        ],
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
