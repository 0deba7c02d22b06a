#!/usr/bin/env python3
"""Tests of tools/bench_run and tools/bench_plot with small fake workloads and peers.

Usage: bench_run_test.py [unittest options]

Needs python3 only: nothing is compiled or installed. Cases about pictures are skipped, by name,
where there is no matplotlib. Every process has a deadline.
"""
import json
import os
import pty
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BENCH_RUN = os.path.join(TOP, "tools/bench_run")
BENCH_PLOT = os.path.join(TOP, "tools/bench_plot")
DEADLINE_S = 60
# The one that tools/bench_run uses.
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
WORKLOADS = {
    "bigger_is_better": ["ops/s"],
    "workloads": [
        {"name": "alpha", "question": "How fast is nothing", "unit": "ms", "size": 1000},
        {"name": "beta", "question": "How fast is it now", "unit": "ms", "size": 10, "quick": 3,
         "args": ["--file", "{scratch}/data"]},
        {"name": "gamma", "question": "Later", "unit": "ms", "later": "comes with networking"},
        {"name": "delta", "question": "None", "unit": "ms", "no_skua": "Skua has no deltas yet"},
    ],
}
# A program that takes the common command line and prints one line, or does what BODY says.
PROGRAM = """\
#!%(python)s -SE
import argparse, json, os, signal, subprocess, sys, time
parser = argparse.ArgumentParser()
for name in ("workers", "runs", "warmup", "size"):
    parser.add_argument("--" + name, type=int, default=1)
parser.add_argument("--file")
parser.add_argument("--json", action="store_true")
parser.add_argument("--extra")
options = parser.parse_args()
def line(**more):
    value = %(value)s
    print(json.dumps({"bench": "%(bench)s", "case": "all", "by": "%(by)s", "metric": "time",
        "unit": "%(unit)s", "samples": 1, "median": value, "p95": value, "min": value,
        "workers": options.workers, "size": options.size, "run": 0, "checksum": options.size * 2,
        **more}), flush=True)
%(body)s
"""


def program(by, body="line()", bench="alpha", value=10.0, unit="ms"):
    return PROGRAM % {"python": PYTHON, "by": by, "body": body, "bench": bench,
                      "value": value, "unit": unit}


def manifest(name, bench="alpha", **more):
    found = {"name": name, "build": {"kind": "python"},
             "benches": [{"bench": bench, "program": f"{bench}_x"}]}
    found.update(more)
    return found


