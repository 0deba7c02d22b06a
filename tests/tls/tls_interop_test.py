#!/usr/bin/env python3
"""Tests the TLS library against other implementations: openssl s_client and s_server, curl, and
Python's ssl module. Certificates are made by the openssl program.

Usage: tls_interop_test.py TLS_PEER
"""

import contextlib
import pathlib
import re
import select
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

PEER = None
DEADLINE = 30  # seconds, of every wait
FOLDER = None


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True,
                          timeout=DEADLINE, **options)


def make_certificates(folder):
    """ca, server ("localhost", 127.0.0.1) and client, each as NAME.pem and NAME.key."""
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", folder / "ca.key", "-out", folder / "ca.pem", "-subj", "/CN=CA",
            "-days", "2")
    for name in ["server", "client"]:
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.csr",
                "-subj", f"/CN={name}")
        (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", folder / f"{name}.csr", "-CA", folder / "ca.pem",
                "-CAkey", folder / "ca.key", "-CAcreateserial", "-days", "1",
                "-extfile", folder / "names", "-out", folder / f"{name}.pem")


class Serving:
    """tls_peer as a server; `said` is its stderr when it has ended."""

    def __init__(self, *arguments, ca=None):
        command = [PEER, "serve", *arguments, FOLDER / "server.pem", FOLDER / "server.key"]
        self.process = subprocess.Popen(command + ([ca] if ca else []), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.port = int(re.fullmatch(r"port (\d+)\n", line).group(1))
        self.said = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        _, self.said = self.process.communicate("", timeout=DEADLINE)
        if self.process.returncode != 0:
            raise AssertionError(f"tls_peer ended with {self.process.returncode}: {self.said}")


def ask(port, data, *arguments, name="localhost", ca=None):
    """tls_peer as a client: exit code, stdout, stderr."""
    done = subprocess.run(
        [PEER, "ask", *arguments, f"127.0.0.1:{port}", name, ca or FOLDER / "ca.pem"],
        input=data, capture_output=True, timeout=DEADLINE)
    return done.returncode, done.stdout, done.stderr.decode()


def s_client(port, lines, *arguments):
    """Has s_client send line after line, each when the one before has come back; one that is a
    command of its own ("K") is not waited for. Its stderr."""
    process = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", FOLDER / "ca.pem",
         "-verify_return_error", "-servername", "localhost", *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line in lines:
        process.stdin.write(line + b"\n")
        process.stdin.flush()
        while len(line) > 1 and (came := process.stdout.readline()) != line + b"\n":
            if not came:
                raise AssertionError(process.communicate(timeout=DEADLINE)[1])
        if len(line) == 1:  # s_client says when it is done; read with another line it were text
            while b"KEYUPDATE" not in process.stderr.readline():
                pass
    return process.communicate(b"Q\n", timeout=DEADLINE)[1]


class OurServer(unittest.TestCase):
    """Clients of others, our server."""

    def test_s_client_has_its_lines_echoed(self):
        for version in ["-tls1_2", "-tls1_3"]:
            with Serving() as server:
                s_client(server.port, [b"one", b"two"], version)
            self.assertIn("name=localhost", server.said)

    def test_s_client_refuses_a_version_that_is_too_old(self):
        with Serving() as server:
            done = subprocess.run(
                ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_1",
                 "-cipher", "ALL:@SECLEVEL=0"], input=b"", capture_output=True, timeout=DEADLINE)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("unsupported protocol", server.said)

    def test_s_client_resumes_what_it_has_saved(self):
        session = FOLDER / "session"
        for version in ["-tls1_2", "-tls1_3"]:
            with Serving() as server:
                s_client(server.port, [b"once"], version, "-sess_out", session)
                s_client(server.port, [b"again"], version, "-sess_in", session)
            self.assertIn("resumed=0", server.said)
            self.assertIn("resumed=1", server.said)

    def test_s_client_changes_its_keys_between_lines(self):
        with Serving() as server:
            s_client(server.port, [b"before", b"K", b"between", b"k", b"after"], "-tls1_3")
        self.assertNotIn("-71", server.said)

    def test_curl_speaks_through_it(self):
        if not shutil.which("curl"):
            self.skipTest("no curl")
        with Serving() as server:
            done = subprocess.run(
                ["curl", "--http0.9", "-s", "-m", "5", "--cacert", FOLDER / "ca.pem",
                 f"https://localhost:{server.port}/there", "--max-filesize", "4000"],
                capture_output=True, timeout=DEADLINE)
        self.assertIn(b"GET /there HTTP/1.1", done.stdout)
        self.assertIn("name=localhost", server.said)

    def test_python_talks_both_ways_at_once(self):
        context = ssl.create_default_context(cafile=FOLDER / "ca.pem")
        data = bytes(range(256)) * 8192
        received = bytearray()
        sent = 0
        with Serving() as server:
            with socket.create_connection(("127.0.0.1", server.port), DEADLINE) as plain:
                with context.wrap_socket(plain, server_hostname="localhost") as tls:
                    tls.setblocking(False)  # one thread: Python's TLS sockets are not for two
                    while len(received) < len(data):
                        select.select([tls], [tls] if sent < len(data) else [], [], DEADLINE)
                        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                            if sent < len(data):
                                sent += tls.send(data[sent:sent + 16384])
                        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                            piece = tls.recv(65536)
                            self.assertTrue(piece)
                            received += piece
                    tls.settimeout(DEADLINE)
                    tls.unwrap()
        self.assertEqual(bytes(received), data)

    def test_a_connection_that_breaks_off_is_told_from_one_that_ends(self):
        context = ssl.create_default_context(cafile=FOLDER / "ca.pem")
        with Serving() as server:
            plain = socket.create_connection(("127.0.0.1", server.port), DEADLINE)
            tls = context.wrap_socket(plain, server_hostname="localhost")
            tls.sendall(b"x")
            self.assertEqual(tls.recv(1), b"x")
            tls.close()
            plain.close()
        self.assertIn("-104: the peer closed the connection without close_notify", server.said)

    def test_clients_show_certificates_if_they_must(self):
        context = ssl.create_default_context(cafile=FOLDER / "ca.pem")
        with Serving(ca=FOLDER / "ca.pem") as server:
            for has_one in [False, True]:
                if has_one:
                    context.load_cert_chain(FOLDER / "client.pem", FOLDER / "client.key")
                try:
                    with socket.create_connection(("127.0.0.1", server.port), DEADLINE) as plain:
                        with context.wrap_socket(plain, server_hostname="localhost") as tls:
                            tls.sendall(b"x")
                            self.assertEqual(tls.recv(1), b"x")
                            self.assertTrue(has_one)
                except (ssl.SSLError, ConnectionError):
                    self.assertFalse(has_one)
        self.assertIn("peer=CN=client", server.said)
        self.assertIn("peer did not return a certificate", server.said)


