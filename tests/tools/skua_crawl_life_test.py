#!/usr/bin/env python3
"""Tests of the program skua-crawl: how it treats hosts, failures, and its own end.

Usage: skua_crawl_life_test.py PATH-OF-SKUA-CRAWL [unittest options]

What it fetches and what it says of it is in skua_crawl_test.py.
"""
import os
import pty
import select
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True  # no trace in the tree
if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
    sys.exit(__doc__)
from skua_crawl_kit import (DEADLINE_S, Base, closed_port, crawl, eventually, in_turn,
                            interrupt, links, parse, start)

RETRY = "--retry-delay=0.01"


def hang(to):
    to.server.site.closing.wait(DEADLINE_S)
    to.close_connection = True


def break_off(to):
    to.close_connection = True


class RetryTest(Base):
    def test_what_may_pass_is_tried_again(self):
        good = lambda to: to.answer(200, "x")
        site = self.site({
            "/500": in_turn(lambda to: to.answer(500), good),
            "/always": lambda to: to.answer(502), "/401": lambda to: to.answer(401)})
        result = crawl(RETRY, *map(site.url, ("/500", "/always", "/401")))
        found = {name: (result[site.url(name)]["status"], result[site.url(name)]["attempts"],
                        result[site.url(name)]["error"])
                 for name in ("/500", "/always", "/401")}
        self.assertEqual(found, {"/500": (200, 2, None), "/always": (502, 3, "HTTP 502"),
                                 "/401": (401, 1, "HTTP 401")})
        self.assertEqual(result.status, 1)
        # On a connection that was used before, libcurl itself asks again.
        site = self.site({"/500": in_turn(lambda to: to.answer(500), good),
                          "/cut": in_turn(break_off, break_off, good)})
        line = crawl("--robots=off", RETRY, site.url("/cut")).lines[0]
        self.assertEqual((line["status"], line["attempts"]), (200, 3))
        self.assertEqual(crawl("--retries=0", site.url("/500")).lines[0]["attempts"], 1)

    def test_retry_after_is_heeded_by_all_requests_to_the_host(self):
        site = self.site({
            "/a": in_turn(lambda to: to.answer(429, "", Retry_After="1"),
                          lambda to: to.answer(200, "x")),
            "/b": in_turn(lambda to: to.answer(503, "", Retry_After="1000"))})
        result = crawl(RETRY, site.url("/a"))
        first, second = site.times("/a")
        self.assertGreaterEqual(second - first, 0.999)
        self.assertEqual((result.status, result.lines[0]["attempts"]), (0, 2))
        # Nobody waits a quarter of an hour.
        line = crawl(RETRY, site.url("/b")).lines[0]
        self.assertEqual((line["attempts"], line["error"]), (1, "HTTP 503"))

    def test_slow_answers_time_out(self):
        def drip(to):
            to.send_response(200)
            to.send_header("Content-Length", "1000")
            to.end_headers()
            while not to.server.site.closing.wait(0.01):
                to.wfile.write(b"x")
        site = self.site({"/hang": hang, "/drip": drip})
        result = crawl("--timeout=0.2", "--retries=1", RETRY, site.url("/hang"), site.url("/drip"))
        for path, status in (("/hang", None), ("/drip", 200)):
            line = result[site.url(path)]
            self.assertEqual((line["error"], line["attempts"], line["status"]),
                             ("Timeout was reached", 2, status))
            self.assertGreaterEqual(line["time_ms"], 400)

    def test_a_dead_host_is_left_alone(self):
        sock, port = closed_port()
        site = self.site({"/a": "x"})
        with sock:
            urls = ["http://127.0.0.1:%d/%d" % (port, i) for i in range(30)]
            result = crawl("--robots=off", "--retries=0", "--per-host=1", *urls, site.url("/a"))
        errors = [line["error"] for line in result.lines if line["url"] in urls]
        self.assertEqual(errors, ["Couldn't connect to server"] * 5 + ["host is down"] * 25)
        self.assertEqual((result.totals()["requests"], result[site.url("/a")]["error"]), (6, None))

    def test_a_host_without_address_fails(self):
        result = crawl("--robots=off", "--retries=0", "http://no-such-host.invalid/")
        self.assertEqual(result.lines[0]["error"], "Couldn't resolve host name")


class Crowd:
    """A page, of one site or several, that is not answered before @size requests are there."""

    def __init__(self, size):
        self.size, self.now, self.most = size, 0, 0
        self.lock = threading.Lock()
        self.full = threading.Event()

    def __call__(self, to):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            if self.now >= self.size:
                self.full.set()
        self.full.wait(DEADLINE_S)
        to.server.site.closing.wait(0.01)  # one too many would come now
        with self.lock:
            self.now -= 1
        to.answer(200, "x")


