#!/usr/bin/env python3
"""Tests of bench/load, the client of echo and stalls, with servers that are right and wrong.

Usage: echo_load_test.py [unittest options]

Compiles it with $CC (default cc). Nothing here depends on how fast the machine is. Exit code 77:
there is no compiler, no liburing, or no io_uring.
"""
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BENCH = os.path.join(TOP, "bench")
DEADLINE_S = 60
WINDOW_MS = 300
SOURCES = ["load/load_main.c", "load/load_client.c", "load/load_server.c", "common/bench.c"]
METRICS = ["cpu", "rate", "p50", "p99", "p99.9"]
RATE = 1000  # of messages a second for the servers in Python
# Begins what such a server does with a message of stalls: writes down how long it is to compute.
STALLS = """us = int.from_bytes(data[:4], "little")
            print(us, file=open(FILE, "a"))
            """
FOLDER = None  # where the programs are
# Prints the quantiles of 1 ... 1,000,000 and of a large number.
QUANTILES = """
#include "tool_histogram.h"
#include <stdio.h>
static struct tool_histogram histogram;
int main(void)
{
    for (uint64_t i = 1; i <= 1000000; i++)
        tool_histogram_add(&histogram, i);
    for (int i = 1; i < 100; i++)
        printf("%.1f\\n", tool_histogram_quantile(&histogram, i / 100.0));
    for (int i = 0; i < 3000000; i++)
        tool_histogram_add(&histogram, UINT64_C(1) << 62);
    printf("%.1f\\n", tool_histogram_quantile(&histogram, 0.5));
    printf("%.1f\\n", tool_histogram_quantile(&histogram, 1));
}
"""
# What is done with a message is in %s; @last is the message before, of any connection.
SERVER = """\
import asyncio, os, signal, sys, time
last, count = None, 0
async def echo(reader, writer):
    global last, count
    try:
        while True:
            data = await reader.readexactly(64)
            count += 1
%s
            last = data
            writer.write(data)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def serve():
    server = await asyncio.start_server(echo, "127.0.0.1", 0, backlog=100)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(serve())
"""


def compile_program(name, sources, *libraries):
    command = [os.environ.get("CC", "cc"), "-std=gnu17", "-O2", "-D_GNU_SOURCE", "-I", BENCH,
               "-I", os.path.join(TOP, "tools", "common"), *sources, *libraries,
               "-o", os.path.join(FOLDER, name)]
    subprocess.run(command, check=True, timeout=DEADLINE_S)


def has_io_uring():
    """False if a process of ours is not allowed to make a ring."""
    source = os.path.join(FOLDER, "ring.c")
    with open(source, "w", encoding="ascii") as file:
        file.write("#include <liburing.h>\nint main(void) { struct io_uring ring; "
                   "return io_uring_queue_init(8, &ring, 0) != 0; }\n")
    compile_program("ring", [source], "-luring")
    return subprocess.run([os.path.join(FOLDER, "ring")], timeout=DEADLINE_S,
                          check=False).returncode == 0


