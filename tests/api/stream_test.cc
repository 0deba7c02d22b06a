/*
 * Tests skua/stream.h over a scripted transport: what is read and written in which calls, at sizes
 * around those of the buffers, at the end of the stream, after errors. Descriptors, waiting and
 * cancels are in stream_io_test.cc, random orders and faults in stream_fault_test.cc.
 */
#include "support/stream_kit.h"

#include <cstring>

using namespace skua_test;

namespace
{

class StreamCalls : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
    Script script_;
};

class StreamReader : public StreamCalls
{
};

class StreamWriter : public StreamCalls
{
};

TEST_F(StreamCalls, RefuseNullAndTheImpossible)
{
    char byte = 0;
    const void *data = nullptr;
    const char *line = nullptr;
    char *text = nullptr;
    EXPECT_EQ(skua_stream_read(nullptr, &byte, 1), -EINVAL);
    EXPECT_EQ(skua_stream_read_exactly(nullptr, &byte, 1), -EINVAL);
    EXPECT_EQ(skua_stream_read_until(nullptr, "x", 1, &data), -EINVAL);
    EXPECT_EQ(skua_stream_read_line(nullptr, &line), -EINVAL);
    EXPECT_EQ(skua_stream_next_line(nullptr, &text, nullptr), -EINVAL);
    EXPECT_EQ(skua_stream_peek(nullptr, 0, &data), -EINVAL);
    EXPECT_EQ(skua_stream_consume(nullptr, 0), -EINVAL);
    EXPECT_FALSE(skua_stream_at_eof(nullptr));
    EXPECT_EQ(skua_stream_clear_eof(nullptr), -EINVAL);
    EXPECT_EQ(skua_stream_write(nullptr, &byte, 1), -EINVAL);
    EXPECT_EQ(skua_stream_writev(nullptr, nullptr, 0), -EINVAL);
    EXPECT_EQ(skua_stream_printf(nullptr, "x"), -EINVAL);
    EXPECT_EQ(skua_stream_flush(nullptr), -EINVAL);
    EXPECT_EQ(skua_stream_pending(nullptr), -EINVAL);
    EXPECT_EQ(skua_stream_shutdown_write(nullptr), -EINVAL);
    EXPECT_EQ(skua_stream_copy(nullptr, nullptr, 0, nullptr), -EINVAL);
    EXPECT_EQ(skua_stream_close(nullptr), 0);
    EXPECT_EQ(skua_stream_abort(nullptr), 0);
    Stream stream(script_);
    EXPECT_EQ(skua_stream_read(stream, nullptr, 1), -EINVAL);
    EXPECT_EQ(skua_stream_read_exactly(stream, nullptr, 1), -EINVAL);
    EXPECT_EQ(skua_stream_read_exactly(stream, &byte, SIZE_MAX), -EINVAL);
    EXPECT_EQ(skua_stream_read_until(stream, "x", 0, &data), -EINVAL);
    EXPECT_EQ(skua_stream_read_until(stream, nullptr, 1, &data), -EINVAL);
    EXPECT_EQ(skua_stream_read_until(stream, "x", 1, nullptr), -EINVAL);
    EXPECT_EQ(skua_stream_read_line(stream, nullptr), -EINVAL);
    EXPECT_EQ(skua_stream_next_line(stream, nullptr, nullptr), -EINVAL);
    EXPECT_EQ(skua_stream_consume(stream, 1), -EINVAL);
    EXPECT_EQ(skua_stream_write(stream, nullptr, 1), -EINVAL);
    EXPECT_EQ(skua_stream_writev(stream, nullptr, 1), -EINVAL);
    EXPECT_EQ(skua_stream_copy(stream, nullptr, 0, nullptr), -EINVAL);
    const iovec huge[] = {{&byte, SIZE_MAX / 2}, {&byte, 1}};
    EXPECT_EQ(skua_stream_writev(stream, huge, 2), -EINVAL);
    EXPECT_TRUE(script_.reads.empty());
    EXPECT_TRUE(script_.writes.empty());
}

