/*
 * fault_test.cc - platform/fault: a hit guard is reported, and others' handlers keep working.
 *
 * What changes the process's handlers runs in a child; what it saw is its exit code or its output.
 */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* a function and a struct may share a name in C */
extern "C" {
#include "core/stack_pool.h"
#include "platform/fault.h"
#include "platform/memory.h"
#include "platform/safe_print.h"
}
#pragma GCC diagnostic pop

#include "support/child.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <climits>
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <pthread.h>
#include <sys/mman.h>
#include <vector>

namespace
{

using skua_test::run_child;

/* One guard page of this test, and what the handlers saw of it. */
char *guard;
volatile int reports;
volatile int previous_calls;
const void *volatile previous_address;
volatile bool previous_had_usr1_blocked;

const void *lookup_guard(const void *address)
{
    const char *at = static_cast<const char *>(address);
    return at >= guard && at < guard + skua_memory_page_size() ? guard : nullptr;
}

void count_report(const void *, const void *)
{
    reports = reports + 1;
}

void print_report(const void *hit, const void *address)
{
    skua_safe_print out;
    skua_safe_print_init(&out);
    skua_safe_print_string(&out, hit == guard ? "overflow at +" : "overflow elsewhere +");
    skua_safe_print_decimal(&out,
                            static_cast<uint64_t>(static_cast<const char *>(address) - guard));
    skua_safe_print_string(&out, "\n");
    skua_safe_print_write(&out, STDERR_FILENO);
}

const void *lookup_stack(const void *address)
{
    return skua_stack_find_guard(address);
}

void print_stack(const void *hit, const void *address)
{
    const auto *stack = static_cast<const skua_stack *>(hit);
    auto distance = static_cast<char *>(skua_stack_low(stack)) - static_cast<const char *>(address);
    int local = 0;
    skua_safe_print out;
    skua_safe_print_init(&out);
    skua_safe_print_string(&out, "task ");
    skua_safe_print_decimal(&out, stack->user);
    skua_safe_print_string(&out, distance <= 2 * 65536 ? " is below its stack" : " is far away");
    bool alternate = skua_stack_find_guard(&local) == nullptr &&
                     (reinterpret_cast<char *>(&local) < skua_stack_low(stack) ||
                      reinterpret_cast<char *>(&local) >=
                          static_cast<char *>(skua_stack_low(stack)) + skua_stack_size(stack));
    skua_safe_print_string(&out, alternate ? ", told from elsewhere\n" : ", told from itself\n");
    skua_safe_print_write(&out, STDERR_FILENO);
}

void make_guard()
{
    void *memory = nullptr;
    size_t page = skua_memory_page_size();
    if (skua_memory_reserve(&memory, 2 * page) != 0 || skua_memory_guard(memory, 2 * page, 1) != 0)
        _exit(99);
    guard = static_cast<char *>(memory);
}

/* What the sanitizers set is out of the way. */
void set_default(int number)
{
    struct sigaction action = {};
    action.sa_handler = SIG_DFL;
    sigaction(number, &action, nullptr);
}

void touch(char *address)
{
    *const_cast<volatile char *>(address) = 1;
}

/* Makes the guard an ordinary page, so that the program goes on. */
void mend(int, siginfo_t *info, void *)
{
    previous_calls = previous_calls + 1;
    previous_address = info->si_addr;
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    previous_had_usr1_blocked = sigismember(&blocked, SIGUSR1) == 1;
    void *page = mmap(guard, skua_memory_page_size(), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    errno = page == MAP_FAILED ? ENOMEM : EXDEV;
}

void set_handler(int number, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = {};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO;
    sigaddset(&action.sa_mask, SIGUSR1);
    sigaction(number, &action, nullptr);
}

TEST(Fault, AHitGuardIsReportedAndTheProcessDiesOfSigsegv)
{
    auto result = run_child([] {
        set_default(SIGSEGV);
        make_guard();
        if (skua_fault_install(lookup_guard, print_report) != 0)
            return 1;
        touch(guard + 77);
        return 2;
    });
    EXPECT_EQ(result.signal, SIGSEGV);
    EXPECT_EQ(result.output, "overflow at +77\n");
}

TEST(Fault, AnotherAddressIsNotReportedAndKillsAsBefore)
{
    auto result = run_child([] {
        set_default(SIGSEGV);
        make_guard();
        skua_fault_install(lookup_guard, print_report);
        touch(reinterpret_cast<char *>(64));
        return 2;
    });
    EXPECT_EQ(result.signal, SIGSEGV);
    EXPECT_EQ(result.output, "");
}

TEST(Fault, ASentSignalKillsAsBefore)
{
    for (int number : {SIGSEGV, SIGBUS}) {
        auto result = run_child([number] {
            set_default(number);
            skua_fault_install(lookup_guard, print_report);
            kill(getpid(), number);
            return 2;
        });
        EXPECT_EQ(result.signal, number);
        EXPECT_EQ(result.output, "");
    }
}

TEST(Fault, AnIgnoredSignalStaysIgnoredButAFaultKills)
{
    auto result = run_child([] {
        make_guard();
        signal(SIGSEGV, SIG_IGN);
        skua_fault_install(lookup_guard, print_report);
        kill(getpid(), SIGSEGV);
        raise(SIGSEGV);
        touch(guard);
        return 2;
    });
    EXPECT_EQ(result.signal, SIGSEGV);
    EXPECT_EQ(result.output, "overflow at +0\n");
}

TEST(Fault, ThePreviousHandlerRunsAsTheKernelWouldCallIt)
{
    auto result = run_child([] {
        make_guard();
        set_handler(SIGSEGV, mend);
        skua_fault_install(lookup_guard, count_report);
        errno = EDOM;
        touch(guard + 5);
        int error = errno;
        sigset_t blocked;
        pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
        return (reports == 1 ? 0 : 1) | (previous_calls == 1 ? 0 : 2) |
               (previous_address == guard + 5 ? 0 : 4) | (previous_had_usr1_blocked ? 0 : 8) |
               (error == EDOM ? 0 : 16) | (sigismember(&blocked, SIGUSR1) == 0 ? 0 : 32) |
               (guard[5] == 1 ? 0 : 64);
    });
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.signal, 0);
}

TEST(Fault, APreviousHandlerMayJumpAway)
{
    static sigjmp_buf back;
    auto result = run_child([] {
        make_guard();
        signal(SIGSEGV, [](int) { siglongjmp(back, 1); });
        skua_fault_install(lookup_guard, count_report);
        for (volatile int i = 0; i < 3; i = i + 1) {
            if (sigsetjmp(back, 1) == 0)
                touch(guard);
        }
        return reports == 3 ? 0 : 1;
    });
    EXPECT_EQ(result.exit_code, 0);
}

TEST(Fault, TheLastUninstallPutsThePreviousHandlersBack)
{
    auto result = run_child([] {
        set_handler(SIGSEGV, mend);
        set_default(SIGBUS);
        skua_fault_install(lookup_guard, count_report);
        if (skua_fault_install(lookup_guard, count_report) != 0)
            return 1;
        if (skua_fault_install(lookup_guard, print_report) != -EBUSY)
            return 2;
        skua_fault_uninstall();
        struct sigaction now;
        sigaction(SIGSEGV, nullptr, &now);
        if (now.sa_sigaction == mend)
            return 3;
        skua_fault_uninstall();
        sigaction(SIGSEGV, nullptr, &now);
        if (now.sa_sigaction != mend || sigismember(&now.sa_mask, SIGUSR1) != 1)
            return 4;
        sigaction(SIGBUS, nullptr, &now);
        if (now.sa_handler != SIG_DFL)
            return 5;
        return skua_fault_install(lookup_guard, print_report) == 0 ? 0 : 6;
    });
    EXPECT_EQ(result.exit_code, 0);
}

/* A handler above ours that passes everything on to it. */
struct sigaction below_ours;
volatile int above_calls;

void above(int number, siginfo_t *info, void *context)
{
    above_calls = above_calls + 1;
    below_ours.sa_sigaction(number, info, context);
}

void set_above()
{
    struct sigaction action = {};
    action.sa_sigaction = above;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, &below_ours);
}

