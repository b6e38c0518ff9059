"""table.py INDEX: gives each segment of a small index a measured table, as `quarry tune` does for large
ones (format 1, calibration version 1; index/FORMAT.md). Needs the Python package xxhash."""
import json, pathlib, struct, sys, uuid
import xxhash


def part(kind, rows, name, content):
    body = bytearray(b"QUARRYPT" + struct.pack("<II16s32x", 1, 1, kind))
    at = len(body)
    body += content
    body += bytes(-len(body) % 64)
    table = len(body)
    body += struct.pack("<16sQQ", name, at, len(content))
    body += bytes(-len(body) % 64)
    body += struct.pack("<QQQ24x", table, 1, rows) + b"QUARRYND"
    return bytes(body) + struct.pack("<Q", xxhash.xxh3_64_intdigest(bytes(body)))


def curve(method, points):
    points = [{"setting": s, "overlap": o, "micros": m} for s, o, m in points]
    return {"method": method, "k": 10, "query_terms": 6.5, "points": points}


TABLE = {"source": "documents", "queries": 200, "kernels": "avx512", "curves": [
    curve("impact", [({"postings": 64, "candidates": 20}, .93, 2.5), ({"postings": 256, "candidates": 40}, .995, 4.0)]),
    curve("clusters", [({"postings": 64, "candidates": 2}, .9, 2.0), ({"postings": 64, "candidates": 6}, .99, 5.0)]),
    curve("seismic", [({"query_cut": 3, "heap_factor": .75}, .9, 3.0), ({"query_cut": 8, "heap_factor": .75}, .98, 6.0)]),
    curve("exact", [({}, 1.0, 8.0)]),
]}
folder = pathlib.Path(sys.argv[1])
current = json.load(open(folder / "CURRENT"))
manifest = json.load(open(folder / current["manifest"]))
(folder / current["manifest"]).unlink()
for segment in manifest["segments"]:
    content = part(b"calibration", segment["rows"], b"table", json.dumps(TABLE).encode())
    name = f"{uuid.UUID(segment['id']).hex}-calibration-{uuid.uuid4().hex}.qry"
    (folder / name).write_bytes(content)
    checksum = f"{xxhash.xxh3_64_intdigest(content[:-8]):016x}"
    segment["parts"].append({"kind": "calibration", "version": 1, "file": name, "bytes": len(content),
                             "checksum": checksum, "required": False})
manifest["generation"] += 1
current["manifest"] = f"manifest-{manifest['generation']}.json"
text = (json.dumps(manifest, indent=2) + "\n").encode()
(folder / current["manifest"]).write_bytes(text)
current.update(bytes=len(text), checksum=f"{xxhash.xxh3_64_intdigest(text):016x}")
(folder / "CURRENT").write_text(json.dumps(current, indent=2) + "\n")
