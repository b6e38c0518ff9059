//! A device with its kernels loaded.
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
use super::kernels::{Capability, Kernels};

/// The oldest driver: its CUDA version as the driver writes it.
const LEAST_DRIVER: i32 = 12_000;

/// The calls of the driver that are made here, in `memory` and `stream`, and by cudarc for them. cudarc
/// panics where one is missing, so all are looked for first.
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

/// Bytes of a device's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceMemory {
    /// Not in use now, by anybody.
    pub free: usize,
    /// All.
    pub total: usize,
}

/// One device with our kernels loaded.
#[derive(Debug)]
pub struct Gpu {
    device: sys::CUdevice,
    context: sys::CUcontext,
    modules: Vec<sys::CUmodule>,
    functions: Mutex<HashMap<String, usize>>,
    broken: Mutex<Option<String>>,
    name: String,
    capability: Capability,
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
            capability: Capability { major, minor },
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
    pub fn capability(&self) -> Capability {
        self.capability
    }

    /// Number of multiprocessors.
    #[must_use]
    pub fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    /// The device's memory.
    ///
    /// # Errors
    /// When the device is broken.
    pub fn memory(&self) -> Result<DeviceMemory, CudaError> {
        self.bind()?;
        let (free, total) = self.check("cuMemGetInfo", result::mem_get_info())?;
        Ok(DeviceMemory { free, total })
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
    pub(super) fn function(&self, name: &str, shared: u32) -> Result<sys::CUfunction, CudaError> {
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
