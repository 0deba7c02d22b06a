/*
 * crawl_driver.h - libcurl's multi interface, driven by the runtime.
 *
 * WHO MAY DO WHAT
 *   A multi handle must never be used by two threads at once. Here it has one owner, the driver: a
 *   task that alone calls curl_multi_*(), and with it every callback of libcurl's runs there. The
 *   driver may go on on another thread after each of its waits, which orders what came before and
 *   after; it never waits inside a call of libcurl's, where errno and OpenSSL's error queue, which
 *   are the thread's, are in use. So there is no lock, and none could be forgotten.
 *
 *   All others talk to it through one channel, its inbox:
 *     - a page's task makes an easy handle, which is its own until it hands it over with its
 *       transfer, and again when the transfer is done (an event says so);
 *     - for each socket of libcurl's that is to be watched a small task waits with skua_poll() and
 *       then reports. It ends with its report: the driver starts the next one when libcurl has
 *       looked at the socket and still wants to know, so a ready socket is reported once.
 *   libcurl's timer is the deadline of the driver's receive.
 *
 *   libcurl closes its sockets when it likes, and nothing may be closed that is polled. So a
 *   duplicate is polled, which the driver closes when the task that polls it has ended.
 *
 * A host name is looked up by a thread of libcurl's; cancelling a transfer then waits for it.
 */
#ifndef SKUA_CRAWL_DRIVER_H
#define SKUA_CRAWL_DRIVER_H

#include <skua/skua.h>

#include <curl/curl.h>

struct crawl_driver;

/* A transfer, in the frame of the task that wants it. */
struct crawl_transfer {
    CURL *easy;      /* the driver's from perform's begin to its end */
    CURLcode result; /* the driver's until done is set */
    bool running;    /* the driver's: it is in the multi handle */
    skua_event done;
    skua_event acknowledged; /* that it was to be cancelled */
};

/* Makes a driver that keeps up to @connections_max idle connections. Returns 0; -ENOMEM. */
int skua_crawl_driver_create(unsigned connections_max, struct crawl_driver **driver);

/* The driver; a task that ends when it is cancelled. By then every transfer must be done. */
intptr_t skua_crawl_driver_run(void *driver);

/* After the driver has ended, or if it never began. NULL is accepted. */
void skua_crawl_driver_destroy(struct crawl_driver *driver);

/*
 * Has @easy, with CURLOPT_NOSIGNAL, performed, and waits for it. Its callbacks run in the driver:
 * they must not wait.
 *
 * Cancellation: takes the transfer back, and returns -ECANCELED; one that is done beats the cancel.
 * Returns: 0 with what libcurl says in *@result; -ECANCELED.
 */
int skua_crawl_driver_perform(struct crawl_driver *driver, CURL *easy, CURLcode *result);

#endif /* SKUA_CRAWL_DRIVER_H */
