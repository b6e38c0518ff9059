//! The committed index of format 1 opens and holds what `indexer/examples/make_golden.rs` put in.
//! When this fails, a change broke the format: indexes written before would be read wrongly.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "a test fails by it")]

mod golden_copy;

use golden_copy::golden;
use quarry_index::forward::{LevelWidth, Quantization, TermWidth};
use quarry_index::text::StoredDocument;
use quarry_index::{Index, QUERY_TABLE, Segment, TOKENIZER, Verify};
use quarry_vectors::{DocId, TermId};
use serde_json::{Value, json};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, TERMINATED, Term};

const IDS: [&str; 12] =
    ["d01", "d02", "d03", "d04", "d05", "d06", "d07", "d08", "ü-09", "d10", "d11", "d12"];
const TOKENS: [&str; 17] = [
    "marble",
    "rock",
    "metamorphic",
    "carbonate",
    "granite",
    "igneous",
    "quartz",
    "slate",
    "basalt",
    "limestone",
    "chalk",
    "gneiss",
    "shale",
    "öl",
    "pumice",
    "glass",
    "obsidian",
];

fn open() -> Index {
    Index::open(&golden(), Verify::Full).unwrap()
}

fn only_segment(index: &Index) -> &Segment {
    assert_eq!(index.segments().len(), 1);
    &index.segments()[0]
}

/// Of every list, each posting once, in a band whose levels fit; and the table as it was stored.
#[test]
fn impact_lists_and_calibration() {
    let index = open();
    let segment = only_segment(&index);
    let lists = segment.impact().unwrap();
    let view = lists.view().unwrap();
    let forward = segment.forward().unwrap();
    let (mut postings, mut components) = (0, 0);
    for doc in 0..12 {
        components += forward.record(DocId(doc)).len();
    }
    for term in 0..17 {
        let directory = view.directory(TermId(term)).unwrap();
        let found = quarry_index::impact::decode(view.meta(), view.postings(TermId(term)));
        assert_eq!(found.len(), directory.len() as usize);
        postings += found.len();
        for (doc, band) in found {
            let level = forward.record(DocId(doc)).iter().find(|c| c.0 == term).unwrap().1;
            let below = if band == 15 { 0 } else { directory.high(usize::from(band) + 1) };
            assert!(level <= directory.high(usize::from(band)) && level > below, "{term} {doc}");
        }
    }
    assert_eq!(postings, components);
    let table = segment.calibration().unwrap();
    assert_eq!((table.source.as_str(), table.queries), ("golden", 4));
    assert_eq!((table.curves[0].k, table.curves[0].points.len()), (10, 2));
    assert_eq!(table.curves[0].points[1].setting.postings, Some(2000));
}

#[test]
fn manifest_and_assets() {
    let index = open();
    let manifest = index.manifest();
    assert_eq!((manifest.format, manifest.generation, manifest.seed), (1, 3, 42));
    assert_eq!(manifest.uuid.to_string(), "71ba6bf5-076c-45c4-8537-959e3965869d");
    assert_eq!(manifest.written_by, "quarry 0.1.0");
    assert_eq!(manifest.documents(), 12);
    assert_eq!(manifest.build["purpose"], "golden index of format 1");
    assert_eq!(manifest.encoders["sparse"]["name"], "none");
    assert_eq!(index.asset(TOKENIZER), Some(b"{\"tokenizer\": true}\n".as_slice()));
    assert_eq!(index.asset(QUERY_TABLE), Some(b"{\"rock\": 1.5}\n".as_slice()));
    assert_eq!(index.asset("lexicon"), None);
    assert!(index.has_sparse() && index.has_text());
}

#[test]
fn rows_and_ids() {
    let index = open();
    let documents = only_segment(&index).documents();
    assert_eq!(documents.len(), IDS.len());
    for (row, id) in (0..).zip(IDS) {
        assert_eq!(documents.id(DocId(row)), id);
        assert_eq!(documents.find(id).collect::<Vec<_>>(), [DocId(row)]);
        assert_eq!(documents.passage(DocId(row)), None);
    }
    assert_eq!(documents.find("d1").count(), 0);
    assert_eq!(documents.find("").count(), 0);
}

#[test]
fn lexicon() {
    let index = open();
    let lexicon = index.lexicon().unwrap();
    assert_eq!(lexicon.len(), 17);
    assert!(lexicon.is_named());
    for (term, token) in (0..).zip(TOKENS) {
        assert_eq!(lexicon.token(TermId(term)), token);
        assert_eq!(lexicon.term(token), Some(TermId(term)));
    }
    assert_eq!(lexicon.term("Rock"), None);
}

#[test]
fn vectors_to_the_bit() {
    let index = open();
    let forward = only_segment(&index).forward().unwrap();
    let meta = forward.meta();
    assert_eq!((meta.dimension, meta.terms, meta.components), (17, TermWidth::U16, 34));
    assert_eq!(
        meta.quantization,
        Quantization { levels: LevelWidth::U8, scale: 0.25, lossless: true }
    );
    assert_eq!((meta.max_error, meta.mean_square_error), (0.0, 0.0));
    let want: [&[(u32, u16)]; 12] = [
        &[(0, 10), (1, 5), (2, 8), (3, 4)],
        &[(1, 5), (4, 10), (5, 8), (6, 3)],
        &[(1, 4), (2, 6), (7, 9)],
        &[(1, 5), (5, 7), (8, 10)],
        &[],
        &[(1, 4), (3, 6), (9, 8)],
        &[(1, 2), (3, 6), (9, 4), (10, 8)],
        &[(1, 4), (2, 7), (6, 2), (11, 9)],
        &[(12, 6), (13, 1)],
        &[(14, 8), (15, 4)],
        &[(14, 8), (15, 4)],
        &[(5, 4), (15, 8), (16, 255)],
    ];
    for (row, components) in (0..).zip(want) {
        assert_eq!(forward.record(DocId(row)).iter().collect::<Vec<_>>(), components, "row {row}");
        let vector = forward.vector(DocId(row)).unwrap();
        let weights: Vec<f32> = components.iter().map(|c| f32::from(c.1) * 0.25).collect();
        assert_eq!(vector.weights(), weights, "row {row}");
    }
}