class Load(unittest.TestCase):
    """Runs echo_load with servers in Python."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(dir=FOLDER)

    def path(self, name):
        return os.path.join(self.dir, name)

    def server(self, body="pass", text=SERVER):
        """The command of a server that does @body with each message."""
        with open(self.path("server.py"), "w", encoding="utf-8") as file:
            file.write(text.replace("%s", " " * 12 + body))
        return [sys.executable, self.path("server.py")]

    def command(self, server, *args):
        return [os.path.join(FOLDER, "echo_load"), "--json", "--runs", "1", "--size",
                str(WINDOW_MS), *args, "--by", "them", "--", *server]

    def load(self, server, *args, status=0):
        """The lines it printed, or what it wrote to stderr if it is to fail."""
        done = subprocess.run(self.command(server, *args), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        if status != 0:
            return done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    # ---- what is measured ------------------------------------------------------------------------

    def test_a_right_server_is_measured(self):
        lines = self.load(self.server(), "--case", "64B/64")
        self.assertEqual([line["metric"] for line in lines], METRICS)
        figures = {line["metric"]: line["median"] for line in lines}
        self.assertEqual({(line["bench"], line["by"], line["case"]) for line in lines},
                         {("echo", "them", "64B/64")})
        # One thread uses no more than one CPU; the clocks are read one after the other.
        self.assertGreater(figures["cpu"], 0)
        self.assertLess(figures["cpu"] * figures["rate"], 1.1e9)
        self.assertLessEqual(figures["p50"], figures["p99"])
        self.assertLessEqual(figures["p99"], figures["p99.9"])
        self.assertEqual({line["checksum"] for line in lines}, {64})

    def test_latency_is_from_message_to_answer(self):
        lines = self.load(self.server("time.sleep(0.005)"), "--case", "64B/1")
        p50 = next(line["median"] for line in lines if line["metric"] == "p50")
        self.assertGreaterEqual(p50, 4900)
        cpu = next(line["median"] for line in lines if line["metric"] == "cpu")
        self.assertLess(cpu, 4.9e6)  # a server that sleeps uses none

    def test_cpu_time_is_that_of_the_server(self):
        body = ("end = time.process_time() + 0.003\n" + " " * 12 +
                "while time.process_time() < end: pass")
        lines = self.load(self.server(body), "--case", "64B/1")
        cpu = next(line["median"] for line in lines if line["metric"] == "cpu")
        # What is under way at either end of the window counts as whole or not at all.
        self.assertGreater(cpu, 2e6)

    def test_churn_makes_a_connection_for_each_message(self):
        body = "open(%r, 'a').write('.')" % self.path("connections")
        text = SERVER.replace("    global last, count\n", f"    global last, count\n    {body}\n")
        lines = self.load(self.server(text=text), "--case", "churn")
        rate = next(line["median"] for line in lines if line["metric"] == "rate")
        self.assertEqual([line["unit"] for line in lines][:2], ["ns/connection", "connections/s"])
        made = os.path.getsize(self.path("connections"))
        self.assertGreaterEqual(made, int(rate * WINDOW_MS / 1000))

    def test_a_case_is_chosen_by_its_whole_name_or_a_part(self):
        server = self.server()
        cases = [line["case"] for line in self.load(server, "--case", "64B/1")]
        self.assertEqual(set(cases), {"64B/1"})
        cases = [line["case"] for line in self.load(server, "--case", "4B/6")]
        self.assertEqual(set(cases), {"64B/64"})

    def test_cases_with_too_few_descriptors_are_skipped(self):
        limited = ["sh", "-c", 'ulimit -n 100; exec "$@"', "sh",
                   *self.command(self.server(), "--case", "64B/10")]
        done = subprocess.run(limited, capture_output=True, text=True, timeout=DEADLINE_S,
                              check=True)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([line["case"] for line in lines], ["64B/1000", "64B/10000"])
        self.assertTrue(all("RLIMIT_NOFILE" in line["skipped"] for line in lines))

    def test_the_server_has_as_many_cpus_as_workers(self):
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("one CPU")
        text = (f"import os, sys\nopen({self.path('cpus')!r}, 'w').write("
                f"str(sorted(os.sched_getaffinity(0))) + ' ' + str(sys.argv[1:]))\n")
        self.load(self.server(text=text + SERVER), "--case", "64B/1")
        with open(self.path("cpus"), encoding="ascii") as file:
            first = min(os.sched_getaffinity(0))
            self.assertEqual(file.read(), f"[{first}] ['--port', '0', '--workers', '1']")

    def test_quantiles_are_right_to_one_percent(self):
        with open(self.path("quantiles.c"), "w", encoding="ascii") as file:
            file.write(QUANTILES)
        compile_program("quantiles", [self.path("quantiles.c")])
        output = subprocess.run([os.path.join(FOLDER, "quantiles")], capture_output=True,
                                text=True, timeout=DEADLINE_S, check=True).stdout
        found = [float(line) for line in output.split()]
        for share, value in enumerate(found[:99], 1):
            self.assertAlmostEqual(value, share * 10000, delta=share * 100)
        for value in found[99:]:
            self.assertAlmostEqual(value / 2**62, 1, delta=0.01)

    # ---- heavy requests --------------------------------------------------------------------------

    def stalls(self, body, case, status=0):
        """({metric: median}, the microseconds of all messages) with a server that does @body."""
        path = self.path("stalls")
        if os.path.exists(path):
            os.unlink(path)
        lines = self.load(self.server(STALLS.replace("FILE", repr(path)) + body), "--stalls",
                          "--rate", str(RATE), "--case", case, status=status)
        if status != 0:
            return lines
        self.assertEqual({(line["bench"], line["case"], line["workers"]) for line in lines},
                         {("stalls", case, 2)})
        with open(path, encoding="ascii") as file:
            return ({line["metric"]: line["median"] for line in lines},
                    [int(text) for text in file])

    def test_messages_say_how_long_to_compute(self):
        figures, none = self.stalls("pass", "mixed/none")
        self.assertEqual(list(figures), [*METRICS, "late p99"])
        self.assertEqual(set(none), {0})
        self.assertLessEqual(figures["rate"], RATE * 1.001)
        # In the window and the quarter before it, after one on each of the 64 connections.
        self.assertEqual(len(none), 64 + WINDOW_MS * RATE * 5 // 4 // 1000)
        few = self.stalls("pass", "mixed/10x1ms")[1]
        self.assertEqual(set(few), {0, 1000})
        self.assertLess(few.count(1000), 20)  # ten a second
        self.assertEqual(set(self.stalls("pass", "mixed/1%x20ms")[1]), {0, 20000})
        # Everybody has the same.
        self.assertEqual(self.stalls("pass", "mixed/10x1ms")[1].count(1000), few.count(1000))

    def test_only_light_requests_are_reported(self):
        figures, asked = self.stalls("if us: await asyncio.sleep(3)", "mixed/1%x20ms")
        self.assertIn(20000, asked[-WINDOW_MS * RATE // 1000:])
        self.assertLess(figures["p99.9"], 3e6)
        self.assertLess(figures["rate"], RATE)  # the heavy ones of the window are missing in it

    def test_a_server_that_stands_still_is_charged_with_all_that_was_due(self):
        # From before the window's first message until most of them are due. There are 64
        # connections: a client that counts from sending would see 64 slow ones, of 300.
        figures = self.stalls("if count == 64 + 70: time.sleep(0.25)", "mixed/none")[0]
        self.assertGreaterEqual(figures["p50"], 5e4)
        # They were late as there was no connection for them.
        self.assertGreaterEqual(figures["late p99"], 5e4)

    def test_a_server_that_is_too_slow_is_told(self):
        self.assertIn("the server is 5 s behind 1000 messages a second",
                      self.stalls("time.sleep(0.05)", "mixed/none", status=1))

    def test_a_server_of_stalls_is_told_so_and_has_two_workers(self):
        text = (f"import os, sys\nopen({self.path('argv')!r}, 'w').write("
                f"str(len(os.sched_getaffinity(0))) + ' ' + str(sys.argv[1:]))\n")
        self.load(self.server(text=text + SERVER), "--stalls", "--rate", str(RATE), "--case",
                  "mixed/none")
        cpus = min(2, len(os.sched_getaffinity(0)))
        with open(self.path("argv"), encoding="ascii") as file:
            self.assertEqual(file.read(),
                             f"{cpus} ['--port', '0', '--workers', '2', '--stalls']")

    def test_a_wrong_byte_is_found_in_an_open_loop(self):
        body = "data = data[:-1] + bytes([data[-1] ^ 1]) if count == 100 else data"
        self.assertIn("mixed/none: wrong bytes", self.stalls(body, "mixed/none", status=1))

    def time_of_answer(self, command, message):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                address = ("127.0.0.1", int(process.stdout.readline()))
                with socket.create_connection(address, timeout=DEADLINE_S) as connection:
                    start = time.monotonic()
                    connection.sendall(message)
                    self.assertEqual(connection.recv(1000), message)
                    return time.monotonic() - start
            finally:
                process.kill()

    def test_a_server_in_c_computes_as_long_as_it_is_told(self):
        path = self.path("echo_raw_epoll")
        compile_program(path, [os.path.join(BENCH, "peers/raw_epoll/echo_raw_epoll.c")],
                        "-pthread")
        heavy = (2_000_000).to_bytes(4, "little") + bytes(60)
        self.assertGreaterEqual(self.time_of_answer([path, "--stalls"], heavy), 2)
        self.assertLess(self.time_of_answer([path, "--stalls"], bytes(64)), 2)
        self.assertLess(self.time_of_answer([path], heavy), 2)

    def test_stalls_bench_runs_skua_with_rescue_and_without_and_the_peers(self):
        tools = self.path("tools")
        os.mkdir(tools)
        for name in ("echo_bench", "echo_them"):
            with open(os.path.join(tools, name), "w", encoding="ascii") as file:
                file.write(f"#!{sys.executable}\nimport sys\nprint({name!r}, *sys.argv[1:], "
                           f"file=open({self.path('argv')!r}, 'a'))\n")
                file.write(SERVER % "            pass")
            os.chmod(os.path.join(tools, name), 0o755)
        os.symlink(os.path.join(FOLDER, "echo_load"), os.path.join(tools, "echo_load"))
        command = [sys.executable, os.path.join(BENCH, "stalls_bench.py"), "--tools", tools,
                   "--runs", "1", "--size", str(WINDOW_MS), "--case", "1%x20ms", "--server",
                   os.path.join(tools, "echo_them")]
        done = subprocess.run([*command, "--json"], capture_output=True, text=True,
                              timeout=DEADLINE_S, check=True)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual({line["by"] for line in lines}, {"skua", "rescue off", "them"})
        self.assertEqual({(line["by"], line["metric"]) for line in lines
                          if not line.get("baseline")},
                         {(by, what) for by in ("skua", "them")
                          for what in ("cpu", "p50", "p99", "p99.9")})
        with open(self.path("argv"), encoding="ascii") as file:
            self.assertEqual([line.partition("--port")[0].split() for line in file],
                             [["echo_bench"], ["echo_bench", "--rescue-us", "-1"], ["echo_them"]])
        table = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S,
                               check=True).stdout.splitlines()
        self.assertEqual([line.split()[0] for line in table], ["case"] + ["mixed/1%x20ms"] * 3)
        os.unlink(os.path.join(tools, "echo_bench"))
        self.assertEqual(subprocess.run(command, stderr=subprocess.DEVNULL, timeout=DEADLINE_S,
                                        check=False).returncode, 1)

    # ---- what goes wrong -------------------------------------------------------------------------

    def test_a_wrong_byte_is_found(self):
        body = "data = data[:-1] + bytes([data[-1] ^ 1]) if count == 100 else data"
        self.assertIn("echo (them): 64B/1: wrong bytes in answer 100 of a connection",
                      self.load(self.server(body), "--case", "64B/1", status=1))

    def test_the_answer_to_another_message_is_found(self):
        body = "data = last if count == 100 else data"
        self.assertIn("wrong bytes", self.load(self.server(body), "--case", "64B/1", status=1))
        self.assertIn("wrong bytes", self.load(self.server(body), "--case", "64B/64", status=1))

    def test_a_wrong_byte_in_a_long_message_is_found(self):
        text = SERVER.replace("readexactly(64)", "readexactly(16384)")
        # The ends are looked at in every message, the rest in every 16th.
        for place, first, found in ((0, 7, 7), (8000, 17, 32), (16383, 7, 7)):
            body = (f"data = data[:{place}] + bytes([data[{place}] ^ (count >= {first})]) + "
                    f"data[{place + 1}:]")
            self.assertIn(f"wrong bytes in answer {found} of",
                          self.load(self.server(body, text), "--case", "16KiB/1", status=1))
        self.load(self.server(text=text), "--case", "16KiB/1")

    def test_a_closed_connection_is_found(self):
        body = "count == 100 and writer.close()"
        self.assertIn("64B/1: the server closed a connection",
                      self.load(self.server(body), "--case", "64B/1", status=1))

    def test_a_server_that_crashes_is_found(self):
        body = "count == 100 and os.kill(os.getpid(), signal.SIGKILL)"
        self.assertRegex(self.load(self.server(body), "--case", "64B/1", status=1),
                         "closed a connection|recv failed|send failed")

    def test_a_server_that_does_not_start_is_told(self):
        for text, wanted in [
            ("import sys; sys.exit(3)", "the server ended with status 3 before it told its port"),
            ("print('hello')\nimport time\ntime.sleep(1000)", "the server did not tell its port"),
        ]:
            found = self.load(self.server(text=text), "--case", "64B/1", status=1)
            self.assertIn(wanted, found)
        self.assertIn("No such file", self.load([self.path("absent")], status=1))

    def test_a_server_that_ends_in_another_way_is_told(self):
        text = "import os, signal\nsignal.signal(signal.SIGTERM, lambda *_: os._exit(5))\n"
        self.assertIn("the server ended with status 5",
                      self.load(self.server(text=text + SERVER), "--case", "64B/1", status=1))
        text = text.replace("_exit(5)", "_exit(0)")
        self.load(self.server(text=text + SERVER), "--case", "64B/1")

    def test_the_server_ends_with_its_client(self):
        os.mkfifo(self.path("ready"))
        ready = os.open(self.path("ready"), os.O_RDWR)
        self.addCleanup(os.close, ready)
        body = f"count == 1 and open({self.path('ready')!r}, 'w').write(str(os.getpid()))"
        command = self.command(self.server(body), "--size", "50000")
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            began = select.select([ready], [], [], DEADLINE_S)[0]
            server = os.pidfd_open(int(os.read(ready, 100))) if began else None
            process.kill()
        self.assertIsNotNone(server, "it did not start")
        self.addCleanup(os.close, server)
        ended = select.select([server], [], [], DEADLINE_S)[0]
        if not ended:
            signal.pidfd_send_signal(server, signal.SIGKILL)
        self.assertTrue(ended, "it still runs")
        self.assertEqual(process.returncode, -signal.SIGKILL)

    def test_usage(self):
        self.assertIn("no server", self.load([], status=1))
        for rate in ("0", "x", "1000001"):
            self.assertIn("--rate is a number",
                          self.load(["true"], "--stalls", "--rate", rate, status=1))
        self.assertIn("usage: echo_load", self.load(["true"], "--nonsense", status=2))


if __name__ == "__main__":
    if not shutil.which(os.environ.get("CC", "cc")):
        print("echo_load_test: skipped, no compiler")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="skua-echo-") as FOLDER:
        try:
            usable = has_io_uring()
        except subprocess.CalledProcessError:
            usable = False
        if not usable:
            print("echo_load_test: skipped, no liburing or no io_uring")
            sys.exit(77)
        compile_program("echo_load", [os.path.join(BENCH, name) for name in SOURCES], "-luring")
        unittest.main()
