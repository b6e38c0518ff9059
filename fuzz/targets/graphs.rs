//! ONNX graphs and safetensors, as our own readers take them apart.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: quarry_fuzz::begin(), |data: &[u8]| quarry_encoders::graphs::read_any(data));