TEST_F(StreamCalls, BadOptionsAreRefused)
{
    auto refused = [&](void (*spoil)(skua_stream_options &)) {
        skua_stream_options options{};
        spoil(options);
        skua_stream *stream = nullptr;
        int rc = skua_stream_open_over(Script::transport(), &script_, &options, &stream);
        EXPECT_EQ(stream, nullptr);
        return rc;
    };
    EXPECT_EQ(refused([](skua_stream_options &o) { o.flags = 4; }), -EINVAL);
    EXPECT_EQ(refused([](skua_stream_options &o) { o.reserved_flags = 1; }), -EINVAL);
    EXPECT_EQ(refused([](skua_stream_options &o) { o.reserved[3] = 1; }), -EINVAL);
    EXPECT_EQ(refused([](skua_stream_options &o) { o.limit_bytes = SIZE_MAX; }), -EINVAL);
    EXPECT_EQ(refused([](skua_stream_options &o) { o.read_buffer_bytes = SIZE_MAX; }), -EINVAL);
    EXPECT_EQ(refused([](skua_stream_options &o) { o.write_buffer_bytes = SIZE_MAX; }), -EINVAL);
    EXPECT_EQ(refused([](skua_stream_options &o) { o.low_water_bytes = 16385; }), -EINVAL);
    skua_stream *stream = nullptr;
    EXPECT_EQ(skua_stream_open_over(nullptr, nullptr, nullptr, &stream), -EINVAL);
    EXPECT_EQ(skua_stream_open_over(Script::transport(), &script_, nullptr, nullptr), -EINVAL);
    EXPECT_EQ(skua_stream_open(0, 1, nullptr, nullptr), -EINVAL);
    EXPECT_EQ(skua_stream_open(-1, -1, nullptr, &stream), -EBADF);
    EXPECT_EQ(skua_stream_open(-1, 1 << 20, nullptr, &stream), -EBADF);
    EXPECT_EQ(skua_stream_open(1 << 20, -1, nullptr, &stream), -EBADF);
    EXPECT_EQ(stream, nullptr);
    EXPECT_EQ(script_.closes, 0);
}

TEST_F(StreamCalls, ATransportMayLackAnything)
{
    const skua_stream_transport nothing{};
    skua_stream *stream = nullptr;
    char byte;
    ASSERT_EQ(skua_stream_open_over(&nothing, nullptr, nullptr, &stream), 0);
    EXPECT_EQ(skua_stream_read(stream, &byte, 1), -EBADF);
    EXPECT_EQ(skua_stream_write(stream, "x", 1), 1);
    EXPECT_EQ(skua_stream_flush(stream), -EBADF);
    EXPECT_EQ(skua_stream_abort(stream), 0);
    ASSERT_EQ(skua_stream_open_over(&nothing, nullptr, nullptr, &stream), 0);
    EXPECT_EQ(skua_stream_shutdown_write(stream), -EOPNOTSUPP);
    EXPECT_EQ(skua_stream_close(stream), 0);
}

/* ---- reading --------------------------------------------------------------------------------- */

TEST_F(StreamReader, ASmallReadOfABigMessageIsOneCall)
{
    std::string bytes = patternBytes(1000);
    script_.feed(bytes);
    Stream stream(script_, streamOptions(1024));
    EXPECT_EQ(stream.read(10), bytes.substr(0, 10));
    EXPECT_EQ(stream.buffered(), bytes.substr(10));
    EXPECT_EQ(stream.read(90), bytes.substr(10, 90));
    EXPECT_EQ(stream.readExactly(900), bytes.substr(100));
    EXPECT_EQ(script_.reads.size(), 1u);
}

TEST_F(StreamReader, LargeReadsGoIntoTheCallersMemory)
{
    std::string bytes = patternBytes(5000);
    script_.feed(bytes, 1000);
    Stream stream(script_, streamOptions(64));
    std::string got(5000, '\0');
    EXPECT_EQ(skua_stream_read(stream, &got[0], 5000), 1000);
    EXPECT_EQ(script_.reads.back()[0].iov_base, &got[0]);
    EXPECT_EQ(skua_stream_read_exactly(stream, &got[1000], 4000), 4000);
    EXPECT_EQ(script_.reads.back()[0].iov_base, &got[4000]);
    EXPECT_EQ(script_.reads.size(), 5u);
    EXPECT_EQ(got, bytes);
}

