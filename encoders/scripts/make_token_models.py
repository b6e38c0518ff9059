#!/usr/bin/env python3
"""Writes encoders/tests/multivector/: small models of token embeddings with random weights, in the formats
that such models are published in, and the rows that the published codes give with them.

    python3 -m venv /tmp/venv
    /tmp/venv/bin/pip install pylate==1.6.0 gitpython onnx onnxscript
    /tmp/venv/bin/pip install --no-deps colbert-ai==0.2.22
    /tmp/venv/bin/python encoders/scripts/make_token_models.py

References: colbert-ai's `Checkpoint` (`docFromText`, `queryFromText`) and PyLate's `ColBERT.encode`, each
loading the folder as it is written here. pylate brings sentence-transformers 5.3.0 and transformers 5.3.0.
`golden.json` has for each text its number of rows and their values. A text of white space alone has no
rows: that is Quarry's rule, and the only place where the reference is not asked.
"""

import importlib.util
import json
import shutil
import string
import sys
import tempfile
import types
import warnings
from pathlib import Path

import onnx
import torch
from pylate import models as pylate
from pylate.models.Dense import Dense
from sentence_transformers.models import Transformer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig, BertModel, DistilBertConfig, DistilBertModel, ModernBertConfig, ModernBertModel,
    PreTrainedModel, PreTrainedTokenizerFast, RobertaConfig, RobertaModel,
)

# colbert's own __init__ wants the whole search engine; its models do not.
package = types.ModuleType("colbert")
package.__path__ = list(importlib.util.find_spec("colbert").submodule_search_locations)
sys.modules["colbert"] = package
from colbert.infra import ColBERTConfig  # noqa: E402
from colbert.modeling.checkpoint import Checkpoint  # noqa: E402
from colbert.modeling.colbert import ColBERT  # noqa: E402
from colbert.modeling.hf_colbert import class_factory  # noqa: E402

ColBERT.loaded_extensions = True  # its C++ for scoring is not needed
PreTrainedModel.all_tied_weights_keys = {}  # since transformers 5 set by post_init, which colbert-ai's class does not call

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "encoders" / "tests" / "multivector"
POSITIONS, DOCUMENT, QUERY, WIDTH, DIM = 64, 24, 12, 24, 6
EDGE = DOCUMENT - 3  # tokens of a text beside [CLS], the marker and [SEP]

DOCUMENTS = [
    {"title": "Marble", "text": "A metamorphic rock, composed of recrystallised (carbonate) minerals."},
    {"title": "Only a title", "text": ""},
    {"title": "", "text": ""},
    {"title": " ", "text": "  \n "},
    {"title": "", "text": "the quick quarry index, ", "times": 2500},
    {"title": "Emoji \U0001f5ff", "text": "stone \U0001f9f1\U0001f3d4\ufe0f dust"},
    {"title": "Misto", "text": "\u5927\u7406\u77f3 marmo \u043c\u0440\u0430\u043c\u043e\u0440 \u0645\u0631\u0645\u0631 caf\u00e9 NA\u00cfVE stone"},
    {"title": "", "text": "a ", "times": EDGE - 1},
    {"title": "", "text": "a ", "times": EDGE},
    {"title": "", "text": "a ", "times": EDGE + 1},
    {"title": "", "text": "a ", "times": EDGE + 2},
    {"title": "", "text": "?!... -- (;)"},
    {"title": "", "text": string.punctuation},
    {"title": "", "text": "[CLS] stone [MASK] [SEP] [PAD] <mask> <pad> [unused0] [Q] x"},
    {"title": "", "text": "  The Stone of the  Quarry "},
]
QUERIES = ["how is marble cut?", "stone", "", " ", "?!", "\U0001f5ff \u043c\u0440\u0430\u043c\u043e\u0440 caf\u00e9 ",
           "a " * (QUERY - 4), "a " * (QUERY - 3), "a " * (QUERY - 2), "a " * 200, "[MASK] Stone [SEP]", "  stone of THE quarry "]


def corpus(texts=True):
    """Text that does not change: the licence's."""
    lines = [line for line in (ROOT / "LICENSE").read_text().splitlines() if line.strip()]
    return lines + [d["text"] for d in DOCUMENTS if texts]


def wordpiece(letters, *special):
    tok = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tok.normalizer = normalizers.BertNormalizer(lowercase=True)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.train_from_iterator(corpus(bool(letters)), trainers.WordPieceTrainer(
        vocab_size=400, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *special],
        limit_alphabet=80, initial_alphabet=list(letters), show_progress=False))
    tok.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tok.decoder = decoders.WordPiece()
    # The trainer makes [unused0] special tokens, found in any text; in BERT's files they are plain words.
    spec = json.loads(tok.to_str())
    spec["added_tokens"] = spec["added_tokens"][:5]
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(spec)), unk_token="[UNK]", sep_token="[SEP]",
                                   pad_token="[PAD]", cls_token="[CLS]", mask_token="[MASK]", model_max_length=POSITIONS)


