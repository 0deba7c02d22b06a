#!/usr/bin/env python3
"""Tests of the scheduler's simulator and of tools/bench_scale.

Usage: bench_scale_test.py [unittest options]

Compiles the simulator with $CC (default cc). What is measured comes from made-up lines, or from
programs that print them; nothing here depends on how fast the machine is. Exit code 77: there is no
compiler.
"""
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOL = os.path.join(TOP, "tools/bench_scale")
DEADLINE_S = 120
SOURCES = ["scaling/scaling_main.c", "scaling/scaling_sim.c", "scaling/scaling_task.c",
           "scaling/scaling_tree.c", "common/bench.c"]
# name, a small size, forks of the whole tree where they are known
TREES = [("fib", 22, 28656), ("skynet", 10000, 9999), ("nqueens", 9, 8393), ("matmul", 512, 438),
         ("sort", 300000, None), ("compare", 100000, None), ("reduce", 1000000, None),
         ("skewed", 20000, None)]
FOLDER = None  # where the simulator is: FOLDER/bench/scaling_sim


def compile_simulator(folder):
    os.mkdir(os.path.join(folder, "bench"))
    bench = os.path.join(TOP, "bench")
    command = [os.environ.get("CC", "cc"), "-std=gnu17", "-O2", "-D_GNU_SOURCE", "-I", bench,
               *(os.path.join(bench, source) for source in SOURCES), "-lm",
               "-o", os.path.join(folder, "bench/scaling_sim")]
    subprocess.run(command, check=True, timeout=DEADLINE_S)


