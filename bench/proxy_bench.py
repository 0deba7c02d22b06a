#!/usr/bin/env python3
"""What a TCP proxy costs: skua-proxy, HAProxy, and no proxy at all, in turns.

Usage: proxy_bench.py [--skua-proxy PATH] [--only LIST] [--by LIST] [--runs N] [--seconds S]
                      [--quick] [--json]

Cases (--only; "iperf3" means both of its own):
  iperf3/1, iperf3/8  bytes to the server in 1 and 8 streams; the proxy's CPU time for each GiB
  pgbench             prepared selects of 8 clients; the database is made for this, in a folder of
                      its own
  redis               PING of 50 connections without pipelining

Ways (--by): direct; skua; skua splice (--splice); haproxy; haproxy auto (option splice-auto: it
decides for itself); haproxy splice (options splice-request and splice-response). Either proxy has
one thread and 32 KiB for each direction, which is skua-proxy's default.

The proxy is bound to the first CPU, and clients and servers to the second, whichever way it is.
Every run has a proxy of its own; each round begins with another way, and every second one goes
backwards. The first round does not count. CPU time is the proxy's, in user and kernel mode.
Everything listens on 127.0.0.1.

Nothing is installed: a program that is missing is named with its Debian package. Exit status: 0;
1 if something is missing or has failed, after a table of what there is; 2 for bad usage; 130 after
Ctrl-C.
"""

import argparse
import contextlib
import csv
import glob
import json
import os
import platform
import pwd
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
START_S = 30  # for a server to listen, or to end
LOAD_MAX = 0.5
GIB = 1 << 30
WAYS = ["direct", "skua", "skua splice", "haproxy", "haproxy auto", "haproxy splice"]
HAPROXY_OPTIONS = {"haproxy": [], "haproxy auto": ["splice-auto"],
                   "haproxy splice": ["splice-request", "splice-response"]}
BUFFER_BYTES = 32768
PGBENCH_CLIENTS = 8
REDIS_CLIENTS = 50
REDIS_PINGS_PER_SECOND = 50000  # redis-benchmark counts requests, not seconds
# libpq would also go where the caller's variables lead it.
ENV = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
ENV.update(LC_ALL="C", PGSSLMODE="disable", PGGSSENCMODE="disable")
PACKAGES = {
    "haproxy": "haproxy",
    "iperf3": "iperf3",
    "initdb": "postgresql",
    "postgres": "postgresql",
    "pgbench": "postgresql",
    "redis-server": "redis-server",
    "redis-benchmark": "redis-tools",
}


class Failure(Exception):
    """A program that has failed, with what it said."""


def say(text):
    print(f"proxy_bench: {text}", file=sys.stderr, flush=True)


def find(program):
    """Its path or None. Debian keeps the programs of PostgreSQL's server off the PATH."""
    versions = glob.glob(f"/usr/lib/postgresql/*/bin/{program}")
    if versions:
        return max(versions, key=lambda path: float(path.split("/")[4]))
    return shutil.which(program)


# ---- running -------------------------------------------------------------------------------------


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def is_listening(port):
    """Whether somebody listens there. A connection would be one too many for iperf3 --one-off."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table][1:]
    return any(row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port for row in rows)


def run(command, seconds, user=None, folder=None):
    """What a client prints; Failure if it fails."""
    name = os.path.basename(command[0])
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=seconds + 60, env=ENV, cwd=folder, check=False,
                              **as_user(user))
    except subprocess.TimeoutExpired as error:
        said = b"".join(text or b"" for text in (error.stdout, error.stderr))
        raise Failure(f"{name} did not end in {seconds + 60} s: {said.decode()}") from None
    if done.returncode != 0:
        raise Failure(f"{name} ended with status {done.returncode}: "
                      f"{(done.stderr + done.stdout).strip()}")
    return done.stdout


def as_user(user):
    return {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


class Server:
    """A program that listens at a port, from entering to leaving. It is bound to @cpus."""

    def __init__(self, command, port, cpus=None, user=None, folder=None, end=signal.SIGTERM):
        self.command, self.port, self.cpus, self.end = command, port, cpus, end
        self.options = dict(as_user(user), cwd=folder)
        self.process = self.output = None

    def __enter__(self):
        self.output = tempfile.TemporaryFile()
        # In a session of its own, Ctrl-C does not reach it: it is ended in order, by stop().
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output,
            env=ENV, start_new_session=True, **self.options,
            preexec_fn=lambda: self.cpus and os.sched_setaffinity(0, self.cpus))
        try:
            self.wait_until(lambda: is_listening(self.port), "listen")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def said(self):
        self.output.seek(0)
        return self.output.read().decode(errors="replace").strip()

    def fail(self, what):
        raise Failure(f"{os.path.basename(self.command[0])} {what}: {self.said()}")

    def check(self):
        if self.process.poll() is not None:
            self.fail(f"ended with status {self.process.returncode}")

    def wait_until(self, condition, what):
        end = time.monotonic() + START_S
        while not condition():
            self.check()
            if time.monotonic() > end:
                self.fail(f"does not {what}")
            time.sleep(0.01)

    def cpu_s(self):
        """CPU time of all its threads, those that have ended included."""
        return time.clock_gettime(~self.process.pid << 3 | 2)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(self.end)
        try:
            self.process.wait(START_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.output.close()


# ---- the ways ------------------------------------------------------------------------------------


def skua_command(options, way, port, backend_port):
    splice = ["--splice"] if way.endswith("splice") else []
    return [options.skua_proxy, "--quiet", "--workers=1", f"--buffer={BUFFER_BYTES}", "--drain=0",
            *splice, f"--listen=127.0.0.1:{port}", f"--backend=127.0.0.1:{backend_port}"]


def haproxy_command(folder, way, port, backend_port):
    path = os.path.join(folder, "haproxy.cfg")
    splice = "".join(f"    option {name}\n" for name in HAPROXY_OPTIONS[way])
    with open(path, "w", encoding="ascii") as file:
        file.write(f"""
