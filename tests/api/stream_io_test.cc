/*
 * Tests skua/stream.h over descriptors of all kinds, in tasks and on threads: waiting, timeouts,
 * cancels, two tasks at once, closing. Calls and sizes are in stream_test.cc.
 */
#include "support/stream_kit.h"
#include "support/temp_dir.h"

#include <array>
#include <atomic>
#include <cstring>
#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>
#include <thread>

using namespace skua_test;

namespace
{

class StreamIo : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
    TempDir dir_;
};

class StreamAnywhere : public testing::TestWithParam<Where>
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
    TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(, StreamAnywhere, everywhere(), WhereName());

skua_stream_options timeouts(uint64_t read_ms, uint64_t write_ms)
{
    skua_stream_options options{};
    options.read_timeout_ns = read_ms * SKUA_NS_PER_MS;
    options.write_timeout_ns = write_ms * SKUA_NS_PER_MS;
    return options;
}

std::string fileText(const std::string &path)
{
    std::string text(1 << 20, '\0');
    int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, &text[0], text.size());
    close(fd);
    text.resize(n > 0 ? size_t(n) : 0);
    return text;
}

/* ---- descriptors of all kinds ---------------------------------------------------------------- */

TEST_P(StreamAnywhere, SocketsAreReadAndWritten)
{
    runIn(GetParam(), [] {
        SocketPair pair;
        int end = pair.take(0);
        Stream stream(end, end);
        pair.put("GET /\r\nHost: x\r\n\r\nbody");
        EXPECT_EQ(stream.readUntil("\r\n\r\n"), "GET /\r\nHost: x\r\n\r\n");
        EXPECT_EQ(stream.readExactly(4), "body");
        EXPECT_EQ(skua_stream_printf(stream, "%d %s\r\n", 200, "OK"), 8);
        EXPECT_EQ(pair.arrived(), "");
        EXPECT_EQ(skua_stream_flush(stream), 0);
        EXPECT_EQ(pair.arrived(), "200 OK\r\n");
        EXPECT_EQ(stream.write("bye"), 3);
        EXPECT_EQ(skua_stream_shutdown_write(stream), 0);
        EXPECT_EQ(pair.arrived(), "bye");
        char byte;
        EXPECT_EQ(recv(pair.ends[1], &byte, 1, MSG_DONTWAIT), 0);
        pair.put("still reads");
        EXPECT_EQ(stream.read(100), "still reads");
        EXPECT_EQ(stream.close(), 0);
    });
}

TEST_P(StreamAnywhere, PipesOfTwoDescriptorsAreHalfClosed)
{
    runIn(GetParam(), [] {
        int there[2];
        int back[2];
        ASSERT_EQ(pipe2(there, O_CLOEXEC | O_NONBLOCK), 0);
        ASSERT_EQ(pipe2(back, O_CLOEXEC), 0);
        Stream stream(back[0], there[1], streamOptions(8));
        EXPECT_EQ(stream.write("request"), 7);
        EXPECT_EQ(skua_stream_shutdown_write(stream), 0);
        char buffer[16];
        EXPECT_EQ(read(there[0], buffer, sizeof(buffer)), 7);
        EXPECT_EQ(read(there[0], buffer, sizeof(buffer)), 0);
        EXPECT_EQ(write(back[1], "one\nanother line", 16), 16);
        close(back[1]);
        EXPECT_EQ(stream.readLine(), "one\n");
        EXPECT_EQ(stream.readExactly(20), "another line");
        EXPECT_TRUE(skua_stream_at_eof(stream));
        close(there[0]);
        EXPECT_EQ(stream.close(), 0);
    });
}

TEST_P(StreamAnywhere, FilesAreReadAndWrittenAtTheirPosition)
{
    runIn(GetParam(), [this] {
        std::string path = dir_.file("f");
        int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        ASSERT_GE(fd, 0);
        Stream stream(fd, fd, timeouts(1000, 1000));
        std::string bytes = patternBytes(100000);
        EXPECT_EQ(stream.write("# "), 2);
        EXPECT_EQ(stream.write(bytes), 100000);
        EXPECT_EQ(skua_stream_flush(stream), 0);
        EXPECT_TRUE(fileText(path) == "# " + bytes);
        EXPECT_EQ(skua_stream_shutdown_write(stream), -EOPNOTSUPP);
        EXPECT_EQ(stream.read(10), "");
        EXPECT_EQ(skua_stream_clear_eof(stream), 0);
        EXPECT_EQ(lseek(fd, 2, SEEK_SET), 2);
        EXPECT_TRUE(stream.readExactly(bytes.size()) == bytes);
        EXPECT_EQ(stream.read(10), "");
        EXPECT_EQ(stream.close(), 0);
    });
}

