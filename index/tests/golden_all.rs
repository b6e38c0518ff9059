//! The committed index with every kind of part (`indexer/examples/make_golden_all.rs`): each is there, and
//! says what it said when it was written.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use quarry_index::{Index, KINDS, QUERY_TABLE, TOKENIZER, Verify};
use quarry_vectors::{DocId, TermId};

fn open() -> Index {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden-all");
    Index::open(&folder, Verify::Full).unwrap()
}

#[test]
fn every_kind_is_there() {
    let index = open();
    for (kind, version) in KINDS {
        let part = index.manifest().parts().find(|part| part.kind == kind);
        let part = part.unwrap_or_else(|| panic!("the golden index has no {kind}"));
        assert_eq!(part.version, version, "{kind}: make the golden index again");
    }
    assert!(index.asset(TOKENIZER).is_some() && index.asset(QUERY_TABLE).is_some());
    assert!(index.has_sparse() && index.has_text() && index.has_tokens());
}

/// What each part says, in words.
fn said(index: &Index) -> BTreeMap<&'static str, String> {
    let mut out: BTreeMap<&str, String> = BTreeMap::new();
    let mut say = |kind: &'static str, words: String| {
        writeln!(out.entry(kind).or_default(), "{words}").unwrap();
    };
    let lexicon = index.lexicon().unwrap();
    for term in 0..lexicon.len() {
        say("lexicon", lexicon.token(TermId(term)));
    }
    let [segment] = index.segments() else { panic!("one segment") };
    let deleted: Vec<u32> = segment.deleted().unwrap().iter().collect();
    say("deleted", format!("{deleted:?}"));
    say("calibration", serde_json::to_string(segment.calibration().unwrap()).unwrap());
    let (forward, tokens) = (segment.forward().unwrap(), segment.tokens().unwrap());
    let provenance = segment.provenance().unwrap();
    for row in (0..u32::try_from(segment.documents().len()).unwrap()).map(DocId) {
        say("documents", segment.documents().id(row).to_owned());
        let vector = forward.vector(row);
        say("forward", format!("{:?} {:?}", vector.terms(), vector.weights()));
        let stored = segment.text().unwrap().stored(row).unwrap();
        say("text", serde_json::to_string(&stored).unwrap());
        let origins = provenance.origins(row, vector.len()).unwrap();
        say("provenance", format!("{origins:?}"));
        say("tokens", format!("{:?} {:?}", tokens.rows(row), tokens.document(row).unwrap()));
    }
    let (int8, signs) = (tokens.int8().unwrap(), tokens.signs().unwrap());
    say("tokens", format!("{:?} {:?} {:?}", int8.rows, int8.scales, int8.errors));
    say("tokens", format!("{:?} {:?}", signs.rows, signs.scales));
    let residual = tokens.residual().unwrap();
    say("tokens", format!("{:?} {:?} {:?}", residual.rows, residual.scales, residual.centroid));
    say("tokens", format!("{:?} {:?}", residual.centroids, residual.levels));
    let clusters = segment.clusters().unwrap();
    say("clusters", format!("{:?}", clusters.runs().unwrap().ends()));
    for (kind, lists) in [("impact", segment.impact().unwrap()), ("clusters", clusters.summaries())]
    {
        let view = lists.view().unwrap();
        for term in (0..lists.meta().lists).map(TermId) {
            let directory = view.directory(term).unwrap();
            let bands: Vec<_> =
                (0..16).map(|band| (directory.high(band), directory.typical(band))).collect();
            let postings = quarry_index::impact::decode(view.meta(), view.postings(term));
            say(kind, format!("{term:?} {postings:?} {bands:?}"));
        }
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

#[test]
fn every_part_says_what_it_said() {
    let said = said(&open());
    assert_eq!(said.len(), KINDS.len());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden-all.txt");
    let mut all = String::new();
    for (kind, words) in &said {
        write!(all, "== {kind}\n{words}").unwrap();
    }
    if std::env::var_os("GOLDEN_WRITE").is_some() {
        std::fs::write(&path, &all).unwrap();
    }
    let want = std::fs::read_to_string(&path).unwrap();
    for (line, (found, want)) in (1..).zip(all.lines().zip(want.lines())) {
        assert_eq!(found, want, "line {line} of {}", path.display());
    }
    assert_eq!(all.lines().count(), want.lines().count());
}
