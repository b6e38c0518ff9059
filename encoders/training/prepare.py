#!/usr/bin/env python3
"""Turns text and pairs into token ids: what training and evaluation read, and nothing else.

    prepare.py SHARED WORK [--smoke]

SHARED is the folder of collections (data/train, data/beir, data/tokenizer). WORK gets
  docs.*         training passages, 160 tokens, "title. text"
  queries.*      training queries, 128 tokens; query-info.npz: class, positive, bonus
  eval/NAME/     one evaluation collection each: docs, queries (256 tokens), judgements
Classes of queries: 0 questions, 1 made from a passage (sentences, phrases, keywords), 2 whole
passages. A positive of -1 is unknown, -2 - i says: the query is passage i itself.

Held out, to choose by: every tenth document of the pair collections with its questions
(held-questions, held-health), all of squadshifts-amazon (held-reviews), and passages that ask for
the other passages of their article (held-articles). The collections under data/beir are copied for
the final report alone; nothing of them enters docs or queries.
"""

import argparse
import json
import lzma
import random
import re
import zlib
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from store import save_ragged

SEED = 7
PAIRS = ["squad-v1.1-dev", "squadshifts-new-wiki", "squadshifts-reddit", "medquad"]
REPORT = ["scifact", "nfcorpus", "arguana", "cranfield", "msmarco-v1-pool", "cacm", "medline", "nq-sure1997"]
BONUS = {"human": 3.0, "silver": 1.5, "made": 1.0}
STOP = set("the of and in to a is was for on as by with that it from at his an were which are be this has had or "
           "its not he she they also been their one two but who have after first during into other when more".split())


def joined(title, text):
    return f"{title}. {text}" if title and text else title or text


