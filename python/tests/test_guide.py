"""The examples of docs/guide/python.md and of the package's README, run block by block.

What a block prints is compared with the `output` block after it; `...` stands for any text, and decimal numbers may differ
by 5 %, as in the guide's other pages.
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil

import pytest
from conftest import ROOT, SAMPLE


def blocks(page: str) -> list[tuple[str, str]]:
    return [(mark.strip(), body) for mark, body in re.findall(r"^```(.*?)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)]


def alike(wanted: str, printed: str) -> bool:
    wanted_lines, printed_lines = wanted.strip().splitlines(), printed.strip().splitlines()
    return len(wanted_lines) == len(printed_lines) and all(map(line_alike, wanted_lines, printed_lines))


NUMBER = re.compile(r"\d+\.\d+")


def line_alike(wanted: str, printed: str) -> bool:
    pattern = re.escape(NUMBER.sub("#", wanted)).replace(r"\.\.\.", ".*")
    if not re.fullmatch(pattern.rstrip(), NUMBER.sub("#", printed).rstrip()):
        return False
    if "..." in wanted:
        return True
    pairs = zip(NUMBER.findall(wanted), NUMBER.findall(printed))
    return all(float(a) == pytest.approx(float(b), rel=0.05) for a, b in pairs)


@pytest.mark.parametrize("page", ["docs/guide/python.md", "python/README.md"])
def test_examples_do_what_is_shown(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(SAMPLE, tmp_path / "sample")
    names: dict[str, object] = {"__name__": "example"}
    printed, ran = "", 0
    for mark, body in blocks((ROOT / page).read_text(encoding="utf-8")):
        if mark == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(body, page, "exec"), names)
            printed, ran = out.getvalue(), ran + 1
        elif mark == "output":
            assert alike(body, printed), f"{page} shows\n{body}\nand it printed\n{printed}"
        else:
            assert mark in ("sh,ignore", "sh", "python,ignore"), f"{page}: a block is marked {mark!r}"
    assert ran > 0


def test_output_is_compared():
    assert alike("a 1.00 ...", "a 1.04 b") and alike("x", "x\n")
    assert not alike("a 1.00", "a 1.20") and not alike("a", "b") and not alike("a", "a\nb")
