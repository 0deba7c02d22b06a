"""What the tests of skua-crawl share: sites that count what is asked of them, and running it.

Every wait has a deadline. Listens on 127.0.0.1 and port 0 only. Time passes only where a case is
about time.
"""
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

CRAWL = os.path.abspath(sys.argv.pop(1))
DEADLINE_S = 60
FIELDS = ["url", "final_url", "status", "bytes", "content_type", "attempts", "time_ms", "depth",
          "error"]
# No proxy of the environment stands between the crawler and the sites.
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}


def eventually(condition, what):
    """Waits until condition() is true."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("in vain: " + what)
        time.sleep(0.005)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes

    def do_GET(self):
        self.server.site.serve(self)

    def log_message(self, *_):
        pass

    def answer(self, status=200, body=b"", kind="text/html", **fields):
        body = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def chunked(self, parts, kind="text/html", **fields):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in parts:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, *_):
        pass  # a crawler that goes away in the middle is no error here


class Site:
    """A server. A page is text, bytes or a function of the handler; paths without one are 404."""

    def __init__(self, pages=None, context=None):
        self.pages = {"/robots.txt": lambda to: to.answer(404)}
        self.pages.update(pages or {})
        self.lock = threading.Lock()
        self.asked = []  # (path with query, time, fields), in order
        self.active = self.active_max = 0
        self.closing = threading.Event()  # set when handlers that wait may stop
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.site = self
        self.scheme = "http"
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.scheme = "https"
        self.port = self.server.server_address[1]
        self.base = "%s://127.0.0.1:%d" % (self.scheme, self.port)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.server.shutdown()
        self.thread.join(DEADLINE_S)
        self.server.server_close()

    def serve(self, to):
        with self.lock:
            self.asked.append((to.path, time.monotonic(), to.headers))
            self.active += 1
            self.active_max = max(self.active_max, self.active)
        try:
            page = self.pages.get(to.path, self.pages.get(to.path.split("?")[0]))
            if page is None:
                to.answer(404, "nothing here")
            elif callable(page):
                page(to)
            else:
                to.answer(200, page)
        finally:
            with self.lock:
                self.active -= 1

    def url(self, path):
        return self.base + path

    def paths(self):
        """What was asked for, without robots.txt."""
        with self.lock:
            return [path for path, _, _ in self.asked if path != "/robots.txt"]

    def count(self, path):
        with self.lock:
            return sum(1 for asked, _, _ in self.asked if asked == path)

    def times(self, path=None):
        with self.lock:
            return [when for asked, when, _ in self.asked
                    if asked == path or (path is None and asked != "/robots.txt")]


def links(*targets):
    return "<!DOCTYPE html><title>x</title>" + "".join(
        '<p><a href="%s">x</a>' % target for target in targets)


def in_turn(*answers):
    """A page that answers in another way each time, and then stays at the last one."""
    left = list(answers)
    lock = threading.Lock()

    def page(to):
        with lock:
            answer = left.pop(0) if len(left) > 1 else left[0]
        answer(to)
    return page


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err.decode()
        self.lines = parse(out)
        self.pages = {line["url"]: line for line in self.lines}

    def __getitem__(self, url):
        return self.pages[url]

    def totals(self):
        """The numbers of the last line of standard error, by their names."""
        line = self.err.strip().split("\n")[-1]
        found = re.findall(r"(\d+) ([a-z ]+?)(?=[,;])", line.split(":", 1)[1])
        return {name: int(number) for number, name in found}


def parse(out):
    """The lines; each must be whole, and have its fields in their order."""
    text = out.decode()
    if text and not text.endswith("\n"):
        raise AssertionError("half a line: %r" % text[-200:])
    lines = []
    for line in text.split("\n")[:-1]:
        pairs = json.loads(line, object_pairs_hook=list)
        names = [name for name, _ in pairs]
        if names[:len(FIELDS)] != FIELDS or set(names[len(FIELDS):]) - {"sha256", "file"}:
            raise AssertionError("other fields: %r" % line)
        shortest = json.dumps(dict(pairs), separators=(",", ":"), ensure_ascii=False)
        if shortest.replace("\x7f", "\\u007f") != line:  # for the peace of terminals
            raise AssertionError("not in the shortest form: %r" % line)
        lines.append(dict(pairs))
    return lines


def start(*args, **kwargs):
    kwargs = dict(dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       env=ENVIRONMENT), **kwargs)
    return subprocess.Popen([CRAWL, *args], **kwargs)


def crawl(*args, stdin=None):
    child = start(*args, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL)
    try:
        out, err = child.communicate(stdin, timeout=DEADLINE_S)
    finally:
        child.kill()
        child.wait()
    return Result(child.returncode, out, err)


class Base(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="skua-crawl-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def site(self, pages=None, **kwargs):
        site = Site(pages, **kwargs)
        self.addCleanup(site.__exit__)
        return site

    def file(self, name, data):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
        return path

    def end(self, child):
        """(status, lines, standard error) of a child that is about to end."""
        out, err = child.communicate(timeout=DEADLINE_S)
        return child.returncode, parse(out), err.decode()


def closed_port():
    """A port of 127.0.0.1 where nobody listens, and the socket that keeps it so."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock, sock.getsockname()[1]


def interrupt(child, number=signal.SIGINT):
    child.send_signal(number)