TEST_F(StreamReader, WhatComesAfterALargeReadIsBuffered)
{
    std::string bytes = patternBytes(300);
    script_.feed(bytes, 50);
    script_.input[5].bytes += "tail";
    Stream stream(script_, streamOptions(64));
    EXPECT_EQ(stream.readExactly(300), bytes);
    EXPECT_EQ(stream.buffered(), "tail");
    EXPECT_EQ(script_.reads.size(), 6u);
}

TEST_F(StreamReader, ReadsAllSizesAroundTheBufferInAllPieces)
{
    const size_t buffer = 16;
    for (size_t piece : {1, 2, 15, 16, 17, 31, 33, 1000}) {
        for (size_t size : {1, 2, 15, 16, 17, 31, 32, 33, 100}) {
            for (size_t before : {0, 1, 15, 16, 17}) {
                SCOPED_TRACE(testing::Message() << piece << ' ' << size << ' ' << before);
                Script script;
                std::string bytes = patternBytes(before + size + 5);
                script.feed(bytes, piece);
                Stream stream(script, streamOptions(buffer));
                EXPECT_EQ(stream.readExactly(before), bytes.substr(0, before));
                EXPECT_EQ(stream.readExactly(size), bytes.substr(before, size));
                EXPECT_FALSE(skua_stream_at_eof(stream));
                EXPECT_EQ(stream.readExactly(size + 6), bytes.substr(before + size));
                EXPECT_TRUE(skua_stream_at_eof(stream));
            }
        }
    }
}

TEST_F(StreamReader, FindsSeparatorsThatStraddleRefills)
{
    for (const std::string separator : {"\n", "\r\n", "aab", "\r\n\r\n", "abcabcabd"}) {
        for (size_t piece = 1; piece < 40; piece++) {
            for (size_t before : {0, 1, 14, 15, 16, 17, 40}) {
                SCOPED_TRACE(testing::Message() << separator << ' ' << piece << ' ' << before);
                Script script;
                /* Full of beginnings of the separator, which is then there twice in a row. */
                std::string record;
                while (record.size() < before)
                    record += separator.substr(0, separator.size() - 1) + "x";
                record += separator;
                script.feed(record + separator + "rest", piece);
                Stream stream(script, streamOptions(16, 200));
                EXPECT_EQ(stream.readUntil(separator), record);
                EXPECT_EQ(stream.readUntil(separator), separator);
                EXPECT_EQ(stream.readUntil(separator), std::to_string(-ENODATA));
                EXPECT_EQ(stream.readExactly(100), "rest");
                EXPECT_EQ(stream.readUntil(separator), "0");
            }
        }
    }
}

TEST_F(StreamReader, ARecordOfTheLimitPassesAndOneMoreByteDoesNot)
{
    for (size_t piece : {1, 7, 64, 1000}) {
        Script script;
        std::string fits = std::string(98, 'a') + "\r\n";
        std::string over = std::string(99, 'b') + "\r\n";
        script.feed(fits + over, piece);
        Stream stream(script, streamOptions(16, 100));
        EXPECT_EQ(stream.readUntil("\r\n"), fits);
        EXPECT_EQ(stream.readUntil("\r\n"), std::to_string(-EMSGSIZE)) << piece;
        EXPECT_EQ(stream.readLine(), std::to_string(-EMSGSIZE));
        EXPECT_EQ(skua_stream_consume(stream, 1), 0);
        EXPECT_EQ(stream.readUntil("\r\n"), over.substr(1));
        EXPECT_EQ(stream.readUntil("\r\n"), "0");
    }
}

