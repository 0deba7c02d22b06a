/*
 * support/name_service.h - a name service of the test's own in the place of the C library's.
 *
 * name_service.cc defines getaddrinfo(), freeaddrinfo() and getnameinfo(), so a program that links
 * it goes through here with every lookup, the library's included. While a NameService exists it
 * answers; otherwise the real one does.
 */
#ifndef SKUA_TESTS_NAME_SERVICE_H
#define SKUA_TESTS_NAME_SERVICE_H

extern "C" {
#include <skua/skua.h>
}

#include <condition_variable>
#include <map>
#include <mutex>
#include <netdb.h>
#include <string>
#include <vector>

namespace skua_test
{

class NameService
{
  public:
    NameService();
    NameService(const NameService &) = delete;
    NameService &operator=(const NameService &) = delete;
    /* Fails the test if a list of addresses was not freed, or a lookup is still going on. */
    ~NameService();

    /* What @host has, in this order, whatever is asked of it. A host without any: EAI_NONAME. */
    std::map<std::string, std::vector<skua_address>> hosts;
    int error = 0;             /* of every lookup, if not 0 */
    int system_error = 0;      /* errno besides */
    std::string name = "name"; /* of every address */

    /* What the last lookup was asked. */
    struct Question {
        std::string host;
        std::string service;
        addrinfo hints{};
    };
    Question last();

    /* Lookups wait inside, until it is open again: 30 seconds at most. */
    void close();
    void open();

    unsigned calls();       /* so far */
    unsigned inside();      /* now */
    unsigned insideMost();  /* at once, so far */
    unsigned outstanding(); /* lists that have not been freed */

    /* For name_service.cc. */
    int lookUp(const char *host, const char *service, const addrinfo *hints, addrinfo **found);
    int nameOf(char *host, size_t host_size);
    bool free(addrinfo *list);

  private:
    void enter(std::unique_lock<std::mutex> &lock);

    std::mutex mutex_;
    std::condition_variable changed_;
    bool closed_ = false;
    unsigned calls_ = 0;
    unsigned inside_ = 0;
    unsigned inside_most_ = 0;
    Question last_;
    std::map<addrinfo *, size_t> lists_;
};

} // namespace skua_test

#endif /* SKUA_TESTS_NAME_SERVICE_H */
