#!/usr/bin/env python3
"""Runs the benchmarks and their peers in turns, writes JSON lines, prints tables. See README.md.

tools/bench_run builds everything and then starts this; its --help describes the options.

For each benchmark and number of workers there are --runs rounds; in a round every program makes one
run, in a process of its own, in an order that is turned round from round to round. Each line a
program prints is written to the output file as it came, with the round and the machine's load;
after them stands one line with "summary" for each thing measured, which the tables are made from.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HIGHER_IS_BETTER = {"ops/s", "MB/s"}
DEADLINE_S = 1800
SUM_FILES = 20000
KEY = ("bench", "case", "metric", "by", "workers")


def say(text):
    print(f"bench_run: {text}", file=sys.stderr, flush=True)


# ---- what is run ---------------------------------------------------------------------------------


class Program:
    """One competitor in a benchmark. Its command gets --workers, --size, --runs 1 and so on."""

    def __init__(self, by, command, size, workers=None, warmup=1, missing=None, extra=()):
        self.by, self.command, self.size, self.warmup = by, command, size, warmup
        self.only_workers = workers  # runs only where that many are asked for; None: everywhere
        self.missing = missing  # why it cannot run, or None
        self.extra = list(extra)

    def arguments(self, options, workers):
        size = max(1, self.size // 100) if options.quick else self.size
        return self.command + [
            "--json", "--runs", "1", "--warmup", str(self.warmup), "--workers", str(workers),
            "--size", str(size),
        ] + self.extra


class Fixed(Program):
    """A program with a command line of its own, which repeats by itself or prints one line."""

    def arguments(self, options, workers):
        return self.command


def memory_missing(gib):
    """Why a benchmark that needs so much memory cannot run, or None."""
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                have = int(line.split()[1]) / 2**20
                return None if have >= gib else f"needs {gib} GiB of memory, {have:.1f} are free"
    return None


def plan(options):
    """The benchmarks in order: (name, programs)."""

    def built(name):
        return os.path.join(options.build, "bench", name)

    def absent(path, what):
        return None if os.path.exists(path) else what

    python = sys.executable or "python3"
    asyncio = [python, os.path.join(HERE, "peers/asyncio/asyncio_bench.py")]
    go_program, no_go = built("go_bench"), absent(built("go_bench"), "no Go compiler (golang-go)")
    no_libuv = absent(built("offload_libuv"), "no libuv (libuv1-dev)")
    no_fio = None if shutil.which("fio") else "no fio (fio)"
    little = None if options.quick else memory_missing(8)
    data = ["--file", os.path.join(options.scratch, "skua-read-bench.data")]

    def go(bench, warmup=1, missing=None):
        command = [go_program, "--bench", bench]
        return Program("go", command, 1000000, warmup=warmup, missing=no_go or missing)

    def python_peer(bench, size):
        return Program("asyncio", asyncio + ["--bench", bench], size, workers=1, warmup=0)

    count = "1000" if options.quick else "100000"
    files = 200 if options.quick else SUM_FILES
    idle = ["--seconds", "1" if options.quick else "5"]
    return [
        ("switch", [
            Fixed("2 contexts", [built("switch_bench"), "2"], 0, workers=1),
            Fixed("1000 contexts", [built("switch_bench"), "1000"], 0, workers=1),
        ]),
        ("stack", [Fixed("skua", [built("stack_bench"), count, "1"], 0, workers=1)]),
        ("spawn", [
            Program("skua", [built("spawn_bench")], 1000000, missing=little),
            go("spawn", missing=little), python_peer("spawn", 100000),
        ]),
        ("yield", [
            Program("skua", [built("yield_bench")], 1000000), go("yield"),
            python_peer("yield", 100000),
        ]),
        ("parked", [
            Program("skua", [built("parked_bench")], 1000000, warmup=0, missing=little),
            go("parked", warmup=0, missing=little),
        ]),
        ("wake", [Program("skua", [built("wake_bench")], 1000, warmup=0, extra=idle)]),
        ("offload", [
            Program("skua", [built("offload_bench")], 10000),
            Program("libuv", [built("offload_libuv")], 10000, workers=1, missing=no_libuv),
            python_peer("offload", 5000),
        ]),
        ("read", [
            Program("skua", [built("read_bench")], 100000, warmup=0, extra=data),
            Program("raw io_uring", [built("read_raw_uring")], 100000, warmup=0, extra=data),
            Program("pread", [built("read_pread")], 100000, warmup=0,
                    extra=data + ["--case", "hot/"]),
            Program("fio", [python, os.path.join(HERE, "peers/fio/read_fio.py")],
                    100000, warmup=0, missing=no_fio, extra=data),
        ]),
        ("sum", [
            Fixed("skua-sum and all", [
                python, os.path.join(HERE, "sum_bench.py"), "--json", "--runs", str(options.runs),
                "--workers", str(max(options.workers)), "--size", str(files),
                "--tree", os.path.join(options.scratch, "skua-sum-bench"),
                "--skua-sum", os.path.join(options.build, "tools", "skua-sum"),
                "--tools", os.path.join(options.build, "bench"),
            ] + (["--no-cold"] if options.no_cold or options.quick else []), 0,
                workers=max(options.workers),
                missing=absent(os.path.join(options.build, "tools", "skua-sum"), "no skua-sum")
                or absent(built("hash_only"), "no OpenSSL (libssl-dev)")),
        ]),
    ]


# ---- running -------------------------------------------------------------------------------------


def flatten(line):
    """The lines of switch_bench and stack_bench, which say more than one thing, in common form."""
    if "case" in line:
        return [line]
    common = {name: line[name] for name in ("bench", "kernel", "compiler") if name in line}
    common.update({"by": "skua", "workers": 1, "run": 0, "cpus": os.cpu_count()})
    common["commit"] = os.environ.get("SKUA_BENCH_COMMIT", "unknown")
    if line["bench"] == "switch":
        case = f"{line['contexts']} contexts"
        common.update({"case": case, "metric": "time", "unit": "ns/switch", "samples": 101})
        return [{**common, **{name: line[name] for name in ("median", "p95", "min")}}]
    lines = []
    for name, value in line.items():
        unit = next((unit for unit in ("ns", "bytes") if name.endswith("_" + unit)), None)
        if unit is None:
            continue
        values = value if isinstance(value, dict) else dict.fromkeys(("median", "p95", "min"),
                                                                     value)
        case = name[: -len(unit) - 1]
        lines.append({**common, "case": case, "metric": "each", "unit": unit + "/stack",
                      "samples": 1, **values})
    return lines


class Session:
    """The output file, the lines so far, and what went wrong."""

    def __init__(self, options, output):
        self.options, self.output = options, output
        self.lines, self.notes, self.failures = [], [], []

    def write(self, line):
        self.output.write(json.dumps(line) + "\n")
        self.output.flush()

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def fail(self, text):
        self.failures.append(text)
        say(f"FAILED: {text}")

    def run(self, bench, program, workers, round_number):
        """One process. False if it failed."""
        name = f"{bench}: {program.by}, {workers} worker(s)"
        load = os.getloadavg()[0]
        try:
            done = subprocess.run(program.arguments(self.options, workers), timeout=DEADLINE_S,
                                  stdout=subprocess.PIPE, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            self.fail(f"{name}: {error}")
            return False
        if done.returncode != 0:
            self.fail(f"{name}: status {done.returncode}")
            return False
        try:
            lines = [json.loads(text) for text in done.stdout.splitlines()]
        except ValueError as error:
            self.fail(f"{name}: a line is not JSON: {error}")
            return False
        for line in (flat for line in lines for flat in flatten(line)):
            line.update({"round": round_number, "load": load})
            if self.options.quick:
                line["quick"] = True
            self.write(line)
            if "skipped" in line:
                self.note(f"{bench}: {line['case']} by {line['by']}: skipped: {line['skipped']}")
            else:
                self.lines.append(line)
        return True

    def run_bench(self, bench, programs, workers):
        able = []
        for program in programs:
            if program.only_workers not in (None, workers):
                if program.only_workers not in self.options.workers:
                    self.note(f"{bench}: {program.by}: not run: it has "
                              f"{program.only_workers} worker(s), which --workers leaves out")
                continue
            if program.missing:
                self.note(f"{bench}: {program.by}: not run: {program.missing}")
                self.write({"bench": bench, "by": program.by, "workers": workers,
                            "commit": os.environ.get("SKUA_BENCH_COMMIT", "unknown"),
                            "skipped": program.missing})
            else:
                able.append(program)
        if not able:
            return
        start = time.monotonic()
        # sum_bench.py takes its own turns.
        rounds = 1 if bench == "sum" else self.options.runs
        for round_number in range(rounds):
            order = able if round_number % 2 == 0 else able[::-1]
            for program in order:
                if not self.run(bench, program, workers, round_number):
                    able = [other for other in able if other is not program]
        say(f"{bench}, {workers} worker(s): {time.monotonic() - start:.0f} s")


# ---- results -------------------------------------------------------------------------------------


def summarise(lines):
    """One line for each thing measured: medians over the runs. In the order of appearance."""
    groups = {}
    for line in lines:
        groups.setdefault(tuple(line[name] for name in KEY), []).append(line)
    summaries = []
    for group in groups.values():
        medians = sorted(line["median"] for line in group)
        many = group[0]["samples"] > 1
        tails = sorted(line["p95"] for line in group)
        kept = {name: value for name, value in group[-1].items()
                if name not in ("run", "round", "checksum", "load")}
        summaries.append({
            **kept, "summary": True, "runs": len(group), "median": statistics.median(medians),
            # Of runs with many samples the middle p95; else the p95 of the runs.
            "p95": statistics.median(tails) if many else medians[(len(group) * 95 - 1) // 100],
            "min": min(line["min"] for line in group),
        })
    return summaries


def number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def ahead(line, summaries):
    """How many times better Skua is than this line; empty for Skua's own lines."""
    if line["by"].startswith("skua"):
        return ""
    same = [other for other in summaries if other["by"].startswith("skua") and
            all(other[name] == line[name] for name in ("bench", "case", "metric", "workers"))]
    if not same or not line["median"] or not same[0]["median"]:
        return ""
    ratio = line["median"] / same[0]["median"]
    return f"{1 / ratio if line['unit'] in HIGHER_IS_BETTER else ratio:.2f}"


