#!/usr/bin/env python3
"""Chooses how the second stage counts its rows, without training: a grid, judged on all collections.

    rows.py WORK --minilm STATE --model models/quarry-mini --out FOLDER

Rows are MiniLM's tokens on the first 128 shipped axes, and one for the text as a whole: the mean of
its hidden states, which that model was trained for, on axes of its own. Written to FOLDER:

  whole-axes.safetensors  the 256 main axes of the means of 9,000 training passages. Where a first axis
                          points as the tokens' mean does it is turned round, so that rows of the two
                          kinds meet less.
  rows.jsonl              a line a collection: nDCG@10 of each setting and each interpolation weight,
                          of MaxSim over the first 100 of the shipped first stage. A setting is named by
                          cap (tokens of a question that get rows), s (for how much the whole counts, for
                          each token of a question), special ([SEP] of questions counts too), power (a
                          token counts its idf to this power)

`best` in it, and what is printed, is the setting that is best on the mean of the held-out collections.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from begin import read_state
from from_export import shipped
from measure import by_length, first_stage, load_collections, standard, table
from models import Bert, load_bert
from store import load_padded
from teachers import Lexical

CLS, SEP, DIMS = 101, 102, 128
WEIGHTS = (0, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.05, 0.06, 0.08)
CAPS, SHARES, POWERS = (32, 48, 64, 96, 128, 256), (0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0), (0, 0.5, 1)


@torch.no_grad()
def hidden(bert, ids):
    """Hidden states, and their mean over the text's tokens."""
    h, real = bert(ids).float(), (ids != 0).unsqueeze(-1)
    return h, (h * real).sum(1) / real.sum(1)


@torch.no_grad()
def whole_axes(bert, passages, token_axes):
    """[256, 384]: uncentred PCA of means of length one."""
    bert.exact = True
    total, mean, tokens = (torch.zeros(*s, device=passages.device, dtype=torch.float64) for s in ((384, 384), (384,), (384,)))
    for part in passages.split(256):
        h, m = hidden(bert, part)
        m = F.normalize(m, dim=-1).double()
        total, mean = total + m.T @ m, mean + m.sum(0)
        tokens += F.normalize(h, dim=-1)[part != 0].double().sum(0)
    bert.exact = False
    axes = torch.linalg.eigh(total.cpu())[1].flip(1)[:, :256].T
    meet = (token_axes.cpu().double() @ tokens.cpu()) * (axes @ mean.cpu())
    return (axes * torch.where(meet > 0, -1.0, 1.0)[:, None]).float().contiguous()


class Rows:
    """MaxSim's maxima for one collection: of each token of a question, and of its whole."""

    @torch.no_grad()
    def __init__(self, collection, ranking, bert, axes, own_axes):
        device, kind = ranking.device, torch.half if ranking.is_cuda else torch.float32
        needed, local = torch.unique(ranking, return_inverse=True)
        documents = collection.documents[needed]
        rows = torch.zeros(len(needed), 257, DIMS, device=device, dtype=kind)
        off = torch.zeros(len(needed), 257, device=device, dtype=kind)
        off[:, 1:] = ((documents == 0) | (documents == CLS)).to(kind) * -4
        for at, part in by_length(documents, 512):
            h, mean = hidden(bert, part)
            rows[at, 1:part.shape[1] + 1] = F.normalize(h @ axes.T, dim=-1).to(kind)
            rows[at, 0] = F.normalize(mean @ own_axes.T, dim=-1).to(kind)
        self.ids = collection.queries[:, :int((collection.queries != 0).sum(1).max())]
        self.tokens = torch.zeros(*self.ids.shape, ranking.shape[1], device=device)
        self.whole = torch.zeros(ranking.shape, device=device)
        for at, part in by_length(self.ids, 256):
            h, mean = hidden(bert, part)
            asked = torch.cat([F.normalize(mean @ own_axes.T, dim=-1)[:, None], F.normalize(h @ axes.T, dim=-1)], 1).to(kind)
            for i, query in zip(at.tolist(), asked):
                best = (query @ rows[local[i]].transpose(1, 2) + off[local[i]][:, None]).amax(2).float()
                self.whole[i], self.tokens[i, :part.shape[1]] = best[:, 0], best[:, 1:].T

    def scores(self, cap, share, special, counts):
        """[queries, 100], a row's mean; counts [VOCABULARY]: for how much a token counts."""
        counted = (self.ids != 0) & (self.ids != CLS) & ((self.ids != SEP) | special)
        kept = (counted & (counted.cumsum(1) <= cap)) * counts[self.ids.long()]
        of_whole = share * (counted * counts[self.ids.long()]).sum(1, keepdim=True)
        sums = torch.einsum("ql,qlk->qk", kept, self.tokens) + of_whole * self.whole
        return sums / (kept.sum(1, keepdim=True) + of_whole).clamp_min(1e-6)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--minilm", required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    sparse, bert = shipped(args.model, device), load_bert(Bert(), read_state(args.minilm)).to(device).eval().requires_grad_(False)
    axes = load_file(args.model / "token-projection.safetensors")["axes"].float().to(device)
    passages = load_padded(args.work, "docs", 144, device)
    chosen = np.sort(np.random.default_rng(11).choice(len(passages), min(9_000, len(passages)), replace=False))
    own_axes = whole_axes(bert, passages[torch.from_numpy(chosen).to(device)], axes)
    save_file({"axes": own_axes}, args.out / "whole-axes.safetensors")
    idf = Lexical(passages).idf.clamp_min(1e-3)
    found, names, held = [], [], set()
    for wanted in (True, False):
        for collection in load_collections(args.work, device, wanted):
            value, _, ranking, first = first_stage(collection, sparse, sparse.query)
            rows = Rows(collection, ranking, bert, axes[:DIMS], own_axes[:DIMS].to(device))
            values = {}
            for cap, share, special, power in ((c, s, x, p) for c in CAPS for s in SHARES for x in (False, True) for p in POWERS):
                scores = rows.scores(cap, share, special, idf ** power)
                mixed = torch.stack([scores + w * standard(first) for w in WEIGHTS])
                key = f"cap {cap} s {share} special {int(special)} power {power}"
                values[key] = [round(collection.ndcg(ranking.gather(1, m.topk(10, 1).indices)), 4) for m in mixed]
            names.append(collection.name), found.append(values)
            held |= {collection.name} if wanted else set()
            with open(args.out / "rows.jsonl", "a", encoding="utf-8") as f:
                f.write(json.dumps({"collection": collection.name, "first": round(value, 4), "weights": WEIGHTS, "values": values}) + "\n")
            print(collection.name, round(value, 4), flush=True)
    settings = [(key, i) for key in found[0] for i in range(len(WEIGHTS))]
    on = lambda key, i, kinds: {n: v[key][i] for n, v in zip(names, found) if (n in held) == kinds}
    best = max(settings, key=lambda s: np.mean(list(on(*s, True).values())))
    line = {"best": best[0], "weight": WEIGHTS[best[1]], "held": table(on(*best, True)), "report": table(on(*best, False))}
    with open(args.out / "rows.jsonl", "a", encoding="utf-8") as f:
        f.write(json.dumps(line) + "\n")
    print(json.dumps(line))


if __name__ == "__main__":
    main()
