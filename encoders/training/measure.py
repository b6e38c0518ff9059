"""nDCG@10 over collections that prepare.py wrote, by the conventions of `quarry eval`.

Gain is the grade, discount log2(rank + 1), the ideal is of all judged documents; a query that is
itself a document does not find itself. Documents: 256 tokens, the heaviest `top` components.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from models import VOCABULARY
from store import load_padded

MIXES = (0.0, 0.15, 0.3, 0.5, 0.75, 1.0)


@dataclass
class Collection:
    name: str
    documents: torch.Tensor  # [documents, 256] ids
    queries: torch.Tensor    # [queries, 256] ids
    gains: torch.Tensor      # [queries, documents] grades
    ideal: torch.Tensor      # [queries]
    own: torch.Tensor        # [queries] the document that is the query, or -1

    def without_own(self, scores):
        row = (self.own >= 0).nonzero().flatten()
        scores[row, self.own[row]] = float("-inf")
        return scores

    def ndcg(self, ranking):
        """Mean over queries; ranking [queries, at least 10] document numbers, best first."""
        ranking = ranking[:, :10]
        discount = 1 / torch.log2(torch.arange(ranking.shape[1], device=ranking.device) + 2.0)
        return float(((self.gains.gather(1, ranking) * discount).sum(1) / self.ideal).mean())


def load_collections(work, device, held):
    """The held-out collections, or those of the report."""
    out = []
    for folder in sorted((Path(work) / "eval").iterdir()):
        if folder.name.startswith("held-") != held:
            continue
        documents, queries = (load_padded(folder, n, 256, device) for n in ("docs", "queries"))
        parts = np.load(folder / "judgements.npz")
        gains = torch.zeros(len(queries), len(documents), device=device)
        row, column, grade = torch.from_numpy(parts["triples"]).long().T.to(device)
        gains[row, column] = grade.float()
        out.append(Collection(folder.name, documents, queries, gains, torch.from_numpy(parts["ideal"]).to(device),
                              torch.from_numpy(parts["own"]).long().to(device)))
    return out


def by_length(ids, size):
    """Batches of row numbers and their ids, cut to the longest of the batch; short ones first."""
    lengths = (ids != 0).sum(1)
    order = torch.argsort(lengths)
    for i in range(0, len(ids), size):
        rows = order[i:i + size]
        yield rows, ids[rows, :max(1, int(lengths[rows].max()))]


@torch.no_grad()
def sparse_matrix(encode, ids, top, size=256):
    """[documents, VOCABULARY] with the `top` heaviest components of each, fp16 on a GPU."""
    kind = torch.half if ids.is_cuda else torch.float32
    out = torch.zeros(len(ids), VOCABULARY, device=ids.device, dtype=kind)
    for rows, part in by_length(ids, size):
        values, tokens = encode(part).topk(top, 1)
        out[rows] = torch.zeros(len(rows), VOCABULARY, device=ids.device, dtype=kind).scatter_(1, tokens, values.to(kind))
    return out


@torch.no_grad()
def first_stage(collection, encode, query, top=128):
    """(nDCG@10, components a document, ranking [queries, 100], its scores)."""
    matrix = sparse_matrix(encode, collection.documents, top)
    scores = torch.cat([(query(q).to(matrix.dtype) @ matrix.T).float() for q in collection.queries.split(128)])
    values, ranking = collection.without_own(scores).topk(min(100, scores.shape[1] - 1), 1)
    return collection.ndcg(ranking), float((matrix > 0).sum(1).float().mean()), ranking, values


def standard(x):
    return (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 1e-6)


@torch.no_grad()
def rerank(collection, tokens, ranking, values):
    """nDCG@10 of MaxSim + w x the first stage's scores, both standardised over the ranking, for w in MIXES.

    `tokens` gives vectors [rows, length, dimension], zero for padding. The sum over a query's
    tokens of the best document token; all tokens count, [CLS] and [SEP] too.
    """
    needed, local = torch.unique(ranking, return_inverse=True)
    vectors = None
    for rows, part in by_length(collection.documents[needed], 256):
        got = tokens(part)
        if vectors is None:
            vectors = torch.zeros(len(needed), 256, got.shape[-1], device=got.device,
                                  dtype=torch.half if got.is_cuda else torch.float32)
        vectors[rows, :part.shape[1]] = got.to(vectors.dtype)
    asked = torch.zeros(len(ranking), 256, vectors.shape[-1], device=vectors.device, dtype=vectors.dtype)
    for rows, part in by_length(collection.queries, 256):
        asked[rows, :part.shape[1]] = tokens(part).to(vectors.dtype)
    lengths = (collection.queries != 0).sum(1).tolist()
    scores = torch.empty(ranking.shape, device=ranking.device)
    for i, length in enumerate(lengths):
        pairs = asked[i, :length] @ vectors[local[i]].transpose(1, 2)  # [100, length, 256]
        scores[i] = pairs.amax(2).float().sum(1)
    out = []
    for weight in MIXES:
        order = (standard(scores) + weight * standard(values)).topk(10, 1).indices
        out.append(round(collection.ndcg(ranking.gather(1, order)), 4))
    return out


def table(results):
    """{collection: value} with the mean over those the issue counts, when they are there."""
    five = [results[n] for n in ("scifact", "nfcorpus", "arguana", "cranfield", "msmarco-v1-pool") if n in results]
    return {**{n: round(v, 4) for n, v in results.items()},
            "mean": round(float(np.mean(five or list(results.values()))), 4)}
