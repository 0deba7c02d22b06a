#!/usr/bin/env python3
"""Tests of the program skua-crawl: what it fetches and what it says of it.

Usage: skua_crawl_test.py PATH-OF-SKUA-CRAWL [unittest options]

How it behaves towards hosts, signals and full disks is in skua_crawl_life_test.py.
"""
import gzip
import hashlib
import os
import sys
import unittest

sys.dont_write_bytecode = True  # no trace in the tree
if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
    sys.exit(__doc__)
from skua_crawl_kit import Base, crawl, in_turn, links


def moved(target, status=302):
    return lambda to: to.answer(status, "", Location=target)


class ListTest(Base):
    def test_a_page_is_told_in_a_line_of_json(self):
        site = self.site({"/a": "hello"})
        result = crawl(site.url("/a"))
        line = dict(result.lines[0], time_ms=0)
        self.assertEqual(line, {
            "url": site.url("/a"), "final_url": site.url("/a"), "status": 200, "bytes": 5,
            "content_type": "text/html", "attempts": 1, "time_ms": 0, "depth": 0, "error": None})
        self.assertEqual((result.status, len(result.lines)), (0, 1))
        self.assertLess(result.lines[0]["time_ms"], 30000)
        self.assertEqual(result.totals(), {
            "fetched": 1, "failed": 0, "not visited": 0, "disallowed": 0, "duplicate": 0,
            "over a limit": 0, "requests": 2, "bytes": 5})

    def test_urls_come_from_arguments_a_file_and_standard_input(self):
        site = self.site({"/%s" % name: "x" for name in "abcd"})
        listed = self.file("list", "# comment\r\n\n  %s  \r\n%s" % (site.url("/b"), site.url("/c")))
        result = crawl("--list", listed, site.url("/a"))
        self.assertEqual((result.status, sorted(site.paths())), (0, ["/a", "/b", "/c"]))
        result = crawl("--list=-", stdin=site.url("/d").encode() + b"\n")
        self.assertEqual((result.status, result[site.url("/d")]["status"]), (0, 200))

    def test_urls_have_one_spelling_and_are_fetched_once(self):
        site = self.site({"/a": "x", "/": "y"})
        port = site.port
        same = ["http://127.0.0.1:%d/a" % port, "HTTP://127.0.0.1:%d/a#b" % port,
                "127.0.0.1:%d/b/../%%61" % port, "http://127.0.0.1:%d/./a" % port]
        result = crawl(*same, "http://127.0.0.1:%d" % port)
        self.assertEqual(sorted(result.pages), [site.url("/"), site.url("/a")])
        self.assertEqual((sorted(site.paths()), result.totals()["duplicate"]), (["/", "/a"], 3))

    def test_what_is_no_url_fails_and_the_others_go_on(self):
        site = self.site({"/a": "x"})
        long = "http://127.0.0.1/" + "x" * 5000
        result = crawl("--list=-", "--sha256", stdin="\n".join(
            ["ftp://a/b", "file:///etc/passwd", "http://", long, "x" * 10000, "http://a b/",
             site.url("/a"), "http://\"\x01\u00e4/"]).encode() + b"\nhttp://\xff/\n")
        errors = {line["error"] for line in result.lines}
        self.assertEqual(errors, {"neither http nor https", "not a URL", "URL too long", None})
        self.assertEqual((result.status, len(result.lines)), (1, 9))
        self.assertEqual(result["file:///etc/passwd"]["error"], "neither http nor https")
        self.assertEqual(result["ftp://a/b"]["final_url"], None)
        self.assertEqual(result.totals()["not visited"], 0)

    def test_fields_are_sent(self):
        site = self.site({"/a": "x"})
        crawl("--user-agent=Tester/2.0", "--header=X-One: 1", "--header=X-Two: 2", site.url("/a"))
        fields = site.asked[-1][2]
        self.assertEqual([fields[name] for name in ("User-Agent", "X-One", "X-Two")],
                         ["Tester/2.0", "1", "2"])
        self.assertIn("gzip", fields["Accept-Encoding"])

    def test_output_goes_to_a_file(self):
        site = self.site({"/a": "x"})
        path = self.file("out", "old and much longer than what comes now" * 100)
        result = crawl("--output", path, site.url("/a"))
        self.assertEqual((result.status, result.out), (0, b""))
        with open(path, "rb") as file:
            self.assertEqual(file.read().count(b"\n"), 1)

    def test_usage_is_checked(self):
        for args in ([], ["--rate=0", "x"], ["--rate=x", "x"], ["--concurrency=0", "x"], ["--what"],
                     ["--timeout"], ["--timeout=-1", "x"], ["--robots=maybe", "x"],
                     ["--header=x", "x"], ["--depth=-1", "x"], ["--user-agent=", "x"],
                     ["--max-size=0", "x"], ["--per-host=x", "x"]):
            result = crawl(*args)
            self.assertEqual((result.status, result.out), (2, b""), args)
            self.assertIn("--help", result.err)
        for args in (["--list=/nowhere"], ["--save=/nowhere", "x"], ["--output=/nowhere/x", "x"],
                     ["--cacert=/nowhere", "x"], ["--save=/dev/null", "x"]):
            result = crawl(*args)
            self.assertEqual((result.status, result.out), (1, b""), args)
        self.assertEqual(crawl("--list=" + self.folder).status, 1)

    def test_help_and_version_are_shown(self):
        import subprocess
        from skua_crawl_kit import CRAWL
        for option, word in (("--help", b"Usage"), ("--version", b"skua-crawl (skua) ")):
            done = subprocess.run([CRAWL, option], stdout=subprocess.PIPE, check=True, timeout=60)
            self.assertTrue(done.stdout.startswith(word))


