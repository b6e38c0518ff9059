//! Questions: BM25's analysis, and a tokenizer with its table of weights.
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

fuzz_target!(init: quarry_fuzz::begin(), |question: &str| {
    let k = NonZeroUsize::new(10).expect("ten");
    let _ = SEARCHER.search(&ChannelQuery::Words(question), &Options::new(k));
    let lexicon = SEARCHER.index().lexicon().expect("a lexicon");
    for token in question.split_whitespace().take(100) {
        let _ = lexicon.term(token);
        let _ = SEARCHER.find(token);
    }
});
