#!/usr/bin/env python3
"""Checks that the API of the headers, src/skua.map and what libskua.so exports are one list."""

import re
import subprocess

import check_common


def listed(root):
    """The names in the global section of src/skua.map."""
    text = re.sub(r"/\*.*?\*/|#[^\n]*", "", (root / "src/skua.map").read_text(), flags=re.DOTALL)
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
    names = [declaration.name for declaration in check_common.api(root)]
    symbols = listed(root)
    patterns = [name for name in symbols if "*" in name]
    findings = [f"src/skua.map: {name}: list names, not patterns" for name in patterns]
    if symbols != sorted(set(symbols)):
        findings.append("src/skua.map: the names are not sorted, or one stands twice")
    findings += compare(set(names), "include/skua", set(symbols), "src/skua.map")
    library = set(exported(arguments.library))
    findings += compare(set(names), "include/skua", library, arguments.library)
    check_common.finish("exports", findings, f"{len(names)} symbols")


main()
