/*
 * Tests skua_op_submit(): several requests at once, their results, and their cancellation.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/run_in_task.h"
#include "support/temp_dir.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <iterator>
#include <poll.h>
#include <unistd.h>
#include <vector>

using namespace skua_test;

namespace
{

class OpBatch : public testing::TestWithParam<Where>
{
  protected:
    template <class Body> void run(Body &&body)
    {
        runIn(GetParam(), body);
    }

    void writesAndReadsBack(size_t count);

    FdGuard fds_;
    HangGuard hang_;
    TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(Everywhere, OpBatch, everywhere(), WhereName());

class OpBatchInATask : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
    TempDir dir_;
};

skua_op transfer(skua_op_code code, int fd, const void *addr, uint64_t len, uint64_t offset)
{
    skua_op op{};
    op.code = static_cast<uint8_t>(code);
    op.fd = fd;
    op.addr = const_cast<void *>(addr);
    op.len = len;
    op.offset = offset;
    op.result = INT64_MIN;
    return op;
}

skua_op openOp(const char *path, int flags)
{
    skua_op op = transfer(SKUA_OP_OPENAT, AT_FDCWD, path, 0600, 0);
    op.flags = static_cast<uint32_t>(flags);
    return op;
}

uint64_t opsSubmitted()
{
    uint64_t sum = 0;
    skua_worker_stats stats;
    for (unsigned i = 0; skua_runtime_stats(skua_runtime_current(), i, &stats) == 0; i++)
        sum += stats.ops_submitted;
    return sum;
}

using Record = std::array<char, 8>;

Record recordOf(size_t index)
{
    Record record;
    std::memcpy(record.data(), &index, sizeof(record));
    return record;
}

void OpBatch::writesAndReadsBack(size_t count)
{
    run([this, count] {
        int fd = skua_open(dir_.file("records").c_str(), O_RDWR | O_CREAT, 0600);
        ASSERT_GE(fd, 0);
        std::vector<Record> records(count);
        std::vector<skua_op> ops(count);
        for (size_t i = 0; i < count; i++) {
            records[i] = recordOf(i);
            ops[i] =
                transfer(SKUA_OP_WRITE, fd, records[i].data(), sizeof(Record), i * sizeof(Record));
        }
        EXPECT_EQ(skua_op_submit(ops.data(), count), 0);
        for (size_t i = 0; i < count; i++) {
            ASSERT_EQ(ops[i].result, static_cast<int64_t>(sizeof(Record))) << i;
            ops[i].code = SKUA_OP_READ;
            records[i].fill('?');
        }
        EXPECT_EQ(skua_op_submit(ops.data(), count), 0);
        for (size_t i = 0; i < count; i++) {
            ASSERT_EQ(ops[i].result, static_cast<int64_t>(sizeof(Record))) << i;
            ASSERT_EQ(records[i], recordOf(i)) << i;
        }
        EXPECT_EQ(skua_close(fd), 0);
    });
}

} /* namespace */

TEST_P(OpBatch, OfOneIsCarriedOut)
{
    writesAndReadsBack(1);
}

TEST_P(OpBatch, OfSixtyFourIsCarriedOut)
{
    writesAndReadsBack(64);
}

TEST_P(OpBatch, OfAThousandIsCarriedOut)
{
    writesAndReadsBack(1000);
}

TEST_P(OpBatch, SuccessAndFailureStandSideBySide)
{
    writeFile(dir_.file("f"), "0123456789");
    run([&] {
        int fd = skua_open(dir_.file("f").c_str(), O_RDONLY, 0);
        ASSERT_GE(fd, 0);
        char a[4];
        char b[100];
        std::string present = dir_.file("f");
        std::string missing = dir_.file("missing");
        std::string directory = dir_.path();
        skua_op ops[] = {
            transfer(SKUA_OP_READ, fd, a, sizeof(a), 0),
            transfer(SKUA_OP_READ, fd, b, sizeof(b), 3), /* short */
            transfer(SKUA_OP_READ, fd, b, 0, 100),
            transfer(SKUA_OP_READ, -1, a, sizeof(a), 0),
            transfer(SKUA_OP_WRITE, fd, "x", 1, 0),
            transfer(SKUA_OP_NOP, 0, nullptr, 0, 0),
            openOp(missing.c_str(), O_RDONLY),
            openOp(directory.c_str(), O_WRONLY),
            openOp(present.c_str(), O_RDONLY),
        };
        EXPECT_EQ(skua_op_submit(ops, std::size(ops)), 0);
        EXPECT_EQ(ops[0].result, 4);
        EXPECT_EQ(std::memcmp(a, "0123", 4), 0);
        EXPECT_EQ(ops[1].result, 7);
        EXPECT_EQ(std::memcmp(b, "3456789", 7), 0);
        EXPECT_EQ(ops[2].result, 0);
        EXPECT_EQ(ops[3].result, -EBADF);
        EXPECT_EQ(ops[4].result, -EBADF);
        EXPECT_EQ(ops[5].result, 0);
        EXPECT_EQ(ops[6].result, -ENOENT);
        EXPECT_EQ(ops[7].result, -EISDIR);
        ASSERT_GE(ops[8].result, 0);
        EXPECT_EQ(skua_close(static_cast<int>(ops[8].result)), 0);
        EXPECT_EQ(skua_close(fd), 0);
    });
}

