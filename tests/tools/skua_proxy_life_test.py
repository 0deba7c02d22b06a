#!/usr/bin/env python3
"""Tests of the program skua-proxy: the PROXY protocol, TLS, the end, the log, the command line.

Usage: skua_proxy_life_test.py PATH-OF-SKUA-PROXY [unittest options]
"""
import contextlib
import os
import re
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
import unittest

from skua_proxy_kit import (DEADLINE_S, MIB, PROXY, ProxyTest, bind, eventually, pattern,
                            read_all, read_exactly, reset, was_reset)


V2 = b"\r\n\r\n\0\r\nQUIT\n"


def v2(command=0x21, family=0x11, payload=None):
    if payload is None:
        payload = socket.inet_aton("1.2.3.4") + socket.inet_aton("5.6.7.8") + struct.pack(
            ">HH", 1000, 2000)
    return V2 + struct.pack(">BBH", command, family, len(payload)) + payload


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


IPV4 = socket.inet_aton("1.2.3.4") + socket.inet_aton("5.6.7.8") + struct.pack(">HH", 1000, 2000)
IPV6 = (socket.inet_pton(socket.AF_INET6, "2001:db8::1") +
        socket.inet_pton(socket.AF_INET6, "2001:db8::2") + struct.pack(">HH", 1000, 65535))
UNIX = b"/a".ljust(108, b"\0") + b"\0b".ljust(108, b"\0")