def simulate(tree, size, *more, status=0):
    done = subprocess.run(
        [os.path.join(FOLDER, "bench/scaling_sim"), "--tree", tree, "--size", str(size), *more],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == status, (done.returncode, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()] if status == 0 else done.stderr


def line(bench, case, metric, by, workers, value, **more):
    return {"bench": bench, "case": case, "metric": metric, "by": by, "workers": workers,
            "unit": "ms", "size": 30, "samples": 1, "run": 0, "median": value, "p95": value,
            "min": value, **more}


def fib_lines(two_ms):
    counters = ("jobs_stolen", "jobs_published", "jobs_forced", "steal_attempts", "parks", "wakes")
    return [line("fib", "fork", "time", "skua typed", 1, 100.0),
            line("fib", "fork", "time", "skua typed", 2, two_ms),
            *(line("fib", "fork", name, "skua typed", 2, 10.0) for name in counters),
            line("fork_cost", "line", "transfer", "skua", 0, 70.0)]


class Simulator(unittest.TestCase):
    def test_no_work_is_lost_and_nothing_is_faster_than_possible(self):
        for tree, size, forks in TREES:
            for seed in ("1", "2"):
                for result in simulate(tree, size, "--work-ns", "3e7", "--seed", seed, "--workers",
                                       "1,2,3,5,16,64,128,200"):
                    with self.subTest(tree=tree, workers=result["workers"], seed=seed):
                        self.assertAlmostEqual(result["work_ns"] / 3e7, 1, delta=0.05)
                        least = max(result["work_ns"] / result["workers"], result["span_ns"])
                        self.assertGreaterEqual(result["makespan_ns"], least * 0.999999)
                        if forks is not None:
                            self.assertEqual(result["forks"], forks)

    def test_one_worker_takes_as_long_as_the_work(self):
        for tree, size, _ in TREES:
            result = simulate(tree, size, "--work-ns", "1e8", "--workers", "1")[0]
            self.assertEqual(result["makespan_ns"], result["work_ns"], tree)
            self.assertEqual(result["jobs_stolen"] + result["steal_attempts"], 0, tree)

    def test_the_same_seed_gives_the_same_run(self):
        arguments = ["fib", 25, "--work-ns", "1e8", "--workers", "32"]
        first = simulate(*arguments, "--seed", "7")
        self.assertEqual(first, simulate(*arguments, "--seed", "7"))
        other = simulate(*arguments, "--seed", "8")
        self.assertNotEqual(first[0]["makespan_ns"], other[0]["makespan_ns"])
        self.assertEqual(first[0]["work_ns"], other[0]["work_ns"])

    def test_without_costs_four_workers_are_four_times_as_fast(self):
        free = [f"--cost={name}=0" for name in
                ("line", "start", "publish", "takeback", "settle", "park", "resume", "end", "wake",
                 "waker", "force")]
        result = simulate("fib", 25, "--work-ns", "1e8", "--workers", "4", *free)[0]
        self.assertLess(result["makespan_ns"], 1e8 / 4 * 1.01)

    def test_dear_steals_make_it_slower(self):
        few = simulate("fib", 25, "--work-ns", "1e7", "--workers", "8")[0]
        many = simulate("fib", 25, "--work-ns", "1e7", "--workers", "8", "--cost", "start=1e5")[0]
        self.assertGreater(many["makespan_ns"], few["makespan_ns"])

    def test_memory_has_a_roof(self):
        # 8 MB in 1 ms is 8 GB/s: the roof is reached by one worker, or by two.
        one = simulate("reduce", 1000000, "--work-ns", "1e6", "--roof-gbps", "8", "--workers", "4")
        self.assertGreaterEqual(one[0]["makespan_ns"], 1e6)
        two = simulate("reduce", 1000000, "--work-ns", "1e6", "--roof-gbps", "16", "--workers", "4")
        self.assertGreaterEqual(two[0]["makespan_ns"], 5e5)
        self.assertLess(two[0]["makespan_ns"], one[0]["makespan_ns"])

    def test_mistakes_are_told(self):
        self.assertIn("no such tree", simulate("oak", 3, status=1))
        self.assertIn("at most 14", simulate("nqueens", 15, status=1))
        self.assertIn("usage", simulate("fib", 20, "--cost", "steal=1", status=2))
        self.assertIn("usage", simulate("fib", 20, "--workers", "0", status=2))
        self.assertIn("usage", simulate("fib", 0, status=2))


class Tool(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def scale(self, *arguments):
        output = os.path.join(self.folder, "out.jsonl")
        command = [TOOL, "--seeds", "1", "--workers", "1,2,8", "-o", output, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S,
                              check=False)
        lines = []
        if os.path.exists(output):
            with open(output, encoding="utf-8") as file:
                lines = [json.loads(text) for text in file]
        return done, lines

    def from_lines(self, lines, *arguments):
        source = os.path.join(self.folder, "in.jsonl")
        with open(source, "w", encoding="utf-8") as file:
            for text in [{"machine_line": True, "cpu": "none"}, *lines]:
                file.write(json.dumps(text) + "\n")
        return self.scale("--from", source, "--build", FOLDER, *arguments)

    def test_it_agrees_with_what_agrees(self):
        done, lines = self.from_lines(fib_lines(50.5))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("2 of 2 measured figures are reproduced within 15 %", done.stdout)
        self.assertIn("What the simulation assumes", done.stdout)
        simulated = [text for text in lines if text.get("metric") == "simulated"]
        self.assertEqual([text["workers"] for text in simulated], [1, 2, 8])
        self.assertLess(simulated[2]["median"], 20)

    def test_it_fails_where_it_is_off(self):
        done, _ = self.from_lines(fib_lines(70.0))
        self.assertEqual(done.returncode, 1)
        self.assertIn("OFF BY MORE THAN 15 %: fib fork by skua typed, 2 worker(s)", done.stdout)
        done, _ = self.from_lines(fib_lines(70.0), "--tolerance", "40")
        self.assertEqual(done.returncode, 0)

    def test_given_costs_replace_measured_ones(self):
        done, _ = self.from_lines(fib_lines(50.0), "--cost", "line=123")
        self.assertRegex(done.stdout, r"\| line +\| +123 \| given")

    def test_lines_can_be_simulated_again(self):
        _, lines = self.from_lines(fib_lines(50.0))
        done, again = self.from_lines(lines[1:])
        self.assertEqual(done.returncode, 0)
        self.assertEqual([text for text in again if text.get("metric") == "simulated"],
                         [text for text in lines if text.get("metric") == "simulated"])

    def program(self, name, lines):
        path = os.path.join(self.folder, "bench", name)
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\nfor last; do [ \"$before\" = --workers ] && w=$last; "
                       "before=$last; done\n")
            for text in lines:
                when = f'[ "$w" != {text["workers"]} ] || ' if text["workers"] else ""
                file.write(f"{when}echo '{json.dumps(text)}'\n")
            file.write("exit 0\n")
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)

    def test_it_measures_what_programs_print(self):
        os.mkdir(os.path.join(self.folder, "bench"))
        shutil.copy(os.path.join(FOLDER, "bench/scaling_sim"), os.path.join(self.folder, "bench"))
        lines = fib_lines(51.0)
        self.program("fork_cost_bench", lines[-1:])
        self.program("fib_counters", lines[:-1])
        done, out = self.scale("--build", self.folder, "--only", "fib", "--rounds", "2")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertTrue(out[0]["machine_line"])
        self.assertEqual(sum(text.get("metric") == "time" for text in out), 4)
        self.assertEqual({text["round"] for text in out if "round" in text}, {0, 1})

    def test_mistakes_are_told(self):
        done, _ = self.scale("--only", "oak")
        self.assertEqual((done.returncode, "no workload oak" in done.stderr), (2, True))
        done, _ = self.scale("--from", os.path.join(self.folder, "nothing"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("No such file", done.stderr)
        self.assertNotIn("Traceback", done.stderr)


if __name__ == "__main__":
    if shutil.which(os.environ.get("CC", "cc")) is None:
        print("skipped: no C compiler")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as FOLDER:
        compile_simulator(FOLDER)
        unittest.main()
