//! What is measured and can be measured again: micro-benchmarks (`benches/`, criterion) and whole
//! workloads (`src/bin/`), which print JSON.

pub mod http;

use std::path::Path;
use std::sync::Arc;

use quarry_index::{Index, Verify};
use quarry_indexer::{BuildOptions, IngestOptions, Lists, SealOptions, build};
use quarry_searcher::Searcher;
use quarry_vectors::{Document, InputVector, SparseVector};

/// Numbers that look random and are always the same: figures that are compared over years use the same data,
/// and `rand` may change its generators with a version.
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// The sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number below `end`.
    pub fn below(&mut self, end: u32) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let high = u32::try_from(self.0 >> 32).unwrap_or(0);
        u32::try_from((u64::from(high) * u64::from(end)) >> 32).unwrap_or(0)
    }

    /// A vector with frequent and rare terms, and weights as encoders give them.
    pub fn vector(&mut self, terms: u32, components: u32) -> SparseVector {
        let pairs: Vec<(u32, f32)> = (0..components)
            .map(|_| {
                // The product of two uniform numbers favours small term ids, as language does.
                let end = 1 + self.below(terms);
                let weight = 1 + self.below(255).min(self.below(255));
                (self.below(end), f32::from(u16::try_from(weight).unwrap_or(1)) / 64.0)
            })
            .collect();
        SparseVector::from_pairs(pairs).unwrap_or_default()
    }
}

/// An index of synthetic documents in `folder`.
///
/// # Errors
/// When it cannot be built.
pub fn synthetic(folder: &Path, documents: u32, terms: u32) -> anyhow::Result<Searcher> {
    let mut numbers = Numbers::new(1);
    let documents = (0..documents).map(|id| {
        Ok::<_, std::io::Error>(Document {
            id: id.to_string(),
            text: format!(
                "w{} w{} w{} w{}",
                numbers.below(500),
                numbers.below(500),
                numbers.below(50),
                id % 7
            ),
            vector: Some(InputVector::Terms(numbers.vector(terms, 120))),
            line: u64::from(id),
            ..Document::default()
        })
    });
    let lists = Lists::These { impact: true, seismic: true, clusters: false };
    let mut options = options(folder);
    options.overwrite = true;
    options.seal.lists = lists;
    build(documents.collect::<Vec<_>>(), None, &options, &|_| {})?;
    Ok(Searcher::new(Arc::new(Index::open(folder, Verify::Full)?)))
}

/// Options of a build into `out`, which the measuring programs begin with.
#[must_use]
pub fn options(out: &Path) -> BuildOptions {
    BuildOptions {
        out: out.to_path_buf(),
        ingest: IngestOptions { ids_are_unique: true, ..IngestOptions::default() },
        seal: SealOptions { memory: 512 << 20, ..SealOptions::default() },
        ..BuildOptions::default()
    }
}