class AnswerTest(Base):
    def test_an_answer_from_400_on_is_a_failure(self):
        site = self.site({"/gone": lambda to: to.answer(410, "x" * 10, "text/plain")})
        result = crawl(site.url("/404"), site.url("/gone"))
        self.assertEqual(result.status, 1)
        line = result[site.url("/gone")]
        self.assertEqual((line["status"], line["error"], line["attempts"], line["bytes"]),
                         (410, "HTTP 410", 1, 10))
        self.assertEqual(result[site.url("/404")]["error"], "HTTP 404")

    def test_redirects_are_followed_up_to_a_limit(self):
        other = self.site({"/there": "there"})
        site = self.site({"/1": moved("2"), "/2": moved("/d/3", 301), "/d/3": moved("../end", 307),
                          "/end": "end", "/loop": moved("loop"),
                          "/away": moved(other.url("/there")), "/odd": moved("ftp://a/b"),
                          "/lost": moved("404")})
        result = crawl("--redirects=3", *map(site.url, ("/1", "/loop", "/away", "/odd", "/lost")))
        line = result[site.url("/1")]
        self.assertEqual((line["final_url"], line["status"], line["attempts"], line["bytes"]),
                         (site.url("/end"), 200, 1, 3))
        self.assertEqual(result[site.url("/loop")]["error"], "too many redirects")
        self.assertEqual(site.count("/loop"), 4)
        self.assertEqual(result[site.url("/away")]["final_url"], other.url("/there"))
        self.assertEqual(other.count("/robots.txt"), 1)
        self.assertEqual(result[site.url("/odd")]["error"], "redirect to what is no URL of http")
        self.assertEqual((result[site.url("/lost")]["final_url"],
                          result[site.url("/lost")]["error"]), (site.url("/404"), "HTTP 404"))
        result = crawl("--redirects=2", site.url("/1"))
        self.assertEqual(result[site.url("/1")]["error"], "too many redirects")

    def test_bodies_are_decoded_and_have_a_limit(self):
        text = b"0123456789" * 5000
        packed = gzip.compress(text)
        bomb = gzip.compress(bytes(1 << 20))
        site = self.site({
            "/gzip": lambda to: to.answer(200, packed, Content_Encoding="gzip"),
            "/bomb": lambda to: to.answer(200, bomb, Content_Encoding="gzip"),
            "/chunks": lambda to: to.chunked([text[:7], text[7:20000], text[20000:]]),
            "/said": text + b"x",
            "/long": lambda to: to.chunked([text] * 30),
            "/full": text, "/none": "",
            "/bad": lambda to: to.answer(200, b"\x1f\x8bnot gzip at all", Content_Encoding="gzip")})
        names = ("/gzip", "/bomb", "/chunks", "/said", "/long", "/full", "/none", "/bad")
        result = crawl("--max-size=50000", "--sha256", *map(site.url, names))
        digest = hashlib.sha256(text).hexdigest()
        for name in ("/gzip", "/chunks", "/full"):
            line = result[site.url(name)]
            self.assertEqual((line["bytes"], line["sha256"], line["error"]), (50000, digest, None))
        for name in ("/bomb", "/said", "/long"):
            line = result[site.url(name)]
            self.assertEqual((line["error"], line["sha256"], line["attempts"]),
                             ("body over 50000 bytes", None, 1), name)
        self.assertEqual(result[site.url("/none")]["sha256"], hashlib.sha256(b"").hexdigest())
        self.assertTrue(result[site.url("/bad")]["error"])
        self.assertEqual(result.status, 1)

    def test_a_strange_content_type_makes_a_whole_line(self):
        kind = "a\"\\b\x7f\xe4\u00fc"
        site = self.site({"/a": lambda to: to.answer(200, "x", kind)})
        result = crawl(site.url("/a"))
        self.assertEqual(result.lines[0]["content_type"], "a\"\\b\x7f\ufffd\ufffd")

    def test_bodies_are_saved_under_names_made_of_their_urls(self):
        site = self.site({"/a/b.html": "hello", "/" + "x" * 300: "long", "/c": "c"})
        folder = os.path.join(self.folder, "saved")
        os.mkdir(folder)
        os.mkdir(os.path.join(folder, "http_127.0.0.1%%3A%d%%2Fc" % site.port))
        result = crawl("--save", folder, *map(site.url, ("/a/b.html", "/" + "x" * 300, "/404",
                                                         "/c")))
        name = "http_127.0.0.1%%3A%d%%2Fa%%2Fb.html" % site.port
        self.assertEqual(result[site.url("/a/b.html")]["file"], name)
        self.assertEqual(result[site.url("/404")]["file"], None)
        self.assertEqual(result[site.url("/c")]["error"], "cannot save: Is a directory")
        long = result[site.url("/" + "x" * 300)]["file"]
        self.assertLess(len(long), 256)
        self.assertEqual(sorted(os.listdir(folder)),
                         sorted([name, long, "http_127.0.0.1%%3A%d%%2Fc" % site.port]))
        for saved, text in ((name, "hello"), (long, "long")):
            with open(os.path.join(folder, saved)) as file:
                self.assertEqual(file.read(), text)


