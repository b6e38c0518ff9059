#!/usr/bin/env python3
"""Trains the token encoder: all-MiniLM-L6-v2's body on the sparse encoder's word embeddings.

    train_tokens.py WORK --minilm STATE --student STATE --out FOLDER (--minutes M | --steps N)

Starts from MiniLM's layers, a least-squares map from the sparse table to MiniLM's, and the main 128
axes of its tokens. Learns to order each query's eight passages, and the first passages of the other
queries, as MaxSim of the untouched MiniLM (256 axes) + cosine + BM25 do, with known positives marked
up. Goes on where WORK/tokens.run.pt stands.
"""

import argparse
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from begin import LENGTH, Beginning, note, read_state
from loop import GROUP, Average, History, Schedule, draw, load_run, save_run
from measure import MIXES, first_stage, load_collections, rerank, table
from models import TokenEncoder, load_bert
from teachers import MiniLM, Teacher, parts

BATCH = (136, 80, 40)  # questions, made queries, passages


def group_maxsim(queries, passages):
    """[b, GROUP]: mean over a query's tokens of the best token of each passage of its own group."""
    pairs = torch.einsum("bqd,bkld->bkql", queries, passages)
    count = (queries != 0).any(2).sum(1, keepdim=True)
    return pairs.amax(3).sum(2, dtype=torch.float32) / count


def other_maxsim(queries, passages):
    """[b, m]: the same for passages [m, length, dimension] that all queries share."""
    b, length, dimension = queries.shape
    pairs = queries.reshape(-1, dimension) @ passages.reshape(-1, dimension).T
    best = pairs.view(b, length, len(passages), -1).amax(3)
    return best.sum(1, dtype=torch.float32) / (queries != 0).any(2).sum(1, keepdim=True)


def divergence(scores, wanted):
    return F.kl_div(F.log_softmax(scores, 1), F.softmax(wanted, 1), reduction="batchmean")


