#!/usr/bin/env python3
"""Writes encoders/tests/families/: small models with random weights, one of each kind of published
sparse encoder, and the vectors that transformers, sentence-transformers and torch give with them.

    python3 -m venv /tmp/venv
    /tmp/venv/bin/pip install torch transformers sentence-transformers onnx onnxscript
    /tmp/venv/bin/python encoders/scripts/make_family_models.py

With `--large FOLDER` it writes instead a SPLADE of 6 layers of 384 over the bundled model's
vocabulary, 512 positions, for timings (`examples/query_speed.rs`); with `--large-decoder FOLDER` a
Mistral of two layers as wide as the real ones, 2.8 GB of weights beside the graph.

`parts/` holds files, each once (of BERT, DistilBERT and RoBERTa also `model.safetensors` and, as
`checkpoint.json`, the whole configuration, which stand for the graph in a test); `golden.json` says for each case which of them make up its folder
and what its name is, and gives the vectors: number of components, their sum, and the heaviest.
"""

import copy
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from safetensors.torch import save_file
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder import modules as st_modules
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling
from sentence_transformers.base.modules import Router, Transformer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoTokenizer, BertConfig, BertForMaskedLM, DistilBertConfig, DistilBertForMaskedLM,
    MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast, RobertaConfig, RobertaForMaskedLM,
)

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "encoders" / "tests" / "families"
PARTS = OUT / "parts"
POSITIONS = 64
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

DOCUMENTS = [
    {"title": "Marble", "text": "A metamorphic rock composed of recrystallised carbonate minerals."},
    {"title": "", "text": "Wire saws cut blocks of stone in the quarry."},
    {"title": "Only a title", "text": ""},
    {"title": "", "text": ""},
    {"title": " ", "text": "   "},
    {"title": "", "text": "the quick quarry index ", "times": 2500},
    {"title": "Emoji \U0001f5ff", "text": "stone \U0001f9f1\U0001f3d4\ufe0f dust"},
    {"title": "Misto", "text": "\u5927\u7406\u77f3 marmo \u043c\u0440\u0430\u043c\u043e\u0440 \u0645\u0631\u0645\u0631 caf\u00e9 NA\u00cfVE stone"},
    {"title": "", "text": "a ", "times": POSITIONS - 2},
    {"title": "", "text": "a ", "times": POSITIONS - 1},
    {"title": "a", "text": "a ", "times": POSITIONS},
    {"title": "", "text": "[CLS] stone [SEP] <s> </s>"},
]
QUERIES = ["how is marble cut", "stone stone the index", "", "\U0001f5ff \u043c\u0440\u0430\u043c\u043e\u0440 caf\u00e9 ", "a " * 200]


def corpus():
    """Text that does not change: the licence's."""
    return [line for line in (ROOT / "LICENSE").read_text().splitlines() if line.strip()] + [d["text"] for d in DOCUMENTS]


# ---------------------------------------------------------------- tokenizers

def wordpiece(text):
    tok = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tok.normalizer = normalizers.BertNormalizer(lowercase=True)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.train_from_iterator(text, trainers.WordPieceTrainer(
        vocab_size=500, special_tokens=SPECIAL, limit_alphabet=80, show_progress=False))
    tok.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tok.decoder = decoders.WordPiece()
    # As some published files have it; loaders have to override both.
    tok.enable_padding(length=20)
    tok.enable_truncation(20)
    return tok


