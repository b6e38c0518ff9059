//! The native half of the Python package `quarry`: it translates between Python and the engine, and nothing else.
//!
//! Python's side (`python/quarry/`) gives options as JSON, arrays as bytes, and reads the environment; here they become the
//! engine's types (`options`, `queries`, `documents`), work is done without Python's lock on the package's own threads
//! (`threads`), and results go back as JSON or bytes (`found`, `answers`). Errors become the exceptions of `quarry.errors`.
#![allow(clippy::needless_pass_by_value, reason = "arguments that Python gives are owned")]

mod answers;
mod documents;
mod encoder;
mod errors;
mod evaluating;
mod found;
mod index;
mod options;
mod queries;
mod threads;
mod writing;

use pyo3::prelude::*;

/// The module `quarry._native`; `_native.pyi` describes it.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("version", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<index::Index>()?;
    module.add_class::<found::Found>()?;
    module.add_class::<encoder::Encoder>()?;
    module.add_function(wrap_pyfunction!(threads::set_threads, module)?)?;
    module.add_function(wrap_pyfunction!(writing::build, module)?)?;
    module.add_function(wrap_pyfunction!(writing::add, module)?)?;
    module.add_function(wrap_pyfunction!(writing::delete, module)?)?;
    module.add_function(wrap_pyfunction!(writing::merge, module)?)?;
    module.add_function(wrap_pyfunction!(evaluating::evaluate, module)?)?;
    module.add_function(wrap_pyfunction!(evaluating::fuse, module)?)?;
    module.add_function(wrap_pyfunction!(evaluating::read_run, module)?)?;
    module.add_function(wrap_pyfunction!(evaluating::read_qrels, module)?)?;
    module.add_function(wrap_pyfunction!(evaluating::read_queries, module)?)
}
