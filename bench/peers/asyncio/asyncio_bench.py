#!/usr/bin/env python3
"""The benchmarks spawn, yield, offload, skynet, channel and timers with Python's asyncio.

Usage: asyncio_bench.py --bench NAME [--size N] [--runs N] [--warmup N] [--workers N] [--uvloop]
                        [--json]

The cases, units and lines are those of bench/<name>_bench.c. One event loop is one thread, whatever
--workers says. Results are checked: a wrong one ends the program with status 1. --uvloop puts
uvloop in place of asyncio's own loop (see peers/uvloop).
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import time

WINDOW = 256
CHANNEL_ROOM = 128
# see bench/common/bench_timers.h
BUDGET_NS, FAR_NS, APART_NS = 6000, 600 * 10**9, {"armed": 3000, "burst": 20}
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


async def skynet(first, leaves):
    """Every node is a task; see bench/skynet_bench.c."""
    if leaves == 1:
        return first
    each = leaves // 10
    tasks = [asyncio.create_task(skynet(first + i * each, each)) for i in range(10)]
    return sum([await task for task in tasks])


def leaves_of(size):
    leaves = 1
    while leaves * 10 <= size:
        leaves *= 10
    return leaves


def tasks_of(size):
    return (leaves_of(size) * 10 - 1) // 9


async def channel(size, ends):
    """--size numbers through a queue with room for 128, by so many senders and receivers."""
    queue, each = asyncio.Queue(CHANNEL_ROOM), size // ends

    async def send(first):
        for i in range(first, first + each):
            await queue.put(i)

    async def receive():
        total = 0
        for _ in range(each):
            total += await queue.get()
        return total

    senders = [asyncio.create_task(send(i * each + 1)) for i in range(ends)]
    total = sum(await asyncio.gather(*(receive() for _ in range(ends))))
    await asyncio.gather(*senders)
    return total


def randoms(state):
    """bench_random() of bench/common/bench.c."""
    while True:
        state ^= state << 13 & 2**64 - 1
        state ^= state >> 7
        state ^= state << 17 & 2**64 - 1
        yield state


async def timers(size, case, report):
    """Timers of the loop, with a callback each; see bench/common/bench_timers.h."""
    loop, source, late = asyncio.get_running_loop(), randoms(1), [None] * size
    first = time.monotonic_ns() + 200_000_000 + size * BUDGET_NS
    deadlines = [first + next(source) % (size * APART_NS[case]) + i % 2 * FAR_NS
                 for i in range(size)]
    left, done = size - size // 2, loop.create_future()
    offset = loop.time() - time.monotonic_ns() / 1e9  # libuv counts from its own start

    def fire(i):
        nonlocal left
        late[i] = (time.monotonic_ns() - deadlines[i]) / 1e3
        left -= 1
        if left == 0:
            done.set_result(None)

    start, cpu = time.monotonic_ns(), time.process_time_ns()
    handles = [loop.call_at(deadline / 1e9 + offset, fire, i)
               for i, deadline in enumerate(deadlines)]
    armed = time.monotonic_ns()
    for handle in handles[1::2]:
        handle.cancel()
    cancelled = time.monotonic_ns()
    await done
    report("arm", "ns/timer", [(armed - start) / size])
    report("cancel", "ns/timer", [(cancelled - armed) / max(1, size // 2)])
    report("cpu", "ns/timer", [(time.process_time_ns() - cpu) / size])
    if cancelled <= first:  # else arming took too long for it to mean anything
        report("late", "us", late[::2])
        if case == "burst":
            last = max(deadline + us * 1e3 for deadline, us in zip(deadlines[::2], late[::2]))
            report("fire", "ns/timer", [(last - first) / (size - size // 2)])
    return check("timers cancelled", late[1::2].count(None), size // 2)


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
    "skynet": [
        ("tasks", lambda size: skynet(0, leaves_of(size)), lambda size: sum_to(leaves_of(size) - 1),
         "ns/task"),
    ],
    "channel": [
        (f"{n} to {n}", lambda size, n=n: channel(size, n), lambda size, n=n: sum_to(size // n * n),
         "ns/message")
        for n in (1, 4)
    ],
    "timers": [],
}


def run_loop(options, coroutine):
    """Runs it on a loop of its own."""
    if not options.uvloop:
        return asyncio.run(coroutine)
    import uvloop  # absent unless the peer uvloop is wanted

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


def print_line(options, case, run, checksum, metric, unit, samples):
    if run < 0:
        return
    samples = sorted(samples)
    median, p95 = samples[len(samples) // 2], samples[(len(samples) * 95 - 1) // 100]
    by = "uvloop" if options.uvloop else "asyncio"
    line = {
        "bench": options.bench, "case": case, "by": by,
        "commit": os.environ.get("SKUA_BENCH_COMMIT", "unknown"),
        "kernel": platform.release(), "machine": platform.machine(),
        "compiler": f"Python {platform.python_version()}", "cpus": os.cpu_count(),
        "workers": 1, "size": options.size, "run": run, "metric": metric, "unit": unit,
        "samples": len(samples), "median": median, "p95": p95, "min": samples[0],
        "checksum": checksum,
    }
    if options.json:
        print(json.dumps(line), flush=True)
    else:
        print(f"{options.bench:8} {case:20} {by} {metric:8} {median:12.1f} {unit}")


def run_case(options, run, case, function, expected, unit):
    size = options.size * (MANY if case == "many" else 1)
    start = time.monotonic_ns()
    result = run_loop(options, function(size))
    ns = time.monotonic_ns() - start
    checksum = check(case, result, expected(size))
    each = tasks_of(size) if case == "tasks" else size
    print_line(options, case, run, checksum, "time", unit, [ns / each])


def run_timers(options, run):
    fired = options.size - options.size // 2
    for case in APART_NS:
        run_loop(options, timers(options.size, case, lambda *figures, case=case: print_line(
            options, case, run, fired, *figures)))


def main():
    parser = argparse.ArgumentParser(description="asyncio's side of the benchmarks")
    parser.add_argument("--bench", choices=CASES, required=True)
    parser.add_argument("--size", type=int, default=100000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for run in range(-options.warmup, options.runs):
        for case in CASES[options.bench]:
            run_case(options, run, *case)
        if options.bench == "timers":
            run_timers(options, run)


main()