class Header(ProxyTest):
    """The PROXY protocol, both ways."""

    def told(self, proxy, data, want_size):
        """What the backend, which echoes, was sent in all: the header included."""
        with self.client(proxy) as sock:
            sock.sendall(data)
            return read_exactly(sock, want_size)

    def test_the_backend_is_told_who_the_client_is(self):
        backend = self.backend()
        for version in (1, 2):
            proxy = self.proxy(backend, args=["--send-proxy=%d" % version],
                               listen=("127.0.0.1:0", "[::1]:0", ":0"))
            for i, (family, host) in enumerate(((socket.AF_INET, "127.0.0.1"),
                                                (socket.AF_INET6, "::1"),
                                                (socket.AF_INET, "127.0.0.1"))):
                with self.client(proxy, family=family, host=host, port=proxy.ports[i]) as sock:
                    port = sock.getsockname()[1]
                    digit = 4 if family == socket.AF_INET else 6
                    ends = socket.inet_pton(family, host) * 2
                    want = "PROXY TCP%d %s %s %d %d\r\n" % (digit, host, host, port,
                                                            proxy.ports[i])
                    want = want.encode() if version == 1 else v2(
                        family=0x11 if digit == 4 else 0x21,
                        payload=ends + struct.pack(">HH", port, proxy.ports[i]))
                    sock.sendall(b"data")
                    self.assertEqual(read_exactly(sock, len(want) + 4), want + b"data")
            self.end(proxy)

    def test_headers_of_clients_are_passed_on_in_either_version(self):
        line4 = b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\r\n"
        line6 = b"PROXY TCP6 2001:db8::1 2001:db8::2 1000 65535\r\n"
        checked = IPV4 + tlv(3, b"\0\0\0\0")
        checked = IPV4 + tlv(3, struct.pack(">I", crc32c(v2(payload=checked))))
        cases = [
            (line4, line4, v2()),
            (line6, line6, v2(family=0x21, payload=IPV6)),
            (v2(), line4, v2()),
            (v2(family=0x21, payload=IPV6), line6, v2(family=0x21, payload=IPV6)),
            (v2(payload=IPV4 + tlv(1, b"h2") + tlv(4, b"\0" * 300)), line4, v2()),
            (v2(payload=checked), line4, v2()),
            (v2(family=0x31, payload=UNIX), b"PROXY UNKNOWN\r\n",
             v2(family=0x31, payload=UNIX)),
        ]
        backend = self.backend()
        for version in (1, 2):
            proxy = self.proxy(backend, args=["--accept-proxy", "--send-proxy=%d" % version])
            for given, want1, want2 in cases:
                want = (want1 if version == 1 else want2) + b"data"
                with self.subTest(version=version, given=given):
                    self.assertEqual(self.told(proxy, given + b"data", len(want)), want)
            for given in (v2(command=0x20), v2(command=0x20, family=0, payload=b"?"),
                          v2(family=0, payload=b"whatever"), b"PROXY UNKNOWN\r\n",
                          b"PROXY UNKNOWN ffff::1 x y\r\n"):
                with self.subTest(version=version, given=given), self.client(proxy) as sock:
                    want = b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % (
                        sock.getsockname()[1], proxy.ports[0])
                    want = want + b"data" if version == 1 else V2 + b"\x21\x11\0\x0c"
                    sock.sendall(given + b"data")
                    self.assertEqual(read_exactly(sock, len(want)), want)
            self.end(proxy)

    def test_a_header_may_come_byte_by_byte_and_is_taken_off(self):
        backend = self.backend()
        proxy = self.proxy(backend, args=["--accept-proxy"])
        for header in (b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\r\n", v2(family=0x21, payload=IPV6)):
            with self.client(proxy) as sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for i in range(len(header)):
                    sock.sendall(header[i:i + 1])
                sock.sendall(b"a")
                self.assertEqual(read_exactly(sock, 1), b"a")
                self.talk(sock, pattern(100000, 5))
        self.end(proxy)

    def test_what_is_no_header_is_turned_away_at_once(self):
        good = "PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\r\n"
        wrong_sum = IPV4 + tlv(3, struct.pack(">I", 12345))
        bad = [
            b"G", b"GET / HTTP/1.0\r\n\r\n", b"\n", b"proxy TCP4 ", b"PROXY\r\n",
            b"PROXY  TCP4 \r\n",
            good.replace("TCP4", "TCP5"), good.replace("TCP4", "tcp4"),
            good.replace("TCP4 ", "TCP4  "), good.replace("1.2.3.4", "1.2.3"),
            good.replace("1.2.3.4", "1.2.3.04"), good.replace("1.2.3.4", "1.2.3.256"),
            good.replace("1.2.3.4", "::1"), good.replace("1000", "01000"),
            good.replace("1000", "65536"), good.replace("1000", "-1"),
            good.replace("1000", ""), good.replace("1000", "1000x"),
            good.replace("2000", "2000 "), good.replace("2000", "2000 1"),
            good.replace(" 2000", ""), good.replace("\r\n", "\n"), good.replace("\r", "\rx"),
            good.replace(" 5", "\t5"), good.replace("1.2", "1\0.2"),
            "PROXY TCP6 1.2.3.4 5.6.7.8 1000 2000\r\n", "PROXY UNKNOWNX\r\n", "PROXY \r\n",
            "PROXY UNKNOWN " + "x" * 92 + "\r\n", "PROXY UNKNOWN" + " " * 200,
            V2[:11] + b"x", V2 + b"\x11", V2 + b"\x22", v2(family=0x12), v2(family=0x22),
            v2(family=0x41), v2(family=0x10), v2(payload=IPV4[:11]),
            v2(family=0x21, payload=IPV6[:35]), v2(family=0x31, payload=UNIX[:215]),
            v2(payload=IPV4 + b"\x01"), v2(payload=IPV4 + b"\x01\0\x05abcd"),
            v2(payload=IPV4 + tlv(3, b"abc")), v2(payload=wrong_sum),
            V2 + struct.pack(">BBH", 0x21, 0x11, 4081), V2 + struct.pack(">BBH", 0x20, 0, 65535),
        ]
        backend = self.backend()
        proxy = self.proxy(backend, args=["--accept-proxy", "--header-timeout=600"])
        for data in bad:
            data = data if isinstance(data, bytes) else data.encode()
            with self.subTest(data=data), self.client(proxy) as sock:
                sock.sendall(data)
                with contextlib.suppress(ConnectionResetError):
                    self.assertEqual(read_all(sock), b"")
        for data in (b"", b"PROXY TCP4 1.2.3.4 ", v2()[:-1]):  # cut short by their end
            with self.subTest(data=data), self.client(proxy) as sock:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionResetError):
                    self.assertEqual(read_all(sock), b"")
        self.end(proxy)
        self.assertEqual(backend.count, 0)
        self.assertIn("%d with a bad header" % (len(bad) + 3), proxy.errors())

    def test_the_longest_headers_are_accepted(self):
        line = b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n"
        self.assertEqual(len(line), 107)
        proxy = self.proxy(self.backend(), args=["--accept-proxy", "--buffer=4096"])
        for header in (line, v2(payload=IPV4 + tlv(4, b"\0" * (4096 - 16 - 12 - 3)))):
            with self.client(proxy) as sock:
                sock.sendall(header + b"data")
                self.assertEqual(read_exactly(sock, 4), b"data")
        self.end(proxy)

    def test_a_client_that_sends_no_header_is_not_waited_for(self):
        proxy = self.proxy(self.backend(), args=["--accept-proxy", "--header-timeout=0.1"])
        with self.client(proxy) as sock:
            sock.sendall(b"PROXY ")
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(read_all(sock), b"")
        self.end(proxy)

    def test_checks_say_that_they_are_checks(self):
        got = []
        backend = self.backend(lambda sock: got.append(read_all(sock)))
        for version, want in ((1, b"PROXY UNKNOWN\r\n"), (2, v2(0x20, 0, b""))):
            proxy = self.proxy(backend, args=["--send-proxy=%d" % version, "--check-interval=60"])
            eventually(lambda: got, "a check")
            self.assertEqual(got, [want])
            self.end(proxy)
            got.clear()


