#!/usr/bin/env python3
"""Builds contexts for each dynamic checker: correct code is clean, planted bugs are found.

Usage: tests/sanitizer/run.py [build directory]

One line for each case. A compiler or checker that is not installed is skipped by name. Returns 1
if a case went wrong.
"""
import os
import platform
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FLAGS = ["-std=c17", "-D_GNU_SOURCE", "-gdwarf-4", "-O1", "-fno-omit-frame-pointer", "-Wall",
         "-Wextra", "-Isrc", "-Iinclude", "-Itests", "-pthread"]
LIBRARY = ["src/platform/ctx.c", "src/platform/tls.c", "src/base/check.c",
           "src/platform/ctx_%s.S" % platform.machine()]
PROGRAMS = {
    "planted": ["tests/sanitizer/planted.c"],
    "scenarios": ["tests/unit/platform/ctx_cross_test.c", "tests/support/ctx_shim.c"],
}
TIMEOUT_S = 40

# Checker, how to build for it, and cases: program, argument, what the report must say (None: it
# must be clean).
CHECKERS = {
    "asan": (["-fsanitize=address,undefined", "-fno-sanitize=object-size"], [
        ("scenarios", None, None),
        ("planted", "clean", None),
        ("planted", "abandoned", None),
        ("planted", "moved", None),
        ("planted", "stack_overflow", "stack-buffer-overflow"),
        ("planted", "use_after_return", "stack-use-after-return"),
    ]),
    "tsan": (["-fsanitize=thread"], [
        ("scenarios", None, None),
        ("planted", "clean", None),
        ("planted", "abandoned", None),
        ("planted", "moved", None),
        ("planted", "data_race", "data race"),
        ("planted", "moved_unordered", "data race"),
    ]),
    "valgrind": ([], [
        ("scenarios", None, None),
        ("planted", "clean", None),
        ("planted", "abandoned", None),
        ("planted", "moved", None),
        ("planted", "use_after_return", "Invalid write"),
        ("planted", "uninitialised", "uninitialised value"),
    ]),
}
REPORT_MARKS = ("Sanitizer", "runtime error:", "WARNING:", "== Invalid", "uninitialised value")



def environment_of(argument):
    """Locals live on ASan's own heap with detect_stack_use_after_return, else on the stack."""
    fake_stack = 0 if argument == "abandoned" else 1
    return dict(os.environ,
                ASAN_OPTIONS="detect_stack_use_after_return=%d:detect_leaks=1" % fake_stack,
                TSAN_OPTIONS="halt_on_error=0", UBSAN_OPTIONS="halt_on_error=1")


def build(compiler, checker, directory):
    """Compiles both programs. Returns their paths by name, or the compiler's complaint."""
    made = {}
    for name, sources in PROGRAMS.items():
        made[name] = os.path.join(directory, "%s-%s-%s" % (name, compiler, checker))
        command = [compiler] + FLAGS + CHECKERS[checker][0] + sources + LIBRARY
        result = subprocess.run(command + ["-lm", "-o", made[name]], cwd=ROOT, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if result.returncode != 0:
            return result.stdout
    return made


def command_of(checker, program, argument):
    """The command line; TSan needs addresses that are not randomised too far."""
    command = [program] + ([argument] if argument else [])
    if checker == "valgrind":
        return ["valgrind", "-q", "--error-exitcode=9"] + command
    if checker == "tsan" and shutil.which("setarch"):
        return ["setarch", platform.machine(), "-R"] + command
    return command


def judge(command, environment, expected):
    """Runs a case. Returns what is wrong with its outcome, or None."""
    try:
        result = subprocess.run(command, env=environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return "still running after %d s" % TIMEOUT_S
    if expected is None:
        if result.returncode != 0 or any(mark in result.stdout for mark in REPORT_MARKS):
            return "not clean, status %d:\n%s" % (result.returncode, result.stdout[-3000:])
        return None
    if result.returncode == 0 or expected not in result.stdout:
        return "no \"%s\", status %d:\n%s" % (expected, result.returncode, result.stdout[-3000:])
    return None


def run_checker(compiler, checker, directory):
    """All cases of one build. Returns how many went wrong."""
    programs = build(compiler, checker, directory)
    if isinstance(programs, str):
        print("FAILED  %s %s: does not build:\n%s" % (compiler, checker, programs))
        return 1
    wrong = 0
    for program, argument, expected in CHECKERS[checker][1]:
        complaint = judge(command_of(checker, programs[program], argument),
                          environment_of(argument), expected)
        title = "%-5s %-8s %s" % (compiler, checker, argument or program)
        if complaint is None:
            print("ok      %-40s %s" % (title, "caught: " + expected if expected else "clean"))
        else:
            print("FAILED  %-40s %s" % (title, complaint))
            wrong += 1
    return wrong


def main():
    """Runs everything that is installed."""
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        directory = sys.argv[1] if len(sys.argv) > 1 else scratch
        for compiler in ("gcc", "clang"):
            if shutil.which(compiler) is None:
                print("skipped %s: not installed" % compiler)
                continue
            for checker in CHECKERS:
                if checker == "valgrind" and shutil.which("valgrind") is None:
                    print("skipped %s valgrind: not installed" % compiler)
                    continue
                wrong += run_checker(compiler, checker, directory)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