class OurClient(unittest.TestCase):
    """Servers of others, our client."""

    def python_server(self, connections, set_up=lambda context: None):
        """Echoes to that many connections, each until its end. The port, and a thread to join."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(FOLDER / "server.pem", FOLDER / "server.key")
        set_up(context)
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(DEADLINE)

        def serve():
            for _ in range(connections):
                plain, _ = listener.accept()
                plain.settimeout(DEADLINE)
                try:
                    with context.wrap_socket(plain, server_side=True) as tls:
                        while data := tls.recv(65536):
                            tls.sendall(data)
                        tls.unwrap()
                except (ssl.SSLError, OSError):
                    pass
            listener.close()

        thread = threading.Thread(target=serve)
        thread.start()
        self.addCleanup(thread.join, DEADLINE)
        return listener.getsockname()[1]

    def test_it_talks_to_python(self):
        for version in ["1.2", "1.3"]:
            data = bytes(range(256)) * 1000
            code, out, err = ask(self.python_server(1), data, "-T", version)
            self.assertEqual((code, out == data), (0, True), err)
            self.assertIn(f"TLSv{version}", err)

    def test_it_resumes_with_python(self):
        for version in ["1.2", "1.3"]:
            code, _, err = ask(self.python_server(3), b"x", "-T", version, "-n", "3")
            self.assertEqual(code, 0, err)
            self.assertEqual(err.count("resumed=1"), 2, err)

    def test_it_agrees_on_a_protocol_with_python(self):
        port = self.python_server(1, lambda context: context.set_alpn_protocols(["a", "b"]))
        code, _, err = ask(port, b"x", "-A", "b")
        self.assertEqual(code, 0, err)
        self.assertIn("alpn=b", err)

    def test_it_says_what_it_does_not_like(self):
        code, _, err = ask(self.python_server(1), b"x", name="elsewhere.test")
        self.assertEqual((code, err), (1, "certificate verify failed: hostname mismatch\n"))
        code, _, err = ask(self.python_server(1), b"x", ca=FOLDER / "server.pem")
        self.assertEqual(
            (code, err), (1, "certificate verify failed: unable to get local issuer certificate\n"))

    def test_it_talks_to_s_server(self):
        for version in ["-tls1_2", "-tls1_3"]:
            process = subprocess.Popen(
                ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", FOLDER / "server.pem",
                 "-key", FOLDER / "server.key", "-rev", "-naccept", "1", version],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            port = None
            while port is None:
                line = process.stdout.readline()
                self.assertTrue(line, "s_server has ended")
                found = re.match(rb"ACCEPT .*:(\d+)", line)
                port = found and int(found.group(1))
            _, out, err = ask(port, b"abc\n")
            process.communicate(timeout=DEADLINE)
            self.assertEqual(out, b"cba\n", err)


def main():
    global PEER, FOLDER
    if not shutil.which("openssl"):
        print("skipped: no openssl program")
        sys.exit(77)
    PEER = sys.argv.pop(1)
    with tempfile.TemporaryDirectory() as folder:
        FOLDER = pathlib.Path(folder)
        make_certificates(FOLDER)
        unittest.main()


main()
