"""Hostile HTTP clients, well-behaved ones beside them, and the servers they go to.

Used by hostile_clients.py and tools/soak_network. What a hostile client does follows from the seed
and its number alone. Of everything that comes back it must be possible to say which request it
answers: a server that takes other bytes for a request, or answers out of turn, is found out. Only
a client that was itself slower than the server's limits is excused, and counted.
"""
import asyncio
import contextlib
import math
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True  # no trace in the tree
from skua_httpd_life_test import RefusalTest

DEADLINE_S = 60          # only a server that hangs reaches it
LIMIT_S = 1.0            # what the servers grant for a header, a body, a piece of an answer
LINGER_S = 2.0           # and for what comes behind a refused request
PROMPT_S = 5.0           # the longest that a well-behaved client may wait
RESET = struct.pack("ii", 1, 0)
STATUS = re.compile(rb"^HTTP/1\.1 (\d{3}) [A-Za-z -]+$")
BIG = random.Random(7).randbytes(2 << 20)
PAGE = random.Random(8).randbytes(60000)
HELLO, JSON = b"Hello, World!", b'{"message":"Hello, World!"}'
# A request that no client makes: it only ever stands where no request is.
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
# Empty lines before a request are refused only if they come at once.
WRONG_TEXTS = [text.encode("latin-1") for text in RefusalTest.CORPUS
               if not text.startswith("\r\n\r\n")]
SERVER_LIMITS = ["--header-timeout=%g" % LIMIT_S, "--body-timeout=%g" % LIMIT_S,
                 "--write-timeout=%g" % LIMIT_S]


class Wrong(Exception):
    """A server did what it must not."""


# ---- the servers ---------------------------------------------------------------------------------


