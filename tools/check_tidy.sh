#!/usr/bin/env bash
# Checks the library's C files with clang-tidy and .clang-tidy, where there is one.
# Usage: tools/check_tidy.sh BUILD_DIR (which holds compile_commands.json)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=${1:?usage: check_tidy.sh BUILD_DIR}
tidy=$(command -v clang-tidy-14 || command -v clang-tidy || true)
if [[ -z $tidy ]]; then
    echo "tidy: skipped, no clang-tidy"
    exit 77
fi
mapfile -d '' -t sources < <(find src tools -name '*.c' -type f -print0 | sort -z)
printf '%s\0' "${sources[@]}" |
    xargs -0 -P2 -n4 "$tidy" -p "$build" --quiet --warnings-as-errors='*' 2>/dev/null || {
    echo "tidy: findings above, by the rules of .clang-tidy"
    exit 1
}
echo "tidy: ${#sources[@]} files, no findings"