TEST_F(StreamReader, ALimitBelowTheBufferHoldsToo)
{
    script_.feed(std::string(9, 'a') + "\n" + std::string(10, 'b') + "\n");
    Stream stream(script_, streamOptions(1000, 10));
    EXPECT_EQ(stream.readLine(), "aaaaaaaaa\n");
    EXPECT_EQ(stream.readLine(), std::to_string(-EMSGSIZE));
    EXPECT_EQ(stream.readExactly(11), "bbbbbbbbbb\n");
}

TEST_F(StreamReader, AnEndlessLineIsNotBufferedBeyondTheLimit)
{
    script_.feed(std::string(100000, 'x'));
    Stream stream(script_, streamOptions(16, 1000));
    EXPECT_EQ(stream.readLine(), std::to_string(-EMSGSIZE));
    EXPECT_LE(stream.buffered().size(), 1000u);
}

TEST_F(StreamReader, LinesEndWithANewline)
{
    script_.feed("one\ntwo\r\n\n\r\nthree\rfour\nlast\r", 3);
    Stream stream(script_, streamOptions(4));
    for (const char *line : {"one\n", "two\r\n", "\n", "\r\n", "three\rfour\n", "last\r", "0", "0"})
        EXPECT_EQ(stream.readLine(), line);
}

TEST_F(StreamReader, NextLineTakesTheNewlineOff)
{
    script_.feed("one\ntwo\r\n\n\r\nthree\rfour\nlast\r", 3);
    Stream stream(script_, streamOptions(4));
    for (const char *line : {"one", "two", "", "", "three\rfour", "last\r"}) {
        char *text = nullptr;
        size_t length = 99;
        ASSERT_EQ(skua_stream_next_line(stream, &text, &length), 1);
        EXPECT_STREQ(text, line);
        EXPECT_EQ(length, strlen(line));
    }
    char *text = nullptr;
    size_t length = 99;
    EXPECT_EQ(skua_stream_next_line(stream, &text, &length), 0);
    EXPECT_EQ(text, nullptr);
    EXPECT_EQ(length, 99u);
}

TEST_F(StreamReader, TheLastLineMayFillTheBuffer)
{
    for (size_t size = 1; size < 40; size++) {
        Script script;
        script.feed(std::string(size, 'x'));
        Stream stream(script, streamOptions(16));
        char *text = nullptr;
        ASSERT_EQ(skua_stream_next_line(stream, &text, nullptr), 1);
        EXPECT_EQ(text, std::string(size, 'x')); /* the zero is behind the buffer: see asan */
    }
}

TEST_F(StreamReader, PeekWaitsForSoManyAndConsumesNothing)
{
    script_.feed("abcdefghij", 3);
    Stream stream(script_, streamOptions(4, 8));
    const void *data = nullptr;
    EXPECT_EQ(skua_stream_peek(stream, 0, &data), 0);
    EXPECT_EQ(script_.reads.size(), 0u);
    EXPECT_EQ(skua_stream_peek(stream, 1, &data), 3);
    EXPECT_EQ(memcmp(data, "abc", 3), 0);
    EXPECT_EQ(skua_stream_peek(stream, 9, &data), -EMSGSIZE);
    ASSERT_GE(skua_stream_peek(stream, 8, &data), 8);
    EXPECT_EQ(memcmp(data, "abcdefgh", 8), 0);
    EXPECT_EQ(skua_stream_consume(stream, 11), -EINVAL);
    EXPECT_EQ(skua_stream_consume(stream, 7), 0);
    EXPECT_EQ(memcmp(data, "abcdefgh", 8), 0); /* still there */
    EXPECT_EQ(skua_stream_peek(stream, 5, nullptr), 3);
    EXPECT_EQ(stream.buffered(), "hij");
    EXPECT_EQ(skua_stream_consume(stream, 3), 0);
    EXPECT_TRUE(skua_stream_at_eof(stream));
}

