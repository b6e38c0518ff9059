"""The networks: a small BERT, the sparse encoder, and the token encoder.

Names of weights are those of BERT checkpoints, so a published state loads as it is. On a GPU
everything runs in bf16 on weights kept in fp32; normalisations and products add up in fp32.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

VOCABULARY, WIDTH, HEADS, LAYERS, INNER, EPSILON = 30522, 384, 12, 6, 1536, 1e-12
SPECIAL = [0, 100, 101, 102, 103]  # [PAD] [UNK] [CLS] [SEP] [MASK]


def linear(x, layer):
    if getattr(layer, "int8", None) is not None:  # set by quantise.py
        return layer.int8(x)
    bias = None if layer.bias is None else layer.bias.to(x.dtype)
    return F.linear(x, layer.weight.to(x.dtype), bias)


def normed(x, layer):
    return F.layer_norm(x, (x.shape[-1],), layer.weight.to(x.dtype), layer.bias.to(x.dtype), layer.eps)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.self = nn.ModuleDict({n: nn.Linear(WIDTH, WIDTH) for n in ("query", "key", "value")})
        self.output = nn.ModuleDict({"dense": nn.Linear(WIDTH, WIDTH), "LayerNorm": nn.LayerNorm(WIDTH, eps=EPSILON)})

    def forward(self, x, allowed):
        rows, length, _ = x.shape
        parts = [self.self[n] for n in ("query", "key", "value")]
        if getattr(parts[0], "int8", None) is not None:
            together = torch.cat([linear(x, part) for part in parts], -1)
        else:
            weight, bias = (torch.cat([getattr(p, n) for p in parts]).to(x.dtype) for n in ("weight", "bias"))
            together = F.linear(x, weight, bias)
        q, k, v = together.view(rows, length, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
        seen = seen.transpose(1, 2).reshape(rows, length, WIDTH)
        return normed(x + linear(seen, self.output["dense"]), self.output["LayerNorm"])


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = Attention()
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(WIDTH, INNER)})
        self.output = nn.ModuleDict({"dense": nn.Linear(INNER, WIDTH), "LayerNorm": nn.LayerNorm(WIDTH, eps=EPSILON)})

    def forward(self, x, allowed):
        x = self.attention(x, allowed)
        inner = F.gelu(linear(x, self.intermediate["dense"]))
        return normed(x + linear(inner, self.output["dense"]), self.output["LayerNorm"])


class Bert(nn.Module):
    """Token ids [rows, length], 0 is padding, to hidden states [rows, length, WIDTH].

    `mapped`: the word embeddings are another model's, brought into this one's space by a linear map.
    """

    def __init__(self, mapped=False):
        super().__init__()
        self.exact = False  # fp32 on a GPU too
        self.word_map = nn.Linear(WIDTH, WIDTH) if mapped else None
        self.embeddings = nn.ModuleDict({
            "word_embeddings": nn.Embedding(VOCABULARY, WIDTH), "position_embeddings": nn.Embedding(512, WIDTH),
            "token_type_embeddings": nn.Embedding(2, WIDTH), "LayerNorm": nn.LayerNorm(WIDTH, eps=EPSILON)})
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer() for _ in range(LAYERS))})

    def words(self):
        return self.embeddings["word_embeddings"].weight

    def forward(self, ids):
        e = self.embeddings
        x = F.embedding(ids, e["word_embeddings"].weight)
        if self.word_map is not None:
            x = linear(x, self.word_map)
        x = x + e["position_embeddings"].weight[:ids.shape[1]] + e["token_type_embeddings"].weight[0]
        x = normed(x.to(torch.bfloat16 if ids.is_cuda and not self.exact else torch.float32), e["LayerNorm"])
        allowed = (ids != 0)[:, None, None, :]
        for layer in self.encoder["layer"]:
            x = layer(x, allowed)
        return x


def load_bert(model, state):
    """Loads a published state; names may begin with `bert.`. Fails when a weight is missing."""
    state = {k.removeprefix("bert."): v.float() for k, v in state.items()}
    missing, _ = model.load_state_dict({k: v for k, v in state.items() if k in model.state_dict()}, strict=False)
    if missing:
        raise SystemExit(f"the state lacks {missing[:3]} and {len(missing)} weights in all")
    return model


class MaxOverPositions(torch.autograd.Function):
    """max over positions of h @ E.T, without keeping [rows, length, vocabulary].

    Padding must hold a copy of a real position. Backward visits only the (row, token) pairs that
    have a gradient; after the first steps that is one in two hundred.
    """

    @staticmethod
    def forward(ctx, h, table):
        rows, length, _ = h.shape
        best = torch.empty(rows, len(table), device=h.device, dtype=torch.float32)
        where = torch.empty(rows, len(table), device=h.device, dtype=torch.int16)
        columns = table.to(h.dtype).T
        step = max(1, 16_000 // length)
        for i in range(0, rows, step):
            values, indices = (h[i:i + step] @ columns).max(1)
            best[i:i + step] = values.float()
            where[i:i + step] = indices.to(torch.int16)
        ctx.save_for_backward(h, table, where)
        return best

    @staticmethod
    def backward(ctx, gradient):
        h, table, where = ctx.saved_tensors
        rows, length, width = h.shape
        row, token = gradient.nonzero(as_tuple=True)
        value = gradient[row, token].unsqueeze(1)
        position = row * length + where[row, token].long()
        flat = h.reshape(rows * length, width)
        for_h = torch.zeros(rows * length, width, device=h.device)
        for_table = torch.zeros_like(table)
        for i in range(0, len(row), 4_000_000):
            part = slice(i, i + 4_000_000)
            for_h.index_add_(0, position[part], value[part] * table[token[part]])
            for_table.index_add_(0, token[part], value[part] * flat[position[part]].float())
        return for_h.view(rows, length, width).to(h.dtype), for_table


def term_counts(ids, logarithmic=True):
    """[rows, VOCABULARY]: 1 + ln of each token's frequency, or presence; special tokens are 0."""
    counts = torch.zeros(ids.shape[0], VOCABULARY, device=ids.device)
    counts.scatter_add_(1, ids.long(), torch.ones(ids.shape, device=ids.device))
    counts[:, SPECIAL] = 0
    return torch.where(counts > 0, 1 + counts.clamp_min(1).log(), counts) if logarithmic else (counts > 0).float()


