#!/usr/bin/env python3
"""Checks the doc comment of every SKUA_API function: there, whole, with the labels it must have."""

import re

import check_common

REQUIRED = ["Context:", "Cancellation:", "Returns:"]
ORDER = ["Context:", "Cancellation:", "Ownership:", "Units:", "Returns:", "Source:"]


def problems(declaration):
    """What is wrong with one comment."""
    if not declaration.comment:
        return ["no /** */ comment right above it"]
    lines = [re.sub(r"^\s*\*? ?", "", line) for line in declaration.comment.splitlines()[1:-1]]
    found = []
    labels = [word for line in lines for word in ORDER if line.startswith(word)]
    for label in REQUIRED:
        if label not in labels:
            found.append(f"its comment has no '{label}'")
    if len(set(labels)) != len(labels):
        found.append("a label stands twice")
    elif labels != sorted(labels, key=ORDER.index):
        found.append("the labels are not in the order " + " ".join(ORDER))
    for line in lines:
        for label in ORDER:
            if line.startswith(label) and not line[len(label) :].strip():
                found.append(f"'{label}' is empty")
    if not lines or not lines[0] or lines[0].startswith(tuple(ORDER)):
        found.append("its comment does not begin with what the function does")
    return found


def main():
    root = check_common.parse_arguments(__doc__).root
    declarations = check_common.api(root)
    findings = [
        f"{declaration.path}:{declaration.line}: {declaration.name}: {problem}"
        for declaration in declarations
        for problem in problems(declaration)
    ]
    if not declarations:
        findings.append("include/skua: no SKUA_API declaration found")
    check_common.finish("docs", findings, f"{len(declarations)} functions")


main()
