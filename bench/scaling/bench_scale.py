#!/usr/bin/env python3
"""Measures fork and join with one and two workers, and simulates up to 128. See ../README.md.

tools/bench_scale starts this. Three parts: measuring (the real programs, in rounds), costs (what
the simulator is given, from what was measured), and tables. What was measured is written to a file
of lines, from which --from makes everything else again.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "bench/common"))
import arena_machine  # noqa: E402
import arena_report  # noqa: E402

USAGE = """\
usage: tools/bench_scale [--rounds N] [--only NAMES] [--workers LIST] [--roof GBPS] [--cost X=NS]...
                         [--seeds N] [--tolerance PERCENT] [--best] [--quick] [--build DIR]
                         [--from FILE] [-o FILE] [-m FILE] [--help]

Runs the fork/join benchmarks with one and two workers, in turns, and fork_cost_bench; gives what
they show to the simulator (scaling_sim); prints how many times faster than one worker Skua should
be with more of them, what that rests on, and how well it agrees with what was measured.

  --rounds N           rounds of measuring (default 5)
  --only NAMES         only these workloads, with commas: fib, nqueens ...
  --workers LIST       simulate these (default 1,2,4,8,16,32,64,128; 1 and 2 are always simulated)
  --roof GBPS          memory bandwidth of the larger machine, all cores together (default 200)
  --cost NAME=NS       simulate with this cost instead of the measured one
  --seeds N            simulations of each, of which the median is shown (default 5)
  --tolerance PERCENT  how far the simulation may be off with one and two workers (default 15)
  --best               take the best of the rounds, not the middle one, for the time of a run: on a
                       machine that is not quiet, where others can only make it longer
  --quick              small sizes: does everything work? The figures say nothing
  --build DIR          a build of the preset "release" (default build/release, made if need be)
  --from FILE          measure nothing: take the lines of an earlier run
  -o FILE              lines of JSON, for tools/bench_plot (default bench-scale.jsonl)
  -m FILE              the tables in Markdown as well

