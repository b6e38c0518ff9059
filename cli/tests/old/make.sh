#!/usr/bin/env bash
# Made the old indexes of this folder and their rankings, with the program of commit ec0f12f:
#   QUARRY=.../target/release/quarry cli/tests/old/make.sh OUT
# They are never made again. When bytes change, the program of the last commit before the change makes
# another folder beside this one.
set -euo pipefail
mkdir -p "$1"
out=$(cd "$1" && pwd) here=$(cd "$(dirname "$0")" && pwd) repository=$(cd "$(dirname "$0")/../../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Toy models of the tests, laid out as they are published.
python3 - "$repository" <<'PY'
import json, pathlib, shutil, sys
families = pathlib.Path(sys.argv[1]) / "encoders/tests/families"
name = "opensearch-neural-sparse-encoding-doc-v3-toy"
for case in json.load(open(families / "golden.json"))["cases"]:
    if case["name"] == name:
        for file, part in case["files"].items():
            to = pathlib.Path(name) / file
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(families / "parts" / part, to)
PY
mv opensearch-neural-sparse-encoding-doc-v3-toy model
cp -r "$repository/encoders/tests/multivector/colbert-bert" tokens
mv model opensearch-neural-sparse-encoding-doc-v3-toy; model=opensearch-neural-sparse-encoding-doc-v3-toy

# Documents: the first sentences of the sample, with fields; long ones; vectors by number.
python3 - "$repository/datasets/sample" <<'PY'
import json, random, struct, sys
sample = [json.loads(line) for line in open(sys.argv[1] + "/corpus.jsonl")]
questions = [json.loads(line) for line in open(sys.argv[1] + "/queries.jsonl")]
def write(path, documents):
    with open(path, "w") as file:
        for document in documents:
            file.write(json.dumps(document, ensure_ascii=False) + "\n")
def short(number, document):
    topic, at = document["_id"].rsplit("-", 1)
    made = {"_id": document["_id"], "title": document["title"], "text": document["text"].split(". ")[0] + ".",
            "topic": topic, "year": 1950 + number * 7 % 70, "weight": number / 8, "open": number % 3 == 0,
            "printed": f"{1990 + number % 20}-03-{1 + number % 28:02}", "place": {"shelf": "ABC"[number % 3], "row": number}}
    if number % 5 == 0:
        made["tags"] = ["first", at]
    if number % 17 == 3:
        made["text"] = ""
    return made
chosen = [short(number, document) for number, document in enumerate(sample[::5])]
write("first.jsonl", chosen[:40])
# The third batch replaces two documents of the first.
write("second.jsonl", chosen[40:52])
write("third.jsonl", chosen[52:] + [dict(chosen[4], text="Nothing but rope and stone."), dict(chosen[9], text="Bread, salt and rope.")])
long = []
for number in range(0, 60, 5):
    five = sample[number:number + 5]
    long.append({"_id": five[0]["_id"].split("-")[0] + f"-{number}", "title": five[0]["title"],
                 "text": " ".join(one["text"] for one in five[:2])})
write("long.jsonl", long)
write("questions.jsonl", questions[::4])
numbers = random.Random(15)
def vectors(path, count, most, weight):
    with open(path, "wb") as file:
        file.write(struct.pack("<I", count))
        for _ in range(count):
            terms = sorted({int(most * numbers.random() ** 4) for _ in range(numbers.randint(0, 40))})
            file.write(struct.pack("<I", len(terms)))
            file.write(struct.pack(f"<{len(terms)}I", *terms))
            file.write(struct.pack(f"<{len(terms)}f", *(weight() for _ in terms)))
vectors("vectors.bin", 150, 70_000, lambda: numbers.lognormvariate(0, 1))
vectors("whole.bin", 60, 300, lambda: float(numbers.randint(1, 255)))
vectors("asked.bin", 10, 70_000, lambda: numbers.lognormvariate(0, 1))
vectors("asked-whole.bin", 10, 300, lambda: float(numbers.randint(1, 9)))
PY

say() { "$QUARRY" "$@" >/dev/null 2>"$work/said" || { cat "$work/said" >&2; exit 1; }; }
rankings() { # INDEX NAME OPTIONS...: what a search answers
  local index=$1 name=$2; shift 2
  "$QUARRY" search "$index" -k 10 "$@" >"$out/$index.$name.run" 2>"$work/said" || { cat "$work/said" >&2; exit 1; }
}

# texts: every kind of part, three segments, deletions, fields.
lists=(--lists impact,seismic,clusters --n-postings 12 --cluster-size 8)
say index first.jsonl --out texts --model "$model" --top-k 60 --provenance "${lists[@]}" --field year:integer --field printed:date
say add texts second.jsonl --model "$model" "${lists[@]}" --no-merge
say add texts third.jsonl --model "$model" "${lists[@]}" --no-merge
say delete texts glaciers-06 bees-01
say tokens add texts --model tokens --store int8,fp16,4bit,1bit --centroids 16 --pool 2
python3 "$here/table.py" texts

# passages: rows that are parts of documents.
say index long.jsonl --out passages --model "$model" --passages 40 --passage-overlap 8 --top-k 40 --lists impact
say delete passages glaciers-0

# numbers: terms without names, beyond 65,536 of them, weights in two bytes. whole: one byte, nothing lost.
say index vectors.bin --out numbers --lists none
say index whole.bin --out whole --lists impact,seismic --n-postings 5
# words: BM25 alone.
say index first.jsonl --out words --channel bm25

for method in auto exact scan impact seismic clusters; do
  rankings texts "$method" --queries questions.jsonl --method "$method"
done
rankings texts filtered --queries questions.jsonl --filter 'year:[1960 TO 2000] AND NOT topic:bees'
rankings texts dated --queries questions.jsonl --filter 'printed:[1995-01-01T00:00:00Z TO 2005-01-01T00:00:00Z]'
rankings texts bm25 --queries questions.jsonl --channel bm25
for form in int8 fp16 4bit 1bit; do
  rankings texts "rerank-$form" --queries questions.jsonl --rerank --token-model tokens --form "$form" --device cpu \
    --alpha off --beta off --weight 0
done
rankings texts maxsim --queries questions.jsonl --channel maxsim --token-model tokens --device cpu
"$QUARRY" search texts "how does a glacier move" -k 5 --explain >"$out/texts.explained" 2>/dev/null
for method in exact impact; do rankings passages "$method" --queries questions.jsonl --method "$method"; done
rankings passages bm25 --queries questions.jsonl --channel bm25
rankings numbers exact --queries asked.bin --method exact
for method in exact impact seismic; do rankings whole "$method" --queries asked-whole.bin --method "$method"; done
rankings words bm25 --queries questions.jsonl --channel bm25
for index in texts passages numbers whole words; do rm -rf "$out/$index"; cp -r "$index" "$out/"; rm -f "$out/$index/LOCK"; done
cp questions.jsonl asked.bin asked-whole.bin "$out/"
