/*
 * Tests skua_options.spin_us: a worker that has run out of work looks for more before it sleeps,
 * where that has paid of late.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <sys/resource.h>
#include <thread>
#include <unistd.h>

using namespace skua_test;

namespace
{

/* Of the calling thread: how often it has given its CPU away. */
long ownSleeps()
{
    struct rusage usage;
    EXPECT_EQ(getrusage(RUSAGE_THREAD, &usage), 0);
    return usage.ru_nvcsw;
}

class Spin : public testing::Test
{
  protected:
    template <class Body> void runOnOneWorker(Body &&body)
    {
        skua_options options = testOptions(1);
        options.spin_us = 1000;
        Runtime runtime(options);
        EXPECT_EQ(runtime.run(body), 0);
    }

    FdGuard fds_;
    HangGuard hang_;
};

/* Answers bytes after a while that is shorter than a spin. Ends with the end of the questions. */
class Answerer
{
  public:
    Answerer()
    {
        EXPECT_EQ(pipe(ask_), 0);
        EXPECT_EQ(pipe(answer_), 0);
        thread_ = std::thread([this] {
            char byte;
            while (read(ask_[0], &byte, 1) == 1) {
                usleep(100);
                EXPECT_EQ(write(answer_[1], &byte, 1), 1);
            }
        });
    }

    ~Answerer()
    {
        close(ask_[1]);
        thread_.join();
        close(ask_[0]);
        close(answer_[0]);
        close(answer_[1]);
    }

    void ask()
    {
        char byte = 'a';
        ASSERT_EQ(write(ask_[1], &byte, 1), 1);
        ASSERT_EQ(skua_read(answer_[0], &byte, 1), 1);
    }

  private:
    int ask_[2], answer_[2];
    std::thread thread_;
};

TEST_F(Spin, GoesOnWhereWorkComesMeanwhile)
{
    Answerer answerer;
    runOnOneWorker([&]() -> intptr_t {
        bool spun = false;
        for (int tries = 0; tries < 200 && !spun; tries++) { /* the CPUs may be others' */
            long before = ownSleeps();
            for (int i = 0; i < 50; i++)
                answerer.ask();
            spun = ownSleeps() - before < 25;
        }
        EXPECT_TRUE(spun);
        return 0;
    });
}

/* That a timer will fire the worker knows. */
TEST_F(Spin, IsNotForTimers)
{
    runOnOneWorker([]() -> intptr_t {
        long before = ownSleeps();
        for (int i = 0; i < 1000; i++)
            EXPECT_EQ(skua_sleep(200 * SKUA_NS_PER_US), 0);
        EXPECT_GT(ownSleeps() - before, 500);
        return 0;
    });
}

} // namespace
