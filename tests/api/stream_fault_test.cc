/*
 * Tests skua/stream.h where the order of things is chosen at random, by seed: thousands of calls
 * against a model; peers, cancels and timeouts at every point, faults of the kernel, simulated.
 */
#include "support/sim_kit.h"
#include "support/stream_model.h"

#include <random>

using namespace skua_test;

namespace
{

class StreamModelled : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

class StreamSimulated : public Simulated
{
};

/* A task that is cancelled, if it has not ended. */
class Victim
{
  public:
    explicit Victim(std::function<intptr_t()> body)
        : body_(std::move(body)), future_(spawnBody(body_))
    {
    }
    intptr_t cancel()
    {
        (void)skua_cancel(future_);
        return skua_await(future_);
    }

  private:
    std::function<intptr_t()> body_;
    skua_future *future_;
};

StreamModel::Random seeded(uint64_t seed)
{
    return [engine = std::mt19937_64(seed)](uint64_t count) mutable { return engine() % count; };
}

int passingError(const StreamModel::Random &random)
{
    const int errors[] = {-ECANCELED, -ETIMEDOUT, -ENOMEM, -ENOBUFS};
    return errors[random(4)];
}

/* Pieces and errors at random. */
void feedAtRandom(Script &script, const std::string &bytes, const StreamModel::Random &random)
{
    size_t most = size_t{1} << random(10);
    for (size_t at = 0; at < bytes.size();) {
        size_t part = std::min(bytes.size() - at, size_t(1 + random(most)));
        if (random(4) == 0)
            script.input.push_back({"", passingError(random)});
        script.input.push_back({bytes.substr(at, part), 0});
        at += part;
    }
}

TEST_F(StreamModelled, ReadsAsTheModelWhateverThePeerDoes)
{
    size_t calls = 0;
    for (uint64_t seed = 1; seed <= 400 && !HasFailure(); seed++) {
        SCOPED_TRACE(seed);
        StreamModel::Random random = seeded(seed);
        Script script;
        size_t buffer = 1 + random(40);
        size_t limit = 1 + random(100);
        std::string bytes = StreamModel::text(random(3000), random);
        feedAtRandom(script, bytes, random);
        skua_stream_options options = streamOptions(buffer, limit);
        options.flags = random(2) ? SKUA_STREAM_LEAN : 0;
        Stream stream(script, options);
        StreamModel model(stream, bytes, limit, buffer, random);
        while (!model.isOver() && !HasFailure()) {
            (void)model.step();
            calls++;
        }
        model.expectEnd();
    }
    EXPECT_GT(calls, 10000u);
}

TEST_F(StreamModelled, WritesAsTheModelWhateverThePeerTakes)
{
    size_t calls = 0;
    for (uint64_t seed = 1; seed <= 400 && !HasFailure(); seed++) {
        SCOPED_TRACE(seed);
        StreamModel::Random random = seeded(seed);
        Script script;
        size_t high = 1 + random(60);
        for (unsigned i = 0; i < 300; i++)
            script.output.push_back(random(5) == 0 ? passingError(random) : 1 + random(2 * high));
        skua_stream_options options = writeOptions(high, random(high + 1));
        options.flags = random(2) ? SKUA_STREAM_LEAN : 0;
        Stream stream(script, options);
        std::string model;
        for (unsigned turn = 0; turn < 60; turn++, calls++) {
            std::string bytes = patternBytes(random(3 * high), uint32_t(turn + seed));
            ssize_t n = 0;
            size_t half = random(bytes.size() + 1);
            iovec iov[] = {{&bytes[0], half}, {&bytes[half], bytes.size() - half}};
            switch (random(4)) {
            case 0:
                n = stream.write(bytes);
                break;
            case 1:
                n = skua_stream_writev(stream, iov, 2);
                break;
            case 2:
                std::replace(bytes.begin(), bytes.end(), '\0', '0');
                n = skua_stream_printf(stream, "%s", bytes.c_str());
                EXPECT_TRUE(n < 0 || n == ssize_t(bytes.size()));
                break;
            default:
                (void)skua_stream_flush(stream);
            }
            model += bytes.substr(0, n > 0 ? size_t(n) : 0);
            size_t pending = size_t(skua_stream_pending(stream));
            ASSERT_EQ(script.written.size() + pending, model.size());
            ASSERT_EQ(script.written, model.substr(0, script.written.size()));
        }
        script.output.clear();
        EXPECT_EQ(stream.close(), 0);
        EXPECT_EQ(script.written, model);
    }
    EXPECT_GT(calls, 10000u);
}

/* ---- simulated ------------------------------------------------------------------------------- */

StreamModel::Random simulated()
{
    return [](uint64_t count) { return skua_sim_random(count); };
}

skua_sim_options faultyOptions()
{
    skua_sim_options options{};
    options.stack_size_bytes = size_t{256} << 10;
    options.faults_per_million[SKUA_SIM_SHORT] = 200000;
    options.faults_per_million[SKUA_SIM_EINTR] = 100000;
    options.faults_per_million[SKUA_SIM_EAGAIN] = 100000;
    options.faults_per_million[SKUA_SIM_ENOMEM] = 20000;
    options.faults_per_million[SKUA_SIM_ENOBUFS] = 20000;
    options.stalls_per_million = 1000;
    return options;
}

/* Writes all of @bytes in calls of any size, going on after what passes, and ends the stream. */
void sendAll(skua_stream *stream, const std::string &bytes)
{
    StreamModel::Random random = simulated();
    for (size_t at = 0; at < bytes.size();) {
        size_t part = std::min(bytes.size() - at, size_t(1 + random(random(2) ? 30 : 3000)));
        ssize_t n = skua_stream_write(stream, bytes.data() + at, part);
        if (n > 0)
            at += size_t(n);
        if (random(4) == 0)
            (void)skua_stream_flush(stream);
    }
    while (skua_stream_flush(stream) < 0)
        skua_yield();
    ASSERT_EQ(skua_stream_shutdown_write(stream), 0);
}

TEST_F(StreamSimulated, NothingIsLostWhateverTheKernelDoes)
{
    sweepSeeds(
        [] {
            StreamModel::Random random = simulated();
            SocketPair pair;
            size_t buffer = 1 + random(300);
            size_t limit = 1 + random(600);
            std::string bytes = StreamModel::text(random(20000), random);
            skua_stream_options options = streamOptions(buffer, limit);
            options.flags = random(2) ? SKUA_STREAM_LEAN : 0;
            Stream reader(pair.take(0), -1, options);
            int end = pair.take(1);
            Stream writer(end, end, writeOptions(1 + random(500)));
            Tasks tasks;
            tasks.add([&]() -> intptr_t {
                sendAll(writer, bytes);
                return 0;
            });
            StreamModel model(reader, bytes, limit, buffer, random);
            while (!model.isOver() && !testing::Test::HasFailure())
                (void)model.step();
            EXPECT_EQ(tasks.result(0), 0);
        },
        200, faultyOptions());
}

/* Task after task reads, each cancelled at some time; the next one goes on where it was. */
TEST_F(StreamSimulated, CancelledReadersLoseNothing)
{
    int cancels = 0;
    sweepSeeds(
        [&] {
            StreamModel::Random random = simulated();
            SocketPair pair;
            size_t buffer = 1 + random(100);
            size_t limit = 1 + random(200);
            std::string bytes = StreamModel::text(5000, random);
            Stream reader(pair.take(0), -1, streamOptions(buffer, limit));
            Stream writer(-1, pair.take(1), writeOptions(1 + random(50)));
            StreamModel model(reader, bytes, limit, buffer, random);
            Tasks tasks;
            tasks.add([&]() -> intptr_t {
                sendAll(writer, bytes);
                return 0;
            });
            int cancelled = 0;
            while (!model.isOver() && !testing::Test::HasFailure()) {
                Victim victim([&]() -> intptr_t {
                    int rc = 0;
                    while (rc != -ECANCELED && !model.isOver() && !testing::Test::HasFailure())
                        rc = model.step();
                    return rc;
                });
                (void)skua_sleep(random(300) * SKUA_NS_PER_US);
                cancelled += victim.cancel() == -ECANCELED;
            }
            EXPECT_EQ(tasks.result(0), 0);
            EXPECT_TRUE(model.isOver());
            cancels += cancelled;
        },
        100, faultyOptions());
    EXPECT_GT(cancels, 100);
}

/* At every point: after each of many times, none of which is skipped. */
TEST_F(StreamSimulated, AReadThatIsCancelledAtAnyPointLeavesAllBytes)
{
    std::string bytes = patternBytes(900);
    int cancelled = 0;
    int completed = 0;
    for (uint64_t after_us = 0; after_us < 400 && !HasFailure(); after_us += 2) {
        auto body = [&] {
            SocketPair pair;
            size_t size = after_us % 4 == 0 ? 60 : 700; /* through the buffer, and past it */
            Stream reader(pair.take(0), -1, streamOptions(64));
            Tasks tasks;
            std::string first;
            Victim victim([&]() -> intptr_t {
                first = reader.readExactly(size);
                return 0;
            });
            tasks.add([&]() -> intptr_t {
                for (size_t at = 0; at < bytes.size(); at += 30) {
                    EXPECT_EQ(skua_send_all(pair.ends[1], &bytes[at], 30), 30);
                    EXPECT_EQ(skua_sleep(5 * SKUA_NS_PER_US), 0);
                }
                return skua_shutdown(pair.ends[1], SHUT_WR);
            });
            EXPECT_EQ(skua_sleep(after_us * SKUA_NS_PER_US), 0);
            intptr_t ended = victim.cancel();
            EXPECT_EQ(ended, first.empty() ? -ECANCELED : 0); /* it may never have run */
            EXPECT_EQ(tasks.result(0), 0);
            bool failed = first.empty() || first == std::to_string(-ECANCELED);
            (failed ? cancelled : completed)++;
            EXPECT_EQ((failed ? "" : first) + reader.readExactly(1000), bytes);
        };
        skua_sim_options options{};
        options.latency_max_ns = 10 * SKUA_NS_PER_US;
        options.stack_size_bytes = size_t{256} << 10;
        auto once = [&]() -> intptr_t {
            body();
            return 0;
        };
        ASSERT_EQ(skua_sim_run(after_us, &options, callValue<decltype(once)>, &once, nullptr), 0);
    }
    EXPECT_GT(cancelled, 20);
    EXPECT_GT(completed, 20);
}

TEST_F(StreamSimulated, AWriteThatIsCancelledAtAnyPointTellsWhatItTook)
{
    std::string bytes = patternBytes(1000000);
    int cut = 0;
    for (uint64_t seed = 0; seed < 150 && !HasFailure(); seed++) {
        auto body = [&] {
            SocketPair pair;
            Stream writer(-1, pair.take(0));
            Tasks tasks;
            ssize_t taken = -ECANCELED;
            ASSERT_EQ(writer.write("head"), 4);
            Victim victim([&]() -> intptr_t {
                taken = writer.write(bytes);
                return 0;
            });
            std::string got;
            tasks.add([&]() -> intptr_t {
                std::string buffer(50000, '\0');
                ssize_t n;
                while ((n = skua_recv(pair.ends[1], &buffer[0], buffer.size(), 0)) > 0)
                    got += buffer.substr(0, size_t(n));
                return n;
            });
            EXPECT_EQ(skua_sleep(seed * 20 * SKUA_NS_PER_US), 0);
            (void)victim.cancel();
            ASSERT_TRUE(taken > 0 || taken == -ECANCELED) << taken;
            cut += taken < ssize_t(bytes.size());
            size_t count = taken > 0 ? size_t(taken) : 0;
            EXPECT_EQ(writer.write("tail"), 4);
            EXPECT_EQ(writer.close(), 0);
            EXPECT_EQ(tasks.result(0), 0);
            EXPECT_TRUE(got == "head" + bytes.substr(0, count) + "tail") << taken;
        };
        skua_sim_options options{};
        options.stack_size_bytes = size_t{256} << 10;
        auto once = [&]() -> intptr_t {
            body();
            return 0;
        };
        ASSERT_EQ(skua_sim_run(seed, &options, callValue<decltype(once)>, &once, nullptr), 0);
    }
    EXPECT_GT(cut, 10);
}

TEST_F(StreamSimulated, CopiesLoseNothingWhenTheyAreCancelled)
{
    sweepSeeds(
        [] {
            StreamModel::Random random = simulated();
            SocketPair in;
            SocketPair out;
            std::string bytes = patternBytes(30000);
            Stream source(-1, in.take(1), writeOptions(1 + random(5000)));
            Stream from(in.take(0), -1, streamOptions(1 + random(3000)));
            Stream to(-1, out.take(0), writeOptions(1 + random(3000)));
            Stream sink(out.take(1), -1);
            Tasks tasks;
            tasks.add([&]() -> intptr_t {
                sendAll(source, bytes);
                return 0;
            });
            std::string got;
            tasks.add([&]() -> intptr_t {
                std::string part;
                const std::string errors[] = {std::to_string(-ENOMEM), std::to_string(-ENOBUFS)};
                while (part = sink.read(1 + random(4000)), !part.empty())
                    got += part == errors[0] || part == errors[1] ? "" : part;
                return 0;
            });
            uint64_t total = 0;
            for (int rc = -1; rc < 0 && !testing::Test::HasFailure();) {
                uint64_t copied = 0;
                Victim victim(
                    [&]() -> intptr_t { return skua_stream_copy(from, to, UINT64_MAX, &copied); });
                (void)skua_sleep(random(2000) * SKUA_NS_PER_US);
                rc = int(victim.cancel());
                total += copied;
            }
            EXPECT_EQ(total, bytes.size());
            int rc;
            while ((rc = skua_stream_shutdown_write(to)) < 0)
                ASSERT_TRUE(rc == -ENOMEM || rc == -ENOBUFS) << rc;
            EXPECT_EQ(tasks.result(1), 0);
            EXPECT_TRUE(got == bytes) << got.size();
        },
        40, faultyOptions());
}

TEST_F(StreamSimulated, APeerThatDripsCannotStretchTheTimeout)
{
    runSimulated([] {
        SocketPair pair;
        skua_stream_options options = streamOptions(256);
        options.read_timeout_ns = 55 * SKUA_NS_PER_MS;
        Stream reader(pair.take(0), -1, options);
        Tasks tasks;
        tasks.add([&]() -> intptr_t {
            for (int i = 0; i < 20; i++) {
                EXPECT_EQ(skua_sleep(10 * SKUA_NS_PER_MS), 0);
                EXPECT_EQ(skua_send_all(pair.ends[1], "x", 1), 1);
            }
            return 0;
        });
        for (int call = 0; call < 2; call++) {
            uint64_t before = skua_now();
            EXPECT_EQ(reader.readLine(), std::to_string(-ETIMEDOUT));
            EXPECT_GE(skua_now() - before, 55 * SKUA_NS_PER_MS);
            EXPECT_LE(skua_now() - before, 57 * SKUA_NS_PER_MS);
        }
        EXPECT_GE(reader.buffered().size(), 9u);
        EXPECT_EQ(tasks.result(0), 0);
        EXPECT_EQ(reader.readExactly(20), std::string(20, 'x'));
    });
}

/* A transport that gives a byte after ten milliseconds, whatever happens meanwhile. */
const skua_stream_transport *slowTransport()
{
    static const skua_stream_transport table = [] {
        skua_stream_transport made{};
        made.readv = [](void *, const iovec *iov, unsigned) -> ssize_t {
            skua_shield shield;
            EXPECT_EQ(skua_shield_open(&shield), 0);
            EXPECT_EQ(skua_sleep(10 * SKUA_NS_PER_MS), 0);
            EXPECT_EQ(skua_shield_close(&shield), 0);
            *static_cast<char *>(iov->iov_base) = 'x';
            return 1;
        };
        return made;
    }();
    return &table;
}

TEST_F(StreamSimulated, BytesThatAreThereBeatTheTimeoutAndTheNextWaitDoesNot)
{
    runSimulated([] {
        skua_stream *stream = nullptr;
        skua_stream_options options{};
        char bytes[100];
        options.read_timeout_ns = 5 * SKUA_NS_PER_MS;
        ASSERT_EQ(skua_stream_open_over(slowTransport(), nullptr, &options, &stream), 0);
        EXPECT_EQ(skua_stream_read(stream, bytes, 100), 1);
        EXPECT_EQ(skua_stream_abort(stream), 0);
        options.read_timeout_ns = 25 * SKUA_NS_PER_MS;
        ASSERT_EQ(skua_stream_open_over(slowTransport(), nullptr, &options, &stream), 0);
        EXPECT_EQ(skua_stream_read_exactly(stream, bytes, 100), -ETIMEDOUT);
        EXPECT_EQ(skua_stream_peek(stream, 0, nullptr), 3);
        EXPECT_EQ(skua_stream_abort(stream), 0);
    });
}

TEST_F(StreamSimulated, TimeoutsAndScopesAreToldApart)
{
    runSimulated([] {
        SocketPair pair;
        skua_stream_options options{};
        options.read_timeout_ns = 10 * SKUA_NS_PER_MS;
        Stream reader(pair.take(0), -1, options);
        for (uint64_t outer_ms : {5, 20}) {
            skua_scope scope;
            skua_scope_options scope_options{};
            scope_options.deadline_ns = skua_after(outer_ms * SKUA_NS_PER_MS);
            ASSERT_EQ(skua_scope_open(&scope, &scope_options), 0);
            EXPECT_EQ(reader.read(1), std::to_string(outer_ms < 10 ? -ECANCELED : -ETIMEDOUT));
            EXPECT_EQ(skua_scope_close(&scope), outer_ms < 10 ? -ETIMEDOUT : 0);
        }
    });
}

TEST_F(StreamSimulated, AnExecutorThreadKeepsTheTimeout)
{
    runSimulated([] {
        SocketPair pair;
        skua_stream_options options{};
        options.read_timeout_ns = 10 * SKUA_NS_PER_MS;
        Stream reader(pair.take(0), -1, options);
        auto body = [&]() -> intptr_t {
            uint64_t before = skua_now();
            EXPECT_EQ(reader.read(1), std::to_string(-ETIMEDOUT));
            EXPECT_GE(skua_now() - before, 10 * SKUA_NS_PER_MS);
            return 0;
        };
        EXPECT_EQ(skua_await(offloadBody(nullptr, body)), 0);
        pair.put("late");
        EXPECT_EQ(reader.readExactly(4), "late");
    });
}

} /* namespace */