class PoliteTest(Base):
    def test_connections_to_a_host_are_limited(self):
        crowds = [Crowd(3) for _ in range(3)]
        sites = [self.site({"/": crowd}) for crowd in crowds]
        result = crawl("--per-host=3", *[site.url("/?%d" % i) for i in range(15) for site in sites])
        self.assertEqual((result.status, len(result.lines)), (0, 45))
        self.assertEqual([crowd.most for crowd in crowds], [3] * 3)

    def test_connections_are_limited_where_redirects_lead_as_well(self):
        crowd = Crowd(2)
        target = self.site({"/": crowd})
        away = lambda to: to.answer(302, "", Location=target.url(to.path))
        sites = [self.site({"/": away}) for _ in range(4)]
        result = crawl("--per-host=2", *[site.url("/?%d%d" % (i, k)) for i in range(4)
                                         for k, site in enumerate(sites)])
        self.assertEqual((result.status, len(result.lines), crowd.most), (0, 16, 2))

    def test_transfers_are_limited_over_all_hosts(self):
        crowd = Crowd(7)
        sites = [self.site({"/": crowd}) for _ in range(4)]
        result = crawl("--per-host=3", "--concurrency=7",
                       *[site.url("/?%d" % i) for i in range(10) for site in sites])
        self.assertEqual((result.status, len(result.lines), crowd.most), (0, 40, 7))

    def test_the_rate_is_kept_for_each_host(self):
        sites = [self.site({"/": "x"}), self.site({"/": in_turn(
            lambda to: to.answer(500), lambda to: to.answer(200, "x"))})]
        urls = [site.url("/?%d" % i) for i in range(8) for site in sites]
        before = time.monotonic()
        result = crawl("--rate=20", "--per-host=8", RETRY, *urls)
        self.assertEqual(result.status, 0)
        for site, count in zip(sites, (9, 10)):  # with robots.txt, and the retry
            self.assertEqual(len(site.asked), count)
            self.assert_apart(site, before, 0.05)

    def assert_apart(self, site, before, distance):
        """What comes late to the server does not matter here, only what comes too early."""
        times = sorted(when for _, when, _ in site.asked)
        early = [k for k, when in enumerate(times) if when < before + k * distance]
        self.assertEqual(early, [])

    def test_a_crawl_delay_is_kept(self):
        rules = "User-agent: *\nCrawl-delay: 0.15\n"
        site = self.site({"/robots.txt": lambda to: to.answer(200, rules), "/": "x"})
        quick = self.site({"/": "x"})
        before = time.monotonic()
        result = crawl("--per-host=4", *[site.url("/?%d" % i) for i in range(5)], quick.url("/"))
        self.assertEqual((result.status, len(site.asked)), (0, 6))
        self.assert_apart(site, before, 0.15)
        self.assertLess(quick.times("/")[0], site.times()[-1])

    def test_five_hundred_urls_on_several_hosts_are_fetched_once_each(self):
        sites = [self.site({"/": "x" * 1000}) for _ in range(4)]
        urls = [site.url("/?%d" % i) for i in range(125) for site in sites]
        result = crawl("--list=-", "--concurrency=64", "--per-host=16", "--sha256",
                       stdin="\n".join(urls).encode())
        self.assertEqual(result.status, 0)
        self.assertEqual(sorted(line["url"] for line in result.lines), sorted(urls))
        for site in sites:
            self.assertEqual(len(set(site.paths())), 125)
            self.assertEqual((len(site.paths()), site.count("/robots.txt")), (125, 1))

    def test_a_list_that_does_not_end_is_read_as_it_is_worked_on(self):
        site = self.site({"/": "x"})
        child = start("--list=-", stdin=subprocess.PIPE)
        child.stdin.write(site.url("/?1\n").encode())
        child.stdin.flush()
        self.assertIn(b"/?1", child.stdout.readline())
        child.stdin.write(site.url("/?2").encode())
        child.stdin.close()
        child.stdin = None
        status, lines, _ = self.end(child)
        self.assertEqual((status, len(lines)), (0, 1))


