// MaxSim of a batch of queries with every document of a range, and the best of a row of scores.
//
// Plan. Tokens of consecutive documents are one stream. A block of 8 warps takes a run of documents
// and a group of queries, each warp QUERIES of them in registers; the stream passes through shared
// memory in stages of 64 tokens, copied STAGES - 1 ahead, so one load from memory serves all the
// block's queries and the tensor cores are the limit. Tiles of 8 tokens follow the stream, not the
// documents: a tile in which a document ends is taken in pieces, with the columns of the others
// masked, so no product is computed twice. Rows lie in shared memory with the halves of every 128
// bytes swapped in odd rows, which keeps the 16-byte reads free of bank conflicts.
#include "maxsim.cuh"

#define STAGE 64
#define STAGES 4
#define WARPS 8

struct ExhaustiveArgs {
  const u8* queries;         // 32 rows a query
  const float* query_scale;  // a row's scale; null for halves
  const u8* docs;
  const float* doc_scale;
  const u64* offsets;
  const u32* bounds;  // block x takes documents bounds[x] .. bounds[x + 1]
  float* scores;      // scores[query * stride + document - first]
  u64 stride;
  u32 first;
  u32 query_count;
  float empty;
};

template <int ROW> __device__ __forceinline__ u32 swizzled(u32 row, u32 byte) {
  return row * ROW + (ROW % 128 == 0 ? byte ^ (row & 1) << 6 : byte);
}

template <class K, int ROW, int QUERIES> __device__ __forceinline__ void exhaustive(const ExhaustiveArgs& args, u8* shared) {
  const u32 STEP = STAGE * ROW + STAGE * 4;
  u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  u32 document = args.bounds[blockIdx.x], last = args.bounds[blockIdx.x + 1];
  if (document == last) return;
  u64 first = args.offsets[document];
  int tokens = (int)(args.offsets[last] - first);
  int stages = (tokens + STAGE - 1) / STAGE;

  auto copy = [&](int stage) {
    if (stage < stages) {
      u8* to = shared + (stage % STAGES) * STEP;
      for (u32 i = threadIdx.x; i < STAGE * ROW / 16; i += 32 * WARPS) {
        u32 row = i / (ROW / 16), byte = i % (ROW / 16) * 16;
        int token = stage * STAGE + (int)row;
        if (token >= tokens) token = tokens - 1;
        copy16(to + swizzled<ROW>(row, byte), args.docs + (first + token) * ROW + byte);
      }
      if (K::scaled && threadIdx.x < STAGE) {
        int token = stage * STAGE + (int)threadIdx.x;
        if (token >= tokens) token = tokens - 1;
        copy4(to + STAGE * ROW + 4 * threadIdx.x, args.doc_scale + first + token);
      }
    }
    copies_commit();
  };
  for (int i = 0; i < STAGES - 1; i++) copy(i);

  u32 a[QUERIES][2][ROW / 32][4];
  float scale[QUERIES][2][2], top[QUERIES][2][2];
  u32 query = (blockIdx.y * WARPS + warp) * QUERIES;
#pragma unroll
  for (int q = 0; q < QUERIES; q++) {
    u64 row = query + q < args.query_count ? query + q : args.query_count - 1;  // twice is harmless: not written
    load_query<ROW>(a[q], args.queries + 32 * row * ROW, lane);
    load_scales(scale[q], K::scaled ? args.query_scale + 32 * row : nullptr, lane);
    reset(top[q]);
  }
  auto end_of = [&](u32 d) { return (int)(args.offsets[(d < last ? d : last - 1) + 1] - first); };
  int start = 0, end = end_of(document), next_end = end_of(document + 1);
  // Ends documents until one reaches past `stop`; returns with document == last at the end of all.
  auto leave = [&]() {
#pragma unroll
    for (int q = 0; q < QUERIES; q++) {
      float sums[2] = {0.0f, 0.0f};
      finish(sums, top[q], scale[q]);
      float score = total(sums);
      if (lane == 0 && query + q < args.query_count)
        args.scores[(query + q) * args.stride + (document - args.first)] = end > start ? score : args.empty;
      reset(top[q]);
    }
    document++;
    start = end;
    end = next_end;
    next_end = end_of(document + 1);
  };

  for (int stage = 0; stage < stages; stage++) {
    copies_wait<STAGES - 2>();
    __syncthreads();
    copy(stage + STAGES - 1);
    const u8* from = shared + (stage % STAGES) * STEP;
#pragma unroll 2
    for (int tile = 0; tile < STAGE / 8; tile++) {
      int at = stage * STAGE + 8 * tile;
      if (at >= tokens) break;
      u32 b[ROW / 16], row = 8 * tile + lane / 4;
#pragma unroll
      for (int u = 0; u < ROW / 64; u++) read16(b + 4 * u, from + swizzled<ROW>(row, 64 * u + 16 * (lane % 4)));
      if constexpr (ROW % 64 != 0) read8(b + 4 * (ROW / 64), from + swizzled<ROW>(row, ROW / 64 * 64 + 8 * (lane % 4)));
      float s[2] = {1.0f, 1.0f};
      if (K::scaled) {
        const float* scales = (const float*)(from + STAGE * ROW) + 8 * tile + 2 * (lane % 4);
        s[0] = scales[0], s[1] = scales[1];
      }
      float x[QUERIES][2][4];
#pragma unroll
      for (int q = 0; q < QUERIES; q++) K::template dots<ROW>(x[q], a[q], b, s[0], s[1]);
      if (end > at + 8) {
#pragma unroll
        for (int q = 0; q < QUERIES; q++) absorb(top[q], x[q]);
        continue;
      }
      int begin = at, column = at + (int)(2 * (lane % 4));
      for (;;) {
        int stop = end < at + 8 ? end : at + 8;
        bool in0 = column >= begin && column < stop, in1 = column + 1 >= begin && column + 1 < stop;
#pragma unroll
        for (int q = 0; q < QUERIES; q++) {
          float y[2][4];
#pragma unroll
          for (int m = 0; m < 2; m++)
            for (int i = 0; i < 4; i++) y[m][i] = (i % 2 ? in1 : in0) ? x[q][m][i] : LOWEST;
          absorb(top[q], y);
        }
        if (end > at + 8) break;
        leave();
        if (document == last) break;
        begin = stop;
      }
    }
  }
  while (document < last) leave();  // only when the run has no token at all
}

