#!/usr/bin/env python3
"""The cases direct/32 and direct/128 of bench/read_bench.c with fio --ioengine=io_uring.

Usage: read_fio.py [--size N] [--runs N] [--workers N] [--file PATH] [--json] [--warmup N]

Reads the file that the other programs have made. --workers jobs share the depth, as the threads of
the raw loop do. fio counts but does not look at the blocks; its own count of reads is checked.
"""

import argparse
import errno
import json
import os
import platform
import subprocess
import sys

CASES = {"direct/32": 32, "direct/128": 128}
DEADLINE_S = 300


def run_fio(options, depth):
    """fio's totals of one run: (reads, rate, CPU nanoseconds a read)."""
    each = options.size // options.workers
    command = [
        "fio", "--name=read", f"--filename={options.file}", "--ioengine=io_uring", "--direct=1",
        "--rw=randread", "--bs=4k", f"--iodepth={max(1, depth // options.workers)}",
        f"--size={os.path.getsize(options.file)}", f"--io_size={each * 4096}",
        f"--numjobs={options.workers}",
        "--thread", "--norandommap", "--group_reporting", "--gtod_reduce=1", "--readonly",
        "--output-format=json",
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=DEADLINE_S, check=True)
    job = json.loads(done.stdout[done.stdout.index(b"{"):])["jobs"][0]
    reads, rate = job["read"]["total_ios"], job["read"]["iops"]
    # Percent of the jobs' run time, which is in milliseconds.
    cpu_ns = (job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] * 1e6
    return reads, rate, cpu_ns / max(1, reads)


def refuses_direct(path):
    """True if the file system refuses O_DIRECT."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
    except OSError as error:
        return error.errno == errno.EINVAL
    return False


def output(options, line):
    if options.json:
        print(json.dumps(line), flush=True)
    elif "skipped" in line:
        print(f"read     {line['case']:20} fio skipped: {line['skipped']}")
    else:
        print(f"read     {line['case']:20} fio {line['metric']:5} {line['median']:12.1f} "
              f"{line['unit']}")


def main():
    default_file = os.path.join(os.environ.get("TMPDIR", "/var/tmp"), "skua-read-bench.data")
    parser = argparse.ArgumentParser(description="fio's side of the benchmark read")
    parser.add_argument("--size", type=int, default=200000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--file", default=default_file)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    version = subprocess.run(["fio", "--version"], stdout=subprocess.PIPE, text=True, check=True)
    if not os.path.exists(options.file):
        sys.exit(f"fio: {options.file} is not there; read_bench makes it")
    common = {
        "bench": "read", "by": "fio", "commit": os.environ.get("SKUA_BENCH_COMMIT", "unknown"),
        "kernel": platform.release(), "machine": platform.machine(),
        "compiler": version.stdout.strip(), "cpus": os.cpu_count(), "workers": options.workers,
        "size": options.size,
    }
    for run in range(-options.warmup, options.runs):
        for case, depth in CASES.items():
            line = {**common, "case": case, "run": run}
            if refuses_direct(options.file):
                if run >= 0:
                    output(options, {**line, "skipped": "the file system refuses O_DIRECT"})
                continue
            reads, rate, cpu_ns = run_fio(options, depth)
            expected = options.size // options.workers * options.workers
            if reads != expected:
                sys.exit(f"fio: wrong result: {reads} reads, expected {expected}")
            if run < 0:
                continue
            for metric, unit, value in (("rate", "ops/s", rate), ("cpu", "ns/op", cpu_ns)):
                output(options, {
                    **line, "metric": metric, "unit": unit, "samples": 1, "median": value,
                    "p95": value, "min": value, "checksum": reads,
                })


main()
