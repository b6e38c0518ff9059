//! Work of the device in order, and moments in it, as safe types.
#![allow(unsafe_code, reason = "calls of the CUDA driver")]

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::{result, sys};

use super::CudaError;
use super::driver::Gpu;
use super::memory::{DeviceBuffer, HostBuffer};

/// Work of the device in order.
#[derive(Debug)]
pub struct Stream {
    gpu: Arc<Gpu>,
    stream: sys::CUstream,
}

// SAFETY: streams may be used by any thread that makes the context current.
unsafe impl Send for Stream {}

impl Stream {
    /// A stream that does not wait for others.
    ///
    /// # Errors
    /// When the device is broken.
    pub fn new(gpu: &Arc<Gpu>) -> Result<Self, CudaError> {
        gpu.bind()?;
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking);
        let stream = gpu.check("cuStreamCreate", stream)?;
        Ok(Self { gpu: Arc::clone(gpu), stream })
    }

    /// Copies the first `bytes` of `from` to `to`, at byte `at`, when the stream comes to it. Do not touch
    /// `from` before the stream was waited for.
    ///
    /// # Errors
    /// When the range is not inside both, or the driver refuses.
    pub fn upload(
        &self,
        to: &DeviceBuffer,
        at: usize,
        from: &HostBuffer,
        bytes: usize,
    ) -> Result<(), CudaError> {
        self.gpu.bind()?;
        if at.checked_add(bytes).is_none_or(|end| end > to.bytes()) || bytes > from.bytes().len() {
            return Err(outside("cuMemcpyHtoDAsync"));
        }
        // SAFETY: both ranges were just checked; pinned memory outlives the copy because buffers are
        // only freed after a wait (cuMemFreeHost waits).
        let done = unsafe {
            result::memcpy_htod_async(to.address() + at as u64, &from.bytes()[..bytes], self.stream)
        };
        self.gpu.check("cuMemcpyHtoDAsync", done)
    }

    /// Copies `bytes` from `from` at byte `at` to the start of `to`. Wait before reading.
    ///
    /// # Errors
    /// As [`Self::upload`].
    pub fn download(
        &self,
        to: &mut HostBuffer,
        from: &DeviceBuffer,
        at: usize,
        bytes: usize,
    ) -> Result<(), CudaError> {
        self.gpu.bind()?;
        if at.checked_add(bytes).is_none_or(|end| end > from.bytes()) || bytes > to.bytes().len() {
            return Err(outside("cuMemcpyDtoHAsync"));
        }
        let address = from.address() + at as u64;
        // SAFETY: both ranges were just checked; as in `upload`.
        let done = unsafe {
            result::memcpy_dtoh_async(&mut to.bytes_mut()[..bytes], address, self.stream)
        };
        self.gpu.check("cuMemcpyDtoHAsync", done)
    }

    /// Copies `bytes` between two buffers of the device.
    ///
    /// # Errors
    /// As [`Self::upload`].
    pub fn copy(
        &self,
        to: &DeviceBuffer,
        from: &DeviceBuffer,
        bytes: usize,
    ) -> Result<(), CudaError> {
        self.gpu.bind()?;
        if bytes > from.bytes() || bytes > to.bytes() {
            return Err(outside("cuMemcpyDtoDAsync"));
        }
        // SAFETY: both ranges were just checked.
        let done =
            unsafe { result::memcpy_dtod_async(to.address(), from.address(), bytes, self.stream) };
        self.gpu.check("cuMemcpyDtoDAsync", done)
    }

    /// Sets `bytes` bytes of `to` to `value`.
    ///
    /// # Errors
    /// As [`Self::upload`].
    pub fn fill(&self, to: &DeviceBuffer, value: u8, bytes: usize) -> Result<(), CudaError> {
        self.gpu.bind()?;
        if bytes > to.bytes() {
            return Err(outside("cuMemsetD8Async"));
        }
        // SAFETY: the range was just checked.
        let done = unsafe { result::memset_d8_async(to.address(), value, bytes, self.stream) };
        self.gpu.check("cuMemsetD8Async", done)
    }

    /// Starts a kernel with one argument, a structure by value.
    ///
    /// # Safety
    /// `arguments` is the structure that the kernel `name` takes, and its addresses lead to memory of
    /// the device (or pinned memory) that is as large as the kernel will touch and is kept until the
    /// stream was waited for.
    ///
    /// # Errors
    /// When the driver refuses.
    pub unsafe fn launch<T: Copy>(
        &self,
        name: &str,
        grid: (u32, u32),
        threads: u32,
        shared: u32,
        arguments: &T,
    ) -> Result<(), CudaError> {
        self.gpu.bind()?;
        let function = self.gpu.function(name, shared)?;
        let mut copy = *arguments;
        let mut parameters = [(&raw mut copy).cast::<c_void>()];
        // SAFETY: the caller vouches for the arguments; the driver copies them during the call.
        let done = unsafe {
            let grid = (grid.0, grid.1, 1);
            result::launch_kernel(
                function,
                grid,
                (threads, 1, 1),
                shared,
                self.stream,
                &mut parameters,
            )
        };
        self.gpu.check("cuLaunchKernel", done)
    }

    /// Waits for all that was asked so far.
    ///
    /// # Errors
    /// What failed meanwhile.
    pub fn wait(&self) -> Result<(), CudaError> {
        self.gpu.bind()?;
        // SAFETY: the stream lives.
        self.gpu.check("cuStreamSynchronize", unsafe { result::stream::synchronize(self.stream) })
    }

    /// Marks this point of the stream.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn mark(&self, event: &Event) -> Result<(), CudaError> {
        self.gpu.bind()?;
        // SAFETY: both live and belong to one context.
        self.gpu.check("cuEventRecord", unsafe { result::event::record(event.event, self.stream) })
    }
}

fn outside(call: &'static str) -> CudaError {
    CudaError::Call { call, why: "a range outside its buffer".into() }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.gpu.bind().is_ok() {
            // SAFETY: created in `new`, destroyed here only, and idle.
            let _ = unsafe { result::stream::synchronize(self.stream) };
            // SAFETY: as above.
            let _ = unsafe { result::stream::destroy(self.stream) };
        }
    }
}

/// A point in a stream, with its time.
#[derive(Debug)]
pub struct Event {
    gpu: Arc<Gpu>,
    event: sys::CUevent,
}

// SAFETY: as streams.
unsafe impl Send for Event {}

impl Event {
    /// Not marked yet.
    ///
    /// # Errors
    /// When the device is broken.
    pub fn new(gpu: &Arc<Gpu>) -> Result<Self, CudaError> {
        gpu.bind()?;
        let event = result::event::create(sys::CUevent_flags_enum::CU_EVENT_DEFAULT);
        Ok(Self { gpu: Arc::clone(gpu), event: gpu.check("cuEventCreate", event)? })
    }

    /// Microseconds of the device between an earlier mark and this, both passed.
    ///
    /// # Errors
    /// When they are not marked or not passed.
    pub fn since(&self, earlier: &Self) -> Result<f64, CudaError> {
        self.gpu.bind()?;
        // SAFETY: both live and belong to one context.
        let ms = unsafe { result::event::elapsed(earlier.event, self.event) };
        Ok(f64::from(self.gpu.check("cuEventElapsedTime", ms)?) * 1e3)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.gpu.bind().is_ok() {
            // SAFETY: created in `new`, destroyed here only.
            let _ = unsafe { result::event::destroy(self.event) };
        }
    }
}
