#!/usr/bin/env python3
"""Checks that a file of src/ includes public headers, its own layer and lower layers only.

Folders that are libraries of their own, which use the main one by its public API, include public
headers, themselves and base/, which is inline, only; and nobody includes them.
"""

import re

import check_common

LAYERS = ["base", "platform", "core", "engine", "sched", "sync", "parallel", "time", "io", "os",
          "sim", "adapters"]
LIBRARIES = ["tls"]
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.MULTILINE)


def problem(root, path, quote, target):
    """Why this include is wrong, None if it is not."""
    own = path.relative_to(root / "src").parts[0]
    if own in LIBRARIES and quote == '"' and target.split("/")[0] in (own, "base"):
        return None
    if own in LIBRARIES and quote == '"':
        return f"{own} is a library of its own: it has {own}/, base/ and public headers only"
    if own not in LAYERS + LIBRARIES:
        return f"src/{own} is no layer; the layers are {' < '.join(LAYERS)}"
    if quote == "<":
        if target.startswith("skua/"):
            return None if (root / "include" / target).is_file() else "no such public header"
        first = target.split("/")[0]
        if first in LAYERS and (root / "src" / target).is_file():
            return "internal headers are included with quotes"
        return None
    layer = target.split("/")[0]
    if layer == "skua":
        return f"public headers are included with <{target}>"
    if "/" not in target or layer not in LAYERS:
        return "internal headers are named from src/: layer/name.h"
    if LAYERS.index(layer) > LAYERS.index(own):
        return f"{own} must not include {layer}: it is a higher layer"
    if own == "adapters" and layer == "adapters":
        folders = path.relative_to(root / "src").parts[1], target.split("/")[1]
        return None if folders[0] == folders[1] else "adapters do not include one another"
    return None


def main():
    root = check_common.parse_arguments(__doc__).root
    findings = []
    paths = check_common.files(root, ["src"], {".c", ".h", ".S"})
    for path in paths:
        text = check_common.blank(path.read_text())
        for match in INCLUDE.finditer(text):
            why = problem(root, path, match.group(1), match.group(2))
            if why:
                where = f"{path.relative_to(root)}:{check_common.line_of(text, match.start(2))}"
                findings.append(f"{where}: include of {match.group(2)}: {why}")
    check_common.finish("layers", findings, f"{len(paths)} files")


main()
