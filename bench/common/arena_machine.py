"""What stands in the first of the lines: the machine, the versions, the commit, the command."""

import datetime
import os
import platform
import shutil
import subprocess

import arena_setup


def first_line(*command):
    """The first line a command prints; None if it cannot be run."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, errors="replace", check=False)
    except OSError:
        return None
    lines = done.stdout.splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else None


def field_of(path, name, separator=":"):
    """The value of the first 'name : value' in a file."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(separator)
                if key.strip() == name:
                    return value.strip().strip('"')
    except OSError:
        pass
    return None


def memory_gib(name="MemTotal"):
    value = field_of("/proc/meminfo", name)
    return round(int(value.split()[0]) / 2**20, 1) if value else None


def commit_of(top):
    commit = first_line("git", "-C", top, "rev-parse", "--short=12", "HEAD")
    if commit is None:
        return "unknown"
    return commit + ("-dirty" if first_line("git", "-C", top, "status", "--porcelain") else "")


def compilers(build, units):
    """{command: its first line of --version} of every compiler that was used."""
    found = {}
    for unit in units:
        if unit.peer.kind in ("c", "c++") and unit.built:
            command = arena_setup.compilers_of(build, unit.compiler)[unit.peer.kind]
            found[os.path.basename(command)] = first_line(command, "--version")
    for command in arena_setup.compilers_of(build, None).values():
        found[os.path.basename(command)] = first_line(command, "--version")
    if shutil.which("go"):
        found["go"] = first_line("go", "version")
    found["python"] = f"Python {platform.python_version()}"
    return {name: version for name, version in sorted(found.items()) if version}


def describe_unit(unit):
    text = {"library": unit.peer.library, "packages": arena_setup.versions(unit.packages) or {}}
    if unit.flags:
        text["flags"] = " ".join(unit.flags)
    if unit.env:
        text["env"] = unit.env
    if unit.missing:
        text["missing"] = unit.missing
    return text


def describe(options, table, units, commit):
    """The machine's line. With what a reader of the lines needs to know of the workloads."""
    return {
        "machine_line": True,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "commit": commit,
        "command": options.command,
        "cpu": field_of("/proc/cpuinfo", "model name") or platform.processor() or "unknown",
        "virtual": "hypervisor" in (field_of("/proc/cpuinfo", "flags") or ""),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": memory_gib(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "distribution": field_of("/etc/os-release", "PRETTY_NAME", "=") or "unknown",
        "flags": " ".join(arena_setup.FLAGS),
        "compilers": compilers(options.build, units),
        "packages": arena_setup.versions(["libc6", "liburing2", "libssl3"]) or {},
        "peers": {unit.name: describe_unit(unit) for unit in units},
        "runs": options.runs,
        "workers": options.workers,
        "quick": options.quick,
        "load": os.getloadavg()[0],
        "bigger_is_better": sorted(table.bigger_is_better),
        "questions": {workload.name: workload.question for workload in table.workloads},
    }
