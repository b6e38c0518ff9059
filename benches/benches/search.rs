//! Searches over 20,000 synthetic documents: one query a turn, one thread.

use std::hint::black_box;
use std::num::NonZeroUsize;

use criterion::{Criterion, criterion_group, criterion_main};
use quarry_benches::{Numbers, synthetic};
use quarry_searcher::{ChannelQuery, Method, Options, SparseOptions};

fn searches(criterion: &mut Criterion) {
    let Ok(folder) = tempfile::tempdir() else { return };
    let Ok(searcher) = synthetic(folder.path(), 20_000, 20_000) else { return };
    let Some(k) = NonZeroUsize::new(10) else { return };
    let mut numbers = Numbers::new(2);
    let queries: Vec<_> = (0..64).map(|_| numbers.vector(20_000, 20)).collect();
    for method in [Method::Impact, Method::Seismic, Method::Exact, Method::Scan] {
        let params = Options {
            sparse: SparseOptions { method, ..SparseOptions::default() },
            ..Options::new(k)
        };
        let mut next = queries.iter().cycle();
        criterion.bench_function(&format!("{} 20k k=10", method.name()), |b| {
            b.iter(|| {
                next.next().map(|q| black_box(searcher.search(&ChannelQuery::Sparse(q), &params)))
            });
        });
    }
    criterion.bench_function("bm25 20k k=10", |b| {
        b.iter(|| {
            black_box(searcher.search(&ChannelQuery::Words("w3 w17 w250"), &Options::new(k)))
        });
    });
}

criterion_group!(benches, searches);
criterion_main!(benches);