TEST(Fault, AHandlerSetAboveStaysAndReachesUsAgainAfterAReinstall)
{
    auto result = run_child([] {
        make_guard();
        set_handler(SIGSEGV, mend);
        skua_fault_install(lookup_guard, count_report);
        set_above();
        skua_fault_uninstall();
        struct sigaction now;
        sigaction(SIGSEGV, nullptr, &now);
        if (now.sa_sigaction != above)
            return 1;
        touch(guard);
        if (reports != 0 || above_calls != 1 || previous_calls != 1)
            return 2;
        make_guard();
        skua_fault_install(lookup_guard, count_report);
        touch(guard);
        if (reports != 1 || above_calls != 2 || previous_calls != 2)
            return 3;
        sigaction(SIGSEGV, &below_ours, nullptr);
        skua_fault_uninstall();
        sigaction(SIGSEGV, nullptr, &now);
        return now.sa_sigaction == mend ? 0 : 4;
    });
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.signal, 0);
}

TEST(Fault, AThreadWithoutAnAlternateStackGetsOneAndLosesItAgain)
{
    stack_t before, none = {}, now;
    none.ss_flags = SS_DISABLE;
    ASSERT_EQ(sigaltstack(&none, &before), 0);
    skua_fault_thread thread;
    ASSERT_EQ(skua_fault_thread_init(&thread), 0);
    ASSERT_EQ(sigaltstack(nullptr, &now), 0);
    EXPECT_EQ(now.ss_flags & SS_DISABLE, 0);
    EXPECT_GE(now.ss_size, 32768u);
    memset(now.ss_sp, 1, now.ss_size);
    skua_fault_thread_fini(&thread);
    ASSERT_EQ(sigaltstack(nullptr, &now), 0);
    EXPECT_NE(now.ss_flags & SS_DISABLE, 0);
    skua_fault_thread_fini(&thread);
    EXPECT_EQ(sigaltstack(&before, nullptr), 0);
}

