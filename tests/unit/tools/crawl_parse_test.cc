/*
 * Tests tools/skua-crawl/crawl_html.h, crawl_robots.h, crawl_seen.h and crawl_text.h: what is read
 * from strangers, and how it is told. Any input at all is the business of fuzz/crawl_parse_fuzz.c.
 */
#include <errno.h>
#include <gtest/gtest.h>
#include <stdint.h>
#include <string>
#include <vector>

extern "C" {
#include "../../../tools/skua-crawl/crawl_html.h"
#include "../../../tools/skua-crawl/crawl_robots.h"
#include "../../../tools/skua-crawl/crawl_seen.h"
#include "../../../tools/skua-crawl/crawl_text.h"
}

namespace
{

/* ---- HTML ------------------------------------------------------------------------------------ */

/* The links of a page, the base before them with a '^'. */
std::vector<std::string> links(const std::string &html)
{
    std::vector<std::string> found;
    crawl_html_calls calls;
    calls.base = [](void *arg, const char *reference, size_t) {
        static_cast<std::vector<std::string> *>(arg)->push_back(std::string("^") + reference);
    };
    calls.link = [](void *arg, const char *reference, size_t) {
        static_cast<std::vector<std::string> *>(arg)->push_back(reference);
    };
    calls.arg = &found;
    (void)skua_crawl_html_links(html.data(), html.size(), &calls);
    return found;
}

using Strings = std::vector<std::string>;

TEST(CrawlHtml, AttributesMayBeQuotedOrNotAndComeInAnyOrder)
{
    EXPECT_EQ(links("<a href=x>"), Strings{"x"});
    EXPECT_EQ(links("<A\tid='a>b' HREF\n=\n'x y'title=\"<a href=no>\">"), Strings{"x y"});
    EXPECT_EQ(links("<a/href=\"x\"/>"), Strings{"x"});
    EXPECT_EQ(links("<a href=x/y?z>"), Strings{"x/y?z"});
    EXPECT_EQ(links("<a =href=no href=x>"), Strings{"x"});
    EXPECT_EQ(links("<a href=x href=no>"), Strings{"x"});
    EXPECT_EQ(links("<a xhref=no hrefx=no href>"), Strings{});
}

TEST(CrawlHtml, OnlyTagsThatLinkToPagesCount)
{
    EXPECT_EQ(links("<area href=1><link href=2><frame src=3><iframe src=4></iframe>"),
              (Strings{"1", "2", "3", "4"}));
    EXPECT_EQ(links("<img src=no><form action=no><ab href=no><frame href=no><a src=no>"),
              Strings{});
    EXPECT_EQ(links("<link rel='dns-prefetch' href=no><link rel=preconnect href=no>"), Strings{});
    EXPECT_EQ(links("<a rel='a,NOFOLLOW' href=no><a rel=nofollowx href=x>"), Strings{"x"});
}

TEST(CrawlHtml, WhatIsNoTagIsSkipped)
{
    EXPECT_EQ(links("<!-- <a href=no> --><a href=x>"), Strings{"x"});
    EXPECT_EQ(links("<!--><a href=x>--><!---><a href=y>"), (Strings{"x", "y"}));
    EXPECT_EQ(links("<!-- a --!><a href=x><!-- <a href=no>"), Strings{"x"});
    EXPECT_EQ(links("<!doctype <a href=no>><a href=x></a href=no><? <a href=no>"), Strings{"x"});
    EXPECT_EQ(links("a < b <1 <<a href=x>"), Strings{"x"});
    EXPECT_EQ(links("<a href=no"), Strings{});
    EXPECT_EQ(links("<a href='no><a href=no>"), Strings{});
}

TEST(CrawlHtml, RawTextEndsWithItsOwnEndTagOnly)
{
    EXPECT_EQ(links("<script>'</scriptx><a href=no>'</SCRIPT ><a href=x>"), Strings{"x"});
    EXPECT_EQ(links("<style></script><a href=no></style/><a href=x>"), Strings{"x"});
    EXPECT_EQ(links("<title><a href=no></title><a href=x><textarea><a href=no>"), Strings{"x"});
    EXPECT_EQ(links("<script><a href=no></script"), Strings{});
}

TEST(CrawlHtml, EntitiesAreDecoded)
{
    EXPECT_EQ(links("<a href='?a=1&amp;b=2&lt;&#65;&#x42;&#X43'>"), Strings{"?a=1&b=2<ABC"});
    EXPECT_EQ(links("<a href='?a&copy=1&amp=2&#;&#x;&'>"), Strings{"?a&copy=1&amp=2&"});
    EXPECT_EQ(links("<a href='?&#228;&#x20ac;&#x1F600;'>"),
              Strings{"?\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"});
    EXPECT_EQ(links("<a href='?&#0;&#xd800;&#99999999999999;'>"),
              Strings{"?\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"});
}

TEST(CrawlHtml, ReferencesAreTrimmedAndLoseTheirFragments)
{
    EXPECT_EQ(links("<a href=' \n x\ty\r\nz # no'>"), Strings{"xyz "});
    EXPECT_EQ(links("<a href='#no'><a href=''><a href=' '>"), Strings{});
    EXPECT_EQ(links(std::string("<a href='x\0y'><a href=z>", 24)), Strings{"z"});
    EXPECT_EQ(links("<a href='" + std::string(CRAWL_REFERENCE_MAX, 'x') + "'>").size(), 1u);
    EXPECT_EQ(links("<a href='" + std::string(CRAWL_REFERENCE_MAX + 1, 'x') + "'>").size(), 0u);
}

TEST(CrawlHtml, TheFirstBaseIsToldBeforeTheLinks)
{
    EXPECT_EQ(links("<a href=x><base target=y><base href=' /b/ '><base href=no>"),
              (Strings{"^/b/", "x"}));
    EXPECT_EQ(links("<base href=''><base href=no><a href=x>"), Strings{"x"});
}

TEST(CrawlHtml, APageMayForbidToFollowItsLinks)
{
    EXPECT_EQ(links("<a href=no><META content='noindex, NoFollow' name=Robots>"), Strings{});
    EXPECT_EQ(links("<meta name=robots content=none><a href=no>"), Strings{});
    EXPECT_EQ(links("<meta name=other content=none><a href=x>"), Strings{"x"});
    EXPECT_EQ(links("<meta name=robots content='noindex,follow'><a href=x>"), Strings{"x"});
    EXPECT_EQ(links("<!--<meta name=robots content=none>--><a href=x>"), Strings{"x"});
}

TEST(CrawlHtml, HostilePagesTakeTimeInProportionToTheirSize)
{
    const size_t size = 1 << 18;
    for (const char *piece :
         {"<script>", "<!--", "<a href='", "<", "<a ", "</", "&#1", "<!--->-"}) {
        std::string html;
        while (html.size() < size)
            html += piece;
        (void)links(html); /* in quadratic time it would not come back */
    }
}

/* ---- robots.txt ------------------------------------------------------------------------------ */

class CrawlRobots : public testing::Test
{
  protected:
    crawl_robots robots_ = {};

