#!/usr/bin/env python3
"""Builds kernels.bin.zst, the machine code that the crate embeds, from the .cu files beside it.

    python3 build.py [--venv FOLDER] [--check]

NVIDIA's compiler comes from PyPI, pinned below, into FOLDER (default .venv, ignored by git): NVRTC
turns the sources into PTX and ptxas that into a cubin for each architecture. CUDA 12.8 because it is
the first that knows every architecture listed and its cubins load in all drivers from 12.x on. The
PTX of the oldest architecture is kept too, for processors that come later.

kernels.bin.zst is a zstd stream of: the line `quarry-kernels 1`, the line of the sources' SHA-256,
one line `NAME BYTES` for each part (sm_80 ... ptx_80), an empty line, and the parts one after another.
resources.txt says which registers and spills ptxas reports; a spill or a stack fails the build.
--check only compares the hash of the sources with the one built in.
"""

import argparse
import ctypes
import hashlib
import pathlib
import re
import subprocess
import sys

PACKAGES = ["nvidia-cuda-nvrtc-cu12==12.8.93", "nvidia-cuda-nvcc-cu12==12.8.93", "zstandard==0.25.0"]
ARCHITECTURES = [80, 86, 89, 90, 100, 120]
FOLDER = pathlib.Path(__file__).resolve().parent
KERNELS = ["gather.cu", "exhaustive.cu"]
OPTIONS = ["--std=c++17", "--device-as-default-execution-space", f"-I{FOLDER}"]


def sources_hash():
    """SHA-256 over name, length and bytes of every source, in order of names."""
    digest = hashlib.sha256()
    for path in sorted(p for p in FOLDER.iterdir() if p.suffix in (".cu", ".cuh")):
        text = path.read_bytes()
        digest.update(f"{path.name} {len(text)}\n".encode())
        digest.update(text)
    return digest.hexdigest()


def install(venv):
    if not (venv / "bin" / "python3").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    subprocess.run([str(venv / "bin" / "python3"), "-m", "pip", "install", "-q", *PACKAGES], check=True)
    return next((venv / "lib").glob("python3*/site-packages"))


class Nvrtc:
    """The four calls of NVRTC that we need."""

    def __init__(self, site):
        libraries = site / "nvidia" / "cuda_nvrtc" / "lib"
        ctypes.CDLL(str(libraries / "libnvrtc-builtins.so.12.8"), mode=ctypes.RTLD_GLOBAL)
        self.library = ctypes.CDLL(str(libraries / "libnvrtc.so.12"))

    def ptx(self, path, architecture):
        """The PTX of one source."""
        program = ctypes.c_void_p()
        call = self.library
        self.must(call.nvrtcCreateProgram(ctypes.byref(program), path.read_bytes(), path.name.encode(), 0, None, None))
        options = [o.encode() for o in [*OPTIONS, f"--gpu-architecture=compute_{architecture}"]]
        result = call.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        log = self.text(program, call.nvrtcGetProgramLogSize, call.nvrtcGetProgramLog)
        if result:
            sys.exit(f"{path.name}: {log}")
        if log.strip("\0\n "):
            print(log, file=sys.stderr)
        return self.text(program, call.nvrtcGetPTXSize, call.nvrtcGetPTX).rstrip("\0")

    def text(self, program, size, content):
        length = ctypes.c_size_t()
        self.must(size(program, ctypes.byref(length)))
        buffer = ctypes.create_string_buffer(length.value)
        self.must(content(program, buffer))
        return buffer.raw.decode()

    def must(self, result):
        if result:
            sys.exit(f"NVRTC failed with {result}")


def assemble(ptxas, ptx, architecture, work):
    """The cubin of `ptx` and ptxas' report on registers."""
    source, target = work / "kernel.ptx", work / "kernel.cubin"
    source.write_text(ptx)
    done = subprocess.run(
        [str(ptxas), "-v", "-O3", f"-arch=sm_{architecture}", str(source), "-o", str(target)],
        capture_output=True, text=True,
    )
    if done.returncode:
        sys.exit(done.stderr)
    report = []
    for name, body in re.findall(r"Compiling entry function '(\w+)'.*?\n(.*?(?:Used[^\n]*))", done.stderr, re.S):
        frame = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores", body)
        used = re.search(r"Used (\d+) registers", body)
        report.append((name, int(used[1]), int(frame[1]), int(frame[2])))
    return target.read_bytes(), report


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=pathlib.Path, default=FOLDER / ".venv")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    output = FOLDER / "kernels.bin.zst"
    if arguments.check:
        built = (FOLDER / "resources.txt").read_text().split("\n", 1)[0].split()[-1]
        if built != sources_hash():
            sys.exit("the sources changed since kernels.bin.zst was built: run build.py")
        return
    site = install(arguments.venv)
    sys.path.insert(0, str(site))
    import zstandard

    nvrtc = Nvrtc(site)
    ptxas = site / "nvidia" / "cuda_nvcc" / "bin" / "ptxas"
    parts, lines, failed = [], [f"sources {sources_hash()}"], False
    for architecture in ARCHITECTURES:
        for kernel in KERNELS:
            ptx = nvrtc.ptx(FOLDER / kernel, architecture)
            cubin, report = assemble(ptxas, ptx, architecture, arguments.venv)
            stem = kernel.removesuffix(".cu")
            parts.append((f"{stem}.sm_{architecture}", cubin))
            if architecture == ARCHITECTURES[0]:
                parts.append((f"{stem}.ptx_{architecture}", ptx.encode()))
            for name, registers, stack, spills in report:
                lines.append(f"sm_{architecture} {name} registers {registers} stack {stack} spills {spills}")
                failed |= stack > 0 or spills > 0
    (FOLDER / "resources.txt").write_text("\n".join(lines) + "\n")
    if failed:
        sys.exit("a kernel uses a stack or spills registers: see resources.txt")
    head = ["quarry-kernels 1", sources_hash(), *(f"{name} {len(data)}" for name, data in parts), "", ""]
    raw = "\n".join(head).encode() + b"".join(data for _, data in parts)
    output.write_bytes(zstandard.ZstdCompressor(level=19).compress(raw))
    print(f"{output.name}: {len(raw)} bytes, {output.stat().st_size} compressed")


if __name__ == "__main__":
    main()