/* What each call says at the end, with @left bytes left. */
TEST_F(StreamReader, TheEndIsToldByEveryCall)
{
    for (const std::string left : {"", "abc"}) {
        for (int call = 0; call < 6; call++) {
            SCOPED_TRACE(testing::Message() << left << ' ' << call);
            Script script;
            script.feed(left);
            Stream stream(script, streamOptions(16));
            char *text = nullptr;
            std::string nothing = left.empty() ? "0" : left;
            switch (call) {
            case 0:
                EXPECT_EQ(stream.read(10), left);
                break;
            case 1:
                EXPECT_EQ(stream.readExactly(10), left);
                break;
            case 2:
                EXPECT_EQ(stream.readExactly(100), left);
                break;
            case 3:
                EXPECT_EQ(stream.readLine(), nothing);
                break;
            case 4:
                EXPECT_EQ(skua_stream_next_line(stream, &text, nullptr), left.empty() ? 0 : 1);
                break;
            default:
                EXPECT_EQ(stream.readUntil("ab?"), left.empty() ? "0" : std::to_string(-ENODATA));
                EXPECT_EQ(skua_stream_peek(stream, 4, nullptr), ssize_t(left.size()));
                EXPECT_EQ(skua_stream_at_eof(stream), left.empty());
                EXPECT_EQ(stream.read(10), left);
            }
            EXPECT_EQ(stream.read(10), "");
            EXPECT_TRUE(skua_stream_at_eof(stream));
        }
    }
}

TEST_F(StreamReader, TheEndIsKeptUntilItIsForgotten)
{
    script_.feed("a");
    Stream stream(script_);
    EXPECT_EQ(stream.readExactly(2), "a");
    script_.feed("b");
    EXPECT_EQ(stream.read(2), "");
    EXPECT_EQ(stream.readLine(), "0");
    EXPECT_TRUE(skua_stream_at_eof(stream));
    EXPECT_EQ(script_.reads.size(), 2u);
    EXPECT_EQ(skua_stream_clear_eof(stream), 0);
    EXPECT_FALSE(skua_stream_at_eof(stream));
    EXPECT_EQ(stream.read(2), "b");
}

TEST_F(StreamReader, AnErrorStaysBehindTheBytesBeforeIt)
{
    script_.feed("abc");
    script_.input.push_back({"", -ECONNRESET});
    script_.feed("never");
    Stream stream(script_, streamOptions(16));
    EXPECT_EQ(stream.readExactly(5), std::to_string(-ECONNRESET));
    EXPECT_EQ(stream.readLine(), std::to_string(-ECONNRESET));
    EXPECT_EQ(stream.readExactly(50), std::to_string(-ECONNRESET));
    EXPECT_EQ(skua_stream_peek(stream, 4, nullptr), -ECONNRESET);
    EXPECT_FALSE(skua_stream_at_eof(stream));
    EXPECT_EQ(stream.read(2), "ab");
    EXPECT_EQ(stream.readExactly(1), "c");
    EXPECT_EQ(stream.read(2), std::to_string(-ECONNRESET));
    EXPECT_EQ(script_.reads.size(), 2u);
    EXPECT_EQ(stream.write("x"), 1);
    EXPECT_EQ(skua_stream_flush(stream), 0);
}

