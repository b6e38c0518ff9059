// A CUDA driver without a device, for tests: the calls that the crate makes, over the host's memory, with
// the kernels' own sources run by cuda/host.h. What goes wrong is told by the environment:
//
//   DRIVER_VERSION  what cuDriverGetVersion says (13000)
//   DRIVER_DEVICES  how many devices there are (1)
//   DRIVER_REFUSE   BYTES:COUNT, so many allocations of more bytes on the device fail at first
//   DRIVER_FAULTS   a file; while it says CALL:ERROR, that call gives that error
//   DRIVER_WRONG    kernels compute something else
//
// An error of 700 (an illegal address) or more but 701 poisons the device as the driver does: every later
// call but the asking for texts gives it too.
#define MAXSIM_HOST
#include "../../cuda/gather.cu"
#include "../../cuda/exhaustive.cu"

#include <map>
#include <mutex>
#include <string>

typedef int Result;
enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_FOUND = 500 };

static std::recursive_mutex lock;
static std::map<u64, u64> allocated;
static u64 in_use = 0;
static Result poisoned = OK;

static u64 number(const char* name, u64 otherwise) {
  const char* text = getenv(name);
  return text ? strtoull(text, nullptr, 10) : otherwise;
}

// What this call is to answer before it does anything.
static Result fault(const char* call) {
  if (poisoned) return poisoned;
  const char* path = getenv("DRIVER_FAULTS");
  FILE* file = path ? fopen(path, "r") : nullptr;
  if (!file) return OK;
  char name[64] = "";
  int error = 0;
  int read = fscanf(file, "%63[^:]:%d", name, &error);
  fclose(file);
  if (read != 2 || strcmp(name, call)) return OK;
  if (error >= 700 && error != 701) poisoned = error;
  return error;
}
#define CALL(name)                                  \
  std::lock_guard<std::recursive_mutex> guard(lock); \
  if (Result error = fault(name)) return error

struct Function {
  std::string name;
  std::function<void(void*)> run;
};