class EndTest(Base):
    def test_a_signal_lets_what_runs_finish_and_begins_nothing(self):
        go = threading.Event()

        def page(to):
            go.wait(DEADLINE_S)
            to.answer(200, "x")
        site = self.site({"/": page})
        self.addCleanup(go.set)
        child = start("--per-host=2", *[site.url("/?%d" % i) for i in range(20)])
        eventually(lambda: len(site.paths()) == 2, "two requests")
        interrupt(child)
        # The signal is taken within that time or the test does not test much; it never fails then.
        select.select([child.stdout], [], [], 0.2)
        go.set()
        status, lines, err = self.end(child)
        self.assertEqual((status, [line["error"] for line in lines]), (130, [None, None]))
        self.assertIn("2 fetched, 0 failed, 18 not visited", err)
        self.assertEqual(len(site.paths()), 2)

    def test_after_the_grace_what_runs_is_cancelled(self):
        site = self.site({"/": hang})
        child = start("--grace=0.1", "--per-host=3", *[site.url("/?%d" % i) for i in range(9)])
        eventually(lambda: len(site.paths()) == 3, "three requests")
        interrupt(child, signal.SIGTERM)
        status, lines, err = self.end(child)
        self.assertEqual((status, [line["error"] for line in lines]), (143, ["interrupted"] * 3))
        self.assertIn("0 fetched, 3 failed, 6 not visited", err)

    def test_a_second_signal_ends_at_once(self):
        site = self.site({"/": hang})
        child = start("--grace=600", site.url("/"))
        eventually(lambda: len(site.paths()) == 1, "a request")
        interrupt(child)
        with self.assertRaises(subprocess.TimeoutExpired):
            child.wait(0.1)
        interrupt(child)
        self.assertEqual(self.end(child)[:2], (130, []))

    def test_a_signal_ends_all_kinds_of_waits(self):
        site = self.site({
            "/robots.txt": lambda to: to.answer(200, "User-agent: *\nCrawl-delay: 100"),
            "/": "x"})
        other = self.site({"/": lambda to: to.answer(503, "", Retry_After="100")})
        third = self.site({"/": lambda to: to.answer(500)})
        child = start("--list=-", "--retry-delay=1000", "--retries=9", site.url("/"),
                      other.url("/"), other.url("/?"), third.url("/"), stdin=subprocess.PIPE)
        eventually(lambda: site.count("/robots.txt") and len(other.paths()) and len(third.paths()),
                   "requests")
        interrupt(child)
        child.wait(DEADLINE_S)
        child.stdin.close()
        child.stdin = None
        status, _, err = self.end(child)
        self.assertEqual(status, 130, err)

    def test_a_reader_that_goes_away_ends_it(self):
        site = self.site({"/": "x"})
        pages = [site.url("/?%d" % i) for i in range(200)]
        child = start("--list=-", stdin=subprocess.PIPE)
        child.stdout.close()
        child.stdin.write("\n".join(pages).encode())
        child.stdin.close()
        err = child.stderr.read().decode()
        child.stderr.close()
        self.assertEqual(child.wait(DEADLINE_S), 1)
        self.assertIn("skua-crawl: write error: Broken pipe", err)
        self.assertLess(len(site.paths()), 200)

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full")
    def test_a_full_disk_is_an_error(self):
        site = self.site({"/": "x"})
        result = crawl("--output=/dev/full", site.url("/"))
        self.assertEqual(result.status, 1)
        self.assertIn("skua-crawl: write error: No space left on device", result.err)

    def test_a_closed_output_is_an_error(self):
        site = self.site({"/": "x"})
        child = start(site.url("/"), stdout=None, preexec_fn=lambda: os.close(1))
        err = child.stderr.read().decode()
        child.stderr.close()
        self.assertEqual((child.wait(DEADLINE_S), "write error" in err), (1, True))

    def test_a_reader_that_is_slow_loses_nothing(self):
        site = self.site({"/": "x"})
        urls = [site.url("/?%d%s" % (i, "x" * 500)) for i in range(400)]
        child = start("--list=-", "--per-host=16", stdin=subprocess.PIPE)
        feed = threading.Thread(target=lambda: (child.stdin.write("\n".join(urls).encode()),
                                                child.stdin.close()))
        feed.start()
        eventually(lambda: len(site.paths()) > 60, "some requests")
        out = child.stdout.read()
        feed.join()
        self.assertEqual(sorted(line["url"] for line in parse(out)), sorted(urls))
        child.stdout.close()
        child.stderr.close()
        self.assertEqual(child.wait(DEADLINE_S), 0)

    def test_progress_is_drawn_on_a_terminal_and_taken_away(self):
        site = self.site({"/": hang, "/a": "x"})
        main, terminal = pty.openpty()
        child = start("--retries=0", site.url("/a"), site.url("/"), stderr=terminal)
        os.close(terminal)
        shown = b""
        while b"1 fetched, 0 failed, 1 left, 1 transfers" not in shown:
            self.assertTrue(select.select([main], [], [], DEADLINE_S)[0])
            shown += os.read(main, 1000)
        site.closing.set()
        child.stdout.read()
        child.stdout.close()
        child.wait(DEADLINE_S)
        while True:
            try:
                shown += os.read(main, 1000)
            except OSError:
                break
        os.close(main)
        self.assertIn(b"\r\x1b[Kskua-crawl: ", shown)

    def test_quiet_says_nothing(self):
        site = self.site({"/": "x"})
        self.assertEqual(crawl("-q", site.url("/")).err, "")


@unittest.skipUnless(shutil.which("openssl"), "openssl makes no certificate here")
class TlsTest(Base):
    def test_certificates_are_checked(self):
        key, cert = os.path.join(self.folder, "key"), os.path.join(self.folder, "cert")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=127.0.0.1",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-keyout", key,
                        "-out", cert], check=True, stderr=subprocess.DEVNULL, timeout=DEADLINE_S)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        site = self.site({"/": links("a"), "/a": "a"}, context=context)
        for options, status in (([], 1), (["--cacert", cert], 0), (["--insecure"], 0)):
            result = crawl("--follow", "--retries=0", *options, site.url("/"))
            self.assertEqual(result.status, status, result.out)
        self.assertEqual(sorted(result.pages), [site.url("/"), site.url("/a")])


if __name__ == "__main__":
    unittest.main()
