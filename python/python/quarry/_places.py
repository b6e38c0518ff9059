"""Where models and ONNX Runtime are, by the environment: the native half reads none."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

#: The bundled model's folder, under ``models/``.
BUNDLED = "quarry-mini"


def package_folder(name: str) -> Path | None:
    """The folder of an installed package, without importing it."""
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations)))


def data_folder() -> Path | None:
    """Where the user's installation keeps what belongs to the program, as the binary looks for it."""
    data = os.environ.get("XDG_DATA_HOME", "")
    if Path(data).is_absolute():
        return Path(data) / "quarry"
    home = os.environ.get("HOME", "")
    return Path(home) / ".local/share/quarry" if Path(home).is_absolute() else None


def bundled() -> Path | None:
    """The bundled model: of the package ``quarry-search-model``, else of the prefix, else of the user's data folder."""
    package = package_folder("quarry_search_model")
    roots = [package, Path(sys.prefix) / "share/quarry", data_folder()]
    folders = (root / "models" / BUNDLED for root in roots if root is not None)
    return next((folder for folder in folders if folder.is_dir()), None)


def hub() -> dict[str, Any] | None:
    """The hub of models and its cache, as ``huggingface_hub`` reads the environment."""

    def of(name: str) -> str | None:
        return os.environ.get(name) or None

    if of("HF_HOME"):
        home = Path(os.environ["HF_HOME"])
    elif of("XDG_CACHE_HOME"):
        home = Path(os.environ["XDG_CACHE_HOME"]) / "huggingface"
    elif of("HOME"):
        home = Path(os.environ["HOME"]) / ".cache/huggingface"
    else:
        return None
    token = of("HF_TOKEN")
    if token is None and (home / "token").is_file():
        token = (home / "token").read_text().strip() or None
    return {
        "endpoint": of("HF_ENDPOINT") or "https://huggingface.co",
        "cache": of("HF_HUB_CACHE") or str(home / "hub"),
        "token": token,
        "offline": (of("HF_HUB_OFFLINE") or "").lower() in ("1", "true", "yes", "on"),
    }


def runtime() -> Path | None:
    """ONNX Runtime's shared library in the package ``onnxruntime``, which is not imported for it."""
    package = package_folder("onnxruntime")
    if package is None:
        return None
    names = ("libonnxruntime.so*", "libonnxruntime*.dylib", "onnxruntime.dll")
    found = (path for name in names for path in sorted((package / "capi").glob(name)))
    return next(found, None)


def environment() -> dict[str, str]:
    """What ONNX Runtime is told by the environment, where nothing else is said there."""
    told = {"ORT_DISABLE_TELEMETRY": "1"}
    if not os.environ.get("ORT_DYLIB_PATH"):
        library = runtime()
        if library is not None:
            told["ORT_DYLIB_PATH"] = str(library)
    return told


def sources() -> dict[str, Any]:
    """Where models come from, for the native half; tells ONNX Runtime's place by the way."""
    for name, value in environment().items():
        os.environ.setdefault(name, value)
    folder = bundled()
    return {"bundled": None if folder is None else str(folder), "hub": hub()}
