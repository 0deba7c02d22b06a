/*
 * support/stream_model.h - what a stream of known bytes must answer to any reading call.
 *
 * The model knows all the bytes and how many were consumed; it makes a call that somebody's random
 * numbers choose, and compares. Errors that pass may come at any time and change nothing.
 */
#ifndef SKUA_TESTS_STREAM_MODEL_H
#define SKUA_TESTS_STREAM_MODEL_H

#include "support/stream_kit.h"

namespace skua_test
{

class StreamModel
{
  public:
    using Random = std::function<uint64_t(uint64_t)>; /* a number below its argument */

    StreamModel(skua_stream *stream, std::string bytes, size_t limit, size_t buffer, Random random)
        : stream_(stream), bytes_(std::move(bytes)), limit_(limit), buffer_(buffer),
          random_(std::move(random))
    {
    }

    /* Text in which separators are found, and nearly found, all the time. */
    static std::string text(size_t size, const Random &random)
    {
        std::string made;
        while (made.size() < size)
            made += random(12) > 0 ? "ab\r\n"[random(4)] : 'x';
        return made;
    }

    size_t consumed() const
    {
        return at_;
    }
    bool isOver() const
    {
        return at_ == bytes_.size();
    }

    /* One call. Its error, if that is one that passes; else 0. */
    int step()
    {
        switch (random_(7)) {
        case 0:
            return read(size());
        case 1:
            return readExactly(size());
        case 2:
            return readUntil();
        case 3:
            return readLine();
        case 4:
            return nextLine();
        case 5:
            return peek(size());
        default:
            return consume();
        }
    }

    /* At the end: that it is one. */
    void expectEnd()
    {
        char byte;
        EXPECT_TRUE(isOver());
        EXPECT_EQ(skua_stream_read(stream_, &byte, 1), 0);
        EXPECT_TRUE(skua_stream_at_eof(stream_));
    }

  private:
    static bool passes(ssize_t n)
    {
        return n == -ECANCELED || n == -ETIMEDOUT || n == -ENOMEM || n == -ENOBUFS;
    }

    size_t left() const
    {
        return bytes_.size() - at_;
    }

    /* Mostly around the sizes where something changes. */
    size_t size()
    {
        size_t sizes[] = {1, buffer_, limit_, 2 * buffer_, 3 * limit_};
        size_t about = sizes[random_(5)];
        return random_(3) == 0 ? random_(about + 1)
                               : about + random_(3) - std::min(about, size_t{1});
    }

    int take(const void *data, ssize_t n)
    {
        EXPECT_EQ(std::string(static_cast<const char *>(data), size_t(n)),
                  bytes_.substr(at_, size_t(n)));
        at_ += size_t(n);
        return 0;
    }

    int read(size_t size)
    {
        std::string got(size, '\0');
        ssize_t n = skua_stream_read(stream_, &got[0], size);
        if (passes(n))
            return int(n);
        EXPECT_GE(n, size > 0 && left() > 0 ? 1 : 0);
        EXPECT_LE(n, ssize_t(std::min(size, left())));
        return n < 0 ? int(n) : take(got.data(), n);
    }

    int readExactly(size_t size)
    {
        std::string got(size, '\0');
        ssize_t n = skua_stream_read_exactly(stream_, &got[0], size);
        if (passes(n))
            return int(n);
        EXPECT_EQ(n, ssize_t(std::min(size, left())));
        return n < 0 ? int(n) : take(got.data(), n);
    }

    /* What a call for @separator must return; @rest: if there is none before the end. */
    ssize_t expected(const std::string &separator, ssize_t rest) const
    {
        size_t found = bytes_.find(separator, at_);
        size_t needed = found == std::string::npos ? left() + 1 : found - at_ + separator.size();
        if (needed > limit_)
            return -EMSGSIZE;
        if (found != std::string::npos)
            return ssize_t(needed);
        return left() == 0 ? 0 : rest;
    }

    int readUntil()
    {
        static const char *const separators[] = {"\n", "\r\n", "ab", "aba", "abab\r", "x", "zz"};
        std::string separator = separators[random_(7)];
        const void *data = nullptr;
        ssize_t n = skua_stream_read_until(stream_, separator.data(), separator.size(), &data);
        if (passes(n))
            return int(n);
        EXPECT_EQ(n, expected(separator, -ENODATA));
        return n > 0 ? take(data, n) : 0;
    }

    int readLine()
    {
        const char *line = nullptr;
        ssize_t n = skua_stream_read_line(stream_, &line);
        if (passes(n))
            return int(n);
        EXPECT_EQ(n, expected("\n", ssize_t(left())));
        return n > 0 ? take(line, n) : 0;
    }

    int nextLine()
    {
        char *line = nullptr;
        size_t length = 0;
        int rc = skua_stream_next_line(stream_, &line, &length);
        if (passes(rc))
            return rc;
        ssize_t whole = expected("\n", ssize_t(left()));
        EXPECT_EQ(rc, whole > 0 ? 1 : whole);
        if (rc <= 0)
            return 0;
        std::string text = bytes_.substr(at_, size_t(whole));
        if (text.back() == '\n') {
            text.pop_back();
            if (!text.empty() && text.back() == '\r')
                text.pop_back();
        }
        EXPECT_EQ(std::string(line, length), text);
        EXPECT_EQ(line[length], '\0');
        at_ += size_t(whole);
        return 0;
    }

    int peek(size_t min)
    {
        const void *data = nullptr;
        ssize_t n = skua_stream_peek(stream_, min, &data);
        if (passes(n))
            return int(n);
        if (min > std::max(limit_, buffer_)) {
            EXPECT_EQ(n, -EMSGSIZE);
            return 0;
        }
        EXPECT_GE(n, ssize_t(std::min(min, left())));
        EXPECT_LE(n, ssize_t(left()));
        size_t held = n > 0 ? size_t(n) : 0;
        EXPECT_EQ(std::string(static_cast<const char *>(data), held), bytes_.substr(at_, held));
        return 0;
    }

    int consume()
    {
        ssize_t held = skua_stream_peek(stream_, 0, nullptr);
        EXPECT_GE(held, 0);
        size_t part = random_(uint64_t(std::max(held, ssize_t{0})) + 1);
        EXPECT_EQ(skua_stream_consume(stream_, size_t(held) + 1), -EINVAL);
        EXPECT_EQ(skua_stream_consume(stream_, part), 0);
        at_ += part;
        return 0;
    }

    skua_stream *stream_;
    std::string bytes_;
    size_t limit_;
    size_t buffer_;
    Random random_;
    size_t at_ = 0;
};

} /* namespace skua_test */

#endif /* SKUA_TESTS_STREAM_MODEL_H */