def evaluate(history, tag, model, rankings):
    model.eval()
    results = {c.name: rerank(c, model, *ranking) for c, ranking in rankings}
    for i, weight in enumerate(MIXES):
        history.write("eval", model=tag, weight=weight, **table({n: r[i] for n, r in results.items()}))
    model.train()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--minilm", required=True)
    parser.add_argument("--student", required=True, help="the sparse encoder whose table is shared and who ranks first")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default="tokens")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--start", help="an earlier token encoder, put on this student's table")
    parser.add_argument("--weights", default="0.45,0.3,0.25", help="MaxSim, cosine, BM25")
    parser.add_argument("--report", action="store_true", help="evaluate on the collections of the report at the end")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = (3, 2, 2) if args.smoke else BATCH
    begin = Beginning(args.work, args.minilm, args.student, device, 16 if args.smoke else LENGTH)
    data = begin.data
    teacher = Teacher(data, begin.lexical, begin.dense_documents, begin.dense_queries, begin.minilm.tokens, 256,
                      [float(w) for w in args.weights.split(",")])
    note(begin.started, "token vectors of all passages")

    model = TokenEncoder().to(device)
    if args.start:
        old = read_state(args.start)
        model.load_state_dict(old, strict=False)
        wanted = model.mapped_words()
    else:
        load_bert_layers(model, begin.minilm_state)
        wanted = begin.minilm.bert.words()
        with torch.no_grad():
            model.projection.weight.copy_(begin.minilm.basis[:, :128].T)
    model.share(begin.sparse.bert.words().detach(), wanted)
    average, history = Average(model), History(args.out / f"{args.name}.jsonl")
    schedule = Schedule(args.steps, args.minutes)
    slow = [p for n, p in model.named_parameters() if p.requires_grad and n not in ("scale", "projection.weight")]
    groups = [{"params": slow, "base": args.rate}, {"params": [model.projection.weight], "base": args.rate * 3},
              {"params": [model.scale], "base": 3e-3, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.rate, weight_decay=0.01, fused=device == "cuda")
    step, _ = load_run(args.work, args.name, model, average, optimizer, schedule)

    begin.sparse.eval()
    rankings = [(c, first_stage(c, begin.sparse, begin.sparse.query)[2:]) for c in begin.held]
    if step == 0:
        evaluate(history, "start", model, rankings)
        frozen = {c.name: rerank(c, begin.minilm.tokens, *r) for c, r in rankings}
        history.write("eval", model="MiniLM, 256 axes", weight=MIXES[2], **table({n: r[2] for n, r in frozen.items()}))
        note(begin.started, "evaluated the start")
    kind = torch.half if device == "cuda" else torch.float32
    marks = [0.5]
    while not schedule.over(step):
        rate = schedule.rate(step)
        for g in optimizer.param_groups:
            g["lr"] = g["base"] * rate
        queries, passages, _ = draw(data, begin.mined, step, args.seed, batch)
        short, b = batch[0] + batch[1], len(queries)
        marked, known = teacher.marks(queries, passages, short), teacher.known(queries, passages)
        own = torch.arange(b, device=device)[:, None] * GROUP + torch.arange(GROUP, device=device)[None]
        vectors = model(data.documents[passages.flatten()]).to(kind).view(b, GROUP, data.documents.shape[1], -1)
        scores, others, at = [], [], 0
        for part in parts(data.queries[queries], short):
            asked = model(part).to(kind)
            scores.append(group_maxsim(asked, vectors[at:at + len(part)]))
            others.append(other_maxsim(asked, vectors[:, 0]))
            at += len(part)
        factor = model.scale.exp()
        logits = 40 * marked.gather(1, own) + known.gather(1, own)
        near = divergence(torch.cat(scores) * factor, logits)
        far = divergence(torch.cat(others) * factor, 30 * marked[:, ::GROUP] + known[:, ::GROUP])
        loss = near + 0.5 * far
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(slow, 1.0)
        optimizer.step()
        step += 1
        average.update(model, step)
        history.add(near=near, far=far)
        if step % (5 if args.smoke else 100) == 0:
            history.flush(step, scale=round(float(factor.detach()), 2), steps=schedule.steps, rate=rate)
        if schedule.steps and marks and step >= marks[0] * schedule.steps:
            marks.pop()
            evaluate(history, f"step {step}", model, rankings)
            save_run(args.work, args.out, args.name, model, average, optimizer, step, schedule, {})
    note(begin.started, f"{step} steps")
    evaluate(history, "last", model, rankings)
    size = save_run(args.work, args.out, args.name, model, average, optimizer, step, schedule, {})
    model.load_state_dict(average.state)
    evaluate(history, "average", model, rankings)
    note(begin.started, f"saved {size} bytes")
    if args.report:
        del teacher
        sets = load_collections(args.work, device, held=False)
        ranked = [(c, first_stage(c, begin.sparse, begin.sparse.query)[2:]) for c in sets]
        evaluate(history, "report: average", model, ranked)
        evaluate(history, "report: MiniLM, 256 axes", Wrapped(begin.minilm), ranked)
        note(begin.started, "reported")


class Wrapped:
    """MiniLM's tokens with the methods that `evaluate` calls."""

    def __init__(self, minilm: MiniLM):
        self.minilm = minilm

    def __call__(self, ids):
        return self.minilm.tokens(ids)

    def eval(self):
        pass

    train = eval


def load_bert_layers(model, state):
    """MiniLM's weights into the token encoder; its word embeddings stay out."""
    inner = model.bert
    kept = {k: v for k, v in state.items() if "word_embeddings" not in k}
    kept["embeddings.word_embeddings.weight"] = inner.words().detach()
    kept["word_map.weight"], kept["word_map.bias"] = inner.word_map.weight.detach(), inner.word_map.bias.detach()
    load_bert(inner, kept)


if __name__ == "__main__":
    main()