TEST_P(OpBatch, AThousandOpensAndClosesLeakNothing)
{
    writeFile(dir_.file("f"), "x");
    run([&] {
        std::string path = dir_.file("f");
        std::vector<skua_op> ops(100, openOp(path.c_str(), O_RDONLY));
        for (int round = 0; round < 10; round++) {
            for (skua_op &op : ops)
                op = openOp(path.c_str(), O_RDONLY);
            EXPECT_EQ(skua_op_submit(ops.data(), ops.size()), 0);
            for (skua_op &op : ops) {
                ASSERT_GE(op.result, 0);
                op = transfer(SKUA_OP_CLOSE, static_cast<int>(op.result), nullptr, 0, 0);
            }
            EXPECT_EQ(skua_op_submit(ops.data(), ops.size()), 0);
            for (const skua_op &op : ops)
                EXPECT_EQ(op.result, 0);
        }
    });
}

TEST_P(OpBatch, AnUnknownCodeIsInvalidAndNothingIsDone)
{
    run([&] {
        int fd = skua_open(dir_.file("f").c_str(), O_RDWR | O_CREAT, 0600);
        ASSERT_GE(fd, 0);
        skua_op ops[2] = {transfer(SKUA_OP_WRITE, fd, "x", 1, 0),
                          transfer(SKUA_OP_CODE_COUNT, fd, nullptr, 0, 0)};
        EXPECT_EQ(skua_op_submit(ops, 2), -EINVAL);
        EXPECT_EQ(skua_op_submit(nullptr, 1), -EINVAL);
        EXPECT_EQ(skua_close(fd), 0);
    });
    EXPECT_EQ(readFile(dir_.file("f")), "");
}

TEST_P(OpBatch, PollReportsReadiness)
{
    run([&] {
        int ends[2];
        ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
        ASSERT_EQ(write(ends[1], "x", 1), 1);
        skua_op ops[3] = {transfer(SKUA_OP_POLL, ends[0], nullptr, 0, 0),
                          transfer(SKUA_OP_POLL, ends[1], nullptr, 0, 0),
                          transfer(SKUA_OP_POLL, -1, nullptr, 0, 0)};
        ops[0].flags = POLLIN;
        ops[1].flags = POLLOUT;
        ops[2].flags = POLLIN;
        EXPECT_EQ(skua_op_submit(ops, 3), 0);
        EXPECT_EQ(ops[0].result, POLLIN);
        EXPECT_EQ(ops[1].result, POLLOUT);
        EXPECT_EQ(ops[2].result, -EBADF);
        EXPECT_EQ(skua_close(ends[0]), 0);
        EXPECT_EQ(skua_close(ends[1]), 0);
    });
}

TEST_P(OpBatch, AnOpIsReusedManyTimes)
{
    writeFile(dir_.file("f"), pattern(5000));
    run([&] {
        int fd = skua_open(dir_.file("f").c_str(), O_RDONLY, 0);
        ASSERT_GE(fd, 0);
        char byte = 0;
        std::string bytes = pattern(5000);
        skua_op op = transfer(SKUA_OP_READ, fd, &byte, 1, 0);
        for (size_t i = 0; i < bytes.size(); i++) {
            op.offset = i;
            ASSERT_EQ(skua_op_submit(&op, 1), 0);
            ASSERT_EQ(op.result, 1);
            ASSERT_EQ(byte, bytes[i]);
        }
        EXPECT_EQ(skua_close(fd), 0);
    });
}

TEST_F(OpBatchInATask, ACancelledTaskSubmitsNothing)
{
    runInTask([&] {
        int fd = skua_open(dir_.file("f").c_str(), O_RDWR | O_CREAT, 0600);
        ASSERT_GE(fd, 0);
        runInChild([&] {
            EXPECT_EQ(skua_cancel(skua_self()), 0);
            std::vector<skua_op> ops(300, transfer(SKUA_OP_WRITE, fd, "x", 1, 0));
            EXPECT_EQ(skua_op_submit(ops.data(), ops.size()), -ECANCELED);
            for (const skua_op &op : ops)
                EXPECT_EQ(op.result, -ECANCELED);
        });
        EXPECT_EQ(skua_close(fd), 0);
    });
    EXPECT_EQ(readFile(dir_.file("f")), "");
}

TEST_F(OpBatchInATask, ACancelReachesEveryOpInFlightAndResultsAreKept)
{
    const size_t count = 64;
    runInTask([&] {
        std::vector<std::array<int, 2>> pipes(count);
        std::vector<char> bytes(count, 0);
        std::vector<skua_op> ops(count);
        for (size_t i = 0; i < count; i++) {
            ASSERT_EQ(pipe2(pipes[i].data(), O_CLOEXEC), 0);
            ops[i] = transfer(SKUA_OP_READ, pipes[i][0], &bytes[i], 1, SKUA_OFFSET_CURRENT);
            if (i % 2 == 0) {
                ASSERT_EQ(write(pipes[i][1], "y", 1), 1);
            }
        }
        int submitted = 0;
        auto body = [&] { submitted = skua_op_submit(ops.data(), count); };
        uint64_t before = opsSubmitted();
        skua_future *reader = skua_spawn(callBody<decltype(body)>, &body);
        EXPECT_TRUE(yieldUntil([&] { return opsSubmitted() >= before + count; }));
        EXPECT_EQ(skua_cancel(reader), 0);
        EXPECT_EQ(skua_await(reader), 0);
        EXPECT_EQ(submitted, -ECANCELED);
        for (size_t i = 0; i < count; i++) {
            if (ops[i].result == -ECANCELED && i % 2 == 0) /* the byte is still there */
                EXPECT_EQ(skua_read(pipes[i][0], &bytes[i], 1), 1) << i;
            else
                EXPECT_EQ(ops[i].result, i % 2 == 0 ? 1 : -ECANCELED) << i;
            EXPECT_EQ(bytes[i], i % 2 == 0 ? 'y' : 0) << i;
            EXPECT_EQ(skua_close(pipes[i][0]), 0);
            EXPECT_EQ(skua_close(pipes[i][1]), 0);
        }
    });
}
