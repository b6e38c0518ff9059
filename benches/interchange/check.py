#!/usr/bin/env python3
"""What `quarry export` writes, read by others: scipy, Seismic's package and ciff-toolkit.

    pip install numpy scipy pyseismic-lsr ciff-toolkit
    python benches/interchange/check.py target/release/quarry DOCUMENTS.jsonl QUERIES.jsonl

DOCUMENTS and QUERIES are JSON lines of {"id", "vector": {token: weight}}. The index that is exported has
two segments, replaced documents and deleted ones; what should be in it is kept here, in Python. Of each
format, read by a reader that is not ours:

  csr      the matrix is the one expected, to the bit of an f32; its ten best are those of our exact search
  seismic  so is what the package reads; with nothing pruned it finds what our exact search finds
  ciff     headers, gaps, df and cf add up; the ten best of a scoring of the quantised postings, written
           here, are those of our exact search over the file read by `quarry index`
  jsonl    the vectors are those expected, and Seismic's package builds an index of it

Scores may differ by the rounding of the other's arithmetic (Seismic keeps weights in 16-bit floats). Where
two documents' scores differ by no more than that, either may stand; nothing else may differ. Ends with an
error when anything does.
"""

import argparse
import gzip
import json
import shutil
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import scipy.sparse

K = 10


def records(path):
    opened = gzip.open if str(path).endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def run(quarry, *args):
    done = subprocess.run([quarry, *map(str, args)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"quarry {' '.join(map(str, args))}: {done.stderr}")
    return done.stdout


def exact(quarry, index, queries):
    """Our ten best of each query, by proof: {query: [(document, score)]}."""
    found = defaultdict(list)
    for line in run(quarry, "search", index, "--queries", queries, "--method", "exact", "-k", K).splitlines():
        query, _, document, _, score, _ = line.split(" ")
        found[query].append((document, float(score)))
    return found


def best(scores, ids):
    """The ten best documents of a row of scores: higher first, equal ones by id, descending."""
    some = np.flatnonzero(scores > 0)
    return [(ids[at], float(scores[at])) for at in sorted(some, key=lambda at: (-scores[at], [-b for b in ids[at].encode()] + [1]))[:K]]


def same(what, ours, theirs, all_scores, tolerance):
    """Both rankings are the ten best of the same scores, but for what rounding may do."""
    worst, swapped, places = 0.0, 0, 0
    for query, scores in all_scores.items():
        a, b = ours.get(query, []), theirs.get(query, [])
        assert len(a) == len(b), f"{what}, query {query}: {len(a)} and {len(b)} documents"
        places += len(a)
        for place, ((left, ours_score), (right, their_score)) in enumerate(zip(a, b)):
            error = abs(ours_score - their_score) / max(abs(ours_score), 1e-9)
            assert error <= tolerance, f"{what}, query {query}, rank {place + 1}: {ours_score} and {their_score}"
            worst = max(worst, error)
            if left != right:
                gap = abs(scores[left] - scores[right]) / scores[left]
                assert gap <= tolerance, f"{what}, query {query}, rank {place + 1}: {left} and {right}"
                swapped += 1
    print(f"{what}: {len(all_scores)} queries, scores differ by {worst:.1e} at most, {swapped} of {places} places swapped among equals")


def csr(path):
    """BigANN's file by its description, as arrays."""
    with open(path, "rb") as file:
        rows, columns, nnz = np.fromfile(file, np.int64, 3)
        indptr = np.fromfile(file, np.int64, rows + 1)
        indices = np.fromfile(file, np.int32, nnz)
        data = np.fromfile(file, np.float32, nnz)
        assert not file.read(1), f"{path}: more bytes than its head says"
    matrix = scipy.sparse.csr_matrix((data, indices, indptr), shape=(rows, columns))
    matrix.check_format(full_check=True)
    assert matrix.has_sorted_indices
    return matrix


def names(path):
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def as_dicts(matrix, vocabulary):
    out = []
    for row in range(matrix.shape[0]):
        part = slice(matrix.indptr[row], matrix.indptr[row + 1])
        out.append({vocabulary[t]: w for t, w in zip(matrix.indices[part], matrix.data[part])})
    return out


def build(quarry, folder, documents):
    """An index of two segments with documents replaced and deleted, and what is in it, in order."""
    third = len(documents) // 3
    first, second = documents[: 2 * third], documents[2 * third :]
    # The second batch has some documents again, with other vectors.
    again = [{"id": d["id"], "vector": second[n % len(second)]["vector"]} for n, d in enumerate(first[5 : 5 + third // 10])]
    for name, part in [("first", first), ("second", second + again)]:
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"id": d["id"], "vector": d["vector"]}) + "\n" for d in part), encoding="utf-8")
    index = folder / "index"
    run(quarry, "index", folder / "first.jsonl", "--out", index, "--no-tune", "--lists", "impact")
    run(quarry, "add", index, folder / "second.jsonl", "--lists", "impact")
    gone = [d["id"] for d in documents[::17]]
    (folder / "gone").write_text("".join(f"{g}\n" for g in gone), encoding="utf-8")
    run(quarry, "delete", index, "--ids", folder / "gone")
    drop = set(gone)
    replaced = {d["id"] for d in again}
    kept = [d for d in first if d["id"] not in drop | replaced] + [d for d in second + again if d["id"] not in drop]
    return index, kept


