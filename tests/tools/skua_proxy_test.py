#!/usr/bin/env python3
"""Tests of the program skua-proxy: carrying, balancing, breaking, programs of others.

Usage: skua_proxy_test.py PATH-OF-SKUA-PROXY [unittest options]

Cases that need redis-server, redis-benchmark, curl or rsync are skipped without them.
"""
import contextlib
import errno
import glob
import hashlib
import http.server
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import threading
import time
import unittest

from skua_proxy_kit import (DEADLINE_S, MIB, ProxyTest, bind, echo, eventually, pattern, read_all,
                            read_exactly, reset, was_reset)


SPARE_PIPES = 16  # PROXY_PIPES_SPARE_MAX


ENGINES = ("uring", "epoll")
TCP_FIN_WAIT2 = 5  # of tcp_states.h


def tcp_state(sock):
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


class Carry(ProxyTest):
    def transfer(self, proxy, size):
        data = pattern(size, 1)
        sock = self.client(proxy)
        sender = threading.Thread(target=lambda: (sock.sendall(data),
                                                  sock.shutdown(socket.SHUT_WR)))
        sender.start()
        got = read_all(sock)
        sender.join(DEADLINE_S)
        self.assertEqual(hashlib.sha256(got).digest(),
                         hashlib.sha256(pattern(size, 2)).digest())

    def test_much_goes_both_ways_at_once_and_arrives_as_it_was(self):
        size = 16 * MIB
        sums = []

        def both(sock):
            sender = threading.Thread(target=lambda: (sock.sendall(pattern(size, 2)),
                                                      sock.shutdown(socket.SHUT_WR)))
            sender.start()
            sums.append(hashlib.sha256(read_all(sock)).digest())
            sender.join(DEADLINE_S)

        for engine in ENGINES:
            with self.subTest(engine=engine):
                backend = self.backend(both)
                proxy = self.engine_proxy(engine, backend)
                for _ in range(2):
                    self.transfer(proxy, size)
                self.end(proxy)
                backend.close()
                self.assertEqual(sums, [hashlib.sha256(pattern(size, 1)).digest()] * 2)
                self.assertEqual(backend.errors, [])
                self.assertIn("2 connections, 0 open, %d bytes up, %d bytes down" %
                              (2 * size, 2 * size), proxy.errors())
                self.assertIn("ended: 2 done", proxy.errors())
                sums.clear()

    def test_a_client_that_shuts_down_still_gets_a_long_answer(self):
        answer = pattern(8 * MIB, 3)

        def answer_at_end(sock):
            asked = read_all(sock)
            sock.sendall(answer + asked)

        proxy = self.proxy(self.backend(answer_at_end))
        sock = self.client(proxy)
        sock.sendall(b"request")
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(sock), answer + b"request")
        self.end(proxy)

    def test_a_backend_that_shuts_down_still_gets_a_long_request(self):
        got = []

        def greet_and_listen(sock):
            sock.sendall(b"greeting")
            sock.shutdown(socket.SHUT_WR)
            got.append(read_all(sock))

        backend = self.backend(greet_and_listen)
        proxy = self.proxy(backend)
        sock = self.client(proxy)
        self.assertEqual(read_all(sock), b"greeting")
        sock.sendall(pattern(8 * MIB, 4))
        sock.close()
        self.end(proxy)
        backend.close()
        self.assertEqual((got, backend.errors), ([pattern(8 * MIB, 4)], []))

    def test_a_connection_without_bytes_is_closed_by_either_side(self):
        proxy = self.proxy(self.backend(lambda sock: None))
        with self.client(proxy) as sock:
            self.assertEqual(read_all(sock), b"")
        silent = self.proxy(self.backend(read_all))
        self.client(silent).close()
        self.end(proxy)
        self.end(silent)

    def test_two_hundred_connections_at_once_are_spread_evenly(self):
        backends = [self.backend(), self.backend()]
        proxy = self.proxy(*backends)
        pipes_before = proxy.pipes()
        with self.client(proxy) as sock:  # what is opened once is there then
            self.talk(sock)
        eventually(lambda: proxy.sockets() == 1, "it is closed")
        before = len(proxy.descriptors()) - proxy.pipes()
        socks = []
        for i in range(200):
            socks.append(self.client(proxy))
            socks[-1].sendall(b"%d\n" % i)
        for i, sock in enumerate(socks):
            self.assertEqual(read_exactly(sock, len(b"%d\n" % i)), b"%d\n" % i)
        self.assertEqual(sorted(backend.count for backend in backends), [100, 101])
        self.assertIn("201 connections, 200 open", proxy.counters())
        # Those that wait have no pipe; a few are kept for whoever is next.
        pipes = proxy.pipes() - pipes_before
        self.assertEqual(pipes > 0, "--splice" in proxy.process.args)
        self.assertLessEqual(pipes, 2 * SPARE_PIPES)
        for sock in socks:
            sock.close()
        eventually(lambda: len(proxy.descriptors()) - proxy.pipes() <= before,
                   "descriptors are as before")
        self.assertLessEqual(proxy.pipes() - pipes_before, 2 * SPARE_PIPES)
        self.end(proxy)

    def test_names_unix_sockets_and_ipv6_are_addresses(self):
        folder = tempfile.mkdtemp(prefix="skua-proxy-")
        self.addCleanup(shutil.rmtree, folder)
        inner = os.path.join(folder, "inner")
        outer = os.path.join(folder, "outer")
        backend = self.backend(bound=bind(inner, socket.AF_UNIX))
        proxy = self.proxy(backend, listen=("unix:" + outer, "localhost:0", "[::1]:0", ":0"))
        self.assertEqual(proxy.names[0], "unix:" + outer)
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.connect(outer)
        self.talk(sock)
        sock.close()
        for port, family, host in ((proxy.ports[1], socket.AF_INET6, "::1"),
                                   (proxy.ports[2], socket.AF_INET, "127.0.0.1")):
            sock = self.client(proxy, family=family, host=host, port=port)
            self.talk(sock)
            sock.close()
        named = self.proxy(self.backend().name.replace("127.0.0.1", "localhost"))
        sock = self.client(named)
        self.talk(sock)
        sock.close()
        self.end(named)
        self.end(proxy)
        self.assertFalse(os.path.exists(outer))