extern "C" {
Result cuInit(u32) { CALL("cuInit"); return number("DRIVER_DEVICES", 1) ? OK : 100; }
Result cuDriverGetVersion(int* version) {
  CALL("cuDriverGetVersion");
  *version = (int)number("DRIVER_VERSION", 13000);
  return OK;
}
Result cuDeviceGetCount(int* count) { CALL("cuDeviceGetCount"); *count = (int)number("DRIVER_DEVICES", 1); return OK; }
Result cuDeviceGet(int* device, int ordinal) { CALL("cuDeviceGet"); *device = ordinal; return OK; }
Result cuDeviceGetName(char* name, int length, int) {
  CALL("cuDeviceGetName");
  snprintf(name, length, "a device of tests");
  return OK;
}
Result cuDeviceGetAttribute(int* value, int which, int) {
  CALL("cuDeviceGetAttribute");
  *value = which == 75 ? 9 : which == 76 ? 0 : 2;  // compute capability 9.0, two multiprocessors
  return OK;
}
Result cuDevicePrimaryCtxRetain(void** context, int) { CALL("cuDevicePrimaryCtxRetain"); *context = (void*)16; return OK; }
Result cuDevicePrimaryCtxRelease_v2(int) { return OK; }
Result cuCtxSetCurrent(void*) { CALL("cuCtxSetCurrent"); return OK; }
Result cuCtxSynchronize() { CALL("cuCtxSynchronize"); return OK; }
Result cuMemGetInfo_v2(size_t* free, size_t* total) {
  CALL("cuMemGetInfo");
  *total = 1ull << 30, *free = *total - in_use;
  return OK;
}
Result cuModuleLoadData(void** module, const void* image) {
  CALL("cuModuleLoadData");
  if (memcmp(image, "\177ELF", 4)) return INVALID_VALUE;
  *module = (void*)64;
  return OK;
}
Result cuModuleGetFunction(void** function, void*, const char* name) {
  CALL("cuModuleGetFunction");
  Function made{name, nullptr};
#define KERNEL(kernel, Args) \
  if (made.name == #kernel) made.run = [](void* args) { kernel(*(const Args*)args); }
  KERNEL(gather_i8_32, GatherArgs);
  KERNEL(gather_f16_32, GatherArgs);
  KERNEL(bounds_i8_32, GatherArgs);
  KERNEL(exhaustive_i8_32, ExhaustiveArgs);
  KERNEL(exhaustive_f16_32, ExhaustiveArgs);
  KERNEL(select_best, SelectArgs);
  KERNEL(add_rows, AddArgs);
  if (!made.run) return NOT_FOUND;
  *function = new Function(made);
  return OK;
}
Result cuFuncSetAttribute(void*, int, int) { CALL("cuFuncSetAttribute"); return OK; }
Result cuMemAlloc_v2(u64* address, size_t bytes) {
  CALL("cuMemAlloc");
  static int refused = 0;
  u64 most = 0;
  int count = 0;
  const char* refuse = getenv("DRIVER_REFUSE");
  if (refuse && sscanf(refuse, "%llu:%d", &most, &count) == 2 && bytes > most && refused < count) return refused++, OUT_OF_MEMORY;
  void* memory = nullptr;
  if (posix_memalign(&memory, 256, bytes)) return OUT_OF_MEMORY;
  memset(memory, 0xcd, bytes);
  *address = (u64)memory, allocated[*address] = bytes, in_use += bytes;
  return OK;
}
Result cuMemFree_v2(u64 address) {
  CALL("cuMemFree");
  auto found = allocated.find(address);
  if (found == allocated.end()) return INVALID_VALUE;
  in_use -= found->second;
  free((void*)address);
  allocated.erase(found);
  return OK;
}
Result cuMemHostAlloc(void** memory, size_t bytes, u32) {
  CALL("cuMemHostAlloc");
  return posix_memalign(memory, 256, bytes) ? OUT_OF_MEMORY : OK;
}
Result cuMemFreeHost(void* memory) { CALL("cuMemFreeHost"); free(memory); return OK; }
Result cuStreamCreate(void** stream, u32) { CALL("cuStreamCreate"); *stream = (void*)32; return OK; }
Result cuStreamDestroy_v2(void*) { CALL("cuStreamDestroy"); return OK; }
Result cuStreamSynchronize(void*) { CALL("cuStreamSynchronize"); return OK; }
Result cuMemcpyHtoDAsync_v2(u64 to, const void* from, size_t bytes, void*) {
  CALL("cuMemcpyHtoDAsync");
  memcpy((void*)to, from, bytes);
  return OK;
}
Result cuMemcpyDtoHAsync_v2(void* to, u64 from, size_t bytes, void*) {
  CALL("cuMemcpyDtoHAsync");
  memcpy(to, (void*)from, bytes);
  return OK;
}
Result cuMemcpyDtoDAsync_v2(u64 to, u64 from, size_t bytes, void*) {
  CALL("cuMemcpyDtoDAsync");
  memmove((void*)to, (void*)from, bytes);
  return OK;
}
Result cuMemsetD8Async(u64 to, u8 value, size_t bytes, void*) {
  CALL("cuMemsetD8Async");
  memset((void*)to, value, bytes);
  return OK;
}
Result cuLaunchKernel(void* function, u32 x, u32 y, u32 z, u32 threads, u32 ty, u32 tz, u32 shared, void*, void** arguments, void**) {
  CALL("cuLaunchKernel");
  if (z != 1 || ty != 1 || tz != 1) return INVALID_VALUE;
  auto* kernel = (Function*)function;
  host::launch({x, y, 1}, threads, shared, [&] { kernel->run(arguments[0]); });
  bool gathers = kernel->name.substr(0, 6) == "gather" || kernel->name.substr(0, 6) == "bounds";
  if (getenv("DRIVER_WRONG") && gathers) {
    auto* args = (GatherArgs*)arguments[0];
    for (u32 i = 0; i < args->count; i++) args->scores[i] += 1.0f;
  }
  return OK;
}
Result cuEventCreate(void** event, u32) { CALL("cuEventCreate"); *event = (void*)48; return OK; }
Result cuEventDestroy_v2(void*) { CALL("cuEventDestroy"); return OK; }
Result cuEventRecord(void*, void*) { CALL("cuEventRecord"); return OK; }
Result cuEventElapsedTime(float* ms, void*, void*) { CALL("cuEventElapsedTime"); *ms = 1.0f; return OK; }
Result cuGetErrorName(Result, const char** name) { *name = "AN_ERROR_OF_TESTS"; return OK; }
Result cuGetErrorString(Result error, const char** text) {
  *text = error == OUT_OF_MEMORY ? "out of memory" : error == 700 ? "an illegal memory access was encountered" : "an error";
  return OK;
}
}
