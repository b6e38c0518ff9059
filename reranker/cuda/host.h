// The operations of device.cuh in plain C++, so that the very same kernels run on a host without a
// GPU. A block's threads are fibers of one thread: each runs until it meets the others of its warp
// (shuffle, matrix product) or block (barrier). The order of the fibers is fixed, so what this finds
// is wrong arithmetic, indexing and control flow; races and missing waits are for compute-sanitizer.
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)

namespace host {
struct Index { u32 x, y, z; };
// A context begins a fiber; from then on jumps switch, which ask nothing of the system.
struct Fiber {
  ucontext_t context;
  jmp_buf here;
  bool begun = false;
  std::vector<char> stack;
  u64 wait_warp = 0, wait_block = 0;  // meetings this fiber has come to
  bool done = false;
};
inline std::vector<Fiber> fibers;
inline jmp_buf scheduler;
inline u32 current;
inline Index thread_index, block_index, block_size, grid_size;
inline std::vector<u64> met_warp;  // meetings completed, by warp
inline std::vector<u32> at_warp;
inline u64 met_block = 0;
inline u32 at_block = 0;
inline std::function<void()> body;
inline std::vector<u8> shared_memory;
// What the lanes of a warp show each other, by parity of the meeting: nobody is two meetings ahead.
struct Shown { u32 w[8]; };
inline std::vector<Shown> shown[2];

inline void yield() {
  if (!_setjmp(fibers[current].here)) _longjmp(scheduler, 1);
}
__attribute__((noinline)) inline void resume() {
  Fiber& fiber = fibers[current];
  if (_setjmp(scheduler)) return;
  if (fiber.begun) _longjmp(fiber.here, 1);
  fiber.begun = true;
  setcontext(&fiber.context);
}
inline void enter() {
  body();
  fibers[current].done = true;
  yield();
}
// Shows `words` to the warp and waits until all 32 lanes have shown theirs.
inline const Shown* meet(const u32* words, int count) {
  Fiber& me = fibers[current];
  u32 warp = current / 32;
  auto& board = shown[me.wait_warp & 1];
  memcpy(board[current].w, words, sizeof(u32) * count);
  me.wait_warp++;
  if (++at_warp[warp] == 32) at_warp[warp] = 0, met_warp[warp]++;
  while (met_warp[warp] < me.wait_warp) yield();
  return &board[warp * 32];
}
inline void barrier() {
  Fiber& me = fibers[current];
  me.wait_block++;
  if (++at_block == fibers.size()) at_block = 0, met_block++;
  while (met_block < me.wait_block) yield();
}
inline void launch(Index grid, u32 block, u32 shared_bytes, std::function<void()> kernel) {
  body = std::move(kernel);
  block_size = {block, 1, 1};
  grid_size = grid;
  for (u32 y = 0; y < grid.y; y++)
    for (u32 x = 0; x < grid.x; x++) {
      block_index = {x, y, 0};
      shared_memory.assign(shared_bytes + 128, 0xaa);
      if (fibers.size() != block) fibers = std::vector<Fiber>(block);  // stacks are kept
      met_warp.assign(block / 32, 0), at_warp.assign(block / 32, 0);
      met_block = 0, at_block = 0;
      for (auto& board : shown) board.assign(block, Shown{});
      for (auto& fiber : fibers) {
        if (fiber.stack.empty()) fiber.stack.resize(64 << 10);
        fiber.wait_warp = fiber.wait_block = 0, fiber.done = fiber.begun = false;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = fiber.stack.size();
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, enter, 0);
      }
      for (u32 left = block, idle = 0; left > 0;) {
        left = 0;
        u64 before = met_block;
        for (u64 m : met_warp) before += m;
        for (current = 0; current < block; current++) {
          if (fibers[current].done) continue;
          thread_index = {current, 0, 0};
          resume();
          left += !fibers[current].done;
        }
        u64 after = met_block;
        for (u64 m : met_warp) after += m;
        idle = after == before ? idle + 1 : 0;
        if (left > 0 && idle > 2) {
          fprintf(stderr, "the threads of a block wait for each other forever\n");
          exit(3);
        }
      }
    }
}
inline float half(u32 bits) {
  u32 sign = (bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 1023;
  float magnitude = exponent == 0    ? std::ldexp((float)fraction, -24)
                    : exponent == 31 ? (fraction ? NAN : INFINITY)
                                     : std::ldexp((float)(fraction | 1024), (int)exponent - 25);
  return sign ? -magnitude : magnitude;
}
// Element (row, k) of A and (k, column) of B of m16n8k16, from the registers the lanes showed.
inline u32 register_of_a(const Shown* s, int row, int k, int per) {
  return s[row % 8 * 4 + k % (4 * per) / per].w[(row >= 8) + 2 * (k >= 4 * per)];
}
inline u32 register_of_b(const Shown* s, int k, int column, int per) {
  return s[column * 4 + k % (4 * per) / per].w[4 + (k >= 4 * per)];
}
}  // namespace host