Exit codes: 0 all agree, 1 some do not or something failed, 2 usage.
"""

# workload, its program's case, the simulator's tree, size, --quick size, what it reads of memory
WORKLOADS = [
    ("fib", "fork", "fib", 39, 27, False),
    ("skynet", "fork", "skynet", 10000000, 100000, False),
    ("nqueens", "fork", "nqueens", 14, 9, False),
    ("matmul", "fork", "matmul", 1024, 256, False),
    ("uts", "fork", "uts", 10, 8, False),
    ("sort", "int32", "sort", 50000000, 500000, True),
    ("sort", "comparator", "compare", 50000000, 500000, True),
    ("reduce", "sum", "reduce", 100000000, 1000000, True),
    ("reduce", "skewed", "skewed", 100000000, 1000000, False),
]
NOT_SIMULATED = {"skua deterministic"}
COUNTERS = ("jobs_stolen", "jobs_published", "jobs_forced", "steal_attempts", "parks", "wakes")
DEADLINE_S = 600
SPIN_NS = 50000


class Failed(Exception):
    """What cannot go on; the text says why."""


class Parser(argparse.ArgumentParser):
    def error(self, message):
        print(f"tools/bench_scale: {message}\n{USAGE}", file=sys.stderr, end="")
        sys.exit(2)


def parse_arguments(arguments):
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--workers", default="1,2,4,8,16,32,64,128")
    parser.add_argument("--roof", type=float, default=200.0)
    parser.add_argument("--cost", action="append", default=[])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tolerance", type=float, default=15.0)
    parser.add_argument("--best", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--build")
    parser.add_argument("--from", dest="source")
    parser.add_argument("-o", dest="lines", default="bench-scale.jsonl")
    parser.add_argument("-m", dest="markdown")
    options = parser.parse_args(arguments)
    if options.help:
        print(USAGE, end="")
        sys.exit(0)
    try:
        counts = {int(part) for part in options.workers.split(",")} | {1, 2}
        options.costs = {name: float(ns) for name, ns in
                         (part.split("=") for part in options.cost)}
    except ValueError:
        parser.error("--workers is a list of numbers, --cost is NAME=NS")
    if min(counts) < 1 or max(counts) > 256 or options.rounds < 1 or options.seeds < 1:
        parser.error("numbers of workers are 1 to 256; rounds and seeds 1 at least")
    options.workers = sorted(counts)
    names = {row[0] for row in WORKLOADS}
    options.only = set(filter(None, options.only.split(",")))
    if options.only - names:
        parser.error(f"no workload {', '.join(sorted(options.only - names))}")
    options.workloads = [row for row in WORKLOADS if not options.only or row[0] in options.only]
    return options


# ---- measuring -----------------------------------------------------------------------------------


def run(command, cpus=None):
    """The lines of a program that is bound to the first @cpus CPUs."""
    allowed = sorted(os.sched_getaffinity(0))

    def bind():
        if cpus is not None and cpus <= len(allowed):
            os.sched_setaffinity(0, allowed[:cpus])

    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=DEADLINE_S, preexec_fn=bind, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise Failed(f"{command[0]}: {error}") from None
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise Failed(f"{' '.join(command)}: {last[0]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]


def build(options):
    """The folder with the programs, which are built unless --build names one."""
    if options.build:
        return os.path.join(os.path.abspath(options.build), "bench")
    folder = os.path.join(TOP, "build/release")
    for command in (["cmake", "--preset", "release"],
                    ["cmake", "--build", folder, "--target", "bench/all"]):
        done = subprocess.run(command, cwd=TOP, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")
    return os.path.join(folder, "bench")


def measure(options, programs):
    """Lines of all rounds. A round begins with one worker, the next with two."""
    lines = []
    names = list(dict.fromkeys(row[0] for row in options.workloads))
    sizes = {row[0]: row[4] if options.quick else row[3] for row in options.workloads}
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}, load {os.getloadavg()[0]:.2f}",
              file=sys.stderr, flush=True)
        samples = "50" if options.quick else "200"
        more = {"round": number, "load": os.getloadavg()[0]}
        found = run([os.path.join(programs, "fork_cost_bench"), "--json", "--size", samples], 2)
        lines += [{**line, **more} for line in found]
        for name in names:
            program = os.path.join(programs, f"{name}_counters")
            if not os.path.exists(program):
                print(f"tools/bench_scale: {name} is left out: no {program}", file=sys.stderr)
                continue
            for workers in ((1, 2) if number % 2 == 0 else (2, 1)):
                command = [program, "--json", "--workers", str(workers), "--runs", "1",
                           "--warmup", "1", "--size", str(sizes[name])]
                lines += [{**line, **more} for line in run(command, workers)]
    return lines


def describe(options):
    return {
        "machine_line": True,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "commit": arena_machine.commit_of(TOP),
        "command": " ".join(["tools/bench_scale", *sys.argv[1:]]),
        "cpu": arena_machine.field_of("/proc/cpuinfo", "model name") or "unknown",
        "virtual": "hypervisor" in (arena_machine.field_of("/proc/cpuinfo", "flags") or ""),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": arena_machine.memory_gib(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "rounds": options.rounds,
        "quick": options.quick,
        "load": os.getloadavg()[0],
    }


class Measured:
    """Medians over the rounds; with @best the least times of runs."""

    def __init__(self, lines, best):
        groups = {}
        for line in filter(arena_report.is_run, lines):
            groups.setdefault(tuple(line[name] for name in arena_report.KEY), []).append(line)
        self.medians = {}
        for key, group in groups.items():
            middle = min if best and key[2] in ("time", "each") else statistics.median
            self.medians[key] = middle(line["median"] for line in group)
        self.best = {key: max(line["median"] for line in group) for key, group in groups.items()}
        self.sizes = {key[:2]: group[0]["size"] for key, group in groups.items()}
        self.loads = [line["load"] for line in lines if "load" in line]

    def get(self, bench, case, metric, by, workers):
        return self.medians.get((bench, case, metric, by, workers))

    def cost(self, case, metric):
        """A figure of fork_cost_bench, whatever number of workers stands in its line."""
        found = [value for key, value in self.medians.items()
                 if key[:3] == ("fork_cost", case, metric)]
        return found[0] if found else None

    def programs(self, bench, case):
        """By whom there are figures of a case."""
        return list(dict.fromkeys(key[3] for key in self.medians
                                  if key[:2] == (bench, case) and key[3] not in NOT_SIMULATED))

    def roof(self):
        """What plain threads, or one worker's loop, read at best."""
        return max((value for key, value in self.best.items()
                    if key[:2] == ("fork_cost", "roof") or
                    (key[:3] == ("reduce", "sum", "rate") and key[4] == 1)), default=None)


# ---- costs ---------------------------------------------------------------------------------------