    void read(const std::string &text, const char *agent = "skua-crawl")
    {
        skua_crawl_robots_fini(&robots_);
        ASSERT_EQ(skua_crawl_robots_parse(&robots_, text.data(), text.size(), agent), 0);
    }

    bool allows(const std::string &path) const
    {
        return skua_crawl_robots_allow(&robots_, path.data(), path.size());
    }

    ~CrawlRobots() override
    {
        skua_crawl_robots_fini(&robots_);
    }
};

TEST_F(CrawlRobots, AnEmptyFileAllowsEverything)
{
    read("");
    EXPECT_TRUE(allows("/"));
    read("User-agent: *\nDisallow:\n");
    EXPECT_TRUE(allows("/"));
    read("Disallow: /\n");
    EXPECT_TRUE(allows("/"));
}

TEST_F(CrawlRobots, TheLongestRuleWinsAndAllowIfTheyAreEqual)
{
    read("User-agent: *\nDisallow: /a\nAllow: /a/b\nDisallow: /a/b/c\nAllow: /d\nDisallow: /d\n");
    EXPECT_FALSE(allows("/a"));
    EXPECT_FALSE(allows("/ab"));
    EXPECT_TRUE(allows("/a/b"));
    EXPECT_TRUE(allows("/a/b/x"));
    EXPECT_FALSE(allows("/a/b/c/d"));
    EXPECT_TRUE(allows("/d"));
    EXPECT_TRUE(allows("/A"));
    read("User-agent: *\nDisallow: /\n");
    EXPECT_FALSE(allows("/x"));
    EXPECT_TRUE(allows("/robots.txt"));
    EXPECT_FALSE(allows("/robots.txt?"));
}

TEST_F(CrawlRobots, StarsAndDollarsAreWildcards)
{
    read("User-agent: *\nDisallow: /*.gif$\nDisallow: /a*b*c\nDisallow: /$\nDisallow: /p$x\n");
    EXPECT_FALSE(allows("/x/y.gif"));
    EXPECT_TRUE(allows("/x.gif?y"));
    EXPECT_FALSE(allows("/x.gif?y.gif"));
    EXPECT_FALSE(allows("/abc"));
    EXPECT_FALSE(allows("/axbxbxcx"));
    EXPECT_TRUE(allows("/acb"));
    EXPECT_FALSE(allows("/"));
    EXPECT_TRUE(allows("/p"));
    EXPECT_FALSE(allows("/p$xy"));
}

TEST_F(CrawlRobots, EncodingsAreComparedInTheirOneSpelling)
{
    read("User-agent: *\nDisallow: /%7ejoe/\nDisallow: /a%2fb\nDisallow: /\xc3\xa4\n");
    EXPECT_FALSE(allows("/~joe/x"));
    EXPECT_FALSE(allows("/a%2Fb"));
    EXPECT_TRUE(allows("/a/b"));
    EXPECT_FALSE(allows("/%C3%A4"));
}

TEST_F(CrawlRobots, TheGroupWithTheLongestTokenOfOursHolds)
{
    const std::string text = "User-agent: *\nDisallow: /star\n\nUser-agent: SKUA\nDisallow: /skua\n"
                             "User-agent: x\nUser-agent: skua-crawl/1.0\nDisallow: /crawl\n"
                             "User-agent: skua-crawler\nDisallow: /\n\n"
                             "user-agent:skua-crawl\ndisallow:/more\n";
    read(text);
    EXPECT_TRUE(allows("/star") && allows("/skua"));
    EXPECT_FALSE(allows("/crawl") || allows("/more"));
    read(text, "skua-other");
    EXPECT_FALSE(allows("/skua"));
    EXPECT_TRUE(allows("/star") && allows("/crawl"));
    read(text, "skuax");
    EXPECT_FALSE(allows("/star"));
    EXPECT_TRUE(allows("/skua"));
    read(text, "X");
    EXPECT_FALSE(allows("/crawl"));
    read(text, "");
    EXPECT_FALSE(allows("/star"));
}

TEST_F(CrawlRobots, LinesMayEndAnyhowAndHaveComments)
{
    read("\xef\xbb\xbfUser-agent : * # all\r\n\r\nSitemap: http://x/\rnonsense\n"
         " Disallow :\t/a # b\rdisallow: /c#d");
    EXPECT_FALSE(allows("/a") || allows("/c"));
    EXPECT_EQ(robots_.rule_count, 2u);
}

TEST_F(CrawlRobots, OtherLinesDoNotEndAListOfAgents)
{
    read("User-agent: skua-crawl\nSitemap: http://x/\nUser-agent: other\nDisallow: /a\n");
    EXPECT_FALSE(allows("/a"));
}

TEST_F(CrawlRobots, ACrawlDelayIsReadInMilliseconds)
{
    read("User-agent: *\nCrawl-delay: 1.5\n");
    EXPECT_EQ(robots_.delay_ms, 1500u);
    for (const char *nonsense : {"", "-1", "1e3", "x", "1.2.3"}) {
        read(std::string("User-agent: *\nCrawl-delay: ") + nonsense + "\n");
        EXPECT_EQ(robots_.delay_ms, 0u) << nonsense;
    }
    read("User-agent: *\nCrawl-delay: 99999999999999999999999\n");
    EXPECT_EQ(robots_.delay_ms, 1000000000u);
    read("User-agent: other\nCrawl-delay: 5\nUser-agent: *\nDisallow: /a\n");
    EXPECT_EQ(robots_.delay_ms, 0u);
}

/* ---- URLs that were met ---------------------------------------------------------------------- */

TEST(CrawlSeen, AUrlIsNewOnce)
{
    crawl_seen seen;
    skua_crawl_seen_init(&seen, 20000);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 20000; i++) {
            std::string url = "http://a/" + std::to_string(i);
            ASSERT_EQ(skua_crawl_seen_add(&seen, url.data(), url.size()), round ? -EEXIST : 0);
        }
    }
    EXPECT_EQ(skua_crawl_seen_add(&seen, "x", 1), -ENOSPC);
    EXPECT_EQ(seen.count, 20000u);
    skua_crawl_seen_fini(&seen);
}