def jsonl(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def judgements(path):
    rows = {}
    for line in Path(path).read_text(encoding="utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")[:3]
        rows.setdefault(query, {})[document] = int(float(grade))
    return rows


def held(identifier):
    """One in ten, by the identifier alone."""
    return zlib.crc32(identifier.encode()) % 10 == 0


class Encoder:
    def __init__(self, path):
        self.tokenizer = Tokenizer.from_file(str(path))
        self.tokenizer.no_padding()

    def __call__(self, texts, length):
        self.tokenizer.enable_truncation(length)
        rows = []
        for i in range(0, len(texts), 20_000):
            rows += [np.array(e.ids, np.uint16) for e in self.tokenizer.encode_batch_fast(texts[i:i + 20_000])]
        return rows


def save_collection(folder, encode, documents, queries, qrels, own):
    """documents and queries: {id: text}; own: drop the document with the query's id from its ranking."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = list(documents)
    place = {d: i for i, d in enumerate(ids)}
    asked = [q for q in queries if any(g > 0 for g in qrels.get(q, {}).values())]
    save_ragged(folder, "docs", encode([documents[d] for d in ids], 256))
    save_ragged(folder, "queries", encode([queries[q] for q in asked], 256))
    triples, ideal = [], []
    for row, q in enumerate(asked):
        grades = [g for g in qrels[q].values() if g > 0]
        gains = sorted(grades, reverse=True)[:10]
        ideal.append(sum(g / np.log2(p + 2) for p, g in enumerate(gains)))
        triples += [(row, place[d], g) for d, g in qrels[q].items() if g > 0 and d in place]
    np.savez(folder / "judgements.npz", triples=np.array(triples, np.int32), ideal=np.array(ideal, np.float32),
             own=np.array([place.get(q, -1) if own else -1 for q in asked], np.int32))
    print(f"{folder.name}: {len(ids)} documents, {len(asked)} queries")


def made_query(rng, title, text):
    """A query that this passage answers, or None: a sentence, a phrase, keywords, or two or three sentences."""
    sentences = [s for s in re.split(r"(?<=[.!?])\s+", text) if 4 <= len(s.split()) <= 45]
    if not sentences:
        return None
    kind, sentence = rng.random(), rng.choice(sentences)
    words = sentence.split()
    if kind < 0.30:
        return sentence
    if kind < 0.50:
        count = rng.randint(2, min(8, len(words)))
        start = rng.randint(0, len(words) - count)
        phrase = " ".join(words[start:start + count])
        return f"{title} {phrase}" if title and rng.random() < 0.5 else phrase
    if kind < 0.75:
        plain = [w.strip(".,;:()\"'").lower() for w in text.split()]
        plain = [w for w in dict.fromkeys(plain) if len(w) > 2 and w not in STOP]
        return " ".join(rng.sample(plain, rng.randint(2, min(9, len(plain))))) if len(plain) >= 4 else None
    start = rng.randint(0, len(sentences) - 1)
    return " ".join(sentences[start:start + rng.randint(2, 3)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--made", type=int, default=110_000)
    parser.add_argument("--passages", type=int, default=50_000)
    parser.add_argument("--smoke", action="store_true", help="a few hundred texts, to rehearse on a CPU")
    args = parser.parse_args()
    rng = random.Random(SEED)
    train, work = args.shared / "data" / "train", args.work
    work.mkdir(parents=True, exist_ok=True)
    encode = Encoder(args.shared / "data" / "tokenizer" / "tokenizer.json")

    texts, index = [], {}
    with lzma.open(train / "wiki2014-en-311k.tsv.xz", "rt", encoding="utf-8") as f:
        for line in f:
            title, _, text = line.rstrip("\n").partition("\t")
            texts.append((title, text))
            if args.smoke and len(texts) == 1500:
                break
    with lzma.open(train / "wiki2014-en-311k.ids.xz", "rt") as f:
        for i, line in zip(range(len(texts)), f):
            index[line.strip()] = i
    wiki = len(texts)
    articles = {}
    for i in range(wiki):
        articles.setdefault(texts[i][0], []).append(i)
    kept_out = {i for title, rows in articles.items() if held(title) for i in rows}

    evals = work / "eval"
    pairs = {name: jsonl(train / "pairs" / name / "corpus.jsonl") for name in PAIRS}
    questions, held_sets = [], {"held-questions": ({}, {}, {}), "held-health": ({}, {}, {})}
    for name, corpus in pairs.items():
        rows, found = (corpus[:120], None) if args.smoke else (corpus, None)
        documents, queries, qrels = held_sets["held-health" if name == "medquad" else "held-questions"]
        for d in rows:
            index[f"{name}:{d['_id']}"] = len(texts)
            if held(d["_id"]):
                kept_out.add(len(texts))
            texts.append((d.get("title") or "", d["text"]))
            documents[f"{name}:{d['_id']}"] = joined(d.get("title"), d["text"])
        grades = judgements(train / "pairs" / name / "qrels" / "test.tsv")
        candidates = [q for q in jsonl(train / "pairs" / name / "queries.jsonl")
                      if any(held(d) and f"{name}:{d}" in index for d, g in grades.get(q["_id"], {}).items() if g > 0)]
        for q in random.Random(SEED).sample(candidates, min(len(candidates), 600 if name == "medquad" else 250)):
            queries[f"{name}:{q['_id']}"] = q["text"]
            qrels[f"{name}:{q['_id']}"] = {f"{name}:{d}": g for d, g in grades[q["_id"]].items()}
    for name, (documents, queries, qrels) in held_sets.items():
        save_collection(evals / name, encode, documents, queries, qrels, own=False)

    amazon = train / "pairs" / "squadshifts-amazon"
    documents = {d["_id"]: joined(d.get("title"), d["text"]) for d in jsonl(amazon / "corpus.jsonl")[:100 if args.smoke else None]}
    grades = judgements(amazon / "qrels" / "test.tsv")
    usable = [q for q in jsonl(amazon / "queries.jsonl") if any(d in documents for d in grades.get(q["_id"], {}))]
    queries = {q["_id"]: q["text"] for q in random.Random(SEED).sample(usable, min(len(usable), 800))}
    save_collection(evals / "held-reviews", encode, documents, queries, grades, own=False)

    # A passage without its title asks for the others of its article, among passages without titles.
    titles = [t for t, rows in articles.items() if held(t) and 4 <= len(rows)]
    titles = random.Random(SEED).sample(titles, min(len(titles), 500))
    rest = random.Random(SEED).sample(range(wiki), min(wiki, 9000))
    pool = sorted(set(rest) | {i for t in titles for i in articles[t][:12]})
    documents = {str(i): texts[i][1] for i in pool}
    queries = {str(articles[t][1]): texts[articles[t][1]][1] for t in titles}
    grades = {str(articles[t][1]): {str(i): 1 for i in articles[t][:12] if i != articles[t][1]} for t in titles}
    save_collection(evals / "held-articles", encode, documents, queries, grades, own=True)

    for name in (["scifact"] if args.smoke else REPORT):
        folder = args.shared / "data" / "beir" / name
        corpus = jsonl(folder / "corpus.jsonl")[:300 if args.smoke else None]
        save_collection(evals / name, encode, {d["_id"]: joined(d.get("title"), d["text"]) for d in corpus},
                        {q["_id"]: q["text"] for q in jsonl(folder / "queries.jsonl")},
                        judgements(folder / "qrels" / "test.tsv"), own=name == "arguana")

    silver = {}
    for name in ("nq", "trivia"):
        for row in jsonl(train / f"openqa_silver.{name}.dev.jsonl"):
            if row["pos"] and row["pos_rank"][0] <= 2 and row["pos"][0] in index:
                silver[row["query"]] = index[row["pos"][0]]
    queries, classes, positive, bonus = [], [], [], []
    with lzma.open(train / "queries.tsv.xz", "rt", encoding="utf-8") as f:
        for line in f:
            _, text, answer = line.rstrip("\n").split("\t")
            where = index.get(answer, -1)
            if where in kept_out or answer.split(":")[0] == "squadshifts-amazon":
                continue
            worth = BONUS["human"] if where >= 0 else 0.0
            if where < 0 and text in silver:
                where, worth = silver[text], BONUS["silver"]
            queries.append(text), classes.append(0), positive.append(where), bonus.append(worth)
    if args.smoke:
        keep = [i for i in range(len(queries)) if positive[i] >= 0][:300]
        queries, classes, positive, bonus = ([x[i] for i in keep] for x in (queries, classes, positive, bonus))
    free = [i for i in range(len(texts)) if i not in kept_out]
    for i in rng.sample(free, min(len(free), 300 if args.smoke else args.made)):
        text = made_query(rng, *texts[i])
        if text:
            queries.append(text), classes.append(1), positive.append(i), bonus.append(BONUS["made"])
    for i in rng.sample(free, min(len(free), 100 if args.smoke else args.passages)):
        text = texts[i][1] if rng.random() < 0.7 else joined(*texts[i])
        queries.append(text), classes.append(2), positive.append(-2 - i), bonus.append(0.0)
    save_ragged(work, "docs", encode([joined(*t) for t in texts], 160))
    save_ragged(work, "queries", encode(queries, 128))
    np.savez(work / "query-info.npz", classes=np.array(classes, np.uint8), positive=np.array(positive, np.int32),
             bonus=np.array(bonus, np.float32))
    print(f"{len(texts)} passages, {len(kept_out)} kept out; queries by class {np.bincount(classes).tolist()}, "
          f"with a human or silver positive {sum(b > 1 for b in bonus)}")


if __name__ == "__main__":
    main()
