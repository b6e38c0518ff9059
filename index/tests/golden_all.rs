//! The committed index with every kind of part (`indexer/examples/make_golden_all.rs`) opens, and each part
//! says what was put in. When this fails, a change broke the format of that part.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "a test fails by it")]

mod golden_copy;

use std::collections::BTreeMap;
use std::fmt::Write;

use golden_copy::whole;
use quarry_index::dense::DenseStorage;
use quarry_index::doctable::PassageSpan;
use quarry_index::forward::TermWidth;
use quarry_index::neighbours::NeighbourParams;
use quarry_index::tokens::Form;
use quarry_index::{Index, QUERY_TABLE, Segment, TOKENIZER, Verify, kinds};
use quarry_vectors::{DocId, Field, Origin, PooledBy, TermId};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

const TOKENS: [&str; 13] = [
    "[CLS]", "granite", "marble", "slate", "rock", "stone", "ice", "chalk", "öl", "glass", "sand",
    "clay", "iridium",
];

/// A row: id, ordinal of the passage, its bytes in the text (0, 0 of a whole document), words, components.
type Row = (&'static str, u32, [u64; 2], usize, &'static [(u32, f32)]);

const ROWS: [Row; 17] = [
    ("d01", 0, [0, 0], 5, &[(0, 0.25), (1, 5.0), (5, 1.0)]),
    ("d02", 0, [0, 0], 5, &[(0, 0.25), (2, 4.5), (4, 1.25)]),
    ("d03", 0, [0, 0], 1, &[(0, 0.25), (3, 2.0)]),
    ("d04", 0, [0, 0], 4, &[(0, 0.25), (5, 1.0), (6, 1.5)]),
    ("d05", 0, [0, 0], 6, &[(0, 0.25), (5, 1.0), (7, 3.5)]),
    ("d06", 0, [0, 0], 3, &[(0, 0.25), (8, 0.5), (10, 0.75)]),
    ("d07", 0, [0, 0], 0, &[]),
    ("d08", 0, [0, 26], 6, &[(0, 0.25), (5, 1.0), (10, 0.75), (11, 3.0)]),
    ("d08", 1, [26, 39], 4, &[(0, 0.25), (4, 1.25), (6, 1.5), (11, 1.5)]),
    ("d08", 2, [39, 52], 4, &[(0, 0.25), (9, 2.0), (10, 0.75), (11, 1.5)]),
    ("ü-09", 0, [0, 0], 4, &[(0, 0.25), (9, 4.0), (10, 0.75)]),
    ("d10", 0, [0, 0], 5, &[(0, 0.25), (1, 2.5), (3, 2.0), (4, 2.5)]),
    ("d11", 0, [0, 0], 4, &[(0, 0.25), (4, 1.25), (6, 4.5)]),
    ("d12", 0, [0, 0], 4, &[(0, 0.25)]),
    ("d13", 0, [0, 0], 3, &[(0, 0.25), (4, 1.25), (12, 60_000.0)]),
    ("d14", 0, [0, 13], 3, &[(0, 0.25), (6, 1.5), (11, 1.5)]),
    ("d14", 1, [13, 26], 3, &[(0, 0.25), (4, 1.25), (7, 1.75)]),
];

fn open() -> Index {
    Index::open(&whole(), Verify::Full).unwrap()
}

fn only_segment(index: &Index) -> &Segment {
    let [segment] = index.segments() else { panic!("one segment") };
    segment
}

fn rows(segment: &Segment) -> impl Iterator<Item = DocId> + use<> {
    (0..u32::try_from(segment.documents().len()).unwrap()).map(DocId)
}

/// The row of a passage; the segment's order is that of its clusters.
fn row_of(segment: &Segment, id: &str, ordinal: u32) -> DocId {
    let documents = segment.documents();
    let mut found = documents.find(id).filter(|row| match documents.passage(*row) {
        Some(passage) => passage.ordinal == ordinal,
        None => ordinal == 0,
    });
    let row = found.next().unwrap_or_else(|| panic!("no row of {id}, {ordinal}"));
    assert_eq!(found.next(), None, "{id}, {ordinal}");
    row
}