def byte_bpe(text):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.train_from_iterator(text, trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tok.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    return tok


def sentencepiece_bpe(text):
    """As Llama's and Mistral's: spaces become U+2581, unknown characters their bytes."""
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    tok = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tok.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tok.train_from_iterator(text, trainers.BpeTrainer(vocab_size=600, special_tokens=special, limit_alphabet=80,
                                                      max_token_length=12, show_progress=False))
    # The trainer makes the bytes special tokens; in Llama's file only the first three are.
    spec = json.loads(tok.to_str())
    spec["added_tokens"] = spec["added_tokens"][:3]
    tok = Tokenizer.from_str(json.dumps(spec))
    tok.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s> $B", [("<s>", 1)])
    return tok


def fast(tok, **roles):
    """transformers' tokenizer of the same file, less what the file cuts and fills up."""
    tok = Tokenizer.from_str(tok.to_str())
    tok.no_padding()
    tok.no_truncation()
    return PreTrainedTokenizerFast(tokenizer_object=tok, **roles)


# ---------------------------------------------------------------- models

def shaped(model, seed):
    """Weights large enough that outputs differ, and a bias that leaves some dimensions at zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 2:
                p.copy_(torch.randn(p.shape, generator=generator) * 0.35)
            elif name.endswith("bias"):
                p.copy_(torch.randn(p.shape, generator=generator) * 0.1 - (1.0 if p.numel() > 400 else 0.0))
    return model.eval()


class Logits(torch.nn.Module):
    def __init__(self, model, types):
        super().__init__()
        self.model, self.types = model, types

    def forward(self, input_ids, attention_mask, *types):
        more = {"token_type_ids": types[0]} if self.types else {}
        return self.model(input_ids=input_ids, attention_mask=attention_mask, **more).logits


class Pooled(Logits):
    def forward(self, input_ids, attention_mask, *types):
        x = super().forward(input_ids, attention_mask, *types)
        return torch.log1p(torch.relu(x) * attention_mask.unsqueeze(-1).to(x.dtype)).amax(1)


class EchoPooled(torch.nn.Module):
    """A graph that pools inside, where a mask says."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, *pool_mask):
        x = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return torch.log1p(torch.relu(x) * pool_mask[0].unsqueeze(-1).to(x.dtype)).amax(1)


def export(module, file, inputs, output, external=None):
    example = (torch.ones(2, 7, dtype=torch.int64), torch.ones(2, 7, dtype=torch.int64))
    if len(inputs) > 2:
        example += (torch.zeros(2, 7, dtype=torch.int64),)
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", max=POSITIONS)
    axes = {0: batch, 1: length}
    shapes = (axes, axes) + (((axes,),) if len(inputs) > 2 else ())
    program = torch.onnx.export(module, example, dynamo=True, input_names=inputs, output_names=[output],
                                dynamic_shapes=shapes, opset_version=18, optimize=True, verbose=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    model = program.model_proto
    model.producer_version = ""
    for node in model.graph.node:  # where the exporter's sources lie is nobody's business
        del node.metadata_props[:]
        node.doc_string = ""
    for value in list(model.graph.value_info) + list(model.graph.input) + list(model.graph.output):
        del value.metadata_props[:]
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
    if external:
        onnx.save(model, file, save_as_external_data=True, location=external, size_threshold=256)
    else:
        onnx.save(model, file)


def checkpoint(model, name):
    """The model as it is saved, for graphs that are built of it."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        shutil.copy(Path(folder) / "model.safetensors", PARTS / name / "model.safetensors")
        config = json.loads((Path(folder) / "config.json").read_text())
        (PARTS / name / "checkpoint.json").write_text(json.dumps(config, separators=(",", ":")) + "\n")


# ---------------------------------------------------------------- vectors

def join(document):
    title, text = document["title"], document["text"] * document.get("times", 1)
    return title + " " + text if title and text else title or text


def entry(vector):
    """Number, sum and the heaviest components of a vector."""
    vector = vector.detach().to(torch.float64).numpy()
    order = sorted(range(len(vector)), key=lambda t: (-vector[t], t))
    keep = sorted(t for t in order[:48] if vector[t] > 0)
    return {"sum": round(float(vector[vector > 0].sum()), 4), "components": [[t, round(float(vector[t]), 5)] for t in keep]}


def logits(model, ids):
    with torch.no_grad():
        ids = torch.tensor([ids])
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]


def weigh(x, how="max", double=False):
    x = torch.log1p(torch.relu(x))
    x = torch.log1p(x) if double else x
    return x.amax(0) if how == "max" else x.sum(0)


def no_tokens(tok, text):
    return not tok(text, add_special_tokens=False)["input_ids"]


def splade(model, tok, text, drop=(), **how):
    if no_tokens(tok, text):  # Quarry's rule: such a text has an empty vector
        return torch.zeros(model.config.vocab_size)
    out = weigh(logits(model, tok(text, truncation=True, max_length=POSITIONS)["input_ids"]), **how)
    out[list(drop)] = 0
    return out


def presence(tok, size, text, weights=None, drop=()):
    out = torch.zeros(size)
    ids = [i for i in set(tok(text, add_special_tokens=False)["input_ids"]) if i not in drop]
    out[ids] = 1.0 if weights is None else weights[ids]
    return torch.relu(out)


def echo(model, tok, text):
    ids = tok(text, add_special_tokens=False)["input_ids"][: (POSITIONS - 1) // 2]
    if no_tokens(tok, text) or not text.strip():
        return torch.zeros(model.config.vocab_size)
    return weigh(logits(model, [tok.bos_token_id] + ids + ids)[1 + len(ids):])


def pruned(vector, ratio, k):
    vector = torch.where(vector > ratio * vector.max(), vector, torch.zeros(()))
    keep = torch.topk(vector, k).indices
    out = torch.zeros_like(vector)
    out[keep] = vector[keep]
    return out


def main():
    torch.manual_seed(0)
    if OUT.exists():
        shutil.rmtree(OUT)
    PARTS.mkdir(parents=True)
    text = corpus()
    cases = []

    def case(name, files, documents, queries, **more):
        # An empty text of ours is an empty vector whatever the network says of it.
        documents = [torch.zeros_like(documents(join(d))) if not join(d).strip() else documents(join(d)) for d in DOCUMENTS]
        queries = [torch.zeros_like(queries(q)) if not q.strip() else queries(q) for q in QUERIES]
        cases.append({"name": name, "files": files, **more,
                      "documents": [entry(v) for v in documents], "queries": [entry(v) for v in queries]})

    def write(path, value):
        path = PARTS / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, separators=(",", ":")) + "\n")

    # --- BERT and DistilBERT over one WordPiece vocabulary
    wp = wordpiece(text)
    size = wp.get_vocab_size()
    (PARTS / "wordpiece.json").write_text(wp.to_str() + "\n")
    words = sorted(wp.get_vocab(), key=wp.get_vocab().get)
    (PARTS / "vocab.txt").write_text("\n".join(words) + "\n")
    roles = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}
    tok = fast(wp, **roles)
    write("tokenizer_config.json", {**roles, "do_lower_case": True, "model_max_length": POSITIONS})
    special = tok.all_special_ids
    bert = shaped(BertForMaskedLM(BertConfig(vocab_size=size, hidden_size=24, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=48, max_position_embeddings=POSITIONS, attn_implementation="eager")), 1)
    write("bert/config.json", {"architectures": ["BertForMaskedLM"], "model_type": "bert", "vocab_size": size,
                               "max_position_embeddings": POSITIONS, "pad_token_id": 0})
    export(Logits(bert, True), PARTS / "bert/model.onnx", ["input_ids", "attention_mask", "token_type_ids"], "logits")
    checkpoint(bert, "bert")
    aliased = onnx.load(PARTS / "bert/model.onnx")
    for node in aliased.graph.node:
        for at, name in enumerate(node.input):
            node.input[at] = {"attention_mask": "input_mask", "token_type_ids": "segment_ids"}.get(name, name)
    for value in aliased.graph.input:
        value.name = {"attention_mask": "input_mask", "token_type_ids": "segment_ids"}.get(value.name, value.name)
    aliased.graph.output[0].name = "output"
    for node in aliased.graph.node:
        for at, name in enumerate(node.output):
            node.output[at] = "output" if name == "logits" else name
    onnx.save(aliased, PARTS / "bert/aliased.onnx")
    common = {"tokenizer.json": "wordpiece.json", "tokenizer_config.json": "tokenizer_config.json"}
    of_bert = {"model.onnx": "bert/model.onnx", "config.json": "bert/config.json", **common}
    plain = lambda t: splade(bert, tok, t)
    case("splade-bert", of_bert, plain, plain, family="splade")
    case("splade-pp", {"onnx/model.onnx": "bert/aliased.onnx", "config.json": "bert/config.json",
                       "vocab.txt": "vocab.txt"}, plain, plain, family="splade")
    case("pruned", of_bert, lambda t: pruned(plain(t), 0.25, 20), plain, family="splade",
         document={"ratio": 0.25, "top_k": 20})

    distil = shaped(DistilBertForMaskedLM(DistilBertConfig(vocab_size=size, dim=24, n_layers=2, n_heads=2, hidden_dim=48,
        max_position_embeddings=POSITIONS, attn_implementation="eager")), 2)
    write("distil/config.json", {"architectures": ["DistilBertForMaskedLM"], "model_type": "distilbert", "vocab_size": size,
                                 "max_position_embeddings": POSITIONS, "pad_token_id": 0})
    export(Pooled(distil, False), PARTS / "distil/model.onnx", ["input_ids", "attention_mask"], "sentence_embedding")
    checkpoint(distil, "distil")
    of_distil = {"model.onnx": "distil/model.onnx", "config.json": "distil/config.json", **common}
    case("splade-distilbert", of_distil, lambda t: splade(distil, tok, t), lambda t: splade(distil, tok, t), family="splade")
    case("efficient", of_distil, lambda t: splade(distil, tok, t), plain, family="splade", questions="splade-bert")

    # --- tables
    idf = (torch.rand(size, generator=torch.Generator().manual_seed(3)) * 8).numpy().round(4)
    write("idf.json", {word: float(w) for word, w in zip(words, idf)})
    weights = torch.tensor(idf)
    for version, double in [("v2", False), ("v3", True)]:
        case(f"opensearch-neural-sparse-encoding-doc-{version}-toy", {"idf.json": "idf.json", **of_bert},
             lambda t: splade(bert, tok, t, drop=special, double=double),
             lambda t: presence(tok, size, t, weights, special), family=f"opensearch-{version}")
    case("splade-v3-doc", of_bert, plain, lambda t: presence(tok, size, t, drop=[0, 2, 3]), family="splade-doc")
    own = lambda t: plain(t) * torch.zeros(size).index_fill(0, torch.tensor(tok(t, truncation=True, max_length=POSITIONS)["input_ids"]), 1.0)
    case("splade-v3-lexical", of_bert, plain, own, family="splade-lexical")
    # Li-LSR: a weight for each word embedding, as a table.
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        learned = torch.log1p(torch.relu(bert.bert.embeddings.word_embeddings.weight @ torch.randn(24, generator=generator)))
    save_file({"weight": learned.contiguous()}, PARTS / "li-lsr.safetensors")
    case("li-lsr-toy", {"query_table.safetensors": "li-lsr.safetensors", **of_bert}, plain,
         lambda t: presence(tok, size, t, learned, special), family="li-lsr")

    # --- RoBERTa
    bpe = byte_bpe(text)
    (PARTS / "byte-bpe.json").write_text(bpe.to_str() + "\n")
    rtok = fast(bpe, unk_token="<unk>", sep_token="</s>", pad_token="<pad>", cls_token="<s>", mask_token="<mask>", bos_token="<s>", eos_token="</s>")
    roberta = shaped(RobertaForMaskedLM(RobertaConfig(vocab_size=bpe.get_vocab_size(), hidden_size=24, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=48, max_position_embeddings=POSITIONS + 2, type_vocab_size=1, pad_token_id=1,
        bos_token_id=0, eos_token_id=2, attn_implementation="eager")), 5)
    write("roberta/config.json", {"architectures": ["RobertaForMaskedLM"], "model_type": "roberta",
        "vocab_size": bpe.get_vocab_size(), "max_position_embeddings": POSITIONS + 2, "pad_token_id": 1})
    export(Logits(roberta, False), PARTS / "roberta/model.onnx", ["input_ids", "attention_mask"], "logits")
    checkpoint(roberta, "roberta")
    of_roberta = {"model.onnx": "roberta/model.onnx", "config.json": "roberta/config.json", "tokenizer.json": "byte-bpe.json"}
    case("granite-sparse", of_roberta, lambda t: splade(roberta, rtok, t), lambda t: splade(roberta, rtok, t), family="splade")

    # --- Mistral
    sp = sentencepiece_bpe(text)
    (PARTS / "sentencepiece.json").write_text(sp.to_str() + "\n")
    mtok = fast(sp, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
    mistral = shaped(MistralForCausalLM(MistralConfig(vocab_size=sp.get_vocab_size() + 5, hidden_size=24, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, intermediate_size=48, max_position_embeddings=POSITIONS, sliding_window=None,
        attn_implementation="eager", use_cache=False)), 6)
    write("mistral/config.json", {"architectures": ["MistralForCausalLM"], "model_type": "mistral",
        "vocab_size": mistral.config.vocab_size, "max_position_embeddings": POSITIONS, "eos_token_id": 2})
    export(Logits(mistral, False), PARTS / "mistral/model.onnx", ["input_ids", "attention_mask"], "logits", external="model.onnx_data")
    of_mistral = {"model.onnx": "mistral/model.onnx", "model.onnx_data": "mistral/model.onnx_data",
                  "config.json": "mistral/config.json", "tokenizer.json": "sentencepiece.json"}
    case("echo-mistral-splade-toy", of_mistral, lambda t: echo(mistral, mtok, t), lambda t: echo(mistral, mtok, t), family="echo")
    export(EchoPooled(mistral), PARTS / "mistral/pooled.onnx", ["input_ids", "attention_mask", "pool_mask"], "output")
    case("pool-mask-toy", {"model.onnx": "mistral/pooled.onnx", "config.json": "mistral/config.json", "tokenizer.json": "sentencepiece.json"},
         lambda t: echo(mistral, mtok, t), lambda t: echo(mistral, mtok, t), family="echo")
    prompt = "query: "
    case("mistral-splade-toy", of_mistral, lambda t: splade(mistral, mtok, t), lambda t: splade(mistral, mtok, prompt + t),
         family="decoder", query={"prompt": prompt})

    # --- sentence-transformers, as saved by it, its weights replaced by the graph
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        bert.save_pretrained(folder / "bert")
        tok.model_max_length = POSITIONS
        tok.save_pretrained(folder / "bert")

        def saved(model, name, old=False, edit=None):
            at = folder / name
            model.save_pretrained(str(at))
            files = {}
            for file in sorted(at.rglob("*")):
                relative = file.relative_to(at)
                if file.is_dir() or file.name in ["README.md", ".gitattributes"]:
                    continue
                # the network's weights are left out: the graph has them
                if file.name == "model.safetensors" and "Static" not in str(relative):
                    continue
                part = Path(name) / relative
                if file.name == "tokenizer.json":
                    files[str(relative)] = "wordpiece.json"
                    continue
                (PARTS / part).parent.mkdir(parents=True, exist_ok=True)
                if old and file.name in ["modules.json", "router_config.json"]:
                    content = file.read_text()
                    for new_path in ["sentence_transformers.base.modules.transformer.Transformer", "sentence_transformers.base.modules.Transformer"]:
                        content = content.replace(new_path, "sentence_transformers.sparse_encoder.models.MLMTransformer.MLMTransformer")
                    content = content.replace("sentence_transformers.sparse_encoder.modules", "sentence_transformers.sparse_encoder.models")
                    content = content.replace("sentence_transformers.base.modules.router", "sentence_transformers.models.Router")
                    (PARTS / part).write_text(content)
                elif old and "Pooling" in str(relative):
                    config = json.loads(file.read_text())
                    config["word_embedding_dimension"] = config.pop("embedding_dimension", None)
                    (PARTS / part).write_text(json.dumps(config))
                else:
                    shutil.copy(file, PARTS / part)
                files[str(relative)] = str(part)
            return files

        def encoder(name, modules, old=False, **more):
            model = SparseEncoder(modules=modules, device="cpu", **more)
            model.eval()
            files = {"onnx/model.onnx": "bert/model.onnx", **saved(model, name, old)}
            dense = lambda f: lambda t: f([t], convert_to_sparse_tensor=False)[0]
            case(name, files, dense(model.encode_document), dense(model.encode_query), family="sparse-encoder")

        transformer = lambda: Transformer(str(folder / "bert"), transformer_task="fill-mask")
        encoder("st-splade", [transformer(), SpladePooling("max")],
                prompts={"query": "the query ", "document": "a document "})
        encoder("st-sum-old", [transformer(), SpladePooling("sum", "log1p_relu")], old=True)
        static = lambda: SparseStaticEmbedding(tokenizer=copy.deepcopy(tok), weight=weights.clone(), frozen=True)
        router = lambda: Router.for_query_document(query_modules=[static()], document_modules=[transformer(), SpladePooling("max", "log1p_relu")])
        encoder("st-router", [router()])
        encoder("st-router-old", [router()], old=True)

    golden = {"texts": DOCUMENTS, "questions": QUERIES, "cases": cases}
    (OUT / "golden.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    total = sum(f.stat().st_size for f in OUT.rglob("*") if f.is_file())
    print(f"{len(cases)} cases, {total} bytes")


def large(folder):
    global POSITIONS
    POSITIONS = 512
    folder.mkdir(parents=True)
    bert = BertForMaskedLM(BertConfig(vocab_size=30522, hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
                                      intermediate_size=1536)).eval()
    with torch.no_grad():  # about as sparse as trained ones
        bert.cls.predictions.bias.fill_(-1.0)
    export(Logits(bert, True), folder / "model.onnx", ["input_ids", "attention_mask", "token_type_ids"], "logits")
    shutil.copy(ROOT / "models/quarry-mini/tokenizer.json", folder)
    (folder / "config.json").write_text(json.dumps({"architectures": ["BertForMaskedLM"], "model_type": "bert",
        "vocab_size": 30522, "max_position_embeddings": 512, "pad_token_id": 0}))


def large_decoder(folder):
    folder.mkdir(parents=True)
    model = MistralForCausalLM(MistralConfig(vocab_size=32000, hidden_size=4096, num_hidden_layers=2, num_attention_heads=32,
        num_key_value_heads=8, intermediate_size=14336, max_position_embeddings=POSITIONS, sliding_window=None, use_cache=False,
        attn_implementation="eager")).eval()
    export(Logits(model, False), folder / "model.onnx", ["input_ids", "attention_mask"], "logits", external="model.onnx_data")
    shutil.copy(PARTS / "sentencepiece.json", folder / "tokenizer.json")
    (folder / "config.json").write_text(json.dumps({"architectures": ["MistralForCausalLM"], "model_type": "mistral",
        "vocab_size": 32000, "max_position_embeddings": POSITIONS, "eos_token_id": 2}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--large-decoder"]:
        large_decoder(Path(sys.argv[2]))
    elif sys.argv[1:2] == ["--large"]:
        large(Path(sys.argv[2]))
    else:
        main()
