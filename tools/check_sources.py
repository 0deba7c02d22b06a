#!/usr/bin/env python3
"""Checks that no file is forgotten: sources and tests in CMake's lists, public headers in skua.h.

Also that the names of internal files are unique and that every file has its head comment.
"""

import collections
import re

import check_common

# Headers of libraries of their own: who includes skua.h need not have what those are built on.
APART = {"skua.h", "tls.h"}


def words(path):
    """Every word of a CMake file outside its comments."""
    if not path.is_file():
        return set()
    return set(re.sub(r"#[^\n]*", "", path.read_text()).replace(")", " ").replace("(", " ").split())


def unlisted(root, folder, suffixes, lists):
    """Findings for files of a folder that no CMake list names."""
    known = set().union(*(words(root / path) for path in lists))
    found = []
    for path in check_common.files(root, [folder], suffixes):
        name = path.relative_to(root)
        inside = {str(name), str(name.relative_to(*name.parts[:1])), path.name}
        if not known.intersection(inside):
            found.append(f"{name}: not listed in {' or '.join(lists)}")
    return found


def main():
    root = check_common.parse_arguments(__doc__).root
    findings = unlisted(root, "src", {".c", ".S"}, ["CMakeLists.txt", "cmake/SkuaTls.cmake"])
    findings += unlisted(root, "tools", {".c"}, ["tools/CMakeLists.txt"])
    for folder in ["unit", "api", "stress", "fault", "support", "model", "tools", "tls"]:
        path = f"tests/{folder}"
        findings += unlisted(root, path, {".c", ".cc", ".py"}, ["tests/CMakeLists.txt"])

    umbrella = (root / "include/skua/skua.h").read_text()
    for path in check_common.files(root, ["include/skua"], {".h"}):
        if path.name not in APART and f"#include <skua/{path.name}>" not in umbrella:
            findings.append(f"include/skua/{path.name}: not included by skua.h")

    sources = check_common.files(root, ["src", "include"], {".c", ".h", ".S"})
    internal = [path for path in sources if root / "src" in path.parents]
    count = collections.Counter(path.name for path in internal)
    for path in internal:
        if count[path.name] > 1:
            findings.append(f"{path.relative_to(root)}: another file has this name")
    for path in sources:
        name = "/".join(path.parts[-2:])
        if not path.read_text().startswith(f"/*\n * {name} - "):
            findings.append(f"{path.relative_to(root)}:1: does not begin with '/*\\n * {name} - '")
    check_common.finish("sources", findings, f"{len(sources)} files")


main()
