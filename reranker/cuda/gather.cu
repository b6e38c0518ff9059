// MaxSim of queries with a ragged gather of candidate documents.
//
// Plan. A warp takes a task: up to 32 candidates of one query. It keeps the query's 32 tokens in
// registers, and its lanes hold where each candidate's tokens lie. Then the candidates' tokens run
// by as one stream of tiles of 8 tokens, DEPTH tiles loaded ahead straight into registers, across
// the bounds of documents: some 50 KB a multiprocessor in flight. Nothing is shared between warps: no
// barrier, no shared memory. Past the end of a document its last token is
// repeated, which no maximum minds. For a query of more than 32 tokens the candidates run by once for
// each 32, and their 16 sums wait in `partial`.
#include "maxsim.cuh"

struct Task {
  u32 row;    // the query's first row in `queries`
  u32 parts;  // how many times 32 rows
  u32 start;  // its first candidate
  u32 count;  // its candidates, at most 32
};
struct GatherArgs {
  const u8* queries;         // rows of all queries, each query padded with zero rows to a multiple of 32
  const float* query_scale;  // a row's scale; null for halves
  const float* query_reach;  // bounds: how much an error of 1 in a document token may move a product
  const u8* docs;            // rows of all documents' tokens
  const float* doc_scale;    // a token's scale; null for halves
  const float* doc_error;    // bounds: a token's error
  const u64* offsets;        // document d's tokens are offsets[d] .. offsets[d + 1]
  const u32* candidates;
  const Task* tasks;
  float* scores;  // by candidate
  float* upper;   // bounds only
  float* lower;
  float* partial;  // 16 sums for each candidate and each of scores, upper, lower; for long queries
  u32 task_count;
  u32 count;  // candidates of all tasks
  float empty;  // the score of a document without tokens
};

// Where the stream stands: candidate `at` of the task, whose next tile starts at token `next`.
struct Cursor {
  u32 at;
  int next, length;
  u64 first;
};
__device__ __forceinline__ void enter(Cursor& c, u32 count, int my_length, u64 my_first) {
  for (; c.at < count; c.at++) {
    c.length = (int)shuffle((u32)my_length, c.at);
    if (c.length > 0) break;
  }
  if (c.at < count) {
    c.first = (u64)shuffle((u32)my_first, c.at) | (u64)shuffle((u32)(my_first >> 32), c.at) << 32;
    c.next = 0;
  }
}

__device__ __forceinline__ void end_document(float* out, float* partial, u32 i, u32 lane, bool first, bool last,
                                             const float top[2][2], const float scale[2][2]) {
  float sums[2] = {0.0f, 0.0f};
  float* mine = partial + 16 * (u64)i + lane / 4;
  if (!first) sums[0] = mine[0], sums[1] = mine[8];
  finish(sums, top, scale);
  if (last) {
    float sum = total(sums);
    if (lane == 0) out[i] = sum;
  } else {
    mine[0] = sums[0], mine[8] = sums[1];  // the four lanes of a row have and read the same
  }
}

template <class K, int ROW, int DEPTH, bool BOUNDS> __device__ __forceinline__ void gather(const GatherArgs& args) {
  u32 lane = threadIdx.x % 32;
  u32 index = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
  if (index >= args.task_count) return;
  Task task = args.tasks[index];
  int my_length = 0;
  u64 my_first = 0;
  if (lane < task.count) {
    u32 document = args.candidates[task.start + lane];
    my_first = args.offsets[document];
    my_length = (int)(args.offsets[document + 1] - my_first);
    if (my_length == 0) {
      args.scores[task.start + lane] = args.empty;
      if (BOUNDS) args.upper[task.start + lane] = args.lower[task.start + lane] = args.empty;
    }
  }
  for (u32 part = 0; part < task.parts; part++) {
    u64 row = task.row + 32 * part;
    u32 a[2][ROW / 32][4];
    float scale[2][2], reach[2][2];
    load_query<ROW>(a, args.queries + row * ROW, lane);
    load_scales(scale, K::scaled ? args.query_scale + row : nullptr, lane);
    if (BOUNDS) load_scales(reach, args.query_reach + row, lane);

    u32 tile[DEPTH][ROW / 16];
    float s[DEPTH][2], e[DEPTH][2];
    Cursor ahead;
    ahead.at = 0;
    enter(ahead, task.count, my_length, my_first);
    auto load = [&](int slot) {
      if (ahead.at >= task.count) return;
      int token = ahead.next + (int)(lane / 4);
      if (token >= ahead.length) token = ahead.length - 1;
      load_row<ROW>(tile[slot], args.docs + (ahead.first + token) * ROW, lane % 4);
      if (K::scaled) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
          int column = ahead.next + (int)(2 * (lane % 4)) + i;
          if (column >= ahead.length) column = ahead.length - 1;
          s[slot][i] = load_float(args.doc_scale + ahead.first + column);
          if (BOUNDS) e[slot][i] = load_float(args.doc_error + ahead.first + column);
        }
      }
      ahead.next += 8;
      if (ahead.next >= ahead.length) {
        ahead.at++;
        enter(ahead, task.count, my_length, my_first);
      }
    };
