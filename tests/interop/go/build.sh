#!/bin/sh
# Builds the programs here into a cache outside the checkout. Go downloads what go.sum names, if it has to.
set -eu
cd "$(dirname "$0")"
folder="${CITYPROOF_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cityproof}/interop"
mkdir -p "$folder"
exec go build -mod=readonly -buildvcs=false -ldflags="-s -w" -o "$folder/" ./...