class Balance(ProxyTest):
    def test_round_robin_takes_one_after_the_other_whatever_is_open(self):
        backends = [self.backend() for _ in range(3)]
        proxy = self.proxy(*backends, args=["--balance=round-robin"])
        for i in range(9):
            sock = self.client(proxy)
            self.talk(sock)
            if i % 3 == 0:
                sock.close()
        self.assertEqual([backend.count for backend in backends], [3, 3, 3])

    def test_least_connections_prefers_the_backend_that_has_become_free(self):
        backends = [self.backend(), self.backend()]
        proxy = self.proxy(*backends)
        socks = []
        for _ in range(4):
            socks.append(self.client(proxy))
            self.talk(socks[-1])
        socks[0].close()
        socks[2].close()
        eventually(lambda: "2 open" in proxy.counters().split("\n")[0], "two are closed")
        for _ in range(2):
            self.talk(self.client(proxy))
        self.assertEqual([backend.count for backend in backends], [4, 2])

    def test_a_backend_that_is_down_is_left_out(self):
        backend = self.backend()
        proxy = self.proxy(self.refusing(), backend, args=["--fail-time=60"])
        for _ in range(10):
            sock = self.client(proxy)
            self.talk(sock)
            sock.close()
        lines = proxy.counters()
        self.assertRegex(lines, r"backend \S+: out, 0 open, 0 made, 1 failed")
        self.assertRegex(lines, r"backend \S+: up, \d open, 10 made, 0 failed")
        self.end(proxy)
        self.assertRegex(proxy.errors(), "Connection refused; left out for 60000 ms")

    def test_all_down_closes_clients_at_once_and_costs_nothing(self):
        proxy = self.proxy(self.refusing(), self.refusing(),
                           args=["--fail-time=60"])
        start = time.monotonic()
        for _ in range(20):
            with self.client(proxy) as sock:
                self.assertEqual(read_all(sock), b"")
        self.assertLess(time.monotonic() - start, 10)
        before = proxy.cpu_s()
        time.sleep(0.3)
        self.assertLess(proxy.cpu_s() - before, 0.15)
        self.end(proxy)
        self.assertIn("20 without backend", proxy.errors())
        # Tried all the same, as there is no other: that does not count against them again.
        self.assertEqual(re.findall(r"left out for (\d+)", proxy.errors()), ["60000"] * 2)

    def test_the_only_backend_is_tried_although_it_is_left_out(self):
        bound = self.refusing()
        proxy = self.proxy(bound, args=["--fail-time=600"])
        with self.client(proxy) as sock:
            self.assertEqual(read_all(sock), b"")
        self.backend(bound=bound)
        sock = self.client(proxy)
        self.talk(sock)
        sock.close()
        self.end(proxy)
        self.assertIn("is back", proxy.errors())

    def test_it_is_left_out_for_twice_as_long_each_time(self):
        proxy = self.proxy(self.refusing(), self.backend(),
                           args=["--fail-time=0.02", "--balance=round-robin"])
        pattern_ = re.compile(r"left out for (\d+) ms")
        end = time.monotonic() + DEADLINE_S
        while len(pattern_.findall(proxy.errors())) < 4 and time.monotonic() < end:
            sock = self.client(proxy)
            self.talk(sock)
            sock.close()
        self.assertEqual(pattern_.findall(proxy.errors())[:4], ["20", "40", "80", "160"])
        self.end(proxy)

    def test_a_backend_that_does_not_answer_costs_the_connect_timeout_once(self):
        with socket.socket() as full, contextlib.ExitStack() as stack:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for _ in range(4):  # more than its backlog holds: the next ones hear nothing
                sock = stack.enter_context(socket.socket())
                sock.setblocking(False)
                sock.connect_ex(full.getsockname())
            proxy = self.proxy(full, self.backend(),
                               args=["--connect-timeout=0.3", "--fail-time=60"])
            start = time.monotonic()
            for _ in range(5):
                sock = self.client(proxy)
                self.talk(sock)
                sock.close()
            self.assertGreater(time.monotonic() - start, 0.25)
            self.assertRegex(proxy.counters(), "out, 0 open, 0 made, 1 failed")
            self.end(proxy)

    def test_one_client_finds_out_whether_a_backend_answers_again(self):
        with socket.socket() as full, contextlib.ExitStack() as stack:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for _ in range(4):
                sock = stack.enter_context(socket.socket())
                sock.setblocking(False)
                sock.connect_ex(full.getsockname())
            proxy = self.proxy(full, self.backend(), args=[
                "--connect-timeout=0.5", "--fail-time=0.001", "--balance=round-robin"])
            for _ in range(3):
                socks = [self.client(proxy) for _ in range(20)]
                for sock in socks:
                    sock.sendall(b"x")
                    sock.settimeout(DEADLINE_S)
                for sock in socks:
                    self.assertEqual(read_exactly(sock, 1), b"x")
                    sock.close()
            failed = int(re.search(r", 0 made, (\d+) failed", proxy.counters()).group(1))
            # Before the first verdict nobody knows: half of the first twenty may have tried.
            self.assertLess(failed, 10 + 2 * 3)
            self.assertGreater(failed, 1)
            self.end(proxy)

    def test_checks_take_a_backend_down_and_up_without_clients(self):
        bound = self.refusing()
        proxy = self.proxy(bound,
                           args=["--check-interval=0.02", "--check-fall=3", "--check-rise=2"])
        eventually(lambda: "is down" in proxy.errors(), "down")
        with self.client(proxy) as sock:
            self.assertEqual(read_all(sock), b"")
        backend = self.backend(bound=bound)
        eventually(lambda: "is up" in proxy.errors(), "up")
        sock = self.client(proxy)
        self.talk(sock)
        sock.close()
        backend.close()
        eventually(lambda: proxy.errors().count("is down") == 2, "down again")
        self.assertRegex(proxy.counters(), "down, 0 open, 1 made, 0 failed")
        proxy.signal()
        self.assertEqual(proxy.wait(), 0)