#define EXHAUSTIVE(name, kind, row, queries, blocks)                                                \
  extern "C" __global__ void __launch_bounds__(32 * WARPS, blocks) name(const ExhaustiveArgs args) { \
    SHARED_BYTES(shared);                                                                           \
    exhaustive<kind, row, queries>(args, shared);                                                   \
  }
EXHAUSTIVE(exhaustive_i8_32, Byte, 32, 2, 2)
EXHAUSTIVE(exhaustive_i8_64, Byte, 64, 2, 2)
EXHAUSTIVE(exhaustive_i8_96, Byte, 96, 2, 2)
EXHAUSTIVE(exhaustive_i8_128, Byte, 128, 2, 2)
EXHAUSTIVE(exhaustive_i8_256, Byte, 256, 1, 2)
EXHAUSTIVE(exhaustive_f16_32, Half, 64, 2, 2)
EXHAUSTIVE(exhaustive_f16_64, Half, 128, 2, 2)
EXHAUSTIVE(exhaustive_f16_96, Half, 192, 1, 2)
EXHAUSTIVE(exhaustive_f16_128, Half, 256, 1, 2)

// The best k of each row of scores, as a list that surely holds them: one block a row finds, by two
// passes over histograms of 2,048 bins (the upper 22 bits of the score's order), the bin in which
// the k-th lies, and lists every score of that bin or above. The list may be longer than k (ties and
// neighbours); longer than `room`, its true length tells, and the caller reads the row itself.
struct SelectArgs {
  const float* scores;
  u64 stride;
  u32 count;  // scores in a row
  u32 k;
  u32 room;       // entries of a row's list
  u32* lengths;   // how many there are, which may be more than `room`
  u32* documents; // [row][room]
  float* values;
};
#define BINS 2048
#define SELECT_THREADS 512

// Larger floats have larger keys.
__device__ __forceinline__ u32 key_of(float v) {
  u32 bits = bits_of(v);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

extern "C" __global__ void __launch_bounds__(SELECT_THREADS) select_best(const SelectArgs args) {
  SHARED_BYTES(shared);
  u32* bins = (u32*)shared;
  u32* state = bins + BINS;  // [0] the bin found, [1] how many are still wanted in it, [2] entries listed
  const float* row = args.scores + blockIdx.x * args.stride;
  u32 prefix = 0, wanted = args.k < args.count ? args.k : args.count;
  for (u32 pass = 0; pass < 2; pass++) {
    u32 shift = pass ? 10 : 21;
    for (u32 i = threadIdx.x; i < BINS; i += SELECT_THREADS) bins[i] = 0;
    __syncthreads();
    for (u32 i = threadIdx.x; i < args.count; i += SELECT_THREADS) {
      u32 key = key_of(row[i]);
      if (pass == 0 || key >> 21 == prefix) add_shared(&bins[key >> shift & (BINS - 1)], 1);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      u32 above = 0, bin = BINS - 1;
      while (bin > 0 && above + bins[bin] < wanted) above += bins[bin--];
      state[0] = bin;
      state[1] = wanted - above;
      state[2] = 0;
    }
    __syncthreads();
    prefix = pass ? prefix << 11 | state[0] : state[0];
    wanted = state[1];
    __syncthreads();
  }
  for (u32 i = threadIdx.x; i < args.count; i += SELECT_THREADS) {
    float v = row[i];
    if (key_of(v) >> 10 < prefix) continue;
    u32 at = add_shared(&state[2], 1);
    if (at >= args.room) continue;
    args.documents[(u64)blockIdx.x * args.room + at] = i;
    args.values[(u64)blockIdx.x * args.room + at] = v;
  }
  __syncthreads();
  if (threadIdx.x == 0) args.lengths[blockIdx.x] = state[2];
}

// Adds the scores of a long query's next 32 tokens to those of its first.
struct AddArgs {
  float* to;
  const float* from;
  u64 count;
};
extern "C" __global__ void add_rows(const AddArgs args) {
  for (u64 i = blockIdx.x * (u64)blockDim.x + threadIdx.x; i < args.count; i += (u64)blockDim.x * gridDim.x)
    args.to[i] = add(args.to[i], args.from[i]);
}
