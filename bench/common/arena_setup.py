"""Makes the programs: installs packages, looks for what peers need, builds everything.

Every program in C and C++ is built with FLAGS by the compiler that builds Skua, unless a manifest
asks for another. A peer that cannot be had gets a reason in `missing`; one that does not compile
gets one in `broken`, which is a failure. Neither keeps the others from running.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys

FLAGS = ["-O3", "-DNDEBUG"]
LANGUAGE_FLAGS = {"c": ["-std=c17", "-D_GNU_SOURCE"], "c++": ["-std=c++17"]}
WARNINGS = ["-Wall", "-Wextra"]
BASE_PACKAGES = [
    "gcc", "g++", "libc6-dev", "cmake", "ninja-build", "pkg-config", "liburing-dev", "libssl-dev",
    "libxxhash-dev", "python3",
]
# Programs of Skua's that are no workload's, and that a workload's driver uses.
HELPERS = ["bench_measure", "skua-sum", "skua-httpd"]
BUILD_DEADLINE_S = 1800


class Failed(Exception):
    """A command did not succeed; the text says why in one line."""


def say(text):
    print(f"bench_run: {text}", file=sys.stderr, flush=True)


def kill_group(process):
    """Ends a process that leads a group, and all it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()


# ---- packages ------------------------------------------------------------------------------------


def versions(packages):
    """{package: version} of those that are installed; None where there is no dpkg."""
    if not shutil.which("dpkg-query"):
        return None
    if not packages:
        return {}
    layout = "${Package} ${Version} ${db:Status-Status}\n"
    done = subprocess.run(["dpkg-query", "-W", "-f", layout, *packages], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=False)
    rows = [line.split() for line in done.stdout.splitlines()]
    return {row[0]: row[1] for row in rows if len(row) == 3 and row[2] == "installed"}


def absent(packages):
    have = versions(packages)
    return [] if have is None else [name for name in packages if name not in have]


def install(top, packages):
    """None, or why a package cannot be had."""
    done = subprocess.run([os.path.join(top, "tools/install_packages"), *packages],
                          stdout=sys.stderr, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0:
        return None
    lines = [line for line in done.stderr.splitlines() if line.startswith("packages: ")]
    return lines[-1][len("packages: "):] if lines else f"status {done.returncode}"


def install_all(top, units):
    """Installs what is absent; what cannot be had is noted in the units. Returns a note or None."""
    wanted = dict.fromkeys(BASE_PACKAGES + [name for unit in units for name in unit.packages])
    missing = absent(list(wanted))
    if not missing:
        return None
    say(f"installing {' '.join(missing)}")
    if install(top, missing) is None:
        return None
    # One that cannot be had must not keep the others away.
    tried = {}
    for unit in units:
        packages = tuple(absent(unit.packages))
        if packages and packages not in tried:
            tried[packages] = install(top, packages)
        unit.install_problem = tried.get(packages)
    base = absent(BASE_PACKAGES)
    return install(top, base) if base else None


# ---- needs ---------------------------------------------------------------------------------------


def succeeds(*command):
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False).returncode == 0
    except OSError:
        return False


def has(need, compilers):
    """True if a command, a pkg-config module, a Python module or a header is there."""
    kind, _, name = need.partition(":")
    if kind == "pkg-config" and name:
        return succeeds("pkg-config", "--exists", name)
    if kind == "python" and name:
        return succeeds(sys.executable, "-c", f"import {name}")
    if kind == "header" and name:
        return succeeds(compilers["c++"], "-E", "-include", name, "-x", "c++", "/dev/null")
    return shutil.which(need) is not None


def cache_of(build):
    """The variables in CMake's cache of a build directory."""
    try:
        with open(os.path.join(build, "CMakeCache.txt"), encoding="utf-8") as file:
            return dict(re.findall(r"^(\w+):\w+=(.*)$", file.read(), re.MULTILINE))
    except OSError:
        return {}


