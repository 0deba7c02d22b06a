#!/usr/bin/env python3
"""Runs every scenario in Skua's simulator and compares what happens with what asyncio does.

Usage: oracle_test.py PATH-OF-ORACLE_SKUA [--marks | --write-differences | unittest options]

Each is run with one worker, where the log must be asyncio's line by line, and with three, where the
log of each task must be; in both cases under SKUA_ORACLE_SEEDS seeds (default 8). Marks in the
scenario files that restrict this are explained in README.md; --marks lists those that no seed
needs; --write-differences keeps Skua's log of differences.txt. Exits with 77 if the library has no
simulator.
"""
import ast
import os
import pathlib
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True  # beside the sources

import cases
import scenario as texts

SEEDS = int(os.environ.get("SKUA_ORACLE_SEEDS", "8"))
WORKERS = (1, 3)
DEADLINE_S = 150
PROGRAM = None


def run(workers, path, seeds=SEEDS):
    return subprocess.run([PROGRAM, str(workers), "1", str(seeds), path], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=DEADLINE_S)


def first_difference(wanted, found):
    """None if the logs are the same, else what differs first."""
    for number in range(max(len(wanted), len(found))):
        left = wanted[number] if number < len(wanted) else "nothing more"
        right = found[number] if number < len(found) else "nothing more"
        if left != right:
            return f"asyncio: {left!r}, Skua: {right!r}"
    return None


def compare(scenario, workers, wanted, found):
    """What differs in the form in which the scenario is compared with this many workers."""
    wanted, found = (texts.compared(scenario, lines, workers) for lines in (wanted, found))
    return first_difference(wanted, found)


def workers_of(scenario):
    return WORKERS[:1] if scenario.one_worker else WORKERS


