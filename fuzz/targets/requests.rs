//! Bodies of requests, answered by an engine without a model.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use quarry_engine::{Collection, OpenOptions, QueryModel};
use quarry_server::Engine;
use quarry_server::api::SearchRequest;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let mut options = OpenOptions::default();
    options.queries = QueryModel::None;
    let collection = Collection::open(&quarry_fuzz::whole_index(), &options);
    Engine::new(collection.expect("an index"))
});

fuzz_target!(|data: &[u8]| {
    if let Ok(request) = SearchRequest::from_json(data)
        && let Ok(answer) = ENGINE.search(&request, Some(Instant::now() + Duration::from_secs(2)))
    {
        let _ = serde_json::to_vec(&answer).expect("an answer is JSON");
    }
});