TEST_P(StreamAnywhere, AFileThatGrowsGoesOnAfterItsEndIsForgotten)
{
    runIn(GetParam(), [this] {
        std::string path = dir_.file("log");
        int log = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ASSERT_EQ(write(log, "one\ntw", 6), 6);
        Stream stream(open(path.c_str(), O_RDONLY | O_CLOEXEC), -1);
        EXPECT_EQ(stream.readUntil("\n"), "one\n");
        EXPECT_EQ(stream.readUntil("\n"), std::to_string(-ENODATA));
        ASSERT_EQ(write(log, "o\n", 2), 2);
        EXPECT_EQ(stream.readUntil("\n"), std::to_string(-ENODATA));
        EXPECT_EQ(skua_stream_clear_eof(stream), 0);
        EXPECT_EQ(stream.readUntil("\n"), "two\n");
        close(log);
    });
}

TEST_P(StreamAnywhere, OneSidedStreamsRefuseTheOtherSide)
{
    runIn(GetParam(), [] {
        SocketPair pair;
        skua_stream_options lean{};
        lean.flags = SKUA_STREAM_LEAN;
        Stream reader(pair.take(0), -1, lean);
        Stream writer(-1, pair.take(1), lean);
        EXPECT_EQ(reader.write("x"), 1);
        EXPECT_EQ(skua_stream_flush(reader), -EBADF);
        EXPECT_EQ(writer.read(1), std::to_string(-EBADF));
        EXPECT_EQ(writer.readLine(), std::to_string(-EBADF));
    });
}

TEST_P(StreamAnywhere, KeptDescriptorsStayOpen)
{
    runIn(GetParam(), [] {
        SocketPair pair;
        skua_stream_options options{};
        options.flags = SKUA_STREAM_KEEP_FDS;
        Stream stream(pair.ends[0], pair.ends[0], options);
        EXPECT_EQ(stream.write("x"), 1);
        EXPECT_EQ(stream.close(), 0);
        EXPECT_EQ(pair.arrived(), "x");
        EXPECT_EQ(fcntl(pair.ends[0], F_GETFD), FD_CLOEXEC);
        int ends[2];
        ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
        Stream kept(ends[0], ends[1], options);
        EXPECT_EQ(skua_stream_shutdown_write(kept), -EOPNOTSUPP);
        EXPECT_EQ(kept.close(), 0);
        EXPECT_EQ(close(ends[0]) | close(ends[1]), 0);
    });
}

TEST_P(StreamAnywhere, APeerThatHasGoneIsAnErrorAndNoSignal)
{
    runIn(GetParam(), [] {
        SocketPair pair;
        int end = pair.take(0);
        Stream stream(end, end, writeOptions(8));
        SocketPair::closeEnd(pair.ends[1]);
        EXPECT_EQ(stream.write("x"), 1);
        EXPECT_EQ(stream.write(std::string(100, 'y')), -EPIPE); /* two buffers */
        EXPECT_EQ(skua_stream_flush(stream), -EPIPE);
        EXPECT_EQ(stream.read(1), "");
        EXPECT_EQ(stream.close(), -EPIPE);
    });
}

TEST_P(StreamAnywhere, NonblockingDescriptorsAreWaitedFor)
{
    runIn(GetParam(), [] {
        int ends[2];
        ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
        SocketPair pair(SOCK_NONBLOCK);
        std::string bytes = patternBytes(1000000);
        std::thread peer([&] {
            char buffer[1000];
            for (size_t at = 0; at < bytes.size();) {
                pollfd ready = {pair.ends[1], POLLIN, 0};
                poll(&ready, 1, 10000);
                ssize_t n = read(pair.ends[1], buffer, sizeof(buffer));
                ready = {ends[1], POLLOUT, 0};
                poll(&ready, 1, 10000);
                if (n <= 0 || write(ends[1], buffer, size_t(n)) != n)
                    break;
                at += size_t(n);
            }
            close(ends[1]);
        });
        Stream writer(-1, pair.take(0));
        Stream reader(ends[0], -1);
        std::string got;
        std::thread drain([&] { got = reader.readExactly(bytes.size() + 1); });
        EXPECT_EQ(writer.write(bytes), ssize_t(bytes.size()));
        EXPECT_EQ(skua_stream_flush(writer), 0);
        peer.join();
        drain.join();
        EXPECT_TRUE(got == bytes);
    });
}

