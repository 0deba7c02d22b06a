#!/usr/bin/env python3
"""Proves that the checks can fail: breaks a small tree in one way at a time and wants it noticed.

What needs a compiler is broken in the real tree's copy instead; see the table in main().
"""

import pathlib
import subprocess
import sys
import tempfile

TOOLS = pathlib.Path(__file__).resolve().parent

HEADER = """/*
 * skua/a.h - a header.
 */
/**
 * Does it.
 *
 * Context: any.
 * Cancellation: none.
 * Returns: 0.
 */
SKUA_API int skua_a(int a);
"""
SOURCE = """/*
 * core/a.c - a source.
 */
#include "base/b.h"

int skua_a(int a)
{
%s    return a;
}
"""
TREE = {
    "include/skua/a.h": HEADER,
    "include/skua/skua.h": "/*\n * skua/skua.h - all.\n */\n#include <skua/a.h>\n",
    "src/skua.map": "SKUA_0.1 {\nglobal:\n    skua_a;\nlocal:\n    *;\n};\n",
    "src/core/a.c": SOURCE % "",
    "src/base/b.h": "/*\n * base/b.h - a header.\n */\n",
    "tests/unit/core/a_test.cc": "int main()\n{\n}\n",
    "CMakeLists.txt": "set(S src/core/a.c)\n",
    "tests/CMakeLists.txt": "skua_test(a_test unit/core/a_test.cc LABELS unit)\n",
    "tools/CMakeLists.txt": "",
    "tools/style_exemptions.txt": "",
}
EXEMPT = "tools/style_exemptions.txt"
DEEP = "".join("    " * depth + "if (a)\n" for depth in range(1, 6)) + "    " * 6 + "a++;\n"

# (check, file, its new text, what the check must say)
BREAKS = [
    ("layers", "src/base/b.h", '#include "core/a.h"\n', "base must not include core"),
    ("layers", "src/engine/e.c", '#include "sched/task.h"\n', "engine must not include sched"),
    ("layers", "src/core/a.c", '#include "a.h"\n', "named from src/"),
    ("layers", "src/core/a.c", '#include "skua/a.h"\n', "included with <skua/a.h>"),
    ("layers", "src/extra/a.c", '#include "base/b.h"\n', "src/extra is no layer"),
    ("docs", "include/skua/a.h", HEADER.replace("Context", "Text"), "no 'Context:'"),
    ("docs", "include/skua/a.h", HEADER.replace("Returns", "Gives"), "no 'Returns:'"),
    ("docs", "include/skua/a.h", HEADER.replace("Cancellation: none", "x"), "no 'Cancellation:'"),
    ("docs", "include/skua/a.h", HEADER.replace("t: any.", "t:"), "'Context:' is empty"),
    ("docs", "include/skua/a.h", HEADER + "SKUA_API int skua_b(void);\n", "no /** */ comment"),
    ("docs", "include/skua/a.h", HEADER.replace(" * Does it.\n", ""), "does not begin with"),
    ("sources", "CMakeLists.txt", "# src/core/a.c\n", "src/core/a.c: not listed"),
    ("sources", "tests/CMakeLists.txt", "", "a_test.cc: not listed"),
    ("sources", "include/skua/new.h", HEADER, "not included by skua.h"),
    ("sources", "src/core/b.h", "/*\n * core/b.h - a header.\n */\n", "another file has this name"),
    ("sources", "src/base/b.h", "int b;\n", "does not begin with"),
    ("style", "src/core/a.c", SOURCE % ("    a++;\n" * 67), "function 71, limit 70"),
    ("style", "src/core/a.c", "/* */\n" * 901, "file 901, limit 900"),
    ("style", "include/skua/a.h", "/* */\n" * 401, "header 401, limit 400"),
    ("style", "src/core/a.c", "/*" + " " * 97 + "*/\n", "columns 101, limit 100"),
    ("style", "src/core/a.c", SOURCE % DEEP, "nesting 5, limit 4"),
    ("style", "src/core/a.c", SOURCE.replace("(int a)", "(int a" + ", int" * 6 + ")") % "",
     "parameters 7, limit 6"),
    ("style", EXEMPT, "function src/core/a.c:skua_a 80 # old\n", "is not needed; delete it"),
    ("style", EXEMPT, "function src/core/a.c:skua_a 80\n", "not '<rule>"),
    ("exports", "src/skua.map", TREE["src/skua.map"].replace("    skua_a;\n", ""), "not in src/"),
    ("exports", "src/skua.map", TREE["src/skua.map"].replace("_a;", "_a;\n skua_b;"), "skua_b: in"),
    ("exports", "src/skua.map", TREE["src/skua.map"].replace("_a", "_*"), "not patterns"),
    ("exports", "library.c", "int skua_a, skua_c;\n", "skua_c: in library.so, not in include"),
    ("exports", "library.c", "int skua_c;\n", "skua_a: in include/skua, not in library.so"),
]


def run(check, folder, changes):
    """(exit code, output) of a check on the small tree with changes."""
    tree = {**TREE, "library.c": "int skua_a;\n", **changes}
    for name, text in tree.items():
        path = pathlib.Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    command = [sys.executable, str(TOOLS / f"check_{check}.py"), "--root", folder]
    if check == "exports":
        build = ["cc", "-shared", "-fPIC", "library.c", "-o", "library.so"]
        subprocess.run(build, cwd=folder, check=True)
        command.append("library.so")
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def main():
    failed = 0
    for check in sorted({row[0] for row in BREAKS}):
        with tempfile.TemporaryDirectory(prefix="skua-check-") as folder:
            code, output = run(check, folder, {})
            if code != 0:
                failed += 1
                print(f"check_{check}.py finds fault with a good tree:\n{output}")
    for check, name, text, wanted in BREAKS:
        with tempfile.TemporaryDirectory(prefix="skua-check-") as folder:
            code, output = run(check, folder, {name: text})
            if code != 1 or wanted not in output:
                failed += 1
                print(f"check_{check}.py, {name} broken: wanted '{wanted}', exit 1; got {code}:")
                print(output)
    if failed:
        print(f"selftest: {failed} finding(s)")
        sys.exit(1)
    print(f"selftest: {len(BREAKS)} ways to break the rules, each noticed")


main()