class FollowTest(Base):
    def test_links_are_followed_once_within_the_host(self):
        other = self.site({"/": "other"})
        site = self.site({
            "/": links("a", "/b?x=1&amp;y=2", "#here", "", other.url("/"), "mailto:x@y", "c#d",
                       "http://[bad/", "javascript:void(0)", "//127.0.0.1:%s/e" % "PORT"),
            "/b": links("../../a"),
            "/c": "<a href=c>", "/deep/er": links("../a", "./er", "?q")})

        def after_the_root(to):  # whose last link has been found by then: depths are certain
            for _ in range(500):
                if site.count("/e") or site.closing.wait(0.01):
                    break
            to.answer(200, links("/", "a", "b?x=1&amp;y=2", "deep/er"))
        site.pages["/a"] = after_the_root
        site.pages["/"] = site.pages["/"].replace("PORT", str(site.port))
        result = crawl("--follow", site.url("/"))
        self.assertEqual(sorted(site.paths()), ["/", "/a", "/b?x=1&y=2", "/c", "/deep/er",
                                                "/deep/er?q", "/e"])
        self.assertEqual(other.asked, [])
        depths = {url[len(site.base):]: line["depth"] for url, line in result.pages.items()}
        self.assertEqual(depths, {"/": 0, "/a": 1, "/b?x=1&y=2": 1, "/c": 1, "/e": 1,
                                  "/deep/er": 2, "/deep/er?q": 3})
        self.assertEqual((result.status, result[site.url("/e")]["error"]), (1, "HTTP 404"))

    def test_without_follow_no_link_is_followed(self):
        site = self.site({"/": links("a")})
        self.assertEqual(crawl(site.url("/")).status, 0)
        self.assertEqual(site.paths(), ["/"])

    def test_depth_and_pages_are_limited(self):
        pages = {"/%d" % i: links("/%d" % (i + 1)) for i in range(20)}
        site = self.site(pages)
        result = crawl("--follow", "--depth=3", site.url("/0"))
        self.assertEqual((result.status, sorted(site.paths())), (0, ["/0", "/1", "/2", "/3"]))
        site = self.site({"/": links(*map(str, range(50))), **{"/%d" % i: "x" for i in range(50)}})
        result = crawl("--follow", "--max-pages=10", site.url("/"))
        self.assertEqual((result.status, len(result.lines)), (0, 10))
        self.assertEqual(result.totals()["over a limit"], 41)
        result = crawl("--follow", "--max-visited=5", site.url("/"))
        self.assertEqual((result.status, len(result.lines)), (0, 5))

    def test_all_kinds_of_links_are_found_in_broken_html(self):
        site = self.site({"/": """<html><base href="/x/"><base href="/no/"><a
            HREF = one >1</A><area href='two'><frame src="three"/><iframe src=four></iframe>
            <link rel=next href=five><link rel=preconnect href=no1>
            <!-- <a href=no2> --><script>"<a href=no3>"</script><style><a href=no4></style>
            <a rel="x NoFollow" href=no5><a title="<a href=no6>" href="six"><p <a href=seven>
            <img src=no7><a href="ei&#103;ht&amp;&lt;" href=no8><a name=no9><a href>
            <a href=" ni\tne\n"></b></i><textarea><a href=no10></textarea><a href="\xe4 \xf6">
            <a href=/t%65n/../ten><a href="no11""",
                          **{"/x/" + n: "x" for n in ("one", "two", "three", "four", "five", "six",
                                                      "eight&<", "eight&%3C", "nine", "seven")}})
        crawl("--follow", site.url("/"))
        # The tag p takes "<a" and "href=seven" for attributes.
        self.assertEqual(sorted(site.paths()), sorted(
            ["/"] + ["/x/" + n for n in ("one", "two", "three", "four", "five", "six", "eight&<",
                                         "nine", "%C3%A4%20%C3%B6")] + ["/ten"]))

    def test_pages_may_forbid_to_follow_their_links(self):
        forbid = '<a href="/no"><meta name="ROBOTS" content="index, NoFollow"><a href="/no">'
        site = self.site({"/": links("1", "2"), "/1": forbid,
                          "/2": '<meta name=robots content=none><a href="/no">'})
        self.assertEqual(crawl("--follow", site.url("/")).status, 0)
        self.assertEqual(sorted(site.paths()), ["/", "/1", "/2"])

    def test_only_html_has_links(self):
        body = links("/no")
        site = self.site({"/": links("a", "b", "c"),
                          "/a": lambda to: to.answer(200, body, "text/plain"),
                          "/b": lambda to: to.answer(200, body, None),
                          "/c": lambda to: to.answer(404, body),
                          "/xhtml": lambda to: to.answer(200, links("/d"),
                                                         "Application/XHTML+xml; charset=x")})
        crawl("--follow", site.url("/"), site.url("/xhtml"))
        self.assertEqual(sorted(site.paths()), ["/", "/a", "/b", "/c", "/d", "/xhtml"])

    def test_links_of_a_page_that_moved_are_relative_to_where_it_is(self):
        other = self.site({"/no": "x"})
        site = self.site({"/": moved("/d/"), "/d/": links("a", "b"), "/d/a": "a",
                          "/d/b": moved(other.url("/no"))})
        result = crawl("--follow", site.url("/"))
        self.assertEqual(sorted(site.paths()), ["/", "/d/", "/d/a", "/d/b"])
        self.assertEqual(result[site.url("/d/b")]["error"], "redirect to another site")
        self.assertEqual(other.asked, [])

    def test_a_large_page_is_looked_through(self):
        body = "<p>" + "text " * 100000 + "".join("<a href=/%d>" % i for i in range(100))
        site = self.site({"/": body, **{"/%d" % i: "x" for i in range(100)}})
        result = crawl("--follow", "--sha256", "--per-host=16", site.url("/"))
        self.assertEqual((result.status, len(result.lines)), (0, 101))
        self.assertEqual(result[site.url("/")]["sha256"], hashlib.sha256(body.encode()).hexdigest())


