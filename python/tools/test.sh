#!/usr/bin/env bash
# Installs the wheel of dist/ into a new environment, target/python/TESTS, and runs the tests of python/TESTS there, outside
# of the repository's folder so that nothing but the wheel is imported.
#
#   python/tools/test.sh tests [ARGUMENTS OF PYTEST]
#   python/tools/test.sh tests_frameworks      those of other frameworks, which bring gigabytes
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
target=${CARGO_TARGET_DIR:-$root/target}
tests=$1
shift
venv=$target/python/$tests
rm -rf "$venv"
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: -r "python/tools/requirements-$tests.txt"
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-index --no-deps dist/quarry_search-*.whl
# The bundled model and ONNX Runtime, where an installation has them (`make install`).
data=$target/python/data
mkdir -p "$data/quarry"
rm -rf "$data/quarry/models"
ln -s "$root/models" "$data/quarry/models"
export XDG_DATA_HOME=$data QUARRY_BINARY=$target/release/quarry QUARRY_ROOT=$root ORT_DISABLE_TELEMETRY=1
if [ -z "${ORT_DYLIB_PATH:-}" ]; then
    ORT_DYLIB_PATH=$(find "$root/.onnxruntime" -name 'libonnxruntime.*' | head -n 1)
    export ORT_DYLIB_PATH
fi
cd "$target/python"
# LangChain's own tests leave this to the settings.
if [ "$tests" = tests_frameworks ]; then set -- -o asyncio_mode=auto "$@"; fi
"$venv/bin/python" -m pytest -rs --rootdir "$root/python" -c "$root/python/pyproject.toml" -p no:cacheprovider "$root/python/$tests" "$@"
