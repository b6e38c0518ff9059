//! Judgements, and after a zero byte a run of the same queries: both are read, and evaluated.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quarry_datasets::collections::read_collections;
use quarry_datasets::measures::{EvaluateOptions, Measure, evaluate};
use quarry_datasets::{Qrels, Run};

fuzz_target!(init: quarry_fuzz::begin(), |data: &[u8]| {
    let (judgements, run) = quarry_fuzz::split(data);
    let (_room, path) = quarry_fuzz::file(judgements);
    let qrels = Qrels::read(&path);
    // A file of known collections is as foreign.
    let _ = read_collections(&path);
    let (_room, path) = quarry_fuzz::file(run);
    if let (Ok(qrels), Ok(run)) = (qrels, Run::read(&path)) {
        let measures: Vec<Measure> = ["nDCG@10", "RR@10", "R@100", "AP@100", "P@5", "Judged@10"]
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        let _ = evaluate(&run, &qrels, &measures, EvaluateOptions::default());
    }
});
