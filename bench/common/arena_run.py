"""Starts the programs in turns, checks what they print, and writes the lines.

A program is one competitor in a workload. Every run is a process of its own, in a session of its
own, on the CPUs 0 .. workers-1 of those this process may use, so that it can be ended with all it
started. A process that fails, hangs or prints something wrong is left out of the later rounds.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import arena_machine
from arena_setup import kill_group, say

DEADLINE_S = 600
NEEDED = ("bench", "case", "by", "workers")
FIGURES = ("metric", "unit", "samples", "median", "p95", "min")


class Bad(Exception):
    """A run that does not count; the text says why."""


class Program:
    """One competitor; its lines are by its name, or by its name and more words.

    `printed` is the name that the program itself prints if it is another, as of a variant's.
    """

    def __init__(self, name, command, **more):
        self.name, self.command = name, command
        self.printed = more.get("printed", name)
        # Whose lines are no competitor's: None: those that are not Skua's; else names.
        self.baselines = more.get("baselines", [])
        self.workers = more.get("workers")  # runs only with so many workers; None: with any
        self.missing = more.get("missing")  # why it cannot run, or None
        self.broken = more.get("broken")    # why it was not built, a failure, or None
        self.env = more.get("env", {})
        self.size = more.get("size")        # its own, or None
        self.warmup = more.get("warmup")    # its own, or None
        self.args = more.get("args", [])
        self.common = more.get("common", True)  # takes the common command line
        self.driver = None  # of a server: who takes it, starts the server and measures

    def arguments(self, workload, options, workers):
        if not self.common:
            return self.command + self.args
        size = workload.size_for(options.quick, self.size)
        warmup = workload.warmup if self.warmup is None else self.warmup
        args = workload.quick_args if options.quick else workload.args
        own = [] if self.driver else self.args
        line = (self.driver or self.command) + [
            "--json", "--runs", "1", "--warmup", str(warmup), "--workers", str(workers),
            *(["--size", str(size)] if size else []),
            *(part.replace("{scratch}", options.scratch) for part in args + own),
        ]
        if not self.driver:
            return line
        case = ["--case", options.case] if options.case else []
        return [*line, *case, "--by", self.printed, "--", *self.command, *self.args]


def tree_lines(bench, line, commit):
    """What switch_bench and stack_bench print, which say more than one thing, as common lines."""
    common = {name: line[name] for name in ("kernel", "compiler") if name in line}
    common.update({"bench": bench, "by": "skua", "workers": 1, "run": 0, "commit": commit})
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


# ---- one process ---------------------------------------------------------------------------------


def cpus_for(workload, workers):
    """The CPUs a run is bound to; None if it is not."""
    allowed = sorted(os.sched_getaffinity(0))
    enough = workers + workload.spare_cpus <= len(allowed)
    return allowed[:workers] if workload.pin and enough else None


def how_it_ended(status, errors):
    """A failed process in words, with the last line it wrote to stderr."""
    if status < 0:
        try:
            text = f"ended by {signal.Signals(-status).name}"
        except ValueError:
            text = f"ended by signal {-status}"
    else:
        text = f"ended with status {status}"
    last = [line.strip() for line in errors.splitlines() if line.strip()][-1:]
    return text + "".join(f": {line}" for line in last)


def execute(command, env, cpus, deadline_s, quiet):
    """What a process printed; raises Bad. Interrupted, it ends the process and all it started."""

    def bind():
        if cpus is not None:
            os.sched_setaffinity(0, cpus)

    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=errors if quiet else None, env={**os.environ, **env}, preexec_fn=bind,
                start_new_session=True)
        except (OSError, subprocess.SubprocessError) as error:
            raise Bad(f"cannot be started: {error}") from None
        try:
            output, _ = process.communicate(timeout=deadline_s)
        except subprocess.TimeoutExpired:
            raise Bad(f"still running after {deadline_s:g} s, ended") from None
        finally:
            # Also when it has ended: what it started and left must not disturb the next one.
            kill_group(process)
            process.stdout.close()
        errors.seek(0)
        text = errors.read().decode(errors="replace")
    if process.returncode != 0:
        raise Bad(how_it_ended(process.returncode, text))
    return output


def parse(output):
    """The JSON objects in what a program printed."""
    lines = []
    for text in output.splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        if not isinstance(line, dict):
            shown = text.decode(errors="replace")[:60]
            raise Bad(f"printed a line that is no JSON object: {shown}")
        lines.append(line)
    if not lines:
        raise Bad("printed nothing")
    return lines


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_line(workload, program, line):
    """Raises Bad unless a line says all it must, of the right workload, in the right name."""
    wanted = NEEDED if "skipped" in line else NEEDED + FIGURES
    for name in wanted:
        if name not in line:
            raise Bad(f"a line has no '{name}'")
    if not all(is_number(line[name]) for name in wanted if name in ("median", "p95", "min")):
        raise Bad("a figure is not a number")
    if line["bench"] != workload.name:
        raise Bad(f"a line is of '{line['bench']}'")
    by = str(line["by"])
    if not by.strip():
        raise Bad("a line does not say by whom it is")
    if program.baselines is not None and not (by + " ").startswith(program.printed + " "):
        raise Bad(f"its lines are by '{by}', its manifest says '{program.printed}'")


def mark(program, line):
    """Gives a line the name of its variant, and tells if it is no competitor's."""
    if program.baselines is None:
        if not line["by"].startswith("skua"):
            line["baseline"] = True
        return
    if program.printed != program.name:
        line["by"] = program.name + line["by"][len(program.printed):]
    if line["by"] in program.baselines:
        line["baseline"] = True


