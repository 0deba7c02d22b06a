#!/usr/bin/env python3
"""Tests of the program skua-httpd: its answers, to real clients (curl, wrk) and to plain sockets.

Usage: skua_httpd_test.py PATH-OF-SKUA-HTTPD [unittest options]

Needs python3; cases that need curl or wrk are skipped without them. Listens on 127.0.0.1 and port 0
only. Every wait has a deadline that only a hanging server reaches.
"""
import contextlib
import ctypes
import gzip
import os
import platform
import random
import re
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HTTPD = None
DEADLINE_S = 60
DATE = re.compile(r"^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$")


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    def __getitem__(self, name):
        return self.fields.get(name.lower())


class Peer:
    """A connection that is spoken by hand."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())
        return self

    def get(self, path, *fields, method="GET", version="1.1"):
        head = "%s %s HTTP/%s\r\nHost: a\r\n" % (method, path, version)
        self.send(head + "".join(field + "\r\n" for field in fields) + "\r\n")
        return self.answer(method == "HEAD")

    def more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.received += data
        return bool(data)

    def answer(self, bare=False):
        """The next answer; None if the connection has ended before one has begun."""
        while b"\r\n\r\n" not in self.received:
            if not self.more():
                if self.received:
                    raise AssertionError("half an answer: %r" % self.received)
                return None
        head, self.received = self.received.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        match = re.match(r"^HTTP/1\.1 (\d{3}) [A-Za-z -]+$", lines[0])
        if not match:
            raise AssertionError("not a status line: %r" % lines[0])
        status = int(match.group(1))
        fields = {}
        for line in lines[1:]:
            name, value = line.split(": ", 1)
            if name.lower() in fields:
                raise AssertionError("twice: " + name)
            fields[name.lower()] = value
        size = int(fields.get("content-length", 0))
        if bare or status in (100, 204, 304):
            size = 0
        while len(self.received) < size and self.more():
            pass
        if len(self.received) < size:
            raise AssertionError("half a body")
        body, self.received = self.received[:size], self.received[size:]
        return Answer(status, fields, body)

    def is_quiet(self):
        """Nothing has arrived so far."""
        return not self.received and not select.select([self.socket], [], [], 0)[0]

    def end(self):
        """What comes until the other side closes."""
        while self.more():
            pass
        data, self.received = self.received, b""
        return data

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Server:
    """A running skua-httpd."""

    def __init__(self, *args, stdout=None, **kwargs):
        self.process = subprocess.Popen([HTTPD, "--listen", "127.0.0.1:0", *args],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, **kwargs)
        line = self.process.stdout.readline().decode()
        match = re.match(r"^listening on (https?)://127\.0\.0\.1:(\d+)$", line)
        if not match:
            self.process.kill()
            raise AssertionError("did not start: %r %r" % (line, self.process.communicate()))
        self.scheme = match.group(1)
        self.port = int(match.group(2))

    def peer(self):
        return Peer(self.port)

    def url(self, path):
        return "%s://127.0.0.1:%d%s" % (self.scheme, self.port, path)

    def get(self, path, *fields, **kwargs):
        with self.peer() as peer:
            return peer.get(path, *fields, **kwargs)

    def tell(self, number):
        self.process.send_signal(number)

    def wait(self):
        """(exit status, rest of stdout, stderr)"""
        out, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, out, err

    def stop(self):
        if self.process.poll() is not None and self.process.stdout.closed:
            return  # it has been stopped
        self.tell(signal.SIGTERM)
        try:
            status, _, err = self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        if status != 0:
            raise AssertionError("ended with %d: %s" % (status, err.decode()))


@contextlib.contextmanager
def server(*args, **kwargs):
    running = Server(*args, **kwargs)
    try:
        yield running
    finally:
        running.stop()


def run(*args, timeout=DEADLINE_S, **kwargs):
    done = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=timeout, **kwargs)
    return done.returncode, done.stdout, done.stderr


class Base(unittest.TestCase):
    """One server for the cases that need no options of their own."""

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="skua-httpd-")
        cls.root = os.path.join(cls.dir, "root")
        os.mkdir(cls.root)
        cls.write("../secret.txt", b"SECRET")
        cls.write("index.html", b"<p>home</p>")
        cls.write("small.txt", b"0123456789")
        cls.write("empty.txt", b"")
        cls.big = random.Random(7).randbytes(3 << 20)
        cls.write("big.bin", cls.big)
        cls.write("sub/index.html", b"<p>sub</p>")
        os.mkdir(os.path.join(cls.root, "bare"))
        cls.write("style.css", b"p { color: red }" * 20)
        cls.write("style.css.gz", gzip.compress(b"p { color: red }" * 20))
        cls.write("a b\u00e9%.txt", b"odd name")
        os.symlink("../secret.txt", os.path.join(cls.root, "out.txt"))
        os.symlink(os.path.join(cls.dir, "secret.txt"), os.path.join(cls.root, "out2.txt"))
        os.symlink("..", os.path.join(cls.root, "outdir"))
        os.symlink("small.txt", os.path.join(cls.root, "in.txt"))
        os.mkfifo(os.path.join(cls.root, "fifo"))
        cls.server = Server("--root", cls.root)

    @classmethod
    def tearDownClass(cls):
        try:
            cls.server.stop()
        finally:
            shutil.rmtree(cls.dir)

    @classmethod
    def write(cls, name, data):
        path = os.path.join(cls.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)

    def get(self, path, *fields, **kwargs):
        return self.server.get(path, *fields, **kwargs)

    def lives(self, running=None):
        answer = (running or self.server).get("/plaintext")
        self.assertEqual((answer.status, answer.body), (200, b"Hello, World!"))

    def need(self, program):
        if not shutil.which(program):
            self.skipTest("no " + program)


class AnswerTest(Base):
    def test_the_benchmark_answers_are_what_benchmarks_expect(self):
        answer = self.get("/plaintext")
        self.assertEqual((answer.status, answer.body), (200, b"Hello, World!"))
        self.assertEqual(answer["Content-Type"], "text/plain")
        self.assertRegex(answer["Date"], DATE)
        self.assertTrue(answer["Server"])
        answer = self.get("/json")
        self.assertEqual(answer.body, b'{"message":"Hello, World!"}')
        self.assertEqual(answer["Content-Type"], "application/json")

    def test_the_date_follows_the_clock(self):
        with self.server.peer() as peer:
            first = peer.get("/plaintext")["Date"]
            until = time.monotonic() + DEADLINE_S
            while peer.get("/plaintext")["Date"] == first:
                self.assertLess(time.monotonic(), until)
            stamp = time.strptime(peer.get("/plaintext")["Date"], "%a, %d %b %Y %H:%M:%S GMT")
            self.assertEqual(stamp[:3], time.gmtime()[:3])

    def test_head_has_the_head_of_get_and_no_body(self):
        for path in ("/plaintext", "/small.txt", "/big.bin", "/nothing"):
            with self.server.peer() as peer:
                full = peer.get(path)
                bare = peer.get(path, method="HEAD")
                self.assertEqual(bare.status, full.status)
                self.assertEqual(bare["Content-Length"], full["Content-Length"])
                self.assertEqual(peer.get("/json").status, 200)

    def test_a_connection_is_kept_alive_until_the_client_says_close(self):
        with self.server.peer() as peer:
            for _ in range(3):
                self.assertIsNone(peer.get("/plaintext")["Connection"])
            self.assertEqual(peer.get("/plaintext", "Connection: close")["Connection"], "close")
            self.assertEqual(peer.end(), b"")

    def test_http_1_0_closes_unless_asked_to_keep_alive(self):
        with self.server.peer() as peer:
            answer = peer.send("GET /plaintext HTTP/1.0\r\n\r\n").answer()
            self.assertEqual((answer.status, answer["Connection"]), (200, "close"))
            self.assertEqual(peer.end(), b"")
        with self.server.peer() as peer:
            for _ in range(2):
                answer = peer.get("/plaintext", "Connection: keep-alive", version="1.0")
                self.assertEqual(answer["Connection"], "keep-alive")

    def test_pipelined_requests_are_answered_in_order(self):
        rng = random.Random(3)
        kinds = {
            "/plaintext": ("GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n", b"Hello, World!"),
            "/json": ("GET /json HTTP/1.1\r\nHost: a\r\n\r\n", b'{"message":"Hello, World!"}'),
            "small": ("GET /small.txt HTTP/1.1\r\nHost: a\r\n\r\n", b"0123456789"),
            "big": ("GET /big.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=9-70000\r\n\r\n",
                    self.big[9:70001]),
            "cpu": ("GET /cpu?ms=1 HTTP/1.1\r\nHost: a\r\n\r\n", None),
            "echo": ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
            "chunks": ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
        }
        order = [rng.choice(sorted(kinds)) for _ in range(120)]
        with self.server.peer() as peer:
            sender = threading.Thread(target=peer.send,
                                      args=("".join(kinds[kind][0] for kind in order),))
            sender.start()
            for kind in order:
                answer = peer.answer()
                self.assertIn(answer.status, (200, 206), kind)
                if kinds[kind][1] is not None:
                    self.assertEqual(answer.body, kinds[kind][1])
            sender.join()

    def test_a_batch_is_answered_with_one_send(self):
        batch = "GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n" * 16
        with self.server.peer() as peer:
            peer.get("/plaintext")
            before = self.segments_in(peer)
            peer.send(batch)
            for _ in range(16):
                self.assertEqual(peer.answer().body, b"Hello, World!")
            self.assertEqual(self.segments_in(peer) - before, 1)

    def segments_in(self, peer):
        # tcpi_data_segs_in of struct tcp_info.
        info = peer.socket.getsockopt(socket.IPPROTO_TCP, 11, 192)
        if len(info) < 156:
            self.skipTest("no tcpi_data_segs_in")
        return struct.unpack_from("I", info, 152)[0]

    def test_requests_may_arrive_in_pieces_of_any_size(self):
        text = ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                "5;x=\"y\"\r\nhello\r\n00a\r\n, worlds!!\r\n0\r\nTrailer: 1\r\n\r\n"
                "GET /json HTTP/1.1\r\nHost: a\r\n\r\n").encode()
        for size in (1, 2, 3, 7, len(text) - 1):
            with self.server.peer() as peer:
                for at in range(0, len(text), size):
                    peer.send(text[at:at + size])
                self.assertEqual(peer.answer().body, b"hello, worlds!!")
                self.assertEqual(peer.answer().status, 200)

    def test_echo_returns_bodies_of_every_size(self):
        rng = random.Random(5)
        with self.server.peer() as peer:
            for size in (0, 1, 100, 3900, 4096, 4097, 65536, 1 << 20):
                body = rng.randbytes(size)
                head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
                sender = threading.Thread(target=peer.send, args=(head.encode() + body,))
                sender.start()
                answer = peer.answer()
                sender.join()
                self.assertEqual(answer.status, 200)
                self.assertTrue(answer.body == body, size)

    def test_a_body_that_nobody_wants_is_read_and_forgotten(self):
        with self.server.peer() as peer:
            for path, status in (("/plaintext", 200), ("/small.txt", 200), ("/nothing", 404)):
                peer.send("GET %s HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n" % path)
                peer.send("x" * 9000)
                self.assertEqual(peer.answer().status, status)

    def test_expect_100_continue_is_answered_before_the_body_is_sent(self):
        with self.server.peer() as peer:
            peer.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                      "Content-Length: 4\r\n\r\n")
            self.assertEqual(peer.answer().status, 100)
            self.assertEqual(peer.send("body").answer().body, b"body")
            # With the body there it needs none.
            peer.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                      "Content-Length: 4\r\n\r\nbody")
            self.assertEqual(peer.answer().status, 200)
            peer.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 4\r\n\r\n")
            self.assertEqual(peer.answer().status, 417)

    def test_methods_that_are_not_allowed(self):
        for method, path, status in (("POST", "/plaintext", 405), ("DELETE", "/small.txt", 405),
                                     ("GET", "/echo", 405), ("PUT", "/echo", 405),
                                     ("BREW", "/plaintext", 501), ("get", "/plaintext", 501),
                                     ("OPTIONS", "/json", 204), ("OPTIONS", "*", 204)):
            answer = self.get(path, method=method)
            self.assertEqual(answer.status, status, method + " " + path)
            self.assertIn("GET" if path != "/echo" else "POST", answer["Allow"])
        with self.server.peer() as peer:
            self.assertEqual(peer.send("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n").answer().status,
                             405)

    def test_a_target_may_be_a_whole_url(self):
        self.assertEqual(self.get("http://a/json?x=1").status, 200)
        self.assertEqual(self.get("http://a:80/small.txt").body, b"0123456789")

    def test_cpu_computes_within_its_bound(self):
        self.assertEqual(self.get("/cpu?ms=0").status, 200)
        self.assertRegex(self.get("/cpu?ms=20").body, rb"^20 ms, \d+ steps\n$")
        for query in ("", "?ms=", "?ms=-1", "?ms=1x", "?ms=1001", "?ms=99999999999", "?x=1"):
            self.assertEqual(self.get("/cpu" + query).status, 400, query)

    def test_others_stay_prompt_while_requests_compute(self):
        with server("--workers", "1", "--max-cpu", "60000", "--drain", "0") as running:
            peers = [running.peer() for _ in range(3)]
            for peer in peers:
                peer.send("GET /cpu?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n")
            for _ in range(20):
                self.lives(running)
            self.assertTrue(all(peer.is_quiet() for peer in peers))
            running.stop()  # which waits for none of them
            for peer in peers:
                self.assertEqual(peer.end(), b"")
                peer.socket.close()


class FileTest(Base):
    def test_a_file_is_sent_with_what_caches_need(self):
        answer = self.get("/small.txt")
        self.assertEqual((answer.status, answer.body), (200, b"0123456789"))
        self.assertEqual(answer["Content-Type"], "text/plain; charset=utf-8")
        self.assertRegex(answer["Last-Modified"], DATE)
        self.assertRegex(answer["ETag"], r'^"[^"]+"$')
        self.assertEqual(answer["Accept-Ranges"], "bytes")
        self.assertEqual(self.get("/empty.txt").body, b"")
        self.assertTrue(self.get("/big.bin").body == self.big)

    def test_directories(self):
        self.assertEqual(self.get("/").body, b"<p>home</p>")
        self.assertEqual(self.get("/sub/").body, b"<p>sub</p>")
        answer = self.get("/sub?a=b")
        self.assertEqual((answer.status, answer["Location"]), (301, "/sub/?a=b"))
        self.assertEqual(self.get("/bare/").status, 404)
        self.assertEqual(self.get("/small.txt/").status, 404)
        self.assertEqual(self.get("//sub")["Location"], "/sub/")

    def test_names_are_decoded(self):
        self.assertEqual(self.get("/a%20b%C3%A9%25.txt").body, b"odd name")
        self.assertEqual(self.get("/%73mall.txt").body, b"0123456789")
        self.assertEqual(self.get("/./sub/./index.html?x=/..").body, b"<p>sub</p>")
        for path in ("/%", "/%2", "/%zz", "/small.txt%00", "/%00"):
            self.assertEqual(self.get(path).status, 400, path)

    def test_nothing_outside_the_root_is_served(self):
        dots = ["..", "%2e%2e", ".%2e", "%2E.", "..%2f", "%2e%2e%2f", "..%5c", "..;", "%252e%252e"]
        paths = ["/" + dot + "/secret.txt" for dot in dots]
        paths += ["/sub/" + dot + "/" + dot + "/secret.txt" for dot in dots]
        paths += ["/out.txt", "/out2.txt", "/outdir/secret.txt", "/outdir/",
                  "/sub/../../secret.txt", "//..//secret.txt", "/" + self.dir + "/secret.txt",
                  "//etc/passwd", "/..", "http://a/../secret.txt", "/sub%2f..%2f..%2fsecret.txt",
                  "/bare/../../secret.txt"]
        for path in paths:
            answer = self.get(path)
            self.assertIn(answer.status, (400, 403, 404), path)
            self.assertNotIn(b"SECRET", answer.body)
        self.assertEqual(self.get("/in.txt").body, b"0123456789")
        self.assertEqual(self.get("/fifo").status, 403)

    def test_a_file_that_may_not_be_read_is_forbidden(self):
        if os.geteuid() == 0:
            self.skipTest("root may read everything")
        self.write("locked.txt", b"x")
        os.chmod(os.path.join(self.root, "locked.txt"), 0)
        self.assertEqual(self.get("/locked.txt").status, 403)

    def test_without_openat2_no_link_is_followed(self):
        with server("--root", self.root, preexec_fn=without_openat2(self)) as running:
            self.assertEqual(running.get("/small.txt").body, b"0123456789")
            self.assertEqual(running.get("/sub/").body, b"<p>sub</p>")
            self.assertEqual(running.get("/sub")["Location"], "/sub/")
            for path in ("/out.txt", "/out2.txt", "/outdir/secret.txt", "/in.txt", "/small.txt/x",
                         "/nothing/x", "/../secret.txt"):
                self.assertEqual(running.get(path).status, 404, path)

    def test_without_a_root_there_are_no_files(self):
        with server() as running:
            self.assertEqual(running.get("/").status, 404)
            self.lives(running)

    def test_conditions(self):
        first = self.get("/small.txt")
        etag, modified = first["ETag"], first["Last-Modified"]
        later = "Fri, 01 Jan 2999 00:00:00 GMT"
        for fields, status in (
                (("If-None-Match: " + etag,), 304),
                (("If-None-Match: \"x\", W/" + etag,), 304),
                (("If-None-Match: *",), 304),
                (('If-None-Match: "x"',), 200),
                (('If-None-Match: "x"', "If-Modified-Since: " + later), 200),
                (("If-Modified-Since: " + modified,), 304),
                (("If-Modified-Since: " + later,), 304),
                (("If-Modified-Since: Thu, 01 Jan 1970 00:00:01 GMT",), 200),
                (("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT",), 200),
                (("If-Modified-Since: Sun Nov  6 08:49:37 1994",), 200),
                (("If-Modified-Since: yesterday",), 200)):
            answer = self.get("/small.txt", *fields)
            self.assertEqual(answer.status, status, fields)
            self.assertEqual(answer["ETag"], etag)
            if status == 304:
                self.assertIsNone(answer["Content-Length"])
        self.write("changing.txt", b"1")
        first = self.get("/changing.txt")["ETag"]
        os.utime(os.path.join(self.root, "changing.txt"), ns=(1, 1))
        self.assertNotEqual(self.get("/changing.txt")["ETag"], first)

    def test_ranges(self):
        etag = self.get("/small.txt")["ETag"]
        whole = b"0123456789"
        for value, status, body, content in (
                ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
                ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
                ("bytes=7-", 206, b"789", "bytes 7-9/10"),
                ("bytes=-3", 206, b"789", "bytes 7-9/10"),
                ("bytes=-30", 206, whole, "bytes 0-9/10"),
                ("bytes=5-99999999999999999999999", 206, b"56789", "bytes 5-9/10"),
                ("bytes=10-", 416, None, "bytes */10"),
                ("bytes=99999999999999999999-", 416, None, "bytes */10"),
                ("bytes=-0", 416, None, "bytes */10"),
                ("bytes=4-2", 200, whole, None), ("bytes=-", 200, whole, None),
                ("bytes=a-b", 200, whole, None), ("bytes=0-1,3-4", 200, whole, None),
                ("lines=0-1", 200, whole, None), ("bytes=", 200, whole, None)):
            answer = self.get("/small.txt", "Range: " + value)
            self.assertEqual((answer.status, answer["Content-Range"]), (status, content), value)
            if body is not None:
                self.assertEqual(answer.body, body)
        for tag, status in ((etag, 206), ('"x"', 200), ("Thu, 01 Jan 1970 00:00:01 GMT", 200),
                            (self.get("/small.txt")["Last-Modified"], 206)):
            answer = self.get("/small.txt", "Range: bytes=1-2", "If-Range: " + tag)
            self.assertEqual(answer.status, status, tag)
        answer = self.get("/big.bin", "Range: bytes=1000-2000000")
        self.assertTrue(answer.body == self.big[1000:2000001])
        self.assertEqual(self.get("/empty.txt", "Range: bytes=0-").status, 416)

    def test_a_compressed_copy_is_sent_to_those_who_take_it(self):
        plain = self.get("/style.css")
        self.assertIsNone(plain["Content-Encoding"])
        for value, compressed in (("gzip", True), ("br, gzip;q=0.5", True), ("GZIP", True),
                                  ("deflate , gzip", True), ("gzip;q=0", False),
                                  ("gzip; q=0.000", False), ("br", False), ("xgzip", False),
                                  ("gzipx", False), ("", False)):
            answer = self.get("/style.css", "Accept-Encoding: " + value)
            self.assertEqual(answer["Content-Encoding"], "gzip" if compressed else None, value)
            self.assertEqual(answer["Vary"], "Accept-Encoding")
            self.assertEqual(answer["Content-Type"], "text/css; charset=utf-8")
            body = gzip.decompress(answer.body) if compressed else answer.body
            self.assertEqual(body, plain.body)
            self.assertEqual(answer["ETag"] != plain["ETag"], compressed)
        answer = self.get("/style.css", "Accept-Encoding: gzip", "Range: bytes=0-3")
        self.assertEqual((answer.status, answer.body), (206, plain.body[:4]))
        self.assertEqual(self.get("/small.txt", "Accept-Encoding: gzip").body, b"0123456789")

    def test_many_files_at_once(self):
        failures = []

        def fetch(seed):
            rng = random.Random(seed)
            with self.server.peer() as peer:
                for _ in range(10):
                    first = rng.randrange(len(self.big))
                    last = min(first + rng.choice((10, 5000, 300000)), len(self.big) - 1)
                    answer = peer.get("/big.bin", "Range: bytes=%d-%d" % (first, last))
                    if answer.body != self.big[first:last + 1]:
                        failures.append((first, last))

        threads = [threading.Thread(target=fetch, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])


def without_openat2(case):
    """For preexec_fn: the kernel pretends not to know openat2(2)."""
    if platform.machine() not in ("x86_64", "aarch64"):
        case.skipTest("seccomp filter not written for this machine")
    libc = ctypes.CDLL(None, use_errno=True)

    class Program(ctypes.Structure):
        _fields_ = [("count", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    load, equal, give = 0x20, 0x15, 0x06
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in (
        (load, 0, 0, 0), (equal, 0, 1, 437), (give, 0, 0, 0x00050000 | 38),
        (give, 0, 0, 0x7fff0000)))
    program = Program(4, code)

    def apply():
        if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program)):
            os._exit(99)

    return apply


class ClientTest(Base):
    """Programs that others wrote."""

    def curl(self, *args):
        self.need("curl")
        status, out, err = run("curl", "-sS", "--max-time", str(DEADLINE_S), *args)
        self.assertEqual((status, err), (0, b""), args)
        return out

    def test_curl_reuses_its_connection(self):
        out = self.curl("-w", "%{num_connects} %{http_code}\n", *[
            word for path in ("/plaintext", "/json", "/big.bin", "/nothing")
            for word in (self.server.url(path), "-o", "/dev/null")])
        self.assertEqual(out, b"1 200\n0 200\n0 200\n0 404\n")

    def test_curl_fetches_files(self):
        self.assertTrue(self.curl(self.server.url("/big.bin")) == self.big)
        self.assertEqual(self.curl("-r", "2-4", self.server.url("/small.txt")), b"234")
        self.assertEqual(self.curl("--compressed", self.server.url("/style.css")),
                         b"p { color: red }" * 20)
        self.assertEqual(self.curl("-L", self.server.url("/sub")), b"<p>sub</p>")
        self.assertIn(b"Content-Length: 10", self.curl("-I", self.server.url("/small.txt")))
        self.assertEqual(self.curl("--http1.0", self.server.url("/small.txt")), b"0123456789")
        self.assertEqual(
            self.curl("--path-as-is", "-o", "/dev/null", "-w", "%{http_code}",
                      self.server.url("/../secret.txt")), b"404")
        copy = os.path.join(self.dir, "copy")
        with open(copy, "wb") as file:
            file.write(self.big[:1000000])
        self.curl("-C", "-", "-o", copy, self.server.url("/big.bin"))
        with open(copy, "rb") as file:
            self.assertTrue(file.read() == self.big)

    def test_curl_uploads(self):
        name = os.path.join(self.dir, "upload")
        with open(name, "wb") as file:
            file.write(self.big[:1 << 20])
        for args in ((), ("-H", "Transfer-Encoding: chunked"), ("-H", "Expect: 100-continue")):
            out = self.curl("--data-binary", "@" + name, *args, self.server.url("/echo"))
            self.assertTrue(out == self.big[:1 << 20], args)
        with open(name, "ab") as file:
            file.write(b"x")
        out = self.curl("--data-binary", "@" + name, "-o", "/dev/null", "-w", "%{http_code}",
                        self.server.url("/echo"))
        self.assertEqual(out, b"413")

    def test_wrk_sees_no_error(self):
        self.need("wrk")
        for path in ("/plaintext", "/small.txt"):
            status, out, _ = run("wrk", "-t1", "-c20", "-d1s", "--timeout", "30s",
                                 self.server.url(path))
            self.assertEqual(status, 0)
            self.assertRegex(out, rb"[1-9]\d* requests in")
            self.assertNotIn(b"Socket errors", out)
            self.assertNotIn(b"Non-2xx", out)


class TlsTest(unittest.TestCase):
    """HTTPS, to curl and to Python's ssl."""

    @classmethod
    def setUpClass(cls):
        if not shutil.which("openssl"):
            raise unittest.SkipTest("no openssl")
        cls.folder = tempfile.TemporaryDirectory(prefix="skua-httpd-")
        cls.dir = cls.folder.name
        cls.cert, cls.key = os.path.join(cls.dir, "cert.pem"), os.path.join(cls.dir, "key.pem")
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", cls.key, "-out", cls.cert, "-subj", "/CN=localhost", "-addext",
            "subjectAltName=IP:127.0.0.1")
        cls.big = random.Random(8).randbytes(3 << 20)
        with open(os.path.join(cls.dir, "big.bin"), "wb") as file:
            file.write(cls.big)
        status, _, err = run(HTTPD, "--tls-cert", "/nowhere", "-l", "127.0.0.1:0")
        if b"without TLS" in err:
            raise unittest.SkipTest("built without TLS")
        cls.refusal = (status, err)
        cls.server = Server("--root", cls.dir, "--tls-cert", cls.cert, "--tls-key", cls.key,
                            "--header-timeout", "5")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.folder.cleanup()

    def curl(self, *args):
        if not shutil.which("curl"):
            self.skipTest("no curl")
        status, out, err = run("curl", "-sS", "--max-time", str(DEADLINE_S), "--cacert", self.cert,
                               *args)
        self.assertEqual((status, err), (0, b""), args)
        return out

    def wrapped(self):
        """A connection in TLS, and its socket."""
        context = ssl.create_default_context(cafile=self.cert)
        plain = socket.create_connection(("127.0.0.1", self.server.port), timeout=DEADLINE_S)
        return context.wrap_socket(plain, server_hostname="127.0.0.1")

    def test_curl_fetches_files_and_reuses_its_connection(self):
        self.assertTrue(self.curl(self.server.url("/big.bin")) == self.big)
        self.assertTrue(self.curl("-r", "5-99999", self.server.url("/big.bin")) ==
                        self.big[5:100000])
        out = self.curl("-w", "%{num_connects} %{http_code}\n", *[
            word for path in ("/plaintext", "/big.bin", "/nothing")
            for word in (self.server.url(path), "-o", "/dev/null")])
        self.assertEqual(out, b"1 200\n0 200\n0 404\n")

    def test_curl_uploads(self):
        out = self.curl("--data-binary", "@" + os.path.join(self.dir, "key.pem"),
                        self.server.url("/echo"))
        with open(self.key, "rb") as file:
            self.assertEqual(out, file.read())

    def test_curl_does_not_trust_it_without_the_certificate(self):
        if not shutil.which("curl"):
            self.skipTest("no curl")
        status, _, err = run("curl", "-sS", self.server.url("/plaintext"))
        self.assertNotEqual(status, 0)
        self.assertIn(b"self-signed certificate", err)

    def test_an_answer_that_ends_the_connection_ends_it_in_tls(self):
        with self.wrapped() as tls:
            tls.sendall(b"GET /plaintext HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            data = b""
            while piece := tls.recv(4096):
                data += piece
        self.assertTrue(data.endswith(b"\r\n\r\nHello, World!"), data)

    def test_a_refused_request_is_answered_before_the_end(self):
        with self.wrapped() as tls:
            tls.sendall(b"NONSENSE\r\n\r\n" + b"x" * 100000)
            self.assertTrue(tls.recv(4096).startswith(b"HTTP/1.1 400 "))

    def test_what_is_no_tls_is_closed_and_others_are_served(self):
        with Peer(self.server.port) as peer:
            peer.send("GET / HTTP/1.1\r\n\r\n")
            while peer.more():
                pass
            self.assertNotIn(b"HTTP/1.1", peer.received)
        self.assertEqual(self.curl(self.server.url("/plaintext")), b"Hello, World!")

    def test_connections_at_rest_do_not_hold_up_the_end(self):
        with server("--tls-cert", self.cert, "--tls-key", self.key, "--drain", "30") as other:
            context = ssl.create_default_context(cafile=self.cert)
            plain = socket.create_connection(("127.0.0.1", other.port), timeout=DEADLINE_S)
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as tls:
                tls.sendall(b"GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n")
                self.assertIn(b"200 OK", tls.recv(4096))
                begin = time.monotonic()
                other.stop()
                self.assertLess(time.monotonic() - begin, 15)

    def test_a_certificate_that_cannot_be_had_is_told(self):
        status, err = self.refusal
        self.assertEqual(status, 1)
        self.assertIn(b"/nowhere: our certificate: No such file or directory", err)
        status, _, err = run(HTTPD, "--tls-key", self.key, "-l", "127.0.0.1:0")
        self.assertEqual(status, 2, err)


def take_program(usage):
    """The program to be tested is the first argument."""
    global HTTPD
    if len(sys.argv) < 2:
        sys.exit(usage)
    HTTPD = os.path.abspath(sys.argv.pop(1))


if __name__ == "__main__":
    take_program(__doc__)
    unittest.main()
