//! Why the GPU is not used, or failed.

/// What went wrong on the way to or on the GPU.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CudaError {
    /// No NVIDIA driver on this machine.
    #[error("no CUDA driver was found (libcuda.so.1)")]
    NoDriver,
    /// A driver, but nothing to drive.
    #[error("the CUDA driver sees no device")]
    NoDevice,
    /// Compute capability under 8.0.
    #[error("{name} has compute capability {major}.{minor}, 8.0 is needed")]
    DeviceTooOld {
        /// The device.
        name: String,
        /// Its capability.
        major: i32,
        /// Its capability.
        minor: i32,
    },
    /// The driver is older than the embedded kernels.
    #[error("the CUDA driver supports CUDA {}.{}, 12.0 is needed: update the driver", .found / 1000, .found % 1000 / 10)]
    DriverTooOld {
        /// As the driver writes it: 1000 times the version's first number, and so on.
        found: i32,
    },
    /// The library lacks a call, so it is not a driver that is known here.
    #[error("the CUDA driver has no {call}: reinstall or update the driver")]
    DriverLacks {
        /// The call.
        call: &'static str,
    },
    /// A call of the driver failed.
    #[error("{call} failed: {why}")]
    Call {
        /// The call.
        call: &'static str,
        /// What the driver says.
        why: String,
    },
    /// Not enough memory on the device.
    #[error("the device has no {wanted} bytes left ({free} are free)")]
    Memory {
        /// Bytes asked for.
        wanted: usize,
        /// Bytes free.
        free: usize,
    },
    /// An earlier error made the device unusable for this process.
    #[error("the device failed before and is not used any more: {0}")]
    Broken(String),
    /// Kernels exist for some row lengths only.
    #[error("no kernel for {form} rows of {stride} dimensions")]
    Unsupported {
        /// How rows are stored.
        form: &'static str,
        /// Dimensions of a stored row.
        stride: usize,
    },
    /// The embedded kernels are damaged.
    #[error("the embedded kernels: {0}")]
    Kernels(String),
    /// The device computes something else than the CPU.
    #[error("the device's self-test: {0}")]
    SelfTest(String),
    /// The device does not hold what was asked of it.
    #[error("{0}")]
    NotResident(&'static str),
}
