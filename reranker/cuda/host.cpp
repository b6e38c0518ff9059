// Runs one kernel on the host (host.h), for the tests: `host KERNEL BLOCKS_X BLOCKS_Y THREADS SHARED_BYTES`.
// Standard input holds the kernel's argument structure field by field, each as a u64 length and that
// many bytes: a pointer's target, nothing for a null pointer, or 4 or 8 bytes of a scalar. Standard
// output gets all fields back in that order and form, with what the kernel wrote.
#define MAXSIM_HOST
#include "gather.cu"
#include "exhaustive.cu"

struct Field {
  std::vector<u64> room;  // aligned for every type
  u64 bytes;
};
static std::vector<Field> fields;
static u64 must_read(void* to, u64 bytes) {
  u64 got = fread(to, 1, bytes, stdin);
  if (got != bytes && got != 0) fprintf(stderr, "the input ends early\n"), exit(2);
  return got;
}
template <class T> static void pointer(T*& p, size_t i) {
  if (i >= fields.size()) fprintf(stderr, "too few fields\n"), exit(2);
  u64 at = ((u64)fields[i].room.data() + 15) / 16 * 16;
  p = fields[i].bytes ? (T*)at : nullptr;
}
template <class T> static void scalar(T& v, size_t i) {
  if (i >= fields.size() || fields[i].bytes != sizeof(T)) fprintf(stderr, "field %zu is no scalar\n", i), exit(2);
  const T* p;
  pointer(p, i);
  v = *p;
}

int main(int count, char** words) {
  if (count != 6) return fprintf(stderr, "usage: host KERNEL BLOCKS_X BLOCKS_Y THREADS SHARED_BYTES\n"), 2;
  for (u64 bytes; must_read(&bytes, 8) == 8;) {
    fields.push_back({std::vector<u64>(bytes / 8 + 4), bytes});
    void* p = (void*)(((u64)fields.back().room.data() + 15) / 16 * 16);
    if (bytes && must_read(p, bytes) != bytes) return fprintf(stderr, "the input ends early\n"), 2;
  }
  GatherArgs g;
  ExhaustiveArgs e;
  SelectArgs s;
  AddArgs a;
  std::function<void()> kernel;
  const char* name = words[1];
#define NAMED(text) if (!strcmp(name, #text)) kernel
  if (!strncmp(name, "gather", 6) || !strncmp(name, "bounds", 6)) {
    pointer(g.queries, 0), pointer(g.query_scale, 1), pointer(g.query_reach, 2), pointer(g.docs, 3);
    pointer(g.doc_scale, 4), pointer(g.doc_error, 5), pointer(g.offsets, 6), pointer(g.candidates, 7);
    pointer(g.tasks, 8), pointer(g.scores, 9), pointer(g.upper, 10), pointer(g.lower, 11);
    pointer(g.partial, 12);
    scalar(g.task_count, 13), scalar(g.count, 14), scalar(g.empty, 15);
    NAMED(gather_i8_32) = [&] { gather_i8_32(g); };
    NAMED(gather_i8_64) = [&] { gather_i8_64(g); };
    NAMED(gather_i8_96) = [&] { gather_i8_96(g); };
    NAMED(gather_i8_128) = [&] { gather_i8_128(g); };
    NAMED(gather_i8_256) = [&] { gather_i8_256(g); };
    NAMED(gather_f16_32) = [&] { gather_f16_32(g); };
    NAMED(gather_f16_64) = [&] { gather_f16_64(g); };
    NAMED(gather_f16_96) = [&] { gather_f16_96(g); };
    NAMED(gather_f16_128) = [&] { gather_f16_128(g); };
    NAMED(bounds_i8_32) = [&] { bounds_i8_32(g); };
    NAMED(bounds_i8_64) = [&] { bounds_i8_64(g); };
    NAMED(bounds_i8_96) = [&] { bounds_i8_96(g); };
    NAMED(bounds_i8_128) = [&] { bounds_i8_128(g); };
    NAMED(bounds_i8_256) = [&] { bounds_i8_256(g); };
  } else if (!strncmp(name, "exhaustive", 10)) {
    pointer(e.queries, 0), pointer(e.query_scale, 1), pointer(e.docs, 2), pointer(e.doc_scale, 3);
    pointer(e.offsets, 4), pointer(e.bounds, 5), pointer(e.scores, 6);
    scalar(e.stride, 7), scalar(e.first, 8), scalar(e.query_count, 9), scalar(e.empty, 10);
    NAMED(exhaustive_i8_32) = [&] { exhaustive_i8_32(e); };
    NAMED(exhaustive_i8_64) = [&] { exhaustive_i8_64(e); };
    NAMED(exhaustive_i8_96) = [&] { exhaustive_i8_96(e); };
    NAMED(exhaustive_i8_128) = [&] { exhaustive_i8_128(e); };
    NAMED(exhaustive_i8_256) = [&] { exhaustive_i8_256(e); };
    NAMED(exhaustive_f16_32) = [&] { exhaustive_f16_32(e); };
    NAMED(exhaustive_f16_64) = [&] { exhaustive_f16_64(e); };
    NAMED(exhaustive_f16_96) = [&] { exhaustive_f16_96(e); };
    NAMED(exhaustive_f16_128) = [&] { exhaustive_f16_128(e); };
  } else if (!strcmp(name, "select_best")) {
    pointer(s.scores, 0);
    scalar(s.stride, 1), scalar(s.count, 2), scalar(s.k, 3), scalar(s.room, 4);
    pointer(s.lengths, 5), pointer(s.documents, 6), pointer(s.values, 7);
    kernel = [&] { select_best(s); };
  }
  if (!strcmp(name, "add_rows")) {
    pointer(a.to, 0), pointer(a.from, 1), scalar(a.count, 2);
    kernel = [&] { add_rows(a); };
  }
  if (!kernel) return fprintf(stderr, "no kernel is called %s\n", name), 2;
  host::launch({(u32)atoi(words[2]), (u32)atoi(words[3]), 1}, (u32)atoi(words[4]), (u32)atoi(words[5]), kernel);
  for (size_t i = 0; i < fields.size(); i++) {
    const u8* p = (const u8*)(((u64)fields[i].room.data() + 15) / 16 * 16);
    fwrite(&fields[i].bytes, 8, 1, stdout);
    fwrite(p, 1, fields[i].bytes, stdout);
  }
}