#[test]
fn every_kind_is_there() {
    let index = open();
    for kinds::Kind { name: kind, version, .. } in kinds::all() {
        let part = index.manifest().parts().find(|part| part.kind == kind);
        let part = part.unwrap_or_else(|| panic!("the golden index has no {kind}"));
        // A lexicon is of version 2 only where it has numbers that are not term ids.
        let version = if kind == "lexicon" { 1 } else { version };
        assert_eq!(part.version, version, "{kind}: make the golden index again");
    }
    assert_eq!(index.asset(TOKENIZER), Some(b"{\"tokenizer\": true}\n".as_slice()));
    assert_eq!(index.asset(QUERY_TABLE), Some(b"{\"rock\": 1.5}\n".as_slice()));
    assert!(index.has_sparse() && index.has_text() && index.has_tokens());
}

#[test]
fn manifest() {
    let index = open();
    let manifest = index.manifest();
    assert_eq!((manifest.format, manifest.generation, manifest.seed), (1, 8, 42));
    assert_eq!(manifest.uuid.to_string(), "85472d66-efcf-4781-aba7-1f6af1a4b664");
    // Of 14 documents two are deleted; d08 has three rows, d14 two.
    assert_eq!((manifest.documents(), only_segment(&index).documents().len()), (12, ROWS.len()));
    assert_eq!(manifest.encoders["sparse"]["name"], "words");
    let fields = serde_json::to_value(&manifest.fields).unwrap();
    let want = json!({
        "note": {"given": "stored"}, "seen": {"given": "date"}, "tags": {"given": "any"},
        "topic": {"given": "keyword"}, "year": {"given": "integer"},
        "place": {"seen": "object"}, "place.cliff": {"seen": "string"}, "weight": {"seen": "number"},
    });
    assert_eq!(fields, want);
    let features = index.features();
    assert_eq!(features.tokens.as_ref().unwrap().forms, Form::ALL);
    let dense = features.dense.as_ref().unwrap();
    assert_eq!(
        (dense.dims, dense.storage, &dense.source),
        (4, DenseStorage::Int8, &json!("golden"))
    );
    assert_eq!(features.neighbours, Some(NeighbourParams { degree: 2, beam: 8 }));
    assert!(features.impact);
    assert_eq!(features.clusters.unwrap().size, 3);
    assert_eq!(features.seismic.unwrap().summary_energy, 0.75);
}

#[test]
fn lexicon() {
    let index = open();
    let lexicon = index.lexicon().unwrap();
    assert!(lexicon.is_named() && lexicon.len() == 13);
    for (term, token) in (0..).zip(TOKENS) {
        assert_eq!(lexicon.token(TermId(term)), token);
        assert_eq!(lexicon.term(token), Some(TermId(term)));
    }
    assert_eq!(lexicon.term("Rock"), None);
}

#[test]
fn rows_passages_and_deletions() {
    let index = open();
    let segment = only_segment(&index);
    let documents = segment.documents();
    assert!(documents.has_passages());
    for (id, ordinal, [start, end], ..) in ROWS {
        let row = row_of(segment, id, ordinal);
        assert_eq!(documents.id(row), id);
        assert_eq!(
            documents.passage(row),
            Some(PassageSpan { ordinal, bytes: start..end }),
            "{id}"
        );
        let gone = ["d03", "d14"].contains(&id);
        assert_eq!(segment.deleted().unwrap().contains(row.0), gone, "{id}");
    }
    assert_eq!(segment.deleted().unwrap().len(), 3);
}

#[test]
fn vectors_with_scaled_terms() {
    let index = open();
    let segment = only_segment(&index);
    let forward = segment.forward().unwrap();
    assert_eq!((forward.lexicon_terms(), forward.meta().terms), (13, TermWidth::U16));
    assert!(!forward.scaled().is_empty(), "one weight is far above the others");
    for (id, ordinal, _, _, components) in ROWS {
        let vector = forward.vector(row_of(segment, id, ordinal)).unwrap();
        let found: Vec<(u32, f32)> =
            vector.terms().iter().copied().zip(vector.weights().iter().copied()).collect();
        assert_eq!(found, components, "{id}, {ordinal}");
    }
}

