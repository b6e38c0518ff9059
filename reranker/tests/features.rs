//! A build without the feature `cuda` reranks on the CPU, and says so where a GPU is asked for. `tools/platforms.sh`
//! runs this without features.
#![cfg(not(feature = "cuda"))]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod shared;

use quarry_reranker::{Device, open};
use quarry_vectors::TokenEmbeddings;

#[test]
fn a_gpu_is_an_error_without_its_feature() {
    let row = || TokenEmbeddings::new(8, vec![0.353_553_4; 8]).unwrap();
    let (_folder, index) = shared::index(4, 8, &mut |_| row());
    let error = open(index.clone(), Device::Cuda, None).err().unwrap().to_string();
    assert!(error.contains("feature `cuda`"), "{error}");
    assert_eq!(open(index.clone(), Device::Auto, None).unwrap().dims(), 8);
    assert_eq!(open(index, Device::Cpu, None).unwrap().dims(), 8);
}
