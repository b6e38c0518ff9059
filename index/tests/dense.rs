//! The part `dense`: what is written is read, and lies under a right checksum are refused.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

use std::path::Path;

use half::f16;
use proptest::prelude::*;
use quarry_index::container::PartWriter;
use quarry_index::dense::{
    DenseMeta, DenseOptions, DenseRowError, DenseStorage, DenseStore, DenseWriter, KIND, MOST_DIMS,
    VERSION, alike, reorder,
};
use quarry_index::tokens::OldRow;
use quarry_index::{IndexError, Verify};
use quarry_vectors::{DenseVector, DocId};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

fn written(path: &Path, storage: DenseStorage, dims: usize, rows: &[Option<DenseVector>]) {
    let options = DenseOptions { dims, storage, source: json!({"file": "a.npy"}) };
    let mut writer = DenseWriter::create(path, options).unwrap();
    for row in rows {
        writer.push(row.as_ref()).unwrap();
    }
    writer.finish().unwrap();
}

fn doc(row: usize) -> DocId {
    DocId(u32::try_from(row).unwrap())
}

/// Whether a stored vector is as near to the given one as its form allows.
fn is_near(found: &[f32], given: &[f32], storage: DenseStorage) -> bool {
    let largest = given.iter().fold(0f32, |most, value| most.max(value.abs()));
    let pairs = || found.iter().zip(given);
    match storage {
        DenseStorage::Int8 => pairs().all(|(a, b)| (a - b).abs() <= largest / 253.9),
        DenseStorage::Fp16 => pairs().all(|(a, b)| *a == f16::from_f32(*b).to_f32()),
        DenseStorage::Fp32 => found == given,
    }
}

