//! Writes the golden index of the format: `index/testdata/golden-v1`, or the folder given. Run once
//! per version of the format; its output is committed and never written again.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use quarry_index::calibration::{Calibration, Curve, Point, Setting};
use quarry_index::folder::{FolderWriter, Mark};
use quarry_index::seismic::SeismicParams;
use quarry_index::{QUERY_TABLE, TOKENIZER};
use quarry_indexer::{
    BuildOptions, IngestOptions, LEAST_MEMORY, Lists, SealOptions, build, store_calibration,
};
use quarry_vectors::{Document, InputVector};
use serde_json::{Map, Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../index/testdata/golden-v1");
    let out = std::env::args_os().nth(1).map_or(default, PathBuf::from);
    let options = BuildOptions {
        out: out.clone(),
        description: object(json!({"purpose": "golden index of format 1"})),
        source: json!("indexer/examples/make_golden.rs"),
        ingest: IngestOptions { shard_documents: 5, ..IngestOptions::default() },
        seal: SealOptions {
            memory: LEAST_MEMORY,
            seed: 42,
            lists: Lists::These { impact: true, seismic: true, clusters: false },
            seismic: SeismicParams {
                n_postings: 4,
                max_fraction: 2.0,
                min_per_document: 2,
                centroid_fraction: 0.5,
                min_cluster_size: 0,
                document_cut: 4,
                summary_energy: 0.75,
            },
            ..SealOptions::default()
        },
        ..BuildOptions::default()
    };
    build(documents().into_iter().map(Ok::<_, Infallible>), None, &options, &|_| {})?;
    // A second generation adds the files of a model that a build keeps.
    let mut folder = FolderWriter::create(&out, &|_| Mark::Nothing)?;
    let mut manifest = folder.current().cloned().ok_or("nothing was committed")?;
    manifest.encoders = object(json!({"sparse": {"name": "none", "purpose": "golden"}}));
    let id = manifest.segments[0].id.simple();
    for (kind, text) in [(TOKENIZER, "{\"tokenizer\": true}\n"), (QUERY_TABLE, "{\"rock\": 1.5}\n")]
    {
        let name = format!("{id}-{kind}.json");
        manifest.assets.push(folder.write_asset(kind, &name, text.as_bytes(), true)?);
    }
    let manifest = folder.commit(manifest)?.clone();
    folder.collect()?;
    drop(folder);
    // A third generation adds a calibration table.
    let point = |postings, overlap, micros| Point {
        setting: Setting { postings: Some(postings), candidates: Some(100), ..Setting::default() },
        overlap,
        micros,
        work: None,
    };
    let curve = Curve {
        method: "impact".into(),
        k: 10,
        query_terms: 6.5,
        even_terms: None,
        points: vec![point(1000, 0.875, 12.5), point(2000, 0.9375, 25.0)],
    };
    let table = Calibration {
        source: "golden".into(),
        queries: 4,
        kernels: "scalar".into(),
        units: Vec::new(),
        curves: vec![curve],
    };
    store_calibration(&out, &manifest, &[Some(table)])?;
    Ok(())
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn document(id: &str, title: &str, text: &str, fields: Value, vector: &[(&str, f32)]) -> Document {
    Document {
        id: id.to_owned(),
        title: title.to_owned(),
        text: text.to_owned(),
        fields: object(fields),
        vector: Some(InputVector::Tokens(
            vector.iter().map(|(token, weight)| ((*token).to_owned(), *weight)).collect(),
        )),
        numbered: false,
        line: 0,
    }
}

/// Weights are whole multiples of 0.25, so one-byte levels are lossless.
fn documents() -> Vec<Document> {
    let mut documents = vec![
        document(
            "d01",
            "Marble",
            "Marble is a metamorphic rock of recrystallised carbonate minerals.",
            json!({"url": "https://example.org/marble", "year": 1998}),
            &[("marble", 2.5), ("rock", 1.25), ("metamorphic", 2.0), ("carbonate", 1.0)],
        ),
        document(
            "d02",
            "Granite",
            "Granite is a coarse-grained igneous rock of quartz and feldspar.",
            json!({"url": "https://example.org/granite", "weight": 0.1}),
            &[("granite", 2.5), ("rock", 1.25), ("igneous", 2.0), ("quartz", 0.75)],
        ),
        document(
            "d03",
            "",
            "Slate splits into thin plates; it is a metamorphic rock.",
            json!({}),
            &[("slate", 2.25), ("rock", 1.0), ("metamorphic", 1.5)],
        ),
        document(
            "d04",
            "Basalt",
            "",
            json!({}),
            &[("basalt", 2.5), ("rock", 1.25), ("igneous", 1.75)],
        ),
        document("d05", "", "An empty vector: only words find this rock.", json!({}), &[]),
        document(
            "d06",
            "",
            "",
            json!({}),
            &[("limestone", 2.0), ("rock", 1.0), ("carbonate", 1.5)],
        ),
        document(
            "d07",
            "Chalk",
            "Chalk is a soft limestone.",
            json!({"tags": ["soft", "white", null, true, -1.5], "place": {"cliff": "Dover"}}),
            &[("chalk", 2.0), ("carbonate", 1.5), ("rock", 0.5), ("limestone", 1.0)],
        ),
        document(
            "d08",
            "Gneiss",
            "Gneiss is a banded rock, a rock of bands.",
            json!({"note": "tabs\tand \"quotes\""}),
            &[("gneiss", 2.25), ("metamorphic", 1.75), ("rock", 1.0), ("quartz", 0.5)],
        ),
        document(
            "\u{fc}-09",
            "\u{d6}lschiefer",
            "\u{d6}lschiefer hei\u{df}t auf Englisch oil shale.",
            json!({"sprache": "Deutsch"}),
            &[("shale", 1.5), ("\u{f6}l", 0.25)],
        ),
        document("d10", "Pumice", "Pumice floats.", json!({}), &[("pumice", 2.0), ("glass", 1.0)]),
        document("d11", "Pumice", "Pumice floats.", json!({}), &[("pumice", 2.0), ("glass", 1.0)]),
        document(
            "d12",
            "Obsidian",
            &"Obsidian is volcanic glass. ".repeat(40),
            json!({}),
            &[("obsidian", 63.75), ("glass", 2.0), ("igneous", 1.0)],
        ),
    ];
    for (line, document) in (1..).zip(&mut documents) {
        document.line = line;
    }
    documents
}
