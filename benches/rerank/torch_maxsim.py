#!/usr/bin/env python3
"""MaxSim of queries with ragged candidates in PyTorch, on a GPU: what the CUDA kernels are compared with.

    python3 torch_maxsim.py [--documents 150000] [--out FILE]

Documents of 20 to 180 tokens of 128 fp16 values lie one after another in device memory, as in the
kernels' benchmark. Timed with events, median of the repeats, gathering included:

- padded: candidates gathered into [queries, 1000, longest, 128], einsum, mask, maximum, sum
- flat: a query's candidates gathered into one matrix without padding, matrix product, maximum by
  document (segment_reduce), sum; a loop over queries
- loop: one matrix product a candidate, one query
- flash-maxsim: the Triton kernel of the package of that name (PyPI, 0.3.0), where it is installed:
  one call a query, which reads the candidates' rows where they lie (flash_maxsim_rerank_direct)

The package numbers values in 32 bits, so there are no more than 2^31 of them here.
"""

import argparse
import json
import sys

try:
    import torch
except ImportError:
    sys.exit("skipped: PyTorch is not installed")

DIMS, ROWS, DEPTH = 128, 32, 1000


def median_us(run, repeats):
    for _ in range(2):
        run(0)
    times = []
    for i in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run(i)
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) * 1e3)
    return sorted(times)[len(times) // 2]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=150_000)
    parser.add_argument("--out")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("skipped: PyTorch sees no CUDA device")
        return
    torch.manual_seed(1)
    lengths = torch.randint(20, 181, (args.documents,), device="cuda")
    starts = torch.cat([torch.zeros(1, dtype=torch.long, device="cuda"), lengths.cumsum(0)])
    tokens = int(starts[-1])
    rows = torch.empty(tokens, DIMS, dtype=torch.float16, device="cuda")
    for part in rows.split(1 << 20):
        part.copy_(torch.nn.functional.normalize(torch.randn(len(part), DIMS, device="cuda"), dim=1))
    queries = torch.nn.functional.normalize(torch.randn(256, ROWS, DIMS, device="cuda"), dim=2).half()
    sets = [torch.randint(0, args.documents, (256, DEPTH), device="cuda") for _ in range(4)]
    longest = 180
    steps = torch.arange(longest, device="cuda")

    def padded(batch, group):
        def run(i):
            out = []
            for at in range(0, batch, group):
                ids = sets[i % 4][at : at + group]
                length = lengths[ids].unsqueeze(-1)
                index = starts[ids].unsqueeze(-1) + torch.minimum(steps, length - 1)
                docs = rows[index]
                scores = torch.einsum("qid,qntd->qnit", queries[at : at + group], docs)
                scores = scores.masked_fill((steps >= length).unsqueeze(2), float("-inf"))
                out.append(scores.amax(-1).float().sum(-1))
            return torch.cat(out)

        return run

    def flat(batch):
        def run(i):
            out = []
            for q in range(batch):
                ids = sets[i % 4][q]
                length = lengths[ids]
                ends = length.cumsum(0)
                total = DEPTH * longest
                position = torch.arange(total, device="cuda")
                owner = torch.searchsorted(ends, position, right=True).clamp_(max=DEPTH - 1)
                index = starts[ids][owner] + position - (ends - length)[owner]
                used = int(ends[-1])
                scores = (rows[index[:used]] @ queries[q].T).float()
                top = torch.segment_reduce(scores, "max", lengths=length, axis=0)
                out.append(top.sum(-1))
            return torch.stack(out)

        return run

    def loop(i):
        ids = sets[i % 4][0].tolist()
        at, end = host_starts, host_ends
        return torch.stack([(queries[0] @ rows[at[d] : end[d]].T).amax(1).float().sum() for d in ids])

    def flash(batch):
        places = [[(starts[ids].int(), lengths[ids].int()) for ids in s[:batch]] for s in sets]

        def run(i):
            return torch.stack([direct(queries[q], rows, at, length, longest) for q, (at, length) in enumerate(places[i % 4])])

        return run

    host = starts.tolist()
    host_starts, host_ends = host[:-1], host[1:]
    one, other, third = padded(1, 1)(0)[0], flat(1)(0)[0], loop(0)
    assert (one - other).abs().max() < 0.05 and (one - third).abs().max() < 0.05, "the ways disagree"
    try:
        from flash_maxsim import flash_maxsim_rerank_direct as direct
    except ImportError:
        direct = None
        print("flash-maxsim: skipped, it is not installed")
    if direct:
        assert (one - flash(1)(0)[0]).abs().max() < 0.05, "flash-maxsim disagrees"
    results = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "rows": []}
    cases = [
        ("padded", 1, padded(1, 1), 20),
        ("padded", 64, padded(64, 8), 10),
        ("padded", 256, padded(256, 8), 5),
        ("flat", 1, flat(1), 20),
        ("flat", 64, flat(64), 5),
        ("loop", 1, loop, 5),
    ]
    if direct:
        cases += [("flash-maxsim", n, flash(n), 20) for n in (1, 64, 256)]
    for name, batch, run, repeats in cases:
        us = median_us(run, repeats)
        read = batch * DEPTH * 100 * DIMS * 2
        row = {"way": name, "queries": batch, "us": us, "m_documents_s": batch * DEPTH / us, "gb_s": read / us / 1e3}
        results["rows"].append(row)
        print(f"torch {name:<13}{batch:>4} x {DEPTH}{us:>12.1f} us{row['m_documents_s']:>10.2f} M docs/s{row['gb_s']:>8.0f} GB/s")
    if args.out:
        with open(args.out, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
