#!/bin/sh
# Installs what package-lock.json names into a cache outside the checkout, if that is not there yet; no scripts of theirs run.
set -eu
cd "$(dirname "$0")"
folder="${CITYPROOF_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cityproof}/interop/node"
mkdir -p "$folder"
cmp -s package-lock.json "$folder/.done" && exit 0
cp package.json package-lock.json "$folder/"
(cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --silent)
cp package-lock.json "$folder/.done"  # Last: a crash before leaves a folder that is installed again.
