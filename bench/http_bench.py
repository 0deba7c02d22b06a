#!/usr/bin/env python3
"""What a request over HTTP/1.1 costs a server: wrk with skua-httpd and other servers.

Usage: http_bench.py --tools DIR [--skua-httpd PATH] [--server PATH]... [--runs N] [--workers N]
                     [--size MS] [--case PART] [--json]

--tools is where the build has put the benchmarks; skua-httpd is in its ../tools, or where
--skua-httpd says. Other servers are those named by --server, or without it all that are in
DIR/peers. Each answers GET /plaintext with the 13 bytes "Hello, World!", type, length and, but for
the baseline, Date and Server; takes --port 0 and --workers N; and prints its port. Those that serve
files take --root DIR too.

Cases: plaintext/64 and plaintext/1000, named for the connections that wrk keeps open; 4KiB/64 and
1MiB/64, a file of that size in the page cache. --size is the length of a window in milliseconds,
after a quarter of it as a warm-up. In the lines:
  cpu          CPU time of the server's threads for each request, in user and kernel mode
  rate         requests a second
  p50 p99 p99.9  as wrk tells them
The server is bound to the first --workers CPUs, or as many as leave one for wrk, which is bound to
the next; on one CPU they share it, and a line on stderr says so. Rate times cpu is how busy the
server was: where that is much less than its workers, wrk was the slower one.

In a round every server makes one run of all cases; every second round goes backwards. Ends with 1
if a server fails, answers something else, or breaks a connection. Marked as a baseline is the bare
epoll loop, which understands nothing of HTTP but the empty line.
"""

import argparse
import glob
import http.client
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
REPORT = os.path.join(HERE, "load", "http_report.lua")
# Name, connections, path.
CASES = [("plaintext/64", 64, "plaintext"), ("plaintext/1000", 1000, "plaintext"),
         ("4KiB/64", 64, "4KiB"), ("1MiB/64", 64, "1MiB")]
FILES = {"4KiB": 4 << 10, "1MiB": 1 << 20}
FILE_SERVERS = ("skua", "nginx", "go")
UNITS = {"cpu": "ns/request", "rate": "requests/s", "p50": "us", "p99": "us", "p99.9": "us"}
PEERS = [("raw_epoll", "http_raw_epoll"), ("go", "http_go")]
BASELINE = "raw epoll"
PLAINTEXT = b"Hello, World!"
START_S = 30
DEADLINE_S = 120


def say(text):
    print(f"http_bench: {text}", file=sys.stderr, flush=True)


def fail(text):
    sys.exit(f"http_bench: {text}")


