#!/usr/bin/env bash
# Installs a build, moves what was installed, and builds and runs consumers against it: through
# find_package() and through pkg-config, shared and static each.
# Usage: tools/check_install.sh BUILD_DIR [CC]
set -euo pipefail

build=$(cd "${1:?usage: check_install.sh BUILD_DIR [CC]}" && pwd)
cc=${2:-cc}
consumer=$(cd "$(dirname "${BASH_SOURCE[0]}")/../tests/consumer" && pwd)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/skua-install-XXXXXX")
trap 'rm -rf "$scratch"' EXIT

step() {
    local what=$1
    shift
    if ! "$@" >"$scratch/log" 2>&1; then
        cat "$scratch/log"
        echo "install: failed: $what"
        exit 1
    fi
}

step "cmake --install" cmake --install "$build" --prefix "$scratch/first"
mkdir "$scratch/elsewhere"
prefix=$scratch/elsewhere/moved
mv "$scratch/first" "$prefix"

# Nothing that was installed may remember where it was built or first installed.
source_dir=$(cd "$consumer/../.." && pwd)
for text in $(cd "$prefix" && find . -name '*.cmake' -o -name '*.pc'); do
    if grep -nF -e "$scratch/first" -e "$build" -e "$source_dir" "$prefix/$text"; then
        echo "install: failed: $text names a path of this machine"
        exit 1
    fi
done
find "$prefix" -name LICENSE -type f | grep -q . || {
    echo "install: failed: LICENSE is not installed"
    exit 1
}

kinds=(skua static)
pc_tls=$(find "$prefix" -name skua_tls.pc)
if [[ -n $pc_tls ]]; then
    kinds+=(tls tls_static)
fi
for kind in "${kinds[@]}"; do
    step "find_package, skua::$kind: configure" cmake -S "$consumer" -B "$scratch/cmake-$kind" \
        -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" -DCONSUMER_LIBRARY="skua::$kind"
    step "find_package, skua::$kind: build" cmake --build "$scratch/cmake-$kind"
    step "find_package, skua::$kind: run" timeout 60 "$scratch/cmake-$kind/consumer"
done

pc_file=$(find "$prefix" -name skua.pc)
export PKG_CONFIG_PATH=${pc_file%/*}
libdir=$(pkg-config --variable=libdir skua)
if [[ $(readlink -f "$libdir") != "$(readlink -f "$prefix")"/* ]]; then
    echo "install: failed: skua.pc names $libdir, which is not in the moved prefix"
    exit 1
fi
read -ra flags < <(pkg-config --cflags --libs skua)
step "pkg-config, shared: build" \
    "$cc" -std=c11 "$consumer/consumer.c" -o "$scratch/pc-shared" "${flags[@]}"
step "pkg-config, shared: run" env LD_LIBRARY_PATH="$libdir" timeout 60 "$scratch/pc-shared"
read -ra flags < <(pkg-config --static --cflags --libs skua)
step "pkg-config, static: build" \
    "$cc" -std=c11 "$consumer/consumer.c" -o "$scratch/pc-static" -static "${flags[@]}"
step "pkg-config, static: run" timeout 60 "$scratch/pc-static"
if [[ -n $pc_tls ]]; then
    read -ra flags < <(pkg-config --cflags --libs skua_tls)
    step "pkg-config, TLS: build" \
        "$cc" -std=c11 "$consumer/tls_consumer.c" -o "$scratch/pc-tls" "${flags[@]}"
    step "pkg-config, TLS: run" env LD_LIBRARY_PATH="$libdir" timeout 60 "$scratch/pc-tls"
fi
for program in skua-sum skua-httpd skua-load skua-proxy skua-crawl; do
    if [[ -x $prefix/bin/$program ]]; then
        step "the installed $program: run" timeout 60 "$prefix/bin/$program" --help
    fi
done
echo "install: $((${#kinds[@]} + 2)) consumers and more, no findings"