#[test]
fn origins() {
    let index = open();
    let segment = only_segment(&index);
    let provenance = segment.provenance().unwrap();
    assert_eq!(provenance.meta().pooled_by, PooledBy::Sum);
    assert_eq!(provenance.meta().rows, 16);
    let at = |position, field, bytes| Origin { position, place: Some((field, bytes)) };
    let none = Origin::default();
    let cases = [
        ("d01", 0, vec![none.clone(), at(1, Field::Title, 0..7), at(5, Field::Text, 16..21)]),
        ("d06", 0, vec![none.clone(), at(1, Field::Text, 0..3), at(3, Field::Text, 8..12)]),
        (
            "d08",
            2,
            vec![
                none.clone(),
                at(2, Field::Text, 0..5),
                at(4, Field::Text, 9..13),
                at(1, Field::Title, 0..4),
            ],
        ),
        ("d12", 0, vec![none]),
    ];
    for (id, ordinal, want) in cases {
        let row = row_of(segment, id, ordinal);
        let found = provenance.origins(row, want.len()).unwrap();
        assert_eq!(found, Some(want), "{id}, {ordinal}");
    }
    assert_eq!(provenance.origins(row_of(segment, "d07", 0), 0).unwrap(), None);
}

#[test]
fn stored_documents() {
    let index = open();
    let segment = only_segment(&index);
    let text = segment.text().unwrap();
    let stored = |id, ordinal| {
        serde_json::to_value(text.stored(row_of(segment, id, ordinal)).unwrap()).unwrap()
    };
    assert_eq!(
        stored("d01", 0),
        json!({
            "title": "granite", "text": "granite is hard stone",
            "fields": {"year": 1998, "topic": "stone"},
        })
    );
    assert_eq!(stored("d05", 0)["fields"], json!({"tags": ["soft", "white", null, true, -1.5]}));
    assert_eq!(stored("d08", 1)["text"], "ice on rock. ");
    assert_eq!(stored("ü-09", 0)["fields"]["note"], "tabs\tand \"quotes\"");
    assert_eq!(stored("d07", 0), json!({"fields": {"seen": "2024-03-11T00:00:00Z"}}));
}

/// Every word has a row of halves, negative where that bit of its length is set; each form is as near to
/// it as it says.
#[test]
fn token_embeddings_of_every_form() {
    let index = open();
    let segment = only_segment(&index);
    let tokens = segment.tokens().unwrap();
    assert_eq!((tokens.meta().dims, tokens.meta().stride, tokens.meta().pool), (4, 32, 1));
    assert_eq!(tokens.meta().tokens, 64);
    assert_eq!(tokens.documents(), ROWS.len());
    for (id, ordinal, _, words, _) in ROWS {
        let row = row_of(segment, id, ordinal);
        assert_eq!(tokens.rows(row).len(), words, "{id}, {ordinal}");
        let values = tokens.document(row).unwrap();
        assert_eq!(values.len(), words);
    }
    let d04 = tokens.rows(row_of(segment, "d04", 0));
    let fp16 = tokens.fp16().unwrap();
    let (int8, signs) = (tokens.int8().unwrap(), tokens.signs().unwrap());
    let residual = tokens.residual().unwrap();
    // ice is no stone
    for (row, length) in d04.zip([3usize, 2, 2, 5]) {
        for dim in 0..4 {
            let negative = length >> dim & 1 == 1;
            assert_eq!(fp16[32 * row + dim], if negative { 0xb800 } else { 0x3800 });
            let level = int8.rows[32 * row + dim];
            assert_eq!(level, if negative { -127 } else { 127 });
            // A set bit is a sign that is not negative.
            let bit = signs.rows[4 * row + dim / 8] >> (dim % 8) & 1 == 1;
            assert_eq!(bit, !negative, "row {row}, dimension {dim}");
        }
        assert!((int8.scales[row] * 127.0 - 0.5).abs() < 1e-6);
        assert!(signs.scales[row] > 0.0);
        assert!((residual.centroid[row] as usize) < 3);
    }
}

#[test]
fn measurements() {
    let index = open();
    let table = only_segment(&index).calibration().unwrap();
    let setting = json!({"postings": 16, "candidates": 10, "kept": 0.5});
    let work = json!({"terms": 2.0, "postings": 8.0, "documents": 4.0, "blocks": 1.0});
    let found = serde_json::to_value(table).unwrap();
    assert_eq!(found["source"], "golden");
    assert_eq!(
        found["units"],
        json!([{
            "method": "impact", "query": 1.0,
            "each": {"terms": 0.5, "postings": 0.25, "documents": 0.125, "blocks": 1.0},
        }])
    );
    assert_eq!(
        found["curves"][0]["points"][1],
        json!({"setting": setting, "overlap": 1.0, "micros": 6.25, "work": work})
    );
    assert_eq!(found["curves"][1]["method"], "exact");
}

