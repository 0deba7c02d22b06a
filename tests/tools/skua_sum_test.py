#!/usr/bin/env python3
"""Tests of the program skua-sum, against coreutils' digest programs and xxhsum, byte for byte.

Usage: skua_sum_test.py PATH-OF-SKUA-SUM [unittest options]

Needs python3 and sha256sum; cases that need b2sum, sha512sum or xxhsum are skipped without them.
Nothing here sleeps to synchronise, and every process has a deadline.
"""
import fcntl
import os
import pty
import random
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
import unittest

SUM = None
DEADLINE_S = 60
ENV = dict(os.environ, LC_ALL="C.UTF-8")


def run(args, **kwargs):
    """Runs a program; returns (status, stdout, stderr with the program's name made skua-sum)."""
    kwargs.setdefault("stdin", subprocess.DEVNULL if "input" not in kwargs else None)
    if kwargs["stdin"] is None:
        del kwargs["stdin"]
    kwargs.setdefault("env", ENV)
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=DEADLINE_S, **kwargs)
    name = os.fsencode(os.path.basename(args[0]))
    err = re.sub(rb"(?m)^(Try ')?" + re.escape(name) + rb"(?=[: ])", rb"\1skua-sum", done.stderr)
    return done.returncode, done.stdout, err


def own(*args, **kwargs):
    return run([SUM, *args], **kwargs)


class SumTest(unittest.TestCase):
    maxDiff = 4000

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="skua-sum-")
        self.before = os.getcwd()
        os.chdir(self.dir)

    def tearDown(self):
        os.chdir(self.before)
        subprocess.run(["chmod", "-R", "u+rwx", self.dir], stderr=subprocess.DEVNULL)
        subprocess.run(["rm", "-rf", self.dir], check=True)

    def write(self, name, data=b""):
        directory = os.path.dirname(name)
        if directory:
            os.makedirs(directory, exist_ok=True)
        with open(name, "wb") as file:
            file.write(data)
        return name

    def make_files(self, seed=1):
        """Files of sizes around every boundary, in the order of their names."""
        rng = random.Random(seed)
        sizes = [0, 1, 55, 56, 63, 64, 65, 4095, 4096, 65535, 65536, 65537, 131072, 262143, 262144,
                 262145, 524288, 1048577, 2097151, 2097152, 2097153, 5 << 20]
        return [self.write("f%02d" % i, rng.randbytes(size)) for i, size in enumerate(sizes)]

    def need(self, program):
        if not shutil.which(program):
            self.skipTest("no " + program)

    def same(self, program, args, own_args, **kwargs):
        """Runs both and compares status, output and messages."""
        self.need(program)
        theirs = run([program, *args], **kwargs)
        if program == "xxhsum":  # wipes a progress line it never drew
            theirs = (*theirs[:2], theirs[2].strip(b" \r"))
        ours = own(*own_args, *args, **kwargs)
        self.assertEqual(ours, theirs, "%s %r" % (program, args))
        return ours