TEST_F(StreamReader, APassingErrorLosesNothing)
{
    for (int error : {-ECANCELED, -ETIMEDOUT, -ENOMEM, -ENOBUFS}) {
        for (size_t size : {4, 8, 40}) { /* through the buffer, and past it */
            for (size_t first : {1, 3, 20}) {
                SCOPED_TRACE(testing::Message() << error << ' ' << size << ' ' << first);
                Script script;
                std::string bytes = patternBytes(60);
                script.feed(bytes.substr(0, first));
                script.input.push_back({"", error});
                script.feed(bytes.substr(first), 7);
                Stream stream(script, streamOptions(8));
                if (first < size) {
                    EXPECT_EQ(stream.readExactly(size), std::to_string(error));
                    EXPECT_EQ(stream.buffered(), bytes.substr(0, first));
                }
                if (first >= size)
                    script.input.erase(script.input.begin() + 1);
                EXPECT_EQ(stream.readExactly(60), bytes);
            }
        }
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

TEST_F(StreamWriter, BuffersUntilTheFlush)
{
    Stream stream(script_, writeOptions(16));
    EXPECT_EQ(stream.write("hello "), 6);
    EXPECT_EQ(stream.write(""), 0);
    EXPECT_EQ(stream.write("world"), 5);
    EXPECT_TRUE(script_.writes.empty());
    EXPECT_EQ(skua_stream_pending(stream), 11);
    EXPECT_EQ(skua_stream_flush(stream), 0);
    EXPECT_EQ(script_.written, "hello world");
    EXPECT_EQ(script_.writes.size(), 1u);
    EXPECT_EQ(skua_stream_flush(stream), 0);
    EXPECT_EQ(script_.writes.size(), 1u);
}

TEST_F(StreamWriter, OverTheHighMarkItSendsUntilTheLowOne)
{
    Stream stream(script_, writeOptions(16, 4));
    script_.output = {5, 5, 5};
    EXPECT_EQ(stream.write("0123456789abcdef"), 16);
    EXPECT_TRUE(script_.writes.empty());
    EXPECT_EQ(stream.write("g"), 1);
    EXPECT_EQ(script_.written, "0123456789abcde");
    EXPECT_EQ(skua_stream_pending(stream), 2);
    EXPECT_EQ(skua_stream_flush(stream), 0);
    EXPECT_EQ(script_.written, "0123456789abcdefg");
}

TEST_F(StreamWriter, LargeDataGoesFromTheCallersMemoryInOneCall)
{
    Stream stream(script_, writeOptions(16));
    std::string bytes = patternBytes(1000);
    EXPECT_EQ(stream.write("head"), 4);
    EXPECT_EQ(stream.write(bytes), 1000);
    ASSERT_EQ(script_.writes.size(), 1u);
    ASSERT_EQ(script_.writes[0].size(), 2u);
    EXPECT_EQ(script_.writes[0][1].iov_base, bytes.data());
    EXPECT_EQ(script_.written, "head" + bytes);
    EXPECT_EQ(skua_stream_pending(stream), 0);
}

TEST_F(StreamWriter, WritesAllSizesAroundTheMarksWhateverIsTaken)
{
    for (ssize_t most : {1, 3, 15, 16, 17, 100}) {
        for (size_t first : {0, 1, 15, 16, 17}) {
            for (size_t second : {0, 1, 2, 15, 16, 17, 50}) {
                SCOPED_TRACE(testing::Message() << most << ' ' << first << ' ' << second);
                Script script;
                script.output.assign(200, most);
                Stream stream(script, writeOptions(16, 5));
                std::string bytes = patternBytes(first + second);
                EXPECT_EQ(stream.write(bytes.substr(0, first)), ssize_t(first));
                EXPECT_LE(skua_stream_pending(stream), 16);
                EXPECT_EQ(stream.write(bytes.substr(first)), ssize_t(second));
                EXPECT_LE(skua_stream_pending(stream), 16);
                EXPECT_EQ(skua_stream_flush(stream), 0);
                EXPECT_EQ(script.written, bytes);
            }
        }
    }
}

TEST_F(StreamWriter, WritesManyBuffersSomeOfThemEmpty)
{
    for (ssize_t most : {1, 4, 7, 100}) {
        Script script;
        script.output.assign(500, most);
        Stream stream(script, writeOptions(8));
        std::string bytes = patternBytes(200);
        std::vector<iovec> iov;
        for (size_t at = 0, size = 0; at < bytes.size(); at += size, size = (size + 3) % 8) {
            size = std::min(size, bytes.size() - at);
            iov.push_back({size > 0 ? &bytes[at] : nullptr, size});
        }
        ASSERT_GT(iov.size(), 40u);
        EXPECT_EQ(skua_stream_writev(stream, iov.data(), unsigned(iov.size())), 200);
        EXPECT_EQ(skua_stream_flush(stream), 0);
        EXPECT_EQ(script.written, bytes);
    }
}

TEST_F(StreamWriter, AnErrorSaysHowManyWereTakenAndStays)
{
    Stream stream(script_, writeOptions(8, 2));
    script_.output = {5, 3, -EPIPE};
    EXPECT_EQ(stream.write("abcd"), 4);
    EXPECT_EQ(stream.write("efghijklmnop"), 4);
    EXPECT_EQ(script_.written, "abcdefgh");
    EXPECT_EQ(stream.write("x"), -EPIPE);
    EXPECT_EQ(skua_stream_printf(stream, "x"), -EPIPE);
    EXPECT_EQ(skua_stream_flush(stream), 0); /* there is nothing to send */
    EXPECT_EQ(skua_stream_shutdown_write(stream), -EPIPE);
    EXPECT_EQ(script_.writes.size(), 3u);
    script_.feed("still reads");
    EXPECT_EQ(stream.read(20), "still reads");
    EXPECT_EQ(stream.close(), 0);
}

TEST_F(StreamWriter, APassingErrorLosesNothing)
{
    for (int error : {-ECANCELED, -ETIMEDOUT, -ENOMEM, -ENOBUFS}) {
        for (size_t turns = 0; turns < 12; turns++) {
            Script script;
            Stream stream(script, writeOptions(8, 2));
            script.output.assign(turns, 3);
            script.output.push_back(error);
            std::string bytes = patternBytes(30);
            size_t taken = 0;
            ASSERT_EQ(stream.write(bytes.substr(0, 6)), 6);
            ssize_t n = stream.write(bytes.substr(6));
            EXPECT_TRUE(n == error || n > 0) << n;
            taken = 6 + (n > 0 ? size_t(n) : 0);
            (void)skua_stream_flush(stream);
            EXPECT_EQ(skua_stream_flush(stream), 0);
            EXPECT_EQ(script.written, bytes.substr(0, taken));
            EXPECT_EQ(stream.write(bytes.substr(taken)), ssize_t(bytes.size() - taken));
            EXPECT_EQ(skua_stream_flush(stream), 0);
            EXPECT_EQ(script.written, bytes) << turns;
        }
    }
}

TEST_F(StreamWriter, ATransportThatTakesNothingIsAnError)
{
    Stream stream(script_);
    script_.output = {0};
    EXPECT_EQ(stream.write("x"), 1);
    EXPECT_EQ(skua_stream_flush(stream), -EIO);
    EXPECT_EQ(stream.close(), -EIO);
}

TEST_F(StreamWriter, PrintsWhatFitsAndWhatDoesNot)
{
    for (int width : {1, 7, 8, 9, 100}) {
        for (size_t before : {0, 1, 7, 8}) {
            Script script;
            Stream stream(script, writeOptions(8, 2));
            std::string head(before, 'h');
            EXPECT_EQ(stream.write(head), ssize_t(before));
            EXPECT_EQ(skua_stream_printf(stream, "%*d", width, 5), width);
            EXPECT_EQ(skua_stream_printf(stream, "%s", ""), 0);
            EXPECT_EQ(stream.write("tail"), 4);
            EXPECT_EQ(skua_stream_flush(stream), 0);
            EXPECT_EQ(script.written, head + std::string(width - 1, ' ') + "5tail")
                << width << ' ' << before;
        }
    }
}

TEST_F(StreamWriter, AFailedPrintTakesNothing)
{
    Stream stream(script_, writeOptions(8, 2));
    EXPECT_EQ(stream.write("123456"), 6);
    script_.output = {2, -ETIMEDOUT};
    EXPECT_EQ(skua_stream_printf(stream, "%s", "abcdefghij"), -ETIMEDOUT);
    EXPECT_EQ(skua_stream_pending(stream), 4);
    EXPECT_EQ(skua_stream_flush(stream), 0);
    EXPECT_EQ(script_.written, "123456");
}

TEST_F(StreamWriter, ShutdownFlushesFirst)
{
    Stream stream(script_);
    script_.output = {-ETIMEDOUT};
    EXPECT_EQ(stream.write("last"), 4);
    EXPECT_EQ(skua_stream_shutdown_write(stream), -ETIMEDOUT);
    EXPECT_EQ(script_.shutdowns, 0);
    EXPECT_EQ(skua_stream_shutdown_write(stream), 0);
    EXPECT_EQ(script_.written, "last");
    EXPECT_EQ(script_.shutdowns, 1);
    EXPECT_EQ(skua_stream_shutdown_write(stream), -EPIPE);
    EXPECT_EQ(stream.write("x"), -EPIPE);
    EXPECT_EQ(stream.close(), 0);
    EXPECT_EQ(script_.closes, 1);
}

TEST_F(StreamWriter, CloseFlushesAndTellsAndAbortDrops)
{
    {
        Stream stream(script_);
        EXPECT_EQ(stream.write("one"), 3);
        EXPECT_EQ(stream.close(), 0);
    }
    {
        Stream stream(script_);
        script_.output = {-ECONNRESET};
        EXPECT_EQ(stream.write("two"), 3);
        EXPECT_EQ(stream.close(), -ECONNRESET);
    }
    {
        Stream stream(script_);
        EXPECT_EQ(stream.write("three"), 5);
    }
    EXPECT_EQ(script_.written, "one");
    EXPECT_EQ(script_.closes, 3);
}

/* ---- copying --------------------------------------------------------------------------------- */

TEST_F(StreamCalls, CopyMovesAllOrTheLimit)
{
    for (uint64_t limit : {uint64_t{0}, uint64_t{1}, uint64_t{64}, uint64_t{65}, UINT64_MAX}) {
        Script to_script;
        Script from_script;
        std::string bytes = patternBytes(1000);
        from_script.feed(bytes, 70);
        Stream from(from_script, streamOptions(64));
        Stream to(to_script, writeOptions(16));
        EXPECT_EQ(from.readExactly(1), bytes.substr(0, 1));
        EXPECT_EQ(to.write("head"), 4);
        to_script.output.assign(20, 11);
        uint64_t copied = 99;
        EXPECT_EQ(skua_stream_copy(from, to, limit, &copied), 0);
        size_t expected = size_t(std::min<uint64_t>(limit, 999));
        EXPECT_EQ(copied, expected);
        EXPECT_EQ(to_script.written, "head" + bytes.substr(1, expected));
        EXPECT_EQ(from.readExactly(2000), bytes.substr(1 + expected));
    }
}

TEST_F(StreamCalls, AFailedCopyLosesNothing)
{
    for (int turns = 0; turns < 10; turns++) {
        Script to_script;
        Script from_script;
        std::string bytes = patternBytes(100);
        from_script.feed(bytes.substr(0, 50), 20);
        from_script.input.push_back({"", -ETIMEDOUT});
        from_script.feed(bytes.substr(50), 20);
        to_script.output.assign(turns, 9); /* 12 in all */
        to_script.output.push_back(-ECANCELED);
        Stream from(from_script, streamOptions(32));
        Stream to(to_script);
        uint64_t copied = 0;
        uint64_t total = 0;
        int failures = 0;
        while (skua_stream_copy(from, to, UINT64_MAX, &copied) < 0 && failures++ < 5)
            total += copied;
        total += copied;
        EXPECT_EQ(failures, 2);
        EXPECT_EQ(total, 100u);
        EXPECT_EQ(to_script.written, bytes);
    }
}

TEST_F(StreamCalls, AStreamCopiedToItselfIsAnEcho)
{
    script_.feed(patternBytes(500), 33);
    Stream stream(script_, streamOptions(64));
    EXPECT_EQ(skua_stream_copy(stream, stream, UINT64_MAX, nullptr), 0);
    EXPECT_EQ(script_.written, patternBytes(500));
}

TEST_F(StreamCalls, CopyTellsTheErrorOfEitherSide)
{
    Script to_script;
    script_.feed("abc");
    script_.input.push_back({"", -EIO});
    Stream from(script_);
    Stream to(to_script);
    uint64_t copied = 0;
    EXPECT_EQ(skua_stream_copy(from, to, UINT64_MAX, &copied), -EIO);
    EXPECT_EQ(copied, 3u);
    EXPECT_EQ(to_script.written, "abc");
    EXPECT_EQ(skua_stream_shutdown_write(to), 0);
    EXPECT_EQ(skua_stream_copy(from, to, UINT64_MAX, &copied), -EPIPE);
    EXPECT_EQ(copied, 0u);
}

} /* namespace */
