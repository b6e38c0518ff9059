//! Bodies of requests, answered by an engine without a model.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use quarry_index::{Index, Verify};
use quarry_server::Engine;
use quarry_server::api::SearchRequest;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let index = Index::open(&quarry_fuzz::whole_index(), Verify::Full).expect("an index");
    Engine::new(Arc::new(index), None)
});

fuzz_target!(init: quarry_fuzz::begin(), |data: &[u8]| {
    if let Ok(request) = SearchRequest::from_json(data)
        && let Ok(answer) = ENGINE.search(&request, Some(Instant::now() + Duration::from_secs(2)))
    {
        let _ = serde_json::to_vec(&answer).expect("an answer is JSON");
    }
});