class Output(SumTest):
    def test_every_algorithm_gives_the_lines_of_its_program(self):
        files = self.make_files()
        for program, options, own_options in (
                ("sha256sum", [], []), ("sha512sum", [], ["-a", "sha512"]),
                ("b2sum", [], ["-a", "blake2b"]), ("xxhsum", ["-H1"], []), ("xxhsum", ["-H2"], []),
                ("xxhsum", ["-H3"], [])):
            if not shutil.which(program):
                continue
            for jobs in ("1", "2", "5"):
                self.same(program, options + files, own_options + ["-j", jobs])

    def test_algorithm_names_are_the_same_as_the_short_forms_of_xxhsum(self):
        name = self.write("a", b"hello")
        for short, long in (("-H1", "xxh64"), ("-H2", "xxh128"), ("-H3", "xxh3")):
            self.assertEqual(own(short, name), own("-a", long, name))

    def test_tags_zero_and_binary_are_those_of_coreutils(self):
        names = [self.write("plain", b"x"), self.write("back\\slash", b"y"),
                 self.write("new\nline", b"z"), self.write("car\rriage", b"w"),
                 self.write(" space", b"v")]
        for options in ([], ["--tag"], ["-z"], ["-b"], ["-t"], ["--tag", "-z"], ["-b", "-z"],
                        ["-t", "--tag"], ["--tag", "-b"]):
            self.same("sha256sum", options + names, [])
            self.same("b2sum", options + names, ["-a", "blake2b"])
        for options in (["-H1"], ["-H1", "--tag"], ["-H2", "--tag"], ["-H3"]):
            self.same("xxhsum", options + names[:1], [])

    def test_standard_input_is_read_without_names_and_for_a_dash(self):
        for args in ([], ["-"], ["-", "-"]):
            self.same("sha256sum", args, [], input=b"hello" * 100000)
        self.write("a", b"1")
        self.same("sha256sum", ["a", "-", "a", "-"], [], input=b"hello")
        for algorithm in ("-H1", "-H3"):
            self.same("xxhsum", [algorithm, "-"], [], input=b"hello")

    def test_names_in_messages_are_quoted_as_coreutils_quotes_them(self):
        rng = random.Random(7)
        alphabet = list("ab'\"\\ \n\t:~#{}?*$=@,%") + ["é", "\x01", "\x7f", "\u200b", "漢"]
        names = ["".join(rng.choices(alphabet, k=rng.randint(1, 6))) for _ in range(400)]
        names = [name for name in names if name not in ("-",) and not name.startswith("-")]
        raw = [os.fsencode(name) for name in names] + [b"\xff", b"a\xffb'", b"\xc3"]
        self.same("sha256sum", ["--", *raw], [])
        self.same("sha256sum", ["--", *raw], [], env=dict(os.environ, LC_ALL="C"))

    def test_files_with_short_reads_and_no_size_are_read_to_their_end(self):
        names = [name for name in ("/proc/version", "/proc/filesystems", "/proc/crypto")
                 if os.path.exists(name)]
        if not names:
            self.skipTest("no /proc")
        self.same("sha256sum", names * 3, [])

    def test_several_big_files_beside_small_ones_come_out_in_order(self):
        names = []
        for i in range(12):
            names.append(self.write("small%d" % i, b"%d" % i))
            names.append("big%d" % i)
            with open(names[-1], "wb") as file:
                file.truncate((i + 3) << 20)
                file.write(b"%d" % i)
        self.same("sha256sum", names, ["-j", "2"])
        self.same("sha256sum", names, ["-j", "1"])

    def test_a_length_of_blake2b_is_obeyed_or_refused_with_a_reason(self):
        self.need("b2sum")
        name = self.write("a", b"hello")
        self.same("b2sum", ["-l", "512", name], ["-a", "blake2b"])
        status, out, err = own("-a", "blake2b", "-l", "256", name)
        if status:
            self.assertEqual((status, out), (1, b""))
            self.assertIn(b"BLAKE2b of 512 bits only", err)
        else:
            self.same("b2sum", ["-l", "256", name], ["-a", "blake2b"])
            self.same("b2sum", ["-l", "256", "--tag", name], ["-a", "blake2b"])
        for bits in ("7", "x", "1024"):
            status, out, err = own("-a", "blake2b", "-l", bits, name)
            self.assertEqual((status, out), (1, b""))

    def test_wrong_use_is_explained_as_coreutils_does(self):
        self.write("a", b"")
        for args in (["--quiet", "a"], ["--status", "a"], ["--strict", "a"], ["-w", "a"],
                     ["--ignore-missing", "a"], ["--tag", "-t", "a"], ["--tag", "-c", "a"],
                     ["-z", "-c", "a"], ["-b", "-c", "a"], ["--foo"], ["-q"]):
            self.same("sha256sum", args, [])
        for args in (["-a", "md4", "a"], ["-j", "0", "a"], ["-j", "9999", "a"], ["-H7", "a"],
                     ["-l", "8", "a"], ["-r", "-c", "a"]):
            self.assertEqual(own(*args)[:2], (1, b""), args)

    def test_a_wrong_environment_is_named(self):
        for name, value, why in (("SKUA_ENGINE", "bogus", "neither uring nor epoll"),
                                 ("SKUA_WORKERS", "0", "not a number from 1 to ")):
            status, out, err = own("/dev/null", env={**ENV, "SKUA_WORKERS": "2", name: value})
            self.assertEqual((status, out), (1, b""))
            self.assertIn(b"skua-sum: cannot start: %s is '%s', %s"
                          % (name.encode(), value.encode(), why.encode()), err)

    def test_help_and_version_go_to_standard_output(self):
        for option in ("--help", "--version"):
            status, out, err = own(option)
            self.assertEqual((status, err), (0, b""))
            self.assertIn(b"skua-sum", out)

    def test_statistics_name_bytes_files_engine_and_workers(self):
        self.write("a", b"x" * 1000)
        self.write("b", b"x" * 24)
        status, out, err = own("--stats", "-j", "2", "a", "b")
        self.assertEqual((status, out.count(b"\n")), (0, 2))
        self.assertRegex(err, rb"1024 bytes, 2 files, [0-9.]+ s, [0-9.]+ MB/s, [0-9]+ files/s\n")
        self.assertRegex(err, rb"engine \S+ \(.*\), 2 workers\n")
        self.assertEqual(len(re.findall(rb"(?m)^skua-sum: worker [01]: tasks ", err)), 2)


