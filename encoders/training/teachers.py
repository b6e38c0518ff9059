"""The teachers, and the passages they find for each training query.

Three scores are mixed, each brought to 0..1 over a query's passages in the batch (min-max per
query, as heterogeneous distillation does): MaxSim over token vectors, the cosine of mean-pooled
all-MiniLM-L6-v2 vectors, and BM25 on word pieces. Passages and their vectors stay on the GPU, so a
training step runs no teacher network but for its queries.
"""

import numpy as np
import torch
import torch.nn.functional as F

from measure import by_length, sparse_matrix
from models import SPECIAL, VOCABULARY, Bert, load_bert
from store import load_padded

DENSE, LEXICAL, STUDENT = 20, 12, 16  # passages a query gets from each
CANDIDATES = DENSE + LEXICAL + STUDENT


class Data:
    """Training passages and queries as id matrices, and what is known of each query."""

    def __init__(self, work, device, length, every=1):
        """every: take each query whose number it divides."""
        self.documents = load_padded(work, "docs", length, device)
        self.queries = load_padded(work, "queries", 128, device)[::every]
        info = {k: v[::every] for k, v in np.load(f"{work}/query-info.npz").items()}
        self.classes = torch.from_numpy(info["classes"].astype(np.int64)).to(device)
        self.positive = torch.from_numpy(info["positive"].astype(np.int64)).to(device)
        self.bonus = torch.from_numpy(info["bonus"]).to(device)
        self.of_class = [(self.classes == c).nonzero().flatten() for c in range(3)]


class Lexical:
    """BM25 (k1 0.9, b 0.4) over word pieces; queries count a term once."""

    def __init__(self, documents):
        frequency = torch.zeros(VOCABULARY, device=documents.device)
        total = 0
        for part in documents.split(4096):
            frequency += (self.counts(part) > 0).sum(0)
            total += int((part != 0).sum())
        n = len(documents)
        self.idf = torch.log(1 + (n - frequency + 0.5) / (frequency + 0.5))
        self.mean_length = total / n

    @staticmethod
    def counts(ids):
        counts = torch.zeros(ids.shape[0], VOCABULARY, device=ids.device)
        counts.scatter_add_(1, ids.long(), torch.ones(ids.shape, device=ids.device))
        counts[:, SPECIAL] = 0
        return counts

    def documents(self, ids):
        counts = self.counts(ids)
        length = (ids != 0).sum(1, keepdim=True).float()
        return counts * 1.9 / (counts + 0.9 * (0.6 + 0.4 * length / self.mean_length))

    def queries(self, ids):
        return (self.counts(ids) > 0) * self.idf


class MiniLM:
    """all-MiniLM-L6-v2: mean-pooled vectors, and token vectors on their main axes."""

    def __init__(self, state, device, sample=None, axes=256):
        self.bert = load_bert(Bert(), state).to(device).eval().requires_grad_(False)
        self.basis = self.main_axes(sample, axes) if sample is not None else None

    @torch.no_grad()
    def main_axes(self, ids, axes):
        """Uncentred PCA of token vectors of length 1."""
        total = torch.zeros(384, 384, device=ids.device, dtype=torch.float64)
        for part in ids.split(1024):
            x = F.normalize(self.bert(part).float(), dim=-1)[part != 0].double()
            total += x.T @ x
        values, vectors = torch.linalg.eigh(total.cpu())
        kept = vectors.flip(1)[:, :axes].float().contiguous()
        self.energy = float(values.flip(0)[:axes].sum() / values.sum())
        return kept.to(ids.device)

    @torch.no_grad()
    def tokens(self, ids):
        x = F.normalize(self.bert(ids).float(), dim=-1) @ self.basis
        return F.normalize(x, dim=-1) * (ids != 0).unsqueeze(-1)

    @torch.no_grad()
    def dense(self, ids):
        mask = (ids != 0).unsqueeze(-1)
        return F.normalize((self.bert(ids).float() * mask).sum(1), dim=-1)

    def dense_all(self, ids, size=2048):
        out = torch.empty(len(ids), 384, device=ids.device, dtype=torch.half if ids.is_cuda else torch.float32)
        for rows, part in by_length(ids, size):
            out[rows] = self.dense(part).to(out.dtype)
        return out


@torch.no_grad()
def token_store(tokens, ids, dimension, size=1024):
    """[rows, length, dimension] in fp16: every passage's token vectors, zeros for padding."""
    out = torch.zeros(*ids.shape, dimension, device=ids.device, dtype=torch.half if ids.is_cuda else torch.float32)
    for rows, part in by_length(ids, size):
        out[rows, :part.shape[1]] = tokens(part).to(out.dtype)
    return out


