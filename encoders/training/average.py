#!/usr/bin/env python3
"""Averages a trained model with the one it began from, and judges both stages, also in int8.

    average.py WORK --minilm STATE --start STATE --trained PIECES [PIECES...] [--tokens PIECES] --out FOLDER

A fine-tuned network averaged with its start keeps most of the gain where it was trained and most of
the start's quality elsewhere (Wortsman et al., Robust fine-tuning of zero-shot models): a half each
is taken as that paper advises, not chosen by results; other shares are shown beside it.
"""

import argparse
import time
from pathlib import Path

import torch

from begin import note, read_state
from loop import History
from measure import MIXES, first_stage, load_collections, rerank, table
from models import SparseEncoder, TokenEncoder
from quantise import int8
from store import half, load_padded, save_pieces
from teachers import MiniLM
from train_tokens import load_bert_layers


def mixed(a, b, share):
    """(1 - share) a + share b, for what both have."""
    return {k: torch.lerp(a[k], b[k], share) if k in b else a[k] for k in a}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--minilm", required=True)
    parser.add_argument("--start", required=True)
    parser.add_argument("--trained", nargs="+", required=True)
    parser.add_argument("--tokens")
    parser.add_argument("--shares", default="0.5,1")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    device, started = "cuda" if torch.cuda.is_available() else "cpu", time.time()
    torch.backends.cuda.matmul.allow_tf32 = True
    history = History(args.out / "average.jsonl")
    sets = {"held": load_collections(args.work, device, True), "report": load_collections(args.work, device, False)}

    def judge(tag, model, tops=(128,)):
        rankings = []
        for kind, collections in sets.items():
            for top in tops:
                got = [first_stage(c, model, model.query, top) for c in collections]
                history.write("eval", model=f"{kind}: {tag}", top=top,
                              **table({c.name: g[0] for c, g in zip(collections, got)}))
                if top == 128:
                    rankings += [(c, g[2:], kind) for c, g in zip(collections, got)]
        return rankings

    def judge_tokens(tag, tokens, rankings):
        for kind in sets:
            got = {c.name: rerank(c, tokens, *r) for c, r, k in rankings if k == kind}
            for i, weight in enumerate(MIXES):
                history.write("eval", model=f"{kind}: {tag}", weight=weight, **table({n: g[i] for n, g in got.items()}))

    model = SparseEncoder().to(device).eval()
    start = {**{k: v.cpu() for k, v in model.state_dict().items()}, **read_state(args.start)}

    def load(state):
        model.load_state_dict(state)
        return model

    judge("start", load(start))
    judge("start, int8", int8(model))
    for path in args.trained:
        trained = read_state(path)
        for share in (float(s) for s in args.shares.split(",")):
            rankings = judge(f"{Path(path).name} x {share}", load(mixed(start, trained, share)),
                             (128, 160) if share == 0.5 else (128,))
            note(started, path, share)
            if share == 0.5:
                kept = {k: v.clone() for k, v in model.state_dict().items()}
                save_pieces(half(kept), args.out, f"{Path(path).name}-half")
                small = int8(model)
                judge(f"{Path(path).name} x {share}, int8", small)
                final = rankings
    if args.tokens:
        minilm_state = read_state(args.minilm)
        ids = load_padded(args.work, "docs", 144, device)
        sample = torch.randperm(len(ids), generator=torch.Generator().manual_seed(5))[:8192].to(device)
        minilm = MiniLM(minilm_state, device, ids[sample])
        first = TokenEncoder().to(device).eval()
        load_bert_layers(first, minilm_state)
        with torch.no_grad():
            first.projection.weight.copy_(minilm.basis[:, :128].T)
        first.share(start["bert.embeddings.word_embeddings.weight"].to(device), minilm.bert.words())
        begin = {k: v.cpu() for k, v in first.state_dict().items()}
        trained = read_state(args.tokens)
        judge_tokens("MiniLM, 256 axes", minilm.tokens, final)
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            first.load_state_dict(mixed(begin, trained, share))
            first.share(kept["bert.embeddings.word_embeddings.weight"], first.mapped_words())
            judge_tokens(f"tokens x {share}", first, final)
            if share == 0.5:
                save_pieces(half(first.state_dict()), args.out, "tokens-half")
                judge_tokens(f"tokens x {share}, int8", int8(first), final)
            note(started, "tokens", share)


if __name__ == "__main__":
    main()