class Break(ProxyTest):
    def test_a_backend_that_dies_in_a_transfer_is_a_reset_for_the_client(self):
        def die(sock):
            sock.sendall(b"x" * MIB)
            read_exactly(sock, 1)
            reset(sock)

        proxy = self.proxy(self.backend(die))
        sock = self.client(proxy)
        read_exactly(sock, MIB)
        sock.sendall(b"!")
        self.assertTrue(was_reset(sock))
        self.end(proxy)
        self.assertIn("1 by the backend", proxy.errors())

    def test_a_client_that_dies_in_a_transfer_is_a_reset_for_the_backend(self):
        results = []

        def send_for_ever(sock):
            try:
                while True:
                    sock.sendall(b"x" * 65536)
            except OSError as error:
                results.append(error.errno)

        backend = self.backend(send_for_ever)
        proxy = self.proxy(backend)
        sock = self.client(proxy)
        read_exactly(sock, MIB)
        reset(sock)
        eventually(lambda: results, "the backend hears of it")
        self.assertIn(results[0], (errno.ECONNRESET, errno.EPIPE))
        self.end(proxy)
        self.assertIn("1 by the client", proxy.errors())

    def send_until_blocked(self, sock):
        """Returns how many bytes the connection has taken; it takes no more for a while."""
        sent = 0
        sock.settimeout(0.3)
        with contextlib.suppress(socket.timeout):
            while True:
                sent += sock.send(b"x" * 65536)
        sock.settimeout(DEADLINE_S)
        return sent

    def test_a_client_that_is_reset_while_the_backend_takes_nothing_ends_both(self):
        over = threading.Event()
        backend = self.backend(lambda _: over.wait(DEADLINE_S))
        self.addCleanup(over.set)  # before the backend's end
        for engine in ENGINES:
            with self.subTest(engine=engine):
                proxy = self.engine_proxy(engine, backend)
                sock = self.client(proxy)
                self.send_until_blocked(sock)
                reset(sock)
                self.end(proxy)
                self.assertIn("ended: 0 done, 1 by the client, 0 by the backend", proxy.errors())

    def test_a_client_that_is_reset_in_both_directions_is_no_end_to_the_backend(self):
        over = threading.Event()

        def send_until_it_fails(sock):
            with contextlib.suppress(ConnectionError):
                while True:
                    sock.sendall(b"y" * 65536)
            over.wait(DEADLINE_S)

        for engine in ENGINES:
            with self.subTest(engine=engine):
                over.clear()
                backend = self.backend(send_until_it_fails)
                self.addCleanup(over.set)  # before the backend's end
                proxy = self.engine_proxy(engine, backend)
                sock = self.client(proxy)
                self.send_until_blocked(sock)
                reset(sock)  # its error is told once, and both directions wait for it
                self.end(proxy)
                over.set()
                backend.close()
                self.assertIn("1 by the client", proxy.errors())
                self.assertEqual(backend.errors, [])

    def test_a_client_that_has_only_shut_down_is_waited_for_while_the_backend_takes_nothing(self):
        go = threading.Event()

        def wait_and_count(sock):
            if backend.count > 1:
                go.wait(DEADLINE_S)
                sock.sendall(b"%d" % len(read_all(sock)))
            else:
                go.wait(DEADLINE_S)

        for engine in ENGINES:
            with self.subTest(engine=engine):
                go.clear()
                backend = self.backend(wait_and_count)
                self.addCleanup(go.set)  # before the backend's end
                proxy = self.engine_proxy(engine, backend)
                size = 0
                for is_first in (True, False):
                    sock = socket.socket()
                    self.addCleanup(sock.close)
                    # It keeps little, so that the end can come up to the proxy.
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
                    sock.settimeout(DEADLINE_S)
                    sock.connect(("127.0.0.1", proxy.ports[0]))
                    if is_first:
                        size = self.send_until_blocked(sock) - 65536
                        reset(sock)
                        eventually(lambda: proxy.sockets() == 1, "it is gone")
                sender = threading.Thread(target=lambda: (sock.sendall(b"x" * size),
                                                          sock.shutdown(socket.SHUT_WR)))
                sender.start()
                # Where there is less room this time the end comes later, which is as good an end.
                with contextlib.suppress(AssertionError):
                    eventually(lambda: tcp_state(sock) == TCP_FIN_WAIT2, "the end is there", 2)
                self.assertIn("1 open", proxy.counters().split("\n")[0])
                go.set()
                self.assertEqual(read_all(sock), b"%d" % size)
                sender.join(DEADLINE_S)
                sock.close()
                self.end(proxy)
                self.assertIn("ended: 1 done, 1 by the client", proxy.errors())

    def test_a_client_that_is_closed_while_the_backend_sends_ends_both(self):
        def send_for_ever(sock):
            with contextlib.suppress(OSError):
                while True:
                    sock.sendall(b"x" * 65536)

        proxy = self.proxy(self.backend(send_for_ever))
        sock = self.client(proxy)
        read_exactly(sock, MIB)
        sock.close()
        self.end(proxy)

    def test_an_early_answer_arrives_although_the_request_is_not_read(self):
        def refuse(sock):
            sock.recv(1)
            sock.sendall(b"no: " + b"y" * 20000)
            sock.close()  # with bytes unread: that is a reset behind the answer

        proxy = self.proxy(self.backend(refuse))
        for _ in range(10):
            sock = self.client(proxy)
            sock.settimeout(DEADLINE_S)
            with contextlib.suppress(OSError):
                sock.sendall(b"z" * (4 * MIB))
            got = b""
            with contextlib.suppress(ConnectionResetError):
                while True:
                    data = sock.recv(65536)
                    if not data:
                        break
                    got += data
            self.assertEqual(len(got), 20004)
            sock.close()
        self.end(proxy)

    def test_an_idle_connection_is_closed_and_a_slow_one_is_not(self):
        proxy = self.proxy(self.backend(), args=["--idle-timeout=0.6"])
        idle = self.client(proxy)
        slow = self.client(proxy)
        self.talk(idle)
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            self.talk(slow, b"x")
            time.sleep(0.02)
        self.assertEqual(read_all(idle), b"")
        self.talk(slow, b"y")
        slow.close()
        self.end(proxy)
        self.assertIn("1 done", proxy.errors())
        self.assertIn("1 idle", proxy.errors())

    def test_an_idle_connection_with_bytes_on_their_way_is_reset(self):
        def send_until_it_fails(sock):
            with contextlib.suppress(OSError):
                while True:
                    sock.sendall(b"x" * 65536)

        proxy = self.proxy(self.backend(send_until_it_fails), args=["--idle-timeout=0.4"])
        sock = self.client(proxy)
        eventually(lambda: "1 idle" in proxy.counters(), "it is idle")
        self.assertTrue(was_reset(sock))
        sock.close()
        self.end(proxy)
        self.assertIn("1 idle", proxy.errors())

    def test_the_patience_with_a_half_closed_connection_begins_when_it_is_half_closed(self):
        def answer_late(sock):
            read_all(sock)
            time.sleep(0.2)
            sock.sendall(b"late")

        proxy = self.proxy(self.backend(answer_late),
                           args=["--half-close-timeout=2", "--idle-timeout=100"])
        sock = self.client(proxy)
        sock.sendall(b"x")
        time.sleep(2.5)
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(sock), b"late")
        sock.close()
        self.end(proxy)
        self.assertIn("1 done", proxy.errors())

    def test_a_half_closed_connection_may_have_less_patience(self):
        over = threading.Event()
        proxy = self.proxy(self.backend(lambda sock: over.wait(DEADLINE_S)),
                           args=["--half-close-timeout=0.1", "--idle-timeout=100"])
        whole = self.client(proxy)
        half = self.client(proxy)
        half.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(half), b"")
        whole.setblocking(False)
        with self.assertRaises(BlockingIOError):
            whole.recv(1)
        over.set()
        whole.close()
        self.end(proxy)
        self.assertIn("idle", proxy.errors())

    def test_beyond_the_limit_connections_wait_for_their_turn(self):
        backend = self.backend()
        proxy = self.proxy(backend, args=["--max-connections=3"])
        socks = [self.client(proxy) for _ in range(3)]
        for sock in socks:
            self.talk(sock)
        late = self.client(proxy)
        late.sendall(b"late")
        late.settimeout(0.2)
        with self.assertRaises(socket.timeout):
            late.recv(4)
        self.assertEqual(backend.count, 3)
        socks[0].close()
        late.settimeout(DEADLINE_S)
        self.assertEqual(read_exactly(late, 4), b"late")
        for sock in socks + [late]:
            sock.close()
        self.end(proxy)

    def test_it_survives_being_out_of_descriptors(self):
        proxy = self.proxy(self.backend(), limit=48, args=["--workers=1"])
        socks = [self.client(proxy) for _ in range(80)]
        for sock in socks:
            with contextlib.suppress(OSError):  # turned away already
                sock.sendall(b"x")
        for sock in socks[:3]:  # they came when there was enough
            self.assertEqual(sock.recv(1), b"x")
        before = proxy.cpu_s()
        time.sleep(0.3)
        self.assertLess(proxy.cpu_s() - before, 0.15)
        for sock in socks:
            sock.close()

        def works():
            with proxy.connect() as sock, contextlib.suppress(OSError):
                sock.sendall(b"again")
                return sock.recv(5) == b"again"
            return False

        eventually(works, "it serves again")
        self.end(proxy)


