#!/usr/bin/env bash
# Compiles a C test program for aarch64 and runs it in an emulator, where there are both.
# Usage: tools/check_cross.sh FILE...   (sources, named from the top of the tree)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

compiler=aarch64-linux-gnu-gcc
for tool in "$compiler" qemu-aarch64; do
    if ! command -v "$tool" >/dev/null; then
        echo "cross: skipped, no $tool"
        exit 77
    fi
done
scratch=$(mktemp -d "${TMPDIR:-/tmp}/skua-cross-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
"$compiler" -std=c17 -D_GNU_SOURCE -DSKUA_DEBUG -O2 -Wall -Wextra -Werror -fvisibility=hidden \
    -Isrc -Iinclude -Itests -o "$scratch/program" "$@" -lm -pthread
qemu-aarch64 -L /usr/aarch64-linux-gnu "$scratch/program"
