//! Filters, in a person's words.
#![no_main]

use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use quarry_index::{Index, Verify};
use quarry_searcher::{ChannelQuery, Options, Searcher};

static SEARCHER: LazyLock<Searcher> = LazyLock::new(|| {
    Searcher::new(Arc::new(
        Index::open(&quarry_fuzz::whole_index(), Verify::Full).expect("an index"),
    ))
});

fuzz_target!(init: quarry_fuzz::begin(), |expression: &str| {
    if let Ok(filter) = SEARCHER.filter(expression) {
        let k = NonZeroUsize::new(10).expect("ten");
        let options = Options { filter: Some(&filter), ..Options::new(k) };
        let _ = SEARCHER.search(&ChannelQuery::Words("rock"), &options);
    }
});
