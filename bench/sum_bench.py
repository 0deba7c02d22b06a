#!/usr/bin/env python3
"""skua-sum against find, xargs and the usual programs, over a tree of 20,000 files.

Usage: sum_bench.py --skua-sum PATH --tools DIR [--runs N] [--workers N] [--size FILES] [--tree DIR]
                    [--hash-only PATH] [--no-cold] [--json]
       sum_bench.py --clean [--tree DIR]

The tree is made once, from a fixed seed: --size files (default 20,000) of 1 KiB to 1 MiB, evenly
distributed over the logarithm of the size, about 2.8 GiB in all. It lies in --tree (default
$TMPDIR or /var/tmp, skua-sum-bench); --clean removes it.

Cases: sha256/hot and blake2b/hot with everything in the page cache; sha256/cold after the kernel
was told to drop it (root only; skipped by name otherwise). Programs take turns. Each run's list of
checksums is compared with that of coreutils: a wrong one ends the benchmark with status 1.
"hash alone" is what the digests of as many bytes need from memory, on as many threads; it takes
part if --hash-only names the program, which is built from peers/hash_only.

--tools is where the build has put bench_measure.
"""

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
from collections import Counter

SEED = 20000
FILES_PER_DIRECTORY = 200
NOISE_BYTES = 4 << 20
DEADLINE_S = 900
ENV = dict(os.environ, LC_ALL="C")


def say(text):
    print(f"sum_bench: {text}", file=sys.stderr, flush=True)


# ---- the tree ------------------------------------------------------------------------------------


def file_sizes(count):
    """Between 1 KiB and 1 MiB, evenly over the logarithm; the same list every time."""
    generator = random.Random(SEED)
    return [int(2 ** generator.uniform(10, 20)) for _ in range(count)]


def make_tree(tree, count):
    """Makes the tree if it is not there. Returns the directory with the files and their bytes."""
    sizes = file_sizes(count)
    description = f"seed {SEED} files {count} bytes {sum(sizes)}\n"
    marker = os.path.join(tree, "complete")
    files = os.path.join(tree, "files")
    if os.path.exists(marker):
        with open(marker, encoding="ascii") as file:
            if file.read() == description:
                return files, sum(sizes)
    shutil.rmtree(tree, ignore_errors=True)
    say(f"making {count} files, {sum(sizes) / 2**30:.2f} GiB, in {tree}")
    generator = random.Random(SEED + 1)
    noise = generator.randbytes(NOISE_BYTES)
    for index, size in enumerate(sizes):
        directory = os.path.join(files, f"{index // FILES_PER_DIRECTORY:04}")
        if index % FILES_PER_DIRECTORY == 0:
            os.makedirs(directory)
        start = generator.randrange(NOISE_BYTES - size)
        with open(os.path.join(directory, f"file-{index:06}.data"), "wb") as file:
            file.write(index.to_bytes(8, "little") + noise[start : start + size - 8])
    with open(os.path.join(tree, "sizes"), "w", encoding="ascii") as file:
        file.writelines(f"{size}\n" for size in sizes)
    os.sync()
    with open(marker, "w", encoding="ascii") as file:
        file.write(description)
    return files, sum(sizes)


def warm(files):
    command = f"find '{files}' -type f -print0 | xargs -0 -n 64 cat > /dev/null"
    subprocess.run(command, shell=True, check=True, timeout=DEADLINE_S)


def drop_caches():
    """True if the page cache was dropped."""
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
            file.write("3\n")
    except OSError:
        return False
    return True


# ---- running -------------------------------------------------------------------------------------


class Program:
    """One competitor: its command, and which function checks its output against coreutils'."""

    def __init__(self, by, command, right):
        self.by, self.command, self.right = by, command, right


def sorted_lines(output):
    return sorted(output.splitlines(), key=lambda line: line.split(b"  ", 1)[-1])


def same_lines(output, reference):
    return sorted_lines(output) == sorted_lines(reference)


def same_characters(output, reference):
    """For openssl, which marks files as binary and, two at a time, breaks lines into each other."""
    return Counter(output.replace(b"*", b" ")) == Counter(reference)


def xargs(files, workers, program):
    pipe = f"find '{files}' -type f -print0 | xargs -0 -n 64 -P{workers} {program}"
    return ["sh", "-c", pipe]


def programs(options, files, algorithm):
    tool = {"sha256": "sha256sum", "blake2b": "b2sum"}[algorithm]
    evp = {"sha256": "SHA256", "blake2b": "BLAKE2B-512"}[algorithm]
    openssl = {"sha256": "sha256", "blake2b": "blake2b512"}[algorithm]
    jobs = str(options.workers)
    sum_command = [options.skua_sum, "-a", algorithm, "-j", jobs, "--no-progress", "-r", files]
    sizes = os.path.join(options.tree, "sizes")
    found = [
        # The first one's output is what the others are compared with.
        Program(f"xargs {tool}", xargs(files, jobs, tool), same_lines),
        Program("skua-sum", sum_command, same_lines),
        Program("xargs openssl", xargs(files, jobs, f"openssl dgst -r -{openssl}"),
                same_characters),
    ]
    if options.hash_only:
        found.append(Program("hash alone", [options.hash_only, evp, jobs, sizes], None))
    return found