/* ---- timeouts -------------------------------------------------------------------------------- */

TEST_P(StreamAnywhere, AReadTimesOutAndLosesNothing)
{
    runIn(GetParam(), [] {
        for (unsigned flags : {0u, SKUA_STREAM_LEAN}) {
            SocketPair pair;
            skua_stream_options options = timeouts(20, 0);
            options.flags = flags;
            Stream stream(pair.take(0), -1, options);
            uint64_t before = skua_now();
            EXPECT_EQ(stream.read(1), std::to_string(-ETIMEDOUT));
            EXPECT_GE(skua_now() - before, 20 * SKUA_NS_PER_MS);
            pair.put("half");
            EXPECT_EQ(stream.readExactly(8), std::to_string(-ETIMEDOUT));
            EXPECT_EQ(stream.readExactly(100000), std::to_string(-ETIMEDOUT));
            EXPECT_EQ(stream.readLine(), std::to_string(-ETIMEDOUT));
            EXPECT_EQ(stream.buffered(), "half");
            pair.put("done");
            EXPECT_EQ(stream.readExactly(8), "halfdone");
        }
    });
}

TEST_P(StreamAnywhere, AWriteTimesOutAndTellsWhatItTook)
{
    runIn(GetParam(), [] {
        for (bool is_pipe : {false, true}) {
            int ends[2];
            if (is_pipe)
                ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
            else
                ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
            Stream writer(-1, ends[is_pipe ? 1 : 0], timeouts(0, 20));
            Stream reader(ends[is_pipe ? 0 : 1], -1);
            std::string bytes = patternBytes(4000000);
            size_t taken = 0;
            ssize_t n;
            while ((n = writer.write(bytes.substr(taken))) > 0) /* slow machines: more than once */
                taken += size_t(n);
            EXPECT_EQ(n, -ETIMEDOUT);
            ASSERT_GT(taken, 0u);
            ASSERT_LT(taken, bytes.size());
            EXPECT_EQ(writer.write("tail"), 4); /* it is as good as before */
            EXPECT_EQ(skua_stream_flush(writer), -ETIMEDOUT);
            EXPECT_EQ(skua_stream_pending(writer), 4);
            EXPECT_TRUE(reader.readExactly(taken) == bytes.substr(0, taken));
            EXPECT_EQ(skua_stream_flush(writer), 0);
            EXPECT_EQ(reader.readExactly(4), "tail");
        }
    });
}

TEST_P(StreamAnywhere, ACloseTimesOutAndClosesAllTheSame)
{
    runIn(GetParam(), [] {
        SocketPair pair;
        Stream writer(-1, pair.take(0), timeouts(0, 20));
        std::string bytes = patternBytes(100000);
        while (writer.write(bytes) > 0) /* until there is no room */
            continue;
        EXPECT_EQ(writer.write("tail"), 4);
        EXPECT_EQ(writer.close(), -ETIMEDOUT);
    });
}

/* ---- tasks ----------------------------------------------------------------------------------- */

TEST_F(StreamIo, AfterACancelAnotherTaskGetsTheBytes)
{
    runInTask([] {
        for (size_t size : {10, 100000}) {
            SocketPair pair;
            Stream stream(pair.take(0), -1);
            pair.put("12345");
            std::string first;
            auto body = [&]() -> intptr_t {
                first = stream.readExactly(size);
                return 0;
            };
            skua_future *reader = spawnBody(body);
            EXPECT_TRUE(yieldUntil([&] { return pair.isEmpty(); }));
            EXPECT_EQ(skua_cancel(reader), 0);
            EXPECT_EQ(skua_await(reader), 0);
            EXPECT_EQ(first, std::to_string(-ECANCELED));
            runInChild([&] { EXPECT_EQ(stream.buffered(), "12345"); });
            pair.put("67890");
            runInChild([&] { EXPECT_EQ(stream.readExactly(10), "1234567890"); });
        }
    });
}

