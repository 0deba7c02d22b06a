/*
 * support/hang_guard.h - the deadline of tests that block: ends the process if a test hangs.
 *
 * For waits that cannot have a deadline of their own, such as a blocking read of a pipe.
 */
#ifndef SKUA_TESTS_HANG_GUARD_H
#define SKUA_TESTS_HANG_GUARD_H

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace skua_test
{

/* A little less than what ctest allows. With sanitizers on a busy machine much is slow. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::chrono::seconds kHangLimit{150};
#else
constexpr std::chrono::seconds kHangLimit{50};
#endif

class HangGuard
{
  public:
    explicit HangGuard(std::chrono::seconds limit = kHangLimit)
        : thread_([this, limit] { watch(limit); })
    {
    }
    HangGuard(const HangGuard &) = delete;
    HangGuard &operator=(const HangGuard &) = delete;

    ~HangGuard()
    {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            over_ = true;
        }
        changed_.notify_one();
        thread_.join();
    }

  private:
    void watch(std::chrono::seconds limit)
    {
        std::unique_lock<std::mutex> lock(mutex_);
        if (changed_.wait_for(lock, limit, [this] { return over_; }))
            return;
        std::fprintf(stderr, "a test did not end within %lld s\n",
                     static_cast<long long>(limit.count()));
        std::abort();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    bool over_ = false;
    std::thread thread_;
};

} /* namespace skua_test */

#endif /* SKUA_TESTS_HANG_GUARD_H */
