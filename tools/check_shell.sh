#!/usr/bin/env bash
# Checks every shell script with shellcheck, where there is one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v shellcheck >/dev/null; then
    echo "shell: skipped, no shellcheck"
    exit 77
fi
mapfile -t scripts < <(grep -rlE --exclude-dir=build '^#!.*\b(ba)?sh$' .ci tools tests bench | sort)
shellcheck -x "${scripts[@]}"
echo "shell: ${#scripts[@]} scripts, no findings"