def byte_bpe(*special):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>", *special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tok.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tok, unk_token="<unk>", sep_token="</s>", pad_token="<pad>", cls_token="<s>",
                                   mask_token="<mask>", bos_token="<s>", eos_token="</s>", model_max_length=POSITIONS)


def shaped(model, seed):
    """Weights large enough that rows differ."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale, shift = (0.35, 0.0) if p.dim() == 2 else (0.1, 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0)
            p.copy_(torch.randn(p.shape, generator=generator) * scale + shift)
    return model.eval()


def config(kind, rows):
    eager = {"attn_implementation": "eager"}
    if kind == "bert":
        return BertConfig(vocab_size=rows, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
                          max_position_embeddings=POSITIONS, **eager)
    if kind == "distilbert":
        return DistilBertConfig(vocab_size=rows, dim=WIDTH, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=POSITIONS, **eager)
    if kind == "modernbert":
        return ModernBertConfig(vocab_size=rows, hidden_size=WIDTH, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32,
                                max_position_embeddings=POSITIONS, local_attention=16, pad_token_id=0, bos_token_id=2, eos_token_id=3,
                                cls_token_id=2, sep_token_id=3, reference_compile=False, **eager)
    return RobertaConfig(vocab_size=rows, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
                         max_position_embeddings=POSITIONS + 2, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2, **eager)


BODY = {"bert": BertModel, "distilbert": DistilBertModel, "roberta": RobertaModel, "modernbert": ModernBertModel}


def join(document):
    title, text = document["title"], document["text"] * document.get("times", 1)
    return title + " " + text if title and text else title or text


def rows(matrix):
    return [[round(float(v), 6) + 0.0 for v in row] for row in matrix]


def golden(name, family, documents, queries, **more):
    def of(encode, text):
        return rows(encode(text)) if text.strip() else []
    texts = [join(d) for d in DOCUMENTS]
    return {"name": name, "family": family, **more,
            "documents": [of(documents, t) for t in texts], "queries": [of(queries, q) for q in QUERIES]}


def keep(source, name):
    """Copies a folder as published, less cards."""
    at = OUT / name
    shutil.copytree(source, at, ignore=shutil.ignore_patterns("README.md", ".git*"))
    for file in at.rglob("*.json"):
        # Where the models lay here is nobody's business.
        value = json.loads(file.read_text())
        if isinstance(value, dict):
            value.pop("_name_or_path", None)
            value.pop("name_or_path", None)
        file.write_text(json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n")
    return at


# ---------------------------------------------------------------- Stanford's format

def stanford(name, kind, tok, seed, metadata):
    with tempfile.TemporaryDirectory() as scratch:
        base, at = Path(scratch) / "base", Path(scratch) / name
        shaped(BODY[kind](config(kind, len(tok))), seed).save_pretrained(base)
        tok.save_pretrained(base)
        model = class_factory(str(base))(BODY[kind].config_class.from_pretrained(base), ColBERTConfig(dim=metadata.get("dim", 128)))
        shaped(model, seed).save_pretrained(at)
        tok.save_pretrained(at)
        (at / "artifact.metadata").write_text(json.dumps(metadata, indent=4) + "\n")
        reference = Checkpoint(str(at), ColBERTConfig(checkpoint=str(at)), verbose=0)
        case = golden(name, "colbert", lambda t: reference.docFromText([t], keep_dims=False)[0], lambda q: reference.queryFromText([q])[0])
        keep(at, name)
    return case


# ---------------------------------------------------------------- PyLate

def dense(width, out, seed, bias, function=None, residual=False):
    layer = Dense(width, out, bias=bias, activation_function=function or torch.nn.Identity(), use_residual=residual)
    return shaped(layer, seed)


def late(name, kind, tok, seed, layers, settings, edit=None, graph=None):
    prefixes = [p for p in (settings.get("query_prefix", "[Q] "), settings.get("document_prefix", "[D] ")) if p]
    tok.add_tokens(prefixes)
    with tempfile.TemporaryDirectory() as scratch:
        base, at = Path(scratch) / "base", Path(scratch) / name
        shaped(BODY[kind](config(kind, len(tok))), seed).save_pretrained(base)
        tok.save_pretrained(base)
        made = pylate.ColBERT(modules=[Transformer(str(base), model_args={"attn_implementation": "eager"}), *layers], device="cpu",
                              query_length=QUERY, document_length=DOCUMENT, **settings)
        made.save(str(at), create_model_card=False)
        if edit:
            edit(at)
        reference = pylate.ColBERT(str(at), device="cpu", model_kwargs={"attn_implementation": "eager"})
        if graph:
            graph(reference, at)
        encode = lambda is_query: lambda t: reference.encode([t], is_query=is_query, show_progress_bar=False)[0]
        case = golden(name, "pylate", encode(False), encode(True))
        keep(at, name)
    return case


class Rows(torch.nn.Module):
    """As exporters of PyLate models have it: all modules, rows of length one."""

    def __init__(self, reference):
        super().__init__()
        self.body, self.layers = reference[0].auto_model, torch.nn.ModuleList(list(reference)[1:])

    def forward(self, input_ids, attention_mask):
        x = self.body(input_ids=input_ids, attention_mask=attention_mask)[0]
        for layer in self.layers:
            x = layer({"token_embeddings": x})["token_embeddings"]
        return torch.nn.functional.normalize(x, p=2, dim=-1)


def export(reference, at):
    """`model.onnx` in place of the weights."""
    example = (torch.ones(2, 7, dtype=torch.int64), torch.ones(2, 7, dtype=torch.int64))
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=POSITIONS)}
    program = torch.onnx.export(Rows(reference).eval(), example, dynamo=True, input_names=["input_ids", "attention_mask"],
                                output_names=["output"], dynamic_shapes=(axes, axes), opset_version=18, optimize=True, verbose=False)
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer]:
        del value.metadata_props[:]
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    onnx.save(model, at / "model.onnx")
    for file in at.rglob("model.safetensors"):
        file.unlink()


def lowercased(at):
    path = at / "sentence_bert_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "do_lower_case": True}))


def older(at):
    """Module paths of sentence-transformers' own Dense, and no `use_residual`, as published before."""
    path = at / "modules.json"
    path.write_text(path.read_text().replace("pylate.models.Dense.Dense", "sentence_transformers.models.Dense"))
    path = at / "1_Dense/config.json"
    value = json.loads(path.read_text())
    value.pop("use_residual", None)
    path.write_text(json.dumps(value))