/// Each posting of the forward index stands once in its list, in a band whose levels fit.
#[test]
fn impact_lists() {
    let index = open();
    let segment = only_segment(&index);
    let (forward, lists) = (segment.forward().unwrap(), segment.impact().unwrap());
    let view = lists.view().unwrap();
    let mut found = 0;
    for term in 0..lists.meta().lists {
        let directory = view.directory(TermId(term)).unwrap();
        for (row, band) in quarry_index::impact::decode(view.meta(), view.postings(TermId(term))) {
            let level = forward.record(DocId(row)).iter().find(|c| c.0 == term).unwrap().1;
            let below = if band == 15 { 0 } else { directory.high(usize::from(band) + 1) };
            assert!(level <= directory.high(usize::from(band)) && level > below, "{term} {row}");
            found += 1;
        }
    }
    let all: usize = rows(segment).map(|row| forward.record(row).len()).sum();
    assert_eq!(found, all);
}

/// The clusters cover the rows; a list of their summaries has a cluster only if a row of it has the term.
#[test]
fn clusters() {
    let index = open();
    let segment = only_segment(&index);
    let (forward, clusters) = (segment.forward().unwrap(), segment.clusters().unwrap());
    let runs = clusters.runs().unwrap();
    assert_eq!(runs.ends(), [2, 4, 5, 8, 12, 16, 17]);
    assert_eq!((clusters.meta().params.size, clusters.meta().params.components), (3, 4));
    let view = clusters.summaries().view().unwrap();
    let mut postings = 0;
    for term in 0..clusters.summaries().meta().lists {
        for (cluster, _) in quarry_index::impact::decode(view.meta(), view.postings(TermId(term))) {
            let mut members = runs.rows(cluster).map(DocId);
            assert!(members.any(|row| forward.record(row).iter().any(|c| c.0 == term)));
            postings += 1;
        }
    }
    assert!(postings > 0 && postings <= 4 * runs.ends().len());
}

/// A block's summary has components of its documents only.
#[test]
fn blocked_lists() {
    let index = open();
    let segment = only_segment(&index);
    let (forward, lists) = (segment.forward().unwrap(), segment.seismic().unwrap());
    let view = lists.view().unwrap();
    let mut blocks = 0;
    for term in (0..lists.meta().lists).map(TermId) {
        for (block, summary) in view.blocks(term).zip(view.decode(term)) {
            blocks += 1;
            let mut of_block: Vec<u32> = Vec::new();
            for row in view.docs(block) {
                of_block.extend(forward.record(DocId(*row)).iter().map(|c| c.0));
                assert!(forward.record(DocId(*row)).iter().any(|c| c.0 == term.0));
            }
            assert!(!summary.is_empty());
            assert!(summary.iter().all(|component| of_block.contains(&component.0)), "{term:?}");
        }
    }
    assert_eq!(blocks, lists.meta().blocks);
}