class SparseEncoder(nn.Module):
    """log(1 + relu(max over positions)) over the vocabulary for passages, a table for queries."""

    def __init__(self):
        super().__init__()
        self.bert = Bert()
        self.dense, self.ln = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH, eps=EPSILON)
        self.bias = nn.Parameter(torch.zeros(VOCABULARY))
        self.qw = nn.Parameter(torch.ones(VOCABULARY))
        self.scale = nn.Parameter(torch.tensor(math.log(6.8)))  # of scores inside the loss
        keep = torch.ones(VOCABULARY)
        keep[SPECIAL] = 0
        self.register_buffer("keep", keep, persistent=False)

    def head(self, h):
        return normed(F.gelu(linear(h, self.dense)), self.ln)

    def forward(self, ids):
        h = self.head(self.bert(ids))
        h = torch.where((ids != 0).unsqueeze(-1), h, h[:, :1])
        if getattr(self, "int8", None) is not None:
            return torch.log1p(F.relu(self.int8(h) + self.bias)) * self.keep
        return torch.log1p(F.relu(MaxOverPositions.apply(h, self.bert.words()) + self.bias)) * self.keep

    def query(self, ids, logarithmic=True):
        return term_counts(ids, logarithmic) * F.relu(self.qw)


class TokenEncoder(nn.Module):
    """One vector of length 1 a token, for MaxSim; padding gets zeros.

    The word embeddings are the sparse encoder's, never trained here, so that both models can be
    shipped with one table.
    """

    def __init__(self, dimension=128):
        super().__init__()
        self.bert = Bert(mapped=True)
        self.bert.words().requires_grad_(False)
        self.projection = nn.Linear(WIDTH, dimension, bias=False)
        self.scale = nn.Parameter(torch.tensor(math.log(60.0)))  # of scores inside the loss

    @torch.no_grad()
    def share(self, table, wanted):
        """Takes `table` for its own and fits the map from it to the `wanted` embeddings."""
        inputs = torch.cat([table, torch.ones(len(table), 1, device=table.device)], 1).double()
        fit = torch.linalg.lstsq(inputs.cpu(), wanted.double().cpu()).solution.float().to(table.device)
        self.bert.words().copy_(table)
        self.bert.word_map.weight.copy_(fit[:-1].T)
        self.bert.word_map.bias.copy_(fit[-1])

    @torch.no_grad()
    def mapped_words(self):
        return linear(self.bert.words(), self.bert.word_map)

    def forward(self, ids):
        h = self.bert(ids)
        return F.normalize(linear(h, self.projection).float(), dim=-1) * (ids != 0).unsqueeze(-1)
