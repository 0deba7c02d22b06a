#!/usr/bin/env python3
"""Installs, builds and runs the benchmarks and their peers in turns, and reports. See README.md.

tools/bench_run starts this. The parts: arena_table (what is compared), arena_setup (installing and
building), arena_machine (the first line), arena_run (running), arena_report (tables).
"""

import argparse
import os
import shlex
import shutil
import signal
import sys

import arena_machine
import arena_report
import arena_run
import arena_setup
import arena_table
from arena_setup import say

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
USAGE = """\
usage: tools/bench_run [-o FILE] [-m FILE] [--only NAME]... [--peers LIST] [--runs N]
                       [--workers LIST] [--case PART] [--quick] [--no-cold] [--deadline S]
                       [--build DIR] [--no-install] [--no-build] [--build-only] [--list] [--clean]
                       [--help]

Installs the Debian packages that are missing, builds the preset release with the benchmarks and
every peer in bench/peers with the same flags, runs each benchmark and its peers interleaved and on
the same CPUs, and prints one Markdown table for each benchmark. Every run is a line of JSON in
FILE, after a line that describes the machine; so is every median. A peer that cannot be had here is
named with the reason. Takes an hour or two; nothing else should run on the machine meanwhile.

  -o FILE         where the lines go (default bench-results.jsonl; replaced)
  -m FILE         where the report in Markdown goes (default: beside the lines, ending in .md)
  --only NAME     only this benchmark; may be given more than once, or a list with commas
  --peers LIST    only these peers, by their folder's or their shown name, with commas; none: Skua
                  alone
  --runs N        runs of each program (default 7)
  --workers LIST  numbers of worker threads (default 1,2); programs are bound to as many CPUs
  --case PART     of echo only this case, or those whose names contain PART
  --quick         small sizes and two runs: shows that everything works, measures nothing
  --no-cold       do not drop the page cache for sum
  --deadline S    end a program that runs for more than S seconds (default 600)
  --build DIR     where to build (default build/release)
  --no-install    install nothing
  --no-build      build nothing: run what DIR has
  --build-only    install and build, and run nothing
  --list          shows the benchmarks and the peers, with what is missing here, and ends
  --clean         removes the data files of earlier runs, and ends
  --arena DIR     where workloads.json and peers/ are (default bench; for tests)

Exit codes: 0 every program ran and its results were right and the same, 1 something failed (the
others ran all the same), 2 usage or a faulty peer.json, 130 interrupted by Ctrl-C, 143 by SIGTERM
(what was measured until then is kept).
"""


class Interrupted(KeyboardInterrupt):
    """SIGTERM or SIGHUP, which end the run as SIGINT does."""

    def __init__(self, number):
        super().__init__()
        self.status = 128 + number


def on_signal(number, _):
    raise Interrupted(number)


# ---- the command line ----------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    def error(self, message):
        print(f"tools/bench_run: {message}\n{USAGE}", file=sys.stderr, end="")
        sys.exit(2)


def parse_arguments():
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("-o", dest="output", default="bench-results.jsonl")
    parser.add_argument("-m", dest="markdown")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--peers")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--case")
    parser.add_argument("--deadline", type=float)
    parser.add_argument("--build", default=os.path.join(TOP, "build", "release"))
    parser.add_argument("--arena", default=os.path.join(TOP, "bench"))
    for name in ("quick", "no-cold", "no-install", "no-build", "build-only", "list", "clean"):
        parser.add_argument("--" + name, action="store_true")
    options = parser.parse_args()
    if options.help:
        print(USAGE, end="")
        sys.exit(0)
    check_arguments(parser, options)
    return options


def check_arguments(parser, options):
    try:
        options.workers = sorted({int(part) for part in options.workers.split(",")})
    except ValueError:
        parser.error("--workers is a list of numbers, for example 1,2")
    if options.runs < 1 or options.workers[0] < 1 or options.workers[-1] > 256:
        parser.error("--runs and --workers are at least 1, --workers at most 256")
    if options.deadline is not None and not 0 < options.deadline < 1e6:
        parser.error("--deadline is a number of seconds")
    for name in ("output", "build", "arena"):
        if not getattr(options, name):
            parser.error("a file or folder without a name")
    if options.quick:
        options.runs = min(options.runs, 2)
    options.only = [name for part in options.only for name in part.split(",")]
    options.build = os.path.abspath(options.build)
    options.arena = os.path.abspath(options.arena)
    options.scratch = os.path.join(os.environ.get("TMPDIR") or options.build, "bench-data")
    options.markdown = options.markdown or os.path.splitext(options.output)[0] + ".md"
    if os.path.abspath(options.markdown) == os.path.abspath(options.output):
        parser.error("the lines and the report cannot be one file")
    options.command = shlex.join(["tools/bench_run", *sys.argv[1:]])


def fail_usage(lines):
    for line in lines:
        say(line)
    sys.exit(2)