def costs_of(measured, options):
    """{name: (ns, where it comes from)} for the simulator; what is not known has its default."""
    costs = {}

    def known(*names):
        values = [measured.cost(*name.split()) for name in names]
        return None if None in values else values

    def put(name, value, why, least=1.0):
        costs[name] = (max(value, least), why)

    clock = measured.cost("alone", "clock") or 0.0
    if values := known("line transfer"):
        put("line", values[0], "measured: two threads in turns")
    line = costs.get("line", (70.0,))[0]
    if values := known("look round", "look round15"):
        look = (values[1] - values[0]) / 14
        put("look", look, "measured: a pass over 15 sleepers less one over one")
        put("round", values[0] - costs["look"][0], "measured: a pass over one, less the look")
    look, between = (costs.get(name, (default,))[0] for name, default in
                     (("look", 10.0), ("round", 100.0)))
    if values := known("awake publish", "awake handover", "awake resume"):
        put("publish", values[0] - clock, "measured: a fork that publishes one job")
        put("start", values[1] - clock - (look + between) / 2 - line,
            "measured: from that fork to the job, less half a pass and the CAS")
        put("resume", values[2] - clock, "measured: end of a job to its joiner")
        put("park", costs["resume"][0], "assumed as resume: it cannot be seen from outside")
        put("end", costs["resume"][0], "assumed as resume: it cannot be seen from outside")
    if values := known("awake settle"):
        put("settle", values[0] - clock, "measured: a join that finds its job done")
    if values := known("asleep takeback"):
        put("takeback", values[0] - clock, "measured: a join of a public job")
    if values := known("asleep publish", "awake publish"):
        put("waker", values[0] - values[1], "measured: a fork that wakes, less one that does not")
    start = costs.get("start", (300.0,))[0]
    if values := known("asleep handover"):
        put("wake", values[0] - clock - start - line - look,
            "measured: from the fork that wakes a sleeper to the job, less the theft")
    if values := known("force handover"):
        put("force", values[0] - clock - SPIN_NS - start - line,
            "measured: from when a thief has nothing to do, less its spin and the theft", 500.0)
    for name, ns in options.costs.items():
        costs[name] = (ns, "given")
    return costs


# ---- simulating ----------------------------------------------------------------------------------


