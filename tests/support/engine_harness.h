/*
 * support/engine_harness.h - what tests of engines have in common: an engine whose every wait has a
 * deadline, ops that count their completions, makers of ops, pipes.
 *
 * One test thread owns the engine. Nothing here outlives a test.
 */
#ifndef SKUA_TESTS_ENGINE_HARNESS_H
#define SKUA_TESTS_ENGINE_HARNESS_H

#include "support/engine_shim.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <ostream>

struct EngineParam {
    const char *name;
    const skua_engine_ops *(*ops)();
    unsigned mode_skip;
    bool offloads = false; /* what it declines is carried out by blocking calls, as io/op.c does */
};

inline std::ostream &operator<<(std::ostream &out, const EngineParam &param)
{
    return out << param.name;
}

inline constexpr uint64_t kWaitMaxNs = 20 * SKUA_NS_PER_SEC; /* no wait lasts longer */

inline int OpenDescriptors()
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir != nullptr && readdir(dir) != nullptr)
        count++;
    if (dir != nullptr)
        closedir(dir);
    return count;
}

/* As which all requests wait that say nothing else. */
inline char g_waiter[128];

/* An op and what became of it. */
struct Request {
    skua_op op{};
    int completions = 0;
    void *waiter = g_waiter;
    std::function<void(Request &)> then;
};

/* True while the test is inside submit() or cancel(), where nothing may complete. */
inline bool g_inside_call = false;

inline void OnComplete(skua_op *op)
{
    EXPECT_FALSE(g_inside_call) << "complete() from inside submit() or cancel()";
    auto *request = reinterpret_cast<Request *>(op);
    ASSERT_EQ(&request->op, op);
    request->completions++;
    auto then = request->then; /* which may replace itself */
    if (then)
        then(*request);
}

/* An engine under test, with deadlines on every wait. */
class TestedEngine
{
  public:
    int Create(const EngineParam &param, unsigned entries, unsigned cq_entries)
    {
        offloads_ = param.offloads;
        return engine_shim_create(param.ops(), entries, cq_entries, param.mode_skip, &engine_);
    }

    void Destroy()
    {
        if (engine_ != nullptr)
            engine_shim_destroy(engine_);
        engine_ = nullptr;
    }

    ~TestedEngine()
    {
        Destroy();
    }

    int Submit(Request &request)
    {
        g_inside_call = true;
        int rc = engine_shim_submit(engine_, &request.op, OnComplete, request.waiter);
        g_inside_call = false;
        return rc;
    }

    void Cancel(Request &request)
    {
        g_inside_call = true;
        engine_shim_cancel(engine_, &request.op);
        g_inside_call = false;
    }

    uint64_t Now()
    {
        return engine_shim_now(engine_);
    }

    unsigned Poll(uint64_t timeout_ns)
    {
        return engine_shim_poll(engine_, timeout_ns == 0 ? 0 : Now() + timeout_ns);
    }

    template <typename Condition> bool PollUntil(Condition condition)
    {
        uint64_t deadline_ns = Now() + kWaitMaxNs;
        while (!condition()) {
            if (Now() >= deadline_ns)
                return false;
            (void)engine_shim_poll(engine_, deadline_ns);
        }
        return true;
    }

    /* Submits, waits for the end, returns the result. */
    int64_t Run(Request &request)
    {
        int before = request.completions;
        int rc = Submit(request);
        if (rc == -ENOSYS && offloads_) {
            engine_shim_perform(&request.op);
            return request.op.result;
        }
        if (rc < 0)
            return rc;
        EXPECT_TRUE(PollUntil([&] { return request.completions > before; }));
        EXPECT_EQ(request.completions, before + 1);
        return request.op.result;
    }

    int64_t Run(const skua_op &op)
    {
        Request request;
        request.op = op;
        return Run(request);
    }

    engine_counts Counts()
    {
        return engine_shim_counts(engine_);
    }

    skua_engine *get()
    {
        return engine_;
    }

  private:
    skua_engine *engine_ = nullptr;
    bool offloads_ = false;
};

/* A pipe, closed at the end. */
struct Pipe {
    std::array<int, 2> fds{-1, -1};
    Pipe()
    {
        EXPECT_EQ(pipe2(fds.data(), O_CLOEXEC), 0);
    }
    Pipe(const Pipe &) = delete;
    Pipe &operator=(const Pipe &) = delete;
    ~Pipe()
    {
        close(fds[0]);
        close(fds[1]);
    }
    int in() const
    {
        return fds[0];
    }
    void Put(char c) const
    {
        EXPECT_EQ(write(fds[1], &c, 1), 1);
    }
};

inline skua_op MakeOp(skua_op_code code, int fd = -1)
{
    skua_op op{};
    op.code = static_cast<uint8_t>(code);
    op.fd = fd;
    return op;
}

inline skua_op MakeRw(skua_op_code code, int fd, void *memory, size_t size,
                      uint64_t offset = SKUA_OFFSET_CURRENT)
{
    skua_op op = MakeOp(code, fd);
    op.addr = memory;
    op.len = size;
    op.offset = offset;
    return op;
}

inline skua_op MakePath(skua_op_code code, int dir, const char *path, uint32_t flags = 0,
                        uint64_t len = 0)
{
    skua_op op = MakeOp(code, dir);
    op.addr = const_cast<char *>(path);
    op.flags = flags;
    op.len = len;
    return op;
}

inline skua_op MakePaths(skua_op_code code, int dir, const char *path, const char *path2)
{
    skua_op op = MakePath(code, dir, path);
    op.fd2 = dir;
    op.addr2 = const_cast<char *>(path2);
    return op;
}

#endif /* SKUA_TESTS_ENGINE_HARNESS_H */
