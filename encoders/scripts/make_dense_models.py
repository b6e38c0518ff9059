#!/usr/bin/env python3
"""Writes encoders/tests/dense/: small models of dense vectors with random weights, saved by sentence-transformers, and
the vectors that it gives with them.

    python3 -m venv /tmp/venv
    /tmp/venv/bin/pip install sentence-transformers==6.2.0 transformers==5.24.0 torch==2.15.0 onnx onnxscript
    /tmp/venv/bin/python encoders/scripts/make_dense_models.py

Reference: `SentenceTransformer.encode_document` and `encode_query`, which load the folder as it is written here, and
for `tokens` the rows of `encode(output_value="token_embeddings")`, each brought to length one: the states behind the
Transformer, before pooling. Of `cut` the vectors are those of `truncate_dim`, brought to length one. A text of white
space alone has no vector: that is Quarry's rule, and the reference is not asked.
"""

import json
import shutil
import tempfile
import warnings
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig, BertModel, DistilBertConfig, DistilBertModel, MPNetConfig, MPNetModel, PreTrainedTokenizerFast,
    RobertaConfig, RobertaModel,
)

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "encoders" / "tests" / "dense"
FAR, POSITIONS, LONGEST, WIDTH = 160, 56, 48, 16

# MPNet's buckets of distances grow from 8 on, up to 128: one model reads texts of that length.
DOCUMENTS = [
    {"title": "Marble", "text": "A metamorphic rock, composed of recrystallised (carbonate) minerals."},
    {"title": "Only a title", "text": ""},
    {"title": "", "text": "  \n "},
    {"title": "", "text": "the quick quarry index, ", "times": 60},
    {"title": "Stone", "text": "caf\u00e9 NA\u00cfVE \U0001f5ff \u5927\u7406\u77f3 marmo"},
    {"title": "", "text": "  The Stone of the  Quarry "},
]
QUERIES = ["how is marble cut?", "stone", " ", "?!", "stone quarry " * 40]


def corpus():
    """Text that does not change: the licence's."""
    return [line for line in (ROOT / "LICENSE").read_text().splitlines() if line.strip()]


def wordpiece(special, lowercase=True):
    """`special`: padding, unknown, first, last, mask, in the order of their ids."""
    pad, unknown, first, last, mask = special
    tok = Tokenizer(models.WordPiece(unk_token=unknown))
    tok.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    order = [first, pad, last, unknown, mask] if pad == "<pad>" else [pad, unknown, first, last, mask]
    tok.train_from_iterator(corpus(), trainers.WordPieceTrainer(
        vocab_size=170, special_tokens=order, limit_alphabet=50, show_progress=False))
    tok.post_processor = processors.BertProcessing((last, order.index(last)), (first, order.index(first)))
    tok.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(tokenizer_object=tok, unk_token=unknown, sep_token=last, pad_token=pad, cls_token=first,
                                   mask_token=mask, model_max_length=FAR)


def byte_bpe():
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=270, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tok.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tok, unk_token="<unk>", sep_token="</s>", pad_token="<pad>", cls_token="<s>",
                                   mask_token="<mask>", bos_token="<s>", eos_token="</s>", model_max_length=POSITIONS)