def simulate(options, simulator, tree, size, work_ns, roof, costs):
    """{workers: what happened}, medians over the seeds."""
    command = [simulator, "--tree", tree, "--size", str(size), "--work-ns", f"{work_ns:.0f}",
               "--workers", ",".join(map(str, options.workers))]
    if roof:
        command += ["--roof-gbps", f"{roof:.3f}"]
    for name, (ns, _) in costs.items():
        command += ["--cost", f"{name}={ns:.3f}"]
    runs = {}
    for seed in range(1, options.seeds + 1):
        for line in run([*command, "--seed", str(seed)]):
            runs.setdefault(line["workers"], []).append(line)
    found = {}
    for workers, lines in runs.items():
        lines.sort(key=lambda line: line["makespan_ns"])
        found[workers] = {**lines[len(lines) // 2], "min_ns": lines[0]["makespan_ns"],
                          "max_ns": lines[-1]["makespan_ns"]}
    return found


class Row:
    """A workload as one program does it."""

    def __init__(self, bench, case, by, roof_name):
        self.bench, self.case, self.by, self.roof_name = bench, case, by, roof_name
        self.measured_ns = {}
        self.counters = {}
        self.simulated = {}

    def name(self):
        return f"{self.bench} {self.case}" + (f", {self.roof_name}" if self.roof_name else "")

    def off_percent(self, workers):
        if workers not in self.measured_ns or workers not in self.simulated:
            return None
        return (self.simulated[workers]["makespan_ns"] / self.measured_ns[workers] - 1) * 100


def time_of(measured, row, workers, forks):
    """Nanoseconds of a run: reported, or, at other sizes than the default, from those of a fork."""
    key = (row.bench, row.case)
    whole = measured.get(*key, "time", row.by, workers)
    if whole is not None:
        return whole * 1e6
    each = measured.get(*key, "each", row.by, workers)
    return None if each is None else each * forks


def rows_of(options, measured, simulator, costs):
    rows = []
    here = measured.roof()
    for bench, case, tree, *_, streams in options.workloads:
        size = measured.sizes.get((bench, case))
        if size is None:
            continue
        forks = run([simulator, "--tree", tree, "--size", str(size), "--workers", "1"])[0]["forks"]
        roofs = [(f"roof {here:.0f} GB/s (this machine)", here),
                 (f"roof {options.roof:.0f} GB/s (given)", options.roof)] if streams and here \
            else [("", None)]
        for by in measured.programs(bench, case):
            for index, (roof_name, roof) in enumerate(roofs):
                row = Row(bench, case, by, roof_name)
                times = {workers: time_of(measured, row, workers, forks) for workers in (1, 2)}
                if times[1] is None:
                    continue
                row.simulated = simulate(options, simulator, tree, size, times[1], roof, costs)
                row.base_ns = times[1]
                if index == 0:  # only this machine's roof can agree with this machine
                    row.measured_ns = {w: ns for w, ns in times.items() if ns is not None}
                    row.counters = {name: measured.get(bench, case, name, by, 2)
                                    for name in COUNTERS}
                rows.append(row)
    return rows


# ---- tables --------------------------------------------------------------------------------------

ASSUMPTIONS = """\
What the simulation assumes:

- Every worker has a core to itself. One core is like the other, whatever the rest do: no SMT, no
  change of clock rate, no NUMA. A cache line comes from any core in the same time.
- Work costs what it costs one worker here, in time and in memory; a stolen job costs no cache
  misses of its own. All nodes of a tree cost the same (fib, skynet, nqueens, matmul, uts); sorting
  costs the same for each element and pass; the skewed loop the same for each step.
- Memory: loops that stream from it, and merges of more than 32 MiB, slow down for everybody by the
  factor by which all workers together want more than the roof, all the time.
- The scheduler is the one in src/: a random first victim, then the others in turn; one CAS for the
  oldest public job; requests, answered at the next fork or join with half of the private jobs;
  joins that take half of the public ones back; half of the workers may search; one wake at a time;
  spinning, sleeping, watching, forcing, and pauses after offers that were not worth it, as
  configured by default. A fork in such a pause costs what it costs otherwise.
- CASes on the same deque, and changes of the two words all workers share, go one after the other,
  each for the time of a line. Looking at a victim costs a line more if something changed there.
- Costs do not vary. At the start all workers but one sleep and have asked for work.
- Not simulated: skynet's tasks (they go through run queues), deterministic reductions, I/O."""


def percent(value):
    return "" if value is None else f"{value:+.1f} %"


def speed_table(options, rows):
    head = ["workload", "by", "1 worker, ms", "measured, 2", *(f"{w}" for w in options.workers[1:]),
            "limit", "off, 1", "off, 2"]
    cells = []
    for row in rows:
        one, most = row.simulated[1], row.simulated[options.workers[-1]]
        both = 2 in row.measured_ns
        measured = f"{row.measured_ns[1] / row.measured_ns[2]:.2f}" if both else ""
        cells.append([row.name(), row.by, arena_report.number(one["makespan_ns"] / 1e6), measured,
                      *(f"{one['makespan_ns'] / row.simulated[w]['makespan_ns']:.2f}"
                        if w == 2 else f"{one['makespan_ns'] / row.simulated[w]['makespan_ns']:.1f}"
                        for w in options.workers[1:]),
                      arena_report.number(one["makespan_ns"] / most["span_ns"]),
                      percent(row.off_percent(1)), percent(row.off_percent(2))])
    return arena_report.table(head, cells, set(range(2, len(head))))


def shared_writes(counters):
    """At most so many writes to lines that others use; see README.md."""
    stolen, published = counters["jobs_stolen"], counters["jobs_published"]
    return (7 * published + 6 * stolen + 5 * counters["jobs_forced"] + 3 * counters["wakes"] +
            2 * counters["parks"])


def counter_table(options, rows):
    """Measured with two workers beside simulated with two and with the most."""
    most = options.workers[-1]
    head = ["workload", "by", "forks", "stolen", "sim 2", f"sim {most}", "published", "sim 2",
            f"sim {most}", "failed steals", "sim 2", f"sim {most}", "forced", "sim 2",
            f"sim {most}", "shared writes/job", "sim 2", f"sim {most}"]
    cells = []
    for row in rows:
        two, many, counted = row.simulated[2], row.simulated[most], row.counters
        if not counted or None in counted.values():
            continue
        jobs = max(two["forks"], 1)
        values = [(counted["jobs_stolen"], "jobs_stolen"),
                  (counted["jobs_published"], "jobs_published"),
                  (counted["steal_attempts"] - counted["jobs_stolen"], None),
                  (counted["jobs_forced"], "jobs_forced")]
        line = [row.name(), row.by, arena_report.number(jobs)]
        for value, name in values:
            simulated = [run_[name] if name else run_["steal_attempts"] - run_["jobs_stolen"]
                         for run_ in (two, many)]
            line += map(arena_report.number, [value, *simulated])
        line += [f"{value:.2g}" for value in
                 (shared_writes(counted) / jobs, two["shared_writes"] / jobs,
                  many["shared_writes"] / max(many["forks"], 1))]
        cells.append(line)
    return arena_report.table(head, cells, set(range(2, len(head))))


def cost_table(costs):
    return arena_report.table(["cost", "ns", "from"],
                              [[name, arena_report.number(ns), why]
                               for name, (ns, why) in costs.items()], {1})


def report(options, machine, measured, rows, costs):
    load, kind = "", "best" if options.best else "medians"
    if measured.loads:
        load = f", load {min(measured.loads):.1f} to {max(measured.loads):.1f}"
    text = [f"## Fork and join with up to {options.workers[-1]} workers: simulated", "",
            f"Measured on {machine.get('cpu', '?')}, {machine.get('cpus', '?')} CPUs"
            + (" (virtual)" if machine.get("virtual") else "") + f", Linux {machine.get('kernel')},"
            f" commit {machine.get('commit')}{load}. Times are the {kind} of the rounds.", "",
            "Speed-up over one worker; 'limit' is work over the longest chain of it, 'off' how much"
            " longer the simulation takes than what was measured. With one worker that shows only"
            " that the simulation adds nothing, for the work comes from there; with two it is a"
            " prediction, of which nothing was fitted.", "", *speed_table(options, rows), "",
            "Per run: measured with two workers, simulated with two and with the most. Attempts"
            " that fail while a program checks its results are counted in what was measured;"
            " measured shared writes are an upper bound.", "", *counter_table(options, rows), "",
            "Costs that the simulator was given:", "", *cost_table(costs), "",
            ASSUMPTIONS]
    return "\n".join(text) + "\n"


def lines_of(rows):
    """In the form of a benchmark's lines."""
    lines = []
    for row in rows:
        for workers, result in row.simulated.items():
            case = f"{row.case} {row.roof_name}".rstrip()
            lines.append({
                "bench": row.bench, "case": case,
                "metric": "simulated", "by": row.by, "workers": workers, "unit": "ms",
                "size": result["size"], "samples": 1, "run": 0,
                "median": result["makespan_ns"] / 1e6, "min": result["min_ns"] / 1e6,
                "p95": result["max_ns"] / 1e6, "simulation": result})
    return lines


def disagreements(options, rows):
    found = []
    for row in rows:
        for workers in sorted(row.measured_ns):
            off = row.off_percent(workers)
            if off is not None and abs(off) > options.tolerance:
                found.append(f"{row.name()} by {row.by}, {workers} worker(s): simulated "
                             f"{row.simulated[workers]['makespan_ns'] / 1e6:.1f} ms, measured "
                             f"{row.measured_ns[workers] / 1e6:.1f} ms: {off:+.1f} %")
    return found


def scale(options):
    if options.source:
        machine, lines = arena_report.read_lines(options.source)
        lines = [line for line in lines if line.get("metric") != "simulated"]
        folder = options.build or os.path.join(TOP, "build/release")
        programs = os.path.join(os.path.abspath(folder), "bench")
    else:
        programs = build(options)
        machine, lines = describe(options), measure(options, programs)
    measured = Measured(lines, options.best)
    costs = costs_of(measured, options)
    rows = rows_of(options, measured, os.path.join(programs, "scaling_sim"), costs)
    if not rows:
        raise Failed("nothing was measured")
    with open(options.lines, "w", encoding="utf-8") as file:
        for line in [machine, *lines, *lines_of(rows)]:
            file.write(json.dumps(line) + "\n")
    text = report(options, machine, measured, rows, costs)
    print(text, end="")
    if options.markdown:
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write(text)
    found = disagreements(options, rows)
    print()
    for line in found:
        print(f"OFF BY MORE THAN {options.tolerance:g} %: {line}")
    checked = sum(row.off_percent(workers) is not None for row in rows for workers in (1, 2))
    print(f"{checked - len(found)} of {checked} measured figures are reproduced within "
          f"{options.tolerance:g} %")
    return 1 if found else 0


def main():
    try:
        return scale(parse_arguments(sys.argv[1:]))
    except (Failed, arena_report.BadFile, OSError) as error:
        print(f"tools/bench_scale: {error}", file=sys.stderr)
        return 1


sys.exit(main())
