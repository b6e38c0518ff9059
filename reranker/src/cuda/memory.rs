//! Memory on both sides as safe types.
#![allow(unsafe_code, reason = "calls of the CUDA driver")]

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use bytemuck::Pod;
use cudarc::driver::{DriverError, result, sys};

use super::CudaError;
use super::driver::Gpu;

/// Memory on the device.
#[derive(Debug)]
pub struct DeviceBuffer {
    gpu: Arc<Gpu>,
    address: sys::CUdeviceptr,
    bytes: usize,
}

impl DeviceBuffer {
    /// At least `bytes`, with nothing defined in them.
    ///
    /// # Errors
    /// When the device has not enough.
    pub fn new(gpu: &Arc<Gpu>, bytes: usize) -> Result<Self, CudaError> {
        gpu.bind()?;
        let bytes = bytes.max(256);
        // SAFETY: freed on drop, once.
        let address = match unsafe { result::malloc_sync(bytes) } {
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                let free = gpu.memory()?.free;
                return Err(CudaError::Memory { wanted: bytes, free });
            }
            other => gpu.check("cuMemAlloc", other)?,
        };
        Ok(Self { gpu: Arc::clone(gpu), address, bytes })
    }

    /// Where it lies, for kernels' arguments.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        if self.gpu.bind().is_ok() {
            // SAFETY: allocated in `new`, freed here only; cuMemFree waits for work that uses it.
            let _ = unsafe { result::free_sync(self.address) };
        }
    }
}

/// Pinned memory of the host, which the device reads and writes directly too.
#[derive(Debug)]
pub struct HostBuffer {
    gpu: Arc<Gpu>,
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it owns its memory, and the device writes only into what a caller handed to a kernel or
// copy, which the types that do so wait for before they read.
unsafe impl Send for HostBuffer {}

impl HostBuffer {
    /// At least `bytes` zeros.
    ///
    /// # Errors
    /// When the host has not enough.
    pub fn new(gpu: &Arc<Gpu>, bytes: usize) -> Result<Self, CudaError> {
        gpu.bind()?;
        let bytes = bytes.max(256);
        // SAFETY: freed on drop, once; initialised below before anybody reads.
        let memory = gpu.check("cuMemHostAlloc", unsafe { result::malloc_host(bytes, 0) })?;
        let start = NonNull::new(memory.cast::<u8>()).ok_or_else(|| CudaError::Call {
            call: "cuMemHostAlloc",
            why: "it gave no memory".into(),
        })?;
        // SAFETY: `bytes` bytes were allocated.
        unsafe { start.as_ptr().write_bytes(0, bytes) };
        Ok(Self { gpu: Arc::clone(gpu), start, bytes })
    }

    /// The bytes; wait for the device first.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: allocated with that length and initialised.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }

    /// The bytes; wait for the device first.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed once.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }

    /// `count` values from byte `at` on; wait for the device first.
    ///
    /// # Panics
    /// When they are not there, or `at` is not aligned for `T`.
    #[must_use]
    pub fn values<T: Pod>(&self, at: usize, count: usize) -> &[T] {
        bytemuck::cast_slice(&self.bytes()[at..at + count * size_of::<T>()])
    }

    /// Where it lies, for kernels' arguments: with unified addresses the host's own.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.start.as_ptr() as u64
    }
}

impl Drop for HostBuffer {
    fn drop(&mut self) {
        if self.gpu.bind().is_ok() {
            // SAFETY: allocated in `new`, freed here only.
            let _ = unsafe { result::free_host(self.start.as_ptr().cast::<c_void>()) };
        }
    }
}