def main():
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    if OUT.exists():
        shutil.rmtree(OUT)
    OUT.mkdir(parents=True)
    whole, unused = string.punctuation, ("[unused0]", "[unused1]")
    common = {"dim": DIM, "query_maxlen": QUERY, "doc_maxlen": DOCUMENT, "similarity": "cosine", "interaction": "colbert"}
    v2 = {"query_token_id": "[unused0]", "doc_token_id": "[unused1]", "query_token": "[Q]", "doc_token": "[D]",
          "mask_punctuation": True, "attend_to_mask_tokens": False, **common}
    cases = [
        stanford("colbert-bert", "bert", wordpiece(whole, *unused), 1, v2),
        # Punctuation that is no word of the vocabulary puts [UNK] on the list of what is skipped.
        stanford("colbert-distilbert", "distilbert", wordpiece("", *unused), 2, common),
        stanford("colbert-roberta", "roberta", byte_bpe(*unused), 3, {**v2, "attend_to_mask_tokens": True}),
        late("pylate-bert", "bert", wordpiece(whole), 4, [dense(WIDTH, DIM, 5, False)], {}, edit=older),
        late("pylate-roberta", "roberta", byte_bpe(), 6,
             [dense(WIDTH, 16, 7, True, torch.nn.Tanh()), dense(16, 16, 8, True, torch.nn.GELU(), True), dense(16, DIM, 9, False, None, True)],
             {"query_prefix": "[Q]", "document_prefix": "", "do_query_expansion": False, "skiplist_words": ["the", "?", "nowhere"]}, edit=lowercased),
        late("pylate-distilbert", "distilbert", wordpiece(whole), 10, [dense(WIDTH, DIM, 11, True, torch.nn.ReLU())],
             {"attend_to_expansion_tokens": True, "skiplist_words": []}),
        late("pylate-modernbert", "modernbert", wordpiece(whole), 12, [dense(WIDTH, DIM, 13, False)], {}, graph=export),
    ]
    (OUT / "golden.json").write_text(json.dumps({"texts": DOCUMENTS, "questions": QUERIES, "cases": cases}, separators=(",", ":")) + "\n")
    total = sum(f.stat().st_size for f in OUT.rglob("*") if f.is_file())
    print(f"{len(cases)} cases, {total} bytes")


if __name__ == "__main__":
    main()
