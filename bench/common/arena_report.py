"""Reads lines, makes medians of them, and tables of those. Used by bench_run and bench_plot."""

import json
import statistics

KEY = ("bench", "case", "metric", "by", "workers")
BIGGER_IS_BETTER = {"ops/s", "MB/s"}


class BadFile(Exception):
    """A file of lines that cannot be used; the text is one line that says why."""


# ---- lines ---------------------------------------------------------------------------------------


def read_lines(path):
    """(machine's line or {}, the other lines) of a file that bench_run has written."""
    try:
        with open(path, encoding="utf-8") as file:
            texts = file.read().split("\n")
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadFile(f"{path}: no lines of JSON: not even text") from None
    lines = []
    for number, text in enumerate(texts, 1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        if not isinstance(line, dict):
            # The last one may be cut off where a run was ended the hard way.
            if number == len(texts) and lines:
                continue
            raise BadFile(f"{path}:{number}: not a JSON object: {text[:40]}")
        lines.append(line)
    if not lines:
        raise BadFile(f"{path}: empty")
    machine = lines[0] if lines[0].get("machine_line") else {}
    return machine, lines[1:] if machine else lines


def is_run(line):
    """True for a line that tells figures of one run."""
    numbers = all(isinstance(line.get(name), (int, float)) for name in ("median", "p95", "min"))
    return numbers and "summary" not in line and all(name in line for name in (*KEY, "unit"))


def summarise(lines):
    """One line for each thing measured: medians over the runs. In the order of appearance."""
    groups = {}
    for line in filter(is_run, lines):
        groups.setdefault(tuple(line[name] for name in KEY), []).append(line)
    summaries = []
    for group in groups.values():
        medians = sorted(line["median"] for line in group)
        many = group[0].get("samples", 1) > 1
        tails = sorted(line["p95"] for line in group)
        kept = {name: value for name, value in group[-1].items()
                if name not in ("run", "round", "checksum", "load")}
        summaries.append({
            **kept, "summary": True, "runs": len(group), "median": statistics.median(medians),
            # Of runs with many samples the middle p95; else the p95 of the runs.
            "p95": statistics.median(tails) if many else medians[(len(group) * 95 - 1) // 100],
            "min": min(line["min"] for line in group),
            "max": medians[-1],
        })
    return summaries


def is_skua(line):
    return line["by"].split()[0].startswith("skua")


# ---- figures -------------------------------------------------------------------------------------


def number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def ratio(peer, skua, bigger):
    """How many times better Skua's line is than the peer's; None if a figure is 0."""
    if not peer["median"] or not skua["median"]:
        return None
    value = peer["median"] / skua["median"]
    return 1 / value if skua["unit"] in bigger else value


def thing(line):
    """What a line is about. Lines about the same can be compared, whoever they are by."""
    # A figure for each of many (ns/task) says the same of runs of any size; a whole time does not.
    size = None if "/" in line["unit"] else line.get("size")
    return tuple(line[name] for name in ("bench", "case", "metric", "unit", "workers")) + (size,)


def ahead(line, summaries, bigger):
    """The cell 'skua ahead' of a line; empty for Skua's own lines."""
    if is_skua(line):
        return ""
    own = [other for other in summaries if is_skua(other) and thing(other) == thing(line)]
    value = ratio(line, own[0], bigger) if own else None
    return "" if value is None else f"{value:.2f}"


# ---- tables --------------------------------------------------------------------------------------


def table(head, rows, right):
    """The lines of a Markdown table whose columns are also aligned as text."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in [head, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]

    def text(row):
        parts = [cell.rjust(widths[i]) if i in right else cell.ljust(widths[i])
                 for i, cell in enumerate(row)]
        return "| " + " | ".join(parts) + " |"

    rule = "|" + "|".join("-" * (width + 1) + (":" if i in right else "-")
                          for i, width in enumerate(widths)) + "|"
    return [text(cells[0]), rule, *map(text, cells[1:])]


def bench_table(bench, summaries, bigger):
    head = ["case", "what", "by", "workers", "median", "p95", "min", "unit", "runs", "skua ahead"]
    ordered = sorted((line for line in summaries if line["bench"] == bench),
                     key=lambda line: line["workers"])
    rows = []
    for case in dict.fromkeys((line["case"], line["metric"]) for line in ordered):
        for line in ordered:
            if (line["case"], line["metric"]) == case:
                by = line["by"] + (" (baseline)" if line.get("baseline") else "")
                rows.append([line["case"], line["metric"], by, str(line["workers"]),
                             number(line["median"]), number(line["p95"]), number(line["min"]),
                             line["unit"], str(line["runs"]), ahead(line, summaries, bigger)])
    return table(head, rows, {3, 4, 5, 6, 8, 9})


def best(lines, bigger):
    choose = max if lines[0]["unit"] in bigger else min
    return choose(lines, key=lambda line: line["median"])


def standings(summaries, bigger):
    """(Skua's best line, the best peer's, ratio) wherever both have measured the same thing."""
    groups = {}
    for line in summaries:
        groups.setdefault(thing(line), []).append(line)
    found = []
    for group in groups.values():
        own = [line for line in group if is_skua(line)]
        others = [line for line in group if not is_skua(line) and not line.get("baseline")]
        if own and others:
            pair = best(own, bigger), best(others, bigger)
            found.append((*pair, ratio(pair[1], pair[0], bigger)))
    return found


def standings_table(summaries, bigger):
    """The best of Skua beside the best of the peers; no lines if there is nothing to compare."""
    found = [row for row in standings(summaries, bigger) if row[2] is not None]
    if not found:
        return []
    head = ["benchmark", "case", "what", "workers", "skua", "best peer", "unit", "by",
            "skua ahead"]
    rows = [[own["bench"], own["case"], own["metric"], str(own["workers"]), number(own["median"]),
             number(peer["median"]), own["unit"], f"{own['by']} / {peer['by']}", f"{value:.2f}"]
            for own, peer, value in found]
    won = sum(1 for row in found if row[2] >= 1)
    return ["### Skua and the best of its peers", "",
            f"Skua is ahead in {won} of {len(found)}.", "", *table(head, rows, {3, 4, 5, 8}), ""]


def size_notes(bench, summaries):
    """Whoever made runs of another size than the first in the same case."""
    usual, others = {}, {}
    for line in summaries:
        if line["bench"] == bench and line.get("size"):
            first = usual.setdefault(line["case"], line["size"])
            if line["size"] != first:
                others.setdefault((line["size"], first), {})[line["by"]] = None
    return [f"{', '.join(by)}: runs of {size:,} instead of {first:,}."
            for (size, first), by in others.items()]


# ---- the whole -----------------------------------------------------------------------------------


def machine_text(machine):
    """Machine, kernel and commit in one sentence: for the head of a report, under a picture."""
    if not machine:
        return "Machine unknown"
    virtual = " (virtual)" if machine.get("virtual") else ""
    return (f"{machine.get('cpu')}{virtual}, {machine.get('cpus')} CPUs, "
            f"{machine.get('memory_gib')} GiB, Linux {machine.get('kernel')} "
            f"{machine.get('machine')}, commit {machine.get('commit')}")


def head_lines(machine):
    compilers = "; ".join(machine["compilers"].values())
    lines = [
        f"{machine_text(machine)}, {machine['distribution']}, {machine['date']}.",
        f"`{machine['command']}`; medians of {machine['runs']} interleaved runs; all C and C++ "
        f"with `{machine['flags']}`; {compilers}.",
    ]
    if machine["load"] > 0.5:
        lines.append(f"The machine was not idle: its load was {machine['load']:.2f} at the start.")
    if machine["quick"]:
        lines.append("A quick run: these figures mean nothing.")
    return lines


def peers_table(machine):
    rows = []
    for name, peer in machine["peers"].items():
        packages = ", ".join(f"{key} {value}" for key, value in peer["packages"].items())
        rows.append([name, packages, peer.get("flags", ""),
                     f"not run: {peer['missing']}" if "missing" in peer else ""])
    return table(["peer", "packages", "flags of its own", ""], rows, set()) if rows else []


def result_lines(machine, session, summaries):
    """Tables, notes and failures as lines of Markdown."""
    bigger = set(machine["bigger_is_better"])
    lines = ["", *head_lines(machine), ""] + standings_table(summaries, bigger)
    for bench in dict.fromkeys(line["bench"] for line in summaries):
        question = machine["questions"].get(bench, "")
        lines += [f"### {bench}", "", *([question + ".", ""] if question else []),
                  *bench_table(bench, summaries, bigger), ""]
        notes = size_notes(bench, summaries)
        lines += notes + [""] if notes else []
    lines += [f"- {text}" for text in session.notes]
    lines += [f"- FAILED: {text}" for text in session.failures]
    return lines


def report_lines(machine, session, summaries):
    """The Markdown report: what result_lines() has, with the versions of everybody."""
    return ["# Benchmarks", *result_lines(machine, session, summaries), "", "## Peers", "",
            *peers_table(machine), "",
            "*skua ahead* is how many times better Skua is, its first line in the tables of "
            "benchmarks, its best in the first table; below 1 the peer is better.", ""]