TEST(Fault, ALargeAlternateStackOfTheUserIsKeptAndASmallOneComesBack)
{
    stack_t before, now;
    ASSERT_EQ(sigaltstack(nullptr, &before), 0);
    std::vector<char> large(128 * 1024), small(static_cast<size_t>(sysconf(_SC_MINSIGSTKSZ)) + 16);
    stack_t users = {};
    skua_fault_thread thread;

    users.ss_sp = large.data();
    users.ss_size = large.size();
    ASSERT_EQ(sigaltstack(&users, nullptr), 0);
    ASSERT_EQ(skua_fault_thread_init(&thread), 0);
    EXPECT_EQ(thread.memory, nullptr);
    ASSERT_EQ(sigaltstack(nullptr, &now), 0);
    EXPECT_EQ(now.ss_sp, large.data());
    skua_fault_thread_fini(&thread);

    users.ss_sp = small.data();
    users.ss_size = small.size();
    ASSERT_EQ(sigaltstack(&users, nullptr), 0);
    ASSERT_EQ(skua_fault_thread_init(&thread), 0);
    ASSERT_EQ(sigaltstack(nullptr, &now), 0);
    EXPECT_NE(now.ss_sp, small.data());
    skua_fault_thread_fini(&thread);
    ASSERT_EQ(sigaltstack(nullptr, &now), 0);
    EXPECT_EQ(now.ss_sp, small.data());
    EXPECT_EQ(now.ss_size, small.size());

    /* One the user sets after ours is the user's business. */
    ASSERT_EQ(skua_fault_thread_init(&thread), 0);
    users.ss_sp = large.data();
    users.ss_size = large.size();
    ASSERT_EQ(sigaltstack(&users, nullptr), 0);
    skua_fault_thread_fini(&thread);
    ASSERT_EQ(sigaltstack(nullptr, &now), 0);
    EXPECT_EQ(now.ss_sp, large.data());
    EXPECT_EQ(sigaltstack(&before, nullptr), 0);
}

