#!/usr/bin/env python3
"""Runs every program of tools/examples and compares its output with tools/examples/expected.

Usage: examples_test.py PATH-OF-ONE-EXAMPLE [unittest options]

In the simulator, with several seeds, the output must be that in the file, where lines that begin
with "~" and follow one another may come in any order, and the same whenever the seed is the same.
For real the program must end well. Exits with 77 if the library has no simulator.
"""
import pathlib
import subprocess
import sys
import unittest

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "tools" / "examples"
SEEDS = range(1, 6)
DEADLINE_S = 60
PROGRAMS = None


def run(name, *args):
    return subprocess.run([PROGRAMS / name, *args], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE_S)


def groups(lines, is_free):
    """The lines in lists: one of free lines is as long as they follow one another."""
    found = []
    for line, free in zip(lines, is_free):
        if free and found and found[-1][0]:
            found[-1][1].append(line)
        else:
            found.append((free, [line]))
    return [sorted(group) for _, group in found]


class ExamplesTest(unittest.TestCase):
    maxDiff = 4000

    def names(self):
        names = sorted(path.stem for path in SOURCES.glob("*.c"))
        self.assertGreater(len(names), 10)
        return names

    def test_prints_in_the_simulator_what_is_expected_whatever_the_seed(self):
        for name in self.names():
            wanted = (SOURCES / "expected" / f"{name}.txt").read_text().splitlines()
            is_free = [line.startswith("~") for line in wanted]
            wanted = [line[1:] if free else line for line, free in zip(wanted, is_free)]
            for seed in SEEDS:
                with self.subTest(name=name, seed=seed):
                    done = run(name, "--sim", str(seed))
                    lines = done.stdout.splitlines()
                    self.assertEqual((done.returncode, done.stderr), (0, ""))
                    self.assertEqual(len(lines), len(wanted), done.stdout)
                    self.assertEqual(groups(lines, is_free), groups(wanted, is_free))

    def test_a_seed_is_an_execution(self):
        for name in self.names():
            with self.subTest(name=name):
                self.assertEqual(run(name, "--sim", "7").stdout, run(name, "--sim", "7").stdout)

    def test_ends_well_for_real(self):
        for name in self.names():
            with self.subTest(name=name):
                done = run(name)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertNotEqual(done.stdout, "")

    def test_says_when_its_output_is_lost(self):
        for name in self.names():
            with self.subTest(name=name), open("/dev/full", "w") as full:
                done = subprocess.run([PROGRAMS / name, "--sim", "1"], stdin=subprocess.DEVNULL,
                                      stdout=full, stderr=subprocess.PIPE, text=True,
                                      timeout=DEADLINE_S)
                self.assertEqual(done.returncode, 1)
                self.assertIn("No space left on device", done.stderr)

    def test_explains_itself_and_refuses_what_it_does_not_know(self):
        for name in self.names():
            with self.subTest(name=name):
                done = run(name, "--help")
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertIn("--sim SEED", done.stdout)
                for args in (["--sim"], ["--sim", "x"], ["--sim", ""], ["--sim", "-1"], ["--fast"]):
                    done = run(name, *args)
                    self.assertEqual((done.returncode, done.stdout), (2, ""))
                    self.assertIn("Usage", done.stderr)


if __name__ == "__main__":
    PROGRAMS = pathlib.Path(sys.argv.pop(1)).parent
    if run("breakfast", "--sim", "1").returncode == 77:
        print("skipped: no simulations with ThreadSanitizer")
        sys.exit(77)
    unittest.main()
