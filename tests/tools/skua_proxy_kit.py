"""What the tests of skua-proxy share: running it, backends for it, and waiting.

Every wait has a deadline; time passes only where a case is about time. After every case the proxy
must have no sockets left but those it listens at.
"""
import contextlib
import hashlib
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

PROXY = os.path.abspath(sys.argv.pop(1))
DEADLINE_S = 30
MIB = 1 << 20
LINGER_RESET = struct.pack("ii", 1, 0)


def eventually(condition, what, patience_s=DEADLINE_S):
    """Waits until condition() is true."""
    end = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("in vain: " + what)
        time.sleep(0.01)


def read_all(sock):
    parts = []
    while True:
        data = sock.recv(256 << 10)
        if not data:
            return b"".join(parts)
        parts.append(data)


def read_exactly(sock, size):
    parts = []
    while size:
        data = sock.recv(min(size, 256 << 10))
        if not data:
            raise EOFError
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def was_reset(sock):
    """Reads until the end; true if that was a reset."""
    try:
        read_all(sock)
        return False
    except ConnectionResetError:
        return True


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
    sock.close()


def pattern(size, seed):
    return (hashlib.sha512(b"%d" % seed).digest() * (size // 64 + 1))[:size]


def bind(address=("127.0.0.1", 0), family=socket.AF_INET):
    """A socket with an address. As long as it does not listen, connecting to it is refused."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.bind(address)
    return sock


def name_of(sock):
    address = sock.getsockname()
    return "unix:" + address if isinstance(address, str) else "%s:%d" % address[:2]


class Backend:
    """A server whose connections are each given to handle(sock) in a thread."""

    def __init__(self, handle, bound=None):
        self.handle = handle
        self.count = 0
        self.errors = []
        self.socket = bound or bind()
        self.socket.listen(512)
        self.name = name_of(self.socket)
        self.threads = [threading.Thread(target=self.accept, daemon=True)]
        self.threads[0].start()

    def accept(self):
        while True:
            try:
                sock, _ = self.socket.accept()
            except OSError:
                return
            sock.settimeout(DEADLINE_S)
            self.count += 1
            thread = threading.Thread(target=self.serve, args=(sock,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def serve(self, sock):
        try:
            with sock:
                self.handle(sock)
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(error)

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for thread in self.threads:
            thread.join(DEADLINE_S)


def echo(sock):
    while True:
        data = sock.recv(65536)
        if not data:
            return
        sock.sendall(data)


class Proxy:
    """A running skua-proxy."""

    def __init__(self, *args, listen=("127.0.0.1:0",), env=None, limit=None):
        def prepare():
            if limit:
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

        listeners = ["--listen=" + address for address in listen]
        self.stderr = tempfile.NamedTemporaryFile(prefix="skua-proxy-")
        with open(self.stderr.name, "ab") as stderr:  # a position of its own
            self.process = subprocess.Popen(
                [PROXY, *listeners, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=stderr, preexec_fn=prepare, env=dict(os.environ, **(env or {})))
        self.names = []
        for _ in listen:
            line = self.process.stdout.readline().decode()
            if not line.startswith("listening on "):
                self.process.kill()
                raise AssertionError("no address: %r %r" % (line, self.errors()))
            self.names.append(line[len("listening on "):].strip())
        self.ports = [int(name.rpartition(":")[2]) for name in self.names if "unix" not in name]

    def connect(self, family=socket.AF_INET, host="127.0.0.1", port=None):
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(DEADLINE_S)
        sock.connect((host, port or self.ports[0]))
        return sock

    def errors(self):
        with open(self.stderr.name, "rb") as stderr:
            return stderr.read().decode()

    def descriptors(self):
        """What its descriptors are, "socket:[1234]" and so on; without those of workers' engines:
        stand-ins come when the machine is slow."""
        found = []
        folder = "/proc/%d/fd" % self.process.pid
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                link = os.readlink(os.path.join(folder, name))
                if not link.startswith(("anon_inode:", "/proc/")):
                    found.append(link)
        return found

    def sockets(self):
        return sum(name.startswith("socket:") for name in self.descriptors())

    def pipes(self):
        """Ends of pipes."""
        return sum(name.startswith("pipe:") for name in self.descriptors())

    def cpu_s(self):
        with open("/proc/%d/stat" % self.process.pid) as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def counters(self):
        """What SIGUSR1 prints: the lines of this time."""
        before = len(self.errors())
        self.process.send_signal(signal.SIGUSR1)
        last = re.compile(r"(?m)^skua-proxy: backend .* failed$")
        wanted = sum(arg.startswith("--backend") for arg in self.process.args)
        eventually(lambda: len(last.findall(self.errors()[before:])) >= wanted, "counters")
        return self.errors()[before:]

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self):
        status = self.process.wait(DEADLINE_S)
        self.process.stdout.close()
        return status

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.stderr.close()


class ProxyTest(unittest.TestCase):
    def backend(self, handle=echo, **kwargs):
        backend = Backend(handle, **kwargs)
        self.addCleanup(backend.close)
        return backend

    def refusing(self):
        """A socket at which nobody listens."""
        sock = bind()
        self.addCleanup(sock.close)
        return sock

    def proxy(self, *backends, args=(), **kwargs):
        names = [name_of(backend) if isinstance(backend, socket.socket) else
                 getattr(backend, "name", backend) for backend in backends]
        proxy = Proxy(*["--backend=" + name for name in names], *args, **kwargs)
        self.addCleanup(proxy.kill)
        return proxy

    def engine_proxy(self, engine, *backends, **kwargs):
        """As proxy(), with an engine that is named; skips without io_uring."""
        try:
            return self.proxy(*backends, env={"SKUA_ENGINE": engine}, **kwargs)
        except AssertionError as error:
            if engine != "uring":
                raise
            return self.skipTest("no io_uring: %s" % error)

    def client(self, proxy, **kwargs):
        sock = proxy.connect(**kwargs)
        self.addCleanup(sock.close)
        return sock

    def end(self, proxy):
        """No socket is left over, and it ends in order."""
        eventually(lambda: proxy.sockets() == len(proxy.names), "sockets are closed")
        proxy.signal()
        self.assertEqual(proxy.wait(), 0)

    def talk(self, sock, data=b"hello"):
        sock.sendall(data)
        self.assertEqual(read_exactly(sock, len(data)), data)