class Failures(SumTest):
    def test_missing_files_and_directories_are_reported_and_the_rest_done(self):
        self.write("a", b"1")
        self.write("z", b"2")
        os.mkdir("dir")
        os.symlink("nowhere", "dangling")
        os.symlink("a", "link")
        self.same("sha256sum", ["a", "nope", "dir", "dangling", "link", "a/b", "", "z" * 5000, "z"],
                  [])

    def test_an_unreadable_file_is_reported(self):
        if os.geteuid() == 0:
            self.skipTest("root reads everything")
        self.write("a", b"1")
        self.write("secret", b"2")
        os.chmod("secret", 0)
        self.same("sha256sum", ["a", "secret", "a"], [])

    def test_an_unreadable_directory_is_reported_in_a_walk(self):
        if os.geteuid() == 0:
            self.skipTest("root reads everything")
        self.write("d/a", b"1")
        self.write("d/locked/b", b"2")
        self.write("d/z", b"3")
        os.chmod("d/locked", 0)
        status, out, err = own("-r", "d")
        self.assertEqual(status, 1)
        self.assertEqual([line[66:] for line in out.splitlines()], [b"d/a", b"d/z"])
        self.assertEqual(err, b"skua-sum: d/locked: Permission denied\n")

    def test_a_full_disk_is_an_error(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        files = self.make_files()
        with open("/dev/full", "wb") as full:
            done = subprocess.run([SUM, *files], stdout=full, stderr=subprocess.PIPE,
                                  timeout=DEADLINE_S)
        self.assertEqual((done.returncode, done.stderr),
                         (1, b"skua-sum: write error: No space left on device\n"))

    def test_a_closed_pipe_is_an_error(self):
        files = self.make_files() * 200
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([SUM, *files], stdout=writer, stderr=subprocess.PIPE,
                              timeout=DEADLINE_S)
        os.close(writer)
        self.assertEqual((done.returncode, done.stderr),
                         (1, b"skua-sum: write error: Broken pipe\n"))

    def test_closed_standard_streams_harm_nothing(self):
        self.write("a", b"1")
        done = subprocess.run(["sh", "-c", '"$0" a >&-', SUM], stderr=subprocess.PIPE,
                              timeout=DEADLINE_S)
        self.assertEqual((done.returncode, done.stderr),
                         (1, b"skua-sum: write error: Bad file descriptor\n"))
        done = subprocess.run(["sh", "-c", '"$0" a nope - <&- 2>&-', SUM], stdout=subprocess.PIPE,
                              timeout=DEADLINE_S)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout.count(b"\n"), 1)

    def test_few_descriptors_are_enough(self):
        for i in range(300):
            self.write("t/%03d/file" % i, b"%d" % i * 70000)
        self.assertEqual(own("-r", "t")[0], 0)

        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
        self.assertEqual(own("-r", "-j", "2", "t", preexec_fn=limit), own("-r", "t"))
        many = sorted("t/%03d/file" % i for i in range(300))
        self.assertEqual(own("-j", "2", *many, preexec_fn=limit), run(["sha256sum", *many]))