def check_csr(quarry, folder, index, kept, asked, ours):
    run(quarry, "export", index, "--format", "csr", "--out", folder / "x.csr")
    run(quarry, "export", index, "--format", "csr", "--queries", asked, "--out", folder / "q.csr")
    documents, questions = csr(folder / "x.csr"), csr(folder / "q.csr")
    ids, vocabulary = names(folder / "x.csr.ids.txt"), names(folder / "x.csr.vocab.txt")
    assert ids == [d["id"] for d in kept], "csr: other documents, or in another order"
    for found, want in zip(as_dicts(documents, vocabulary), kept):
        want_vector = {t: np.float32(w) for t, w in want["vector"].items() if w > 0}
        assert found == want_vector, f"csr: document {want['id']}"
    scores = (questions.astype(np.float64) @ documents.astype(np.float64).T).toarray()
    query_ids = names(folder / "q.csr.ids.txt")
    theirs = {q: best(row, ids) for q, row in zip(query_ids, scores)}
    by_id = {q: dict(zip(ids, row)) for q, row in zip(query_ids, scores)}
    print(f"csr: {documents.shape[0]} documents, {documents.nnz} components, to the bit")
    same("csr, scipy's product", ours, theirs, by_id, 1e-6)
    return by_id


def check_seismic(quarry, folder, index, kept, asked, ours, by_id):
    import seismic

    run(quarry, "export", index, "--format", "seismic", "--out", folder / "x.bin")
    run(quarry, "export", index, "--format", "seismic", "--queries", asked, "--out", folder / "q.bin")
    ids, query_ids = names(folder / "x.bin.ids.txt"), names(folder / "q.bin.ids.txt")
    vocabulary = names(folder / "x.bin.vocab.txt")
    # Every posting kept and nothing skipped: what is left is an exact search.
    everything = dict(n_postings=len(kept), max_fraction=1000.0, centroid_fraction=0.01, summary_energy=1.0)
    raw = seismic.SeismicIndexRaw.build(str(folder / "x.bin"), **everything)
    assert raw.len == len(kept), f"seismic: {raw.len} documents of {len(kept)}"
    assert raw.nnz == sum(sum(w > 0 for w in d["vector"].values()) for d in kept), "seismic: other components"
    for at in range(0, len(kept), 97):
        terms, weights = raw.get(at)
        found = {vocabulary[t]: w for t, w in zip(terms, weights)}
        want = {t: float(np.float16(w)) for t, w in kept[at]["vector"].items() if w > 0}
        assert found.keys() == want.keys(), f"seismic: document {kept[at]['id']}"
        assert all(abs(found[t] - want[t]) <= 1e-3 * want[t] for t in want), f"seismic: document {kept[at]['id']}"
    found = raw.batch_search(str(folder / "q.bin"), k=K, query_cut=10_000, heap_factor=1e-9, n_knn=0, sorted=False)
    # An empty question finds nothing with us; Seismic gives what it meets first, with a score of 0.
    theirs = {q: [(ids[at], score) for score, at in hits if score > 0] for q, hits in zip(query_ids, found)}
    print(f"seismic: {raw.len} documents, {raw.nnz} components")
    same("seismic, nothing pruned", ours, theirs, by_id, 1e-3)


def check_jsonl(quarry, folder, index, kept):
    import seismic

    run(quarry, "export", index, "--format", "jsonl", "--out", folder / "x.jsonl.gz")
    run(quarry, "export", index, "--format", "jsonl", "--out", folder / "x.jsonl")
    found = records(folder / "x.jsonl")
    assert found == records(folder / "x.jsonl.gz"), "jsonl: compressed and plain differ"
    assert [d["id"] for d in found] == [d["id"] for d in kept]
    for a, b in zip(found, kept):
        assert {t: np.float32(w) for t, w in a["vector"].items()} == {t: np.float32(w) for t, w in b["vector"].items() if w > 0}, b["id"]
    built = seismic.SeismicIndex.build(str(folder / "x.jsonl"), centroid_fraction=0.01, load_content=False)
    assert built.len == len(kept), f"jsonl: Seismic read {built.len} of {len(kept)}"
    print(f"jsonl: {len(found)} documents, to the bit; Seismic's package reads {built.len}")


