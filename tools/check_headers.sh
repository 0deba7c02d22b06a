#!/usr/bin/env bash
# Checks that every public header compiles alone, as C11 and as C++17, with gcc and clang, that all
# macros work in both languages, and that no macro leaves the library's name space.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

strict=(-Wall -Wextra -Wpedantic -Wundef -Werror -fsyntax-only -Iinclude)
for compiler in gcc g++ clang clang++; do
    if ! command -v "$compiler" >/dev/null; then
        echo "headers: skipped, no $compiler"
        exit 77
    fi
done

failed=0
fail() {
    echo "headers: $*"
    failed=1
}

count=0
for header in include/skua/*.h; do
    name=skua/$(basename "$header")
    # Twice, so that a missing guard shows.
    program="#include <$name>"$'\n'"#include <$name>"
    for compiler in gcc clang; do
        "$compiler" -std=c11 "${strict[@]}" -Wstrict-prototypes -x c - <<<"$program" ||
            fail "$name does not compile alone as C11 with $compiler"
    done
    for compiler in g++ clang++; do
        "$compiler" -std=c++17 "${strict[@]}" -x c++ - <<<"$program" ||
            fail "$name does not compile alone as C++17 with $compiler"
    done
    if grep -nE '^[[:space:]]*#[[:space:]]*define[[:space:]]+' "$header" |
        grep -vE 'define[[:space:]]+(SKUA_|skua_)'; then
        fail "$name defines a macro without the prefix"
    fi
    count=$((count + 1))
done

gcc -std=c11 "${strict[@]}" tests/compile/public_macros.c || fail "macros in C with gcc"
clang -std=c11 "${strict[@]}" tests/compile/public_macros.c || fail "macros in C with clang"
g++ -std=c++17 "${strict[@]}" tests/compile/public_macros.cc || fail "macros in C++ with g++"
clang++ -std=c++17 "${strict[@]}" tests/compile/public_macros.cc ||
    fail "macros in C++ with clang++"

[[ $failed -eq 0 ]] || exit 1
echo "headers: $count headers, no findings"