class Program:
    """A running skua-httpd or skua-proxy that listens at one port."""

    def __init__(self, path, *args):
        self.name = os.path.basename(path)
        self.stderr = tempfile.TemporaryFile()
        self.process = subprocess.Popen([path, "--listen=127.0.0.1:0", *args], text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=self.stderr, start_new_session=True)
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            self.kill()
            raise Wrong("%s did not start: %r %s" % (self.name, line, self.errors()))
        self.port = int(line.rpartition(":")[2])

    def errors(self):
        self.stderr.seek(0)
        return self.stderr.read().decode(errors="replace")

    def descriptors(self):
        """How many, without those of workers' engines: stand-ins come when the machine is slow."""
        count = 0
        folder = "/proc/%d/fd" % self.process.pid
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                link = os.readlink(os.path.join(folder, name))
                count += not link.startswith(("anon_inode:", "/proc/"))
        return count

    def resident_kib(self):
        with open("/proc/%d/status" % self.process.pid) as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))

    def is_sanitized(self):
        """Sanitizers take memory of their own, and keep what is freed."""
        with open("/proc/%d/maps" % self.process.pid) as maps:
            return bool(re.search("lib[alt]san", maps.read()))

    def wait_for_rest(self, descriptors, deadline_s=DEADLINE_S):
        """Until no more than so many descriptors are open."""
        until = time.monotonic() + deadline_s
        while self.descriptors() > descriptors:
            if time.monotonic() > until:
                raise Wrong("%s keeps %d descriptors, it had %d" %
                            (self.name, self.descriptors(), descriptors))
            time.sleep(0.02)

    def stop(self):
        """Seconds that a graceful end takes."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise Wrong("%s does not stop" % self.name) from None
        if status != 0:
            raise Wrong("%s ended with %d: %s" % (self.name, status, self.errors()))
        return time.monotonic() - begin

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def write_root(folder):
    """The files that the clients ask for."""
    for name, data in (("big.bin", BIG), ("page.bin", PAGE)):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)


# ---- answers -------------------------------------------------------------------------------------


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body


def parse_head(head):
    lines = head.split(b"\r\n")
    match = STATUS.match(lines[0])
    if not match:
        raise Wrong("no status line: %r" % head[:80])
    fields = dict(line.lower().split(b": ", 1) for line in lines[1:])
    return int(match.group(1)), fields


def parse_answers(data, bare=()):
    """(whole answers, what follows them: at most the beginning of one more). Those numbered in
    @bare answer HEAD, unless the server refuses to."""
    answers, at = [], 0
    while at < len(data):
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            if not data.startswith(b"HTTP/1.1 "[:len(data) - at], at):
                raise Wrong("no answer: %r" % data[at:at + 80])
            break
        status, fields = parse_head(data[at:end])
        size = int(fields.get(b"content-length", 0))
        if status in (100, 204, 304) or (len(answers) in bare and status == 200):
            size = 0
        if end + 4 + size > len(data):
            break
        answers.append(Answer(status, fields, data[end + 4:end + 4 + size]))
        at = end + 4 + size
    return answers, data[at:]


# ---- hostile clients -----------------------------------------------------------------------------


def get(path, *fields, method="GET"):
    lines = ["%s %s HTTP/1.1" % (method, path), "Host: a", *fields, "", ""]
    return "\r\n".join(lines).encode()


def post(body):
    return get("/echo", "Content-Length: %d" % len(body), method="POST") + body


def random_case(rng, text):
    """Names of fields are equal whatever their case."""
    def flip(match):
        return bytes(ord(chr(c).swapcase()) if rng.random() < 0.5 else c for c in match.group(0))

    return re.sub(rb"\r\n(Content-Length|Transfer-Encoding|Host)", flip, text)


def odd_but_right(rng):
    """(request, status, body of the answer; None: there is none)"""
    body = rng.choice((SMUGGLED, b"", b"\r\n", rng.randbytes(rng.randrange(3000))))
    kind = rng.randrange(10)
    if kind == 0:
        return get("/plaintext"), 200, HELLO
    if kind == 1:
        return b"\r\n" + get("http://a/json", "X:", "Y: \t a \t"), 200, JSON
    if kind == 2:
        return post(body), 200, body
    if kind == 3:  # a body that nobody wants
        path, status, answer = rng.choice((("/plaintext", 200, HELLO), ("/nothing", 404, b"")))
        return get(path, "Content-Length: %d" % len(SMUGGLED)) + SMUGGLED, status, answer or None
    if kind == 4:
        first = rng.randrange(len(BIG) - 20000)
        last = first + rng.randrange(20000)
        text = get("/big.bin", "Range: bytes=%d-%d" % (first, last))
        return text, 206, BIG[first:last + 1]
    if kind == 5:
        return get("/big.bin", method="HEAD"), 200, b""
    if kind == 6:
        return get("/json", *["X-%d: %s" % (i, "y" * 40) for i in range(50)]), 200, JSON
    text, at = CHUNKED, 0
    while at < len(body):
        size = rng.randrange(1, 1000)
        piece = body[at:at + size]
        extension = rng.choice((b"", b"", b";a", b";a=b", b';a="b;c"', b";a=b;c=d"))
        text += rng.choice((b"%x", b"%X", b"00%x")) % len(piece) + extension + b"\r\n"
        text += piece + b"\r\n"
        at += size
    end = rng.choice((b"0\r\n\r\n", b"000;a\r\n\r\n", b"0\r\nX: y\r\nZ:\r\n\r\n"))
    return text + end, 200, body


def wrong_text(rng):
    """What must be refused, whatever is sent after it."""
    kind = rng.randrange(12)
    if kind == 0:
        size = rng.choice((b"", b"g", b"0x1", b"-1", b"+1", b" 1", b"1 ", b"1\t", b";a", b"\0",
                           b"1_0", b"%x" % (1 << rng.randrange(64, 90)),
                           bytes([rng.randrange(128, 256)])))
        return CHUNKED + size + b"\r\n" + b"a" * rng.randrange(20) + b"\r\n0\r\n\r\n"
    if kind == 1:  # a line of the header, not the first, goes on in the next one
        return get("/plaintext", "X: y", rng.choice((" ", "\t", " \t")) + "Content-Length: 3")
    if kind == 2:  # one line ends with LF
        lines = get("/plaintext", "X: y", "Y: z")[:-2].split(b"\r\n")
        ends = [b"\r\n"] * (len(lines) - 1)
        ends[rng.randrange(len(ends))] = b"\n"
        return b"".join(map(b"".join, zip(lines, ends))) + b"\r\n"
    if kind == 3:
        fields = ["Content-Length: %d" % rng.randrange(9) for _ in range(2)]
        fields += ["Transfer-Encoding: chunked"] * rng.randrange(2)
        rng.shuffle(fields)
        return get("/echo", *fields, method="POST")
    if kind == 4:
        coding = rng.choice(("xchunked", "chunkedx", "chunked,", "chunk", "identity", "chunked\x0b",
                             "chunked, chunked", "gzip", '"chunked"', "chunked;a", "\x0cchunked"))
        return get("/echo", "Transfer-Encoding: " + coding, method="POST") + b"0\r\n\r\n"
    return random_case(rng, rng.choice(WRONG_TEXTS))


class Client:
    """One hostile client. Its kinds are the methods named in KINDS."""

    def __init__(self, swarm, number):
        self.rng = random.Random(swarm.seed * 1000003 + number)
        self.number = number
        self.kind = self.rng.choices(list(KINDS), KINDS.values())[0]
        self.port = self.rng.choice(swarm.ports)
        self.requests = 0
        self.socket = socket.socket()
        self.was_reset = self.was_excused = False
        self.loop = asyncio.get_running_loop()

    async def run(self):
        self.begin = self.sent = time.monotonic()
        try:
            self.socket.setblocking(False)
            if self.kind in ("slow_reader", "flood"):
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self.loop.sock_connect(self.socket, ("127.0.0.1", self.port))
            await getattr(self, self.kind)()
        finally:
            self.socket.close()

    def is_late(self, data):
        """This side was so slow itself that the server has given it up."""
        if self.kind in ("cut", "slow_reader"):  # in the midst of a large answer it cannot
            return time.monotonic() - self.begin > LIMIT_S * 0.9
        return self.sent - self.begin > LIMIT_S * 0.9 and b"HTTP/1.1 408 " in data

    async def send(self, data):
        """False: the other side has gone."""
        try:
            await self.loop.sock_sendall(self.socket, data)
            return True
        except OSError:
            self.was_reset = True
            return False
        finally:  # also where the server had given this side up before
            self.sent = time.monotonic()

    async def send_in_pieces(self, data):
        """In one piece, in a few, or byte by byte."""
        pieces = self.rng.choice((1, 1, 2, 3, min(len(data), 50)))
        cuts = sorted(self.rng.randrange(len(data) + 1) for _ in range(pieces - 1))
        for begin, end in zip([0] + cuts, cuts + [len(data)]):
            if not await self.send(data[begin:end]):
                return
            await asyncio.sleep(0)

    async def receive(self, size):
        try:
            return await self.loop.sock_recv(self.socket, size)
        except OSError:
            self.was_reset = True
            return b""

    async def rest(self):
        """Everything until the end."""
        parts = []
        while True:
            data = await self.receive(1 << 16)
            if not data:
                return b"".join(parts)
            parts.append(data)

    def end_sending(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def leave(self):
        if self.rng.random() < 0.5:
            with contextlib.suppress(OSError):
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.socket.close()

    def expect(self, condition, what, data=b""):
        if condition:
            return
        self.was_excused = self.is_late(data)
        if not self.was_excused:
            raise Wrong("%s%s: %r" % (what, " (reset)" * self.was_reset, data[:200]))

    def expect_refusal(self, data, size, good, statuses):
        """@good answers of status 200, then a refusal and nothing behind it, to @size bytes."""
        answers, tail = parse_answers(data)
        found = [answer.status for answer in answers]
        right = found[:-1] == [200] * good and found and found[-1] in statuses and not tail
        self.expect(right, "%d answers and one of %s wanted" % (good, statuses), data)
        # Systems other than Linux take back with a reset what has not been read. A server need not
        # read much more than a client may send, nor for long.
        gave_up = size > 1 << 20 or time.monotonic() - self.begin > LINGER_S * 0.9
        self.expect(not self.was_reset or gave_up, "is reset", data)
        if found:
            self.expect(answers[-1].fields.get(b"connection") == b"close", "goes on", data)

    # ---- the kinds -------------------------------------------------------------------------------

    async def refused(self):
        text, good = wrong_text(self.rng), self.rng.choice((0, 0, 0, 1, 3))
        self.requests = good + 1
        text = get("/plaintext") * good + text + SMUGGLED
        await self.send_in_pieces(text)
        self.expect_refusal(await self.rest(), len(text), good, (400, 413))

    async def served(self):
        wanted = [odd_but_right(self.rng) for _ in range(self.rng.randrange(1, 9))]
        self.requests = len(wanted)
        await self.send_in_pieces(b"".join(text for text, _, _ in wanted))
        self.end_sending()
        data = await self.rest()
        bare = [i for i, (text, _, _) in enumerate(wanted) if text.startswith(b"HEAD")]
        answers, tail = parse_answers(data, bare)
        right = len(answers) == len(wanted) and not tail and all(
            answer.status == status and body in (None, answer.body)
            for answer, (_, status, body) in zip(answers, wanted))
        self.expect(right, "of %s come %s" % ([status for _, status, _ in wanted],
                                              [answer.status for answer in answers]), data)

    async def cut(self):
        """Goes away at any stage: before, within and after the request and its answer."""
        text = self.rng.choice((get("/plaintext"), get("/big.bin"), get("/cpu?ms=1"),
                                post(PAGE[:9999]), CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
                                get("/echo", "Expect: 100-continue", "Content-Length: 9999",
                                    method="POST")))
        self.requests = 1
        stage = self.rng.randrange(4)
        if stage > 0:
            await self.send(text[:self.rng.randrange(len(text))] if stage == 1 else text)
        data = b""
        if stage == 3 and b"/big" in text:
            data = await self.receive(self.rng.choice((1, 100, 65536)))
        if self.rng.random() < 0.3:
            self.end_sending()
            data += await self.rest()
            answers, tail = parse_answers(data)
            self.expect(len(answers) <= 1 and not tail, "more than an answer", data)
            if stage > 1 and b"Expect" not in text:
                self.expect([answer.status for answer in answers] == [200], "no answer", data)
        self.leave()

    async def slow_reader(self):
        """Its window is some KiB. Reads a little, and all in the end, if it is still there."""
        self.requests = 2
        await self.send(get("/big.bin", "Range: bytes=0-199999") * 2)
        data = b""
        for _ in range(self.rng.randrange(5)):
            await asyncio.sleep(self.rng.random() * 0.1)
            data += await self.receive(self.rng.randrange(1, 2000))
        if self.rng.random() < 0.1:
            await asyncio.sleep(LIMIT_S * 1.2)
        elif self.rng.random() < 0.7:
            self.leave()
            return
        self.end_sending()
        data += await self.rest()
        answers, tail = parse_answers(data)
        _, found, begun = tail.partition(b"\r\n\r\n")
        right = all(answer.body == BIG[:200000] for answer in answers) and (
            BIG.startswith(begun) if found else True)
        self.expect(right and len(answers) <= 2, "not what the file holds", data)
        if not right:
            raise Wrong("not what the file holds")

    async def slow_writer(self):
        text = get("/plaintext", "Connection: close")
        self.requests = 1
        for i in range(len(text)):
            await self.send(text[i:i + 1])
            await asyncio.sleep(self.rng.random() * 0.006)
        data = await self.rest()
        answers, tail = parse_answers(data)
        self.expect([answer.body for answer in answers] == [HELLO] and not tail, "no answer", data)

    async def stall(self):
        """Never ends what it began; the server must give it up in time."""
        text = self.rng.choice((get("/plaintext", "X: y"), CHUNKED + b"5\r\nhello\r\n",
                                get("/echo", "Content-Length: 10", method="POST") + b"abc\r\n"))
        self.requests = 1
        await self.send(text[:-2])
        answers, _ = parse_answers(await self.rest())
        if [answer.status for answer in answers] != [408]:
            raise Wrong("no 408 but %s" % [answer.status for answer in answers])

    async def garbage(self):
        if self.rng.random() < 0.4:
            text = self.rng.randbytes(self.rng.randrange(1, 3000))
        else:
            text = self.rng.choice((wrong_text(self.rng), odd_but_right(self.rng)[0])) or b"x"
            text = bytearray(text.replace(b"HEAD", b"GET").replace(b"/smuggled", b"/json"))
            for _ in range(self.rng.randrange(1, 6)):
                text[self.rng.randrange(len(text))] = self.rng.randrange(256)
        self.requests = 1
        await self.send_in_pieces(bytes(text))
        self.end_sending()
        data = await self.rest()
        answers, tail = parse_answers(data)
        for answer in answers[:-1]:
            self.expect(answer.fields.get(b"connection") != b"close", "goes on after a close", data)
        self.expect(not tail, "half an answer", data)

    async def oversized(self):
        size = self.rng.choice((20000, 70000, 200000))
        text, statuses = self.rng.choice((
            (get("/" + "x" * size), (414,)),
            (get("/plaintext", "X: " + "y" * size), (431,)),
            (get("/plaintext", *["X: y"] * (size // 6)), (431,)),
            (get("/echo", "Content-Length: %d" % (1 << self.rng.randrange(21, 59)), method="POST") +
             b"z" * size, (413,)),
            (CHUNKED + b"%x\r\n" % (1 << self.rng.randrange(21, 59)) + b"z" * size, (413,)),
            (CHUNKED + (b"10000\r\n" + b"z" * 65536 + b"\r\n") * 17, (413,))))
        self.requests = 1
        await self.send(text)
        self.end_sending()
        self.expect_refusal(await self.rest(), len(text), 0, statuses)

    async def flood(self):
        """Asks for much and reads nothing."""
        self.requests = self.rng.randrange(10, 200)
        text = self.rng.choice((get("/plaintext"), get("/page.bin"), post(PAGE[:2000])))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.send(text * self.requests), 0.1)
        self.leave()

    async def silent(self):
        self.requests = 1
        await asyncio.sleep(self.rng.random() * 0.3)
        self.leave()


KINDS = {"refused": 300, "served": 150, "cut": 250, "garbage": 150, "slow_reader": 50,
         "slow_writer": 30, "stall": 10, "oversized": 30, "flood": 3, "silent": 20}


class Swarm:
    """So many hostile clients at a time, to servers at @ports."""

    FAILURES_MAX = 10

    def __init__(self, ports, seed, concurrency):
        self.ports, self.seed, self.concurrency = ports, seed, concurrency
        self.clients = self.requests = self.excused = 0
        self.counts = dict.fromkeys(KINDS, 0)
        self.failures = []

    def run(self, next_number):
        """@next_number tells the next client; None ends it."""
        async def work():
            await asyncio.gather(*[self.work(next_number) for _ in range(self.concurrency)])

        asyncio.run(work())

    async def work(self, next_number):
        while len(self.failures) < self.FAILURES_MAX:
            number = next_number()
            if number is None:
                return
            client = Client(self, number)
            try:
                await asyncio.wait_for(client.run(), DEADLINE_S)
            except asyncio.TimeoutError:
                self.fail(client, "hangs")
            except (Wrong, OSError, ValueError) as error:
                self.fail(client, error)
            self.clients += 1
            self.requests += client.requests
            self.excused += client.was_excused
            self.counts[client.kind] += 1

    def fail(self, client, what):
        self.failures.append("client %d (%s, to port %d): %s" %
                             (client.number, client.kind, client.port, what))


# ---- well-behaved clients ------------------------------------------------------------------------


class Regular:
    """A well-behaved client in a thread, which asks until it is stopped and measures each time."""

    def __init__(self, port, seed, pause_s=0.002):
        self.port, self.pause_s = port, pause_s
        self.rng = random.Random(seed)
        self.times, self.failures = [], []
        self.socket = None
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while not self.stopped.wait(self.pause_s) and len(self.failures) < 10:
                begin = time.monotonic()
                try:
                    self.ask()
                except (OSError, Wrong, ValueError) as error:
                    self.failures.append("a well-behaved client at port %d: %r" %
                                         (self.port, error))
                    self.hang_up()
                self.times.append(time.monotonic() - begin)
        finally:
            self.hang_up()

    def ask(self):
        body = self.rng.randbytes(self.rng.randrange(20000))
        request, wanted = self.rng.choice((
            (get("/plaintext"), HELLO), (get("/json"), JSON), (get("/page.bin"), PAGE),
            (post(body), body)))
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), PROMPT_S)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(request)
        data, answers, tail = [], [], b"x"
        while tail or not answers:
            piece = self.socket.recv(1 << 17)
            if not piece:
                raise Wrong("closed within %r" % request[:30])
            data.append(piece)
            answers, tail = parse_answers(b"".join(data))
        if len(answers) != 1 or answers[0].status != 200 or answers[0].body != wanted:
            raise Wrong("a wrong answer to %r: %r" % (request[:30], data[0][:100]))
        if self.rng.random() < 0.05:
            self.hang_up()

    def hang_up(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def stop(self):
        """(requests, median, 99th percentile, longest); times in seconds."""
        self.stopped.set()
        self.thread.join(DEADLINE_S)
        times = sorted(self.times)
        if not times:
            raise Wrong("a well-behaved client was never answered")
        count = len(times)
        return count, times[count // 2], times[math.ceil(count * 0.99) - 1], times[-1]