#define threadIdx host::thread_index
#define blockIdx host::block_index
#define blockDim host::block_size
#define gridDim host::grid_size
#define SHARED_BYTES(name) \
  u8* name = (u8*)(((unsigned long)host::shared_memory.data() + 127) / 128 * 128)

inline void __syncthreads() { host::barrier(); }
inline void aligned(const void* p, unsigned long bytes) {
  if ((unsigned long)p % bytes) {
    fprintf(stderr, "an address is no multiple of %lu\n", bytes);
    exit(3);
  }
}
inline void load16(u32* w, const void* p) { aligned(p, 16), memcpy(w, p, 16); }
inline void load8(u32* w, const void* p) { aligned(p, 8), memcpy(w, p, 8); }
inline void read16(u32* w, const void* p) { load16(w, p); }
inline void read8(u32* w, const void* p) { load8(w, p); }
inline float load_float(const float* p) { return *p; }
inline float float_of(u32 bits) { float v; memcpy(&v, &bits, 4); return v; }
inline u32 bits_of(float v) { u32 bits; memcpy(&bits, &v, 4); return bits; }
inline float mul(float a, float b) { return a * b; }  // compiled with -ffp-contract=off
inline float add(float a, float b) { return a + b; }
inline float fma_(float a, float b, float c) { return std::fma(a, b, c); }
inline float larger(float a, float b) { return std::fmax(a, b); }
inline u32 shuffle(u32 v, u32 from) { return host::meet(&v, 1)[from % 32].w[0]; }
inline float shuffle_xor(float v, u32 mask) {
  u32 bits = bits_of(v);
  return float_of(host::meet(&bits, 1)[(threadIdx.x % 32) ^ mask].w[0]);
}
inline const host::Shown* show_operands(const u32* a, u32 b0, u32 b1) {
  u32 words[6] = {a[0], a[1], a[2], a[3], b0, b1};
  return host::meet(words, 6);
}
inline void mma_half(float* d, const u32* a, u32 b0, u32 b1) {
  const host::Shown* s = show_operands(a, b0, b1);
  int lane = threadIdx.x % 32;
  for (int i = 0; i < 4; i++) {
    int row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
    for (int k = 0; k < 16; k++)
      d[i] += host::half(host::register_of_a(s, row, k, 2) >> 16 * (k % 2) & 0xffff) *
              host::half(host::register_of_b(s, k, column, 2) >> 16 * (k % 2) & 0xffff);
  }
}
inline void mma_byte(int* d, const u32* a, u32 b0, u32 b1) {
  const host::Shown* s = show_operands(a, b0, b1);
  int lane = threadIdx.x % 32;
  for (int i = 0; i < 4; i++) {
    int row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
    for (int k = 0; k < 32; k++)
      d[i] += (int)(signed char)(host::register_of_a(s, row, k, 4) >> 8 * (k % 4)) *
              (int)(signed char)(host::register_of_b(s, k, column, 4) >> 8 * (k % 4));
  }
}
inline void copy16(void* to, const void* from) { aligned(to, 16), aligned(from, 16), memcpy(to, from, 16); }
inline void copy4(void* to, const void* from) { aligned(to, 4), aligned(from, 4), memcpy(to, from, 4); }
inline void copies_commit() {}
template <int N> inline void copies_wait() {}
inline u32 add_shared(u32* p, u32 v) { u32 old = *p; *p += v; return old; }
