"""A server that Python starts answers as the index does."""

from __future__ import annotations

import json
import urllib.request

import pytest

import quarry


def test_a_server_answers_as_the_index(index, sample):
    with quarry.serve(sample, options=["--name", "demo"]) as server:
        body = json.dumps({"query": {"text": "why does bread go stale"}, "k": 3}).encode()
        request = urllib.request.Request(
            f"{server.url}/v1/collections/demo/search", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            hits = json.load(answer)["hits"]
    wanted = index.search("why does bread go stale", k=3)
    assert [(hit["id"], hit["score"]) for hit in hits] == [(hit.id, hit.score) for hit in wanted]
    with pytest.raises(OSError):
        urllib.request.urlopen(server.url)


def test_what_cannot_be_served_is_said(tmp_path, monkeypatch):
    with pytest.raises(quarry.errors.OptionError, match="one of the two"):
        quarry.serve()
    with pytest.raises(quarry.QuarryError, match="did not start|ended with code"):
        quarry.serve(tmp_path / "nothing")
    monkeypatch.delenv("QUARRY_BINARY")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(quarry.QuarryError) as raised:
        quarry.serve(tmp_path)
    assert raised.value.code == "no_command"