def choose_peers(options, peers, faults):
    """The peers that were asked for, in order; ends the program if one of them is faulty."""
    asked = set(peers)
    if options.peers is not None:
        asked, unknown = set(), []
        for name in options.peers.split(","):
            found = {library for library, peer in peers.items()
                     if name == library or (peer is not None and name == peer.name)}
            asked |= found
            unknown += [name] if not found and name != "none" else []
        if unknown:
            fail_usage([f"no peer '{name}'; there are {', '.join(peers)}" for name in unknown])
    for library, lines in faults.items():
        if library not in asked and not options.list:
            say(f"{lines[0]} (not asked for)")
    wrong = [line for library, lines in faults.items() if library in asked for line in lines]
    if wrong and not options.list:
        fail_usage(wrong)
    return [peer for library, peer in peers.items() if library in asked and peer is not None]


def load(options):
    """(table, workloads, peers) as asked for."""
    table, faults = arena_table.load_workloads(os.path.join(options.arena, "workloads.json"))
    if table is None:
        fail_usage(faults)
    unknown = [name for name in options.only if name not in table.names()]
    if unknown:
        fail_usage([f"no benchmark '{name}'; there are {', '.join(table.names())}"
                    for name in unknown])
    workloads = [workload for workload in table.workloads
                 if not options.only or workload.name in options.only]
    peers, faults = arena_table.load_peers(os.path.join(options.arena, "peers"), table.names())
    peers = choose_peers(options, peers, faults)
    names = {workload.name for workload in workloads}
    peers = [peer for peer in peers if names & set(peer.workloads())]
    return table, workloads, peers, [line for lines in faults.values() for line in lines]


# ---- what is run ---------------------------------------------------------------------------------


def own_missing(options, program, broken):
    """(missing, broken) of one of Skua's own programs."""
    source = os.path.join(options.arena, program + ".c")
    if program in broken:
        return None, broken[program]
    if os.path.exists(os.path.join(options.build, "bench", program)):
        return None, None
    return ("not built" if os.path.exists(source) else f"no {program}.c"), None


def own_programs(options, workload, broken):
    """Skua's own program of a workload, or more than one of those about the inside."""
    program = workload.name + "_bench"
    if workload.no_skua:
        return [arena_run.Program("skua", [], missing=workload.no_skua)]
    missing, why = own_missing(options, program, broken)
    path = os.path.join(options.build, "bench", program)
    if workload.checked:
        return [arena_run.Program("skua", [path], missing=missing, broken=why, baselines=None)]
    lists = workload.quick_arguments if options.quick else workload.arguments
    return [arena_run.Program(" ".join(["skua", *args]), [path], args=args, workers=[1],
                              missing=missing, broken=why, baselines=None, common=False)
            for args in lists]


def driver_program(options, workload, units, broken):
    """sum_bench.py, which starts all programs of the workload sum itself."""
    top_workers = max(options.workers)
    size = workload.size_for(options.quick)
    skua_sum = os.path.join(options.build, "tools", "skua-sum")
    missing = next((name for name in arena_setup.HELPERS if name in broken), None)
    if not os.path.exists(skua_sum):
        missing = "skua-sum"
    args = ["--json", "--runs", str(options.runs), "--workers", str(top_workers),
            "--size", str(size), "--tree", os.path.join(options.scratch, "skua-sum-bench"),
            "--skua-sum", skua_sum, "--tools", os.path.join(options.build, "bench")]
    for unit in units:
        for bench in unit.peer.benches:
            if bench["bench"] == workload.name and bench["program"] in unit.built:
                args += ["--hash-only", unit.built[bench["program"]][-1]]
    if options.no_cold or options.quick:
        args.append("--no-cold")
    command = [sys.executable, os.path.join(options.arena, workload.name + "_bench.py")]
    return arena_run.Program("skua-sum and all", command, args=args, common=False,
                             workers=[top_workers], missing=missing and f"no {missing}",
                             baselines=[unit.name for unit in units if unit.peer.baseline])


def give_driver(options, workload, programs, broken):
    """Has the servers of a workload started and measured by its client, <workload>_load."""
    name = workload.name + "_load"
    path = os.path.join(options.build, "bench", name)
    for program in programs:
        program.driver = [path]
        if name in broken:
            program.broken = program.broken or f"{name}: {broken[name]}"
        elif not os.path.exists(path):
            program.missing = program.missing or f"no {name}"


def peer_program(unit, bench):
    env = {**unit.env, **bench.get("env", {})}
    return arena_run.Program(
        unit.name, unit.built.get(bench["program"], []), printed=unit.peer.name,
        baselines=[unit.name] if unit.peer.baseline else [],
        workers=bench.get("workers"), size=bench.get("size"), warmup=bench.get("warmup"),
        missing=unit.missing, broken=unit.broken.get(bench["program"]), env=env,
        args=bench.get("args", []))


