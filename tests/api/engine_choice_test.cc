/*
 * Tests which engine a runtime runs on: by name, by environment, and where io_uring is refused, in
 * child processes whose kernel refuses it.
 */
#include "support/child.h"
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/refuse_syscall.h"
#include "support/runtime_kit.h"

#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/socket.h>
#include <sys/syscall.h>

using namespace skua_test;

namespace
{

constexpr int kSkipped = 77;

/* Sets SKUA_ENGINE (nullptr: takes it away) until the end of the block. */
class Environment
{
  public:
    explicit Environment(const char *engine)
    {
        const char *was = getenv("SKUA_ENGINE");
        had_ = was != nullptr;
        was_ = had_ ? was : "";
        set(engine);
    }
    Environment(const Environment &) = delete;
    Environment &operator=(const Environment &) = delete;
    ~Environment()
    {
        set(had_ ? was_.c_str() : nullptr);
    }

  private:
    static void set(const char *engine)
    {
        if (engine)
            setenv("SKUA_ENGINE", engine, 1);
        else
            unsetenv("SKUA_ENGINE");
    }
    bool had_ = false;
    std::string was_;
};

/* Starts a runtime of two workers and says what it runs on; "" and the error if it does not. */
std::string engineOf(const char *option, std::string *mode, int *error)
{
    skua_options options = testOptions(2);
    options.engine = option;
    skua_runtime *runtime = nullptr;
    *error = skua_runtime_start(&runtime, &options);
    if (*error < 0)
        return "";
    skua_info info;
    std::string engine;
    if (skua_runtime_info(runtime, &info) == 0) {
        engine = info.engine;
        *mode = info.engine_mode;
    }
    *error = skua_runtime_stop(runtime, SKUA_STOP_DRAIN, SKUA_FOREVER);
    return engine;
}

class EngineChoice : public testing::Test
{
  protected:
    void expectEngine(const char *option, const char *engine, const char *reason)
    {
        std::string mode;
        int error = 0;
        EXPECT_EQ(engineOf(option, &mode, &error), engine);
        EXPECT_EQ(error, 0);
        EXPECT_NE(mode.find(reason), std::string::npos) << mode;
    }

    void expectError(const char *option, int expected)
    {
        std::string mode;
        int error = 0;
        EXPECT_EQ(engineOf(option, &mode, &error), "");
        EXPECT_EQ(error, expected);
    }

    HangGuard hang_;
    FdGuard descriptors_;
};

TEST_F(EngineChoice, EpollIsTakenWhenTheEnvironmentOrTheProgramNamesIt)
{
    {
        Environment environment("epoll");
        expectEngine(nullptr, "epoll", "(asked for by SKUA_ENGINE)");
    }
    Environment environment(nullptr);
    expectEngine("epoll", "epoll", "(asked for by the program)");
}

TEST_F(EngineChoice, TheProgramGoesBeforeTheEnvironment)
{
    Environment environment("none");
    expectEngine("epoll", "epoll", "(asked for by the program)");
}

TEST_F(EngineChoice, AnEmptyNameIsNone)
{
    Environment environment("");
    std::string mode;
    int error = 0;
    EXPECT_NE(engineOf("", &mode, &error), "");
    EXPECT_EQ(error, 0);
    EXPECT_EQ(mode.find("asked for"), std::string::npos) << mode;
}

TEST_F(EngineChoice, AnUnknownNameIsEinval)
{
    {
        Environment environment("Epoll");
        expectError(nullptr, -EINVAL);
    }
    Environment environment(nullptr);
    expectError("sim", -EINVAL);
}

/* ---- io_uring is refused ---- */

bool isGoodEcho(int from, int to)
{
    char out[] = "ping";
    char in[5] = "";
    auto receive = [&]() -> intptr_t { return skua_recv_all(to, in, 4); };
    skua_future *receiver = spawnBody(receive);
    if (skua_sleep(SKUA_NS_PER_MS) != 0 || skua_send_all(from, out, 4) != 4)
        return false;
    return skua_await(receiver) == 4 && strcmp(in, out) == 0;
}

/* Files, sockets, timers, executors: something of each. 0, or the number of what went wrong. */
intptr_t useEverything(void *)
{
    char buffer[64];
    int ends[2];
    int fd = skua_open("/proc/self/comm", O_RDONLY, 0);
    if (fd < 0 || skua_read(fd, buffer, sizeof(buffer)) <= 0 || skua_close(fd) != 0)
        return 1;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0 || !isGoodEcho(ends[0], ends[1]) ||
        !isGoodEcho(ends[1], ends[0]))
        return 2;
    auto receive = [&]() -> intptr_t { return skua_recv(ends[0], buffer, 1, 0); };
    skua_future *receiver = spawnBody(receive);
    if (skua_sleep(SKUA_NS_PER_MS) != 0 || skua_cancel(receiver) != 0 ||
        skua_await(receiver) != -ECANCELED)
        return 3;
    if (skua_close(ends[0]) != 0 || skua_close(ends[1]) != 0)
        return 4;
    auto job = []() -> intptr_t { return 7; };
    return skua_await(offloadBody(nullptr, job)) == 7 ? 0 : 5;
}