/// Term, documents, summary terms, summary levels of every block.
type Block = (u32, &'static [u32], &'static [u16], &'static [u8]);

const BLOCKS: [Block; 24] = [
    (0, &[0], &[0, 1, 2], &[255, 128, 204]),
    (1, &[3], &[5, 8], &[179, 255]),
    (1, &[0, 2, 7], &[0, 2, 7, 11], &[255, 204, 230, 230]),
    (1, &[5, 6], &[3, 9, 10], &[192, 255, 255]),
    (1, &[1], &[1, 4, 5], &[128, 255, 204]),
    (2, &[0, 7], &[0, 1, 2, 11], &[255, 128, 204, 230]),
    (2, &[2], &[2, 7], &[170, 255]),
    (3, &[6], &[3, 9, 10], &[192, 128, 255]),
    (3, &[0, 5], &[0, 2, 3, 9], &[255, 204, 153, 204]),
    (4, &[1], &[1, 4, 5], &[128, 255, 204]),
    (5, &[11], &[16], &[255]),
    (5, &[1, 3], &[4, 5, 8], &[255, 204, 255]),
    (6, &[1, 7], &[2, 4, 5, 11], &[179, 255, 204, 230]),
    (7, &[2], &[2, 7], &[170, 255]),
    (8, &[3], &[5, 8], &[179, 255]),
    (9, &[5, 6], &[3, 9, 10], &[192, 255, 255]),
    (10, &[6], &[3, 9, 10], &[192, 128, 255]),
    (11, &[7], &[1, 2, 11], &[114, 199, 255]),
    (12, &[8], &[12], &[255]),
    (13, &[8], &[12], &[255]),
    (14, &[9, 10], &[14, 15], &[255, 128]),
    (15, &[9, 10], &[14, 15], &[255, 128]),
    (15, &[11], &[16], &[255]),
    (16, &[11], &[16], &[255]),
];

#[test]
fn blocked_lists() {
    let index = open();
    let lists = only_segment(&index).seismic().unwrap();
    let meta = lists.meta();
    assert_eq!((meta.lists, meta.blocks, meta.postings), (17, 24, 34));
    assert_eq!((meta.seed, meta.params.n_postings, meta.params.summary_energy), (42, 4, 0.75));
    let view = lists.view().unwrap();
    let mut want = BLOCKS.iter();
    for term in 0..17 {
        for (block, summary) in view.blocks(TermId(term)).zip(view.decode(TermId(term))) {
            let &(list, docs, terms, levels) = want.next().unwrap();
            assert_eq!((list, docs), (term, view.docs(block)));
            let components = terms.iter().map(|t| u32::from(*t)).zip(levels.iter().copied());
            assert_eq!(summary, components.collect::<Vec<_>>());
        }
    }
    assert!(want.next().is_none());
    assert_eq!(view.scale(10), 1.0);
    assert_eq!(view.scale(0), 10.0 / 255.0);
    assert!(view.blocks(TermId(17)).is_empty());
}

#[test]
fn stored_documents() {
    let index = open();
    let text = only_segment(&index).text().unwrap();
    let stored = |row| text.stored(DocId(row)).unwrap();
    let fields = |value: Value| value.as_object().unwrap().clone();
    assert_eq!(
        stored(0),
        StoredDocument {
            title: "Marble".into(),
            text: "Marble is a metamorphic rock of recrystallised carbonate minerals.".into(),
            fields: fields(json!({"url": "https://example.org/marble", "year": 1998})),
        }
    );
    assert_eq!(stored(3), StoredDocument { title: "Basalt".into(), ..StoredDocument::default() });
    assert_eq!(stored(5), StoredDocument::default());
    assert_eq!(
        stored(6).fields,
        fields(json!({
            "tags": ["soft", "white", null, true, -1.5],
            "place": {"cliff": "Dover"},
        }))
    );
    assert_eq!(stored(7).fields["note"], "tabs\tand \"quotes\"");
    assert_eq!(stored(8).text, "Ölschiefer heißt auf Englisch oil shale.");
    assert_eq!(stored(11).text.len(), 28 * 40);
    assert!(text.stored(DocId(12)).is_err());
}

#[test]
fn postings_of_words() {
    let index = open();
    let text = only_segment(&index).text().unwrap();
    let field = text.fields().contents;
    let inverted = text.reader().inverted_index(field).unwrap();
    let postings = |word: &str| {
        let term = Term::from_field_text(field, word);
        let mut found = Vec::new();
        if let Some(mut list) = inverted.read_postings(&term, IndexRecordOption::WithFreqs).unwrap()
        {
            use tantivy::postings::Postings;
            while list.doc() != TERMINATED {
                found.push((list.doc(), list.term_freq()));
                list.advance();
            }
        }
        found
    };
    assert_eq!(postings("rock"), [(0, 1), (1, 1), (2, 1), (4, 1), (7, 2)]);
    assert_eq!(postings("marbl"), [(0, 2)]);
    assert_eq!(postings("pumic"), [(9, 2), (10, 2)]);
    assert_eq!(postings("obsidian"), [(11, 41)]);
    assert_eq!(postings("the"), []);
}
