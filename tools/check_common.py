"""What the check_*.py scripts share: finding files, blanking comments, reporting.

Every script takes --root DIR (default: the tree it lies in), prints one line for each finding and
exits with 0 or 1.
"""

import argparse
import pathlib
import re
import sys

SKIPPED = {"build", ".git", ".cache", "__pycache__"}


def parse_arguments(description, *positional):
    parser = argparse.ArgumentParser(description=description)
    here = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("--root", type=pathlib.Path, default=here, help="top of the tree")
    for name in positional:
        parser.add_argument(name)
    return parser.parse_args()


def files(root, folders, suffixes):
    """The files under root's folders with one of the suffixes, sorted, as paths."""
    found = []
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            inside = path.relative_to(root).parts
            if path.suffix in suffixes and path.is_file() and not SKIPPED.intersection(inside):
                found.append(path)
    return found


def blank(text):
    """C or C++ source with comments and the insides of literals turned to spaces; lines stay."""
    token = re.compile(
        r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL
    )

    def spaces(match):
        found = match.group(0)
        # An apostrophe between digits (1'000) and an #include's quotes are left alone.
        if found[0] == "'" and re.search(r"\d$", text[: match.start()][-1:]):
            return found
        if found[0] == '"' and re.search(r"#\s*include\s*$", text[: match.start()].split("\n")[-1]):
            return found
        keep = found[0] if found[0] in "\"'" else " "
        inner = re.sub(r"[^\n]", " ", found)
        return keep + inner[1:-1] + keep if len(found) > 1 else found

    return token.sub(spaces, text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


class Declaration:
    """One SKUA_API function: name, file, line, and the comment right above it."""

    def __init__(self, name, path, line, comment):
        self.name, self.path, self.line, self.comment = name, path, line, comment


def api(root):
    """Every SKUA_API declaration of the public headers."""
    found = []
    for path in files(root, ["include/skua"], {".h"}):
        text = path.read_text()
        plain = blank(text)
        for match in re.finditer(r"^SKUA_API\b([^;{]*)[;{]", plain, re.MULTILINE):
            words = re.sub(r"__attribute__\s*\(\(.*?\)\)", " ", match.group(1))
            name = re.search(r"(\w+)\s*(?:\(|\[|$)", words.strip())
            above = re.search(r"/\*\*(?:(?!\*/).)*\*/\s*?\n?\Z", text[: match.start()], re.DOTALL)
            comment = above.group(0) if above else ""
            line = line_of(text, match.start())
            found.append(Declaration(name.group(1), path.relative_to(root), line, comment))
    return found


def finish(check, findings, counted):
    """Prints the findings and ends the process."""
    for finding in findings:
        print(finding)
    if findings:
        print(f"{check}: {len(findings)} finding(s)")
        sys.exit(1)
    print(f"{check}: {counted}, no findings")
    sys.exit(0)
