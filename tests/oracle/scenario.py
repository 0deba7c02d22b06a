"""Reads scenario files, and brings logs into the forms in which they are compared."""

import pathlib

HERE = pathlib.Path(__file__).resolve().parent
SCENARIOS = HERE / "scenarios"
GOLDEN = HERE / "golden"
DIFFERENCES = HERE / "differences.txt"
DIFFERENCES_ASYNCIO = GOLDEN / "differences.asyncio.log"
DIFFERENCES_SKUA = GOLDEN / "differences.skua.log"


class Statement:
    """Words, and the blocks that belong to them: [(words before the brace, statements)]."""

    def __init__(self, words):
        self.words = words
        self.clauses = []

    def __str__(self):
        return " ".join(self.words)


class Scenario:
    def __init__(self, name):
        self.name = name
        self.cases = []  # of CPython, "file.Class.test"
        self.by_task = None  # why the order of different tasks at one moment is not compared
        self.only_main = None  # why the log of main alone is compared
        self.one_worker = None  # why it is not run with more workers
        self.python = (3, 11, 0)  # the first version that prints the golden log
        self.objects = []  # (kind, name, arguments)
        self.tasks = {}  # name: statements


def split(line):
    return line.partition("#")[0].split()


def parse_block(lines):
    """The statements up to the line that begins with a brace, and that line."""
    found = []
    for words in lines:
        if words[0] == "}":
            return found, words
        statement = Statement([word for word in words if word != "{"])
        found.append(statement)
        while words[-1] == "{":
            header = [word for word in words if word not in "{}"]
            body, words = parse_block(lines)
            statement.clauses.append((header, body))
    raise ValueError("a block is not closed")


def parse_scenario(name, lines):
    scenario = Scenario(name)
    lines = iter(lines)
    for words in lines:
        key, text = words[0], " ".join(words[1:])
        if key == "from":
            scenario.cases.append(text)
        elif key == "by-task":
            scenario.by_task = text
        elif key == "python":
            scenario.python = tuple(map(int, text.split(".")))
        elif key == "only-main":
            scenario.only_main = text
        elif key == "one-worker":
            scenario.one_worker = text
        elif key in ("main", "task"):
            scenario.tasks["main" if key == "main" else words[1]] = parse_block(lines)[0]
        else:
            scenario.objects.append((key, words[1], words[2:]))
    return scenario


def variants(lines):
    """Once, or, for "each KEY VALUE...", once for each value with %KEY replaced by it."""
    each = next((words for words in lines if words[0] == "each"), None)
    if each is None:
        yield "", lines
        return
    key = "%" + each[1]
    for value in each[2:]:
        yield "/" + value, [
            [word.replace(key, value) for word in words] for words in lines if words[0] != "each"
        ]


def read(path):
    """The scenarios of a file."""
    found, lines = [], None
    for words in filter(None, map(split, path.read_text().splitlines())):
        if words[0] == "scenario":
            lines = []
            found.append((words[1], lines))
        else:
            lines.append(words)
    return [
        parse_scenario(name + suffix, variant)
        for name, lines in found
        for suffix, variant in variants(lines)
    ]


def paths():
    return sorted(SCENARIOS.glob("*.txt"))


def golden_path(path):
    return GOLDEN / f"{path.stem}.log"


def read_logs(text):
    """{scenario: [lines]} of what either side prints."""
    logs = {}
    for line in text.splitlines():
        if line.startswith("== "):
            lines = logs.setdefault(line[3:], [])
        else:
            lines.append(line)
    return logs


def by_task(lines):
    """The form in which moments and what each task does are compared, not whose turn is first."""

    def key(line):
        moment, task = line.split(maxsplit=2)[:2]
        return int(moment), task

    return sorted(lines, key=key)


def compared(scenario, lines, workers=1):
    """The form of a log in which it is compared."""
    if scenario.only_main:
        lines = [line for line in lines if line.split()[1] in ("main", "-")]
    return by_task(lines) if scenario.by_task or workers > 1 else lines
