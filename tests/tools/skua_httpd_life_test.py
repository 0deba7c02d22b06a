#!/usr/bin/env python3
"""Tests of the program skua-httpd: hostile and slow clients, its start, its end, its log.

Usage: skua_httpd_life_test.py PATH-OF-SKUA-HTTPD [unittest options]

What a client gets that behaves is in skua_httpd_test.py, where the servers and peers of these tests
are made, too.
"""
import contextlib
import os
import random
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True  # no trace in the tree
import skua_httpd_test as kit
from skua_httpd_test import DEADLINE_S, Base, Peer, Server, run, server


class RefusalTest(Base):
    """What must be refused, and that nothing after it is taken for a request."""

    GOOD = "GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n"
    POST = "POST /echo HTTP/1.1\r\nHost: a\r\n"
    CORPUS = [
        POST + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        POST + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        POST + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        POST + "Content-Length: 3, 4\r\n\r\nabcd",
        POST + "Content-Length: +3\r\n\r\nabc",
        POST + "Content-Length: -3\r\n\r\nabc",
        POST + "Content-Length: 0x3\r\n\r\nabc",
        POST + "Content-Length: 3 3\r\n\r\nabc",
        POST + "Content-Length: \r\n\r\nabc",
        POST + "Content-Length: 99999999999999999999999\r\n\r\nabc",
        POST + "Content-Length : 3\r\n\r\nabc",
        POST + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        POST + "Transfer-Encoding: identity\r\n\r\n",
        POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
        POST + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        POST + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        POST + "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
        POST + "Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
        POST + "Transfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n",
        POST + "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
        POST + "Transfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n",
        POST + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n\r\n\r\n",
        POST + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
        POST + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcX0\r\n\r\n",
        POST + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n",
        POST + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n",
        POST + "Transfer-Encoding: chunked\r\n\r\n3;a\nb\r\nabc\r\n0\r\n\r\n",
        POST + "Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n",
        POST + "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n",
        POST + "Transfer-Encoding: chunked\r\n\r\n0\r\n folded\r\n\r\n",
        "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /plaintext HTTP/1.1\nHost: a\n\n",
        "GET /plaintext HTTP/1.1\r\nHost: a\n\r\n",
        "GET /plaintext HTTP/1.1\r\nHost: a\r\nX: a\n\r\n",
        "GET /plaintext HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n",
        "GET /plaintext HTTP/1.1\r\nHost: a\r\nX: a\r\n folded\r\n\r\n",
        "GET /plaintext HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET /plaintext HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET /plaintext HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n",
        "GET /plaintext HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        "GET /plaintext HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "GET /plaintext HTTP/1.1\r\nHost: a\r\nX\x01: a\r\n\r\n",
        "GET /plaintext HTTP/1.1\r\n\r\n",
        "GET /plaintext HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET  /plaintext HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /plaintext  HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /plaintext HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET /plain text HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET\t/plaintext HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /plaintext\r\nHost: a\r\n\r\n",
        "GET /plaintext\r\n\r\n",
        "GET /plaintext HTTP/1\r\nHost: a\r\n\r\n",
        "GET /plaintext HTTX/1.1\r\nHost: a\r\n\r\n",
        "GET plaintext HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /plain\x01text HTTP/1.1\r\nHost: a\r\n\r\n",
        "G\x01T /plaintext HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\nGET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n",
        "\n" + GOOD,
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\r\n",
    ]

    def test_smuggled_requests_are_refused_and_the_connection_is_closed(self):
        for text in self.CORPUS:
            with self.subTest(text=text), self.server.peer() as peer:
                peer.send((text + self.GOOD).encode("latin-1"))
                answer = peer.answer()
                self.assertIsNotNone(answer)
                self.assertIn(answer.status, (400, 413) if "9999" in text else (400,))
                self.assertEqual(answer["Connection"], "close")
                self.assertEqual(peer.end(), b"", "a second answer")

    def test_unknown_versions_are_refused(self):
        for version, status in (("2.0", 505), ("3.0", 505), ("0.9", 400)):
            answer = self.get("/plaintext", version=version)
            self.assertEqual((answer.status, answer["Connection"]), (status, "close"))

    def test_one_empty_line_before_a_request_is_forgiven(self):
        with self.server.peer() as peer:
            peer.send("\r\n" + self.GOOD + "\r\n" + self.GOOD)
            self.assertEqual([peer.answer().status for _ in range(2)], [200, 200])

    def test_a_second_empty_line_is_refused_in_whatever_segments_they_come(self):
        for pieces in (["\r\n\r\n"], ["\r\n", "\r\n"], ["\r", "\n", "\r\n"], ["\r\n", "\r", "\n"]):
            for request in ("", self.GOOD):
                with self.subTest(pieces=pieces, request=request), self.server.peer() as peer:
                    if request:
                        peer.send(request)
                        self.assertEqual(peer.answer().status, 200)
                    for piece in pieces:
                        peer.send(piece)
                        time.sleep(0.02)
                    self.assertEqual(peer.answer().status, 400)
                    self.assertEqual(peer.end(), b"")

    def test_a_request_line_that_is_too_long(self):
        for size in (8100, 20000, 200000):
            with self.server.peer() as peer:
                peer.send("GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % ("x" * size))
                self.assertEqual(peer.answer().status, 414, size)
        self.assertEqual(self.get("/" + "x" * 7000).status, 404)

    def test_a_header_that_is_too_large(self):
        for count, size in ((1, 20000), (5000, 20), (1, 300000)):
            fields = "".join("X-%d: %s\r\n" % (i, "y" * size) for i in range(count))
            with self.server.peer() as peer:
                peer.send("GET /plaintext HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n")
                answer = peer.answer()
                self.assertEqual((answer.status, answer["Connection"]), (431, "close"))
        self.assertEqual(self.get("/plaintext", "X: " + "y" * 16000).status, 200)

    def test_a_body_that_is_too_large(self):
        with self.server.peer() as peer:
            peer.send(self.POST + "Content-Length: 1048577\r\n\r\n")
            self.assertEqual(peer.answer().status, 413)
        with self.server.peer() as peer:
            peer.send(self.POST + "Expect: 100-continue\r\nContent-Length: 1048577\r\n\r\n")
            self.assertEqual(peer.answer().status, 413)
        with self.server.peer() as peer:
            peer.send(self.POST + "Transfer-Encoding: chunked\r\n\r\nfffffff\r\n")
            self.assertEqual(peer.answer().status, 413)
        with self.server.peer() as peer:
            peer.send(self.POST + "Transfer-Encoding: chunked\r\n\r\n")
            with contextlib.suppress(OSError):
                for _ in range(17):
                    peer.send("10000\r\n" + "x" * 65536 + "\r\n")
            self.assertEqual(peer.answer().status, 413)

    def test_a_client_that_is_refused_while_it_sends_is_not_reset(self):
        # A reset would take the answer away from clients of some systems.
        with self.server.peer() as peer:
            peer.send(self.POST + "Content-Length: 2000000\r\n\r\n" + "x" * 300000)
            self.assertEqual(peer.answer().status, 413)
            peer.socket.shutdown(socket.SHUT_WR)
            self.assertEqual(peer.socket.recv(1), b"")
        with self.server.peer() as peer:
            peer.send("GET /plaintext HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" +
                      self.GOOD * 3000)
            self.assertEqual(peer.answer()["Connection"], "close")
            self.assertEqual(peer.socket.recv(1), b"")

    def test_limits_can_be_set(self):
        with server("--max-header", "256", "--max-body", "10") as running:
            self.assertEqual(running.get("/plaintext").status, 200)
            self.assertEqual(running.get("/plaintext", "X: " + "y" * 300).status, 431)
            with running.peer() as peer:
                peer.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789")
                self.assertEqual(peer.answer().status, 200)
                peer.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n0123456789a")
                self.assertEqual(peer.answer().status, 413)

    def test_garbage_does_not_harm_the_server(self):
        rng = random.Random(11)
        seeds = [text.encode("latin-1") for text in self.CORPUS] + [self.GOOD.encode()]
        for i in range(1000):
            if i % 2:
                data = rng.randbytes(rng.randrange(1, 300))
            else:
                mutated = bytearray(rng.choice(seeds))
                for _ in range(rng.randrange(1, 6)):
                    mutated[rng.randrange(len(mutated))] = rng.randrange(256)
                data = bytes(mutated)
            with self.server.peer() as peer:
                with contextlib.suppress(OSError):
                    peer.send(data)
                    peer.socket.shutdown(socket.SHUT_WR)
                peer.end()
        self.lives()


class TimeTest(Base):
    """Slow clients. The server's limits are short; nothing here fails if the machine is slow."""

    def test_a_header_that_comes_byte_by_byte_is_given_up(self):
        with server("--header-timeout", "0.3") as running, running.peer() as peer:
            until = time.monotonic() + DEADLINE_S
            peer.send("GET /plaintext HTTP/1.1\r\nHost: a\r\nX: ")
            while peer.is_quiet():
                self.assertLess(time.monotonic(), until)
                with contextlib.suppress(OSError):
                    peer.send("y")
                time.sleep(0.02)
            answer = peer.answer()
            self.assertEqual((answer.status, answer["Connection"]), (408, "close"))
            peer.socket.close()
            self.lives(running)

    def test_an_empty_line_after_a_request_begins_no_other(self):
        with server("--header-timeout", "0.1") as running, running.peer() as peer:
            peer.send("GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n\r\n")
            self.assertEqual(peer.answer().status, 200)
            time.sleep(0.3)
            self.assertTrue(peer.is_quiet())
            self.assertEqual(peer.get("/json").status, 200)

    def test_an_empty_line_does_not_prolong_the_rest(self):
        with server("--idle-timeout", "2") as running:
            begin = time.monotonic()
            with running.peer() as peer:
                time.sleep(1.5)
                peer.send("\r\n")
                self.assertEqual(peer.end(), b"")
                self.assertLess(time.monotonic() - begin, 3.4)
                # Closed for good at once, not listened to for two seconds as after a refusal.
                self.wait_for_descriptors(running, lambda count, at_rest: count <= at_rest)
                self.assertLess(time.monotonic() - begin, 3.4)

    def test_a_body_that_does_not_come_is_given_up(self):
        with server("--body-timeout", "0.2") as running:
            for fields in ("Content-Length: 10\r\n\r\n123", "Content-Length: 10\r\n\r\n",
                           "Transfer-Encoding: chunked\r\n\r\n5\r\nab"):
                with running.peer() as peer:
                    peer.send("POST /echo HTTP/1.1\r\nHost: a\r\n" + fields)
                    self.assertEqual(peer.answer().status, 408)

    def test_a_connection_at_rest_is_closed_silently(self):
        with server("--idle-timeout", "0.2") as running:
            with running.peer() as peer:
                self.assertEqual(peer.end(), b"")
            with running.peer() as peer:
                self.assertEqual(peer.get("/plaintext").status, 200)
                self.assertEqual(peer.end(), b"")

    def test_a_client_that_does_not_read_is_given_up(self):
        with server("--root", self.root, "--write-timeout", "0.2") as running:
            with running.peer() as peer:
                peer.send("GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
                peer.socket.recv(1)
                self.wait_for_descriptors(running, lambda count, at_rest: count <= at_rest)

    def test_work_may_take_longer_than_the_limits(self):
        with server("--idle-timeout", "0.05", "--header-timeout", "0.05") as running:
            self.assertEqual(running.get("/cpu?ms=300").status, 200)

    def wait_for_descriptors(self, running, fits):
        """Until the number of open sockets of the server is right; one is its listener."""
        until = time.monotonic() + DEADLINE_S
        folder = "/proc/%d/fd" % running.process.pid
        while True:
            links = []
            for name in os.listdir(folder):
                with contextlib.suppress(OSError):
                    links.append(os.readlink(os.path.join(folder, name)))
            if fits(sum(link.startswith("socket:") for link in links), 1):
                return
            self.assertLess(time.monotonic(), until)
            time.sleep(0.02)

    def test_nothing_is_left_of_clients_that_go_away(self):
        with server("--root", self.root) as running:
            for i in range(60):
                peer = running.peer()
                text = ("GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n",
                        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc",
                        "GET /plaintext HT", "GET /cpu?ms=5 HTTP/1.1\r\nHost: a\r\n\r\n", "")[i % 5]
                peer.send(text)
                if i % 3 == 0:
                    peer.socket.recv(100) if i % 5 in (0, 3) else None
                if i % 2:
                    peer.reset()
                else:
                    peer.socket.close()
            self.wait_for_descriptors(running, lambda count, at_rest: count <= at_rest)
            self.lives(running)


class LifeTest(Base):
    def test_many_connections_at_once(self):
        peers = []
        try:
            for _ in range(500):
                peers.append(self.server.peer())
            for _ in range(2):
                for peer in peers:
                    peer.send("GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n")
                for peer in peers:
                    self.assertEqual(peer.answer().body, b"Hello, World!")
        finally:
            for peer in peers:
                peer.socket.close()

    def test_a_connection_at_rest_takes_little_memory(self):
        with server() as running:
            with open("/proc/%d/maps" % running.process.pid) as maps:
                if re.search("lib[at]san", maps.read()):
                    self.skipTest("sanitizers take memory of their own")
            with running.peer() as peer:
                peer.get("/plaintext")
            before = self.resident_kib(running)
            peers = [running.peer() for _ in range(300)]
            for peer in peers:
                peer.send("GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n")
            for peer in peers:
                peer.answer()
            each = (self.resident_kib(running) - before) / 300
            for peer in peers:
                peer.socket.close()
            self.assertLess(each, 40)

    def resident_kib(self, running):
        with open("/proc/%d/status" % running.process.pid) as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))

    def test_running_out_of_descriptors_is_survived(self):
        def few_descriptors():
            resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))

        with server("--root", self.root, "--workers", "1",
                    preexec_fn=few_descriptors) as running:
            peers = []
            for _ in range(80):
                peers.append(running.peer())
                with contextlib.suppress(OSError):
                    peers[-1].send("GET /small.txt HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertIn(peers[0].answer().status, (200, 503))
            for peer in peers:
                peer.socket.close()
            until = time.monotonic() + DEADLINE_S
            answer = None
            while answer is None or answer.status != 200:
                self.assertLess(time.monotonic(), until)
                with contextlib.suppress(OSError):
                    answer = running.get("/small.txt")

    def test_a_file_that_shrinks_while_it_is_sent_ends_the_connection(self):
        path = os.path.join(self.root, "shrinking.bin")
        with open(path, "wb") as file:
            file.truncate(64 << 20)
        with self.server.peer() as peer:
            peer.send("GET /shrinking.bin HTTP/1.1\r\nHost: a\r\n\r\n")
            peer.socket.recv(1000)
            os.truncate(path, 0)
            size = 0
            with contextlib.suppress(ConnectionResetError):
                while data := peer.socket.recv(1 << 20):
                    size += len(data)
            self.assertLess(size, 64 << 20)
        self.lives()

    def test_connections_beyond_the_limit_wait(self):
        with server("--max-connections", "2") as running:
            first, second, third = running.peer(), running.peer(), running.peer()
            self.assertEqual(first.get("/plaintext").status, 200)
            self.assertEqual(second.get("/plaintext").status, 200)
            third.send("GET /json HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(first.get("/plaintext").status, 200)
            self.assertTrue(third.is_quiet())
            second.socket.close()
            self.assertEqual(third.answer().status, 200)
            first.socket.close()
            third.socket.close()

    def test_a_signal_lets_requests_in_flight_finish(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            running = Server("--drain", "50")
            with running.peer() as busy, running.peer() as idle, running.peer() as fresh:
                self.assertEqual(idle.get("/plaintext").status, 200)
                busy.send("GET /cpu?ms=500 HTTP/1.1\r\nHost: a\r\n\r\n")
                self.lives(running)
                begin = time.monotonic()
                running.tell(number)
                self.assertEqual(idle.end(), b"")
                self.assertEqual(fresh.end(), b"")
                answer = busy.answer()
                self.assertEqual((answer.status, answer["Connection"]), (200, "close"))
                self.assertEqual(busy.end(), b"")
                status, _, err = running.wait()
                self.assertEqual(status, 0)
                self.assertIn(b"answered 3 requests on", err)
                self.assertLess(time.monotonic() - begin, 45, "the drain waited for nothing")
            with self.assertRaises(OSError):
                running.peer()

    def test_the_drain_ends_at_its_deadline(self):
        running = Server("--drain", "0.2")
        with running.peer() as peer:
            peer.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
            self.lives(running)
            running.tell(signal.SIGTERM)
            self.assertEqual(running.wait()[0], 0)
            self.assertEqual(peer.end(), b"")

    def test_a_second_signal_ends_at_once(self):
        running = Server("--drain", "1000")
        with running.peer() as peer:
            peer.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                      "Content-Length: 10\r\n\r\n")
            self.assertEqual(peer.answer().status, 100)
            with running.peer() as idle:
                self.assertEqual(idle.get("/plaintext").status, 200)
                running.tell(signal.SIGTERM)
                self.assertEqual(idle.end(), b"")
            running.tell(signal.SIGTERM)
            self.assertEqual(running.wait()[0], 128 + signal.SIGTERM)

    def test_the_access_log(self):
        path = os.path.join(self.dir, "access.log")
        with server("--root", self.root, "--access-log", path) as running:
            running.get("/small.txt", 'User-Agent: a "quoted" \\ one', "Referer: here")
            running.get("/nothing", method="HEAD")
            with running.peer() as peer:
                peer.send("nonsense\r\n\r\n").answer()
        with open(path) as file:
            lines = file.read().splitlines()
        self.assertEqual(len(lines), 3)
        self.assertRegex(lines[0], r'^127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d '
                         r'\+0000\] "GET /small.txt HTTP/1.1" 200 10 "here" '
                         r'"a \\x22quoted\\x22 \\x5c one"$')
        self.assertIn('"HEAD /nothing HTTP/1.1" 404 0 "-" "-"', lines[1])
        self.assertIn('"-" 400 ', lines[2])

    def test_the_access_log_on_standard_output(self):
        running = Server("--access-log", "-")
        self.lives(running)
        running.tell(signal.SIGTERM)
        status, out, _ = running.wait()
        self.assertEqual(status, 0)
        self.assertIn(b'"GET /plaintext HTTP/1.1" 200 13', out)

    def test_a_full_disk_or_a_closed_pipe_does_not_end_the_server(self):
        running = Server("--access-log", "/dev/full")
        self.read_until_complaint(running)
        running.stop()
        running = Server("--access-log", "-")
        running.process.stdout.close()
        self.read_until_complaint(running)
        running.tell(signal.SIGTERM)
        running.process.stderr.close()
        self.assertEqual(running.process.wait(timeout=DEADLINE_S), 0)

    def read_until_complaint(self, running):
        """Requests until the log's error has been told, and some after that."""
        until = time.monotonic() + DEADLINE_S
        while not select.select([running.process.stderr], [], [], 0.05)[0]:
            self.lives(running)
            self.assertLess(time.monotonic(), until)
        self.assertIn(b"access log: ", running.process.stderr.readline())
        for _ in range(10):
            self.lives(running)

    def test_wrong_command_lines(self):
        for args in (["--nonsense"], ["--listen"], ["--listen", "nonsense"], ["--listen", "a:b"],
                     ["--listen", "127.0.0.1:99999"], ["--workers", "0"], ["--workers", "x"],
                     ["--max-body", "-1"], ["--idle-timeout", "soon"], ["--drain", "inf"],
                     ["extra"]):
            status, out, err = run(kit.HTTPD, *args)
            self.assertEqual((status, out), (2, b""), args)
            self.assertRegex(err, rb"^skua-httpd: [^\n]+\n$")

    def test_what_keeps_it_from_starting(self):
        status, out, err = run(kit.HTTPD, "--listen", "127.0.0.1:%d" % self.server.port)
        self.assertEqual((status, out), (1, b""))
        self.assertRegex(err, rb"^skua-httpd: cannot listen at [^\n]+: Address already in use\n$")
        for args in (["--root", self.dir + "/nothing"], ["--access-log", self.dir + "/no/log"],
                     ["--listen", "192.0.2.1:0"]):
            status, out, err = run(kit.HTTPD, *args, "--listen", ":0")
            self.assertEqual((status, out), (1, b""), args)
            self.assertRegex(err, rb"^skua-httpd: [^\n]+\n$")
        self.assertEqual(run(kit.HTTPD, "--root=")[::2],
                         (2, b"skua-httpd: not a folder: ''; try --help\n"))

    def test_it_does_not_say_that_it_listens_when_it_cannot_serve(self):
        failed = 0
        for limit in range(5, 12):  # where runtime, server and a connection need more
            process = subprocess.Popen(
                [kit.HTTPD, "--listen=:0", "--workers=1"], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
            listens = process.stdout.readline() != b""
            if listens:
                process.terminate()
            _, err = process.communicate(timeout=DEADLINE_S)
            self.assertEqual(process.returncode, 0 if listens else 1, err)
            self.assertEqual(b"Too many open files" in err, not listens, err)
            failed += not listens
        self.assertGreater(failed, 1)

    def test_help_and_version(self):
        status, out, _ = run(kit.HTTPD, "--help")
        self.assertEqual(status, 0)
        for option in (b"--listen", b"--root", b"--workers", b"--access-log", b"--drain"):
            self.assertIn(option, out)
        self.assertRegex(run(kit.HTTPD, "--version")[1], rb"^skua-httpd .*\d+\.\d+\.\d+\n$")

    def test_it_listens_in_several_places_or_says_nothing(self):
        running = Server("--listen", ":0", "--workers", "1")
        line = running.process.stdout.readline().decode()
        other = int(re.match(r"^listening on http://127\.0\.0\.1:(\d+)$", line).group(1))
        self.assertNotEqual(other, running.port)
        with Peer(other) as peer:
            self.assertEqual(peer.get("/plaintext").status, 200)
        running.stop()
        quiet = subprocess.Popen([kit.HTTPD, "--quiet", "--listen", ":0"], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        until = time.monotonic() + DEADLINE_S
        while not self.catches_sigterm(quiet.pid):
            self.assertLess(time.monotonic(), until)
        quiet.send_signal(signal.SIGTERM)
        self.assertEqual(quiet.communicate(timeout=DEADLINE_S), (b"", b""))
        self.assertEqual(quiet.returncode, 0)

    def catches_sigterm(self, pid):
        with open("/proc/%d/status" % pid) as status:
            blocked = int(re.search(r"SigBlk:\s+([0-9a-f]+)", status.read()).group(1), 16)
        return bool(blocked >> (signal.SIGTERM - 1) & 1)


if __name__ == "__main__":
    kit.take_program(__doc__)
    unittest.main()
