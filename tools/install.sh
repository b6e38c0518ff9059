#!/usr/bin/env bash
# Installs the tools of tools/versions into a folder of their own, $QUARRY_TOOLS, by cargo, from the
# registry. One that is there with its version, in that folder or elsewhere on the path, is kept.
#
#   tools/install.sh            installs what `make check` needs and is missing (make tools)
#   tools/install.sh --check    fails when something is missing, and says how to get it
#   tools/install.sh docs       installs what `make docs` needs and is missing
#
# A line of tools/versions is: tool, version, group (`check` or `docs`), further options of cargo install.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${QUARRY_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/quarry/tools}
PATH=$folder/bin:$PATH
group=check
if [ "${1:-}" = docs ]; then group=docs; fi
missing=()
while read -r tool version needed_by options; do
    if [ "$needed_by" != "$group" ]; then continue; fi
    # `cargo-deny --version` prints `cargo-deny 0.20.2`, cargo-fuzz the same.
    if [ "$("$tool" --version 2>/dev/null | head -n 1 | grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1)" = "$version" ]; then
        continue
    fi
    if [ "${1:-}" = --check ]; then
        missing+=("$tool $version")
        continue
    fi
    echo "tools: building $tool $version into $folder"
    # Outside this workspace, whose settings are not the tool's.
    # shellcheck disable=SC2086 # several options
    (cd / && "${CARGO:-cargo}" install --quiet --locked --root "$folder" --version "=$version" $options "$tool")
done <tools/versions
if [ ${#missing[@]} -gt 0 ]; then
    printf 'missing: %s\n' "${missing[@]}" >&2
    echo "\`make tools\` installs what tools/versions names; the checks need it" >&2
    exit 1
fi