# ---- all of them ---------------------------------------------------------------------------------


class Progress:
    """One line on a terminal that is overwritten; elsewhere a line for each workload."""

    def __init__(self, total):
        self.total, self.done, self.start = total, 0, time.monotonic()
        self.live = sys.stderr.isatty()

    def show(self, text):
        if not self.live:
            return
        left = ""
        if self.done >= 5:
            seconds = (time.monotonic() - self.start) / self.done * (self.total - self.done)
            left = f", about {seconds / 60:.0f} min left"
        line = f"[{self.done + 1}/{self.total}{left}] {text}"
        print(f"\r\033[K{line[:110]}", end="", file=sys.stderr, flush=True)

    def clear(self):
        if self.live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def say(self, text):
        self.clear()
        say(text)


class Session:
    """The output file, the lines so far, and what went wrong."""

    def __init__(self, options, output, commit):
        self.options, self.output, self.commit = options, output, commit
        self.lines, self.notes, self.failures = [], [], []
        self.checksums = {}  # (bench, case, size, workers): {checksum: by}
        self.progress = Progress(0)

    def write(self, line):
        self.output.write(json.dumps(line) + "\n")
        self.output.flush()

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def fail(self, text):
        if text not in self.failures:
            self.failures.append(text)
            self.write({"failure": text})
            self.progress.say(f"FAILED: {text}")

    def skip(self, workload, program, reason):
        self.note(f"{workload.name}: {program.name}: not run: {reason}")
        self.write({"bench": workload.name, "by": program.name, "commit": self.commit,
                    "skipped": reason})

    def check_checksum(self, workload, line):
        """Fails the session if another program had another result at the same size."""
        checksum = line.get("checksum")
        if checksum is None or line["case"] in workload.own_checksums or not workload.checked:
            return
        key = (line["bench"], line["case"], line.get("size"), line["workers"])
        known = self.checksums.setdefault(key, {})
        known.setdefault(checksum, line["by"])
        if len(known) > 1:
            first = next(iter(known))
            for other, by in list(known.items())[1:]:
                self.fail(f"{workload.name}: checksums differ in case {line['case']}, size "
                          f"{line.get('size')}, {line['workers']} worker(s): {known[first]} has "
                          f"{first}, {by} has {other}")

    def take(self, workload, line, more):
        line.update(more)
        self.write(line)
        if "skipped" in line:
            self.note(f"{workload.name}: {line['case']} by {line['by']}: skipped: "
                      f"{line['skipped']}")
        else:
            self.lines.append(line)
            self.check_checksum(workload, line)

    def run(self, workload, program, workers, round_number):
        """One process. False if it failed."""
        name = f"{workload.name}: {program.name}, {workers} worker(s)"
        self.progress.show(f"{name}, round {round_number + 1}")
        cpus = cpus_for(workload, workers)
        more = {"round": round_number, "load": os.getloadavg()[0], "pinned": cpus}
        if self.options.quick:
            more["quick"] = True
        deadline_s = self.options.deadline or workload.deadline_s or DEADLINE_S
        try:
            # The driver of a server binds it, and itself to another CPU.
            output = execute(program.arguments(workload, self.options, workers), program.env,
                             None if program.driver else cpus, deadline_s,
                             quiet=workload.form != "driver")
            lines = parse(output)
            if workload.form == "inside":
                lines = [flat for line in lines
                         for flat in tree_lines(workload.name, line, self.commit)]
            for line in lines:
                if workload.checked:
                    check_line(workload, program, line)
                    if workload.size is None:
                        line.pop("size", None)  # a default that nothing depends on
                mark(program, line)
        except Bad as error:
            self.fail(f"{name}: {error}")
            return False
        finally:
            self.progress.done += 1
        for line in lines:
            self.take(workload, line, more)
        return True

    def able(self, workload, programs, workers):
        """Those that can run with so many workers; the others are named."""
        found = []
        for program in programs:
            if program.broken:
                self.fail(f"{workload.name}: {program.name}: does not build: {program.broken}")
            elif program.missing:
                if workers == self.options.workers[0]:
                    self.skip(workload, program, program.missing)
            elif program.workers is None or workers in program.workers:
                found.append(program)
            elif not set(program.workers) & set(self.options.workers):
                only = ", ".join(map(str, program.workers))
                self.note(f"{workload.name}: {program.name}: not run: it has {only} worker(s), "
                          "which --workers leaves out")
        return found

    def rounds(self, workload):
        # A driver repeats and takes turns itself.
        return 1 if workload.form == "driver" else self.options.runs

    def fits(self, workload, workers):
        """False if there are too few CPUs for a server with so many workers and its client."""
        return workload.form != "server" or cpus_for(workload, workers) is not None

    def run_workload(self, workload, programs):
        if workload.memory_gib and not self.options.quick:
            free = arena_machine.memory_gib("MemAvailable")
            if free is not None and free < workload.memory_gib:
                self.note(f"{workload.name}: not run: needs {workload.memory_gib} GiB of memory, "
                          f"{free} are free")
                return
        for workers in self.options.workers:
            if not self.fits(workload, workers):
                self.note(f"{workload.name}: not run with {workers} worker(s): their client needs "
                          f"a CPU of its own, and there are {len(os.sched_getaffinity(0))} CPUs")
                continue
            able = self.able(workload, programs, workers)
            if workload.pin and able and cpus_for(workload, workers) is None:
                self.note(f"with {workers} workers the programs are not bound to CPUs: there are "
                          f"{len(os.sched_getaffinity(0))}")
            start = time.monotonic()
            for number in range(self.rounds(workload) if able else 0):
                self.run_round(workload, able, workers, number)
            if able:
                seconds = time.monotonic() - start
                self.progress.say(f"{workload.name}, {workers} worker(s): {seconds:.0f} s")

    def run_round(self, workload, able, workers, number):
        """Every program once. Each round begins with another one, every second goes backwards."""
        if not able:
            return
        first = (number // 2) % len(able)
        order = able[first:] + able[:first]
        for program in order if number % 2 == 0 else order[::-1]:
            if not self.run(workload, program, workers, number):
                self.progress.total -= self.rounds(workload) - number - 1
                able.remove(program)

    def count(self, plan):
        """How many processes there will be."""
        total = 0
        for workload, programs in plan:
            for workers in self.options.workers:
                if not self.fits(workload, workers):
                    continue
                able = [program for program in programs
                        if not program.missing and not program.broken
                        and (program.workers is None or workers in program.workers)]
                total += len(able) * self.rounds(workload)
        return total

    def run_all(self, plan):
        self.progress = Progress(self.count(plan))
        try:
            for workload, programs in plan:
                self.run_workload(workload, programs)
        finally:
            self.progress.clear()
