#!/usr/bin/env python3
"""The table of README.md: every case of CPython's tests, and the scenario it has become.

Usage: cases.py            prints the table
       cases.py --write    puts it into README.md
       cases.py --missing  lists the cases of an installed CPython 3.11 that nothing mentions

Cases that have become none stand in without.txt, with the reason.
"""
import ast
import collections
import pathlib
import sys

import scenario as texts

# The files, and the parts of them that are about what Skua has; None: all.
CALLS = {"test_call_soon", "test_call_later", "test_call_soon_threadsafe", "test_run_in_executor",
         "test_call_soon_threadsafe_same_thread", "test_run_in_executor_cancel",
         "test_run_until_complete", "test_run_until_complete_nesting",
         "test_run_until_complete_stopped", "test_timeout_rounding", "test_prompt_cancellation",
         "test_call_later_negative_delays", "test_time_and_call_at", "test_call_coroutine",
         "test_call_soon_non_callable", "test_run_until_complete_loop", "test_create_task",
         "test_handle", "test_timer", "test_when", "test_running_loop_within_a_loop"}
COVERED = {"test_tasks": None, "test_locks": None, "test_queues": None, "test_futures": None,
           "test_futures2": None, "test_taskgroups": None, "test_timeouts": None,
           "test_waitfor": None, "test_runners": None, "test_threads": None, "test_events": CALLS,
           "test_base_events": CALLS}
# Releases of CPython 3.11 differ: these came after 3.11.2, which is Debian 12's.
LATER = {
    "test_taskgroups.TestTaskGroup": [
        "test_taskgroup_already_entered", "test_taskgroup_double_enter",
        "test_taskgroup_finished", "test_taskgroup_not_entered",
        "test_taskgroup_without_parent_task"],
    "test_timeouts.TimeoutTests": [
        "test_cancel_in_timeout_after_cancellation", "test_timeout_after_cancellation",
        "test_timeout_already_entered", "test_timeout_double_enter",
        "test_timeout_exception_cause", "test_timeout_expired", "test_timeout_expiring",
        "test_timeout_finished", "test_timeout_not_entered", "test_timeout_without_task"]}
BEGIN, END = "<!-- table: cases.py --write -->\n", "<!-- end of table -->\n"
FOLDERS = [pathlib.Path("/usr/lib/python3.11/test/test_asyncio"),
           pathlib.Path(sys.prefix) / "lib/python3.11/test/test_asyncio"]


def folder_of_cpython():
    return next((folder for folder in FOLDERS if (folder / "test_tasks.py").is_file()), None)


def cases_of(name, tree):
    """The cases of a file, "file.Class.test"."""
    wanted = COVERED[name]
    return {
        f"{name}.{group.name}.{test.name}"
        for group in tree.body if isinstance(group, ast.ClassDef)
        for test in group.body if isinstance(test, (ast.FunctionDef, ast.AsyncFunctionDef))
        if test.name.startswith("test_") and (wanted is None or test.name in wanted)
    }


def later():
    return {f"{group}.{test}" for group, tests in LATER.items() for test in tests}


def ported():
    """{case: [scenario names]}"""
    found = collections.defaultdict(list)
    for path in texts.paths():
        for scenario in texts.read(path):
            for case in scenario.cases:
                found[case].append(scenario.name)
    return found


def without():
    """{case: reason}, from lines "test...: reason" under "[file.Class]"."""
    found, group = {}, ""
    for line in (texts.HERE / "without.txt").read_text().splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("["):
            group = line.strip("[]")
        elif line:
            names, _, reason = line.partition(": ")
            for name in names.split():
                found[f"{group}.{name}"] = reason
    return found


def known():
    return set(ported()) | set(without())


def table():
    rows = {case: ", ".join(f"`{name}`" for name in merged(names))
            for case, names in ported().items()}
    for case, reason in without().items():
        rows[case] = (rows[case] + "; the rest: " if case in rows else "no counterpart: ") + reason
    lines, group = [], None
    for case in sorted(rows):
        this, _, test = case.rpartition(".")
        if this != group:
            lines += ["", f"### {this}", "", "| case | scenario |", "|---|---|"]
            group = this
        lines.append(f"| {test} | {rows[case]} |")
    return "\n".join(lines[1:]) + "\n"


def merged(names):
    """Variants of one scenario by its name alone."""
    return list(dict.fromkeys(name.partition("/")[0] for name in names))


def written_table():
    return (texts.HERE / "README.md").read_text().partition(BEGIN)[2].partition(END)[0]


def main():
    if sys.argv[1:] == ["--write"]:
        path = texts.HERE / "README.md"
        before, _, rest = path.read_text().partition(BEGIN)
        path.write_text(before + BEGIN + table() + END + rest.partition(END)[2])
    elif sys.argv[1:] == ["--missing"]:
        folder = folder_of_cpython()
        for name in COVERED:
            tree = ast.parse((folder / f"{name}.py").read_text())
            for case in sorted(cases_of(name, tree) - known()):
                print(case)
    else:
        print(table())


if __name__ == "__main__":
    main()
