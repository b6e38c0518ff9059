"""Int8 arithmetic as the exported graph does it, in PyTorch, to judge it before exporting.

Weights: one scale an output channel, symmetric, -127..127. Activations: uint8, one scale a token
(a passage for the vocabulary product), from this token's values alone, so nothing depends on what
shares the batch. Values after GELU are at least -0.17: they are moved by that and use all 256
steps; others are symmetric around 128. The products of integers are exact in fp32 up to 2^24.

A few channels of this network's activations are fifty times the others, and would leave those two
or three steps. So each channel is divided by a fixed number and its column of the weights multiplied
by it (Xiao et al., SmoothQuant): the square root of the ratio of the two ranges, which `smooth`
reads off some passages once, before exporting.
"""

import copy

import torch
import torch.nn.functional as F

GELU_LOW = -0.17


def weight_steps(weight):
    """(integers [out, in] as floats, scale [out])."""
    scale = weight.abs().amax(1).clamp_min(1e-12) / 127
    return torch.round(weight / scale[:, None]), scale


def activation_steps(x, axes=(-1,), moved=False):
    """(integers as floats, scale): symmetric, or 0..255 for values moved above 0."""
    scale = x.abs().amax(axes, keepdim=True).clamp_min(1e-12) / (255 if moved else 127)
    return torch.round(x / scale), scale


class Product:
    """x @ W.T + b by integers; layer.smooth, if there, divides the channels of x."""

    def __init__(self, layer, low=None):
        self.low, self.smooth = low, getattr(layer, "smooth", torch.ones_like(layer.weight[0]))
        self.weight, self.scale = weight_steps(layer.weight.detach().float() * self.smooth)
        bias = layer.bias.detach().float() if layer.bias is not None else torch.zeros_like(self.scale)
        self.bias = bias + (low * self.scale * (self.weight / self.smooth).sum(1) if low is not None else 0)

    def __call__(self, x):
        x = x.float() if self.low is None else x.float() - self.low
        steps, scale = activation_steps(x / self.smooth, moved=self.low is not None)
        return F.linear(steps, self.weight) * scale * self.scale + self.bias


class Range:
    """Stands in for a product and notes the largest value of each channel."""

    def __init__(self, layer):
        self.layer, self.largest = layer, torch.zeros_like(layer.weight[0])

    def __call__(self, x):
        self.largest = torch.maximum(self.largest, x.abs().flatten(0, -2).amax(0))
        return F.linear(x, self.layer.weight, self.layer.bias)


def products(model):
    """Lists of layers that read the same activations."""
    for layer in model.bert.encoder["layer"]:
        yield [layer.attention.self[n] for n in ("query", "key", "value")]
        yield [layer.attention.output["dense"]]
        yield [layer.intermediate["dense"]]
        yield [layer.output["dense"]]


@torch.no_grad()
def smooth(model, passages):
    """Sets layer.smooth on every product, and model.smooth for the vocabulary of a sparse encoder.

    passages: batches of ids without padding, whose activations are looked at.
    """
    groups = list(products(model))
    for group in groups:
        for layer in group:
            layer.int8 = Range(layer)
    table, largest = model.bert.words(), torch.full_like(model.bert.words()[0], 1e-3)
    for ids in passages:
        h = model.bert(ids)
        if hasattr(model, "ln"):
            largest = torch.maximum(largest, model.head(h).abs().flatten(0, 1).amax(0))
    model.smooth = (largest / table.abs().amax(0)).sqrt() if hasattr(model, "ln") else torch.ones_like(largest)
    for group in groups:
        largest = group[0].int8.largest.clamp_min(1e-3)
        weights = torch.stack([layer.weight.abs().amax(0) for layer in group]).amax(0).clamp_min(1e-3)
        for layer in group:
            layer.int8, layer.smooth = None, (largest / weights).sqrt()


class VocabularyProduct:
    """max over positions of h @ E.T by integers, one activation scale a passage."""

    def __init__(self, table, divisor):
        self.weight, self.scale = weight_steps(table * divisor)
        self.divisor = divisor

    def rows(self):
        """The word embeddings as the integers give them."""
        return self.weight * self.scale[:, None] / self.divisor

    def __call__(self, h):
        steps, scale = activation_steps(h.float() / self.divisor, axes=(1, 2))
        step = max(1, 8_000 // h.shape[1])
        best = torch.cat([(part @ self.weight.T).amax(1) for part in steps.split(step)])
        return best * scale[:, 0] * self.scale


@torch.no_grad()
def int8(model):
    """A copy of a SparseEncoder or TokenEncoder that computes as its int8 export does.

    The one small layer of the head stays fp32: rounding it cost as much as rounding all of the body.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    bert = model.bert
    bert.exact = True
    vocabulary = VocabularyProduct(bert.words().float(), getattr(model, "smooth", torch.ones_like(bert.words()[0])))
    bert.words().copy_(vocabulary.rows())
    for layer in bert.encoder["layer"]:
        for name in ("query", "key", "value"):
            layer.attention.self[name].int8 = Product(layer.attention.self[name])
        layer.attention.output["dense"].int8 = Product(layer.attention.output["dense"])
        layer.intermediate["dense"].int8 = Product(layer.intermediate["dense"])
        layer.output["dense"].int8 = Product(layer.output["dense"], GELU_LOW)
    if hasattr(model, "qw"):
        object.__setattr__(model, "int8", vocabulary)
    return model
