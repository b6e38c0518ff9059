#!/usr/bin/env python3
"""Makes tests/graphs/: small BERT, DistilBERT and RoBERTa models with random weights, and what transformers
computes of them.

    python3 -m venv v && v/bin/pip install torch==2.15.0 transformers==5.24.0 safetensors
    v/bin/python encoders/scripts/make_graph_fixtures.py

Of each model the vocabulary weights by SPLADE's head with maximum and sum, log1p once and twice, and the
hidden states brought to length one, for rows of different lengths; padding is masked.
"""
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForMaskedLM, BertConfig, DistilBertConfig, RobertaConfig

OUT = Path(__file__).resolve().parent.parent / "tests" / "graphs"
ROWS = [[2, 7, 31, 5, 9, 60, 3], [2, 88, 3], [2, 14, 15, 92, 65, 35, 89, 79, 32, 3], [2, 3]]


def configs():
    size = dict(vocab_size=97, max_position_embeddings=24, pad_token_id=0)
    yield "bert", BertConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24,
                             type_vocab_size=2, **size)
    yield "distilbert", DistilBertConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=24, **size)
    yield "roberta", RobertaConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
                                   type_vocab_size=1, **{**size, "pad_token_id": 1})


def numbers(tensor):
    return [[round(float(v), 7) for v in row] for row in tensor]


def main():
    for at, (name, config) in enumerate(configs()):
        torch.manual_seed(at + 1)
        model = AutoModelForMaskedLM.from_config(config).eval()
        with torch.no_grad():
            for value in model.parameters():
                value.copy_(torch.randn_like(value) * 0.35)
        folder = OUT / name
        folder.mkdir(parents=True, exist_ok=True)
        tied = model.get_output_embeddings().weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
        state = {k: v.contiguous().clone() for k, v in model.state_dict().items()
                 if not (tied and k.endswith(("decoder.weight", "vocab_projector.weight")))}
        save_file(state, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(config.to_dict(), indent=1, sort_keys=True, default=str) + "\n")
        pad, longest = config.pad_token_id, max(map(len, ROWS))
        ids = torch.tensor([row + [pad] * (longest - len(row)) for row in ROWS])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ROWS])
        with torch.no_grad():
            out = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        logits, hidden = out.logits, out.hidden_states[-1]
        once = torch.log1p(torch.relu(logits)) * mask.unsqueeze(-1)
        golden = {
            "pad": pad, "rows": ROWS,
            "max": numbers(once.max(1).values),
            "max twice": numbers(torch.log1p(once.max(1).values)),
            "sum": numbers(once.sum(1)),
            "tokens": [numbers(torch.nn.functional.normalize(h[: len(row)], dim=-1)) for h, row in zip(hidden, ROWS)],
        }
        (folder / "golden.json").write_text(json.dumps(golden) + "\n")
        print(name, sum(v.numel() for v in state.values()), "values, tied" if tied else "values")


if __name__ == "__main__":
    main()