def compilers_of(build, compiler):
    """The commands for C and C++: Skua's, or those of a manifest's gcc, clang, gcc-12 ..."""
    if compiler is None:
        cache = cache_of(build)
        return {"c": cache.get("CMAKE_C_COMPILER", "gcc"),
                "c++": cache.get("CMAKE_CXX_COMPILER", "g++")}
    stem, dash, version = compiler.partition("-")
    plus = {"gcc": "g++", "clang": "clang++"}.get(stem, stem)
    return {"c": compiler, "c++": plus + dash + version}


def find_missing(unit, build):
    """Sets unit.missing to the reason if something it needs is not there."""
    compilers = compilers_of(build, unit.compiler)
    needs = list(unit.needs)
    if unit.peer.kind in compilers:
        needs.append(compilers[unit.peer.kind])
        needs += [f"pkg-config:{name}" for name in unit.modules]
    elif unit.peer.kind == "go":
        needs.append("go")
    lacking = [need for need in dict.fromkeys(needs) if not has(need, compilers)]
    if not unit.needs and not lacking:
        lacking = absent(unit.packages)
    if not lacking:
        return
    packages = absent(unit.packages)
    why = unit.install_problem or (f"Debian: {' '.join(packages)}" if packages else "")
    unit.missing = f"no {', no '.join(lacking)}" + (f" ({why})" if why else "")


# ---- building ------------------------------------------------------------------------------------


def first_error(lines):
    """Of what a compiler or CMake printed, the line that says most."""
    for pattern in (r"\berror: (?!ld returned)|undefined reference", r"\berror\b", r""):
        for line in lines:
            if re.search(pattern, line, re.IGNORECASE):
                return line
    return None


