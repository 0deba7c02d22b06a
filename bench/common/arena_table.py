"""What is compared: the workloads (workloads.json) and the peers (peers/<library>/peer.json).

Both are read and checked here; README.md describes every field. load_workloads() and load_peers()
return what they read and a list of faults, each one line that names the file and the place.
"""

import json
import os
import re

LANGUAGES = {"c": (".c",), "c++": (".cc", ".cpp"), "go": (".go",), "python": (".py",), "none": ()}
FORMS = ("program", "inside", "driver", "server")

# ---- checking ------------------------------------------------------------------------------------


def is_text(value):
    return isinstance(value, str) and value.strip() != ""


def is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_positive(value):
    return is_count(value) and value > 0


def is_flag(value):
    return isinstance(value, bool)


def is_texts(value):
    return isinstance(value, list) and all(isinstance(part, str) and part for part in value)


def is_lists(value):
    return isinstance(value, list) and value and all(map(is_texts, value))


def is_workers(value):
    return isinstance(value, list) and value and all(map(is_positive, value))


def is_environment(value):
    return isinstance(value, dict) and all(isinstance(part, str) for part in value.values())


def is_sources(value):
    if isinstance(value, dict):
        return all(is_texts(part) and part for part in value.values())
    return is_texts(value) and value


def is_object(value):
    return isinstance(value, dict)


def is_objects(value):
    return isinstance(value, list) and value and all(map(is_object, value))


# What a value must be: the test, and how a fault calls it.
TEXT = (is_text, "a text")
COUNT = (is_count, "a number, at least 0")
POSITIVE = (is_positive, "a number, at least 1")
FLAG = (is_flag, "true or false")
TEXTS = (is_texts, "a list of texts")
LISTS = (is_lists, "a list of lists of texts")
WORKERS = (is_workers, "a list of numbers, each at least 1")
ENVIRONMENT = (is_environment, "an object of texts")
SOURCES = (is_sources, "a list of files, or an object of lists of files")
OBJECT = (is_object, "an object")
OBJECTS = (is_objects, "a list of objects")

WORKLOAD_FIELDS = {
    "name": TEXT, "question": TEXT, "unit": TEXT, "size": POSITIVE, "quick": POSITIVE,
    "warmup": COUNT, "args": TEXTS, "quick_args": TEXTS, "pin": FLAG, "memory_gib": POSITIVE,
    "own_checksums": TEXTS, "deadline_s": POSITIVE, "form": TEXT, "arguments": LISTS,
    "quick_arguments": LISTS, "no_skua": TEXT, "later": TEXT,
}
BUILD_FIELDS = {
    "kind": TEXT, "flags": TEXTS, "libraries": TEXTS, "pkg-config": TEXTS, "sources": SOURCES,
}
SHARED_FIELDS = {  # of a peer and of each of its variants
    "name": TEXT, "packages": TEXTS, "needs": TEXTS, "compiler": TEXT, "env": ENVIRONMENT,
}
VARIANT_FIELDS = {**SHARED_FIELDS, "flags": TEXTS, "libraries": TEXTS, "pkg-config": TEXTS}
PEER_FIELDS = {
    **SHARED_FIELDS, "build": OBJECT, "variants": OBJECTS, "benches": OBJECTS, "baseline": FLAG,
}
BENCH_FIELDS = {
    "bench": TEXT, "program": TEXT, "args": TEXTS, "workers": WORKERS, "size": POSITIVE,
    "warmup": COUNT, "env": ENVIRONMENT, "driven": FLAG,
}


class Faults:
    """Collects what is wrong with one file."""

    def __init__(self, path):
        self.path, self.lines = path, []

    def add(self, where, text):
        self.lines.append(f"{self.path}: {where + ': ' if where else ''}{text}")

    def check(self, where, value, fields, required):
        """True if an object has what is required, nothing unknown, and all is what it must be."""
        before = len(self.lines)
        for name in required:
            if name not in value:
                self.add(where, f"'{name}' is missing")
        for name, part in value.items():
            if name not in fields:
                self.add(where, f"unknown field '{name}'; there are {', '.join(fields)}")
            elif not fields[name][0](part):
                self.add(where, f"'{name}' is not {fields[name][1]}")
        return len(self.lines) == before