#pragma unroll
    for (int i = 0; i < DEPTH; i++) load(i);

    float top[2][2], up[2][2], low[2][2];
    reset(top);
    if (BOUNDS) reset(up), reset(low);
    u32 at = 0;
    int left = 0;
    auto next_document = [&]() {
      for (; at < task.count; at++) {
        left = (int)shuffle((u32)my_length, at);
        if (left > 0) break;
      }
    };
    next_document();
    while (at < task.count) {
#pragma unroll
      for (int slot = 0; slot < DEPTH; slot++) {
        if (at >= task.count) break;
        float x[2][4];
        K::template dots<ROW>(x, a, tile[slot], s[slot][0], s[slot][1]);
        absorb(top, x);
        if (BOUNDS) {
          float y[2][4], z[2][4];
#pragma unroll
          for (int m = 0; m < 2; m++)
            for (int i = 0; i < 4; i++) {
              float off = mul(reach[m][i / 2], e[slot][i % 2]);
              y[m][i] = add(x[m][i], off);
              z[m][i] = add(x[m][i], -off);
            }
          absorb(up, y);
          absorb(low, z);
        }
        load(slot);
        left -= 8;
        if (left <= 0) {
          u32 i = task.start + at;
          bool first = part == 0, last = part + 1 == task.parts;
          end_document(args.scores, args.partial, i, lane, first, last, top, scale);
          if (BOUNDS) {
            end_document(args.upper, args.partial + 16 * (u64)args.count, i, lane, first, last, up, scale);
            end_document(args.lower, args.partial + 32 * (u64)args.count, i, lane, first, last, low, scale);
          }
          reset(top);
          if (BOUNDS) reset(up), reset(low);
          at++;
          next_document();
        }
      }
    }
  }
}

#define GATHER(name, kind, row, depth, bounds, blocks)                                              \
  extern "C" __global__ void __launch_bounds__(128, blocks) name(const GatherArgs args) {           \
    gather<kind, row, depth, bounds>(args);                                                         \
  }
GATHER(gather_i8_32, Byte, 32, 6, false, 4)
GATHER(gather_i8_64, Byte, 64, 6, false, 4)
GATHER(gather_i8_96, Byte, 96, 4, false, 4)
GATHER(gather_i8_128, Byte, 128, 4, false, 4)
GATHER(gather_i8_256, Byte, 256, 2, false, 3)
GATHER(gather_f16_32, Half, 64, 6, false, 4)
GATHER(gather_f16_64, Half, 128, 4, false, 4)
GATHER(gather_f16_96, Half, 192, 2, false, 4)
GATHER(gather_f16_128, Half, 256, 3, false, 3)
GATHER(bounds_i8_32, Byte, 32, 6, true, 4)
GATHER(bounds_i8_64, Byte, 64, 6, true, 4)
GATHER(bounds_i8_96, Byte, 96, 3, true, 4)
GATHER(bounds_i8_128, Byte, 128, 3, true, 4)
GATHER(bounds_i8_256, Byte, 256, 2, true, 2)
