"""How the package behaves in a process: imports, threads, forks, signals."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

import quarry


def python(script: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False, **more
    )


def test_an_import_brings_nothing_else():
    done = python("""
        import sys, quarry
        print(*(name for name in ("numpy", "scipy", "pandas", "pyarrow", "onnxruntime", "torch") if name in sys.modules))
    """)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_threads_share_an_index_and_python_goes_on(index, questions):
    texts = list(questions.values())
    wanted = index.batch(texts, k=5).ids
    results: list[object] = []
    threads = [threading.Thread(target=lambda: results.append(index.batch(texts, k=5).ids)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [wanted] * 8
    assert [index.search(text, k=5).ids for text in texts] == wanted


def test_a_batch_lets_other_threads_run(index, questions):
    """While a batch runs, another thread of Python counts."""
    queries = list(questions.values()) * 500
    counted = [0]
    running = threading.Event()
    done = threading.Event()

    def count() -> None:
        running.set()
        while not done.is_set():
            counted[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    running.wait()
    before = counted[0]
    index.batch(queries, k=5)
    during = counted[0] - before
    done.set()
    thread.join()
    assert during > 1000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_searches(index, questions):
    texts = list(questions.values())
    wanted = index.batch(texts, k=5).ids
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.starmap(_ids, [(index, texts)] * 4)
    assert found == [wanted] * 4
    # Without pickling: the child has the parent's object.
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        good = index.batch(texts, k=5).ids == wanted and index.search(texts[0], k=5).ids == wanted[0]
        os.write(write, b"1" if good else b"0")
        os._exit(0)
    os.close(write)
    assert os.read(read, 1) == b"1" and os.waitpid(child, 0)[1] == 0
    assert index.batch(texts, k=5).ids == wanted


def test_a_spawned_process_searches(index, questions):
    texts = list(questions.values())
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.starmap(_ids, [(index, texts)]) == [index.batch(texts, k=5).ids]


def _ids(index: quarry.Index, texts: list[str]) -> list[list[str]]:
    return index.batch(texts, k=5).ids


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_a_batch(sample):
    """A batch that would take minutes is interrupted, and the index goes on working."""
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(f"""
            import quarry, signal
            # Where the tests run in the background, signals from the keyboard are ignored.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            index = quarry.Index.open({str(sample)!r})
            queries = ["why does bread go stale " * 40] * 100_000
            print("ready", flush=True)
            try:
                index.batch(queries, k=300, method="scan")
                print("finished", flush=True)
            except KeyboardInterrupt:
                print("interrupted", len(index.batch(["bread"], k=3).ids[0]), flush=True)
        """)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    # The batch begins after the line; signals sent before it are raised between two lines of Python just the same.
    threading.Timer(0.5, lambda: child.send_signal(signal.SIGINT)).start()
    out, _ = child.communicate()
    assert out == "interrupted 3\n" and child.returncode == 0


def test_threads_can_be_set(index):
    quarry.set_threads(1)
    one = index.batch(["bread", "salt"], k=3).ids
    quarry.set_threads(None)
    assert index.batch(["bread", "salt"], k=3).ids == one


def test_names_are_those_that_are_listed():
    assert set(quarry.__all__) == {*quarry._PLACES, "QuarryError", "__version__", "errors"}
    assert all(getattr(quarry, name) is not None for name in quarry.__all__) and set(quarry.__all__) <= set(dir(quarry))
    with pytest.raises(AttributeError, match="nothing"):
        _ = quarry.nothing