global
    nbthread 1
    maxconn 1000
    tune.bufsize {BUFFER_BYTES}
defaults
    mode tcp
{splice}    timeout connect 5s
    timeout client 600s
    timeout server 600s
listen proxy
    bind 127.0.0.1:{port}
    server backend 127.0.0.1:{backend_port}
""")
    return [find("haproxy"), "-db", "-f", path]


@contextlib.contextmanager
def passage(options, way, backend_port):
    """The port to connect to, and the Server between, None for a direct connection."""
    if way == "direct":
        yield backend_port, None
        return
    port = free_port()
    if way.startswith("skua"):
        command = skua_command(options, way, port, backend_port)
    else:
        command = haproxy_command(options.folder, way, port, backend_port)
    with Server(command, port, cpus=options.proxy_cpus) as proxy:
        yield port, proxy
        proxy.check()


# ---- the cases -----------------------------------------------------------------------------------


class Iperf3:
    """One-way traffic. The server ends with its only client, so each run has another."""

    needs = ["iperf3"]
    metrics = [("throughput", "Gbit/s"), ("cpu", "s/GiB")]

    def __init__(self, streams):
        self.name, self.streams = f"iperf3/{streams}", streams

    def prepare(self, options, stack):
        pass

    @contextlib.contextmanager
    def backend(self):
        port = free_port()
        with Server([find("iperf3"), "--server", "--one-off", "--bind", "127.0.0.1", "--port",
                     str(port)], port):
            yield port

    def load(self, port, seconds):
        """The figures, and how much of that which CPU time is counted for."""
        text = run([find("iperf3"), "--client", "127.0.0.1", "--port", str(port), "--time",
                    str(seconds), "--parallel", str(self.streams), "--json"], seconds)
        end = json.loads(text)["end"]["sum_received"]
        if end["bytes"] == 0:
            raise Failure("iperf3: nothing was received")
        return {"throughput": end["bits_per_second"] / 1e9}, end["bytes"] / GIB


class Pgbench:
    """A cluster in a folder of its own. PostgreSQL refuses to run as root."""

    name, needs = "pgbench", ["initdb", "postgres", "pgbench"]
    metrics = [("rate", "tps"), ("latency", "us"), ("cpu", "us/transaction")]

    def __init__(self):
        self.port = self.folder = self.user = None

    def prepare(self, options, stack):
        self.folder = os.path.join(options.folder, "postgres")
        os.mkdir(self.folder, 0o700)
        if os.geteuid() == 0:
            self.user = postgres_user()
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        data = os.path.join(self.folder, "data")
        self.run([find("initdb"), "--pgdata", data, "--username", "bench", "--auth", "trust",
                  "--no-sync", "--no-locale", "--encoding", "UTF8"])
        self.port = free_port()
        settings = {"listen_addresses": "127.0.0.1", "port": self.port,
                    "unix_socket_directories": "", "fsync": "off", "autovacuum": "off"}
        command = [find("postgres"), "-D", data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        # SIGINT: it does not wait for its clients.
        server = stack.enter_context(Server(command, self.port, user=self.user,
                                            folder=self.folder, end=signal.SIGINT))
        server.wait_until(lambda: is_ready(data), "get ready")
        self.pgbench(self.port, 60, "--initialize", "--quiet", "--scale",
                     "1" if options.quick else "10")

    def run(self, command, seconds=60):
        return run(command, seconds, self.user, self.folder)

    def pgbench(self, port, seconds, *arguments):
        return self.run([find("pgbench"), "--host", "127.0.0.1", "--port", str(port),
                         "--username", "bench", *arguments, "postgres"], seconds)

    @contextlib.contextmanager
    def backend(self):
        yield self.port

    def load(self, port, seconds):
        text = self.pgbench(port, seconds, "--select-only", "--protocol", "prepared", "--client",
                            str(PGBENCH_CLIENTS), "--time", str(seconds), "--no-vacuum")
        done = re.search(r"transactions actually processed: (\d+)", text)
        rate = re.search(r"tps = ([\d.]+) \(without", text)
        latency = re.search(r"latency average = ([\d.]+) ms", text)
        if not done or not rate or not latency or re.search(r"failed transactions: [1-9]", text):
            raise Failure(f"pgbench: not as expected: {text}")
        return {"rate": float(rate.group(1)),
                "latency": float(latency.group(1)) * 1000}, int(done.group(1)) / 1e6


def postgres_user():
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise Failure("PostgreSQL does not run as root, and there is no user postgres or nobody")


def is_ready(data):
    """It listens before it serves."""
    with contextlib.suppress(FileNotFoundError):
        with open(os.path.join(data, "postmaster.pid"), encoding="ascii") as file:
            return "ready" in file.read().split("\n")[-2]
    return False


class Redis:
    """Small messages, one under way on each connection."""

    name, needs = "redis", ["redis-server", "redis-benchmark"]
    metrics = [("rate", "requests/s"), ("p50", "us"), ("p99", "us"), ("cpu", "us/request")]

    def __init__(self):
        self.port = None

    def prepare(self, options, stack):
        self.port = free_port()
        stack.enter_context(Server([find("redis-server"), "--bind", "127.0.0.1", "--port",
                                    str(self.port), "--save", "", "--appendonly", "no", "--dir",
                                    options.folder], self.port))

    @contextlib.contextmanager
    def backend(self):
        yield self.port

    def load(self, port, seconds):
        count = int(REDIS_PINGS_PER_SECOND * seconds)
        text = run([find("redis-benchmark"), "-h", "127.0.0.1", "-p", str(port), "-c",
                    str(REDIS_CLIENTS), "-n", str(count), "-t", "ping_mbulk", "--csv"], seconds)
        rows = list(csv.DictReader(text.splitlines()))
        try:
            figures = {"rate": float(rows[0]["rps"]),
                       "p50": float(rows[0]["p50_latency_ms"]) * 1000,
                       "p99": float(rows[0]["p99_latency_ms"]) * 1000}
        except (IndexError, KeyError, TypeError, ValueError):
            raise Failure(f"redis-benchmark: not as expected: {text}") from None
        return figures, count / 1e6


# ---- all of it -----------------------------------------------------------------------------------


def measure(options, case, way, seconds):
    """{metric: value} of one run."""
    with contextlib.ExitStack() as stack:
        backend_port = stack.enter_context(case.backend())
        port, proxy = stack.enter_context(passage(options, way, backend_port))
        before = proxy.cpu_s() if proxy else 0
        try:
            figures, work = case.load(port, seconds)
        except Failure as failure:
            said = f"; the proxy: {proxy.said()}" if proxy and proxy.said() else ""
            raise Failure(f"{case.name}, {way}: {failure}{said}") from None
        if proxy:
            figures["cpu"] = (proxy.cpu_s() - before) / work
        return figures


def report(options, case, way, number, figures):
    for metric, unit in case.metrics:
        if metric not in figures:
            continue
        value = figures[metric]
        line = {
            "bench": "proxy", "case": case.name, "by": way,
            "commit": os.environ.get("SKUA_BENCH_COMMIT", "unknown"),
            "kernel": platform.release(), "machine": platform.machine(), "cpus": os.cpu_count(),
            "workers": 1, "run": number, "metric": metric, "unit": unit, "samples": 1,
            "median": value, "p95": value, "min": value, "load": os.getloadavg()[0],
            "baseline": way == "direct",
        }
        print(json.dumps(line), flush=True)


def print_tables(cases, results):
    """For people: medians over the runs; of the first figure also the smallest and the largest."""
    for case in cases:
        rows = [(way, runs) for (name, way), runs in results.items() if name == case.name]
        if not rows:
            continue
        head = [f"{metric} {unit}" for metric, unit in case.metrics]
        print(f"\n{case.name:16}" + "".join(f"{text:>20}" for text in head) +
              f"{'from':>12}{'to':>12}{'runs':>6}")
        for way, runs in rows:
            text = f"{way:16}"
            for metric, _ in case.metrics:
                values = [figures[metric] for figures in runs if metric in figures]
                text += f"{statistics.median(values):20,.3f}" if values else f"{'-':>20}"
            main = [figures[case.metrics[0][0]] for figures in runs]
            print(text + f"{min(main):12,.2f}{max(main):12,.2f}{len(runs):6}")


def parse_list(parser, text, known):
    """The known names that @text lists, in their own order."""
    wanted = [name.strip() for name in text.split(",")]
    for name in wanted:
        if not any(name in (one, one.partition("/")[0]) for one in known):
            parser.error(f"unknown: {name} (there are: {', '.join(known)})")
    return [one for one in known if one in wanted or one.partition("/")[0] in wanted]


def parse_arguments(cases):
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__.partition("\n")[0], epilog=__doc__.partition("[--json]\n\n")[2])
    parser.add_argument("--skua-proxy", metavar="PATH",
                        default=os.path.join(ROOT, "build", "release", "tools", "skua-proxy"),
                        help="the program (default: that of build/release)")
    parser.add_argument("--only", metavar="LIST", help="these cases, with commas")
    parser.add_argument("--by", metavar="LIST", help="these ways, with commas")
    parser.add_argument("--runs", type=int, metavar="N", help="rounds that count (default 7)")
    parser.add_argument("--seconds", type=int, metavar="S", help="of each run (default 4)")
    parser.add_argument("--quick", action="store_true",
                        help="does everything work? One short round, unless told otherwise")
    parser.add_argument("--json", action="store_true", help="print a JSON line for each figure")
    options = parser.parse_args()
    options.runs = options.runs if options.runs is not None else 1 if options.quick else 7
    options.seconds = options.seconds if options.seconds is not None else 1 if options.quick else 4
    if options.runs < 1 or options.seconds < 1:
        parser.error("--runs and --seconds are at least 1")
    names = [case.name for case in cases]
    chosen = parse_list(parser, options.only, names) if options.only is not None else names
    options.cases = [case for case in cases if case.name in chosen]
    options.ways = parse_list(parser, options.by, WAYS) if options.by is not None else WAYS
    return options


def check_needs(options):
    """Ends the program with a line for everything that is missing."""
    programs = [program for case in options.cases for program in case.needs]
    if any(way.startswith("haproxy") for way in options.ways):
        programs.append("haproxy")
    faults = [f"{program} is missing: Debian package {PACKAGES[program]}"
              for program in dict.fromkeys(programs) if not find(program)]
    if any(way.startswith("skua") for way in options.ways):
        if not os.access(options.skua_proxy, os.X_OK):
            faults.append(f"no {options.skua_proxy}: build skua-proxy, or name it by --skua-proxy")
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        faults.append("two CPUs are needed, one for the proxy and one for everything else")
    for fault in faults:
        say(fault)
    if faults:
        sys.exit(1)
    load = os.getloadavg()[0]
    if load > LOAD_MAX:
        say(f"the load is {load:.2f}: figures from a busy machine are worthless")
    options.proxy_cpus = {cpus[0]}
    os.sched_setaffinity(0, {cpus[1]})  # what is started inherits it


def measure_all(options, stack, results):
    for case in options.cases:
        case.prepare(options, stack)
    for number in range(0 if options.quick else -1, options.runs):
        for case in options.cases:
            start = number % len(options.ways)
            ways = options.ways[start:] + options.ways[:start]
            for way in ways if number % 2 == 0 else ways[::-1]:
                figures = measure(options, case, way, options.seconds if number >= 0 else 1)
                if number < 0:
                    continue
                results[case.name, way].append(figures)
                if options.json:
                    report(options, case, way, number, figures)


def end(number, _):
    """From here on all is ended in order, and soon: a second signal would leave things behind."""
    for known in (signal.SIGINT, signal.SIGTERM):
        signal.signal(known, signal.SIG_IGN)
    raise KeyboardInterrupt(number)


def main():
    cases = [Iperf3(1), Iperf3(8), Pgbench(), Redis()]
    options = parse_arguments(cases)
    check_needs(options)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    results = {(case.name, way): [] for case in options.cases for way in options.ways}
    status = 0
    try:
        with contextlib.ExitStack() as stack:
            options.folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="skua-proxy-bench-"))
            os.chmod(options.folder, 0o711)  # PostgreSQL's user has to get through
            measure_all(options, stack, results)
    except (Failure, OSError) as failure:
        say(f"FAILED: {failure}")
        status = 1
    except KeyboardInterrupt as interrupt:
        say(f"ended by {signal.Signals(interrupt.args[0]).name}")
        status = 128 + interrupt.args[0]
    if not options.json:
        print_tables(options.cases, {key: runs for key, runs in results.items() if runs})
    sys.exit(status)


if __name__ == "__main__":
    main()