class Check(SumTest):
    def lists(self):
        """(program, own options, options, checksum file) for every format we can read."""
        self.make_files()
        names = sorted(os.listdir("."))[:12] + [self.write("back\\slash", b"y"),
                                                self.write("new\nline", b"z")]
        result = []
        for program, options in (("sha256sum", []), ("sha512sum", ["-a", "sha512"]),
                                 ("b2sum", ["-a", "blake2b"])):
            if not shutil.which(program):
                continue
            for i, extra in enumerate(([], ["--tag"], ["-b"])):
                name = "%s.%d" % (program, i)
                self.write(name, run([program, *extra, *names])[1])
                result.append((program, options, name))
        return result

    def test_good_lists_are_verified_as_by_their_program(self):
        for program, options, name in self.lists():
            for extra in ([], ["--quiet"], ["--status"], ["--strict"], ["-w"]):
                status, _, _ = self.same(program, [*extra, "-c", name], options)
                self.assertEqual(status, 0)

    def test_damage_gives_the_same_verdicts_warnings_and_status(self):
        lists = self.lists()
        self.write("f05", b"changed")
        self.write("back\\slash", b"changed")
        os.remove("f03")
        os.remove("new\nline")
        with open("f00", "wb"):
            pass
        for program, options, name in lists:
            with open(name, "ab") as file:
                file.write(b"rubbish\n# comment\n\nmore rubbish")
            for extra in ([], ["--quiet"], ["--status"], ["--strict"], ["-w"],
                          ["--ignore-missing"], ["--ignore-missing", "--quiet", "--strict"]):
                status, _, _ = self.same(program, [*extra, "-c", name, "nolist", name], options)
                self.assertEqual(status, 1)

    def test_both_streams_into_one_pipe_stay_in_order(self):
        self.lists()
        self.write("f05", b"changed")
        os.remove("f03")
        results = [subprocess.run([program, "-c", "-w", "sha256sum.0", "f01"], env=ENV,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=DEADLINE_S).stdout.replace(b"sha256sum: ", b"skua-sum: ")
                   for program in ("sha256sum", SUM)]
        self.assertEqual(results[1], results[0])

    def test_odd_lines_are_taken_or_refused_as_coreutils_does(self):
        self.write("a", b"hello")
        self.write(" a", b"hello")
        self.write("b (c) = d", b"hello")
        digest = run(["sha256sum", "a"])[1][:64]
        odd = [digest + b"  a\r", digest.upper() + b"  a", b"  " + digest + b"  a",
               digest + b" a", digest + b"\ta", digest + b"  ", digest + b" ", digest,
               digest[:-1] + b"  a", digest + b"0  a", b"\\" + digest + b"  a\\",
               b"\\" + digest + b"  a\\q", b"SHA256(a)= " + digest, b"SHA256 (a) = " + digest,
               b"SHA256 (a) =" + digest, b"SHA256 (a) = " + digest + b" ", b"SHA256 a = " + digest,
               b"SHA256 (b (c) = d) = " + digest, b"SHA512 (a) = " + digest,
               b"SHA256 () = " + digest, b"SHA256", b"SHA256 (", b"SHA256 (a", b"#", b"",
               b"\r", b"\\", b"\t",
               digest + b" *a", digest + b" *", digest + b"   a"]
        for line in odd:
            for text in (line + b"\n", line, line + b"\n" + digest + b"  a\n"):
                self.write("list", text)
                self.same("sha256sum", ["-c", "-w", "--strict", "list"], [])
        rng = random.Random(3)
        for _ in range(60):
            self.write("list", b"\n".join(rng.choices(odd, k=4)))
            self.same("sha256sum", ["-c", "-w", "list"], [])

    def test_odd_lines_of_b2sum_are_taken_or_refused_as_it_does(self):
        self.need("b2sum")
        self.write("a", b"hello")
        digest = run(["b2sum", "a"])[1][:128]
        # Not among them: coreutils 9.1 lets any one character follow the tag, "BLAKE2bx (a)".
        for line in (digest + b"  a", b"BLAKE2b (a) = " + digest, b"BLAKE2b-512 (a) = " + digest,
                     b"BLAKE2b-0 (a) = " + digest, b"BLAKE2b-513 (a) = " + digest,
                     b"BLAKE2b-x (a) = " + digest, digest + b"00  a",
                     digest[:3] + b"  a", b"x  a", b"BLAKE2b(a)= " + digest):
            self.write("list", line + b"\n")
            self.same("b2sum", ["-c", "-w", "list"], ["-a", "blake2b"])

    def test_lists_from_standard_input_and_files_that_cannot_be_lists(self):
        self.write("a", b"hello")
        good = run(["sha256sum", "a"])[1]
        for text in (good, b"", b"rubbish\n", good + good.replace(b"  a", b"  -")):
            self.same("sha256sum", ["-c"], [], input=text)
            self.same("sha256sum", ["-c", "-w", "-"], [], input=text)
            self.same("sha256sum", ["-c", "--status"], [], input=text)
        self.same("sha256sum", ["-c", "."], [])
        self.same("sha256sum", ["-c", "nope", "/dev/null"], [])
        self.write("missing", good.replace(b"  a", b"  b"))
        self.same("sha256sum", ["-c", "--ignore-missing", "missing"], [])
        self.write("dash", good.replace(b"  a", b"  -"))
        self.same("sha256sum", ["-c", "dash"], [], input=b"hello")

    def test_xxhash_lists_are_verified_here_and_by_xxhsum(self):
        self.need("xxhsum")
        names = self.make_files()[:10]
        for algorithm in ("-H1", "-H2", "-H3"):
            for extra in ([], ["--tag"]):
                self.write("list", own(algorithm, *extra, *names)[1])
                self.assertEqual(run(["xxhsum", "-c", "list"])[0], 0)
                status, out, err = own(algorithm, "-c", "list")
                self.assertEqual((status, out, err), (0, b"".join(
                    os.fsencode(name) + b": OK\n" for name in names), b""))
        self.write(names[3], b"changed")
        status, out, err = own("-H3", "-c", "--quiet", "list")
        self.assertEqual((status, out, err), (1, os.fsencode(names[3]) + b": FAILED\n",
                         b"skua-sum: WARNING: 1 computed checksum did NOT match\n"))

    def test_a_very_long_list_is_verified(self):
        self.write("a", b"hello")
        line = run(["sha256sum", "a"])[1]
        self.write("list", line * 20000)
        status, out, err = own("-c", "list")
        self.assertEqual((status, out, err), (0, b"a: OK\n" * 20000, b""))
        self.write("list", b"x" * 3000000 + b"\n" + line)
        self.same("sha256sum", ["-c", "-w", "list"], [])