TEST_F(StreamIo, ACancelledTaskStillGetsWhatIsBufferedAndCloses)
{
    runInTask([] {
        SocketPair pair;
        int end = pair.take(0);
        Stream stream(end, end);
        pair.put("line\nmore");
        EXPECT_EQ(stream.readLine(), "line\n");
        runInChild([&] {
            EXPECT_EQ(skua_cancel(skua_self()), 0);
            EXPECT_EQ(stream.readExactly(4), "more");
            EXPECT_EQ(stream.read(1), std::to_string(-ECANCELED));
            EXPECT_EQ(stream.write("dropped"), 7);
            EXPECT_EQ(skua_stream_flush(stream), -ECANCELED);
            EXPECT_EQ(skua_stream_pending(stream), 7);
            EXPECT_EQ(stream.close(), -ECANCELED);
        });
        EXPECT_EQ(pair.arrived(), "");
    });
}

TEST_F(StreamIo, ASecondReaderOrWriterIsTurnedAway)
{
    runInTask([] {
        SocketPair pair;
        int end = pair.take(0);
        Stream stream(end, end);
        Script script;
        Stream other(script);
        /* These two may be turned away themselves, by the look at whether they are there. */
        auto read = [&]() -> intptr_t {
            std::array<char, 4> done{};
            ssize_t n;
            while ((n = skua_stream_read_exactly(stream, done.data(), 4)) == -EBUSY)
                skua_yield();
            return n == 4 && std::memcmp(done.data(), "done", 4) == 0 ? 0 : -EIO;
        };
        std::string pattern = patternBytes(4000000);
        auto write = [&]() -> intptr_t {
            ssize_t n;
            while ((n = stream.write(pattern)) == -EBUSY)
                skua_yield();
            return n == 4000000 ? 0 : -EIO;
        };
        skua_future *reader = spawnBody(read);
        ASSERT_TRUE(yieldUntil([&] { return skua_stream_peek(stream, 0, nullptr) == -EBUSY; }));
        char byte;
        char *line;
        const char *text;
        const void *data;
        EXPECT_EQ(skua_stream_read(stream, &byte, 1), -EBUSY);
        EXPECT_EQ(skua_stream_read_exactly(stream, &byte, 1), -EBUSY);
        EXPECT_EQ(skua_stream_read_until(stream, "x", 1, &data), -EBUSY);
        EXPECT_EQ(skua_stream_read_line(stream, &text), -EBUSY);
        EXPECT_EQ(skua_stream_next_line(stream, &line, nullptr), -EBUSY);
        EXPECT_EQ(skua_stream_consume(stream, 0), -EBUSY);
        EXPECT_EQ(skua_stream_clear_eof(stream), -EBUSY);
        EXPECT_FALSE(skua_stream_at_eof(stream));
        EXPECT_EQ(skua_stream_copy(stream, other, 1, nullptr), -EBUSY);
        EXPECT_EQ(skua_stream_close(stream), -EBUSY);
        EXPECT_EQ(skua_stream_abort(stream), -EBUSY);
        EXPECT_EQ(skua_stream_pending(stream), 0); /* the other side is free */
        skua_future *writer = spawnBody(write);
        ASSERT_TRUE(yieldUntil([&] { return skua_stream_pending(stream) == -EBUSY; }));
        EXPECT_EQ(skua_stream_write(stream, "x", 1), -EBUSY);
        EXPECT_EQ(skua_stream_printf(stream, "x"), -EBUSY);
        EXPECT_EQ(skua_stream_flush(stream), -EBUSY);
        EXPECT_EQ(skua_stream_shutdown_write(stream), -EBUSY);
        EXPECT_EQ(skua_stream_copy(other, stream, 1, nullptr), -EBUSY);
        pair.put("done");
        EXPECT_EQ(skua_await(reader), 0);
        EXPECT_EQ(skua_stream_close(stream), -EBUSY);
        EXPECT_EQ(skua_stream_copy(other, other, 1, nullptr), 0); /* was left as it was */
        Stream peer(pair.take(1), -1);
        EXPECT_TRUE(peer.readExactly(4000000) == patternBytes(4000000));
        EXPECT_EQ(skua_await(writer), 0);
    });
}

