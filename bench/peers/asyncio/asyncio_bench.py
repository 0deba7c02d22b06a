#!/usr/bin/env python3
"""The benchmarks spawn, yield and offload with Python's asyncio.

Usage: asyncio_bench.py --bench NAME [--size N] [--runs N] [--warmup N] [--workers N] [--json]

The cases, units and lines are those of bench/<name>_bench.c. One event loop is one thread, whatever
--workers says. Results are checked: a wrong one ends the program with status 1.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import time

WINDOW = 256
MANY = 10  # the case "many" of offload makes so many times --size calls


def check(what, got, expected):
    if got != expected:
        sys.exit(f"asyncio: wrong result: {what} is {got}, expected {expected}")
    return got


async def number(value):
    return value


async def number_after_yield(value):
    await asyncio.sleep(0)
    return value


async def spawn_all(size):
    tasks = [asyncio.create_task(number(i)) for i in range(1, size + 1)]
    return sum([await task for task in tasks])


async def spawn_one(size):
    total = 0
    for i in range(1, size + 1):
        total += await asyncio.create_task(number(i))
    return total


async def spawn_parked(size):
    tasks = [asyncio.create_task(number_after_yield(i)) for i in range(1, size + 1)]
    return sum([await task for task in tasks])


async def yield_task(count):
    for _ in range(count):
        await asyncio.sleep(0)
    return count


async def yield_tasks(size, tasks):
    each = size // tasks
    return sum(await asyncio.gather(*(yield_task(each) for _ in range(tasks))))


async def ping_pong(size):
    """A message is a future that is made, awaited and set."""
    loop = asyncio.get_running_loop()
    rounds = size // 2
    shared = {"to_pong": loop.create_future(), "to_ping": None}

    async def pong():
        total, request = 0, shared["to_pong"]
        for _ in range(rounds):
            value = await request
            total += value
            reply = shared["to_ping"]
            request = shared["to_pong"] = loop.create_future()
            reply.set_result(value + 1)
        return total

    task, total = asyncio.create_task(pong()), 0
    for i in range(rounds):
        reply = shared["to_ping"] = loop.create_future()
        shared["to_pong"].set_result(i)
        total += await reply
    return total + await task


def job(value):
    return value


async def offload_one(size):
    loop, total = asyncio.get_running_loop(), 0
    for i in range(1, size + 1):
        total += await loop.run_in_executor(None, job, i)
    return total


async def offload_many(size):
    loop, total = asyncio.get_running_loop(), 0
    for first in range(1, size + 1, WINDOW):
        last = min(first + WINDOW, size + 1)
        calls = [loop.run_in_executor(None, job, i) for i in range(first, last)]
        total += sum([await call for call in calls])
    return total


def sum_to(size):
    return size * (size + 1) // 2


# bench: (case, coroutine function of the size, expected result of the size, unit)
CASES = {
    "spawn": [
        ("all", spawn_all, sum_to, "ns/task"),
        ("one", spawn_one, sum_to, "ns/task"),
        ("parked", spawn_parked, sum_to, "ns/task"),
    ],
    "yield": [
        (f"yield/{n}", lambda size, n=n: yield_tasks(size, n), lambda size, n=n: size // n * n,
         "ns/yield")
        for n in (2, 16, 1000)
    ] + [("ping_pong", ping_pong, lambda size: (size // 2) ** 2, "ns/message")],
    "offload": [
        ("round_trip", offload_one, sum_to, "ns/call"),
        ("many", offload_many, sum_to, "ns/call"),
    ],
}


def main():
    parser = argparse.ArgumentParser(description="asyncio's side of the benchmarks")
    parser.add_argument("--bench", choices=CASES, required=True)
    parser.add_argument("--size", type=int, default=100000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for run in range(-options.warmup, options.runs):
        for case, function, expected, unit in CASES[options.bench]:
            size = options.size * (MANY if case == "many" else 1)
            start = time.monotonic_ns()
            result = asyncio.run(function(size))
            ns = (time.monotonic_ns() - start) / size
            checksum = check(case, result, expected(size))
            if run < 0:
                continue
            line = {
                "bench": options.bench, "case": case, "by": "asyncio",
                "commit": os.environ.get("SKUA_BENCH_COMMIT", "unknown"),
                "kernel": platform.release(), "machine": platform.machine(),
                "compiler": f"Python {platform.python_version()}", "cpus": os.cpu_count(),
                "workers": 1, "size": options.size, "run": run, "metric": "time", "unit": unit,
                "samples": 1, "median": ns, "p95": ns, "min": ns, "checksum": checksum,
            }
            if options.json:
                print(json.dumps(line), flush=True)
            else:
                print(f"{options.bench:8} {case:20} asyncio {ns:12.1f} {unit}")


main()