class Trees(SumTest):
    def names(self, *args):
        status, out, err = own("-r", *args)
        return status, [line[66:].decode() for line in out.splitlines()], err

    def test_files_come_sorted_by_byte_order_in_each_directory(self):
        for name in ("t/b", "t/a/z", "t/a/B", "t/a.b", "t/é", "t/Z", "t/a/y/q", "t/_"):
            self.write(name, name.encode())
        status, names, err = self.names("t")
        self.assertEqual((status, err), (0, b""))
        self.assertEqual(names, ["t/Z", "t/_", "t/a/B", "t/a/y/q", "t/a/z", "t/a.b", "t/b", "t/é"])
        self.assertEqual(self.names("t/")[1], names)
        self.assertEqual(self.names("./t//", "t/b")[1][-1], "t/b")
        self.assertEqual(self.names(".")[1], ["./" + name for name in names])

    def test_links_are_skipped_unless_followed_and_loops_are_found(self):
        self.write("t/a", b"1")
        self.write("t/sub/b", b"2")
        self.write("out/c", b"3")
        os.symlink("a", "t/link")
        os.symlink("../out", "t/outside")
        os.symlink("..", "t/sub/up")
        os.symlink("nowhere", "t/wrong")
        for option in ([], ["-P"], ["-L", "-P"]):
            self.assertEqual(self.names(*option, "t"), (0, ["t/a", "t/sub/b"], b""))
        status, names, err = self.names("-L", "t")
        self.assertEqual((status, names), (1, ["t/a", "t/link", "t/outside/c", "t/sub/b"]))
        self.assertEqual(err, b"skua-sum: t/sub/up: Too many levels of symbolic links\n"
                              b"skua-sum: t/wrong: No such file or directory\n")
        os.symlink("t", "root")
        self.assertEqual(self.names("root")[1], ["root/a", "root/sub/b"])

    def test_special_files_in_a_tree_are_skipped(self):
        self.write("t/a", b"1")
        os.mkfifo("t/fifo")
        self.assertEqual(self.names("t"), (0, ["t/a"], b""))

    def test_names_that_are_no_directories_are_what_they_are_without_recursion(self):
        self.write("a", b"1")
        os.mkdir("empty")
        self.same("sha256sum", ["a", "nope", "-"], ["-r"], input=b"x")
        self.assertEqual(self.names("empty"), (0, [], b""))

    def test_a_tree_of_many_files_matches_sha256sum_in_bounded_memory(self):
        rng = random.Random(5)
        names = []
        for i in range(3000):
            names.append(self.write("t/d%02d/e%d/f%04d" % (i % 50, i % 3, i),
                                    rng.randbytes(rng.choice((0, 10, 3000, 70000)))))
        names.sort(key=lambda name: name.split("/"))
        theirs = run(["sha256sum", *names])
        for jobs in ("1", "2", "4"):
            child = subprocess.Popen([SUM, "-r", "-j", jobs, "t"], stdout=subprocess.PIPE)
            out = child.stdout.read()
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = status
            child.stdout.close()
            self.assertEqual((status, out), (0, theirs[1]))
            if "SKUA_SUM_TEST_NO_RSS" not in os.environ:
                self.assertLess(usage.ru_maxrss, 64 << 10)

    def test_a_directory_with_more_names_than_one_pass_keeps_is_sorted(self):
        os.mkdir("t")
        names = ["t/%05d%s" % (i * 7919 % 24001, "x" * 190) for i in range(24000)]
        for name in names:
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
        child = subprocess.Popen([SUM, "-r", "t"], stdout=subprocess.PIPE)
        out = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = status
        child.stdout.close()
        self.assertEqual([line[66:].decode() for line in out.splitlines()], sorted(names))
        self.assertEqual(status, 0)
        if "SKUA_SUM_TEST_NO_RSS" not in os.environ:
            self.assertLess(usage.ru_maxrss, 64 << 10)

    def test_a_tree_deeper_than_a_path_can_say_ends_in_a_message(self):
        top = os.getcwd()
        for _ in range(30):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
            self.write("file", b"1")
        os.chdir(top)
        status, names, err = self.names(".")
        self.assertEqual(status, 1)
        self.assertGreater(len(names), 15)
        self.assertIn(b"File name too long", err)