/* 10 MB there and back, both ways at once at either end. */
TEST_F(StreamIo, EchoesTenMegabytesInFullDuplex)
{
    runInTask([] {
        SocketPair pair;
        int near_end = pair.take(0);
        int far_end = pair.take(1);
        Stream near(near_end, near_end);
        Stream far(far_end, far_end);
        const std::string bytes = patternBytes(10000000);
        auto echo = [&]() -> intptr_t {
            int rc = skua_stream_copy(far, far, UINT64_MAX, nullptr);
            return rc < 0 ? rc : skua_stream_shutdown_write(far);
        };
        auto send = [&]() -> intptr_t {
            for (size_t at = 0, size = 1; at < bytes.size(); at += size, size = size * 7 % 50021) {
                size = std::min(size, bytes.size() - at);
                if (skua_stream_write(near, &bytes[at], size) != ssize_t(size))
                    return -EIO;
            }
            return skua_stream_shutdown_write(near);
        };
        skua_future *echoing = spawnBody(echo);
        skua_future *sending = spawnBody(send);
        std::string got;
        std::string part(70000, '\0');
        ssize_t n = 1;
        for (size_t size = 1; n > 0; size = size * 5 % 70001) {
            n = skua_stream_read(near, &part[0], size);
            got.append(part, 0, n > 0 ? size_t(n) : 0);
        }
        EXPECT_EQ(n, 0);
        EXPECT_EQ(skua_await(sending), 0);
        EXPECT_EQ(skua_await(echoing), 0);
        EXPECT_TRUE(got == bytes) << got.size();
    });
}

TEST_F(StreamIo, LinesGoBothWaysBetweenTasksByTheThousand)
{
    runInTask([] {
        SocketPair pair;
        int near_end = pair.take(0);
        int far_end = pair.take(1);
        Stream near(near_end, near_end, timeouts(10000, 10000));
        Stream far(far_end, far_end);
        auto answer = [&]() -> intptr_t {
            char *line;
            int rc;
            while ((rc = skua_stream_next_line(far, &line, nullptr)) == 1) {
                if (skua_stream_printf(far, "<%s>\n", line) < 0 || skua_stream_flush(far) < 0)
                    return -EIO;
            }
            return rc;
        };
        skua_future *answering = spawnBody(answer);
        for (int i = 0; i < 2000; i++) {
            ASSERT_GT(skua_stream_printf(near, "%d\r\n", i), 0);
            ASSERT_EQ(skua_stream_flush(near), 0);
            ASSERT_EQ(near.readLine(), "<" + std::to_string(i) + ">\n");
        }
        EXPECT_EQ(skua_stream_shutdown_write(near), 0);
        EXPECT_EQ(skua_await(answering), 0);
    });
}

size_t mapped()
{
    return mallinfo2().hblkhd;
}

/* Whether large blocks of memory are counted by mapped(). */
bool mappingsAreCounted()
{
    mallopt(M_MMAP_THRESHOLD, 1 << 20); /* now, and for good */
    size_t before = mapped();
    void *volatile probe = malloc(8 << 20);
    bool is_counted = mapped() >= before + (8 << 20);
    free(probe);
    return is_counted;
}

TEST_F(StreamIo, ABufferThatWasEnlargedIsGivenBack)
{
    if (!mappingsAreCounted())
        GTEST_SKIP() << "this malloc does not count its mappings";
    const std::string line = std::string(4 << 20, 'x') + "\n";
    Script script;
    size_t before = mapped();
    script.feed(line);
    script.feed("y\n");
    Stream stream(script, streamOptions(0, 8 << 20));
    const char *text;
    EXPECT_EQ(skua_stream_read_line(stream, &text), ssize_t(line.size()));
    EXPECT_GE(mapped(), before + line.size());
    EXPECT_EQ(stream.readLine(), "y\n");
    EXPECT_LT(mapped(), before + line.size());
    EXPECT_EQ(skua_stream_printf(stream, "%*d", 4 << 20, 1), 4 << 20);
    EXPECT_GE(mapped(), before + line.size() - 1);
    script.output = {4 << 20};
    EXPECT_EQ(skua_stream_flush(stream), 0);
    script.written.clear();
    script.written.shrink_to_fit();
    EXPECT_LT(mapped(), before + line.size() - 1);
}

TEST_F(StreamIo, ALeanStreamThatWaitsHasNoBuffer)
{
    const size_t buffer = 8 << 20; /* by mmap: counted apart */
    if (!mappingsAreCounted())
        GTEST_SKIP() << "this malloc does not count its mappings";
    runInTask([&] {
        for (bool is_lean : {false, true}) {
            SocketPair pair;
            skua_stream_options options = streamOptions(buffer);
            options.write_buffer_bytes = buffer;
            options.flags = is_lean ? SKUA_STREAM_LEAN : 0;
            int end = pair.take(0);
            Stream stream(end, end, options);
            size_t before = mapped();
            EXPECT_EQ(stream.write("x"), 1);
            EXPECT_GE(mapped(), before + buffer);
            EXPECT_EQ(skua_stream_flush(stream), 0);
            pair.put("a\nb\n");
            EXPECT_EQ(stream.readLine(), "a\n");
            EXPECT_EQ(stream.readLine(), "b\n");
            auto body = [&]() -> intptr_t { return stream.readLine() == "c\n" ? 0 : -EIO; };
            skua_future *reader = spawnBody(body);
            /* Waiting, once it has been busy for as long as many turns of the ring. */
            for (int turn = 0; turn < 200; turn++)
                skua_yield();
            EXPECT_TRUE(yieldUntil([&] { return skua_stream_consume(stream, 0) == -EBUSY; }));
            EXPECT_TRUE(is_lean ? mapped() == before : mapped() >= before + 2 * buffer);
            pair.put("c\n");
            EXPECT_EQ(skua_await(reader), 0);
        }
    });
}

