"""What both trainings begin with: passages, teachers, mined candidates, held-out collections.

The slow part (vectors of all passages and queries, candidates) is kept in WORK/begin.pt for the
next call on the same machine.
"""

import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

import teachers
from measure import load_collections
from models import SparseEncoder
from store import load_pieces, to_float

LENGTH = 144  # tokens of a passage in training


def note(started, *words):
    print(f"[{time.time() - started:6.1f}]", *words, flush=True)


def read_state(path):
    """A safetensors file, or the pieces written by `store.save_pieces` (their common name)."""
    if str(path).endswith(".safetensors"):
        return {k: v.float() for k, v in load_file(path).items()}
    state = load_pieces(Path(path).parent, Path(path).name)
    if state is None:
        sys.exit(f"there is no {path}.0")
    return to_float(state)


class Beginning:
    """minilm, student: states as `read_state` takes them; the student mines a third of the candidates."""

    def __init__(self, work, minilm, student, device, length=LENGTH, every=1):
        self.started = time.time()
        torch.manual_seed(1)
        torch.backends.cuda.matmul.allow_tf32 = True
        self.data = teachers.Data(work, device, length, every)
        self.lexical = teachers.Lexical(self.data.documents)
        self.minilm_state = read_state(minilm)
        generator = torch.Generator().manual_seed(5)
        sample = torch.randperm(len(self.data.documents), generator=generator)[:8192].to(device)
        self.minilm = teachers.MiniLM(self.minilm_state, device, self.data.documents[sample])
        self.sparse = SparseEncoder().to(device)
        self.sparse.load_state_dict(read_state(student), strict=False)
        self.held = load_collections(work, device, held=True)
        note(self.started, f"{len(self.data.documents)} passages, {len(self.data.queries)} queries, "
             f"energy of the token axes {self.minilm.energy:.3f}")
        kept = Path(work) / "begin.pt"
        if kept.exists():
            saved = torch.load(kept, map_location=device, weights_only=True)
            self.dense_documents, self.dense_queries, self.mined = (saved[k] for k in ("documents", "queries", "mined"))
        else:
            self.dense_documents = self.minilm.dense_all(self.data.documents)
            self.dense_queries = self.minilm.dense_all(self.data.queries)
            note(self.started, "vectors of all passages and queries")
            self.mined = teachers.mine(self.data, self.lexical, self.dense_documents, self.dense_queries,
                                       self.sparse, self.sparse.query)
            torch.save({"documents": self.dense_documents, "queries": self.dense_queries, "mined": self.mined}, kept)
            note(self.started, "mined", tuple(self.mined.shape))
        if device == "cuda":
            torch.cuda.empty_cache()