class Arena(unittest.TestCase):
    """A folder with a fake bench/, a fake build directory and a place for the output."""

    maxDiff = None

    def setUp(self):
        self.dir = os.path.realpath(tempfile.mkdtemp(prefix="skua-bench-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.env = {**os.environ, "TMPDIR": self.dir, "LC_ALL": "C.UTF-8"}
        self.lines_path = self.path("out.jsonl")
        self.write("arena/workloads.json", json.dumps(WORKLOADS))
        os.makedirs(self.path("arena/peers"))
        self.own("alpha", program("skua"))

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def write(self, name, text, executable=False):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        if executable:
            os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
        return path

    def own(self, bench, text):
        self.write(f"build/bench/{bench}_bench", text, executable=True)

    def peer(self, library, row, **programs):
        """A peer with its programs: name=text."""
        text = row if isinstance(row, str) else json.dumps(row)
        self.write(f"arena/peers/{library}/peer.json", text)
        for name, source in programs.items():
            self.write(f"arena/peers/{library}/{name}.py", source)

    def command(self, *args):
        return [BENCH_RUN, "--arena", self.path("arena"), "--build", self.path("build"),
                "--no-build", "-o", self.lines_path, *args]

    def run_arena(self, *args, status=0, install=False):
        """(stdout, stderr) of a run that must end with @status."""
        args = [*args] if install else ["--no-install", *args]
        done = subprocess.run(self.command(*args), stdin=subprocess.DEVNULL, cwd=self.dir,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=DEADLINE_S, env=self.env, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout, done.stderr

    def lines(self):
        with open(self.lines_path, encoding="utf-8") as file:
            return [json.loads(text) for text in file]

    def runs(self):
        return [line for line in self.lines() if "round" in line]

    # ---- what is run and written -----------------------------------------------------------------

    def test_lines_report_and_tables_are_written(self):
        self.peer("slow", manifest("slow one"), alpha_x=program("slow one", value=40.0))
        out, err = self.run_arena("--runs", "3", "--workers", "1")
        machine = self.lines()[0]
        for name in ("cpu", "cpus", "memory_gib", "kernel", "compilers", "commit", "flags", "peers",
                     "command"):
            self.assertIn(name, machine)
        self.assertEqual(machine["flags"], "-O3 -DNDEBUG")
        self.assertEqual(len(self.runs()), 6)
        summaries = [line for line in self.lines() if line.get("summary")]
        self.assertEqual([(line["by"], line["median"], line["runs"]) for line in summaries],
                         [("skua", 10.0, 3), ("slow one", 40.0, 3)])
        with open(self.path("out.md"), encoding="utf-8") as file:
            report = file.read()
        for text in (out, report):
            self.assertIn("Skua is ahead in 1 of 1", text)
            self.assertRegex(text, r"\| all +\| time \| slow one \| +1 \| +40 \|.*\| +4\.00 \|")
        self.assertIn("no beta_bench.c", out)
        self.assertIn("alpha, 1 worker(s)", err)

    def test_more_is_better_where_the_table_says_so(self):
        self.own("beta", program("skua", "line(unit='ops/s')", "beta", value=50.0))
        self.peer("b", manifest("b", "beta"),
                  beta_x=program("b", "line(unit='ops/s')", "beta", value=10.0))
        out, _ = self.run_arena("--runs", "1", "--workers", "1", "--only", "beta")
        self.assertIn("Skua is ahead in 1 of 1", out)
        self.assertRegex(out, r"\| b +\| +1 \| +10 \|.*\| +5\.00 \|")

    def test_programs_take_turns(self):
        self.peer("b", manifest("b"), alpha_x=program("b"))
        self.peer("c", manifest("c"), alpha_x=program("c"))
        self.run_arena("--runs", "4", "--workers", "1", "--only", "alpha")
        order = ["".join(line["by"][0] for line in self.runs() if line["round"] == number)
                 for number in range(4)]
        self.assertEqual(order, ["sbc", "cbs", "bcs", "scb"])

    def test_programs_are_bound_to_as_many_cpus_as_workers(self):
        self.peer("b", manifest("b"),
                  alpha_x=program("b", "line(seen=sorted(os.sched_getaffinity(0)))"))
        self.run_arena("--runs", "1", "--workers", "1", "--only", "alpha")
        first = sorted(os.sched_getaffinity(0))[:1]
        seen = [line["seen"] for line in self.runs() if "seen" in line]
        self.assertEqual(seen, [first])
        self.assertEqual({tuple(line["pinned"]) for line in self.runs()}, {tuple(first)})
        out, _ = self.run_arena("--runs", "1", "--workers", "200", "--only", "alpha")
        self.assertIn("with 200 workers the programs are not bound to CPUs", out)
        self.assertEqual({line["pinned"] for line in self.runs()}, {None})

    def test_sizes_arguments_and_environment_reach_the_programs(self):
        body = "line(file=options.file, extra=options.extra, word=os.environ.get('WORD'))"
        row = manifest("b", "beta", env={"WORD": "hello"})
        row["benches"][0].update({"args": ["--extra", "x"], "size": 77, "workers": [2]})
        self.peer("b", row, beta_x=program("b", body, "beta"))
        self.own("beta", program("skua", "line(file=options.file)", "beta"))
        out, _ = self.run_arena("--runs", "1", "--only", "beta")
        found = {(line["by"], line["workers"]): line for line in self.runs()}
        self.assertEqual(set(found), {("skua", 1), ("skua", 2), ("b", 2)})
        line = found["b", 2]
        self.assertEqual((line["size"], line["extra"], line["word"]), (77, "x", "hello"))
        self.assertEqual(line["file"], self.path("bench-data/data"))
        self.assertEqual(found["skua", 1]["size"], 10)
        self.assertIn("b: runs of 77 instead of 10.", out)
        self.assertNotIn("Skua is ahead", out)
        self.run_arena("--quick", "--only", "beta,alpha", "--peers", "none")
        self.assertEqual({line["size"] for line in self.runs()}, {3, 10})

    def test_variants_get_their_names_and_baselines_do_not_compete(self):
        row = manifest("omp", variants=[{"name": "omp one"}, {"name": "omp two",
                                                              "needs": ["no-such-command"]}])
        self.peer("omp", row, alpha_x=program("omp"))
        self.peer("floor", manifest("floor", baseline=True), alpha_x=program("floor", value=1.0))
        out, _ = self.run_arena("--runs", "1", "--only", "alpha", "--workers", "1")
        self.assertEqual([line["by"] for line in self.runs()], ["skua", "floor", "omp one"])
        self.assertIn("alpha: omp two: not run: no no-such-command", out)
        self.assertIn("Skua is ahead in 1 of 1", out)
        self.assertIn("floor (baseline)", out)

    def test_a_workload_without_skua_is_run_and_named(self):
        self.peer("b", manifest("b", "delta"), delta_x=program("b", bench="delta"))
        out, _ = self.run_arena("--runs", "1", "--only", "delta")
        self.assertIn("delta: skua: not run: Skua has no deltas yet", out)
        self.assertEqual({line["by"] for line in self.runs()}, {"b"})

    # ---- servers ---------------------------------------------------------------------------------

    def use_servers(self, body=""):
        """A workload of servers, whose client prints what it is told to do."""
        row = {"name": "epsilon", "question": "How fast", "unit": "ms", "size": 500, "quick": 5,
               "warmup": 0, "form": "server"}
        self.write("arena/workloads.json", json.dumps({**WORKLOADS, "workloads": [row]}))
        self.own("epsilon", "no program, as it is never started here\n")
        text = program("?", "", "epsilon")
        text = text.replace("options = parser.parse_args()", """\
parser.add_argument("--by")
parser.add_argument("--case")
parser.add_argument("server", nargs="+")
options = parser.parse_args()
line_of = lambda **more: line(by=options.by, server=options.server, asked=options.case,
                              extra=options.extra, seen=sorted(os.sched_getaffinity(0)), **more)
""") + body + "line_of()\n"
        self.write("build/bench/epsilon_load", text, executable=True)

    def test_servers_are_started_by_their_client(self):
        self.need_two_cpus()
        self.use_servers()
        row = manifest("b", "epsilon", variants=[{"name": "b one"}])
        row["benches"][0]["args"] = ["--extra", "x"]
        self.peer("b", row, epsilon_x="")
        out, _ = self.run_arena("--runs", "2", "--workers", "1", "--case", "64")
        found = {line["by"]: line for line in self.runs()}
        self.assertEqual(set(found), {"skua", "b one"})
        self.assertEqual(found["skua"]["server"], [self.path("build/bench/epsilon_bench")])
        self.assertEqual(found["b one"]["server"][-3:],
                         [self.path("arena/peers/b/epsilon_x.py"), "--extra", "x"])
        cpus = sorted(os.sched_getaffinity(0))
        for line in found.values():
            self.assertEqual((line["asked"], line["size"], line["workers"]), ("64", 500, 1))
            self.assertIsNone(line["extra"])  # is the server's
            # The client binds; the workers' CPUs are what is told.
            self.assertEqual((line["seen"], line["pinned"]), (cpus, cpus[:1]))
        self.assertIn("Skua is ahead in 1 of 1", out)
        self.run_arena("--quick", "--workers", "1", "--peers", "none")
        self.assertEqual({(line["asked"], line["size"]) for line in self.runs()}, {(None, 5)})

    def need_two_cpus(self):
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("one CPU")

    def test_servers_are_not_run_without_a_cpu_for_the_client(self):
        self.need_two_cpus()
        self.use_servers()
        cpus = len(os.sched_getaffinity(0))
        out, _ = self.run_arena("--runs", "1", "--workers", f"1,{cpus}")
        self.assertIn(f"epsilon: not run with {cpus} worker(s): their client needs a CPU of its "
                      f"own, and there are {cpus} CPUs", out)
        self.assertEqual({line["workers"] for line in self.runs()}, {1})

    def test_without_their_client_servers_are_named(self):
        self.need_two_cpus()
        self.use_servers()
        os.unlink(self.path("build/bench/epsilon_load"))
        self.peer("b", manifest("b", "epsilon"), epsilon_x="")
        out, _ = self.run_arena("--runs", "1", "--workers", "1")
        for name in ("skua", "b"):
            self.assertIn(f"epsilon: {name}: not run: no epsilon_load", out)

    def test_checksums_of_servers_are_compared(self):
        self.need_two_cpus()
        self.use_servers("line_of(checksum=len(options.server))\nsys.exit(0)\n")
        self.peer("b", manifest("b", "epsilon"), epsilon_x="")
        out, _ = self.run_arena("--runs", "1", "--workers", "1", status=1)
        self.assertIn("epsilon: checksums differ in case all", out)

    # ---- what is missing -------------------------------------------------------------------------

    def test_a_missing_peer_is_named_and_the_run_goes_on(self):
        self.peer("b", manifest("b", needs=["no-such-command"], packages=["no-such-package"]),
                  alpha_x=program("b"))
        out, err = self.run_arena("--runs", "1")
        self.assertIn("alpha: b: not run: no no-such-command", out)
        self.assertIn("b is missing: no no-such-command", err)
        self.assertEqual({line["by"] for line in self.runs()}, {"skua"})
        self.assertIn("no no-such-command", self.lines()[0]["peers"]["b"]["missing"])
        out, _ = self.run_arena("--list")
        self.assertRegex(out, r"\| b +\| peers/b \| alpha +\| missing: no no-such-command")
        self.assertRegex(out, r"\| gamma .*comes with networking")

    def test_every_kind_of_need_is_looked_for(self):
        for need in ("pkg-config:no-such-module", "python:no_such_module", "header:no/such.h"):
            self.peer("b", manifest("b", needs=[need]), alpha_x=program("b"))
            out, _ = self.run_arena("--list", "--only", "alpha")
            self.assertIn(f"missing: no {need}", out)
        self.peer("b", manifest("b", needs=["python:json", "cat"]), alpha_x=program("b"))
        out, _ = self.run_arena("--list", "--only", "alpha")
        self.assertRegex(out, r"peers/b \| alpha +\| there")

    def use_fake_tools(self, user, apt):
        """A PATH on which no package is installed, with a user and an apt-get of our own."""
        tools = ["bash", "env", "dirname", "mktemp", "rm", "grep", "cat", "python3"]
        for name in tools:
            path = shutil.which(name)
            if path is None:
                self.skipTest(f"no {name}")
            os.makedirs(self.path("bin"), exist_ok=True)
            os.symlink(path, self.path("bin", name))
        for name, text in {"dpkg-query": "exit 1", "id": f"echo {user}", "apt-get": apt}.items():
            self.write(f"bin/{name}", f"#!/usr/bin/env bash\n{text}\n", executable=True)
        self.env["PATH"] = self.path("bin")

    def test_without_root_and_sudo_the_run_goes_on(self):
        self.peer("b", manifest("b", packages=["libb-dev"]), alpha_x=program("b"))
        self.use_fake_tools(1000, "exit 0")
        out, err = self.run_arena("--runs", "1", "--only", "alpha", install=True)
        self.assertIn("alpha: b: not run: no libb-dev (cannot install libb-dev: neither root nor "
                      "sudo here)", out)
        self.assertIn("going on without packages that Skua is built with", err)
        self.assertEqual({line["by"] for line in self.runs()}, {"skua"})

    def test_without_a_network_the_run_goes_on(self):
        self.peer("b", manifest("b", packages=["libb-dev"]), alpha_x=program("b"))
        self.peer("c", manifest("c", packages=["libb-dev"], needs=["cat"]), alpha_x=program("c"))
        self.use_fake_tools(0, "echo 'E: Unable to fetch some archives'; exit 100")
        out, _ = self.run_arena("--runs", "1", "--only", "alpha", install=True)
        self.assertIn("alpha: b: not run: no libb-dev (cannot install libb-dev: E: Unable to fetch",
                      out)
        # What it needs is there, wherever it comes from.
        self.assertEqual({line["by"] for line in self.runs()}, {"skua", "c"})

    # ---- what goes wrong -------------------------------------------------------------------------

    def test_different_checksums_fail_and_name_both(self):
        self.peer("b", manifest("b"), alpha_x=program("b", "line(checksum=5)"))
        out, err = self.run_arena("--runs", "1", "--workers", "1", status=1)
        wanted = ("alpha: checksums differ in case all, size 1000, 1 worker(s): skua has 2000, b "
                  "has 5")
        self.assertIn(f"FAILED: {wanted}", err)
        self.assertIn(f"- FAILED: {wanted}", out)
        self.assertIn({"failure": wanted}, self.lines())

    def test_checksums_of_different_sizes_are_not_compared(self):
        row = manifest("b")
        row["benches"][0]["size"] = 7
        self.peer("b", row, alpha_x=program("b"))
        self.run_arena("--runs", "1")

    def test_programs_that_fail_do_not_keep_the_others_away(self):
        bodies = {
            "crash": ("os.kill(os.getpid(), signal.SIGSEGV)", "ended by SIGSEGV"),
            "status": ("sys.exit('boom: it broke')", "ended with status 1: boom: it broke"),
            "text": ("print('hello')", "printed a line that is no JSON object: hello"),
            "silent": ("pass", "printed nothing"),
            "other": ("line(by='someone')", "its lines are by 'someone', its manifest says"),
            "short": ("print(json.dumps({'bench': 'alpha'}))", "a line has no 'case'"),
            "wrong": ("line(bench='beta')", "a line is of 'beta'"),
            "figure": ("line(median='x')", "a figure is not a number"),
        }
        for name, (body, _) in bodies.items():
            self.peer(name, manifest(name), alpha_x=program(name, body))
        self.peer("zgood", manifest("zgood"), alpha_x=program("zgood"))
        out, _ = self.run_arena("--runs", "2", "--workers", "1", "--only", "alpha", status=1)
        for name, (_, text) in bodies.items():
            self.assertIn(f"FAILED: alpha: {name}, 1 worker(s): {text}", out)
        self.assertEqual(sorted(line["by"] for line in self.runs()),
                         ["skua", "skua", "zgood", "zgood"])

    def test_a_program_that_hangs_is_ended_with_its_children(self):
        body = ("child = subprocess.Popen(['sleep', '1000'])\n"
                "open('child', 'w').write(str(child.pid))\ntime.sleep(1000)")
        self.peer("b", manifest("b"), alpha_x=program("b", body))
        out, _ = self.run_arena("--runs", "1", "--workers", "1", "--deadline", "1",
                                "--only", "alpha", status=1)
        self.assertIn("FAILED: alpha: b, 1 worker(s): still running after 1 s, ended", out)
        with open(self.path("child"), encoding="ascii") as file:
            self.assert_gone(int(file.read()))
        self.assertEqual([line["by"] for line in self.runs()], ["skua"])

    def assert_gone(self, number):
        """Waits for the end of a process that nobody waits for."""
        try:
            process = os.pidfd_open(number)
        except ProcessLookupError:
            return
        self.addCleanup(os.close, process)
        self.assertTrue(select.select([process], [], [], DEADLINE_S)[0], "it still runs")

    def interrupt(self, number, status):
        os.mkfifo(self.path("ready"))
        ready = os.open(self.path("ready"), os.O_RDWR)
        self.addCleanup(os.close, ready)
        body = "open('ready', 'w').write(str(os.getpid()))\ntime.sleep(1000)"
        self.peer("b", manifest("b"), alpha_x=program("b", body))
        args = self.command("--no-install", "--runs", "1", "--workers", "1", "--only", "alpha")
        with subprocess.Popen(args, cwd=self.dir, env=self.env, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:
            began = select.select([ready], [], [], DEADLINE_S)[0]
            process.send_signal(number if began else signal.SIGKILL)
            out, err = process.communicate()
        self.assertEqual(process.returncode, status, out + err)
        self.assert_gone(int(os.read(ready, 100)))
        self.assertEqual([line["by"] for line in self.runs()], ["skua"])
        self.assertTrue(any(line.get("summary") for line in self.lines()))
        self.assertIn("interrupted", out)
        self.assertTrue(os.path.exists(self.path("out.md")))

    def test_interrupted_it_ends_the_program_and_keeps_the_lines(self):
        self.interrupt(signal.SIGINT, 130)

    def test_terminated_it_ends_the_program_and_keeps_the_lines(self):
        self.interrupt(signal.SIGTERM, 143)

    # ---- manifests -------------------------------------------------------------------------------

    def test_a_faulty_manifest_is_told_in_one_line_each(self):
        bench = {"bench": "alpha", "program": "alpha_x"}
        faults = [
            ("{", "not JSON: "),
            ("[]", "not an object"),
            ({"name": "b", "build": {"kind": "c"}}, "'benches' is missing"),
            (manifest("b", bulid={}), "unknown field 'bulid'"),
            (manifest("skua x"), "a peer is not called skua"),
            (manifest("b", packages="x"), "'packages' is not a list of texts"),
            (manifest("b", build={"kind": "rust"}), "build: unknown kind 'rust'; there are c, c++"),
            (manifest("b", build={"kind": "c", "sources": ["no.c"]},
                      benches=[{**bench, "program": "no"}]), "no file 'no.c' beside it"),
            (manifest("b", benches=[{**bench, "workers": [0]}]),
             "benches[0]: 'workers' is not a list of numbers"),
            (manifest("b", benches=[{**bench, "bench": "omega"}]),
             "benches[0]: no workload 'omega'; there are alpha, beta"),
            (manifest("b", benches=[{**bench, "program": "no"}]),
             "benches[0]: no program 'no'; the folder makes alpha_x"),
            (manifest("b", variants=[{"flags": []}]), "variants[0]: 'name' is missing"),
        ]
        for index, (row, _) in enumerate(faults):
            self.peer(f"b{index}", row, alpha_x=program("b"))
        _, err = self.run_arena("--only", "alpha", status=2)
        self.assertEqual(len(err.splitlines()), len(faults), err)
        for index, (_, text) in enumerate(faults):
            self.assertRegex(err, rf"peers/b{index}/peer.json: .*{re.escape(text)}")
        self.assertFalse(os.path.exists(self.lines_path))
        self.assertIn("faulty: ", self.run_arena("--list")[0])
        # Who does not ask for it is told, and goes on.
        _, err = self.run_arena("--runs", "1", "--peers", "none")
        self.assertIn("(not asked for)", err)

    def test_a_folder_without_a_manifest_is_a_fault(self):
        os.makedirs(self.path("arena/peers/empty"))
        _, err = self.run_arena(status=2)
        self.assertIn("peers/empty/peer.json: is not there", err)

    def test_a_faulty_table_of_workloads_is_told(self):
        self.write("arena/workloads.json", '{"bigger_is_better": [], "workloads": [{"name": "a"}]}')
        _, err = self.run_arena(status=2)
        self.assertIn("workloads.json: workloads[0]: 'question' is missing", err)

    def test_the_manifests_of_the_tree_are_right(self):
        done = subprocess.run([BENCH_RUN, "--list"], stdout=subprocess.PIPE, text=True,
                              timeout=DEADLINE_S, check=True)
        self.assertNotIn("faulty", done.stdout)

    # ---- the command line ------------------------------------------------------------------------

    def test_the_command_line(self):
        out, _ = self.run_arena("--help")
        self.assertTrue(out.startswith("usage: tools/bench_run"))
        for args, text in [
            (["--only", "omega"], "no benchmark 'omega'; there are alpha"),
            (["--peers", "omega"], "no peer 'omega'"),
            (["--runs", "0"], "at least 1"),
            (["--runs", "many"], "--runs"),
            (["--workers", "1,x"], "--workers is a list of numbers"),
            (["--nonsense"], "--nonsense"),
            (["--deadline", "0"], "--deadline"),
            (["-o", self.path("no/such/file")], "no such folder"),
            (["-m", self.lines_path], "cannot be one file"),
        ]:
            _, err = self.run_arena(*args, status=2)
            self.assertIn(text, err)
            self.assertNotIn("Traceback", err)

    def test_progress_is_shown_on_a_terminal(self):
        main, terminal = pty.openpty()
        with os.fdopen(main, "rb", buffering=0) as screen:
            done = subprocess.run(self.command("--no-install", "--runs", "2", "--only", "alpha"),
                                  stdout=subprocess.DEVNULL, stderr=terminal, cwd=self.dir,
                                  env=self.env, timeout=DEADLINE_S, check=False)
            os.close(terminal)
            shown = b""
            try:
                while part := screen.read(4096):
                    shown += part
            except OSError:
                pass  # how Linux tells the end of a terminal
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"[1/4] alpha: skua, 1 worker(s), round 1", shown)

    # ---- pictures --------------------------------------------------------------------------------

    def plot(self, *args, status=0):
        done = subprocess.run([BENCH_PLOT, *args], stdin=subprocess.DEVNULL, cwd=self.dir,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=DEADLINE_S, env=self.env, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout, done.stderr

    def need_matplotlib(self):
        if subprocess.run([PYTHON, "-c", "import matplotlib"], stderr=subprocess.DEVNULL,
                          check=False).returncode != 0:
            self.skipTest("no matplotlib")

    def write_lines(self, tail="", machine=True):
        common = {"case": "all $x$", "metric": "time", "unit": "ms", "samples": 1, "size": 5}
        lines = [{"machine_line": True, "cpu": "A & B <C>", "cpus": 2, "memory_gib": 4,
                  "kernel": "6.1", "machine": "x86_64", "commit": "abc123", "runs": 1,
                  "flags": "-O3", "date": "2026-01-01", "command": "tools/bench_run --quick",
                  "questions": {"alpha": "How fast"}, "bigger_is_better": []}] if machine else []
        for by, value in (("skua", 1.0), ("skua tasks", 2.0), ("go", 100.0)):
            for workers in (1, 2):
                lines.append({**common, "bench": "alpha", "by": by, "workers": workers,
                              "median": value, "p95": value * 1.5, "min": value})
            lines.append({**common, "bench": "beta", "by": by, "workers": 1, "median": 0,
                          "p95": 0, "min": 0, "baseline": by == "go"})
        text = "".join(json.dumps(line) + "\n" for line in lines)
        return self.write("lines.jsonl", text + tail)

    def test_lines_are_drawn_as_valid_svg(self):
        self.need_matplotlib()
        path = self.write_lines(tail='{"bench": "alpha", "cut of')
        out, _ = self.plot("-o", "pictures", path)
        self.assertEqual(out.split(), ["pictures/alpha.svg", "pictures/beta.svg"])
        for name in out.split():
            root = xml.etree.ElementTree.parse(self.path(name)).getroot()
            self.assertTrue(root.tag.endswith("}svg"))
        with open(self.path("pictures/alpha.svg"), encoding="utf-8") as file:
            text = file.read()
        for wanted in ("A &amp; B &lt;C&gt;", "Linux 6.1", "commit abc123", "tools/bench_run",
                       "logarithmic", "all $x$", "How fast", "skua tasks"):
            self.assertIn(wanted, text)
        # The same lines give the same picture.
        self.plot("-o", "again", "--only", "alpha", path)
        self.assertEqual(os.listdir(self.path("again")), ["alpha.svg"])
        with open(self.path("again/alpha.svg"), encoding="utf-8") as file:
            self.assertEqual(file.read(), text)

    def test_plot_tells_in_one_line_what_it_cannot_use(self):
        garbage = self.write("garbage", "hello\n")
        binary = self.path("binary")
        with open(binary, "wb") as file:
            file.write(bytes(range(256)))
        empty = self.write("empty", "")
        nothing = self.write("nothing", '{"machine_line": true}\n{"failure": "x"}\n')
        for args, text, status in [
            ([self.path("absent")], "No such file", 1),
            ([self.dir], "Is a directory", 1),
            ([garbage], "garbage:1: not a JSON object: hello", 1),
            ([binary], "not even text", 1),
            ([empty], "empty: empty", 1),
            ([nothing], "no line in it tells a figure", 1),
            (["--only", "omega", self.write_lines()], "no benchmark 'omega'", 2),
            (["--workers", "9", self.write_lines()], "no runs with so many workers", 2),
        ]:
            _, err = self.plot(*args, status=status)
            self.assertIn(text, err)
            self.assertEqual(len(err.splitlines()), 1, err)
        self.assertIn("usage:", self.plot("--help")[0])
        self.assertIn("usage:", self.plot("--nonsense", status=2)[1])

    def test_plot_tells_that_there_is_no_matplotlib(self):
        self.use_fake_tools(1000, "exit 0")
        self.write("modules/matplotlib.py", "raise ImportError('none')\n")
        self.env["PYTHONPATH"] = self.path("modules")
        _, err = self.plot(self.write_lines(), status=1)
        self.assertIn("no matplotlib: cannot install python3-matplotlib: neither root nor sudo",
                      err)


if __name__ == "__main__":
    unittest.main()
