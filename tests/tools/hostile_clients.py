#!/usr/bin/env python3
"""Hostile HTTP clients, thousands of them, against skua-httpd and through skua-proxy.

Clients that go away at any stage, reset, close half, read or write slowly or never, send garbage,
too much of everything, and what is meant to have a server and a proxy disagree on where a request
ends. Every answer is checked; a request that stands only where no request is must not be in the
access log. Meanwhile two well-behaved clients, one through the proxy, ask for what they know and
must be served each time within 5 seconds. In the end both servers must have no more descriptors
than after the warm-up, a memory within --rss-mib of it (not checked under sanitizers, which keep
what is freed), still answer, and end with status 0 when told.

skua-proxy is looked for beside skua-httpd.
"""
import argparse
import itertools
import os
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # no trace in the tree
import hostile_kit as kit
from hostile_kit import Program, Regular, Swarm, Wrong

SMUGGLED_PATH = b"/smuggled"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("httpd", help="path of skua-httpd")
    parser.add_argument("--requests", type=int, default=3000, help="to be made (default 3000)")
    parser.add_argument("--clients", type=int, default=100, help="at a time (default 100)")
    parser.add_argument("--seed", type=int, default=1, help="(default 1)")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="one client of this seed")
    parser.add_argument("--rss-mib", type=float, default=8,
                        help="how much either server may grow (default 8)")
    return parser.parse_args()


def numbers(swarm, requests, first=0):
    """Numbers of clients until they have made so many requests."""
    count = itertools.count(first)
    return lambda: next(count) if swarm.requests < requests else None


def assert_no_smuggling(path):
    with open(path, "rb") as log:
        lines = 0
        for line in log:
            lines += 1
            if SMUGGLED_PATH in line:
                raise Wrong("a request was smuggled: %r" % line)
    if lines == 0:
        raise Wrong("the access log is empty")
    return lines


def report_failures(failures, seed):
    for failure in failures:
        print("failed: " + failure)
    if failures:
        raise Wrong("%d failures, of seed %d" % (len(failures), seed))


class Trial:
    def __init__(self, arguments, folder):
        self.arguments = arguments
        self.log = os.path.join(folder, "access.log")
        root = os.path.join(folder, "root")
        os.mkdir(root)
        kit.write_root(root)
        self.programs = []
        self.regulars = []
        self.start(arguments.httpd, "--root=" + root, "--access-log=" + self.log,
                   "--idle-timeout=10", *kit.SERVER_LIMITS)
        proxy = os.path.join(os.path.dirname(os.path.abspath(arguments.httpd)), "skua-proxy")
        try:
            self.start(proxy, "--backend=127.0.0.1:%d" % self.programs[0].port)
        except BaseException:
            self.kill()
            raise
        self.ports = [program.port for program in self.programs]

    def start(self, path, *args):
        self.programs.append(Program(path, *args))

    def tell_ended(self):
        """A server that has died is the cause of what was wrong."""
        for program in self.programs:
            if program.process.poll() is not None:
                print("%s ended with %d: %s" % (program.name, program.process.returncode,
                                                program.errors()))

    def kill(self):
        for regular in self.regulars:
            regular.stopped.set()
        for program in self.programs:
            program.kill()

    def swarm(self, requests, seed, first=0):
        swarm = Swarm(self.ports, seed, self.arguments.clients)
        swarm.run(numbers(swarm, requests, first))
        report_failures(swarm.failures, seed)
        return swarm

    def warm_up(self):
        """(descriptors, KiB) of each server when it has seen everything and is at rest."""
        idle = [program.descriptors() for program in self.programs]
        self.swarm(max(self.arguments.requests // 10, 300), self.arguments.seed + 1)
        # Workers may have opened descriptors of their own; those of connections are many more.
        for program, count in zip(self.programs, idle):
            program.wait_for_rest(count + 8)
        return [(program.descriptors(), program.resident_kib()) for program in self.programs]

    def run_clients(self):
        self.regulars = [Regular(port, self.arguments.seed) for port in self.ports]
        begin = time.monotonic()
        swarm = self.swarm(self.arguments.requests, self.arguments.seed)
        seconds = time.monotonic() - begin
        print("%d requests of %d hostile clients in %.1f s, %d excused: %s" %
              (swarm.requests, swarm.clients, seconds, swarm.excused,
               ", ".join("%s %d" % item for item in swarm.counts.items())))
        for regular, program in zip(self.regulars, self.programs):
            times = regular.stop()
            print("well-behaved, %s: %d requests, median %.1f ms, 99 %% %.1f ms, longest %.1f ms" %
                  (program.name, times[0], *(1000 * time_s for time_s in times[1:])))
            report_failures(regular.failures, self.arguments.seed)
            if times[-1] > kit.PROMPT_S:
                raise Wrong("a well-behaved client waited %.1f s" % times[-1])

    def check_rest(self, warm):
        for program, (descriptors, kib) in zip(self.programs, warm):
            program.wait_for_rest(descriptors)
            grown_kib = program.resident_kib() - kib
            print("%s: %d descriptors after %d, %d KiB after %d" %
                  (program.name, program.descriptors(), descriptors, kib + grown_kib, kib))
            if not program.is_sanitized() and grown_kib > self.arguments.rss_mib * 1024:
                raise Wrong("%s has grown by %d KiB" % (program.name, grown_kib))

    def end(self):
        for port in self.ports:
            regular = Regular(port, 0)
            while not regular.times:
                time.sleep(0.001)
            regular.stop()
            report_failures(regular.failures, 0)
        for program in reversed(self.programs):
            print("%s: ended after %.2f s" % (program.name, program.stop()))
        print("access log: %d lines, none smuggled" % assert_no_smuggling(self.log))


def run(arguments, folder):
    trial = Trial(arguments, folder)
    try:
        if arguments.only is not None:
            trial.swarm(1, arguments.seed, arguments.only)
            return
        warm = trial.warm_up()
        trial.run_clients()
        trial.check_rest(warm)
        trial.end()
    except Wrong:
        trial.tell_ended()
        raise
    finally:
        trial.kill()


def main():
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="skua-hostile-") as folder:
        try:
            run(arguments, folder)
        except (Wrong, OSError) as error:
            print("failed: %s" % error)
            return 1
        except KeyboardInterrupt:
            return 130
    print("ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