/* ---- text ------------------------------------------------------------------------------------ */

std::string json(const char *string)
{
    crawl_text text = {};
    skua_crawl_text_json(&text, string);
    std::string result(text.data, text.size);
    skua_crawl_text_fini(&text);
    return result;
}

TEST(CrawlText, JsonStringsAreValidWhateverTheyAreMadeOf)
{
    EXPECT_EQ(json(nullptr), "null");
    EXPECT_EQ(json("a\"\\\n\x7f"), "\"a\\\"\\\\\\u000a\\u007f\"");
    EXPECT_EQ(json("\xc3\xa4\xf0\x9f\x98\x80"), "\"\xc3\xa4\xf0\x9f\x98\x80\"");
    /* Too long, cut off, a surrogate, beyond the last. */
    for (const char *bad : {"\xc0\x80", "\xe2\x82", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff"})
        EXPECT_NE(json(bad).find("\xef\xbf\xbd"), std::string::npos);
}

std::string percent(const std::string &bytes)
{
    std::string out(3 * bytes.size(), 0);
    out.resize(skua_crawl_percent_normalize(&out[0], bytes.data(), bytes.size()));
    return out;
}

TEST(CrawlText, PercentEncodingsHaveOneSpelling)
{
    EXPECT_EQ(percent("/%7eA%41%2f%2F%c3%a4\xc3\xa4 %"), "/~AA%2F%2F%C3%A4%C3%A4%20%25");
    EXPECT_EQ(percent("%%341%4"), "%2541%254");
    EXPECT_EQ(percent("/a?b=c&d=[e]"), "/a?b=c&d=[e]");
}

} // namespace