def shaped(model, seed):
    """Weights large enough that vectors differ."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale, shift = (0.35, 0.0) if p.dim() == 2 else (0.1, 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0)
            p.copy_(torch.randn(p.shape, generator=generator) * scale + shift)
    return model.eval()


def body(kind, rows):
    sizes = dict(vocab_size=rows, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24)
    if kind == "bert":
        return BertModel(BertConfig(**sizes, max_position_embeddings=POSITIONS))
    if kind == "distilbert":
        return DistilBertModel(DistilBertConfig(vocab_size=rows, dim=WIDTH, n_layers=2, n_heads=2, hidden_dim=24,
                                                max_position_embeddings=POSITIONS))
    positions = FAR if kind == "mpnet" else POSITIONS
    more = dict(max_position_embeddings=positions + 2, pad_token_id=1, bos_token_id=0, eos_token_id=2)
    if kind == "mpnet":
        return MPNetModel(MPNetConfig(**sizes, **more, layer_norm_eps=1e-5))
    return RobertaModel(RobertaConfig(**sizes, **more, type_vocab_size=1))


def join(document):
    title, text = document["title"], document["text"] * document.get("times", 1)
    return title + " " + text if title and text else title or text


def row(values):
    return [round(float(v), 6) + 0.0 for v in values]


def unit(x):
    return torch.nn.functional.normalize(torch.as_tensor(x), dim=-1)


def case(name, kind, tok, seed, modules, longest=LONGEST, prompts=None, graph=False, cut=None, tokens=False):
    with tempfile.TemporaryDirectory() as scratch:
        base, at = Path(scratch) / "base", Path(scratch) / name
        shaped(body(kind, len(tok)), seed).save_pretrained(base)
        tok.save_pretrained(base)
        first = Transformer(str(base), max_seq_length=longest)
        SentenceTransformer(modules=[first, *modules], prompts=prompts, device="cpu").save(str(at), create_model_card=False)
        reference = SentenceTransformer(str(at), device="cpu")
        made = {"name": name, "documents": [], "queries": []}
        sides = [("documents", [join(d) for d in DOCUMENTS], reference.encode_document), ("queries", QUERIES, reference.encode_query)]
        for side, texts, encode in sides:
            made[side] = [row(encode([t])[0]) if t.strip() else None for t in texts]
        if cut:
            texts = [join(d) for d in DOCUMENTS]
            made["cut"] = {"dims": cut, "documents": [
                row(unit(reference.encode_document([t], truncate_dim=cut)[0])) if t.strip() else None for t in texts]}
        if tokens:
            made["tokens"] = {}
            for side, texts, encode in sides:
                states = lambda t: [row(v) for v in unit(encode([t], output_value="token_embeddings")[0])]
                made["tokens"][side] = [states(t) if t.strip() and len(t) < 40 else None for t in texts]
        if graph:
            export(reference, at)
        keep(at, name)
    return made


def export(reference, at):
    """`onnx/model.onnx`, with hidden states, in place of the weights."""
    import onnx

    class States(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, input_ids, attention_mask):
            return self.inner(input_ids=input_ids, attention_mask=attention_mask)[0]

    example = (torch.ones(2, 7, dtype=torch.int64), torch.ones(2, 7, dtype=torch.int64))
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=POSITIONS)}
    program = torch.onnx.export(States(reference[0].auto_model).eval(), example, dynamo=True, input_names=["input_ids", "attention_mask"],
                                output_names=["last_hidden_state"], dynamic_shapes=(axes, axes), opset_version=18, optimize=True, verbose=False)
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer]:
        del value.metadata_props[:]
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    (at / "onnx").mkdir()
    onnx.save(model, at / "onnx" / "model.onnx")
    (at / "model.safetensors").unlink()


def keep(source, name):
    """Copies a folder as published, less cards."""
    at = OUT / name
    shutil.copytree(source, at, ignore=shutil.ignore_patterns("README.md", ".git*"))
    for file in at.rglob("*.json"):
        value = json.loads(file.read_text())
        if isinstance(value, dict):
            # Where the models lay here is nobody's business.
            value.pop("_name_or_path", None)
            value.pop("name_or_path", None)
        file.write_text(json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n")


def dense(inner, outer, seed, **how):
    return shaped(Dense(inner, outer, **how), seed)


def main():
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    if OUT.exists():
        shutil.rmtree(OUT)
    OUT.mkdir(parents=True)
    bert = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    cases = [
        case("bert", "bert", wordpiece(bert), 1, [Pooling(WIDTH, pooling_mode="mean"), Normalize()], tokens=True,
             prompts={"query": "query: ", "document": "passage: "}),
        case("bert-onnx", "bert", wordpiece(bert, lowercase=False), 2, [Pooling(WIDTH, pooling_mode="max")], graph=True),
        case("distilbert", "distilbert", wordpiece(bert), 3,
             [Pooling(WIDTH, pooling_mode="cls"), dense(WIDTH, 12, 4, activation_function=torch.nn.Tanh()), Normalize()], cut=5),
        case("roberta", "roberta", byte_bpe(), 5,
             [Pooling(WIDTH, pooling_mode="lasttoken"), dense(WIDTH, 8, 6, bias=False, activation_function=torch.nn.Identity())]),
        case("mpnet", "mpnet", wordpiece(("<pad>", "[UNK]", "<s>", "</s>", "<mask>")), 7,
             [Pooling(WIDTH, pooling_mode="mean"), Normalize()], longest=FAR, cut=8, tokens=True),
    ]
    (OUT / "golden.json").write_text(json.dumps({"texts": DOCUMENTS, "queries": QUERIES, "cases": cases}, separators=(",", ":")) + "\n")
    total = sum(f.stat().st_size for f in OUT.rglob("*") if f.is_file())
    print(f"{len(cases)} cases, {total} bytes")


if __name__ == "__main__":
    main()
