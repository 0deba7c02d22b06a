/*
 * Cancels every call of skua/stream.h that waits, at every moment of it (support/cancel_sweep.h).
 * NOTHING IS LOST, as the header says: what a reading call did not return is read by the next one,
 * and what a writing call took, and nothing else, arrives once the stream is flushed.
 */
#include "support/cancel_sweep.h"
#include "support/stream_kit.h"

#include <string>
#include <vector>

using namespace skua_test;

namespace
{

class StreamCancel : public SweepTest
{
};

INSTANTIATE_TEST_SUITE_P(At, StreamCancel, everyPace(), PaceName());

/* ---- reading --------------------------------------------------------------------------------- */

/* Reads something and appends it to *@consumed; returns what the stream returned. */
using Read = intptr_t (*)(skua_stream *stream, std::string *consumed);

template <size_t Size> intptr_t readSome(skua_stream *stream, std::string *consumed)
{
    char buffer[Size];
    ssize_t n = skua_stream_read(stream, buffer, sizeof(buffer));
    if (n > 0)
        consumed->append(buffer, static_cast<size_t>(n));
    return n;
}

template <size_t Size> intptr_t readExactly(skua_stream *stream, std::string *consumed)
{
    char buffer[Size];
    ssize_t n = skua_stream_read_exactly(stream, buffer, sizeof(buffer));
    if (n > 0)
        consumed->append(buffer, static_cast<size_t>(n));
    return n;
}

intptr_t readUntilEnd(skua_stream *stream, std::string *consumed)
{
    const void *data = nullptr;
    ssize_t n = skua_stream_read_until(stream, "END", 3, &data);
    if (n > 0)
        consumed->append(static_cast<const char *>(data), static_cast<size_t>(n));
    return n;
}

intptr_t readTwoLines(skua_stream *stream, std::string *consumed)
{
    ssize_t n = 0;
    for (int i = 0; i < 2; i++) {
        const char *line = nullptr;
        n = skua_stream_read_line(stream, &line);
        if (n <= 0)
            return n;
        consumed->append(line, static_cast<size_t>(n));
    }
    return n;
}

intptr_t nextLine(skua_stream *stream, std::string *consumed)
{
    char *line = nullptr;
    size_t length = 0;
    int rc = skua_stream_next_line(stream, &line, &length);
    if (rc == 1) {
        consumed->append(line, length);
        consumed->append("\n");
    }
    return rc;
}

intptr_t peek(skua_stream *stream, std::string *)
{
    return skua_stream_peek(stream, 400, nullptr);
}

/* Five pieces without a bound in common with what is read. */
class Reading : public Scenario
{
  public:
    Reading(Read read, unsigned flags) : read_(read)
    {
        skua_stream_options options = streamOptions(64, 1000);
        options.flags = flags;
        EXPECT_EQ(skua_stream_open(wire_.take(0), -1, &options, &stream_), 0);
    }
    ~Reading() override
    {
        EXPECT_EQ(skua_stream_abort(stream_), 0);
    }

    intptr_t call() override
    {
        return read_(stream_, &consumed_);
    }

    bool step() override
    {
        if (sent_ == kPieces)
            return false;
        wire_.put(bytes().substr(sent_++ * kPiece, kPiece));
        return true;
    }

    void check(intptr_t result) override
    {
        EXPECT_TRUE(result > 0 || result == -ECANCELED) << result;
        while (step()) {
        }
        SocketPair::closeEnd(wire_.ends[1]);
        char buffer[100];
        ssize_t n;
        while ((n = skua_stream_read(stream_, buffer, sizeof(buffer))) > 0)
            consumed_.append(buffer, static_cast<size_t>(n));
        EXPECT_EQ(n, 0);
        EXPECT_TRUE(consumed_ == bytes()) << consumed_;
    }

  private:
    static constexpr size_t kPieces = 5;
    static constexpr size_t kPiece = 100;

    /* Lines of 170 bytes, and an END before the last piece. */
    static const std::string &bytes()
    {
        static const std::string all = [] {
            std::string made;
            for (int i = 0; made.size() < kPieces * kPiece; i++)
                made += i % 170 == 169 ? '\n' : static_cast<char>('a' + i * 7 % 26);
            made.replace(kPieces * kPiece - 110, 3, "END");
            return made;
        }();
        return all;
    }

