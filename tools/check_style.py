#!/usr/bin/env python3
"""Checks sizes: lines per file and function, columns, nesting, parameters.

The layout is clang-format's, so a function's body is what stands between a line '{' and the next
line that begins with '}'. Exemptions stand in tools/style_exemptions.txt.
"""

import re

import check_common

LIMITS = {"function": 70, "file": 900, "header": 400, "columns": 100, "nesting": 4, "parameters": 6}
CODE = {".c", ".h", ".cc"}
TEXT = CODE | {".S", ".py", ".sh", ".cmake"}
FOLDERS = ["include", "src", "tools", "tests", "bench"]
CONTROL = re.compile(r"^( +)(?:\} else\b|(?:if|for|while|switch|do|else)\b)")


def parameters(signature):
    """How many parameters the last top-level parenthesis group of a signature has."""
    depth, count, start = 0, 0, signature.find("(")
    for character in signature[start:]:
        if character == "(":
            depth += 1
            count = 1 if depth == 1 else count
        elif character == ")":
            depth -= 1
        elif character == "," and depth == 1:
            count += 1
    return count


def functions(lines):
    """(first line, last line, signature) of every function, by the house layout."""
    start = None
    for number, line in enumerate(lines):
        if line == "{":
            first = number
            while first > 0 and lines[first - 1].strip() and not re.match(
                r"[#{}]|.*[;{}]$", lines[first - 1]
            ):
                first -= 1
            signature = " ".join(lines[first:number])
            start = (first, signature) if "(" in signature else None
        elif line.startswith("}") and start:
            yield start[0], number, start[1]
            start = None


def name_of(signature):
    # TEST(Suite, Case) is told apart by its case.
    test = re.match(r"TEST\w*\((\w+), *(\w+)\)", signature)
    if test:
        return f"{test.group(1)}.{test.group(2)}"
    plain = re.sub(r"__attribute__\s*\(\(.*?\)\)", "", signature)
    found = re.search(r"(\w+)\s*\(", plain)
    return found.group(1) if found else "?"


def measure_code(path, name, text, add):
    """Functions, nesting and parameters of one file."""
    lines = check_common.blank(text).split("\n")
    lines = [line.rstrip() for line in lines]
    for first, last, signature in functions(lines):
        function = name_of(signature)
        where = f"{name}:{function}"
        add("function", where, last - first + 1, first + 1)
        # What stands in their parentheses are no parameters, or pairs that the macro counts itself.
        if not re.match(r"TEST\w*\(|SKUA_FORKABLE\w*\(", signature):
            add("parameters", where, parameters(signature), first + 1)
        if path.suffix == ".c" or path.suffix == ".h":
            control = filter(None, map(CONTROL.match, lines[first:last]))
            depth = max((len(found.group(1)) // 4 for found in control), default=0)
            add("nesting", where, depth, first + 1)
    if "include/skua" in name:
        plain = "\n".join(lines)
        for match in re.finditer(r"^SKUA_API\b([^;{]*);", plain, re.MULTILINE):
            where = f"{name}:{name_of(match.group(1))}"
            line = check_common.line_of(plain, match.start())
            add("parameters", where, parameters(match.group(1)), line)


def measure(root):
    """{(rule, where): (value, line)} for everything over its limit, and the number of files."""
    over = {}

    def add(rule, where, value, line):
        if value > LIMITS[rule] and value > over.get((rule, where), (0, 0))[0]:
            over[rule, where] = (value, line)

    paths = check_common.files(root, FOLDERS, TEXT)
    for path in paths:
        name = str(path.relative_to(root))
        text = path.read_text()
        lines = text.split("\n")
        add("header" if "include/skua" in name else "file", name, len(lines) - 1, 1)
        for number, line in enumerate(lines, 1):
            add("columns", name, len(line), number)
        if path.suffix in CODE:
            measure_code(path, name, text, add)
    return over, len(paths)


def exemptions(root, findings):
    """{(rule, where): allowed} from the list."""
    allowed = {}
    path = root / "tools/style_exemptions.txt"
    for number, line in enumerate(path.read_text().splitlines() if path.is_file() else [], 1):
        entry, _, why = line.partition("#")
        fields = entry.split()
        if not fields:
            continue
        where = f"tools/style_exemptions.txt:{number}"
        whole = len(fields) == 3 and fields[0] in LIMITS and fields[2].isdigit() and why.strip()
        if not whole:
            findings.append(f"{where}: not '<rule> <file>[:<function>] <allowed>   # why'")
            continue
        allowed[fields[0], fields[1]] = int(fields[2])
    return allowed


def main():
    root = check_common.parse_arguments(__doc__).root
    findings = []
    over, count = measure(root)
    allowed = exemptions(root, findings)
    for (rule, where), (value, line) in sorted(over.items()):
        limit = allowed.get((rule, where), LIMITS[rule])
        if value > limit:
            findings.append(f"{where} (line {line}): {rule} {value}, limit {limit}")
        elif value < limit:
            findings.append(f"{where}: the exemption allows {rule} {limit}; lower it to {value}")
    for rule, where in sorted(set(allowed) - set(over)):
        findings.append(f"{where}: the exemption from {rule} is not needed; delete it")
    check_common.finish("style", findings, f"{count} files, {len(allowed)} exemption(s)")


main()
