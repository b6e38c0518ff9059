#!/usr/bin/env python3
"""Trains the sparse encoder on from an earlier one, with a teacher that sees every pair of the batch.

    train_sparse.py WORK --minilm STATE --student STATE --tokens PIECES --out FOLDER (--minutes M | --steps N)

Each query is marked against all passages of the batch by MaxSim of the token encoder (or of the
untouched MiniLM, without --tokens) + cosine + BM25, min-max a query. Losses: KL over the batch, KL
over the query's own eight, a mean square of margins among them. The penalty is FLOPS on weights as
they are (scores carry the learned table, near an IDF), for passages with more than --top components
alone; its factor follows the mean number of components. A third of the candidates is mined by the
student itself, again half way. Goes on where WORK/sparse.run.pt stands.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F

from begin import LENGTH, Beginning, note, read_state
from loop import GROUP, Average, History, Schedule, draw, load_run, save_run
from measure import MIXES, first_stage, load_collections, rerank, table
from models import TokenEncoder
from teachers import Teacher, mine_by_student
from train_tokens import BATCH, Wrapped, divergence, evaluate


def evaluate_sparse(history, tag, model, collections, top):
    """Writes nDCG@10 of the first stage; returns the rankings."""
    model.eval()
    found = {c.name: first_stage(c, model, model.query, top) for c in collections}
    history.write("eval", model=tag, top=top, **table({n: f[0] for n, f in found.items()}),
                  components=round(sum(f[1] for f in found.values()) / len(found), 1))
    model.train()
    return [(c, found[c.name][2:]) for c in collections]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--minilm", required=True)
    parser.add_argument("--student", required=True)
    parser.add_argument("--tokens", help="the token encoder that teaches; without it MiniLM's tokens do")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default="sparse")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--weights", default="0.5,0.25,0.25", help="MaxSim, cosine, BM25")
    parser.add_argument("--of-passages", default="0.5,0.25,0.25", help="the same, for passages that ask")
    parser.add_argument("--every", type=int, default=1, help="train on every n-th query")
    parser.add_argument("--once", action="store_true", help="mine at the start alone")
    parser.add_argument("--top", type=int, default=128)
    parser.add_argument("--components", type=float, default=145, help="the mean that the penalty aims at")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = (3, 2, 2) if args.smoke else BATCH
    begin = Beginning(args.work, args.minilm, args.student, device, 16 if args.smoke else LENGTH, args.every)
    data, model = begin.data, begin.sparse
    if args.tokens:
        tokens = TokenEncoder().to(device).eval().requires_grad_(False)
        tokens.load_state_dict(read_state(args.tokens))
        dimension = 128
    else:
        tokens, dimension = begin.minilm.tokens, 256
    teacher = Teacher(data, begin.lexical, begin.dense_documents, begin.dense_queries, tokens, dimension,
                      *([float(w) for w in text.split(",")] for text in (args.weights, args.of_passages)))
    note(begin.started, "token vectors of all passages")

    average, history = Average(model), History(args.out / f"{args.name}.jsonl")
    schedule = Schedule(args.steps, args.minutes)
    words = model.bert.words()
    rest = [p for n, p in model.named_parameters() if n not in ("qw", "scale") and p is not words]
    groups = [{"params": rest, "base": args.rate}, {"params": [words], "base": args.rate * 0.3},
              {"params": [model.qw, model.scale], "base": 2e-3, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.rate, weight_decay=0.01, fused=device == "cuda")
    step, extra = load_run(args.work, args.name, model, average, optimizer, schedule)
    penalty, again = extra.get("penalty", 2e-2), extra.get("again", args.once)
    if step == 0:
        evaluate_sparse(history, "start", model, begin.held, args.top)
    marks = [m for m in (0.33, 0.66) if not schedule.steps or step < m * schedule.steps]
    while not schedule.over(step):
        rate = schedule.rate(step)
        for g in optimizer.param_groups:
            g["lr"] = g["base"] * rate
        queries, passages, _ = draw(data, begin.mined, step, args.seed, batch)
        short, b = batch[0] + batch[1], len(queries)
        marked, known = teacher.marks(queries, passages, short), teacher.known(queries, passages)
        own = torch.arange(b, device=device)[:, None] * GROUP + torch.arange(GROUP, device=device)[None]
        vectors = model(data.documents[passages.flatten()])
        asked = model.query(data.queries[queries])
        factor = model.scale.exp() / asked.norm(dim=1, keepdim=True).clamp_min(0.3)
        scores = (asked @ vectors.T) * factor
        wanted = 40 * marked.gather(1, own) + known.gather(1, own)
        near_scores = scores.gather(1, own)
        far = divergence(scores, 30 * marked + known)
        near = divergence(near_scores, wanted)
        centre = lambda x: x - x.mean(1, keepdim=True)
        margin = (centre(near_scores) - centre(wanted)).pow(2).mean()
        count = (vectors > 0).float().sum(1)
        flops = (vectors * (count > args.top).unsqueeze(1)).mean(0).pow(2).sum()
        loss = far + near + 0.02 * margin + penalty * flops
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        average.update(model, step)
        mean_count = count.mean()
        if step > 20 and step % 2 == 0:
            penalty = min(1.0, max(1e-6, penalty * (1.01 if float(mean_count) > args.components else 1 / 1.01)))
        history.add(far=far, near=near, margin=margin, flops=flops, components=mean_count)
        if step % (5 if args.smoke else 100) == 0:
            history.flush(step, penalty=round(penalty, 6), scale=round(float(model.scale.detach().exp()), 2),
                          steps=schedule.steps, rate=rate)
        if schedule.steps and not again and step >= 0.5 * schedule.steps:
            again = True
            model.eval()
            mine_by_student(data, begin.mined, model, model.query)
            model.train()
            note(begin.started, "mined again")
        if schedule.steps and marks and step >= marks[0] * schedule.steps:
            marks.pop(0)
            evaluate_sparse(history, f"step {step}", model, begin.held, args.top)
            save_run(args.work, args.out, args.name, model, average, optimizer, step, schedule,
                     {"penalty": penalty, "again": again})
    note(begin.started, f"{step} steps")
    evaluate_sparse(history, "last", model, begin.held, args.top)
    size = save_run(args.work, args.out, args.name, model, average, optimizer, step, schedule,
                    {"penalty": penalty, "again": again})
    note(begin.started, f"saved {size} bytes")
    model.load_state_dict(average.state)
    for top in (args.top, 160):
        rankings = evaluate_sparse(history, "average", model, begin.held, top)
    if args.report:
        del teacher
        sets = load_collections(args.work, device, held=False)
        for top in (160, args.top):
            rankings = evaluate_sparse(history, "report: average", model, sets, top)
        wrapped = tokens if args.tokens else Wrapped(begin.minilm)
        evaluate(history, "report: tokens over this first stage", wrapped, rankings)
        note(begin.started, "reported")


if __name__ == "__main__":
    main()
