#!/bin/sh
# Puts the bundled model and ONNX Runtime into the user's data folder, where an installed `quarry` finds them:
# $XDG_DATA_HOME/quarry, else ~/.local/share/quarry. `make install` runs this. What is there is replaced whole.
set -eu

fail() {
    echo "install-data: $*" >&2
    exit 1
}

root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
# A relative path would mean another folder for every place that the program is run from.
case ${XDG_DATA_HOME:-} in
/*) data=$XDG_DATA_HOME/quarry ;;
*)
    case ${HOME:-} in
    /*) data=$HOME/.local/share/quarry ;;
    *) fail "neither XDG_DATA_HOME nor HOME is an absolute path" ;;
    esac
    ;;
esac
# A library is loaded only from folders where nobody else may write.
umask 022

"$root/encoders/scripts/fetch-onnxruntime.sh" "$data/onnxruntime"
model=$data/models/quarry-mini
mkdir -p "$data/models"
new=$(mktemp -d "$data/models/.quarry-mini.XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 1' HUP INT TERM
cp "$root"/models/quarry-mini/* "$new"
chmod 755 "$new"
chmod 644 "$new"/*
# The old one goes last, so that a kill leaves one of the two.
old=$data/models/.quarry-mini.old
rm -rf "$old"
if [ -e "$model" ]; then mv "$model" "$old"; fi
mv "$new" "$model"
rm -rf "$old"
echo "install-data: $model"
[ -f "$model/token-model.onnx" ] ||
    echo "install-data: without token-model.onnx; \`make build\` makes it, for reranking with the bundled model"
