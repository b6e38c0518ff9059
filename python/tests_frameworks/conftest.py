"""What these tests share: the sample, its index, and the figures that `quarry eval` gives."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

import quarry

ROOT = Path(os.environ["QUARRY_ROOT"])
SAMPLE = ROOT / "datasets/sample"


def command(*arguments: object) -> str:
    done = subprocess.run(
        [os.environ["QUARRY_BINARY"], *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "sample.qry"
    command("index", SAMPLE, "--out", folder, "--no-tune")
    return folder


@pytest.fixture(scope="session")
def index(folder: Path) -> quarry.Index:
    return quarry.Index.open(folder)


@pytest.fixture(scope="session")
def figures(folder: Path) -> dict[str, dict[str, float]]:
    """nDCG@10 and R@100 of `quarry eval`, by channel."""
    eval_ = ("eval", folder, "--collection", SAMPLE, "--json", "--channel")
    return {channel: json.loads(command(*eval_, channel)) for channel in ("sparse", "bm25")}


@pytest.fixture(scope="session")
def questions() -> dict[str, str]:
    return quarry.read_queries(SAMPLE)


@pytest.fixture(scope="session")
def qrels() -> dict[str, dict[str, int]]:
    return quarry.read_qrels(SAMPLE)


@pytest.fixture(scope="session")
def corpus() -> dict[str, dict[str, str]]:
    records = [json.loads(line) for line in (SAMPLE / "corpus.jsonl").read_text().splitlines()]
    return {record["_id"]: {"title": record.get("title", ""), "text": record["text"]} for record in records}
