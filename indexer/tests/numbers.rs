//! Numbers in place of names: documents that only have a position in a file, and terms given by number.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

mod collection;

use std::io;
use std::path::Path;

use collection::{build_all, document, open, options, with_terms, with_tokens};
use quarry_index::lexicon::{DIRECT, SpreadNumbers};
use quarry_index::{Index, IndexError};
use quarry_indexer::{
    AddReport, Adding, BuildError, BuildOptions, JoinOptions, Merge, Share, add, build_share,
    delete, join, merge,
};
use quarry_vectors::{DocId, Document, TermId};
use tempfile::tempdir;

/// Documents of a file without ids.
fn numbered(count: u64) -> Vec<Document> {
    let of = |n: u64| {
        let vector = [(1, f32::from(u8::try_from(n).unwrap()) + 1.0)];
        Document { numbered: true, ..with_terms(document(&n.to_string(), n), &vector) }
    };
    (0..count).map(of).collect()
}

fn added(documents: Vec<Document>, options: &BuildOptions) -> Result<AddReport, BuildError> {
    add(documents.into_iter().map(Ok::<_, io::Error>), None, &Adding::new(options), &|_| {})
}

/// Ids that are not deleted, in order.
fn ids(folder: &Path) -> Vec<String> {
    let index = open(folder);
    let mut ids = Vec::new();
    for segment in index.segments() {
        let rows = u32::try_from(segment.documents().len()).unwrap();
        let live = |row: &u32| segment.deleted().is_none_or(|gone| !gone.contains(*row));
        ids.extend((0..rows).filter(live).map(|row| segment.documents().id(DocId(row)).to_owned()));
    }
    ids
}

#[test]
fn documents_without_ids_replace_none() {
    let out = tempdir().unwrap();
    let options = options(out.path());
    build_all(numbered(5), None, &options).unwrap();
    let report = added(numbered(3), &options).unwrap();
    assert_eq!((report.added, report.replaced, report.numbered_from), (3, 0, Some(5)));
    assert_eq!(ids(out.path()), ["0", "1", "2", "3", "4", "5", "6", "7"]);
    // A deleted number is not assigned again while its row exists, nor is the highest one.
    delete(out.path(), ["7", "2"]).unwrap();
    assert_eq!(added(numbered(1), &options).unwrap().numbered_from, Some(8));
    merge(out.path(), Merge::All, options.seal.memory, &|_| {}).unwrap().unwrap();
    assert_eq!(added(numbered(2), &options).unwrap().numbered_from, Some(9));
    assert_eq!(ids(out.path()).len(), 9);
    // A number given as an id is an id, and replaces.
    let named = vec![with_terms(document("0", 1), &[(1, 9.0)])];
    let report = added(named, &options).unwrap();
    assert_eq!((report.replaced, report.numbered_from), (1, None));
}

#[test]
fn documents_without_ids_are_refused_if_ids_are_names() {
    for id in ["a", "007", "-1", "18446744073709551616", "18446744073709551615"] {
        let out = tempdir().unwrap();
        let options = options(out.path());
        build_all(vec![with_terms(document(id, 1), &[(1, 1.0)])], None, &options).unwrap();
        let error = added(numbered(1), &options).unwrap_err().to_string();
        assert!(error.contains(&format!("`{id}`")) && error.contains("--doc-ids"), "{error}");
        assert_eq!(ids(out.path()), [id]);
    }
}

#[test]
fn numbers_are_refused_among_names_without_a_vocabulary() {
    let out = tempdir().unwrap();
    let plain = options(out.path());
    let named = vec![with_tokens(document("a", 1), &[("sea", 1.0), ("rock", 2.0)])];
    build_all(named, None, &plain).unwrap();
    let index = open(out.path());
    assert!(!index.takes_numbers());
    assert!(matches!(index.term_of_number(0), Err(IndexError::NamedTerms { number: 0, .. })));
    drop(index);
    let numbers = || vec![with_terms(document("b", 1), &[(0, 1.0), (2, 3.0)])];
    let error = added(numbers(), &plain).unwrap_err().to_string();
    assert!(error.contains("--vocab"), "{error}");

    let vocabulary = Some(["rock", "x", "wave"].map(str::to_owned).to_vec());
    let mut with = plain.clone();
    with.ingest.vocabulary = vocabulary;
    added(numbers(), &with).unwrap();
    let index = open(out.path());
    let lexicon = index.lexicon().unwrap();
    let tokens: Vec<String> = (0..lexicon.len()).map(|t| lexicon.token(TermId(t))).collect();
    assert_eq!(tokens, ["sea", "rock", "wave"]);
    assert_eq!(vector(&index, 1, 0), [(1, 1.0), (2, 3.0)]);
    drop(index);
    let beyond = vec![with_terms(document("c", 1), &[(3, 1.0)])];
    let error = added(beyond, &with).unwrap_err().to_string();
    assert!(error.contains("beyond the vocabulary of 3"), "{error}");
}