def exchange(tls, data):
    """Sends @data and receives as much, at the same time; an SSLSocket is for one thread only."""
    got = bytearray()
    sent = 0
    deadline = time.monotonic() + DEADLINE_S
    tls.setblocking(False)
    while len(got) < len(data) and time.monotonic() < deadline:
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if sent < len(data):
                sent += tls.send(data[sent:sent + 65536])
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            got += tls.recv(65536)
            continue
        select.select([tls], [tls] if sent < len(data) else [], [], 1)
    tls.settimeout(DEADLINE_S)
    return bytes(got)


class Tls(ProxyTest):
    """Clients that speak TLS, to backends that do not."""

    @classmethod
    def setUpClass(cls):
        if not shutil.which("openssl"):
            raise unittest.SkipTest("no openssl")
        cls.folder = tempfile.TemporaryDirectory(prefix="skua-proxy-")
        cls.cert = os.path.join(cls.folder.name, "cert.pem")
        cls.key = os.path.join(cls.folder.name, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-keyout", cls.key, "-out", cls.cert,
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
                       check=True, capture_output=True, timeout=DEADLINE_S)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def tls_proxy(self, *backends, args=()):
        try:
            return self.proxy(*backends, args=["--tls-cert=" + self.cert, "--tls-key=" + self.key,
                                               *args])
        except AssertionError as error:
            if "without TLS" in str(error):
                self.skipTest("built without TLS")
            raise

    def context(self):
        return ssl.create_default_context(cafile=self.cert)

    def wrapped(self, proxy):
        tls = self.context().wrap_socket(self.client(proxy), server_hostname="127.0.0.1",
                                         suppress_ragged_eofs=False)
        self.addCleanup(tls.close)
        return tls

    def test_bytes_go_both_ways_and_each_side_may_end_first(self):
        size = 4 * MIB
        proxy = self.tls_proxy(self.backend())
        tls = self.wrapped(proxy)
        self.assertTrue(exchange(tls, pattern(size, 1)) == pattern(size, 1))
        tls.unwrap().close()  # close_notify of both
        once = self.tls_proxy(self.backend(lambda sock: sock.sendall(b"that is all")))
        tls = self.wrapped(once)
        self.assertEqual(read_all(tls), b"that is all")
        tls.close()
        self.end(proxy)
        self.end(once)

    def test_a_backend_that_breaks_off_is_no_end_to_the_client(self):
        def cut(sock):
            sock.sendall(b"part")
            read_exactly(sock, 1)
            reset(sock)

        proxy = self.tls_proxy(self.backend(cut))
        tls = self.wrapped(proxy)
        self.assertEqual(read_exactly(tls, 4), b"part")
        tls.sendall(b"x")
        with self.assertRaises((ssl.SSLError, ConnectionResetError)):
            read_all(tls)
        self.end(proxy)

    def test_who_speaks_no_tls_reaches_no_backend(self):
        backend = self.backend()
        proxy = self.tls_proxy(backend)
        with proxy.connect() as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                self.assertNotIn(b"GET", read_all(sock))
        self.assertEqual(backend.count, 0)
        self.end(proxy)

    def test_a_handshake_that_fails_is_counted_and_logged_as_one(self):
        backend = self.backend()
        log = os.path.join(self.folder.name, "log")
        proxy = self.tls_proxy(backend, args=["--access-log=" + log, "--header-timeout=0.3"])

        def wrong(sock):
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")

        def cut_short(sock):
            sock.sendall(b"\x16\x03\x01")
            sock.shutdown(socket.SHUT_WR)

        for way in (wrong, cut_short, reset, lambda sock: None):  # the last one says nothing
            sock = self.client(proxy)
            way(sock)
            if sock.fileno() >= 0:
                was_reset(sock)
            sock.close()
        self.end(proxy)
        self.assertEqual(backend.count, 0)
        self.assertRegex(proxy.errors(), "ended: 0 done, 0 by the client, .*"
                         "0 with a bad header, 4 with a bad handshake, ")
        with open(log) as file:
            ends = [line.split()[-1] for line in file]
        self.assertEqual(ends, ["bad-handshake"] * 4)

    def test_tls_begins_behind_a_proxy_header(self):
        proxy = self.tls_proxy(self.backend(), args=["--accept-proxy"])
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        sock = self.client(proxy)
        first = b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\r\n"

        def drive(step):
            nonlocal first
            while True:
                try:
                    result = step()
                except ssl.SSLWantReadError:
                    result = None
                sock.sendall(first + outgoing.read())  # the header with the ClientHello
                first = b""
                if result is not None:
                    return result
                incoming.write(sock.recv(65536))

        drive(lambda: tls.do_handshake() or True)
        drive(lambda: tls.write(b"hello"))
        self.assertEqual(drive(lambda: tls.read(5)), b"hello")
        sock.close()
        self.end(proxy)