class Waiting(SumTest):
    def open_fifo(self, name):
        """Opens a FIFO for writing once somebody has it open for reading."""
        end = time.monotonic() + DEADLINE_S
        while True:
            try:
                fd = os.open(name, os.O_WRONLY | os.O_NONBLOCK)
                os.set_blocking(fd, True)
                return fd
            except OSError:
                if time.monotonic() > end:
                    raise
                select.select([], [], [], 0.001)

    def test_pipes_filled_one_after_another_are_all_read(self):
        names = ["fifo%d" % i for i in range(10)]
        for name in names:
            os.mkfifo(name)
        self.write("a", b"1")
        child = subprocess.Popen([SUM, "-j", "1", "a", *names, "a"], stdout=subprocess.PIPE)
        for name in names:
            fd = self.open_fifo(name)
            os.write(fd, name.encode() * 1000)
            os.close(fd)
        out, _ = child.communicate(timeout=DEADLINE_S)
        for name in names:
            os.remove(name)
            self.write(name, name.encode() * 1000)
        self.assertEqual((child.returncode, out), run(["sha256sum", "a", *names, "a"])[:2])

    def interrupt(self, number, args, **kwargs):
        """Sends a signal when the first line is out; returns status and output."""
        child = subprocess.Popen([SUM, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 bufsize=0, **kwargs)
        first = child.stdout.readline()
        child.send_signal(number)
        child.wait(DEADLINE_S)  # with its standard input still open
        out, err = child.communicate(timeout=DEADLINE_S)
        self.assertEqual(err, b"")
        self.assertRegex(first + out, rb"\A([0-9a-f]{64}  .*\n)+\Z")
        return child.returncode

    def test_signals_stop_a_run_that_waits(self):
        os.mkfifo("fifo")
        self.write("a", b"1")
        self.assertEqual(self.interrupt(signal.SIGINT, ["a", "fifo"]), 130)
        self.assertEqual(self.interrupt(signal.SIGTERM, ["a", "fifo", "a"]), 143)
        self.assertEqual(self.interrupt(signal.SIGINT, ["a", "-"], stdin=subprocess.PIPE), 130)

    def test_signals_stop_a_run_that_works_without_half_a_line(self):
        files = self.make_files() * 100
        for number, expected in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            self.assertIn(self.interrupt(number, files), (expected, 0))

    def test_signals_stop_a_run_whose_output_nobody_reads(self):
        self.write("a", b"1")
        child = subprocess.Popen([SUM, *["a"] * 8000], stdout=subprocess.PIPE, bufsize=0)
        self.wait_until_full(child.stdout)
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(DEADLINE_S), 130)
        self.assertRegex(child.stdout.read(), rb"\A([0-9a-f]{64}  a\n)+\Z")
        child.stdout.close()

    def test_signals_stop_a_run_that_waits_for_its_list(self):
        self.write("a", b"hello")
        child = subprocess.Popen([SUM, "-c"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 bufsize=0)
        child.stdin.write(run(["sha256sum", "a"])[1] * 2000)
        self.assertEqual(child.stdout.read(6), b"a: OK\n")
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(DEADLINE_S), 143)
        child.stdin.close()
        child.stdout.close()

    def test_an_endless_file_is_interrupted(self):
        self.write("a", b"1")
        self.assertEqual(self.interrupt(signal.SIGINT, ["a", "/dev/zero", "/dev/zero"]), 130)

    def test_a_reader_that_stops_reading_does_not_lose_lines(self):
        files = [self.write("f%d" % i, b"%d" % i) for i in range(100)] * 60
        child = subprocess.Popen([SUM, *files], stdout=subprocess.PIPE)
        self.wait_until_full(child.stdout)
        out, _ = child.communicate(timeout=DEADLINE_S)
        self.assertEqual((child.returncode, out), run(["sha256sum", *files])[:2])

    def wait_until_full(self, pipe):
        """Waits until a pipe holds so much that the next piece of output does not fit."""
        size = 0
        end = time.monotonic() + DEADLINE_S
        while size < 15 * 4096 and time.monotonic() < end:
            queued = fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))
            size = int.from_bytes(queued, sys.byteorder)
            select.select([], [], [], 0.001)

    def test_progress_is_drawn_on_a_terminal_and_taken_away(self):
        os.mkfifo("fifo")
        self.write("a", b"x" * 1000)
        main, terminal = pty.openpty()
        child = subprocess.Popen([SUM, "a", "fifo"], stdout=subprocess.PIPE, stderr=terminal)
        os.close(terminal)
        shown = b""
        end = time.monotonic() + DEADLINE_S
        while b"ETA" not in shown and time.monotonic() < end:
            if select.select([main], [], [], 1)[0]:
                shown += os.read(main, 1000)
        os.close(self.open_fifo("fifo"))
        out, _ = child.communicate(timeout=DEADLINE_S)
        while select.select([main], [], [], 1)[0]:
            try:
                shown += os.read(main, 1000)
            except OSError:
                break
        os.close(main)
        self.assertEqual((child.returncode, out.count(b"\n")), (0, 2))
        self.assertIn(b"1.0 kB, 1 files", shown)
        self.assertTrue(shown.endswith(b"\r\x1b[K"))
        self.assertEqual(own("--progress", "--no-progress", "a")[2], b"")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    SUM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
