//! The driver as safe types: a device with its kernels loaded, streams, events. All calls of the CUDA
//! driver are here and in `memory`.
//!
//! The driver is looked for when [`Gpu::open`] runs, not when the program starts; a machine without
//! one gets [`CudaError::NoDriver`]. An error that poisons the context marks the device broken: every
//! later call fails with [`CudaError::Broken`] without asking the driver.
#![allow(unsafe_code, reason = "calls of the CUDA driver")]

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{DriverError, result, sys};

use super::CudaError;
use super::kernels::Kernels;
use super::memory::{DeviceBuffer, HostBuffer};

/// The oldest driver: its CUDA version as the driver writes it.
const LEAST_DRIVER: i32 = 12_000;

/// The calls of the driver that are made below and by cudarc for them. cudarc panics where one is missing,
/// so all are looked for first.
const CALLS: [&str; 32] = [
    "cuInit",
    "cuDriverGetVersion",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDeviceGetAttribute",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuMemGetInfo_v2",
    "cuModuleLoadData",
    "cuModuleGetFunction",
    "cuFuncSetAttribute",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemHostAlloc",
    "cuMemFreeHost",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamSynchronize",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyDtoDAsync_v2",
    "cuMemsetD8Async",
    "cuLaunchKernel",
    "cuEventCreate",
    "cuEventRecord",
    "cuEventElapsedTime",
    "cuEventDestroy_v2",
    "cuGetErrorName",
    "cuGetErrorString",
];

/// One device with our kernels loaded.
#[derive(Debug)]
pub struct Gpu {
    device: sys::CUdevice,
    context: sys::CUcontext,
    modules: Vec<sys::CUmodule>,
    functions: Mutex<HashMap<String, usize>>,
    broken: Mutex<Option<String>>,
    name: String,
    capability: (i32, i32),
    multiprocessors: u32,
}

// SAFETY: a CUDA context and its modules may be used by any thread that makes the context current,
// which every method does first; what changes is behind mutexes.
unsafe impl Send for Gpu {}
// SAFETY: as above.
unsafe impl Sync for Gpu {}

impl Gpu {
    /// Opens device `ordinal` and loads the kernels.
    ///
    /// # Errors
    /// When there is no driver, no such device, or it is too old for the kernels.
    pub fn open(ordinal: i32) -> Result<Arc<Self>, CudaError> {
        Self::open_with(ordinal, &Kernels::unpack()?)
    }

