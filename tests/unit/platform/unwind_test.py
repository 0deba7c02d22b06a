#!/usr/bin/env python3
"""Backtraces inside contexts end at their entry, at every instruction of a switch.

Usage: tests/unit/platform/unwind_test.py

Builds unwind_target.c with two compilers, stops gdb in a function called in a context, then steps
one instruction at a time through a switch into a fresh context, a switch back and one more switch,
and looks at the backtrace of each stop: it must go through one known chain of functions, whole.
Builds with frame pointers also let the program walk them itself. Exits with 77 (skipped) without
gdb.
"""
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
SOURCES = ["tests/unit/platform/unwind_target.c", "src/platform/ctx.c", "src/base/check.c",
           "src/platform/ctx_%s.S" % platform.machine()]
FLAGS = ["-std=c17", "-D_GNU_SOURCE", "-g", "-fno-omit-frame-pointer", "-Isrc", "-Iinclude"]
SKIPPED = 77
STEPS_MAX = 400

# Runs inside gdb. Prints, for each stop, the functions from the innermost outwards.
STEPPER = """
import gdb

def frames():
    names = []
    frame = gdb.newest_frame()
    while frame is not None and len(names) < 30:
        names.append(frame.name() or "?")
        last, frame = frame, frame.older()
    return " ".join(names), gdb.frame_stop_reason_string(last.unwind_stop_reason())

def show(title):
    print("STOP %%s | %%s | %%s" %% ((title,) + frames()))

gdb.execute("break task_inner")
gdb.execute("run")
show("break")
gdb.execute("bt")
gdb.execute("delete")
gdb.execute("break before_switches")
gdb.execute("run")
for step in range(%d):
    gdb.execute("stepi", to_string=True)
    show("step")
    if gdb.newest_frame().name() == "after_switches":
        break
gdb.execute("kill")
"""

# The chains that may be seen, innermost first; "swap" and "start" only at the right places.
CHAINS = [
    r"(before_switches |after_switches |skua_ctx_init |stack_init |frame_init |memset )?"
    r"(skua_ctx_swap_frame |skua_ctx_swap |skua_ctx_switch )*main",
    r"(skua_ctx_(swap_frame|swap|switch|leave) |walk_frames |task_inner |task_outer )*"
    r"task_entry skua_ctx_start",
    r"(skua_ctx_swap_frame )?skua_ctx_start",
]
# Only frames of libc's start may follow main.
MAIN_TAIL = r"( __libc_start_call_main| __libc_start_main\S*| _start)*$"


def complain(text):
    """Says what is wrong and gives up."""
    print("FAILED: " + text)
    sys.exit(1)


def is_known(chain):
    """Whether @chain is one of CHAINS, whole."""
    return any(re.match("^" + known + (MAIN_TAIL if known.endswith("main") else "$"), chain)
               for known in CHAINS)


def check_stops(output):
    """Judges every stop of the stepper. Returns how many there were, by function."""
    seen = {}
    for line in re.findall(r"^STOP (.*)$", output, re.M):
        title, chain, reason = line.split(" | ")
        if title == "break" and chain != "task_inner task_outer task_entry skua_ctx_start":
            complain("at the breakpoint: " + line)
        if not is_known(chain) or "corrupt" in reason or "inner to this" in reason:
            complain("backtrace: %s" % line)
        seen[chain.split()[0]] = seen.get(chain.split()[0], 0) + 1
    return seen


def run_gdb(program, directory):
    """Steps through @program. Returns what gdb printed."""
    script = os.path.join(directory, "stepper.py")
    with open(script, "w", encoding="utf-8") as file:
        file.write(STEPPER % STEPS_MAX)
    command = ["gdb", "-nx", "-q", "-batch", "-ex", "set debuginfod enabled off",
               "-ex", "set confirm off", "-ex", "source " + script, program]
    result = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            timeout=60)
    return result.stdout


def test(compiler, flags, directory):
    """Everything for one build."""
    program = os.path.join(directory, "unwind_target")
    subprocess.run([compiler] + FLAGS + flags + SOURCES + ["-o", program], cwd=ROOT, check=True)
    walk = subprocess.run([program], text=True, stdout=subprocess.PIPE, timeout=60)
    if walk.returncode != 0 and "-fomit-frame-pointer" not in flags:
        complain("%s %s: the frame pointer walk does not end: %s"
                 % (compiler, " ".join(flags), walk.stdout))
    output = run_gdb(program, directory)
    seen = check_stops(output)
    if "corrupt" in output or seen.get("skua_ctx_swap_frame", 0) < 3 * 20:
        complain("%s: too few stops in the switch, or a corrupt stack:\n%s" % (compiler, output))
    if "after_switches" not in seen or "skua_ctx_start" not in seen:
        complain("%s: did not step through the switches:\n%s" % (compiler, output))
    print("ok %s %s: %d stops, %d of them in the switch" %
          (compiler, " ".join(flags), sum(seen.values()), seen["skua_ctx_swap_frame"]))
    print(re.search(r"(#0 .*\n)(#.*\n)*", output).group(0), end="")


def main():
    """Tests every compiler that is installed."""
    if shutil.which("gdb") is None:
        print("skipped: gdb is not installed")
        return SKIPPED
    for compiler in ("gcc", "clang"):
        if shutil.which(compiler) is None:
            print("skipped %s: not installed" % compiler)
            continue
        for flags in (["-O2", "-gdwarf-4"], ["-O0", "-gdwarf-4"],
                      ["-O2", "-gdwarf-4", "-fomit-frame-pointer"]):
            with tempfile.TemporaryDirectory() as directory:
                test(compiler, flags, directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
