/*
 * tests/unit/platform/ctx_test.cc - machine contexts and the thread pointer.
 */
extern "C" {
#include "support/ctx_shim.h"
}

#include <gtest/gtest.h>

/* @result is what a scenario returned: -1 says that it cannot run here, for @reason. */
#define EXPECT_WENT_WELL(result, reason)                                                           \
    do {                                                                                           \
        int went = (result);                                                                       \
        if (went == -1)                                                                            \
            GTEST_SKIP() << reason;                                                                \
        EXPECT_EQ(went, 0);                                                                        \
    } while (0)

TEST(Ctx, EntryGetsItsArgumentOnce)
{
    EXPECT_EQ(ctx_shim_entry_argument(), 0);
}

TEST(Ctx, StackIsAlignedWhateverTheTopOffset)
{
    EXPECT_EQ(ctx_shim_stack_alignment(), 0);
}

TEST(Ctx, SwitchKeepsAllCalleeSavedRegisters)
{
    EXPECT_WENT_WELL(ctx_shim_callee_saved_registers(),
                     "the assembly cannot tell a sanitizer of its switches");
}

TEST(Ctx, FloatingPointValuesSurviveASwitch)
{
    EXPECT_EQ(ctx_shim_floats_survive(100), 0);
}

TEST(Ctx, RoundingModeBelongsToTheContext)
{
    EXPECT_WENT_WELL(ctx_shim_rounding_mode(), "valgrind has no control words");
}

TEST(Ctx, FlushToZeroBelongsToTheContext)
{
    EXPECT_WENT_WELL(ctx_shim_flush_to_zero(), "valgrind has no control words");
}

TEST(Ctx, FreshContextRoundsAsItsCreatorDid)
{
    EXPECT_WENT_WELL(ctx_shim_inherited_rounding_mode(), "valgrind has no control words");
}

TEST(Ctx, FramesSurviveDeepPingPongOfManyContexts)
{
    EXPECT_EQ(ctx_shim_deep_ping_pong(64, 40, 1000), 0);
}

TEST(Ctx, OneStackServesManyContextsOneAfterAnother)
{
    EXPECT_EQ(ctx_shim_stack_reused(1000), 0);
}

TEST(Ctx, TwoContextsSwitchToEachOther)
{
    EXPECT_EQ(ctx_shim_symmetric(), 0);
}

TEST(Ctx, MigratesBetweenThreadsAndSeesTheNewThreadsPointer)
{
    EXPECT_EQ(ctx_shim_migration(1000), 0);
}

TEST(Ctx, BacktraceEndsAtTheEntry)
{
    /* the callback's caller is not counted: the entry and what is below it, which is one frame */
    int frames = ctx_shim_backtrace_frames();
    EXPECT_GE(frames, 2);
    EXPECT_LE(frames, 6);
}

TEST(Tls, SlotBelongsToTheThreadAndStartsEmpty)
{
    EXPECT_EQ(ctx_shim_tls_per_thread(), 0);
}

/* Why tls.h exists. If this never fails any more, the compilers have learnt, and tls.h may go. */
TEST(Tls, PlainThreadLocalAddressGoesStaleAcrossASwitch)
{
    int stale = ctx_shim_plain_thread_local_is_stale();
    ASSERT_NE(stale, 2);
    if (stale == 0)
        GTEST_SKIP() << "this compiler asks for the address again after a switch";
    EXPECT_EQ(stale, 1);
}
