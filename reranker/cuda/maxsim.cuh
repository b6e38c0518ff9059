// What both MaxSim kernels share: how rows lie in the registers of a warp, and the end of a document.
//
// The tensor cores take A = 32 query tokens (two tiles of 16 rows) and B = 8 document tokens. A dot
// product does not care for the order of its terms, so lane l takes 16-byte pieces of the row of
// document token l/4 (piece l%4 of every 64 bytes) just as they lie in memory, and the same pieces
// of the query rows l/4, l/4+8, l/4+16 and l/4+24: no transposition, no shared memory. A row is a
// multiple of 32 bytes; a last half of 64 bytes goes as 8-byte pieces.
//
// Afterwards lane l holds products of the query rows above with the document tokens 2(l%4) and
// 2(l%4)+1, keeps their running maximum, and only the end of a document needs other lanes.
#pragma once
#include "device.cuh"

// 1.5 * 2^23: an integer under 2^22 added to these bits is the float 1.5 * 2^23 + that integer.
#define MAGIC_BITS 0x4b400000u
#define MAGIC 12582912.0f

template <int ROW> __device__ __forceinline__ void load_row(u32* w, const u8* row, u32 piece) {
#pragma unroll
  for (int u = 0; u < ROW / 64; u++) load16(w + 4 * u, row + 64 * u + 16 * piece);
  if constexpr (ROW % 64 != 0) load8(w + 4 * (ROW / 64), row + ROW / 64 * 64 + 8 * piece);
}

// The 32 query rows as the A operand: [tile of 16 rows][32 bytes of k][4 registers].
template <int ROW> __device__ __forceinline__ void load_query(u32 a[2][ROW / 32][4], const u8* rows, u32 lane) {
#pragma unroll
  for (int m = 0; m < 2; m++) {
    u32 low[ROW / 16], high[ROW / 16];
    load_row<ROW>(low, rows + (u64)(16 * m + lane / 4) * ROW, lane % 4);
    load_row<ROW>(high, rows + (u64)(16 * m + 8 + lane / 4) * ROW, lane % 4);
#pragma unroll
    for (int k = 0; k < ROW / 32; k++) {
      a[m][k][0] = low[2 * k];
      a[m][k][1] = high[2 * k];
      a[m][k][2] = low[2 * k + 1];
      a[m][k][3] = high[2 * k + 1];
    }
  }
}

// Dot products of 32 query rows with 8 document rows; x[m][0..1] row l/4, x[m][2..3] row l/4 + 8.
struct Half {
  static const bool scaled = false;
  template <int ROW>
  static __device__ __forceinline__ void dots(float x[2][4], const u32 a[2][ROW / 32][4], const u32* b, float, float) {
#pragma unroll
    for (int m = 0; m < 2; m++)
      for (int i = 0; i < 4; i++) x[m][i] = 0.0f;
#pragma unroll
    for (int k = 0; k < ROW / 32; k++)
      for (int m = 0; m < 2; m++) mma_half(x[m], a[m][k], b[2 * k], b[2 * k + 1]);
  }
};
// The integer dot product times the document token's scale, rounded once as the CPU does: the
// accumulator starts at MAGIC, which makes the conversion to a float one exact subtraction.
struct Byte {
  static const bool scaled = true;
  template <int ROW>
  static __device__ __forceinline__ void dots(float x[2][4], const u32 a[2][ROW / 32][4], const u32* b, float s0, float s1) {
    static_assert(127 * 127 * ROW < (1 << 22), "a dot product must stay under 2^22");
    int d[2][4];
#pragma unroll
    for (int m = 0; m < 2; m++)
      for (int i = 0; i < 4; i++) d[m][i] = (int)MAGIC_BITS;
#pragma unroll
    for (int k = 0; k < ROW / 32; k++)
      for (int m = 0; m < 2; m++) mma_byte(d[m], a[m][k], b[2 * k], b[2 * k + 1]);
#pragma unroll
    for (int m = 0; m < 2; m++)
      for (int i = 0; i < 4; i++) x[m][i] = mul(add(float_of((u32)d[m][i]), -MAGIC), i % 2 ? s1 : s0);
  }
};

#define LOWEST float_of(0xff800000u)

__device__ __forceinline__ void reset(float top[2][2]) {
#pragma unroll
  for (int m = 0; m < 2; m++) top[m][0] = top[m][1] = LOWEST;
}
__device__ __forceinline__ void absorb(float top[2][2], const float x[2][4]) {
#pragma unroll
  for (int m = 0; m < 2; m++) {
    top[m][0] = larger(top[m][0], larger(x[m][0], x[m][1]));
    top[m][1] = larger(top[m][1], larger(x[m][2], x[m][3]));
  }
}
// The largest products of 32 query tokens with a document, times the query token's scale, added to
// the document's sums. As on the CPU, token i is added to sum i % 16: lane l keeps sums l/4 and
// l/4 + 8.
__device__ __forceinline__ void finish(float sums[2], const float top[2][2], const float scale[2][2]) {
#pragma unroll
  for (int m = 0; m < 2; m++)
    for (int h = 0; h < 2; h++) {
      float v = top[m][h];
      v = larger(v, shuffle_xor(v, 1));
      v = larger(v, shuffle_xor(v, 2));
      sums[h] = add(sums[h], mul(v, scale[m][h]));
    }
}
// The 16 sums are added in halves.
__device__ __forceinline__ float total(const float sums[2]) {
  float sum = add(sums[0], sums[1]);
  sum = add(sum, shuffle_xor(sum, 16));
  sum = add(sum, shuffle_xor(sum, 8));
  return add(sum, shuffle_xor(sum, 4));
}
__device__ __forceinline__ void load_scales(float scale[2][2], const float* rows, u32 lane) {
#pragma unroll
  for (int m = 0; m < 2; m++)
    for (int h = 0; h < 2; h++) scale[m][h] = rows ? load_float(rows + 16 * m + 8 * h + lane / 4) : 1.0f;
}
