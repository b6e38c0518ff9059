//! Every form against the plain one.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test fails by it")]

use proptest::prelude::*;
use quarry_index::Verify;
use quarry_index::forward::{ForwardIndex, ForwardWriter, LevelWidth, Quantization};
use quarry_vectors::{DocId, SparseVector};

use super::Kernels;
use crate::methods::collect::Scored;
use crate::methods::query::{FixedQuery, QueryTable, to_score};
use crate::methods::scorer::Scorer;

fn vector(most: usize) -> impl Strategy<Value = SparseVector> {
    let term = prop_oneof![0u32..200, 0u32..65_536];
    prop::collection::vec((term, 1u8..=255), 0..most).prop_map(|pairs| {
        let mut pairs: Vec<_> = pairs.into_iter().map(|(t, w)| (t, f32::from(w))).collect();
        pairs.sort_by_key(|p| p.0);
        pairs.dedup_by_key(|p| p.0);
        SparseVector::from_pairs(pairs).unwrap()
    })
}

fn forward(docs: &[SparseVector], levels: LevelWidth) -> (tempfile::TempDir, ForwardIndex) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forward");
    let quantization = Quantization { levels, scale: 1.0, lossless: true };
    let mut writer = ForwardWriter::create(&path, 65_536, quantization).unwrap();
    for doc in docs {
        writer.push(doc.terms(), doc.weights()).unwrap();
    }
    writer.finish().unwrap();
    let index = ForwardIndex::open(&path, Verify::Full).unwrap();
    (folder, index)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn scores_are_the_same(
        docs in prop::collection::vec(prop_oneof![vector(40), vector(700)], 1..12),
        query in vector(80),
        levels in prop_oneof![Just(LevelWidth::U8), Just(LevelWidth::U16)],
    ) {
        let (_folder, index) = forward(&docs, levels);
        let mut table = QueryTable::new(65_536);
        table.load(&FixedQuery::new(&query));
        let records = index.records();
        for doc in (0..docs.len() as u32).map(DocId) {
            let want = Kernels::Scalar.score(&table, &records, doc);
            for kernels in Kernels::all() {
                prop_assert_eq!(kernels.score(&table, &records, doc), want, "{:?}", kernels);
            }
        }
    }

    #[test]
    fn scores_of_many_are_those_of_each(
        docs in prop::collection::vec(vector(90), 1..60),
        query in vector(60),
        levels in prop_oneof![Just(LevelWidth::U8), Just(LevelWidth::U16)],
    ) {
        let (_folder, index) = forward(&docs, levels);
        let mut table = QueryTable::new(65_536);
        table.load(&FixedQuery::new(&query));
        let records = index.records();
        let numbers: Vec<u32> = (0..docs.len() as u32).rev().collect();
        let mut want = Vec::new();
        for doc in &numbers {
            let doc = DocId(*doc);
            let sum = Kernels::Scalar.score(&table, &records, doc);
            want.extend((sum > 0).then(|| Scored { score: to_score(sum, 0.25), doc }));
        }
        for kernels in Kernels::all() {
            let mut found = Vec::new();
            kernels.score_all(Scorer::Narrow(&table, 0.25), &records, &numbers, &mut found);
            prop_assert_eq!(&found, &want, "{:?}", kernels);
        }
    }

    #[test]
    fn masks_keep_what_has_its_bit(
        lines in 1usize..40,
        bits in prop::collection::vec(prop_oneof![Just(0), Just(u64::MAX), any::<u64>()], 40),
    ) {
        let narrow: Vec<u8> = (0..64 * lines).map(|i| (i % 251) as u8 + 1).collect();
        let wide: Vec<u16> = (0..32 * lines).map(|i| i as u16 + 1).collect();
        let set = |i: usize| bits[i / 64] >> (i % 64) & 1 == 1;
        for kernels in Kernels::all() {
            let (mut a, mut b) = (narrow.clone(), wide.clone());
            kernels.mask_u8(&mut a, &bits);
            kernels.mask_u16(&mut b, &bits);
            for (i, value) in a.iter().enumerate() {
                prop_assert_eq!(*value, if set(i) { narrow[i] } else { 0 }, "{:?}", kernels);
            }
            for (i, value) in b.iter().enumerate() {
                prop_assert_eq!(*value, if set(i) { wide[i] } else { 0 }, "{:?}", kernels);
            }
        }
    }

    #[test]
    fn sweeps_are_the_same(
        values in prop::collection::vec(any::<u8>(), 0..40),
        lines in 1usize..90,
        stride in 1usize..5,
        threshold in 1u8..=255,
    ) {
        let mut narrow = vec![0u8; 64 * lines];
        let mut wide = vec![0u16; 32 * lines];
        for (i, value) in values.iter().enumerate() {
            let at = i * 7919 * (1 + usize::from(*value));
            narrow[at % (64 * lines)] = *value;
            wide[at % (32 * lines)] = u16::from(*value) * 257;
        }
        let wide_threshold = u16::from(threshold) * 256;
        let scalar = Kernels::Scalar;
        let (mut narrow_want, mut wide_want) = (Vec::new(), Vec::new());
        scalar.sweep_u8(&mut narrow.clone(), threshold, 70_000, &mut narrow_want);
        scalar.sweep_u16(&mut wide.clone(), wide_threshold, 70_000, &mut wide_want);
        for kernels in Kernels::all() {
            prop_assert_eq!(kernels.maxima_u8(&narrow, stride), scalar.maxima_u8(&narrow, stride));
            prop_assert_eq!(kernels.maxima_u16(&wide, stride), scalar.maxima_u16(&wide, stride));
            let (mut a, mut b) = (narrow.clone(), wide.clone());
            let (mut narrow_found, mut wide_found) = (Vec::new(), Vec::new());
            kernels.sweep_u8(&mut a, threshold, 70_000, &mut narrow_found);
            kernels.sweep_u16(&mut b, wide_threshold, 70_000, &mut wide_found);
            prop_assert_eq!(&narrow_found, &narrow_want);
            prop_assert_eq!(&wide_found, &wide_want);
            prop_assert!(a.iter().all(|v| *v == 0) && b.iter().all(|v| *v == 0));
        }
    }

    #[test]
    fn dot_products_are_the_same(
        rows in 1usize..40,
        blocks in 1usize..14,
        seed in any::<u64>(),
        docs in prop::collection::vec(any::<prop::sample::Index>(), 0..50),
    ) {
        let stride = 32 * blocks;
        let mut state = seed | 1;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let docs: Vec<u32> = docs.iter().map(|doc| doc.index(rows) as u32).collect();
        let levels: Vec<i16> = (0..stride).map(|_| (next() % 8191) as i16 - 4095).collect();
        let bytes: Vec<i8> = (0..rows * stride).map(|_| ((next() % 255) as u8).cast_signed()).collect();
        let mut float = || (next() >> 40) as f32 / (1 << 23) as f32 - 1.0;
        let query: Vec<f32> = (0..stride).map(|_| float()).collect();
        let floats: Vec<f32> = (0..rows * stride).map(|_| float()).collect();
        let halves: Vec<u16> = floats.iter().map(|f| half::f16::from_f32(*f).to_bits()).collect();
        let of = |kernels: Kernels| {
            let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
            kernels.dots_i8(&levels, &bytes, &docs, &mut a);
            kernels.dots_f16(&query, &halves, &docs, &mut b);
            kernels.dots_f32(&query, &floats, &docs, &mut c);
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            (a, bits(b), bits(c))
        };
        let want = of(Kernels::Scalar);
        for kernels in Kernels::all() {
            prop_assert_eq!(&of(kernels), &want, "{:?}", kernels);
        }
        for (doc, found) in docs.iter().zip(&want.2) {
            let row = &floats[*doc as usize * stride..][..stride];
            let exact: f64 = row.iter().zip(&query).map(|(v, q)| f64::from(*v) * f64::from(*q)).sum();
            prop_assert!((f64::from(f32::from_bits(*found)) - exact).abs() < 1e-4);
        }
    }
}