#[test]
fn the_vocabulary_of_the_index_names_numbers() {
    let out = tempdir().unwrap();
    let plain = options(out.path());
    let vocabulary = Some(["x", "y", "z"].map(str::to_owned).to_vec());
    let mut with = plain.clone();
    with.ingest.vocabulary = vocabulary;
    build_all(vec![with_terms(document("a", 1), &[(1, 1.0)])], None, &with).unwrap();
    assert_eq!(open(out.path()).term_of_number(2).unwrap(), Some(TermId(2)));
    added(vec![with_terms(document("b", 1), &[(2, 1.0)])], &plain).unwrap();
    added(vec![with_tokens(document("c", 1), &[("z", 1.0)])], &plain).unwrap();
    let index = open(out.path());
    assert_eq!(vector(&index, 1, 0), vector(&index, 2, 0));
    drop(index);
    // A name that is not in the vocabulary gets a term, but no number.
    added(vec![with_tokens(document("d", 1), &[("late", 1.0)])], &plain).unwrap();
    let index = open(out.path());
    assert_eq!((index.places(), index.lexicon().unwrap().len()), (3, 4));
    assert_eq!(index.term_of_number(2).unwrap(), Some(TermId(2)));
    assert_eq!(index.term_of_number(3).unwrap(), None);
    drop(index);
    let error = added(vec![with_terms(document("e", 1), &[(3, 1.0)])], &plain).unwrap_err();
    assert!(error.to_string().contains("beyond the vocabulary of 3"), "{error}");
}

#[test]
fn names_are_refused_among_numbers() {
    let out = tempdir().unwrap();
    let plain = options(out.path());
    build_all(vec![with_terms(document("a", 1), &[(7, 1.0)])], None, &plain).unwrap();
    let names = vec![with_tokens(document("b", 1), &[("sea", 1.0)])];
    let error = added(names, &plain).unwrap_err().to_string();
    assert!(error.contains("\"sea\"") && error.contains("numbers"), "{error}");
    // Numbers written in digits are numbers, as in queries.
    added(vec![with_tokens(document("b", 1), &[("7", 1.0)])], &plain).unwrap();
    assert_eq!(vector(&open(out.path()), 1, 0), [(7, 1.0)]);
    let mut with = plain;
    with.ingest.vocabulary = Some(vec!["x".to_owned()]);
    let error = added(vec![with_terms(document("c", 1), &[(0, 1.0)])], &with).unwrap_err();
    assert!(error.to_string().contains("leave the vocabulary out"), "{error}");
}

/// Components of a row by term number, as the collection gave them.
fn given(index: &Index, segment: usize, row: u32) -> Vec<(u32, f32)> {
    let lexicon = index.lexicon().unwrap();
    let mut pairs: Vec<(u32, f32)> = vector(index, segment, row)
        .into_iter()
        .map(|(term, weight)| (lexicon.number(TermId(term)), weight))
        .collect();
    pairs.sort_unstable_by_key(|p| p.0);
    pairs
}

fn vector(index: &Index, segment: usize, row: u32) -> Vec<(u32, f32)> {
    index.segments()[segment].forward().unwrap().vector(DocId(row)).unwrap().iter().collect()
}

/// Term numbers that are hashes, up to the largest possible one.
fn hashed(count: u32) -> Vec<Document> {
    let of = |n: u32| {
        let far = [(u32::MAX - n % 40, 1.0), (n.wrapping_mul(0x9e37_79b9) | 1 << 31, 2.0)];
        let pairs = [far.as_slice(), &[(n % 9, 0.5)]].concat();
        with_terms(document(&format!("d{n}"), u64::from(n)), &pairs)
    };
    (0..count).map(of).collect()
}