def check_ciff(quarry, folder, index, kept, queries, asked, ours, bits, end):
    from ciff_toolkit.read import CiffReader

    path = folder / f"x{bits}.ciff{end}"
    # Little memory, so that lists are written, and documents read, in many passes.
    report = json.loads(run(quarry, "export", index, "--format", "ciff", "--bits", bits, "--memory", "1MiB", "--out", path, "--json"))
    postings, df = {}, 0
    with CiffReader(path) as reader:
        header = reader.read_header()
        before, lengths = None, [0] * header.num_docs
        for entry in reader.read_postings_lists():
            assert before is None or before < entry.term.encode(), "ciff: terms do not ascend"
            before = entry.term.encode()
            documents = np.cumsum([p.docid for p in entry.postings])
            impacts = np.array([p.tf for p in entry.postings])
            assert entry.df == len(documents) and entry.cf == impacts.sum(), f"ciff: counts of {entry.term}"
            assert (np.diff(documents) > 0).all() and 0 <= documents[0] and documents[-1] < header.num_docs
            assert 1 <= impacts.min() and impacts.max() < 2**bits
            postings[entry.term] = (documents, impacts)
            df += entry.df
            for document, impact in zip(documents, impacts):
                lengths[document] += int(impact)
        found = list(reader.read_documents())
    ids = [record.collection_docid for record in found]
    assert [record.docid for record in found] == list(range(len(kept))), "ciff: docids"
    assert ids == [d["id"] for d in kept], "ciff: other documents, or in another order"
    assert [record.doclength for record in found] == lengths and header.total_terms_in_collection == sum(lengths)
    assert header.version == 1 and header.num_docs == header.total_docs == len(kept)
    assert header.num_postings_lists == header.total_postings_lists == len(postings) == report["lists"]
    assert abs(header.average_doclength - sum(lengths) / len(lengths)) < 1e-6 and df == report["components"]
    assert str(report["scale"]) in header.description, header.description
    worst = 0.0
    at = {term: dict(zip(documents.tolist(), impacts.tolist())) for term, (documents, impacts) in postings.items()}
    for number, document in enumerate(kept):
        for token, weight in document["vector"].items():
            if weight > 0:
                worst = max(worst, abs(weight - at[token][number] / report["scale"]))
    assert worst <= report["max_error"] * (1 + 1e-9) + 1e-6, f"ciff: error {worst}, stated {report['max_error']}"
    theirs, by_id = {}, {}
    for query in queries:
        scores = np.zeros(len(ids))
        for token, weight in query["vector"].items():
            if token in postings:
                documents, impacts = postings[token]
                scores[documents] += np.float32(weight).astype(np.float64) * impacts
        theirs[query["id"]], by_id[query["id"]] = best(scores, ids), dict(zip(ids, scores))
    again = folder / f"ciff{bits}{end}"
    run(quarry, "index", path, "--out", again, "--memory", "128MiB", "--no-tune", "--lists", "impact")
    own = exact(quarry, again, asked)
    print(f"ciff, {bits} bits{end}: {len(ids)} documents, {df} postings in {len(postings)} lists, {report['passes']} passes, "
          f"largest error {worst:.3g} at a scale of {report['scale']:.6g}")
    same(f"ciff, {bits} bits{end}, scored here", own, theirs, by_id, 1e-6)
    shared = [len({d for d, _ in ours[q]} & {d for d, _ in theirs[q]}) / max(len(ours[q]), 1) for q in theirs if ours.get(q)]
    print(f"ciff, {bits} bits{end}: overlap@{K} with the weights as they were {np.mean(shared):.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("quarry")
    parser.add_argument("documents")
    parser.add_argument("queries")
    parser.add_argument("--limit", type=int, help="take so many documents")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="interchange-"))
    try:
        documents, queries = records(args.documents)[: args.limit], records(args.queries)
        index, kept = build(args.quarry, folder, documents)
        ours = exact(args.quarry, index, args.queries)
        by_id = check_csr(args.quarry, folder, index, kept, args.queries, ours)
        check_seismic(args.quarry, folder, index, kept, args.queries, ours, by_id)
        check_jsonl(args.quarry, folder, index, kept)
        for bits, end in [(8, ""), (8, ".gz"), (4, ""), (16, "")]:
            check_ciff(args.quarry, folder, index, kept, queries, args.queries, ours, bits, end)
        print("all of it agrees")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