class RobotsTest(Base):
    RULES = ("User-agent: other\nDisallow: /\n\nUser-agent: *\nDisallow: /star\n\n"
             "user-AGENT: Skua-Crawl # us\nDisallow: /no\nAllow: /no/but\nDisallow: /*.gif$\n"
             "Disallow: /q?*x=1\nDisallow:\n")

    def test_robots_txt_is_heeded(self):
        site = self.site({"/robots.txt": lambda to: to.answer(200, self.RULES, "text/plain"),
                          "/": links("/no", "/no/but/this", "/a.gif", "/a.gif?x", "/q?a&x=1",
                                     "/star", "/%6eo/x")})
        result = crawl("--follow", site.url("/"), site.url("/no/listed"))
        self.assertEqual(sorted(site.paths()), ["/", "/a.gif?x", "/no/but/this", "/star"])
        line = result[site.url("/no/listed")]
        self.assertEqual((line["error"], line["attempts"], line["status"]),
                         ("disallowed by robots.txt", 0, None))
        self.assertEqual((site.count("/robots.txt"), result.totals()["disallowed"]), (1, 4))

    def test_the_agent_decides_which_group_holds(self):
        site = self.site({"/robots.txt": lambda to: to.answer(200, self.RULES),
                          "/no": "x", "/star": "x"})
        result = crawl("--user-agent=Mozilla/5.0", site.url("/no"), site.url("/star"))
        self.assertEqual((site.paths(), result.status), (["/no"], 1))

    def test_robots_txt_can_be_ignored(self):
        site = self.site({"/robots.txt": lambda to: to.answer(200, self.RULES), "/no": "x"})
        self.assertEqual(crawl("--robots=off", site.url("/no")).status, 0)
        self.assertEqual(site.count("/robots.txt"), 0)

    def test_robots_txt_is_asked_for_once_however_many_wait_for_it(self):
        site = self.site({"/%d" % i: "x" for i in range(40)})

        def slowly(to):
            site.closing.wait(0.1)
            to.answer(200, "User-agent: *\nDisallow: /1")
        site.pages["/robots.txt"] = slowly
        result = crawl("--per-host=16", *[site.url("/%d" % i) for i in range(40)])
        self.assertEqual(site.count("/robots.txt"), 1)
        self.assertEqual(result.totals()["fetched"], 29)

    def test_a_site_whose_robots_txt_cannot_be_had_is_left_alone(self):
        site = self.site({"/robots.txt": lambda to: to.answer(503), "/a": "x"})
        result = crawl("--retries=1", "--retry-delay=0.01", site.url("/a"), site.url("/b"))
        self.assertEqual((result.status, site.paths(), site.count("/robots.txt")), (1, [], 2))
        self.assertEqual(result[site.url("/a")]["error"], "robots.txt: HTTP 503")

    def test_robots_txt_may_have_moved_fail_once_and_be_odd(self):
        other = self.site({"/r": "User-agent: *\nDisallow: /no"})
        site = self.site({"/robots.txt": in_turn(lambda to: to.answer(500), moved(other.url("/r"))),
                          "/yes": "x", "/no": "x"})
        result = crawl("--retry-delay=0.01", site.url("/yes"), site.url("/no"))
        self.assertEqual((site.paths(), result.status), (["/yes"], 1))
        site = self.site({"/robots.txt": moved("/robots.txt"), "/a": "x"})
        self.assertEqual(crawl(site.url("/a")).status, 0)
        self.assertEqual(site.count("/robots.txt"), 6)
        junk = bytes(range(256)) * 4000
        rules = b"User-agent: *\nDisallow: /no\n" + junk + b"\nDisallow: /a"
        site = self.site({"/robots.txt": rules,
                          "/a": "x", "/no": "x"})
        self.assertEqual(crawl(site.url("/a"), site.url("/no")).status, 1)
        self.assertEqual(site.paths(), ["/a"])


if __name__ == "__main__":
    unittest.main()