/* ---- copies between descriptors -------------------------------------------------------------- */

TEST_P(StreamAnywhere, AFileIsCopiedToASocketFromItsPosition)
{
    runIn(GetParam(), [this] {
        std::string path = dir_.file("f");
        std::string bytes = patternBytes(3000000);
        int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        ASSERT_EQ(write(file, bytes.data(), bytes.size()), ssize_t(bytes.size()));
        ASSERT_EQ(lseek(file, 0, SEEK_SET), 0);
        SocketPair pair;
        int end = pair.take(0);
        Stream from(file, -1);
        Stream to(-1, end);
        Stream sink(pair.take(1), -1);
        std::string got;
        std::thread drain([&] { got = sink.readExactly(bytes.size() + 100); });
        EXPECT_EQ(from.readExactly(10), bytes.substr(0, 10));
        EXPECT_EQ(to.write("head"), 4);
        uint64_t copied = 0;
        EXPECT_EQ(skua_stream_copy(from, to, 2000000, &copied), 0);
        EXPECT_EQ(copied, 2000000u);
        EXPECT_EQ(from.readExactly(10), bytes.substr(2000010, 10));
        EXPECT_EQ(skua_stream_copy(from, to, UINT64_MAX, &copied), 0);
        EXPECT_EQ(copied, 999980u);
        EXPECT_TRUE(fcntl(end, F_GETFL) & O_NONBLOCK); /* skua_sendfile() was here */
        EXPECT_TRUE(skua_stream_at_eof(from));
        EXPECT_EQ(to.close(), 0);
        drain.join();
        EXPECT_TRUE(got == "head" + bytes.substr(10, 2000000) + bytes.substr(2000020));
    });
}

TEST_P(StreamAnywhere, ACopyOfAFileTimesOutAndGoesOn)
{
    runIn(GetParam(), [this] {
        std::string path = dir_.file("f");
        std::string bytes = patternBytes(3000000);
        int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        ASSERT_EQ(write(file, bytes.data(), bytes.size()), ssize_t(bytes.size()));
        ASSERT_EQ(lseek(file, 0, SEEK_SET), 0);
        SocketPair pair;
        Stream from(file, -1);
        Stream to(-1, pair.take(0), timeouts(0, 20));
        uint64_t total = 0;
        EXPECT_EQ(skua_stream_copy(from, to, UINT64_MAX, &total), -ETIMEDOUT);
        Stream sink(pair.take(1), -1);
        std::string got;
        std::thread drain([&] { got = sink.readExactly(bytes.size() + 1); });
        int rc = -ETIMEDOUT;
        while (rc == -ETIMEDOUT) { /* once, but for a peer that is slow */
            uint64_t copied = 0;
            rc = skua_stream_copy(from, to, UINT64_MAX, &copied);
            total += copied;
        }
        EXPECT_EQ(rc, 0);
        EXPECT_EQ(total, bytes.size());
        EXPECT_EQ(to.close(), 0);
        drain.join();
        EXPECT_TRUE(got == bytes) << got.size();
    });
}

TEST_P(StreamAnywhere, ASocketIsCopiedToAFile)
{
    runIn(GetParam(), [this] {
        SocketPair pair;
        Stream from(pair.take(0), -1);
        std::string path = dir_.file("f");
        Stream to(-1, open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        std::string bytes = patternBytes(100000);
        pair.put(bytes);
        SocketPair::closeEnd(pair.ends[1]);
        EXPECT_EQ(skua_stream_copy(from, to, UINT64_MAX, nullptr), 0);
        EXPECT_TRUE(fileText(path) == bytes);
        EXPECT_EQ(to.close(), 0);
    });
}

} /* namespace */
