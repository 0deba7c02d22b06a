#!/usr/bin/env python3
"""Tests of the program skua-load: against skua-httpd, and against servers in Python that misbehave.

Usage: skua_load_test.py PATH-OF-SKUA-LOAD [unittest options]

skua-httpd is looked for beside it. Listens on 127.0.0.1 and port 0 only. Servers that stall do so
for a time; nothing else sleeps, and every wait has a deadline.
"""
import contextlib
import json
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

LOAD = None
HTTPD = None
DEADLINE_S = 60
SLOW_NS = 100_000_000
STALL_S = 0.3
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def run(*args, **kwargs):
    """(exit status, stdout, stderr) of skua-load."""
    done = subprocess.run([LOAD, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=DEADLINE_S, check=False, text=True,
                          **kwargs)
    return done.returncode, done.stdout, done.stderr


class Server:
    """Calls @serve(peer, number) in a thread for every connection; number counts them from 0."""

    def __init__(self, serve):
        self.serve = serve
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=500)
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.peers, self.threads, self.failures = [], [], []
        self.accepter = threading.Thread(target=self.accept)
        self.accepter.start()

    def accept(self):
        while True:
            try:
                peer = Peer(self.listener.accept()[0])
            except OSError:
                return
            thread = threading.Thread(target=self.run, args=(peer, len(self.threads)))
            self.peers.append(peer)
            self.threads.append(thread)
            thread.start()

    def run(self, peer, number):
        try:
            self.serve(peer, number)
        except OSError:
            pass  # the other side has gone
        except Exception as error:  # pylint: disable=broad-except
            self.failures.append(error)
        finally:
            peer.close()

    def url(self, path="/", scheme="http"):
        return "%s://127.0.0.1:%d%s" % (scheme, self.port, path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.hang_up()
        for thread in [self.accepter, *self.threads]:
            thread.join(DEADLINE_S)
        if self.failures:
            raise self.failures[0]

    def hang_up(self):
        """Nobody listens any more, and every connection ends."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.accepter.join(DEADLINE_S)
        for peer in self.peers:
            peer.shut()


class Peer:
    def __init__(self, connection):
        self.socket = connection
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def more(self):
        data = self.socket.recv(65536)
        self.received += data
        return bool(data)

    def take(self, size):
        """@size bytes; None at the end."""
        while len(self.received) < size:
            if not self.more():
                return None
        data, self.received = self.received[:size], self.received[size:]
        return data

    def request(self):
        """(head, body); None at the end."""
        while b"\r\n\r\n" not in self.received:
            if not self.more():
                return None
        head, self.received = self.received.split(b"\r\n\r\n", 1)
        size = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        body = self.take(int(size.group(1)) if size else 0)
        return None if body is None else (head.decode(), body)

    def send(self, data):
        self.socket.sendall(data)

    def shut(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.socket.close()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def always(answer):
    """A server that gives one answer to everything."""
    def serve(peer, _):
        while peer.request():
            peer.send(answer)
    return serve


class Staller:
    """Answers at once, but stands still on all connections from request @at on, for STALL_S."""

    def __init__(self, at):
        self.at, self.count = at, 0
        self.lock = threading.Lock()

    def __call__(self, peer, _):
        while peer.request():
            with self.lock:
                self.count += 1
                if self.count == self.at:
                    time.sleep(STALL_S)
            peer.send(HELLO)


def echo(peer, _):
    while True:
        data = peer.socket.recv(65536)
        if not data:
            return
        peer.send(data)


@contextlib.contextmanager
def httpd(*args):
    """(URL, a list that gets what skua-httpd tells of itself at its end: requests, connections)"""
    process = subprocess.Popen([HTTPD, "--listen", "127.0.0.1:0", *args], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    told = []
    try:
        yield process.stdout.readline().split()[-1], told
    finally:
        process.send_signal(signal.SIGTERM)
        err = process.communicate(timeout=DEADLINE_S)[1]
        found = re.search(r"answered (\d+) requests on (\d+) connections", err)
        told.extend(int(number) for number in found.groups())


class Case(unittest.TestCase):
    def load(self, *args, status=0, **kwargs):
        """The JSON of a run, whose numbers must add up."""
        code, out, err = run("--json", *args, **kwargs)
        self.assertEqual(code, status, (args, out, err))
        told = json.loads(out)
        self.check(told)
        return told

    def check(self, told):
        requests, errors = told["requests"], told["errors"]
        good = requests["answered"] - errors["status"]
        self.assertEqual(requests["failed"], sum(errors.values()))
        self.assertEqual(requests["begun"], good + requests["failed"] + requests["unfinished"])
        self.assertEqual(errors["status"], told["statuses"]["4xx"] + told["statuses"]["5xx"])
        if told["url"].startswith("http"):
            self.assertEqual(sum(told["statuses"].values()), requests["answered"])
        names = ["service_time_ns"]
        if told["loop"] == "open":
            names.append("response_time_ns")
            loop = told["open_loop"]
            self.assertEqual(loop["due"], requests["begun"] + loop["unsent"])
            self.assertLessEqual(loop["late"], requests["begun"])
        for name in names:
            self.check_times(told[name], requests["answered"])

    def check_times(self, times, count):
        self.assertEqual(times["count"], count)
        self.assertEqual(sum(bucket[2] for bucket in times["buckets"]), count)
        if count == 0:
            return
        order = [times[name] for name in ("min", "p50", "p90", "p99", "p99.9", "p99.99", "max")]
        self.assertEqual(order, sorted(order))
        self.assertLessEqual(times["buckets"][0][0], times["min"])
        self.assertGreaterEqual(times["buckets"][-1][1], times["max"])
        for share, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99")):
            wanted, seen = int(share * count), 0
            for first, last, number in times["buckets"]:
                seen += number
                if seen > wanted or seen == count:
                    self.assertTrue(first - 0.1 <= times[name] <= last + 0.1, (name, times[name]))
                    break

    def slow(self, times, limit_ns=SLOW_NS):
        """How many took @limit_ns, or more."""
        return sum(count for _, last, count in times["buckets"] if last >= limit_ns)

    def fails(self, serve, error, *args, count=12):
        """Every request of a run against @serve fails for the same reason, and exits with 1."""
        with Server(serve) as server:
            told = self.load("-c3", "-n%d" % count, *args, server.url(), status=1)
        self.assertEqual({name: n for name, n in told["errors"].items() if n}, {error: count})
        return told


class HttpTest(Case):
    def test_the_server_has_seen_what_is_told(self):
        with httpd() as (url, told):
            loaded = self.load("-c7", "-n500", url + "/plaintext")
        self.assertEqual(told, [500, 7])
        self.assertEqual(loaded["requests"]["begun"], 500)
        self.assertEqual(loaded["statuses"]["2xx"], 500)
        self.assertEqual(loaded["throughput"]["requests"], 500)
        self.assertEqual(loaded["connects"]["opened"], 7)
        seconds = loaded["window_ns"] / 1e9
        self.assertAlmostEqual(loaded["throughput"]["requests_per_s"] * seconds, 500, delta=0.01)

    def test_pipelines_and_churn_ask_as_often(self):
        for args, connections in ((("--pipeline=8",), 5), (("--churn",), 301)):
            with httpd() as (url, told):
                self.load("-c5", "-n300", *args, url + "/plaintext")
            # Of churn, the first connection is to learn whether there is a server.
            self.assertEqual(told, [300, connections], args)

    def test_the_warm_up_does_not_count(self):
        with httpd() as (url, told):
            loaded = self.load("-c2", "--warmup=0.2", "-d0.1", url + "/plaintext")
        self.assertGreater(told[0], loaded["requests"]["begun"])
        self.assertEqual(loaded["window_ns"], 100_000_000)
        # Those in flight at the ends are in one number or the other.
        self.assertAlmostEqual(loaded["throughput"]["requests"], loaded["requests"]["answered"],
                               delta=4)

    def test_files_come_whole_and_missing_ones_are_errors(self):
        with tempfile.TemporaryDirectory() as root:
            with open(os.path.join(root, "big"), "wb") as file:
                file.write(b"x" * 300000)
            with httpd("--root", root) as (url, _):
                told = self.load("-c4", "-n40", url + "/big")
                self.assertGreater(told["throughput"]["bytes_in"], 40 * 300000)
                told = self.load("-c4", "-n40", "--method=HEAD", url + "/big")
                self.assertLess(told["throughput"]["bytes_in"], 40 * 1000)
                told = self.load("-c4", "-n40", url + "/none", status=1)
                self.assertEqual(told["statuses"]["4xx"], 40)
                self.assertEqual(told["errors"]["status"], 40)
                self.load("-c4", "-n40", "--max-errors=40", url + "/none")
                self.load("-c4", "-n40", "--max-errors=39", url + "/none", status=1)

    def test_large_bodies_both_ways_do_not_block_each_other(self):
        with tempfile.NamedTemporaryFile() as file, httpd() as (url, told):
            file.write(os.urandom(900000))
            file.flush()
            loaded = self.load("-c2", "-n24", "--pipeline=6", "--body-file", file.name,
                               url + "/echo")
        self.assertEqual(told, [24, 2])
        self.assertGreater(loaded["throughput"]["bytes_out"], 24 * 900000)
        self.assertGreater(loaded["throughput"]["bytes_in"], 24 * 900000)

    def test_requests_are_what_was_asked_for(self):
        seen = []

        def serve(peer, _):
            while request := peer.request():
                seen.append(request)
                peer.send(HELLO)
        with Server(serve) as server:
            self.load("-c1", "-n1", server.url("/a?b=c"))
            self.load("-c1", "-n1", "--body=12345", "-H", "x-Y: z", "-H", "host: me", server.url())
            self.load("-c1", "-n1", "--method=DELETE", "--churn", server.url())
            port = server.port
        heads = [head.split("\r\n") for head, _ in seen]
        self.assertEqual(heads[0][:2], ["GET /a?b=c HTTP/1.1", "Host: 127.0.0.1:%d" % port])
        self.assertEqual(heads[1][0], "POST / HTTP/1.1")
        for line in ("Content-Length: 5", "x-Y: z", "host: me"):
            self.assertIn(line, heads[1])
        self.assertFalse([line for line in heads[1] if line.startswith("Host:")])
        self.assertEqual([body for _, body in seen], [b"", b"12345", b""])
        self.assertEqual(heads[2][0], "DELETE / HTTP/1.1")
        self.assertIn("Connection: close", heads[2])

    def test_paths_take_turns(self):
        seen = []

        def serve(peer, _):
            while request := peer.request():
                seen.append(request[0].split()[1])
                peer.send(HELLO)
        with Server(serve) as server, tempfile.NamedTemporaryFile("w") as file:
            file.write("/c\r\n\n/d?e\n")
            file.flush()
            self.load("-c1", "-n40", "--path=/a", "--path=/b", "--path-file", file.name,
                      server.url("/not"))
        self.assertEqual(seen, ["/a", "/b", "/c", "/d?e"] * 10)

    def test_answers_of_every_framing_are_understood(self):
        answers = (
            HELLO,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10;x\r\n" +
            b"y" * 16 + b"\r\n0\r\nT: t\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" + HELLO,
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab",
        )
        for answer in answers:
            for args in ((), ("--pipeline=4",)):
                with Server(always(answer)) as server:
                    told = self.load("-c2", "-n30", *args, server.url())
                self.assertEqual(told["statuses"]["2xx"], 30, answer)
                self.assertEqual(told["connects"]["opened"], 2)

    def test_an_answer_in_single_bytes_is_one(self):
        def serve(peer, _):
            while peer.request():
                for byte in HELLO:
                    peer.send(bytes([byte]))
        with Server(serve) as server:
            self.assertEqual(self.load("-c1", "-n5", server.url())["statuses"]["2xx"], 5)

    def test_an_answer_may_end_with_the_connection(self):
        for head in (b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n",
                     b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\n"):
            def serve(peer, _, head=head):
                peer.request()
                peer.send(head + b"1234")
            with Server(serve) as server:
                told = self.load("-c2", "-n20", server.url())
                # What is in flight behind such an answer is sent again, and answered once.
                more = self.load("-c2", "-n20", "--pipeline=4", server.url())
            for loaded in (told, more):
                self.assertEqual(loaded["statuses"]["2xx"], 20)
            self.assertEqual(told["connects"]["opened"], told["connects"]["reconnects"] + 2)
            self.assertGreaterEqual(told["connects"]["reconnects"], 18)


class WrongTest(Case):
    def test_a_server_that_closes_early(self):
        def serve(peer, _):
            peer.request()
            peer.send(HELLO[:-2])
        told = self.fails(serve, "closed")
        self.assertGreaterEqual(told["connects"]["reconnects"], 9)

    def test_a_server_that_closes_without_a_word(self):
        self.fails(lambda peer, _: peer.request(), "closed")

    def test_a_server_that_resets(self):
        def serve(peer, _):
            peer.request()
            peer.send(HELLO[:9])
            peer.reset()
        self.fails(serve, "reset")

    def test_a_server_that_sends_garbage(self):
        for garbage in (b"hello\r\n", b"HTTP/1.1 huh\r\n\r\n", b"\0" * 40,
                        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
            self.fails(always(garbage), "protocol")

    def test_a_server_that_answers_too_slowly(self):
        release = threading.Event()

        def serve(peer, _):
            peer.request()
            release.wait(DEADLINE_S)
        with Server(serve) as server:
            told = self.load("-c3", "-n6", "--timeout=0.1", server.url(), status=1)
            release.set()
        self.assertEqual(told["errors"]["timeout"], 6)
        self.assertGreaterEqual(told["window_ns"], 200_000_000)

    def test_a_server_that_trickles_is_too_slow_as_well(self):
        def serve(peer, _):
            peer.request()
            peer.send(b"HTTP/1.1 200 OK\r\nX: ")
            while True:
                peer.send(b"x")
                time.sleep(0.01)
        with Server(serve) as server:
            told = self.load("-c1", "-n1", "--timeout=0.2", server.url(), status=1)
        self.assertEqual(told["errors"]["timeout"], 1)
        self.assertLess(told["window_ns"], 5_000_000_000)

    def test_a_short_timeout_does_not_disturb_who_is_in_time(self):
        def serve(peer, _):
            while peer.request():
                time.sleep(0.02)
                peer.send(HELLO)
        with Server(serve) as server:
            # More than the timeout in all, so that the deadline passes meanwhile.
            told = self.load("-c1", "-n30", "--timeout=0.45", server.url(), "--max-errors=2")
        self.assertGreaterEqual(told["statuses"]["2xx"], 28)

    def test_bytes_that_nobody_asked_for(self):
        with Server(always(HELLO * 2)) as server:
            told = self.load("-c1", "-n10", server.url(), status=1)
            self.load("-c1", "-n10", "--max-errors=10", server.url())
        self.assertEqual(told["statuses"]["2xx"], 10)
        self.assertGreater(told["connects"]["surplus"], 0)

    def test_an_early_answer_to_a_large_body(self):
        done = threading.Event()

        def serve(peer, _):
            peer.socket.recv(1000)
            # That the rest of the body would have to come before another request, it leaves unsaid.
            peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            done.wait(DEADLINE_S)
        with tempfile.NamedTemporaryFile() as file, Server(serve) as server:
            file.write(b"x" * 30_000_000)
            file.flush()
            told = self.load("-c1", "-n3", "--body-file", file.name, server.url(), status=1)
            done.set()
        self.assertEqual(told["statuses"]["4xx"], 3)
        self.assertLess(told["throughput"]["bytes_out"], 3 * 30_000_000)

    def test_a_server_that_closes_at_rest_is_not_at_fault(self):
        def serve(peer, _):
            peer.request()
            # The answer leaves together with the end.
            peer.socket.send(HELLO, socket.MSG_MORE)
            peer.shut()
        with Server(serve) as server:
            told = self.load("-c1", "-n5", "-r10", server.url())
        self.assertEqual(told["statuses"]["2xx"], 5)
        self.assertEqual(told["connects"]["reconnects"], 4)

    def test_a_server_that_goes_away(self):
        count = 0

        def serve(peer, _):
            nonlocal count
            while peer.request():
                with server.lock:
                    count += 1
                    if count == 20:
                        server.hang_up()
                    if count >= 20:
                        return
                    peer.send(HELLO)
        with Server(serve) as server:
            told = self.load("-c2", "-n30", server.url(), status=1)
        self.assertEqual(told["statuses"]["2xx"], 19)
        self.assertEqual(told["errors"]["connect_refused"], told["connects"]["failed"])
        # The others were under way.
        self.assertGreaterEqual(told["errors"]["connect_refused"], 9)

    def test_reconnects_are_limited(self):
        with Server(lambda peer, _: peer.request()) as server:
            code, out, err = run("--json", "-c2", "-n30", "--reconnect=3", server.url())
        told = json.loads(out)
        self.check(told)
        self.assertEqual((code, err), (1, "skua-load: no connection was left\n"))
        self.assertEqual(told["connects"]["given_up"], 2)
        self.assertEqual(told["connects"]["opened"], 8)
        self.assertEqual((told["errors"]["closed"], told["errors"]["given_up"]), (8, 2))


class OpenLoopTest(Case):
    """What a stall costs, in both loops: this is what coordinated omission hides."""

    def test_a_closed_loop_sees_a_stall_once(self):
        with Server(Staller(at=50)) as server:
            told = self.load("-c1", "-n200", server.url())
        # A second one only if the machine stalls as long.
        self.assertIn(self.slow(told["service_time_ns"], STALL_S * 1e9), (1, 2))
        self.assertGreaterEqual(told["service_time_ns"]["max"], STALL_S * 1e9)
        self.assertLess(told["service_time_ns"]["p90"], SLOW_NS)

    def stalled(self, rate):
        """How many responses were slow in an open loop over 3 connections with one stall."""
        with Server(Staller(at=100)) as server:
            told = self.load("-c3", "-r%d" % rate, "-n300", server.url())
        self.assertEqual(told["requests"]["answered"], 300)
        loop = told["open_loop"]
        slow = self.slow(told["response_time_ns"])
        # Those that were due in all of the stall but its last SLOW_NS.
        delayed = rate * (STALL_S - SLOW_NS / 1e9)
        self.assertGreaterEqual(slow, delayed - 3)
        self.assertGreaterEqual(loop["late"], delayed - 3)
        self.assertGreaterEqual(loop["late_max_ns"], SLOW_NS)
        self.assertEqual(loop["unsent"], 0)
        # What was slow began late, or was slow itself.
        slow_itself = self.slow(told["service_time_ns"], SLOW_NS - 2_000_000)
        self.assertLessEqual(slow, loop["late"] + slow_itself)
        self.assertGreaterEqual(slow_itself, 1)
        return slow

    def test_an_open_loop_sees_all_that_a_stall_delays(self):
        rate = 400
        for _ in range(4):
            if self.stalled(rate) <= rate * STALL_S * 1.5:
                return
        self.fail("more were slow than the stall has delayed, again and again")

    def test_a_stall_at_the_end_is_seen_too(self):
        with Server(Staller(at=60)) as server:
            told = self.load("-c2", "-r400", "-d0.2", server.url())
        self.assertEqual(told["requests"]["answered"], 80)
        self.assertGreaterEqual(self.slow(told["response_time_ns"]), 18)

    def test_what_is_never_sent_is_told(self):
        def serve(peer, _):
            while peer.request():
                time.sleep(0.1)
                peer.send(HELLO)
        args = "-c1", "-r100", "--timeout=0.3", "--max-errors=30"  # on a slow machine
        with Server(serve) as server:
            told = self.load(*args, "-d0.5", server.url())
            code, out, _ = run(*args, "-d0.3", server.url())
        self.assertEqual(told["open_loop"]["due"], 50)
        self.assertLessEqual(told["requests"]["begun"], 9)
        self.assertGreaterEqual(told["open_loop"]["unsent"], 41)
        self.assertEqual(code, 0)
        self.assertRegex(out, r"30 due, \d+ late \(at most [^)]+\), 2\d unsent")

    def test_the_rate_is_kept_and_random_times_come_by_the_seed(self):
        with httpd() as (url, _):
            told = self.load("-c8", "-r1000", "-d0.2", url + "/plaintext")
            self.assertEqual((told["open_loop"]["due"], told["window_ns"]), (200, 200_000_000))
            self.assertEqual(told["arrivals"], "constant")
            due = [self.load("-c8", "-r1000", "-d0.2", "--poisson", "--seed=%d" % seed,
                             url + "/plaintext")["open_loop"]["due"] for seed in (5, 5, 6, 7)]
        self.assertEqual(due[0], due[1])
        self.assertGreater(len(set(due)), 1)
        for count in due:
            self.assertAlmostEqual(count, 200, delta=5 * 200 ** 0.5)

    def test_an_open_loop_with_pipelines(self):
        def serve(peer, _):
            while peer.request():
                time.sleep(0.005)
                peer.send(HELLO)
        with Server(serve) as server:
            told = self.load("-c1", "-r400", "-n60", "--pipeline=16", server.url())
        self.assertEqual(told["statuses"]["2xx"], 60)
        # Twice what the server can do: several are on the connection at a time.
        self.assertGreater(told["service_time_ns"]["max"], 15_000_000)


class EchoTest(Case):
    def test_echoes_are_counted_and_compared(self):
        for args in (("--size=1",), (), ("--size=200000", "--pipeline=3"), ("--pipeline=16",),
                     ("--churn",), ("-r2000",)):
            with Server(echo) as server:
                told = self.load("-c3", "-n60", *args, server.url("", "echo"))
            self.assertEqual(told["requests"]["answered"], 60, args)
            self.assertEqual(told["throughput"]["bytes_in"], told["throughput"]["bytes_out"])
            self.assertEqual(told["connects"]["opened"], 60 if "--churn" in args else 3)

    def test_a_corrupted_echo_is_found(self):
        for place in (0, 31, 63):
            def serve(peer, _, place=place):
                for count in range(10 ** 9):
                    data = peer.take(64)
                    if data is None:
                        return
                    if count == 5:
                        data = data[:place] + bytes([data[place] ^ 1]) + data[place + 1:]
                    peer.send(data)
            with Server(serve) as server:
                told = self.load("-c1", "-n10", server.url("", "echo"), status=1)
            self.assertEqual(told["errors"]["content"], 1)
            self.assertEqual(told["requests"]["answered"], 9)

    def test_an_echo_of_another_message_is_found(self):
        def serve(peer, _):
            first = peer.take(64)
            peer.send(first)
            while peer.take(64):
                peer.send(first)
        with Server(serve) as server:
            told = self.load("-c1", "-n4", "--size=64", server.url("", "echo"), status=1)
        self.assertGreaterEqual(told["errors"]["content"], 2)

    def test_half_an_echo_and_too_much_of_it(self):
        def half(peer, _):
            peer.send(peer.take(64)[:20])
        with Server(half) as server:
            told = self.load("-c1", "-n4", server.url("", "echo"), status=1)
        self.assertEqual(told["errors"]["closed"], 4)

        def more(peer, _):
            while data := peer.take(64):
                peer.send(data + b"x")
        with Server(more) as server:
            told = self.load("-c1", "-n4", server.url("", "echo"), status=1)
        self.assertEqual(told["requests"]["answered"] + told["errors"]["content"], 4)
        self.assertGreater(told["connects"]["surplus"] + told["errors"]["content"], 0)


class LifeTest(Case):
    def interrupted(self, number):
        """(exit status, stdout) of a long run that gets a signal when it has been answered once."""
        answered = threading.Event()

        def serve(peer, _):
            while peer.request():
                peer.send(HELLO)
                answered.set()
        with Server(serve) as server:
            process = subprocess.Popen([LOAD, "--json", "-c2", "-d1000", server.url()],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
            answered.wait(DEADLINE_S)
            process.send_signal(number)
            out = process.communicate(timeout=DEADLINE_S)[0]
        return process.returncode, out

    def test_a_signal_ends_it_with_what_was_measured(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            status, out = self.interrupted(number)
            self.assertEqual(status, 128 + number)
            told = json.loads(out)
            self.check(told)
            self.assertTrue(told["interrupted"])
            self.assertLess(told["window_ns"], 1000e9)
            self.assertLessEqual(told["requests"]["unfinished"], 2)

    def test_a_signal_ends_a_connect_and_requests_in_flight(self):
        asked = threading.Event()

        def serve(peer, _):
            if peer.request():
                asked.set()
                peer.more()
        with Server(serve) as server:
            process = subprocess.Popen([LOAD, "--json", "-c1", "-d100", "--timeout=100",
                                        server.url()], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, text=True)
            asked.wait(DEADLINE_S)
            process.send_signal(signal.SIGINT)
            out = process.communicate(timeout=DEADLINE_S)[0]
        told = json.loads(out)
        self.check(told)
        self.assertEqual((process.returncode, told["requests"]["unfinished"]), (130, 1))

    def test_the_summary_tells_the_same(self):
        with Server(always(HELLO)) as server, tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "out.json")
            code, out, err = run("-c2", "-n50", "--histogram", "--json=" + path, server.url())
            with open(path, encoding="ascii") as file:
                told = json.load(file)
        self.assertEqual((code, err), (0, ""))
        self.check(told)
        self.assertRegex(out, r"(?m)^  requests +50 answered, [\d.]+/s$")
        self.assertRegex(out, r"(?m)^  statuses +2xx 50$")
        self.assertRegex(out, r"(?m)^  errors +0$")
        self.assertRegex(out, r"(?m)^ +min +mean +p50 +p90 +p99 +p99\.9 +p99\.99 +max$")
        rows = re.findall(r"(?m)^ +[\d.]+ [mun]?s +(\d+) +[\d.]+% ?#*$", out)
        self.assertEqual(sum(map(int, rows)), 50)

    def test_progress_is_shown_when_asked_for_and_quiet_is_quiet(self):
        with httpd() as (url, _):
            code, out, err = run("-c1", "-d1.2", "-r50", "--progress", "-q", url + "/plaintext")
            self.assertEqual((code, out), (0, ""))
            self.assertRegex(err, r"^( +\d s +[\d.]+ requests/s  0 errors\n)+$")
            self.assertEqual(run("-n5", "-q", url + "/plaintext"), (0, "", ""))
            self.assertEqual(run("-n5", "-q", url + "/nothing"), (1, "", "skua-load: 5 errors\n"))

    def test_output_that_cannot_be_written_is_a_failure(self):
        with Server(always(HELLO)) as server:
            for args in (("--json",), ()):
                with open("/dev/full", "w", encoding="ascii") as full:
                    done = subprocess.run([LOAD, "-n5", *args, server.url()], stdout=full,
                                          stderr=subprocess.PIPE, timeout=DEADLINE_S, check=False)
                self.assertEqual(done.returncode, 1)
                self.assertIn(b"No space left", done.stderr)
            self.assertEqual(run("-n5", "--json=/nonexistent/x", server.url())[0], 1)

    def test_results_of_before_stay_until_there_are_new_ones(self):
        with tempfile.TemporaryDirectory() as folder, Server(always(HELLO)) as server:
            path = os.path.join(folder, "results")
            old = "before " * 2000
            with open(path, "w", encoding="ascii") as file:
                file.write(old)
            with socket.create_server(("127.0.0.1", 0)) as listener:
                port = listener.getsockname()[1]
            self.assertEqual(run("--json=" + path, "http://127.0.0.1:%d/" % port)[0], 1)
            with open(path, encoding="ascii") as file:
                self.assertEqual(file.read(), old)
            self.assertEqual(run("-n5", "--json=" + path, server.url())[0], 0)
            with open(path, encoding="ascii") as file:
                self.check(json.load(file))

    def test_nobody_there(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        code, out, err = run("http://127.0.0.1:%d/" % port)
        self.assertEqual((code, out), (1, ""))
        self.assertEqual(err, "skua-load: cannot connect to 127.0.0.1:%d: Connection refused\n"
                         % port)
        code, out, err = run("--connect-timeout=2", "http://no-such-host.invalid/")
        self.assertEqual((code, out), (1, ""))
        self.assertRegex(err, r"^skua-load: cannot resolve no-such-host\.invalid:80: .+\n$")

    def test_too_few_descriptors(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
        code, _, err = run("-c200", "http://127.0.0.1:1/", preexec_fn=limit)
        self.assertEqual(code, 1)
        self.assertEqual(err, "skua-load: 200 connections need 264 descriptors, and the limit is "
                         "100 (ulimit -Hn)\n")

        def soft():
            resource.setrlimit(resource.RLIMIT_NOFILE, (100, 1000))
        with Server(always(HELLO)) as server:
            self.load("-c200", "-n400", server.url(), preexec_fn=soft)

    def test_help_names_every_option(self):
        code, out, err = run("--help")
        self.assertEqual((code, err), (0, ""))
        named = set(re.findall(r"--([a-z-]+)", out))
        for option in named:
            self.assertNotIn("no such option", run("--" + option, "x")[2], option)
        self.assertGreaterEqual(len(named), 27)
        self.assertEqual(run("--version")[1], "skua-load (skua) 0.1.0\n")

    def test_wrong_command_lines(self):
        url = "http://127.0.0.1:1/"
        for args in ((), (url, url), ("ftp://a/",), ("https://a/",), ("a",), ("http://",),
                     ("http:///x",), ("http://a:0/",), ("http://a:99999/",), ("http://a:b/",),
                     ("http://u@a/",), ("http://a/#b",), ("http://a/b c",), ("http://a?b",),
                     ("http://" + "a" * 300 + "/",), ("echo://a",), ("echo://a:1/x",),
                     ("-c0", url), ("-cx", url), ("-c", url), ("-d0", url), ("-dnan", url),
                     ("-r0", url), ("-r-1", url), ("-n0", url), ("--pipeline=0", url),
                     ("--pipeline=2", "--churn", url), ("--poisson", url), ("--size=5", url),
                     ("--header=x", url), ("-H", "a b: c", url), ("-H", "a: b\r\nc: d", url),
                     ("-H", "content-length: 3", url), ("--method=A B", url),
                     ("--method=CONNECT", url), ("--path=x", url), ("--path=/a b", url),
                     ("--path-file=/dev/null", url), ("--body=a", "--body-file=b", url),
                     ("--body=a", "echo://a:1"), ("-H", "a: b", "echo://a:1"), ("--nothing", url),
                     ("--timeout=0", url), ("--workers=0", url), ("--max-errors=-1", url)):
            code, out, err = run(*args)
            self.assertEqual((code, out), (2, ""), args)
            self.assertRegex(err, r"^skua-load: .*; try --help\n$", args)
        for args in (("--body-file=/nonexistent", url), ("--path-file=/nonexistent", url),
                     ("--json=/nonexistent/x", url)):
            code, _, err = run(*args)
            path = args[0].split("=")[1]
            self.assertEqual((code, err), (1, "skua-load: %s: No such file or directory\n" % path))


def take_program(usage):
    """The program to be tested is the first argument."""
    global LOAD, HTTPD
    if len(sys.argv) < 2:
        sys.exit(usage)
    LOAD = os.path.abspath(sys.argv.pop(1))
    HTTPD = os.path.join(os.path.dirname(LOAD), "skua-httpd")


if __name__ == "__main__":
    take_program(__doc__)
    unittest.main()