class CarryBySplice(Carry):
    """The same, without copies."""

    def proxy(self, *backends, args=(), **kwargs):
        return super().proxy(*backends, args=[*args, "--splice"], **kwargs)


class BreakBySplice(Break):
    """The same, without copies."""

    def proxy(self, *backends, args=(), **kwargs):
        return super().proxy(*backends, args=[*args, "--splice"], **kwargs)

    def test_bytes_left_over_by_a_broken_connection_reach_no_other(self):
        over = threading.Event()
        count = 4
        backend = self.backend(lambda sock: echo(sock) if backend.count > count else
                               over.wait(DEADLINE_S))
        proxy = self.proxy(backend, args=["--workers=1"])
        before = proxy.pipes()
        socks = [self.client(proxy) for _ in range(count)]
        for sock in socks:
            sock.settimeout(0.2)
            with self.assertRaises(socket.timeout):
                while True:
                    sock.sendall(b"x" * 65536)
        self.assertEqual(proxy.pipes(), before + 2 * count)  # held, so there are bytes in them
        over.set()  # with bytes unread, which is a reset
        eventually(lambda: proxy.sockets() == 1, "they are reset")
        for sock in socks:
            sock.close()
        for i in range(count):
            sock = self.client(proxy)
            self.talk(sock, pattern(MIB // 4, i))
            sock.close()
        self.end(proxy)


class Clients(ProxyTest):
    """Programs that others have written."""

    def need(self, *programs):
        for program in programs:
            if not shutil.which(program):
                self.skipTest("no " + program)

    def test_redis_benchmark_with_pipelines_finds_nothing_missing(self):
        self.need("redis-server", "redis-benchmark", "redis-cli")
        folder = tempfile.mkdtemp(prefix="skua-proxy-")
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "redis")
        server = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--appendonly",
             "no", "--dir", folder], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        eventually(lambda: os.path.exists(path), "redis-server listens")
        proxy = self.proxy("unix:" + path)
        to = ["-h", "127.0.0.1", "-p", str(proxy.ports[0])]
        done = subprocess.run(
            ["redis-benchmark", *to, "-n", "20000", "-c", "50", "-P", "16", "-q", "-t",
             "incr,set,get"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, timeout=DEADLINE_S, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(re.findall("requests per second", done.stdout)), 3)
        count = subprocess.run(["redis-cli", *to, "get", "counter:__rand_int__"],
                               stdout=subprocess.PIPE, timeout=DEADLINE_S, text=True)
        self.assertEqual(count.stdout, "20000\n")
        self.end(proxy)

    def test_curl_gets_files_and_sends_them(self):
        self.need("curl")
        content = pattern(3 * MIB, 8)
        got = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_PUT(self):
                got.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        proxy = self.proxy("127.0.0.1:%d" % server.server_address[1])
        url = "http://127.0.0.1:%d/" % proxy.ports[0]
        out = subprocess.run(["curl", "-sS", "--noproxy", "*", url, url], stdout=subprocess.PIPE,
                             check=True, timeout=DEADLINE_S).stdout
        self.assertEqual(out, content * 2)
        subprocess.run(["curl", "-sS", "--noproxy", "*", "-T", "-", "-H", "Transfer-Encoding:",
                        "-H", "Content-Length: %d" % len(content), url], input=content,
                       stdout=subprocess.DEVNULL, check=True, timeout=DEADLINE_S)
        self.assertEqual(got, [content])
        self.end(proxy)

    def rsync_daemon(self, folder):
        """A backend whose module "tree" is folder/there."""
        config, log = os.path.join(folder, "config"), os.path.join(folder, "log")
        os.mkdir(os.path.join(folder, "there"))
        # Root's daemon would become somebody else; nobody else's may become anybody.
        who = "" if os.geteuid() != 0 else "uid = 0\ngid = 0\n"
        with open(config, "w") as file:
            file.write("log file = %s\n[tree]\npath = %s/there\nread only = no\n"
                       "use chroot = no\nmunge symlinks = no\n%s" % (log, folder, who))

        def serve(sock):
            sock.settimeout(None)  # it would be non-blocking for the daemon, too
            # With a socket for its input it serves that one, as under inetd: no port to be chosen.
            subprocess.run(["rsync", "--daemon", "--config=" + config], stdin=sock, stdout=sock,
                           stderr=subprocess.DEVNULL, timeout=DEADLINE_S, check=True)

        return self.backend(serve)

    def rsync(self, *args):
        done = subprocess.run(["rsync", "--archive", "--no-owner", "--no-group", "--delete", *args],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=DEADLINE_S, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_rsync_carries_a_tree_there_and_back(self):
        self.need("rsync")
        folder = tempfile.mkdtemp(prefix="skua-proxy-")
        self.addCleanup(shutil.rmtree, folder)
        here, there, back = (os.path.join(folder, name) for name in ("here", "there", "back"))
        grow_tree(here)
        backend = self.rsync_daemon(folder)
        proxies = [self.proxy(backend), self.proxy(backend, args=["--splice"])]
        urls = ["rsync://127.0.0.1:%d/tree/" % proxy.ports[0] for proxy in proxies]
        # All of it; then only what differs, which the sides find out in a conversation.
        for how in (["--whole-file"], ["--no-whole-file", "--checksum", "--compress"]):
            with self.subTest(how=how):
                self.rsync(*how, here + "/", urls[0])
                self.assertEqual(differences(here, there), [])
                self.rsync(*how, urls[1], back + "/")
                self.assertEqual(differences(here, back), [])
            change_tree(here)
            urls.reverse()
        for proxy in proxies:
            self.end(proxy)
        self.assertEqual((backend.count, backend.errors), (4, []))


def grow_tree(folder):
    """Two hundred files of up to 16 KiB, an empty folder, a link, and a file of 2 MiB."""
    for i in range(200):
        parent = os.path.join(folder, "%d" % (i % 7), "%d" % (i % 3))
        os.makedirs(parent, exist_ok=True)
        with open(os.path.join(parent, "file %d" % i), "wb") as file:
            file.write(pattern(i * i * 13 % 16385, i))
    os.mkdir(os.path.join(folder, "empty"))
    os.symlink("0/0/file 0", os.path.join(folder, "link"))
    with open(os.path.join(folder, "large"), "wb") as file:
        file.write(pattern(2 * MIB, 1))


def change_tree(folder):
    """A file goes, one comes, and one changes in the middle."""
    os.unlink(min(glob.glob(os.path.join(folder, "1", "1", "file *"))))
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        file.write(pattern(100000, 3))
    with open(os.path.join(folder, "large"), "r+b") as file:
        file.seek(MIB)
        file.write(os.urandom(1000))


def tree_of(folder):
    """{path: what there is}, modes and times included."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(parent, name)
            status = os.lstat(path)
            what = [status.st_mode, int(status.st_mtime)]
            if stat.S_ISLNK(status.st_mode):
                what.append(os.readlink(path))
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    what.append(hashlib.sha256(file.read()).digest())
            found[os.path.relpath(path, folder)] = what
    return found


def differences(folder, other):
    """The paths at which the two trees differ."""
    this, that = tree_of(folder), tree_of(other)
    return sorted(path for path in this.keys() | that.keys() if this.get(path) != that.get(path))


if __name__ == "__main__":
    unittest.main()
