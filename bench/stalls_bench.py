#!/usr/bin/env python3
"""What the light requests of a server suffer from heavy ones: echo_load --stalls with every server.

Usage: stalls_bench.py --tools DIR [--server PATH]... [--runs N] [--workers N] [--size MS]
                       [--case PART] [--json]

--tools is where the build has put echo_load and echo_bench. The servers are Skua's, with its
rescue (skua_options.rescue_us) as it is by default, and without it as "rescue off"; and those named
by --server, or without --server all that are in DIR/peers. Cases, loads and figures: the head
comment of load/load_main.c.

Marked as baselines, which are left out of a comparison with peers, are the lines of "rescue off",
lest the better of two settings be taken for each figure, and the load as it was: rate and late p99
are no merit of a server.

In a round every server makes one run of all cases; every second round goes backwards. The server
has two workers, or --workers if that is more. With no CPU to spare for the client it shares those
of the server; a line on stderr says so.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

DEADLINE_S = 300
WORKERS_MIN = 2  # with one there is nobody who could see to the light ones
PEERS = [("raw_epoll", "echo_raw_epoll"), ("libuv", "echo_libuv"), ("go", "echo_go")]
COLUMNS = ["rate", "p50", "p99", "p99.9", "late p99", "cpu"]
RESCUE_OFF = "rescue off"
LOAD_AS_IT_WAS = ("rate", "late p99")


def say(text):
    print(f"stalls_bench: {text}", file=sys.stderr, flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(description="light requests of a server beside heavy ones")
    parser.add_argument("--tools", required=True)
    # bench_run gives a driver its peers under the second name.
    parser.add_argument("--server", "--hash-only", dest="servers", action="append", default=[])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=WORKERS_MIN)
    parser.add_argument("--size", type=int, default=2000)
    parser.add_argument("--case")
    parser.add_argument("--json", action="store_true")
    # What bench_run gives every driver, of no use here.
    for name in ("--tree", "--skua-sum"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--no-cold", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.runs < 1 or options.size < 1:
        parser.error("--runs and --size are at least 1")
    return options


def shown(path):
    """Of .../echo_raw_epoll: raw epoll, as the peer calls itself."""
    return os.path.basename(path).removeprefix("echo_").replace("_", " ")


def find_servers(options):
    """[(name, command)]"""
    own = os.path.join(options.tools, "echo_bench")
    found = [("skua", [own]), (RESCUE_OFF, [own, "--rescue-us", "-1"])]
    paths = options.servers
    if not paths:
        there = [os.path.join(options.tools, "peers", *names) for names in PEERS]
        paths = [path for path in there if os.path.exists(path)]
        for path in sorted(set(there) - set(paths)):
            say(f"{shown(path)}: not run: no {path}")
    return found + [(shown(path), [path]) for path in paths]


def run(options, name, server, told):
    """The lines of one run; ends the program if it fails. What it says is passed on once."""
    command = [os.path.join(options.tools, "echo_load"), "--stalls", "--json", "--runs", "1",
               "--workers", str(max(WORKERS_MIN, options.workers)), "--size", str(options.size),
               *(["--case", options.case] if options.case else []), "--by", name, "--", *server]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=DEADLINE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        sys.exit(f"stalls_bench: {name}: {error}")
    for text in done.stderr.splitlines():
        if text not in told:
            say(text)
        told.add(text)
    if done.returncode != 0:
        sys.exit(f"stalls_bench: {name} ended with status {done.returncode}")
    lines = [json.loads(text) for text in done.stdout.splitlines()]
    for line in lines:
        if name == RESCUE_OFF or line.get("metric") in LOAD_AS_IT_WAS:
            line["baseline"] = True
    return lines


def print_table(lines):
    """For people: a line for each case and server, medians over the runs."""
    groups = {}
    for line in lines:
        if "skipped" in line:
            say(f"{line['case']} by {line['by']}: skipped: {line['skipped']}")
            continue
        cases = groups.setdefault(line["case"], {})
        cases.setdefault(line["by"], {}).setdefault(line["metric"], []).append(line["median"])
    head = ["rate", "p50 us", "p99 us", "p99.9 us", "late p99 us", "cpu us"]
    print(f"{'case':15}{'by':12}" + "".join(f"{name:>13}" for name in head))
    for case, servers in groups.items():
        for by, figures in servers.items():
            values = [statistics.median(figures[name]) for name in COLUMNS]
            values[-1] /= 1000
            print(f"{case:15}{by:12}" + "".join(f"{value:13,.1f}" for value in values))


def main():
    options = parse_arguments()
    servers = find_servers(options)
    lines, told = [], set()
    for number in range(options.runs):
        for name, command in servers if number % 2 == 0 else servers[::-1]:
            for line in run(options, name, command, told):
                line["run"] = number
                lines.append(line)
                if options.json:
                    print(json.dumps(line), flush=True)
    if not options.json:
        print_table(lines)


main()