    const Read read_;
    SocketPair wire_;
    skua_stream *stream_ = nullptr;
    std::string consumed_;
    size_t sent_ = 0;
};

TEST_P(StreamCancel, WhatAReadDidNotReturnIsReadNext)
{
    for (unsigned flags : {0u, SKUA_STREAM_LEAN}) {
        sweep<Reading>(readSome<300>, flags);
        sweep<Reading>(readExactly<50>, flags);
        sweep<Reading>(readExactly<450>, flags); /* larger than the buffer */
        sweep<Reading>(peek, flags);
    }
}

TEST_P(StreamCancel, ALineThatHasNotComeYetIsReadNext)
{
    for (unsigned flags : {0u, SKUA_STREAM_LEAN}) {
        sweep<Reading>(readUntilEnd, flags);
        sweep<Reading>(readTwoLines, flags);
        sweep<Reading>(nextLine, flags);
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

/* A stream to a peer that takes bytes step by step; at first there is no room. */
class FullStream
{
  public:
    FullStream()
    {
        int size = 4096;
        EXPECT_EQ(setsockopt(wire_.ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
        std::string block(200, 'x');
        while (send(wire_.ends[0], block.data(), block.size(), MSG_DONTWAIT) > 0)
            filled_ += block.size();
        skua_stream_options options = writeOptions(256);
        EXPECT_EQ(skua_stream_open(-1, wire_.take(0), &options, &stream_), 0);
    }
    ~FullStream()
    {
        EXPECT_EQ(skua_stream_abort(stream_), 0);
    }

    skua_stream *get() const
    {
        return stream_;
    }
    /* Who calls it closes the stream. */
    skua_stream *give()
    {
        return std::exchange(stream_, nullptr);
    }
    bool take()
    {
        std::string bytes(1000, '\0');
        ssize_t n = recv(wire_.ends[1], &bytes[0], bytes.size(), MSG_DONTWAIT);
        if (n > 0)
            arrived_ += bytes.substr(0, static_cast<size_t>(n));
        return n > 0;
    }
    /* Flushes while the peer goes on, and closes: all that arrived. */
    std::string all()
    {
        auto flush = [&]() -> intptr_t { return stream_ ? skua_stream_flush(stream_) : 0; };
        skua_future *flushed = spawnBody(flush);
        EXPECT_TRUE(yieldUntil([&] {
            (void)take();
            return skua_future_peek(flushed, nullptr) == 0;
        }));
        EXPECT_EQ(skua_await(flushed), 0);
        EXPECT_EQ(skua_stream_close(give()), 0);
        while (take()) {
        }
        EXPECT_GE(arrived_.size(), filled_);
        return arrived_.size() < filled_ ? "" : arrived_.substr(filled_);
    }

  private:
    SocketPair wire_;
    skua_stream *stream_ = nullptr;
    size_t filled_ = 0;
    std::string arrived_;
};

/* Writes @bytes; returns how many were taken, or an error if none was. */
using Write = intptr_t (*)(skua_stream *stream, const std::string &bytes);

intptr_t write(skua_stream *stream, const std::string &bytes)
{
    return skua_stream_write(stream, bytes.data(), bytes.size());
}

intptr_t writeInParts(skua_stream *stream, const std::string &bytes)
{
    auto *data = const_cast<char *>(bytes.data());
    size_t half = bytes.size() / 2;
    iovec iov[] = {{data, 100}, {data + 100, half - 100}, {data + half, bytes.size() - half}};
    return skua_stream_writev(stream, iov, 3);
}

intptr_t print(skua_stream *stream, const std::string &bytes)
{
    return skua_stream_printf(stream, "%s", bytes.c_str());
}

intptr_t writeInManyCalls(skua_stream *stream, const std::string &bytes)
{
    intptr_t taken = 0;
    while (static_cast<size_t>(taken) < bytes.size()) {
        size_t piece = std::min(size_t{90}, bytes.size() - static_cast<size_t>(taken));
        ssize_t n = skua_stream_write(stream, bytes.data() + taken, piece);
        if (n <= 0)
            return taken > 0 ? taken : n;
        taken += n;
    }
    return taken;
}

class Writing : public Scenario
{
  public:
    Writing(Write write, size_t size) : write_(write)
    {
        for (size_t i = 0; i < size; i++)
            bytes_ += static_cast<char>('a' + i * i % 23);
    }

    intptr_t call() override
    {
        return write_(stream_.get(), bytes_);
    }

    bool step() override
    {
        return stream_.take();
    }

    void check(intptr_t result) override
    {
        EXPECT_TRUE(result > 0 || result == -ECANCELED) << result;
        std::string all = stream_.all();
        EXPECT_EQ(all.size(), result > 0 ? static_cast<size_t>(result) : 0);
        EXPECT_TRUE(all == bytes_.substr(0, all.size()));
    }

  private:
    const Write write_;
    std::string bytes_;
    FullStream stream_;
};

TEST_P(StreamCancel, WhatAWriteHasTakenArrivesAndNothingElse)
{
    sweepWithPeer<Writing>(write, size_t{10000});
    sweepWithPeer<Writing>(writeInParts, size_t{10000});
    sweepWithPeer<Writing>(writeInManyCalls, size_t{3000});
    sweepWithPeer<Writing>(print, size_t{3000});
}

/* What was written before is flushed by the call, all of it or some; no byte twice. */
enum class Ending { flush, shutdown, close };

class Flushing : public Scenario
{
  public:
    explicit Flushing(Ending ending) : ending_(ending)
    {
        EXPECT_EQ(skua_stream_write(stream_.get(), kBytes.data(), kBytes.size()),
                  static_cast<ssize_t>(kBytes.size()));
    }

    intptr_t call() override
    {
        began_ = true;
        if (ending_ == Ending::flush)
            return skua_stream_flush(stream_.get());
        if (ending_ == Ending::shutdown)
            return skua_stream_shutdown_write(stream_.get());
        return skua_stream_close(stream_.give());
    }

    bool step() override
    {
        return stream_.take();
    }

    void check(intptr_t result) override
    {
        EXPECT_TRUE(result == 0 || result == -ECANCELED) << result;
        std::string all = stream_.all();
        if (ending_ == Ending::close && began_ && result == -ECANCELED)
            EXPECT_TRUE(all == kBytes.substr(0, all.size())); /* the others are dropped */
        else
            EXPECT_EQ(all, kBytes);
    }

  private:
    static inline const std::string kBytes = std::string(250, 'f');

    const Ending ending_;
    FullStream stream_;
    bool began_ = false;
};

TEST_P(StreamCancel, AFlushThatIsCutShortIsGoneOnWith)
{
    for (Ending ending : {Ending::flush, Ending::shutdown, Ending::close})
        sweep<Flushing>(ending);
}

/* ---- copying --------------------------------------------------------------------------------- */

class Copying : public Scenario
{
  public:
    Copying()
    {
        skua_stream_options options = streamOptions(kPiece); /* more than there is room for */
        EXPECT_EQ(skua_stream_open(wire_.take(0), -1, &options, &from_), 0);
    }
    ~Copying() override
    {
        EXPECT_EQ(skua_stream_abort(from_), 0);
    }

    intptr_t call() override
    {
        return skua_stream_copy(from_, to_.get(), kLimit, &copied_);
    }

    bool step() override
    {
        bool fed = false;
        if (sent_ < kBytes.size()) {
            wire_.put(kBytes.substr(sent_, kPiece));
            sent_ += kPiece;
            fed = true;
        }
        return to_.take() || fed;
    }

    void check(intptr_t result) override
    {
        EXPECT_TRUE(result == 0 || result == -ECANCELED) << result;
        if (result == 0) {
            EXPECT_EQ(copied_, kLimit);
        }
        while (sent_ < kBytes.size())
            (void)step();
        SocketPair::closeEnd(wire_.ends[1]);
        std::string rest;
        char buffer[100];
        ssize_t n;
        while ((n = skua_stream_read(from_, buffer, sizeof(buffer))) > 0)
            rest.append(buffer, static_cast<size_t>(n));
        EXPECT_EQ(n, 0);
        std::string all = to_.all();
        EXPECT_EQ(all.size(), copied_);
        EXPECT_TRUE(all + rest == kBytes) << all.size() << " copied, " << rest.size() << " left";
    }

  private:
    static constexpr size_t kPiece = 10000;
    static constexpr uint64_t kLimit = 25000;
    static inline const std::string kBytes = patternBytes(3 * kPiece);

    SocketPair wire_;
    skua_stream *from_ = nullptr;
    FullStream to_;
    size_t sent_ = 0;
    uint64_t copied_ = 0;
};

TEST_P(StreamCancel, ACopyHasTakenWhatItSaysAndLeavesTheRest)
{
    sweepWithPeer<Copying>();
}

} // namespace