class Builder:
    """Builds into one directory, keeps a log, and builds again only what has changed."""

    def __init__(self, top, build, bench):
        self.top, self.build, self.bench = top, build, bench
        self.out = os.path.join(build, "bench", "peers")
        self.log_path = os.path.join(build, "bench-build.log")
        os.makedirs(self.out, exist_ok=True)
        with open(self.log_path, "w", encoding="utf-8"):
            pass

    def run(self, command, env=None):
        """Raises Failed with the first error the command printed."""
        with open(self.log_path, "a", encoding="utf-8") as log:
            log.write(f"$ {shlex.join(command)}\n")
        try:
            process = subprocess.Popen(
                command, cwd=self.top, env={**os.environ, **(env or {})}, text=True,
                errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, start_new_session=True)
        except OSError as error:
            raise Failed(f"{command[0]}: {error.strerror}") from None
        try:
            output, _ = process.communicate(timeout=BUILD_DEADLINE_S)
        except BaseException as error:
            kill_group(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise Failed(f"{command[0]} took more than {BUILD_DEADLINE_S} s") from None
            raise
        with open(self.log_path, "a", encoding="utf-8") as log:
            log.write(output)
        if process.returncode != 0:
            lines = [line.strip() for line in output.splitlines() if line.strip()]
            raise Failed(first_error(lines) or f"status {process.returncode}")

    # Skua and its own programs, by CMake.

    def build_skua(self, targets):
        """{target: why it was not built}; raises Failed if nothing can be built."""
        flags = " ".join(FLAGS)
        self.run(["cmake", "--preset", "release", "-B", self.build, "-DSKUA_BUILD_BENCH=ON",
                  "-DSKUA_BUILD_TOOLS=ON", "-DCMAKE_C_FLAGS=", "-DCMAKE_CXX_FLAGS=",
                  f"-DCMAKE_C_FLAGS_RELEASE={flags}", f"-DCMAKE_CXX_FLAGS_RELEASE={flags}"])
        try:
            self.run(["cmake", "--build", self.build])
            return {}
        except Failed:
            broken = {}
        # Something does not compile: what depends on it must not be run as it was before.
        self.run(["cmake", "--build", self.build, "--target", "skua"])
        for target in targets:
            try:
                self.run(["cmake", "--build", self.build, "--target", target])
            except Failed as error:
                broken[target] = str(error)
        return broken

    # Peers.

    def is_fresh(self, output, stamp):
        try:
            with open(output + ".stamp", encoding="utf-8") as file:
                return os.path.exists(output) and file.read() == stamp
        except OSError:
            return False

    def make(self, output, command, inputs, env=None, extra=None):
        """Runs @command unless @output was made by it from these inputs."""
        times = {path: os.stat(path).st_mtime_ns for path in inputs}
        stamp = json.dumps([command, times, extra], sort_keys=True)
        if self.is_fresh(output, stamp):
            return
        for path in (output, output + ".stamp"):
            if os.path.exists(path):
                os.unlink(path)
        os.makedirs(os.path.dirname(output), exist_ok=True)
        self.run(command, env)
        with open(output + ".stamp", "w", encoding="utf-8") as file:
            file.write(stamp)

    def files(self, folder):
        return sorted(entry.path for entry in os.scandir(folder)
                      if entry.is_file() and not entry.name.endswith((".pyc", "~")))

    def common_objects(self, compiler):
        """bench.c and bench_file.c by the compiler that a peer uses: they name it in the lines."""
        folder = os.path.join(self.out, "common-" + re.sub(r"\W+", "_", compiler))
        objects = []
        for name in ("bench", "bench_file"):
            output = os.path.join(folder, name + ".o")
            source = os.path.join(self.bench, "common", name + ".c")
            self.make(output, [compiler, *LANGUAGE_FLAGS["c"], *FLAGS, *WARNINGS, "-c", source,
                               "-o", output], self.files(os.path.join(self.bench, "common")))
            objects.append(output)
        return objects

    def pkg_config(self, option, modules):
        if not modules:
            return []
        done = subprocess.run(["pkg-config", option, *modules], stdout=subprocess.PIPE, text=True,
                              check=False)
        return shlex.split(done.stdout)

    def compile(self, unit, output, sources):
        kind = unit.peer.kind
        compilers = compilers_of(self.build, unit.compiler)
        objects = self.common_objects(compilers["c"])
        command = [
            compilers[kind], *LANGUAGE_FLAGS[kind], *FLAGS, *WARNINGS, f"-I{self.bench}",
            *unit.flags, *self.pkg_config("--cflags", unit.modules), *sources, *objects,
            "-o", output, *self.pkg_config("--libs", unit.modules),
            *(f"-l{name}" for name in unit.libraries), "-pthread", "-lm",
        ]
        inputs = self.files(unit.peer.folder) + self.files(os.path.join(self.bench, "common"))
        self.make(output, command, inputs, extra=versions(unit.packages))

    def compile_go(self, unit, output, sources):
        env = {"GO111MODULE": "off", "GOFLAGS": "", "GOCACHE": os.path.join(self.build, "go-cache")}
        self.make(output, ["go", "build", "-o", output, *sources], self.files(unit.peer.folder),
                  env, versions(unit.packages))

    def command_of(self, unit, program):
        """The command line that starts a program once it is built."""
        kind, folder = unit.peer.kind, unit.peer.folder
        if kind in ("python", "none"):
            path = os.path.join(folder, unit.peer.programs[program][0])
            return [sys.executable, path] if path.endswith(".py") else [path]
        return [os.path.join(self.out, unit.peer.library, unit.slug, program)]

    def build_unit(self, unit, can_build):
        """Fills unit.built and unit.broken."""
        for program, names in unit.peer.programs.items():
            command = self.command_of(unit, program)
            sources = [os.path.join(unit.peer.folder, name) for name in names]
            try:
                if not can_build and not os.path.exists(command[-1]):
                    raise Failed("not built, and --no-build was given")
                if can_build and unit.peer.kind in ("c", "c++"):
                    self.compile(unit, command[0], sources)
                elif can_build and unit.peer.kind == "go":
                    self.compile_go(unit, command[0], sources)
                unit.built[program] = command
            except Failed as error:
                unit.broken[program] = str(error)


def build_peers(builder, units, can_build):
    for unit in units:
        if unit.missing is None:
            builder.build_unit(unit, can_build)
            for program, why in unit.broken.items():
                say(f"{unit.name}: {program} does not build: {why}")
