//! Small forward indexes for tests.

use quarry_index::Verify;
use quarry_index::forward::{ForwardIndex, ForwardWriter, LevelWidth, Quantization};
use quarry_vectors::SparseVector;

/// A forward index of `vectors`, in a folder that exists as long as the first value.
pub(crate) fn forward_of(
    vectors: &[SparseVector],
    dimension: u32,
) -> (tempfile::TempDir, ForwardIndex) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forward.qry");
    let quantization = Quantization { levels: LevelWidth::U16, scale: 1e-3, lossless: false };
    let mut writer = ForwardWriter::create(&path, dimension, quantization).unwrap();
    for vector in vectors {
        writer.push(vector.terms(), vector.weights()).unwrap();
    }
    writer.finish().unwrap();
    let forward = ForwardIndex::open(&path, Verify::Full).unwrap();
    (folder, forward)
}