fn rows(dims: usize) -> impl Strategy<Value = Vec<Option<DenseVector>>> {
    let row = prop::collection::vec(-2f32..2.0, dims);
    let row = prop::option::weighted(0.8, row);
    let rows = prop::collection::vec(row, 0..150);
    rows.prop_map(|rows| {
        rows.into_iter().map(|row| row.and_then(|row| DenseVector::new(row).ok())).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_written_is_read(
        (dims, rows) in prop_oneof![Just(1usize), Just(31), Just(32), Just(70)]
            .prop_flat_map(|dims| (Just(dims), rows(dims))),
        storage in prop::sample::select(&DenseStorage::ALL[..]),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dense.qry");
        written(&path, storage, dims, &rows);
        let store = DenseStore::open(&path, Verify::Full).unwrap();
        let count = rows.iter().flatten().count() as u64;
        let meta = store.meta();
        prop_assert_eq!((meta.dims, meta.storage, meta.vectors), (dims, storage, count));
        prop_assert_eq!(store.documents(), rows.len());
        for (at, row) in rows.iter().enumerate() {
            prop_assert_eq!(store.has(doc(at)), row.is_some());
            match (store.vector(doc(at)), row) {
                (Some(found), Some(given)) => {
                    prop_assert!(is_near(&found, given.values(), storage), "{found:?} {given:?}");
                }
                (found, _) => prop_assert_eq!(found, None),
            }
        }
        prop_assert!(!store.has(doc(rows.len())) && store.vector(doc(rows.len())).is_none());
        if rows.is_empty() {
            return Ok(());
        }
        // In another order, of two segments, bit by bit.
        let order: Vec<OldRow> = picks
            .iter()
            .enumerate()
            .map(|(at, pick)| OldRow { segment: at % 2, doc: doc(pick.index(rows.len())) })
            .collect();
        let other = folder.path().join("again.qry");
        reorder(&[&store, &store], &other, &order).unwrap();
        let again = DenseStore::open(&other, Verify::Full).unwrap();
        for (at, old) in order.iter().enumerate() {
            prop_assert_eq!(again.vector(doc(at)), store.vector(old.doc));
        }
        prop_assert!(alike(&[&store, &again]));
        let beyond = [OldRow { segment: 0, doc: doc(rows.len()) }];
        prop_assert!(reorder(&[&store], &folder.path().join("beyond.qry"), &beyond).is_err());
    }

    /// Whoever computes a checksum over nonsense gets an error or nonsense, but no panic.
    #[test]
    fn damage_does_not_panic(
        rows in rows(33),
        storage in prop::sample::select(&DenseStorage::ALL[..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dense.qry");
        written(&path, storage, 33, &rows);
        let mut bytes = std::fs::read(&path).unwrap();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let end = bytes.len() - 8;
        let checksum = xxh3_64(&bytes[..end]);
        bytes[end..].copy_from_slice(&checksum.to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
        for verify in [Verify::Full, Verify::Envelope] {
            if let Ok(store) = DenseStore::open(&path, verify) {
                for at in 0..store.documents().min(1000) + 1 {
                    let _ = (store.vector(doc(at)), store.has(doc(at)));
                }
            }
        }
    }
}

#[test]
fn other_vectors_are_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let create = |dims, storage, name: &str| {
        let options = DenseOptions { dims, storage, source: json!({"file": name}) };
        DenseWriter::create(&folder.path().join(name), options)
    };
    for dims in [0, MOST_DIMS + 1] {
        let error = create(dims, DenseStorage::Int8, "a").unwrap_err();
        assert!(matches!(error, IndexError::Limit { .. }), "{error}");
    }
    let vector = |values: &[f32]| DenseVector::new(values.to_vec()).unwrap();
    let mut writer = create(2, DenseStorage::Fp16, "b").unwrap();
    let error = writer.push(Some(&vector(&[1.0]))).unwrap_err();
    assert!(matches!(error, DenseRowError::Dims { found: 1, expected: 2 }), "{error}");
    for wrong in [[70_000.0, 0.0], [1e-10, 0.0]] {
        let error = writer.push(Some(&vector(&wrong))).unwrap_err();
        assert!(matches!(error, DenseRowError::Values { .. }), "{error}");
    }
    let mut writer = create(2, DenseStorage::Int8, "c").unwrap();
    assert!(writer.push(Some(&vector(&[1e-38, 0.0]))).is_err());
}

/// A part with these sections, and metadata that may not fit them.
struct Lie {
    meta: serde_json::Value,
    rows: Vec<u8>,
    scale: Option<Vec<f32>>,
    present: Vec<u64>,
    documents: u64,
}

impl Lie {
    /// Three rows of two dimensions, the truth.
    fn truth(storage: &str) -> Self {
        let bytes = match storage {
            "int8" => 1,
            "fp16" => 2,
            _ => 4,
        };
        Self {
            meta: json!({"dims": 2, "stride": 32, "vectors": 2, "storage": storage, "source": "x"}),
            rows: vec![0; 3 * 32 * bytes],
            scale: (storage == "int8").then(|| vec![1.0; 3]),
            present: vec![0b101],
            documents: 3,
        }
    }

    fn open(&self, verify: Verify) -> Result<DenseStore, IndexError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dense.qry");
        let mut part = PartWriter::create(&path, KIND, VERSION).unwrap();
        part.put_section("rows", &self.rows).unwrap();
        if let Some(scale) = &self.scale {
            part.put_section("scale", scale).unwrap();
        }
        part.put_section("present", &self.present).unwrap();
        part.put_json("meta", &self.meta).unwrap();
        part.finish(self.documents).unwrap();
        DenseStore::open(&path, verify)
    }
}

#[test]
fn lies_are_refused() {
    for storage in ["int8", "fp16", "fp32"] {
        let truth = || Lie::truth(storage);
        truth().open(Verify::Full).unwrap();
        let with = |key: &str, value: serde_json::Value| {
            let mut lie = truth();
            lie.meta[key] = value;
            lie
        };
        let wide = i64::MAX;
        let mut lies = vec![
            with("dims", json!(0)),
            with("dims", json!(33)),
            with("dims", json!(wide)),
            with("stride", json!(64)),
            with("stride", json!(0)),
            with("vectors", json!(3)),
            with("vectors", json!(u64::MAX)),
            with("storage", json!("fp8")),
            Lie { rows: vec![0; 3 * 32 - 1], ..truth() },
            Lie { rows: vec![0; 4 * 32 * 4], ..truth() },
            Lie { present: vec![], ..truth() },
            Lie { present: vec![0b101, 0], ..truth() },
            // A row that is not there.
            Lie { present: vec![0b1001], ..truth() },
            Lie { documents: 4, ..truth() },
            Lie { documents: u64::MAX, ..truth() },
        ];
        if storage == "int8" {
            lies.push(Lie { scale: None, ..truth() });
            lies.push(Lie { scale: Some(vec![1.0; 2]), ..truth() });
        }
        for (at, lie) in lies.iter().enumerate() {
            let error = lie.open(Verify::Envelope).unwrap_err();
            assert!(matches!(error, IndexError::Corrupt { .. }), "{storage} {at}: {error}");
        }
    }
    // Values are looked at where every byte is.
    let mut infinite = Lie::truth("int8");
    infinite.scale = Some(vec![1.0, f32::INFINITY, 1.0]);
    let mut nan = Lie::truth("fp32");
    nan.rows[8..12].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut half = Lie::truth("fp16");
    half.rows[8..10].copy_from_slice(&f16::INFINITY.to_le_bytes());
    for lie in [infinite, nan, half] {
        assert!(matches!(lie.open(Verify::Full), Err(IndexError::Corrupt { .. })));
        lie.open(Verify::Envelope).unwrap();
    }
}

#[test]
fn metadata_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dense.qry");
    written(&path, DenseStorage::Int8, 40, &[None]);
    let store = DenseStore::open(&path, Verify::Full).unwrap();
    let source = json!({"file": "a.npy"});
    let storage = DenseStorage::Int8;
    assert_eq!(*store.meta(), DenseMeta { dims: 40, stride: 64, vectors: 0, storage, source });
    assert_eq!(storage.bytes_a_row(64), 68);
}