    /// The same with other builds of the kernels.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(ordinal: i32, kernels: &Kernels) -> Result<Arc<Self>, CudaError> {
        // SAFETY: only tries to load the driver's library. Nothing else of cudarc runs without it:
        // its calls would panic.
        if !unsafe { sys::is_culib_present() } {
            return Err(CudaError::NoDriver);
        }
        // SAFETY: the library is there, as was just seen, so this gives it without a panic.
        let library = unsafe { sys::culib() };
        for call in CALLS {
            // SAFETY: only its address is looked for; nothing is called through this type.
            if unsafe { library.get::<*const c_void>(call.as_bytes()) }.is_err() {
                return Err(CudaError::DriverLacks { call });
            }
        }
        match result::init() {
            Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => {
                return Err(CudaError::NoDevice);
            }
            other => plain("cuInit", other)?,
        }
        let mut found = 0;
        // SAFETY: writes one integer.
        plain("cuDriverGetVersion", unsafe { sys::cuDriverGetVersion(&raw mut found) }.result())?;
        if found < LEAST_DRIVER {
            return Err(CudaError::DriverTooOld { found });
        }
        if ordinal >= plain("cuDeviceGetCount", result::device::get_count())? {
            return Err(CudaError::NoDevice);
        }
        let device = plain("cuDeviceGet", result::device::get(ordinal))?;
        let name = plain("cuDeviceGetName", result::device::get_name(device))?;
        let attribute = |which| {
            // SAFETY: the device was returned by cuDeviceGet.
            plain("cuDeviceGetAttribute", unsafe { result::device::get_attribute(device, which) })
        };
        use sys::CUdevice_attribute_enum as Attribute;
        let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        let units = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        if major < 8 {
            return Err(CudaError::DeviceTooOld { name, major, minor });
        }
        // SAFETY: the device was returned by cuDeviceGet; the context is released on drop.
        let context =
            plain("cuDevicePrimaryCtxRetain", unsafe { result::primary_ctx::retain(device) })?;
        let mut gpu = Self {
            device,
            context,
            modules: Vec::new(),
            functions: Mutex::default(),
            broken: Mutex::default(),
            name,
            capability: (major, minor),
            multiprocessors: u32::try_from(units).unwrap_or(1),
        };
        gpu.bind()?;
        for source in ["gather", "exhaustive"] {
            let image = kernels.image(source, gpu.capability)?;
            // SAFETY: the image is a whole cubin, or PTX that ends with a zero; it outlives the call.
            let module = unsafe { result::module::load_data(image.as_ptr().cast::<c_void>()) };
            gpu.modules.push(plain("cuModuleLoadData", module)?);
        }
        Ok(Arc::new(gpu))
    }

    /// What the device is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Compute capability.
    #[must_use]
    pub fn capability(&self) -> (i32, i32) {
        self.capability
    }

    /// Number of multiprocessors.
    #[must_use]
    pub fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    /// Free and total bytes of device memory.
    ///
    /// # Errors
    /// When the device is broken.
    pub fn memory(&self) -> Result<(usize, usize), CudaError> {
        self.bind()?;
        self.check("cuMemGetInfo", result::mem_get_info())
    }

    /// Why the device is not used any more, if so.
    #[must_use]
    pub fn broken(&self) -> Option<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for everything on the device.
    ///
    /// # Errors
    /// What failed there meanwhile.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.bind()?;
        self.check("cuCtxSynchronize", result::ctx::synchronize())
    }

    pub(super) fn bind(&self) -> Result<(), CudaError> {
        if let Some(why) = self.broken() {
            return Err(CudaError::Broken(why));
        }
        // SAFETY: the context is retained as long as `self` lives.
        plain("cuCtxSetCurrent", unsafe { result::ctx::set_current(self.context) })
    }

    /// Turns a driver's answer into ours; errors other than of arguments and memory break the device.
    pub(super) fn check<T>(
        &self,
        call: &'static str,
        answer: Result<T, DriverError>,
    ) -> Result<T, CudaError> {
        let error = match answer {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        use sys::CUresult;
        let harmless = matches!(
            error.0,
            CUresult::CUDA_ERROR_OUT_OF_MEMORY
                | CUresult::CUDA_ERROR_INVALID_VALUE
                | CUresult::CUDA_ERROR_NOT_FOUND
                | CUresult::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES
        );
        let failed = CudaError::Call { call, why: describe(error) };
        if !harmless {
            let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
            broken.get_or_insert_with(|| failed.to_string());
        }
        Err(failed)
    }

    /// The kernel of a name, allowed `shared` bytes of dynamic shared memory.
    fn function(&self, name: &str, shared: u32) -> Result<sys::CUfunction, CudaError> {
        let mut known = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = known.get(name) {
            return Ok(*function as sys::CUfunction);
        }
        let c_name =
            CString::new(name).map_err(|_| CudaError::Kernels("a name with a zero".into()))?;
        let gathers = name.starts_with("gather") || name.starts_with("bounds");
        let module = self.modules.get(usize::from(!gathers));
        let module = *module.ok_or_else(|| CudaError::Kernels(format!("no kernel {name}")))?;
        // SAFETY: the modules are loaded as long as `self` lives.
        let function = unsafe { result::module::get_function(module, c_name) };
        let function = self.check("cuModuleGetFunction", function)?;
        if shared > 48 << 10 {
            let attribute =
                sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let bytes = i32::try_from(shared).unwrap_or(i32::MAX);
            // SAFETY: the function belongs to a loaded module.
            let set =
                unsafe { result::function::set_function_attribute(function, attribute, bytes) };
            self.check("cuFuncSetAttribute", set)?;
        }
        known.insert(name.to_owned(), function as usize);
        Ok(function)
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // SAFETY: retained in `open`, once; buffers, streams and events hold an Arc of `self`, so
        // none is left. A broken context is released too; its answer changes nothing.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

fn describe(error: DriverError) -> String {
    let name = error.error_name().ok().map(|n| n.to_string_lossy().into_owned());
    let text = error.error_string().ok().map(|n| n.to_string_lossy().into_owned());
    format!("{} ({})", text.unwrap_or_default(), name.unwrap_or_else(|| format!("{:?}", error.0)))
}

/// As [`Gpu::check`], while there is no device yet.
fn plain<T>(call: &'static str, answer: Result<T, DriverError>) -> Result<T, CudaError> {
    answer.map_err(|error| CudaError::Call { call, why: describe(error) })
}

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