TEST(Fault, NoMemoryForAnAlternateStackIsAnError)
{
    stack_t before, none = {};
    none.ss_flags = SS_DISABLE;
    ASSERT_EQ(sigaltstack(&none, &before), 0);
    skua_memory_set_fault(
        [](skua_memory_call call, size_t) { return call == SKUA_MEMORY_MMAP ? -ENOMEM : 0; });
    skua_fault_thread thread;
    EXPECT_EQ(skua_fault_thread_init(&thread), -ENOMEM);
    skua_memory_set_fault(nullptr);
    skua_fault_thread_fini(&thread);
    EXPECT_EQ(sigaltstack(&before, nullptr), 0);
}

volatile int depth_limit = INT_MAX;

/* Deeper than any stack; what it adds up keeps the compiler from making it a loop. */
__attribute__((noinline)) int recurse(int depth)
{
    volatile char frame[200];
    frame[0] = static_cast<char>(depth);
    if (depth == depth_limit)
        return 0;
    return recurse(depth + 1) + frame[0];
}

void *overflow(void *)
{
    skua_fault_thread thread;
    if (skua_fault_thread_init(&thread) != 0)
        _exit(98);
    return reinterpret_cast<void *>(static_cast<intptr_t>(recurse(0)));
}

TEST(Fault, AnEndlessRecursionOnATaskStackIsReportedFromTheAlternateStack)
{
    auto result = run_child([] {
        set_default(SIGSEGV);
        skua_stack_pool *pool = nullptr;
        skua_stack_cache cache;
        if (skua_stack_pool_create(&pool, (size_t)1 << 20) != 0)
            return 1;
        skua_stack_cache_init(&cache, pool);
        skua_stack *other = skua_stack_acquire(&cache, 0);
        skua_stack *stack = skua_stack_acquire(&cache, 0);
        other->user = 41;
        stack->user = 42;
        skua_fault_install(lookup_stack, print_stack);
        /* A thread runs on any memory: the pool's will do for a task that needs no scheduler. */
        pthread_attr_t attr;
        pthread_attr_init(&attr);
        pthread_attr_setstack(&attr, skua_stack_low(stack), skua_stack_size(stack));
        pthread_t id;
        if (pthread_create(&id, &attr, overflow, nullptr) != 0)
            return 2;
        pthread_join(id, nullptr);
        return 3;
    });
    EXPECT_EQ(result.signal, SIGSEGV) << result.exit_code;
    EXPECT_EQ(result.output, "task 42 is below its stack, told from elsewhere\n");
}

TEST(SafePrint, FormatsNumbersAndCutsLongText)
{
    skua_safe_print out;
    skua_safe_print_init(&out);
    skua_safe_print_decimal(&out, 0);
    skua_safe_print_string(&out, " ");
    skua_safe_print_decimal(&out, UINT64_MAX);
    skua_safe_print_string(&out, " ");
    skua_safe_print_signed(&out, INT64_MIN);
    skua_safe_print_string(&out, " ");
    skua_safe_print_hex(&out, 0xdeadbeef);
    skua_safe_print_string(&out, nullptr);
    EXPECT_EQ(std::string(out.text, out.length),
              "0 18446744073709551615 -9223372036854775808 0xdeadbeef(null)");
    for (int i = 0; i < 1000; i++)
        skua_safe_print_string(&out, "xy");
    EXPECT_EQ(out.length, static_cast<size_t>(SKUA_SAFE_PRINT_MAX));
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    errno = EDOM;
    skua_safe_print_write(&out, ends[1]);
    EXPECT_EQ(out.length, 0u);
    skua_safe_print_string(&out, "lost");
    skua_safe_print_write(&out, -1);
    EXPECT_EQ(errno, EDOM);
    char text[SKUA_SAFE_PRINT_MAX + 1];
    EXPECT_EQ(read(ends[0], text, sizeof(text)), SKUA_SAFE_PRINT_MAX);
    close(ends[0]);
    close(ends[1]);
}

} // namespace
