"""A server as a process of its own, by the command ``quarry``."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence

from quarry import _places
from quarry.errors import OptionError, QuarryError

__all__ = ["Server", "serve"]


def command() -> str:
    """The command: ``QUARRY_BINARY``, else ``quarry`` on the path."""
    found = os.environ.get("QUARRY_BINARY") or shutil.which("quarry")
    if found is None:
        raise QuarryError(
            "there is no command quarry on the path",
            "no_command",
            "`make install` in the project's folder installs it; or QUARRY_BINARY names it",
        )
    return found


class Server:
    """A server that was started; ``with`` ends it, as does ``close``."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process = process
        #: Its address, such as ``http://127.0.0.1:7878``.
        self.url = url

    def wait_until_ready(self, seconds: float = 60.0) -> None:
        """Waits until the index is loaded. Raises if the process ends or the time passes."""
        end = time.monotonic() + seconds
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=seconds) as answer:
                    if answer.status == 200:
                        return
            except urllib.error.HTTPError as error:
                error.close()
            except OSError:
                pass
            if self._process.poll() is not None:
                raise QuarryError(f"the server ended with code {self._process.returncode}", "serve")
            if time.monotonic() > end:
                raise QuarryError(f"the server was not ready within {seconds} seconds", "serve")
            time.sleep(0.05)

    def close(self, seconds: float = 15.0) -> None:
        """Ends it: requests that run are answered first, for at most ``seconds``."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<quarry.Server {self.url}>"


def serve(
    path: str | os.PathLike[str] | None = None,
    *,
    data: str | os.PathLike[str] | None = None,
    listen: str = "127.0.0.1:0",
    options: Sequence[str] = (),
    wait: bool = True,
) -> Server:
    """Serves an index (``path``), or a folder of collections (``data``), over HTTP, in a process of its own.

    It needs the command ``quarry`` (on the path, or named by ``QUARRY_BINARY``). Port 0 stands for any free port;
    ``server.url`` has the one taken. ``options`` are further ones of ``quarry serve``, such as ``["--name", "demo"]``.
    With ``wait`` the index is loaded when this returns. Whoever calls this ends the server: ``close()``, or ``with``.
    """
    if (path is None) == (data is None):
        raise OptionError("give the path of an index or data=, a folder of collections, one of the two", "invalid_option")
    what = [os.fspath(path)] if path is not None else ["--data", os.fspath(data or "")]
    process = subprocess.Popen(
        [command(), "serve", *what, "--listen", listen, *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**_places.environment(), **os.environ},
    )
    line = process.stdout.readline().strip() if process.stdout is not None else ""
    scheme, _, rest = line.partition("://")
    server = Server(process, f"{scheme}://{rest.split('/')[0]}")
    if not line.startswith("http"):
        code = process.wait()
        server.close()
        raise QuarryError(f"the server did not start (code {code}); what it said is on standard error", "serve")
    if wait:
        try:
            server.wait_until_ready()
        except BaseException:
            server.close()
            raise
    return server