def run(options, program, output):
    """Runs a program with its output in a file; returns bench_measure's figures."""
    measure = os.path.join(options.tools, "bench_measure")
    read_end, write_end = os.pipe()
    saved = None
    try:
        # bench_measure writes its figures to descriptor 3.
        command = ["sh", "-c", f'exec "$@" 3>&{write_end}', "sh", measure] + program.command
        with open(output, "wb") as file:
            done = subprocess.run(
                command, stdout=file, pass_fds=[write_end], env=ENV, timeout=DEADLINE_S, check=False
            )
        os.close(write_end)
        write_end = None
        saved = os.read(read_end, 4096)
    finally:
        os.close(read_end)
        if write_end is not None:
            os.close(write_end)
    if done.returncode != 0 or not saved:
        sys.exit(f"sum_bench: {program.by} ended with status {done.returncode}")
    return json.loads(saved)


def report(options, case, by, run_number, figures, total_bytes, checksum):
    values = [
        ("time", "s", figures["wall_s"]),
        ("rate", "MB/s", total_bytes / 1e6 / figures["wall_s"]),
    ]
    if "peak_kib" in figures and by != "hash alone":
        values.append(("cpu", "s", figures["user_s"] + figures["system_s"]))
        values.append(("peak memory", "MiB", figures["peak_kib"] / 1024))
    for metric, unit, value in values:
        line = {
            "bench": "sum", "case": case, "by": by,
            "commit": os.environ.get("SKUA_BENCH_COMMIT", "unknown"),
            "kernel": platform.release(), "machine": platform.machine(),
            "compiler": f"Python {platform.python_version()}", "cpus": os.cpu_count(),
            "workers": options.workers, "size": options.size, "run": run_number,
            "metric": metric, "unit": unit, "samples": 1, "median": value, "p95": value,
            "min": value, "checksum": checksum,
        }
        if options.json:
            print(json.dumps(line), flush=True)
        else:
            print(f"sum {case:14} {by:16} {metric:12} {value:10.2f} {unit}", flush=True)


class Case:
    """The runs of one algorithm, hot or cold."""

    def __init__(self, options, files, total_bytes, algorithm, cold):
        self.options, self.total_bytes, self.cold = options, total_bytes, cold
        self.name = f"{algorithm}/{'cold' if cold else 'hot'}"
        self.programs = programs(options, files, algorithm)
        self.output = os.path.join(options.tree, f"output.{os.getpid()}")
        self.reference = None
        self.times = {}

    def run(self, program, run_number):
        if self.cold and not drop_caches():
            sys.exit("sum_bench: the page cache cannot be dropped any more")
        figures = run(self.options, program, self.output)
        with open(self.output, "rb") as file:
            output = file.read()
        if program.right is None:
            figures = json.loads(output)
            checksum = figures["checksum"]
            right = figures["files"] == self.options.size
        else:
            self.reference = self.reference or output
            checksum = self.options.size
            right = (program.right(output, self.reference)
                     and output.count(b"\n") == self.options.size)
        if not right:
            sys.exit(f"sum_bench: {program.by} printed wrong checksums, see {self.output}")
        if run_number >= 0:
            report(self.options, self.name, program.by, run_number, figures, self.total_bytes,
                   checksum)
            self.times.setdefault(program.by, []).append(figures["wall_s"])

    def measure(self):
        # The run before the first is not reported: it checks everybody and warms the programs.
        for run_number in range(0 if self.cold else -1, self.options.runs):
            competitors = self.programs
            if run_number % 2 == 1 and self.reference is not None:
                competitors = competitors[::-1]
            for program in competitors:
                if program.right is not None or not self.cold:
                    self.run(program, run_number)
        os.unlink(self.output)
        medians = {by: statistics.median(values) for by, values in self.times.items()}
        for by, median in medians.items():
            say(f"{self.name}: {by}: {median:.3f} s, skua-sum / it = "
                f"{medians['skua-sum'] / median:.3f}")


def main():
    default_tree = os.path.join(os.environ.get("TMPDIR", "/var/tmp"), "skua-sum-bench")
    parser = argparse.ArgumentParser(description="skua-sum against find, xargs and sha256sum")
    parser.add_argument("--skua-sum")
    parser.add_argument("--tools")
    parser.add_argument("--hash-only")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=20000)
    parser.add_argument("--tree", default=default_tree)
    parser.add_argument("--no-cold", action="store_true")
    parser.add_argument("--clean", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.clean:
        shutil.rmtree(options.tree, ignore_errors=True)
        return
    if not options.skua_sum or not options.tools or options.size < 1 or options.runs < 1:
        parser.error("--skua-sum and --tools are needed")
    options.tree = os.path.abspath(options.tree)
    if "'" in options.tree:
        parser.error("--tree must not contain an apostrophe")
    files, total_bytes = make_tree(options.tree, options.size)
    warm(files)
    Case(options, files, total_bytes, "sha256", cold=False).measure()
    Case(options, files, total_bytes, "blake2b", cold=False).measure()
    if options.no_cold:
        return
    if drop_caches():
        Case(options, files, total_bytes, "sha256", cold=True).measure()
    else:
        say("sha256/cold: skipped, only root can drop the page cache")


main()
