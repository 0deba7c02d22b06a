/*
 * support/runtime_kit.h - what tests of the scheduler share: runtimes with an end, bodies with a
 * result as tasks and jobs, counts of threads, waits with a deadline.
 */
#ifndef SKUA_TESTS_RUNTIME_KIT_H
#define SKUA_TESTS_RUNTIME_KIT_H

#include "support/run_in_task.h"

#include <cerrno>
#include <cstdio>
#include <dirent.h>
#include <fstream>
#include <poll.h>
#include <string>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SKUA_TESTS_SANITIZED 1
#else
#define SKUA_TESTS_SANITIZED 0
#endif

namespace skua_test
{

constexpr intptr_t kNoResult = 0x5eed; /* what a result holds before it is written */

/* Calls a body that has a result through a skua_fn. */
template <class Body> intptr_t callValue(void *body)
{
    return (*static_cast<Body *>(body))();
}

/* @body must outlive the task, the job. */
template <class Body> skua_future *spawnBody(Body &body)
{
    return skua_spawn(callValue<Body>, &body);
}

template <class Body> skua_future *submitBody(skua_runtime *runtime, Body &body)
{
    return skua_submit(runtime, callValue<Body>, &body);
}

template <class Body> skua_future *offloadBody(skua_executor *executor, Body &body)
{
    return skua_run_in_executor(executor, callValue<Body>, &body);
}

/* Options for bodies that use googletest. */
inline skua_options testOptions(unsigned workers = 2)
{
    skua_options options{};
    options.workers = workers;
    options.stack_size_bytes = size_t{256} << 10;
    return options;
}

/* A runtime beside the test's thread; stopped by cancel if the test has not stopped it. */
class Runtime
{
  public:
    explicit Runtime(unsigned workers = 2) : Runtime(testOptions(workers))
    {
    }
    explicit Runtime(const skua_options &options)
    {
        EXPECT_EQ(skua_runtime_start(&runtime_, &options), 0);
    }
    Runtime(const Runtime &) = delete;
    Runtime &operator=(const Runtime &) = delete;

    ~Runtime()
    {
        EXPECT_EQ(stop(SKUA_STOP_CANCEL), 0);
    }

    int stop(skua_stop_mode mode, uint64_t deadline_ns = SKUA_FOREVER)
    {
        int rc = skua_runtime_stop(runtime_, mode, deadline_ns);
        if (rc == 0)
            runtime_ = nullptr;
        return rc;
    }

    skua_runtime *get() const
    {
        return runtime_;
    }

    /* Runs @body as a task and returns its result. */
    template <class Body> intptr_t run(Body &&body)
    {
        using Plain = std::remove_reference_t<Body>;
        return skua_await(skua_submit(runtime_, callValue<Plain>, &body));
    }

  private:
    skua_runtime *runtime_ = nullptr;
};

/*
 * Whether the kernel is about to take that thread away: pthread_join() returns before it is gone
 * from /proc. proc(5): the 9th field of stat has PF_EXITING.
 */
inline bool isExiting(const char *tid)
{
    constexpr unsigned kExiting = 4;
    char state = '?';
    unsigned flags = 0;
    std::ifstream stat(std::string("/proc/self/task/") + tid + "/stat");
    std::string line;
    if (!std::getline(stat, line))
        return true;
    size_t end = line.rfind(')');
    return end != std::string::npos &&
           sscanf(line.c_str() + end + 1, " %c %*d %*d %*d %*d %*d %u", &state, &flags) == 2 &&
           (flags & kExiting) != 0;
}

/* Threads that exist. */
inline int threadCount()
{
    int count = 0;
    DIR *dir = opendir("/proc/self/task");
    if (!dir)
        return -1;
    while (const dirent *entry = readdir(dir))
        count += entry->d_name[0] != '.' && !isExiting(entry->d_name);
    closedir(dir);
    return count;
}

/* How often the thread of that name has waited, as proc(5) counts; -1: there is none. */
inline long waitsOf(const std::string &name)
{
    long waits = -1;
    DIR *dir = opendir("/proc/self/task");
    while (const dirent *entry = dir ? readdir(dir) : nullptr) {
        std::string line;
        std::string folder = std::string("/proc/self/task/") + entry->d_name;
        std::ifstream comm(folder + "/comm");
        if (!std::getline(comm, line) || line != name)
            continue;
        std::ifstream status(folder + "/status");
        while (waits < 0 && std::getline(status, line))
            sscanf(line.c_str(), "voluntary_ctxt_switches: %ld", &waits);
    }
    if (dir)
        closedir(dir);
    return waits;
}

/* For threads: looks every millisecond until @done() or ten seconds have passed. */
template <class Done> bool pollUntil(Done &&done)
{
    uint64_t deadline = skua_after(10 * SKUA_NS_PER_SEC);
    while (!done()) {
        if (skua_now() > deadline)
            return false;
        poll(nullptr, 0, 1);
    }
    return true;
}

/* The state skua_runtime_list() gives for the task named @name; "" if it is not there. */
inline std::string stateOf(skua_runtime *runtime, const std::string &name)
{
    skua_task_info tasks[64];
    ssize_t count = skua_runtime_list(runtime, tasks, 64);
    for (ssize_t i = 0; i < count && i < 64; i++) {
        if (tasks[i].name && tasks[i].name == name)
            return tasks[i].state;
    }
    return "";
}

/* Spawns @body with a name, which stateOf() finds. */
template <class Body> skua_future *spawnNamed(const char *name, Body &body)
{
    skua_task_options options{};
    options.name = name;
    skua_future *future = nullptr;
    EXPECT_EQ(skua_spawn_with(&options, callValue<Body>, &body, &future), 0);
    return future;
}

/* Yields until the task named @name is in a wait of that kind. */
inline bool yieldUntilState(const char *name, const char *state)
{
    return yieldUntil([=] { return stateOf(skua_runtime_current(), name) == state; });
}

/* The sum over the workers of one counter. */
inline uint64_t sumOf(skua_runtime *runtime, uint64_t skua_worker_stats::*field)
{
    uint64_t sum = 0;
    skua_worker_stats stats;
    for (unsigned i = 0; skua_runtime_stats(runtime, i, &stats) == 0; i++)
        sum += stats.*field;
    return sum;
}

/* A promise of the test's own. */
struct Promise {
    skua_promise *promise = nullptr;
    skua_future *future = skua_promise_create(&promise);
};

} /* namespace skua_test */

#endif /* SKUA_TESTS_RUNTIME_KIT_H */
