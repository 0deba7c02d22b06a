/*
 * support/name_service.cc - see name_service.h.
 */
#include "support/name_service.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>

namespace skua_test
{

static std::atomic<NameService *> current;

NameService::NameService()
{
    current = this;
}

NameService::~NameService()
{
    EXPECT_EQ(inside(), 0u);
    EXPECT_EQ(outstanding(), 0u);
    current = nullptr;
}

NameService::Question NameService::last()
{
    std::lock_guard<std::mutex> lock(mutex_);
    return last_;
}

void NameService::close()
{
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
}

void NameService::open()
{
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = false;
    changed_.notify_all();
}

unsigned NameService::calls()
{
    std::lock_guard<std::mutex> lock(mutex_);
    return calls_;
}

unsigned NameService::inside()
{
    std::lock_guard<std::mutex> lock(mutex_);
    return inside_;
}

unsigned NameService::insideMost()
{
    std::lock_guard<std::mutex> lock(mutex_);
    return inside_most_;
}

unsigned NameService::outstanding()
{
    std::lock_guard<std::mutex> lock(mutex_);
    return static_cast<unsigned>(lists_.size());
}

void NameService::enter(std::unique_lock<std::mutex> &lock)
{
    calls_++;
    inside_++;
    inside_most_ = std::max(inside_most_, inside_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(30), [this] { return !closed_; }));
    inside_--;
}

int NameService::lookUp(const char *host, const char *service, const addrinfo *hints,
                        addrinfo **found)
{
    std::unique_lock<std::mutex> lock(mutex_);
    last_.host = host ? host : "(none)";
    last_.service = service ? service : "(none)";
    last_.hints = *hints;
    std::string asked = last_.host;
    enter(lock);
    if (error != 0) {
        errno = system_error;
        return error;
    }
    const std::vector<skua_address> &addresses = hosts[asked];
    if (addresses.empty())
        return EAI_NONAME;
    /* One block: the list, and the addresses behind it. */
    size_t count = addresses.size();
    auto *list =
        static_cast<addrinfo *>(calloc(count, sizeof(addrinfo) + sizeof(sockaddr_storage)));
    auto *storage = reinterpret_cast<sockaddr_storage *>(list + count);
    for (size_t i = 0; i < count; i++) {
        storage[i] = addresses[i].storage;
        list[i].ai_family = addresses[i].any.sa_family;
        list[i].ai_addrlen = addresses[i].size;
        list[i].ai_addr = reinterpret_cast<sockaddr *>(&storage[i]);
        list[i].ai_next = i + 1 < count ? &list[i + 1] : nullptr;
    }
    lists_[list] = count;
    *found = list;
    return 0;
}

int NameService::nameOf(char *host, size_t host_size)
{
    std::unique_lock<std::mutex> lock(mutex_);
    enter(lock);
    if (error != 0)
        return error;
    snprintf(host, host_size, "%s", name.c_str());
    return 0;
}

bool NameService::free(addrinfo *list)
{
    std::lock_guard<std::mutex> lock(mutex_);
    if (lists_.erase(list) == 0)
        return false;
    ::free(list);
    return true;
}

/* The C library's function that this program's hides. */
template <class Function> Function *real(const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    Function *function;
    memcpy(&function, &symbol, sizeof(function));
    return function;
}

} // namespace skua_test

#define EXPORTED extern "C" __attribute__((visibility("default")))

using skua_test::current;
using skua_test::NameService;
using skua_test::real;

EXPORTED int getaddrinfo(const char *host, const char *service, const addrinfo *hints,
                         addrinfo **found)
{
    if (NameService *name_service = current)
        return name_service->lookUp(host, service, hints, found);
    return real<decltype(getaddrinfo)>("getaddrinfo")(host, service, hints, found);
}

EXPORTED void freeaddrinfo(addrinfo *list) noexcept
{
    NameService *name_service = current;
    if (!name_service || !name_service->free(list))
        real<void(addrinfo *)>("freeaddrinfo")(list);
}

/* The C library's signature has one parameter more than ours may have: its last three as one. */
#define OF_THE_SERVICE char *service, socklen_t service_size, int flags

EXPORTED int getnameinfo(const sockaddr *address, socklen_t size, char *host, socklen_t host_size,
                         OF_THE_SERVICE)
{
    if (NameService *name_service = current)
        return name_service->nameOf(host, host_size);
    return real<decltype(getnameinfo)>("getnameinfo")(address, size, host, host_size, service,
                                                      service_size, flags);
}
