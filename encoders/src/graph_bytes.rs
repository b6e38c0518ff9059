//! A graph, as the runtime is given it.

/// Where the runtime reads a graph from.
#[derive(Debug)]
pub(crate) enum GraphBytes {
    /// Here they are, verified.
    InMemory(Vec<u8>),
    /// From its file, verified before: its weights lie in others, which its folder has links to. The
    /// runtime follows them only from a graph that it reads itself.
    InFile,
    /// Here they are, verified; its weights lie in files beside its own.
    Beside(Vec<u8>),
}