/// All that the parts say, in words.
fn said(index: &Index) -> BTreeMap<&'static str, String> {
    let mut out: BTreeMap<&str, String> = BTreeMap::new();
    let mut say = |kind: &'static str, words: String| {
        writeln!(out.entry(kind).or_default(), "{words}").unwrap();
    };
    let lexicon = index.lexicon().unwrap();
    for term in 0..lexicon.len() {
        say("lexicon", lexicon.token(TermId(term)));
    }
    let segment = only_segment(index);
    say("deleted", format!("{:?}", segment.deleted().unwrap().iter().collect::<Vec<_>>()));
    say("calibration", serde_json::to_string(segment.calibration().unwrap()).unwrap());
    let (forward, tokens) = (segment.forward().unwrap(), segment.tokens().unwrap());
    let provenance = segment.provenance().unwrap();
    let dense = segment.dense().unwrap();
    for row in rows(segment) {
        say("dense", format!("{:?}", dense.vector(row)));
        let documents = segment.documents();
        say("documents", format!("{} {:?}", documents.id(row), documents.passage(row)));
        let record = forward.record(row);
        say("forward", format!("{:?}", record.iter().collect::<Vec<_>>()));
        let stored = segment.text().unwrap().stored(row).unwrap();
        say("text", serde_json::to_string(&stored).unwrap());
        let components = forward.vector(row).unwrap().len();
        say("provenance", format!("{:?}", provenance.origins(row, components).unwrap()));
        say("tokens", format!("{:?} {:?}", tokens.rows(row), tokens.document(row).unwrap()));
    }
    let neighbours = segment.neighbours().unwrap();
    let graph = neighbours.graph().unwrap();
    let measured = &neighbours.meta().measured;
    say("neighbours", format!("{:?} {:?} {measured:?}", graph.rows, graph.entries));
    let (int8, signs) = (tokens.int8().unwrap(), tokens.signs().unwrap());
    say("tokens", format!("{:?} {:?} {:?}", int8.rows, int8.scales, int8.errors));
    say("tokens", format!("{:?} {:?}", signs.rows, signs.scales));
    let residual = tokens.residual().unwrap();
    say("tokens", format!("{:?} {:?} {:?}", residual.rows, residual.scales, residual.centroid));
    say("tokens", format!("{:?} {:?}", residual.centroids, residual.levels));
    let clusters = segment.clusters().unwrap();
    say("clusters", format!("{:?}", clusters.runs().unwrap().ends()));
    let words = segment.words().unwrap();
    say("words", format!("{:?}", words.meta()));
    for (kind, lists) in [
        ("impact", segment.impact().unwrap()),
        ("clusters", clusters.summaries()),
        ("words", words.lists()),
    ] {
        let view = lists.view().unwrap();
        for term in (0..lists.meta().lists).map(TermId) {
            let directory = view.directory(term).unwrap();
            let bands: Vec<_> =
                (0..16).map(|band| (directory.high(band), directory.typical(band))).collect();
            let postings = quarry_index::impact::decode(view.meta(), view.postings(term));
            say(kind, format!("{term:?} {postings:?} {bands:?}"));
        }
    }
    for row in rows(segment) {
        say("versions", segment.version(row).to_string());
    }
    let lists = segment.seismic().unwrap();
    let view = lists.view().unwrap();
    for term in (0..lists.meta().lists).map(TermId) {
        for (block, summary) in view.blocks(term).zip(view.decode(term)) {
            say("seismic", format!("{:?} {summary:?} {}", view.docs(block), view.scale(block)));
        }
    }
    out
}

/// XXH3-64 of what each kind says: nothing that can be read of it changed.
const SAID: [(&str, u64); 15] = [
    ("calibration", 0x3d43_1d1b_117a_9038),
    ("clusters", 0x4d65_5907_e403_2c5e),
    ("deleted", 0x41f1_567c_b1cd_6a34),
    ("dense", 0x5995_dee0_e83e_2975),
    ("documents", 0x23a3_55f7_0623_a582),
    ("forward", 0xe1dc_41fa_406f_54b4),
    ("impact", 0x83b6_df25_37dc_0803),
    ("lexicon", 0x18a1_f699_c688_9863),
    ("neighbours", 0xaa01_728a_484a_7cbe),
    ("provenance", 0x60f9_1860_52e2_3265),
    ("seismic", 0x3655_64f1_df90_05c8),
    ("text", 0x4941_b844_0385_f195),
    ("tokens", 0xae5f_81b0_cfda_4ad4),
    ("versions", 0x3775_bb65_54ad_6a28),
    ("words", 0x94be_9b37_5664_5d36),
];

#[test]
fn every_part_says_what_it_said() {
    let said = said(&open());
    let found: Vec<(&str, u64)> =
        said.iter().map(|(kind, words)| (*kind, xxh3_64(words.as_bytes()))).collect();
    for ((kind, words), want) in said.iter().zip(SAID) {
        assert_eq!((*kind, xxh3_64(words.as_bytes())), want, "{words}\n{found:#x?}");
    }
    assert_eq!(found.len(), kinds::all().count());
}

#[test]
fn versions_of_rows() {
    let index = open();
    let segment = only_segment(&index);
    let found: Vec<u64> = rows(segment).map(|row| segment.version(row)).collect();
    assert_eq!(found, (100..100 + found.len() as u64).collect::<Vec<_>>());
}