class OracleTest(unittest.TestCase):
    maxDiff = 2000
    longMessage = False

    def logs_of(self, path):
        """{workers: {run: log}} of Skua."""
        logs = {}
        for workers in WORKERS:
            done = run(workers, path)
            self.assertEqual((done.returncode, done.stderr), (0, ""), (path.name, done.stderr))
            logs[workers] = texts.read_logs(done.stdout)
        return logs

    def check(self, path, golden, logs):
        """Compares all scenarios of a file; how many comparisons that were."""
        scenarios = {scenario.name: scenario for scenario in texts.read(path)}
        count, findings = 0, {}
        for workers in WORKERS:
            for run_name, found in logs[workers].items():
                name, _, which = run_name.partition("@")
                if workers not in workers_of(scenarios[name]):
                    continue
                difference = compare(scenarios[name], workers, golden[name], found)
                count += 1
                if difference:
                    findings.setdefault((name, workers), f"{path.name}, {name}, {workers} "
                                        f"worker(s), seed {which.partition('.')[2]}: {difference}")
        self.assertEqual(findings, {}, "\n" + "\n".join(findings.values()))
        return count

    def test_skua_does_what_asyncio_does_under_every_seed(self):
        scenarios, comparisons = 0, 0
        for path in texts.paths():
            golden = texts.read_logs(texts.golden_path(path).read_text())
            self.assertEqual(list(golden), [scenario.name for scenario in texts.read(path)])
            scenarios += len(golden)
            with self.subTest(file=path.name):
                comparisons += self.check(path, golden, self.logs_of(path))
        everything = [scenario for path in texts.paths() for scenario in texts.read(path)]
        wanted = SEEDS * sum(len(workers_of(scenario)) for scenario in everything)
        print(f"{scenarios} scenarios, {SEEDS} seeds each, "
              f"{sum(not (scenario.by_task or scenario.only_main) for scenario in everything)} "
              "in the order of all events, "
              f"{sum(not scenario.one_worker for scenario in everything)} with three workers too: "
              + ("same" if comparisons == wanted else f"{comparisons} of {wanted} compared"))
        self.assertGreaterEqual(scenarios, 250)

    @unittest.skipUnless(sys.version_info[:2] == (3, 11), "the golden logs are of Python 3.11")
    def test_golden_logs_are_what_asyncio_prints(self):
        import oracle

        golden_paths = [(path, texts.golden_path(path)) for path in texts.paths()]
        for path, golden_path in golden_paths + [(texts.DIFFERENCES, texts.DIFFERENCES_ASYNCIO)]:
            golden = texts.read_logs(golden_path.read_text())
            prints = texts.read_logs(oracle.logs_of(path))
            for scenario in texts.read(path):
                if sys.version_info[:3] >= scenario.python:
                    with self.subTest(file=path.name, name=scenario.name):
                        self.assertEqual(prints[scenario.name], golden[scenario.name])

    def test_differences_are_as_the_list_says(self):
        theirs = texts.read_logs(texts.DIFFERENCES_ASYNCIO.read_text())
        ours = texts.read_logs(texts.DIFFERENCES_SKUA.read_text())
        self.assertEqual([list(theirs), list(ours)],
                         [[scenario.name for scenario in texts.read(texts.DIFFERENCES)]] * 2)
        for run_name, found in texts.read_logs(run(1, texts.DIFFERENCES).stdout).items():
            name = run_name.partition("@")[0]
            with self.subTest(name=run_name):
                self.assertEqual(found, ours[name], "it has changed: see --write-differences")
                self.assertNotEqual(found, theirs[name], "no difference any more: make it a "
                                    "scenario, and mend README.md")

    def test_names_are_unique_and_marks_have_reasons(self):
        everything = [scenario for path in texts.paths() for scenario in texts.read(path)]
        names = [scenario.name for scenario in everything]
        self.assertEqual(sorted(names), sorted(set(names)))
        for scenario in everything:
            with self.subTest(name=scenario.name):
                self.assertGreater(len(scenario.cases), 0)
                for mark in (scenario.by_task, scenario.only_main, scenario.one_worker):
                    self.assertNotEqual(mark, "")

    def test_finds_a_line_that_differs(self):
        path = texts.SCENARIOS / "locks.txt"
        golden = texts.read_logs(texts.golden_path(path).read_text())
        logs = self.logs_of(path)
        self.check(path, golden, logs)
        for name in ["lock_acquire", "lock_fifo/condition"]:
            lines = golden[name]
            for at in range(len(lines)):
                for wrong in (lines[:at] + lines[at + 1:], lines[:at] + ["9" + lines[at]] +
                              lines[at + 1:], lines[:at] + [lines[at] + "x"] + lines[at + 1:]):
                    with self.assertRaises(AssertionError):
                        self.check(path, {**golden, name: wrong}, logs)

    def test_finds_events_in_another_order(self):
        path = texts.SCENARIOS / "events.txt"
        golden = texts.read_logs(texts.golden_path(path).read_text())
        logs = self.logs_of(path)
        self.check(path, golden, logs)
        lines = golden["event_wait"]
        one, other = [at for at, line in enumerate(lines) if "wait e: ok" in line][:2]
        swapped = list(lines)
        swapped[one], swapped[other] = lines[other], lines[one]
        with self.assertRaises(AssertionError):
            self.check(path, {**golden, "event_wait": swapped}, logs)

    def test_the_table_is_that_of_the_scenarios(self):
        self.assertEqual(cases.table(), cases.written_table(),
                         "run tests/oracle/cases.py --write")

    def test_every_case_of_cpython_is_in_the_table(self):
        folder = cases.folder_of_cpython()
        if folder is None:
            self.skipTest("no CPython 3.11 with its tests (libpython3.11-testsuite)")
        known = cases.known()
        for name in cases.COVERED:
            tree = ast.parse((folder / f"{name}.py").read_text())
            wanted = cases.cases_of(name, tree)
            found = {case for case in known if case.startswith(name + ".")}
            self.assertEqual(sorted(wanted - found), [], f"in no scenario and not in without.txt: "
                             f"{sorted(wanted - found)}")
            invented = sorted(found - wanted - cases.later())
            self.assertEqual(invented, [], f"not in CPython: {invented}")


def print_marks():
    """Lists scenarios marked by-task or one-worker that are the same without under all seeds."""
    import oracle

    for path in texts.paths():
        golden = texts.read_logs(texts.golden_path(path).read_text())
        logs = {workers: texts.read_logs(run(workers, path).stdout) for workers in WORKERS}
        for scenario in texts.read(path):
            wanted = golden[scenario.name]
            found = {workers: [log for name, log in logs[workers].items()
                               if name.partition("@")[0] == scenario.name] for workers in WORKERS}
            exact = oracle.Run(scenario).run()
            if (scenario.by_task or scenario.only_main) and all(log == exact for log in found[1]):
                print(f"{path.name}: {scenario.name}: by-task or only-main is not needed")
            if scenario.one_worker and all(
                    compare(scenario, 3, wanted, log) is None for log in found[3]):
                print(f"{path.name}: {scenario.name}: one-worker is not needed")


def write_differences():
    logs = texts.read_logs(run(1, texts.DIFFERENCES, 1).stdout)
    texts.DIFFERENCES_SKUA.write_text("".join(
        "\n".join([f"== {name.partition('@')[0]}", *log]) + "\n" for name, log in logs.items()))


def main():
    global PROGRAM
    PROGRAM = pathlib.Path(sys.argv.pop(1)).resolve()
    if run(1, texts.paths()[0], 1).returncode == 77:
        print("skipped: no simulations with ThreadSanitizer")
        sys.exit(77)
    if sys.argv[1:] == ["--marks"]:
        print_marks()
    elif sys.argv[1:] == ["--write-differences"]:
        write_differences()
    else:
        unittest.main()


if __name__ == "__main__":
    main()
