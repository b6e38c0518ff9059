//! Where a graph is run.

/// Where a graph is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// The CPU.
    #[default]
    Cpu,
    /// The first CUDA device; where there is none, encoders are refused.
    Cuda,
}
