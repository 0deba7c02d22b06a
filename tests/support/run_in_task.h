/*
 * support/run_in_task.h - runs a test's body as a task, as an executor's job, or on its own thread.
 *
 * Failures inside the body are the test's: googletest records them from any thread. A fatal one
 * (ASSERT_...) ends the body, as it would end a function; the caller looks at HasFatalFailure().
 */
#ifndef SKUA_TESTS_RUN_IN_TASK_H
#define SKUA_TESTS_RUN_IN_TASK_H

#include <gtest/gtest.h>

extern "C" {
#include <skua/skua.h>
}

#include <exception>
#include <ostream>
#include <type_traits>

namespace skua_test
{

/* Calls a body through a skua_fn. No exception may leave a task. */
template <class Body> intptr_t callBody(void *body)
{
    try {
        (*static_cast<Body *>(body))();
    } catch (const std::exception &e) {
        ADD_FAILURE() << "exception: " << e.what();
    } catch (...) {
        ADD_FAILURE() << "exception";
    }
    return 0;
}

/* A skua_options.block_us for tests that count descriptors: stand-ins have some of their own. */
constexpr int kNoStandIns = -1;

/* Runs @body as the first task of a runtime of its own. googletest needs more stack than most. */
template <class Body> void runInTask(Body &&body, unsigned workers = 2, int block_us = 0)
{
    using Plain = std::remove_reference_t<Body>;
    skua_options options{};
    options.workers = workers;
    options.block_us = block_us;
    options.stack_size_bytes = size_t{256} << 10;
    EXPECT_EQ(skua_run(&options, callBody<Plain>, &body), 0);
}

/* Runs @body on a thread of the blocking executor. */
template <class Body> void runOnExecutor(Body &&body, int block_us = 0)
{
    using Plain = std::remove_reference_t<Body>;
    runInTask(
        [&body] { EXPECT_EQ(skua_await(skua_run_in_executor(NULL, callBody<Plain>, &body)), 0); },
        2, block_us);
}

/* Runs @body as a task beside the running one and waits for it. */
template <class Body> void runInChild(Body &&body)
{
    using Plain = std::remove_reference_t<Body>;
    EXPECT_EQ(skua_await(skua_spawn(callBody<Plain>, &body)), 0);
}

/* Where a call may be made from; every call means the same in all of them. */
enum class Where { task, executor, foreignThread };

inline void PrintTo(Where where, std::ostream *out)
{
    *out << (where == Where::task       ? "InATask"
             : where == Where::executor ? "OnAnExecutor"
                                        : "OnAForeignThread");
}

template <class Body> void runIn(Where where, Body &&body, int block_us = 0)
{
    if (where == Where::task)
        runInTask(body, 2, block_us);
    else if (where == Where::executor)
        runOnExecutor(body, block_us);
    else
        body();
}

/* For INSTANTIATE_TEST_SUITE_P. */
struct WhereName {
    std::string operator()(const testing::TestParamInfo<Where> &info) const
    {
        return testing::PrintToString(info.param);
    }
};

inline auto everywhere()
{
    return testing::Values(Where::task, Where::executor, Where::foreignThread);
}

/* Yields until @done() or thirty seconds have passed; returns whether it is done. */
template <class Done> bool yieldUntil(Done &&done)
{
    uint64_t deadline = skua_after(30 * SKUA_NS_PER_SEC);
    while (!done()) {
        if (skua_now() > deadline)
            return false;
        skua_yield();
    }
    return true;
}

} /* namespace skua_test */

#endif /* SKUA_TESTS_RUN_IN_TASK_H */
