"""Arrays on disk: lists of token ids of unequal length, and states cut into pieces.

A ragged list is two files, NAME.ids.npy (uint16, one text after the other) and NAME.ends.npy
(int64). A state is one file of tensors; `save_pieces` cuts it into files of at most 15 MiB.
"""

import io
from pathlib import Path

import numpy as np
import torch

PIECE = 15 * 2**20


def save_ragged(folder, name, rows):
    """Writes lists of token ids below 65,536."""
    ends = np.cumsum([len(r) for r in rows], dtype=np.int64)
    flat = np.concatenate([np.asarray(r, np.uint16) for r in rows]) if len(rows) else np.zeros(0, np.uint16)
    np.save(Path(folder) / f"{name}.ids.npy", flat)
    np.save(Path(folder) / f"{name}.ends.npy", ends)


def load_padded(folder, name, length, device):
    """The same as a matrix [rows, length] of int32, padded with 0, each row cut at `length`.

    A row that is cut keeps its first length - 1 tokens and its last one, [SEP].
    """
    flat = np.load(Path(folder) / f"{name}.ids.npy")
    ends = np.load(Path(folder) / f"{name}.ends.npy")
    starts = np.concatenate([[0], ends[:-1]])
    sizes = np.minimum(ends - starts, length)
    out = np.zeros((len(ends), length), np.int32)
    column = np.arange(length)
    for begin in range(0, len(ends), 50_000):
        part = slice(begin, begin + 50_000)
        inside = column[None, :] < sizes[part, None]
        source = np.minimum(starts[part, None] + column[None, :], len(flat) - 1)
        out[part] = np.where(inside, flat[source], 0)
    cut = np.flatnonzero(ends - starts > length)
    out[cut, length - 1] = flat[ends[cut] - 1]
    return torch.from_numpy(out).to(device)


def save_pieces(state, folder, name):
    """Writes NAME.0, NAME.1, ...; removes pieces of an earlier, longer state. Returns the bytes."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getvalue()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    count = -(-len(data) // PIECE)
    for i in range(count):
        (folder / f"{name}.{i}").write_bytes(data[i * PIECE:(i + 1) * PIECE])
    for old in folder.glob(f"{name}.*"):
        suffix = old.suffix[1:]
        if suffix.isdigit() and int(suffix) >= count:
            old.unlink()
    return len(data)


def load_pieces(folder, name):
    """The state written by `save_pieces`, on the CPU; None if there is none."""
    folder = Path(folder)
    if not (folder / f"{name}.0").exists():
        return None
    data, i = b"", 0
    while (folder / f"{name}.{i}").exists():
        data += (folder / f"{name}.{i}").read_bytes()
        i += 1
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def half(state):
    """Floats to fp16: a checkpoint of 23 million weights is then under 50 MB."""
    return {k: v.detach().to("cpu", torch.float16 if v.is_floating_point() else v.dtype) for k, v in state.items()}


def to_float(state):
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
