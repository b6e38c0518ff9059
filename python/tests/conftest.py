"""What the tests share: the binary that results are compared with, and an index of the bundled sample."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import quarry

ROOT = Path(os.environ["QUARRY_ROOT"])
SAMPLE = ROOT / "datasets/sample"


@pytest.fixture(scope="session")
def command() -> Callable[..., str]:
    """Runs the binary of the repository; what it prints."""

    def run(*arguments: object) -> str:
        done = subprocess.run(
            [os.environ["QUARRY_BINARY"], *map(str, arguments)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory, command: Callable[..., str]) -> Path:
    """The index of the bundled sample that the binary builds."""
    folder = tmp_path_factory.mktemp("sample") / "sample.qry"
    command("index", SAMPLE, "--out", folder, "--no-tune")
    return folder


@pytest.fixture(scope="session")
def index(sample: Path) -> quarry.Index:
    return quarry.Index.open(sample)


@pytest.fixture(scope="session")
def questions() -> dict[str, str]:
    return quarry.read_queries(SAMPLE)


def run_of(text: str) -> dict[str, list[tuple[str, float]]]:
    """A TREC run by query."""
    run: dict[str, list[tuple[str, float]]] = {}
    for line in text.splitlines():
        query, _, document, _, score, _ = line.split()
        run.setdefault(query, []).append((document, float(score)))
    return run