class End(ProxyTest):
    def refuses(self, proxy):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", proxy.ports[0])) != 0

    def test_a_drain_lets_a_transfer_end_and_takes_no_new_one(self):
        size = 4 * MIB
        go = threading.Event()

        def send_in_two_parts(sock):
            sock.sendall(pattern(size, 6))
            go.wait(DEADLINE_S)
            sock.sendall(pattern(size, 7))

        proxy = self.proxy(self.backend(send_in_two_parts), args=["--drain=60"])
        sock = self.client(proxy)
        got = read_exactly(sock, 1000)
        proxy.signal()
        eventually(lambda: self.refuses(proxy), "new connections are refused")
        self.assertIsNone(proxy.process.poll())
        go.set()
        got += read_all(sock)
        self.assertEqual(got, pattern(size, 6) + pattern(size, 7))
        sock.close()
        self.assertEqual(proxy.wait(), 0)
        self.assertNotIn("were cut", proxy.errors())

    def test_a_drain_has_an_end_which_is_a_reset(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            proxy = self.proxy(self.backend(), args=["--drain=0.2"])
            sock = self.client(proxy)
            self.talk(sock)
            proxy.signal(number)
            self.assertTrue(was_reset(sock))
            self.assertEqual(proxy.wait(), 0)
            self.assertIn("1 connections were cut", proxy.errors())

    def test_a_second_signal_ends_at_once(self):
        proxy = self.proxy(self.backend(), args=["--drain=600"])
        sock = self.client(proxy)
        self.talk(sock)
        proxy.signal(signal.SIGTERM)
        eventually(lambda: self.refuses(proxy), "it drains")
        proxy.signal(signal.SIGINT)
        self.assertEqual(proxy.wait(), 128 + signal.SIGTERM)

    def test_a_signal_while_it_connects_to_a_backend_ends_it(self):
        with socket.socket() as full, contextlib.ExitStack() as stack:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for _ in range(4):
                sock = stack.enter_context(socket.socket())
                sock.setblocking(False)
                sock.connect_ex(full.getsockname())
            proxy = self.proxy(full,
                               args=["--connect-timeout=600", "--drain=0"])
            sock = self.client(proxy)
            eventually(lambda: "1 open" in proxy.counters(), "it is there")
            proxy.signal()
            was_reset(sock)
            self.assertEqual(proxy.wait(), 0)

    def test_the_access_log_has_a_line_for_each_connection(self):
        for target in ("file", "-"):
            folder = tempfile.mkdtemp(prefix="skua-proxy-")
            self.addCleanup(shutil.rmtree, folder)
            path = os.path.join(folder, "log") if target == "file" else "-"
            backend = self.backend()
            proxy = self.proxy(backend, self.refusing(),
                               args=["--access-log=" + path, "--balance=round-robin"])
            ports = []
            for i in range(3):
                sock = self.client(proxy)
                ports.append(sock.getsockname()[1])
                self.talk(sock, b"x" * (i + 1))
                sock.close()
                eventually(lambda: "0 open" in proxy.counters().split("\n")[0], "its end")
            proxy.signal()
            self.assertEqual(proxy.process.wait(DEADLINE_S), 0)
            if target == "file":
                with open(path) as file:
                    lines = file.read()
            else:
                lines = proxy.process.stdout.read().decode()
            want = "".join(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ 127.0.0.1:%d %s %d %d \d+ done\n" % (
                port, backend.name, i + 1, i + 1) for i, port in enumerate(ports))
            self.assertRegex(lines, "^%s$" % want)

    def test_it_explains_itself_and_refuses_what_it_does_not_know(self):
        def run(*args):
            done = subprocess.run([PROXY, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=DEADLINE_S, text=True)
            return done.returncode, done.stdout, done.stderr

        status, out, err = run("--help")
        self.assertEqual((status, err), (0, ""))
        for option in re.findall(r"--[a-z-]+", " ".join(
                ["--listen --backend --balance --idle-timeout --send-proxy --drain"])):
            self.assertIn(option, out)
        self.assertTrue(all(len(line) <= 96 for line in out.split("\n")))
        self.assertRegex(run("--version")[1], r"^skua-proxy \(skua\) \d+\.\d+\.\d+\n$")
        backend = "--backend=127.0.0.1:1"
        for args in ([], ["--what"], [backend, "x"], ["--backend"], ["--backend=x"],
                     ["--backend=1:2:3"], ["--backend=unix:"], ["--backend=[::1"],
                     ["--backend=127.0.0.1:"], ["--backend=127.0.0.1:65536"],
                     ["--backend=127.0.0.1:" + "9" * 30], [backend, "--listen=x"],
                     [backend, "--drain=-1"],
                     [backend, "--balance=best"], [backend, "--send-proxy=3"],
                     [backend, "--buffer=1"], [backend, "--idle-timeout=nan"],
                     [backend, "--max-connections=0"], [backend, "--workers=x"]):
            status, out, err = run(*args)
            self.assertEqual((status, out), (2, ""), args)
            self.assertRegex(err, "^skua-proxy: ")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen(1)
            status, out, err = run(backend, "--listen=127.0.0.1:%d" % taken.getsockname()[1])
            self.assertEqual((status, out), (1, ""))
            self.assertIn("Address already in use", err)
        self.assertEqual(run(backend, "--access-log=/nowhere/log")[0], 1)


if __name__ == "__main__":
    unittest.main()