def plan(options, workloads, units, broken):
    """[(workload, programs)]; what comes later has none."""
    found = []
    for workload in workloads:
        if workload.later:
            continue
        if workload.form == "driver":
            programs = [driver_program(options, workload, units, broken)]
        else:
            programs = own_programs(options, workload, broken)
        for unit in units:
            for bench in unit.peer.benches:
                if bench["bench"] != workload.name:
                    continue
                if not bench.get("driven"):
                    programs.append(peer_program(unit, bench))
                elif unit.missing or bench["program"] in unit.broken:
                    # To be named; its driver goes on without it.
                    programs.append(peer_program(unit, bench))
        if workload.form == "server":
            give_driver(options, workload, programs, broken)
        found.append((workload, programs))
    return found


# ---- the phases ----------------------------------------------------------------------------------


def list_all(workloads, peers, faults, build):
    """--list: what there is, and what is missing here."""
    rows = []
    for workload in workloads:
        by = [unit.name for peer in peers for unit in peer.units
              if workload.name in peer.workloads()]
        state = workload.later or workload.no_skua or ""
        rows.append([workload.name, f"{workload.size:,}" if workload.size else "", workload.unit,
                     ", ".join(by), state])
    print("\n".join(arena_report.table(["benchmark", "size", "unit", "peers", ""], rows, {1})))
    rows = []
    for unit in (unit for peer in peers for unit in peer.units):
        arena_setup.find_missing(unit, build)
        state = f"missing: {unit.missing}" if unit.missing else "there"
        rows.append([unit.name, f"peers/{unit.peer.library}", ", ".join(unit.peer.workloads()),
                     state])
    if rows:
        print("\n" + "\n".join(arena_report.table(["peer", "folder", "benchmarks", "state"], rows,
                                                  set())))
    for line in faults:
        print(f"\nfaulty: {line}")


def set_up(options, workloads, units):
    """Installs and builds. {own program: why it was not built}, or None if nothing can be run."""
    if not options.no_install:
        problem = arena_setup.install_all(TOP, units)
        if problem:
            say(f"going on without packages that Skua is built with: {problem}")
    builder = arena_setup.Builder(TOP, options.build, os.path.join(TOP, "bench"))
    broken = {}
    if not options.no_build:
        say(f"building {options.build}")
        own = [workload.name + "_bench" for workload in workloads
               if workload.form != "driver" and
               os.path.exists(os.path.join(options.arena, workload.name + "_bench.c"))]
        own += [workload.name + "_load" for workload in workloads if workload.form == "server"]
        try:
            broken = builder.build_skua(own + arena_setup.HELPERS)
        except arena_setup.Failed as error:
            say(f"failed: the build: {error}; see {builder.log_path}")
            return None
        for name, why in broken.items():
            say(f"{name} does not build: {why}; see {builder.log_path}")
    for unit in units:
        arena_setup.find_missing(unit, options.build)
        if unit.missing:
            say(f"{unit.name} is missing: {unit.missing}")
    arena_setup.build_peers(builder, units, not options.no_build)
    return broken


def measure(options, table, todo, units, commit):
    """Runs everything, writes both files, prints the tables. The exit code."""
    machine = arena_machine.describe(options, table, units, commit)
    status = None
    with open(options.output, "w", encoding="ascii") as output:
        session = arena_run.Session(options, output, commit)
        session.write(machine)
        try:
            session.run_all(todo)
        except KeyboardInterrupt as error:
            status = getattr(error, "status", 130)
            session.note("interrupted: runs that had not ended are not in these figures")
        summaries = arena_report.summarise(session.lines)
        for line in summaries:
            session.write(line)
    with open(options.markdown, "w", encoding="utf-8") as file:
        file.write("\n".join(arena_report.report_lines(machine, session, summaries)))
    print("\n".join(arena_report.result_lines(machine, session, summaries)), flush=True)
    say(f"lines are in {options.output}, the report in {options.markdown}")
    if status is not None:
        say("interrupted")
        return status
    return 1 if session.failures else 0


def main():
    options = parse_arguments()
    if options.clean:
        shutil.rmtree(options.scratch, ignore_errors=True)
        return 0
    table, workloads, peers, faults = load(options)
    if options.list:
        list_all(workloads, peers, faults, options.build)
        return 0
    for path in (options.output, options.markdown):
        if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
            fail_usage([f"{path}: no such folder"])
    units = [unit for peer in peers for unit in peer.units]
    broken = set_up(options, workloads, units)
    if broken is None:
        return 1
    if options.build_only:
        return 1 if broken or any(unit.broken for unit in units) else 0
    os.makedirs(options.scratch, exist_ok=True)
    load_now = os.getloadavg()[0]
    if load_now > 0.5:
        say(f"the machine is not idle: its load is {load_now:.2f}")
    commit = arena_machine.commit_of(TOP)
    os.environ["SKUA_BENCH_COMMIT"] = commit
    return measure(options, table, plan(options, workloads, units, broken), units, commit)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGHUP, on_signal)
    try:
        sys.exit(main())
    except KeyboardInterrupt as error:
        say("interrupted")
        sys.exit(getattr(error, "status", 130))