def print_table(bench, summaries):
    head = ["case", "what", "by", "workers", "median", "p95", "min", "unit", "runs", "skua ahead"]
    rows = [head]
    ordered = sorted((line for line in summaries if line["bench"] == bench),
                     key=lambda line: line["workers"])
    cases = list(dict.fromkeys((line["case"], line["metric"]) for line in ordered))
    for case in cases:
        for line in ordered:
            if (line["case"], line["metric"]) == case:
                rows.append([line["case"], line["metric"], line["by"], str(line["workers"]),
                             number(line["median"]), number(line["p95"]), number(line["min"]),
                             line["unit"], str(line["runs"]), ahead(line, summaries)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    right = {3, 4, 5, 6, 8, 9}

    def text(row):
        cells = [cell.rjust(widths[i]) if i in right else cell.ljust(widths[i])
                 for i, cell in enumerate(row)]
        return "| " + " | ".join(cells) + " |"

    print(f"\n### {bench}\n")
    print(text(rows[0]))
    print("|" + "|".join("-" * (width + 1) + (":" if i in right else "-")
                         for i, width in enumerate(widths)) + "|")
    for row in rows[1:]:
        print(text(row))


def print_results(options, session, summaries):
    commit = os.environ.get("SKUA_BENCH_COMMIT", "unknown")
    print(f"\nCommit {commit}, Linux {os.uname().release}, {os.uname().machine}, "
          f"{os.cpu_count()} CPUs, medians of {options.runs} interleaved runs."
          + (" A quick run: these figures mean nothing." if options.quick else ""))
    for bench in dict.fromkeys(line["bench"] for line in summaries):
        print_table(bench, summaries)
    if session.notes or session.failures:
        print()
    for text in session.notes:
        print(f"- {text}")
    for text in session.failures:
        print(f"- FAILED: {text}")


def parse_arguments():
    parser = argparse.ArgumentParser(prog="bench_run", description="Runs Skua's benchmarks.")
    parser.add_argument("-o", "--output", default="bench-results.jsonl")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--no-cold", action="store_true")
    parser.add_argument("--build", required=True)
    parser.add_argument("--scratch", required=True)
    options = parser.parse_args()
    try:
        options.workers = sorted({int(part) for part in options.workers.split(",")})
    except ValueError:
        parser.error("--workers is a list of numbers, for example 1,2")
    if options.runs < 1 or options.workers[0] < 1:
        parser.error("--runs and --workers are at least 1")
    if options.quick:
        options.runs = min(options.runs, 2)
    return options


def main():
    options = parse_arguments()
    os.makedirs(options.scratch, exist_ok=True)
    benches = plan(options)
    unknown = set(options.only) - {name for name, _ in benches}
    if unknown:
        say(f"no such benchmark: {', '.join(sorted(unknown))}; there are "
            f"{', '.join(name for name, _ in benches)}")
        sys.exit(2)
    if os.getloadavg()[0] > 0.5:
        say(f"the machine is not idle: its load is {os.getloadavg()[0]:.2f}")
    with open(options.output, "w", encoding="ascii") as output:
        session = Session(options, output)
        for bench, programs in benches:
            if options.only and bench not in options.only:
                continue
            for workers in options.workers:
                session.run_bench(bench, programs, workers)
        summaries = summarise(session.lines)
        for line in summaries:
            session.write(line)
    print_results(options, session, summaries)
    sys.exit(1 if session.failures else 0)


main()
