#!/usr/bin/env python3
"""Checks that the API of the headers, the symbol map and what the library exports are one list.

That is for libskua.so, or, if its name says so, for libskua_tls.so, whose header is tls.h.
"""

import pathlib
import re
import subprocess

import check_common

# Headers of libraries of their own, by the name of the library; the others are the main one's.
HEADERS = {"skua_tls": ["tls.h"]}


def declared(root, library):
    """The functions of the headers that are the library's."""
    others = [name for headers in HEADERS.values() for name in headers]
    declarations = check_common.api(root)
    if library in HEADERS:
        return [d.name for d in declarations if d.path.name in HEADERS[library]]
    return [d.name for d in declarations if d.path.name not in others]


def listed(root, symbol_map):
    """The names in the global section of a map."""
    text = re.sub(r"/\*.*?\*/|#[^\n]*", "", (root / symbol_map).read_text(), flags=re.DOTALL)
    section = re.search(r"global:(.*?)local:", text, re.DOTALL)
    return [name.strip() for name in section.group(1).split(";") if name.strip()] if section else []


def exported(library):
    """The names a library defines for others, without version nodes."""
    out = subprocess.run(
        ["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True
    ).stdout
    rows = [line.split()[-2:] for line in out.splitlines()]
    return [name.split("@")[0] for kind, name in rows if kind != "A"]


def compare(wanted, wanted_name, have, have_name):
    """Findings for what one set has and the other lacks."""
    missing = [f"{name}: in {wanted_name}, not in {have_name}" for name in sorted(wanted - have)]
    surplus = [f"{name}: in {have_name}, not in {wanted_name}" for name in sorted(have - wanted)]
    return missing + surplus


def main():
    arguments = check_common.parse_arguments(__doc__, "library")
    root = arguments.root
    own = pathlib.Path(arguments.library).name.split(".")[0].replace("lib", "", 1)
    symbol_map = f"src/{own}.map" if own in HEADERS else "src/skua.map"
    names = declared(root, own)
    symbols = listed(root, symbol_map)
    patterns = [name for name in symbols if "*" in name]
    findings = [f"{symbol_map}: {name}: list names, not patterns" for name in patterns]
    if symbols != sorted(set(symbols)):
        findings.append(f"{symbol_map}: the names are not sorted, or one stands twice")
    findings += compare(set(names), "include/skua", set(symbols), symbol_map)
    library = set(exported(arguments.library))
    findings += compare(set(names), "include/skua", library, arguments.library)
    check_common.finish("exports", findings, f"{len(names)} symbols")


main()