#[test]
fn large_numbers_take_room_only_for_those_in_use() {
    let out = tempdir().unwrap();
    let plain = options(out.path());
    build_all(hashed(60), None, &plain).unwrap();
    let more = hashed(90).split_off(60);
    added(more, &plain).unwrap();
    let expected: Vec<Vec<(u32, f32)>> = hashed(90)
        .iter()
        .map(|d| match &d.vector {
            Some(quarry_vectors::InputVector::Terms(vector)) => vector.iter().collect(),
            _ => panic!("{d:?}"),
        })
        .collect();
    let check = |segments: &[usize]| {
        let index = open(out.path());
        // 90 numbers of one kind, 40 of the other.
        assert_eq!(index.lexicon().unwrap().len(), DIRECT + 130);
        assert_eq!(index.term_of_number(3).unwrap(), Some(TermId(3)));
        assert_eq!(index.term_of_number(u32::MAX - 40).unwrap(), None);
        assert_eq!(index.lexicon().unwrap().token(TermId(DIRECT)), "2147483648");
        let mut found = Vec::new();
        for segment in segments {
            let rows = u32::try_from(index.segments()[*segment].documents().len()).unwrap();
            found.extend((0..rows).map(|row| given(&index, *segment, row)));
        }
        assert_eq!(found, expected);
    };
    check(&[0, 1]);
    merge(out.path(), Merge::All, plain.seal.memory, &|_| {}).unwrap().unwrap();
    check(&[0]);
}

#[test]
fn large_numbers_join_plain_ones_later() {
    let out = tempdir().unwrap();
    let plain = options(out.path());
    build_all(vec![with_terms(document("a", 1), &[(70_000, 1.0)])], None, &plain).unwrap();
    assert!(open(out.path()).lexicon().unwrap().spread().is_none());
    added(vec![with_terms(document("b", 1), &[(70_001, 1.0), (1 << 30, 2.0)])], &plain).unwrap();
    let index = open(out.path());
    assert_eq!(
        index.lexicon().unwrap().spread(),
        Some(SpreadNumbers { direct: DIRECT, numbers: &[1 << 30] })
    );
    assert_eq!(given(&index, 0, 0), [(70_000, 1.0)]);
    assert_eq!(given(&index, 1, 0), [(70_001, 1.0), (1 << 30, 2.0)]);
}

/// Machines that share a build, and a resumed build, assign the same term ids.
#[test]
fn shares_number_large_terms_as_one_machine_does() {
    let dir = tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    build_all(hashed(90), None, &options(&at("whole"))).unwrap();
    let whole = open(&at("whole"));
    let shares: Vec<_> = ["1/2", "2/2"]
        .iter()
        .map(|share: &&str| {
            let folder = at(&share.replace('/', "-"));
            let share: Share = share.parse().unwrap();
            let documents = hashed(90).into_iter().map(Ok::<_, io::Error>);
            build_share(documents, None, (&options(&folder), share), None, &|_| {}).unwrap();
            folder
        })
        .collect();
    let to = JoinOptions { out: at("joined"), overwrite: false, memory: None };
    join(&shares, &to, &|_| {}).unwrap();
    let joined = open(&at("joined"));
    assert_eq!(whole.lexicon().unwrap().spread(), joined.lexicon().unwrap().spread());
    for row in 0..90 {
        assert_eq!(vector(&whole, 0, row), vector(&joined, 0, row));
    }
}

/// A merge keeps the largest error that the weights had before it.
#[test]
fn a_merge_keeps_the_largest_error() {
    let out = tempdir().unwrap();
    let plain = options(out.path());
    let off = |id: &str, by: f32| {
        let weights: Vec<(u32, f32)> =
            (1..40u8).map(|t| (u32::from(t), f32::from(t) * by)).collect();
        with_terms(document(id, 1), &weights)
    };
    build_all(vec![off("a", 0.031_7), off("b", 1.234_5)], None, &plain).unwrap();
    added(vec![off("c", 0.777_7)], &plain).unwrap();
    let errors = || {
        let index = open(out.path());
        let metas = index.segments().iter().map(|s| s.forward().unwrap().meta().clone());
        metas.fold((0f64, 0f64), |(largest, relative), meta| {
            (largest.max(meta.max_error), relative.max(meta.max_relative_error))
        })
    };
    let before = errors();
    assert!(before.0 > 0.0 && before.1 > 0.0, "{before:?}");
    merge(out.path(), Merge::All, plain.seal.memory, &|_| {}).unwrap().unwrap();
    let after = errors();
    assert!(after.0 >= before.0 && after.1 >= before.1, "{before:?}, {after:?}");
}
