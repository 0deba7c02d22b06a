#!/usr/bin/env python3
"""Compiles the first ```c program of README.md against the built library and runs it."""

import pathlib
import re
import subprocess
import sys
import tempfile

import check_common


def main():
    arguments = check_common.parse_arguments(__doc__, "library", "compiler")
    root, library = arguments.root, pathlib.Path(arguments.library).resolve()
    readme = root / "README.md"
    text = readme.read_text() if readme.is_file() else ""
    block = re.search(r"^```c\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    if not block:
        print("readme: skipped, README.md has no ```c program")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="skua-readme-") as folder:
        source, program = pathlib.Path(folder, "readme.c"), pathlib.Path(folder, "readme")
        source.write_text(block.group(1))
        command = [arguments.compiler, "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
        command += [f"-I{root / 'include'}", str(source), "-o", str(program), str(library)]
        command += [f"-Wl,-rpath,{library.parent}"]
        if subprocess.run(command, check=False).returncode != 0:
            check_common.finish("readme", ["README.md: its program does not compile"], "")
        try:
            ran = subprocess.run(
                [program], cwd=folder, timeout=60, stdin=subprocess.DEVNULL, check=False
            )
        except subprocess.TimeoutExpired:
            check_common.finish("readme", ["README.md: its program did not end in 60 s"], "")
        if ran.returncode != 0:
            message = f"README.md: its program ended with {ran.returncode}"
            check_common.finish("readme", [message], "")
    check_common.finish("readme", [], "1 program")


main()
