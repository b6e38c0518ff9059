#!/bin/sh
# Puts ONNX Runtime's shared library into .onnxruntime/ in the repository root, where Quarry looks
# for it. Takes it out of the Python package of the same name, by pip, so that whatever mirror
# pip is set to use serves here too. Needs python3 with pip; installs nothing.
#
# Running it again is free: a library that is there and has the right checksum is kept.
#
#   encoders/scripts/fetch-onnxruntime.sh [FOLDER]      FOLDER instead of .onnxruntime/
set -eu

# Any wheel of the version holds the same library; this one is asked for when pip finds none for
# the local Python.
FALLBACK_PYTHON=3.11

fail() {
    echo "fetch-onnxruntime: $*" >&2
    exit 1
}

root=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)
target=${1:-$root/.onnxruntime}

# The one list of checksums; the program is built with the same.
sums=$root/encoders/onnxruntime.sums
here=$(uname -s)-$(uname -m)
line=$(grep "^$here " "$sums") ||
    fail "no ONNX Runtime is known for $here: install ONNX Runtime 1.24 or later" \
        "yourself and set ORT_DYLIB_PATH to its shared library"
# shellcheck disable=SC2086
set -- $line
VERSION=$2 library=$3 platform=$4 expected=$5

command -v python3 >/dev/null 2>&1 || fail "python3 is not installed"
python3 -m pip --version >/dev/null 2>&1 ||
    fail "python3 has no pip (try: python3 -m ensurepip, or the package python3-pip)"

checksum() {
    python3 -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1"
}

if [ -f "$target/$library" ] && [ "$(checksum "$target/$library")" = "$expected" ]; then
    echo "fetch-onnxruntime: $target/$library is there"
    exit 0
fi

mkdir -p "$target" || fail "cannot make the folder $target"
# On the same file system as the target, so that the last step is one rename.
work=$(mktemp -d "$target/fetch.XXXXXX") || fail "cannot write in $target"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

download() {
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --dest "$work" "$@" "onnxruntime==$VERSION" >"$work/pip.log" 2>&1
}
if ! download &&
    ! download --python-version "$FALLBACK_PYTHON" --implementation cp --platform "$platform"; then
    cat "$work/pip.log" >&2
    fail "pip could not get onnxruntime==$VERSION (its messages are above): check the network and" \
        "pip's index, or set ORT_DYLIB_PATH to an ONNX Runtime library of version 1.24 or later"
fi

python3 - "$work" "$library" <<'PYTHON' || fail "the package holds no $library"
import glob, os, sys, zipfile

folder, library = sys.argv[1:]
(wheel,) = glob.glob(os.path.join(folder, "*.whl"))
with zipfile.ZipFile(wheel) as package:
    (member,) = [name for name in package.namelist() if os.path.basename(name) == library]
    with open(os.path.join(folder, library), "wb") as out:
        out.write(package.read(member))
PYTHON

found=$(checksum "$work/$library")
[ "$found" = "$expected" ] ||
    fail "$library has the sha256 $found, expected $expected: nothing was installed"
chmod 755 "$work/$library"
mv -f "$work/$library" "$target/$library"
echo "fetch-onnxruntime: $target/$library"