def read_json(faults, path):
    """The object in a file, or None."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except FileNotFoundError:
        faults.add("", "is not there; README.md says what stands in it")
    except OSError as error:
        faults.add("", error.strerror)
    except ValueError as error:
        faults.add("", f"not JSON: {error}")
    else:
        if isinstance(value, dict):
            return value
        faults.add("", "not an object")
    return None


def shown(path):
    """A path as a person would type it from here."""
    short = os.path.relpath(path)
    return path if short.startswith("..") else short


# ---- workloads -----------------------------------------------------------------------------------


class Workload:
    """One row of workloads.json."""

    def __init__(self, row):
        self.name, self.question, self.unit = row["name"], row["question"], row["unit"]
        self.form = row.get("form", "program")
        # Its lines are by one competitor each and are checked.
        self.checked = self.form in ("program", "server")
        # CPUs besides those of the workers: for the client of a server.
        self.spare_cpus = 1 if self.form == "server" else 0
        self.size, self.quick = row.get("size"), row.get("quick")
        self.warmup = row.get("warmup", 1)
        self.args = row.get("args", [])
        self.quick_args = row.get("quick_args", self.args)
        self.arguments = row.get("arguments", [[]])
        self.quick_arguments = row.get("quick_arguments", self.arguments)
        self.pin = row.get("pin", True)
        self.memory_gib = row.get("memory_gib")
        self.own_checksums = set(row.get("own_checksums", []))
        self.deadline_s = row.get("deadline_s")
        self.no_skua, self.later = row.get("no_skua"), row.get("later")

    def size_for(self, quick, size=None):
        """How large a run is; @size is a peer's own. None: as the program likes."""
        size = size or self.size
        if not quick or size is None:
            return size
        return self.quick or max(1, size // 100)


class Table:
    """The workloads in their order, and the units of which more is better."""

    def __init__(self, rows, units):
        self.workloads = [Workload(row) for row in rows]
        self.bigger_is_better = set(units)

    def names(self):
        return [workload.name for workload in self.workloads]


def check_workload(faults, where, row):
    if not faults.check(where, row, WORKLOAD_FIELDS, ("name", "question", "unit")):
        return
    if not re.fullmatch(r"[a-z][a-z0-9_]*", row["name"]):
        faults.add(where, f"'{row['name']}' is no name: small letters, digits and _")
    if row.get("form", "program") not in FORMS:
        faults.add(where, f"unknown form '{row['form']}'; there are {', '.join(FORMS)}")


def load_workloads(path):
    """(table, faults); the table is None if there are faults."""
    faults = Faults(shown(path))
    value = read_json(faults, path)
    if value is None:
        return None, faults.lines
    fields = {"bigger_is_better": TEXTS, "workloads": OBJECTS}
    if faults.check("", value, fields, fields):
        for index, row in enumerate(value["workloads"]):
            check_workload(faults, f"workloads[{index}]", row)
    if faults.lines:
        return None, faults.lines
    table = Table(value["workloads"], value["bigger_is_better"])
    names = table.names()
    for name in sorted({name for name in names if names.count(name) > 1}):
        faults.add("", f"two workloads are named '{name}'")
    return (None if faults.lines else table), faults.lines


# ---- peers ---------------------------------------------------------------------------------------


class Unit:
    """What is installed, built and run as one: a peer without variants, or one variant."""

    def __init__(self, peer, row, variant):
        both = (row, variant)
        build = row["build"]
        self.peer = peer
        self.name = variant.get("name", row["name"])
        self.slug = re.sub(r"[^a-z0-9]+", "_", variant["name"].lower()) if variant else ""
        self.compiler = variant.get("compiler", row.get("compiler"))
        self.packages = [name for part in both for name in part.get("packages", [])]
        self.needs = [need for part in both for need in part.get("needs", [])]
        self.flags = build.get("flags", []) + variant.get("flags", [])
        self.libraries = build.get("libraries", []) + variant.get("libraries", [])
        self.modules = build.get("pkg-config", []) + variant.get("pkg-config", [])
        self.env = {**row.get("env", {}), **variant.get("env", {})}
        self.install_problem = None  # what tools/install_packages said, or None
        self.missing = None          # why it cannot be had on this machine, or None
        self.built = {}              # program: command line that starts it
        self.broken = {}             # program: why it was not built, a failure


class Peer:
    """One folder of peers/."""

    def __init__(self, folder, row, programs):
        self.folder, self.library = folder, os.path.basename(folder)
        self.name, self.kind = row["name"], row["build"]["kind"]
        self.programs = programs  # program: its source files
        self.benches = row["benches"]
        self.baseline = row.get("baseline", False)  # no competitor: a floor, or one thread's work
        self.units = [Unit(self, row, variant) for variant in row.get("variants", [{}])]

    def workloads(self):
        return list(dict.fromkeys(bench["bench"] for bench in self.benches))


def go_programs(folder, names):
    """Each file with a main() is a program, with the files that have none."""
    mains, others = [], []
    for name in names:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            is_main = re.search(r"^func main\(\)", file.read(), re.MULTILINE)
        (mains if is_main else others).append(name)
    return {os.path.splitext(name)[0]: [name] + others for name in mains}


def find_programs(faults, folder, build):
    """{program: its source files} of a peer."""
    kind, given = build["kind"], build.get("sources")
    if isinstance(given, dict):
        programs = given
    elif given:
        programs = {os.path.splitext(os.path.basename(name))[0]: [name] for name in given}
    else:
        names = [name for name in sorted(os.listdir(folder))
                 if name.endswith(LANGUAGES[kind] or (".py", ".sh"))]
        if kind == "go":
            return go_programs(folder, names)
        if kind in ("c", "c++"):
            library = os.path.basename(folder)
            names = [name for name in names if os.path.splitext(name)[0].endswith(f"_{library}")]
        programs = {os.path.splitext(name)[0]: [name] for name in names}
    for name in sorted({name for names in programs.values() for name in names}):
        if not os.path.isfile(os.path.join(folder, name)):
            faults.add("build", f"no file '{name}' beside it")
    return programs


def check_peer(faults, folder, row, workloads):
    """The programs of a peer; faults say what is wrong."""
    if not faults.check("", row, PEER_FIELDS, ("name", "build", "benches")):
        return {}
    faults.check("build", row["build"], BUILD_FIELDS, ("kind",))
    kind = row["build"].get("kind")
    if kind is not None and kind not in LANGUAGES:
        faults.add("build", f"unknown kind '{kind}'; there are {', '.join(LANGUAGES)}")
    if row["name"].split()[0] == "skua":
        faults.add("", "a peer is not called skua")
    for index, variant in enumerate(row.get("variants", [])):
        faults.check(f"variants[{index}]", variant, VARIANT_FIELDS, ("name",))
    if faults.lines:
        return {}
    programs = find_programs(faults, folder, row["build"])
    for index, bench in enumerate(row["benches"]):
        where = f"benches[{index}]"
        if not faults.check(where, bench, BENCH_FIELDS, ("bench", "program")):
            continue
        if bench["bench"] not in workloads:
            faults.add(where, f"no workload '{bench['bench']}'; there are {', '.join(workloads)}")
        if bench["program"] not in programs:
            faults.add(where, f"no program '{bench['program']}'; the folder makes "
                       f"{', '.join(sorted(programs)) or 'none'}")
    return programs


def load_peers(folder, workloads):
    """({library: peer or None}, {library: faults}) of every folder below @folder."""
    peers, all_faults = {}, {}
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    for library in names:
        inside = os.path.join(folder, library)
        if library.startswith((".", "__")) or not os.path.isdir(inside):
            continue
        path = os.path.join(inside, "peer.json")
        faults = Faults(shown(path))
        row = read_json(faults, path)
        programs = check_peer(faults, inside, row, workloads) if row is not None else {}
        peers[library] = None if faults.lines else Peer(inside, row, programs)
        if faults.lines:
            all_faults[library] = faults.lines
    return peers, all_faults