@torch.no_grad()
def fill(data, out, columns, scores_of):
    """Writes the best passages of each query into columns of `out`; a query that is a passage does not get itself."""
    own = torch.where(data.positive < -1, -2 - data.positive, torch.full_like(data.positive, -1))
    for i in range(0, len(own), 1024):
        rows = slice(i, i + 1024)
        scores = scores_of(rows)
        passage = (own[rows] >= 0).nonzero().flatten()
        scores[passage, own[rows][passage]] = -1e4
        out[rows, columns] = scores.topk(columns.stop - columns.start, 1).indices.int()


@torch.no_grad()
def mine_by_student(data, out, encode, query):
    """The student's columns of a mined table."""
    matrix = sparse_matrix(encode, data.documents, 128, size=1024)
    fill(data, out, slice(DENSE + LEXICAL, CANDIDATES), lambda r: query(data.queries[r]).to(matrix.dtype) @ matrix.T)


@torch.no_grad()
def mine(data, lexical, dense_documents, dense_queries, encode, query):
    """[queries, CANDIDATES] passage numbers: by MiniLM's cosine, by BM25, by the student."""
    out = torch.empty(len(data.queries), CANDIDATES, dtype=torch.int32, device=data.queries.device)
    fill(data, out, slice(0, DENSE), lambda r: dense_queries[r] @ dense_documents.T)
    matrix = torch.empty(len(data.documents), VOCABULARY, device=out.device, dtype=dense_documents.dtype)
    for i in range(0, len(matrix), 4096):
        matrix[i:i + 4096] = lexical.documents(data.documents[i:i + 4096]).to(matrix.dtype)
    fill(data, out, slice(DENSE, DENSE + LEXICAL), lambda r: lexical.queries(data.queries[r]).to(matrix.dtype) @ matrix.T)
    del matrix
    mine_by_student(data, out, encode, query)
    return out


def spread(scores):
    """Min-max over each row."""
    low, high = scores.amin(1, keepdim=True), scores.amax(1, keepdim=True)
    return (scores - low) / (high - low + 1e-6)


def maxsim(queries, documents, rows=1024):
    """Mean over a query's tokens of the best document token, for every pair.

    queries [n, length, dimension] with zeros for padding, documents [m, length, dimension] with
    zeros for padding (a zero never beats a real token here: some cosine is above 0). Gives [n, m].
    """
    n, length, dimension = queries.shape
    flat = documents.reshape(-1, dimension)
    step = max(1, rows // length)
    count = (queries != 0).any(2).sum(1, keepdim=True).clamp_min(1)
    out = []
    for part in queries.split(step):
        best = (part.reshape(-1, dimension) @ flat.T).view(len(part) * length, len(documents), -1).amax(2)
        out.append(best.view(len(part), length, -1).sum(1, dtype=torch.float32))
    return torch.cat(out) / count


@torch.no_grad()
def teach(weights, maxsim_scores, dense_scores, lexical_scores):
    """The mixture in 0..1: weights for MaxSim, cosine, BM25."""
    mixed = [w * spread(s.float()) for w, s in zip(weights, (maxsim_scores, dense_scores, lexical_scores)) if w > 0]
    return sum(mixed) / sum(weights)


class Teacher:
    """Marks every passage of a batch for every query of it.

    weights: of MaxSim, cosine and BM25, for questions and made queries, and for passages that ask
    (BM25 misleads there: long queries share words with everything).
    """

    def __init__(self, data, lexical, dense_documents, dense_queries, tokens, dimension, weights, of_passages=None):
        self.data, self.lexical, self.tokens = data, lexical, tokens
        self.weights, self.of_passages = weights, of_passages or weights
        self.dense_documents, self.dense_queries = dense_documents, dense_queries
        self.store = token_store(tokens, data.documents, dimension)

    @torch.no_grad()
    def marks(self, queries, passages, short):
        """[b, b * GROUP] in 0..1; the first `short` queries are cut at SHORT tokens, the rest are passages."""
        flat = passages.flatten()
        vectors = self.store[flat]
        ids = self.data.queries[queries]
        found = torch.cat([maxsim(self.tokens(part).to(vectors.dtype), vectors) for part in parts(ids, short)])
        dense = self.dense_queries[queries] @ self.dense_documents[flat].T
        lexical = self.lexical.queries(ids) @ self.lexical.documents(self.data.documents[flat]).T
        return torch.cat([teach(w, found[r], dense[r], lexical[r]) for w, r in (
            (self.weights, slice(0, short)), (self.of_passages, slice(short, None)))])

    @torch.no_grad()
    def known(self, queries, passages):
        """[b, b * GROUP]: what a human, silver or made judgement adds to the logit of its passage."""
        same = passages.flatten()[None, :] == self.data.positive[queries][:, None]
        return same * self.data.bonus[queries][:, None]


SHORT = 48


def parts(ids, short):
    """Questions and passages of a batch of queries, each cut to what it needs."""
    return [part for part in (ids[:short, :SHORT], ids[short:]) if len(part)]
