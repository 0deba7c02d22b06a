/*
 * support/stream_kit.h - what tests of streams share: streams with an end, socket pairs, and a
 * transport that does what a script says.
 */
#ifndef SKUA_TESTS_STREAM_KIT_H
#define SKUA_TESTS_STREAM_KIT_H

#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <algorithm>
#include <deque>
#include <linux/sockios.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace skua_test
{

/* Bytes that tell where they belong: no two places near each other look alike. */
inline std::string patternBytes(size_t size, uint32_t seed = 1)
{
    std::string bytes(size, '\0');
    uint32_t state = seed * 2654435761u + 1;
    for (char &byte : bytes) {
        state = state * 1664525u + 1013904223u;
        byte = static_cast<char>(state >> 24);
    }
    return bytes;
}

/* A transport that reads what it is given and keeps what is written. */
struct Script {
    struct Step {
        std::string bytes;
        ssize_t error; /* 0: the end, if there are no bytes */
    };
    std::deque<Step> input;     /* after the last step: the end */
    std::deque<ssize_t> output; /* of each write: the most it takes, or -errno; after that: all */
    std::string written;
    std::vector<std::vector<iovec>> reads;
    std::vector<std::vector<iovec>> writes;
    int shutdowns = 0;
    int closes = 0;

    void feed(const std::string &bytes, size_t piece = SIZE_MAX)
    {
        for (size_t at = 0; at < bytes.size(); at += std::min(piece, bytes.size() - at))
            input.push_back({bytes.substr(at, piece), 0});
    }

    ssize_t read(const iovec *iov, unsigned count)
    {
        reads.emplace_back(iov, iov + count);
        if (input.empty())
            return 0;
        Step &step = input.front();
        if (step.bytes.empty()) {
            ssize_t error = step.error;
            input.pop_front();
            return error;
        }
        size_t done = 0;
        for (unsigned i = 0; i < count && done < step.bytes.size(); i++) {
            size_t part = std::min(iov[i].iov_len, step.bytes.size() - done);
            step.bytes.copy(static_cast<char *>(iov[i].iov_base), part, done);
            done += part;
        }
        step.bytes.erase(0, done);
        if (step.bytes.empty())
            input.pop_front();
        return static_cast<ssize_t>(done);
    }

    ssize_t write(const iovec *iov, unsigned count)
    {
        writes.emplace_back(iov, iov + count);
        size_t most = SIZE_MAX;
        if (!output.empty()) {
            ssize_t step = output.front();
            output.pop_front();
            if (step < 0)
                return step;
            most = static_cast<size_t>(step);
        }
        size_t done = 0;
        for (unsigned i = 0; i < count && done < most; i++) {
            size_t part = std::min(iov[i].iov_len, most - done);
            written.append(static_cast<const char *>(iov[i].iov_base), part);
            done += part;
        }
        return static_cast<ssize_t>(done);
    }

    static const skua_stream_transport *transport()
    {
        static const skua_stream_transport table = [] {
            skua_stream_transport made{};
            made.readv = [](void *user, const iovec *iov, unsigned count) {
                return static_cast<Script *>(user)->read(iov, count);
            };
            made.writev = [](void *user, const iovec *iov, unsigned count) {
                return static_cast<Script *>(user)->write(iov, count);
            };
            made.shutdown_write = [](void *user) {
                static_cast<Script *>(user)->shutdowns++;
                return 0;
            };
            made.close = [](void *user) {
                static_cast<Script *>(user)->closes++;
                return 0;
            };
            return made;
        }();
        return &table;
    }
};

/* A stream that is aborted at its end, if the test has not closed it. */
class Stream
{
  public:
    Stream(int read_fd, int write_fd, const skua_stream_options &options = {})
    {
        EXPECT_EQ(skua_stream_open(read_fd, write_fd, &options, &stream_), 0);
    }
    explicit Stream(Script &script, const skua_stream_options &options = {})
    {
        EXPECT_EQ(skua_stream_open_over(Script::transport(), &script, &options, &stream_), 0);
    }
    Stream(const Stream &) = delete;
    Stream &operator=(const Stream &) = delete;
    ~Stream()
    {
        EXPECT_EQ(skua_stream_abort(stream_), 0);
    }

    operator skua_stream *() const
    {
        return stream_;
    }
    int close()
    {
        return skua_stream_close(std::exchange(stream_, nullptr));
    }

    /* Up to @size bytes, or "-errno". */
    std::string read(size_t size) const
    {
        std::string bytes(size, '\0');
        return result(skua_stream_read(stream_, &bytes[0], size), bytes);
    }
    std::string readExactly(size_t size) const
    {
        std::string bytes(size, '\0');
        return result(skua_stream_read_exactly(stream_, &bytes[0], size), bytes);
    }
    std::string readUntil(const std::string &separator) const
    {
        const void *data = nullptr;
        ssize_t n = skua_stream_read_until(stream_, separator.data(), separator.size(), &data);
        return n <= 0 ? std::to_string(n) : std::string(static_cast<const char *>(data), n);
    }
    std::string readLine() const
    {
        const char *line = nullptr;
        ssize_t n = skua_stream_read_line(stream_, &line);
        return n <= 0 ? std::to_string(n) : std::string(line, n);
    }
    std::string buffered() const
    {
        const void *data = nullptr;
        ssize_t n = skua_stream_peek(stream_, 0, &data);
        return n < 0 ? std::to_string(n) : std::string(static_cast<const char *>(data), n);
    }
    ssize_t write(const std::string &bytes) const
    {
        return skua_stream_write(stream_, bytes.data(), bytes.size());
    }

  private:
    static std::string result(ssize_t n, std::string &bytes)
    {
        if (n < 0)
            return std::to_string(n);
        bytes.resize(static_cast<size_t>(n));
        return bytes;
    }
    skua_stream *stream_ = nullptr;
};

/* Two sockets; those that were not given away are closed. */
struct SocketPair {
    int ends[2] = {-1, -1};
    explicit SocketPair(int flags = 0)
    {
        EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0, ends), 0);
    }
    SocketPair(const SocketPair &) = delete;
    SocketPair &operator=(const SocketPair &) = delete;
    ~SocketPair()
    {
        for (int &end : ends)
            closeEnd(end);
    }
    static void closeEnd(int &end)
    {
        if (end >= 0)
            ::close(std::exchange(end, -1));
    }
    int take(int which)
    {
        return std::exchange(ends[which], -1);
    }
    void put(const std::string &bytes) const
    {
        EXPECT_EQ(send(ends[1], bytes.data(), bytes.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(bytes.size()));
    }
    /* Whether what was put has been received. */
    bool isEmpty() const
    {
        int count = -1;
        return ioctl(ends[1], SIOCOUTQ, &count) == 0 && count == 0;
    }
    /* What has arrived at the second end by now. */
    std::string arrived() const
    {
        std::string all;
        char buffer[4096];
        ssize_t n;
        while ((n = recv(ends[1], buffer, sizeof(buffer), MSG_DONTWAIT)) > 0)
            all.append(buffer, static_cast<size_t>(n));
        return all;
    }
};

inline skua_stream_options streamOptions(size_t read_buffer, size_t limit = 0)
{
    skua_stream_options options{};
    options.read_buffer_bytes = read_buffer;
    options.limit_bytes = limit;
    return options;
}

inline skua_stream_options writeOptions(size_t high, size_t low = 0)
{
    skua_stream_options options{};
    options.write_buffer_bytes = high;
    options.low_water_bytes = low;
    return options;
}

} /* namespace skua_test */

#endif /* SKUA_TESTS_STREAM_KIT_H */