struct Refusal {
    const char *name;
    long number;
    int error;
    const char *reason; /* in engine_mode */
};

void PrintTo(const Refusal &refusal, std::ostream *out)
{
    *out << refusal.name;
}

/* In a child: a filter stays for ever. 0, kSkipped, or the number of what went wrong. */
int runRefused(const Refusal &refusal)
{
    if (!refuseSyscall(refusal.number, refusal.error))
        return kSkipped;
    std::map<int, std::string> before = openDescriptors();
    std::string mode;
    int error = 0;
    unsetenv("SKUA_ENGINE");
    if (engineOf(nullptr, &mode, &error) != "epoll" || error != 0)
        return 10;
    if (mode.find(refusal.reason) == std::string::npos) {
        fprintf(stderr, "mode: %s\n", mode.c_str());
        return 11;
    }
    skua_options options = testOptions(2);
    intptr_t wrong = skua_run(&options, useEverything, nullptr);
    if (wrong != 0)
        return static_cast<int>(wrong);
    options.engine = "uring"; /* asked for: not replaced */
    skua_runtime *runtime = nullptr;
    if (skua_runtime_start(&runtime, &options) >= 0)
        return 12;
    return openDescriptors() == before ? 0 : 13;
}

class EngineRefused : public testing::TestWithParam<Refusal>
{
};

INSTANTIATE_TEST_SUITE_P(
    Each, EngineRefused,
    testing::Values(
        Refusal{"SetupEperm", SYS_io_uring_setup, EPERM, "(io_uring refused: EPERM)"},
        Refusal{"SetupEnosys", SYS_io_uring_setup, ENOSYS, "(io_uring refused: ENOSYS)"},
        Refusal{"SetupEnomem", SYS_io_uring_setup, ENOMEM, "(io_uring refused: ENOMEM)"},
        Refusal{"RegisterEperm", SYS_io_uring_register, EPERM, "(io_uring refused: "},
        Refusal{"RegisterEnosys", SYS_io_uring_register, ENOSYS, "(io_uring refused: "},
        Refusal{"EnterEperm", SYS_io_uring_enter, EPERM, "(io_uring refused: EPERM)"},
        Refusal{"EnterEnosys", SYS_io_uring_enter, ENOSYS, "(io_uring refused: ENOSYS)"}),
    [](const auto &refusal) { return std::string(refusal.param.name); });

TEST_P(EngineRefused, EverythingWorksOnEpollUnlessUringWasAskedFor)
{
    if (SKUA_TESTS_SANITIZED)
        GTEST_SKIP() << "the sanitizers' own locks do not survive a fork";
    ChildResult result = run_child([] { return runRefused(GetParam()); });
    if (result.exit_code == kSkipped)
        GTEST_SKIP() << "no seccomp filters";
    EXPECT_FALSE(result.timed_out);
    EXPECT_EQ(result.exit_code, 0) << result.output;
}

} // namespace
