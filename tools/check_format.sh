#!/usr/bin/env bash
# Checks that every C and C++ file is laid out as clang-format 14 lays it out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

formatter=$(command -v clang-format-14 || command -v clang-format || true)
if [[ -z $formatter ]]; then
    echo "format: skipped, no clang-format"
    exit 77
fi
version=$("$formatter" --version)
if [[ $version != *"version 14."* ]]; then
    echo "format: skipped, clang-format 14 is wanted and this is ${version#*version }"
    exit 77
fi
mapfile -d '' -t sources < <(find include src tools tests bench \
    \( -name '*.c' -o -name '*.h' -o -name '*.cc' \) -type f -print0 | sort -z)
if ! report=$("$formatter" --dry-run -Werror "${sources[@]}" 2>&1); then
    grep -E '^[^ ]+:[0-9]+:[0-9]+: error' <<<"$report" | sort -t: -k1,1 -u
    echo "format: run $(basename "$formatter") -i on these files (the first place of each is shown)"
    exit 1
fi
echo "format: ${#sources[@]} files, no findings"
