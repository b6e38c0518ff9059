#!/usr/bin/env bash
# Known vulnerabilities of dependencies, where the database is there; `make audit` fetches it.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${CARGO_HOME:-$HOME/.cargo}/advisory-dbs
if [ -n "$(ls -A "$folder" 2>/dev/null)" ]; then
    "${CARGO:-cargo}" deny --offline check advisories
else
    echo "not run: advisories (no database in $folder; \`make audit\` fetches it, with network)"
fi