def parse_arguments():
    parser = argparse.ArgumentParser(description="requests over HTTP/1.1, by wrk")
    parser.add_argument("--tools", required=True)
    parser.add_argument("--skua-httpd")
    # bench_run gives a driver its peers under the second name.
    parser.add_argument("--server", "--hash-only", dest="servers", action="append", default=[])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--size", type=int, default=2000)
    parser.add_argument("--case")
    parser.add_argument("--json", action="store_true")
    # What bench_run gives every driver, of no use here.
    for name in ("--tree", "--skua-sum"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--no-cold", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.runs < 1 or options.size < 1 or options.workers < 1:
        parser.error("--runs, --size and --workers are at least 1")
    options.cases = [case for case in CASES if not options.case or options.case in case[0]]
    if not options.cases:
        parser.error(f"no such case: {options.case}")
    options.workers = min(options.workers, max(1, len(os.sched_getaffinity(0)) - 1))
    return options


# ---- servers -------------------------------------------------------------------------------------


def shown(path):
    """Of .../http_raw_epoll: raw epoll, as the peer calls itself."""
    return os.path.splitext(os.path.basename(path))[0].removeprefix("http_").replace("_", " ")


def find_servers(options):
    """[(name, command)]"""
    tools = os.path.join(os.path.dirname(os.path.normpath(options.tools)), "tools")
    own = options.skua_httpd or os.path.join(tools, "skua-httpd")
    paths = options.servers
    if not paths:
        paths = [os.path.join(options.tools, "peers", *names) for names in PEERS]
        paths += sorted(glob.glob(os.path.join(HERE, "peers", "*", "http_*.py")))
        paths += sorted(glob.glob(os.path.join(HERE, "peers", "*", "http_*.js")))
    found = [("skua", [own, "--listen", "127.0.0.1:0"])]
    for path in paths:
        if os.path.exists(path):
            found.append((shown(path), [path, "--port", "0"]))
        else:
            say(f"{shown(path)}: not run: no {path}")
    return found


def cpus_of(options):
    """Those of the server, those of wrk."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) == 1:
        return set(allowed), set(allowed)
    return set(allowed[: options.workers]), {allowed[options.workers]}


def body_of(path):
    if path not in FILES:
        return PLAINTEXT
    return random.Random(path).randbytes(FILES[path])


def make_files(folder):
    for name in FILES:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(body_of(name))
    return folder


class Server:
    """Started with the block, and ended with it."""

    def __init__(self, name, command, options, cpus):
        self.name = name
        if name in FILE_SERVERS:
            command = [*command, "--root", options.root]
        self.process = subprocess.Popen(
            [*command, "--workers", str(options.workers)], stdout=subprocess.PIPE, text=True,
            stdin=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        self.port = self.read_port()

    def read_port(self):
        signal.alarm(START_S)
        line = self.process.stdout.readline()
        signal.alarm(0)
        number = re.search(r"(\d+)$", line.strip())
        if not number:
            self.end()
            fail(f"{self.name} did not tell its port: {line!r}")
        return int(number.group(1))

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(START_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def processes(self):
        """The server's and those it has started."""
        found = [self.process.pid]
        for pid in found:
            for path in glob.glob(f"/proc/{pid}/task/*/children"):
                with open(path, encoding="ascii") as file:
                    found += [int(child) for child in file.read().split()]
        return found

    def cpu_ns(self):
        """So far, of all threads that there are."""
        total = 0
        for pid in self.processes():
            for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
                with open(path, encoding="ascii") as file:
                    total += int(file.read().split()[0])
        return total

    def check(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_S)
        connection.request("GET", "/" + path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status != 200 or body != body_of(path):
            fail(f"{self.name} answered {answer.status} {body[:80]!r} for {path}")


# ---- runs ----------------------------------------------------------------------------------------


def load(server, case, ms, cpus):
    """What wrk says of so many milliseconds, which it can only do by the second."""
    seconds = max(1, round(ms / 1000))
    _, connections, path = case
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", "30s",
               "-s", REPORT, f"http://127.0.0.1:{server.port}/{path}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S,
                              check=False, preexec_fn=lambda: os.sched_setaffinity(0, cpus))
    except FileNotFoundError:
        fail("no wrk (Debian package wrk)")
    except subprocess.TimeoutExpired:
        fail(f"{server.name}: wrk did not come to an end")
    if done.returncode != 0:
        fail(f"{server.name}: wrk ended with status {done.returncode}: {done.stderr.strip()}")
    told = json.loads(done.stdout.splitlines()[-1])
    if told["broken"] or told["refused"]:
        fail(f"{server.name}: of {told['requests']} requests {told['broken']} were broken off, "
             f"{told['refused']} refused")
    return told


def run_case(name, command, case, options):
    """The figures of a window, with a server of its own."""
    server_cpus, client_cpus = cpus_of(options)
    with Server(name, command, options, server_cpus) as server:
        server.check(case[2])
        load(server, case, options.size / 4, client_cpus)
        before = server.cpu_ns()
        told = load(server, case, options.size, client_cpus)
        cpu_ns = server.cpu_ns() - before
    if told["requests"] == 0:
        fail(f"{name}: nothing was answered within {options.size} ms")
    return {"cpu": cpu_ns / told["requests"], "rate": told["requests"] / told["us"] * 1e6,
            **{name: told[name] for name in ("p50", "p99", "p99.9")}}


def lines_of(figures, name, case, number, options):
    for metric, value in figures.items():
        line = {"bench": "http", "by": name, "case": case, "metric": metric, "median": value,
                "p95": value, "min": value, "samples": 1, "unit": UNITS[metric], "run": number,
                "workers": options.workers}
        if name == BASELINE:
            line["baseline"] = True
        yield line


def print_table(lines):
    """For people: a line for each case and server, medians over the runs."""
    print(f"{'case':17}{'by':12}" + "".join(f"{name + ' ' + unit.split('/')[0]:>15}"
                                             for name, unit in UNITS.items()))
    for case in dict.fromkeys(line["case"] for line in lines):
        for name in dict.fromkeys(line["by"] for line in lines):
            values = [[line["median"] for line in lines if line["case"] == case
                       and line["by"] == name and line["metric"] == metric] for metric in UNITS]
            if all(values):
                print(f"{case:17}{name:12}"
                      + "".join(f"{statistics.median(value):15,.0f}" for value in values))


def run_all(options):
    servers = find_servers(options)
    if len(os.sched_getaffinity(0)) == 1:
        say("wrk shares the server's CPU: there is no other")
    lines = []
    for number in range(options.runs):
        for name, command in servers if number % 2 == 0 else servers[::-1]:
            for case in options.cases:
                if case[2] in FILES and name not in FILE_SERVERS:
                    continue
                figures = run_case(name, command, case, options)
                for line in lines_of(figures, name, case[0], number, options):
                    lines.append(line)
                    if options.json:
                        print(json.dumps(line), flush=True)
    if not options.json:
        print_table(lines)


def main():
    options = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="skua-http-") as folder:
        options.root = make_files(folder)
        os.chmod(folder, 0o755)  # nginx's workers are somebody else
        run_all(options)


main()
