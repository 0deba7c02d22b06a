/*
 * crawl.h - what all files of skua-crawl know: limits, options, counters.
 *
 * The options are set by main before there are threads and are constant afterwards.
 */
#ifndef SKUA_CRAWL_H
#define SKUA_CRAWL_H

#include <skua/skua.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tool_options.h"

#define CRAWL_PROGRAM "skua-crawl"
#define CRAWL_URL_MAX 4096u     /* bytes; longer ones are refused */
#define CRAWL_HEADERS_MAX 64u   /* --header */
#define CRAWL_PENDING_MAX 4096u /* URLs of the list that wait; the reader of the list waits then */
#define CRAWL_INLINE_BYTES 65536u  /* bodies up to here are parsed on a worker */
#define CRAWL_ROBOTS_BYTES 512000u /* of a robots.txt; what follows is ignored (RFC 9309, 2.5) */
#define CRAWL_WAIT_MAX_NS (300 * SKUA_NS_PER_SEC) /* for Retry-After and Crawl-delay */

struct crawl_options {
    const char *list;       /* file, "-" is standard input; NULL: none */
    const char *output;     /* NULL: standard output */
    const char *save;       /* folder for the bodies; NULL: they are not kept */
    const char *user_agent; /* the whole field */
    const char *ca_file;    /* NULL: libcurl's own */
    const char *headers[CRAWL_HEADERS_MAX];
    unsigned header_count;
    char **urls; /* the arguments */
    int url_count;
    bool follow;
    bool robots;
    bool insecure;
    bool sha256;
    bool quiet;
    unsigned depth_max;
    uint64_t pages_max;   /* 0: no limit */
    uint64_t visited_max; /* URLs that are remembered */
    unsigned concurrency; /* transfers at once */
    unsigned per_host;    /* the same, to one host */
    uint64_t interval_ns; /* from request to request to one host; 0: none */
    unsigned retries;     /* after the first attempt */
    unsigned redirects_max;
    unsigned workers;    /* 0: the library's default */
    uint64_t body_max;   /* bytes, decoded */
    uint64_t delay_ns;   /* before the first retry */
    uint64_t timeout_ns; /* of an attempt */
    uint64_t connect_timeout_ns;
    uint64_t grace_ns; /* for what runs when a signal comes */
};

/* Reads the command line into @options; prints what is wrong with it, the help or the version. */
enum tool_parse skua_crawl_options_parse(int argc, char **argv, struct crawl_options *options);

/* Numbers for people, each true at some moment: relaxed everywhere. */
struct crawl_counters {
    _Atomic uint64_t accepted; /* URLs that were queued */
    _Atomic uint64_t rejected; /* listed and not queued: no URLs; they have failed as well */
    _Atomic uint64_t fetched;  /* pages without an error */
    _Atomic uint64_t failed;
    _Atomic uint64_t disallowed; /* links that a robots.txt forbids */
    _Atomic uint64_t duplicate;  /* URLs of the list that were there before */
    _Atomic uint64_t dropped;    /* links over a limit */
    _Atomic uint64_t requests;   /* with robots.txt, retries and redirects */
    _Atomic uint64_t bytes;      /* of bodies */
    _Atomic uint64_t running;    /* transfers */
};

#endif /* SKUA_CRAWL_H */
