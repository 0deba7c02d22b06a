/*
 * bench/peers/asio/echo_asio.cc - an echo server with Asio: an io_context for each worker, run by
 * one thread, and callbacks; async_read_some() and async_write() in turns.
 */
#include "common/bench_echo.h"

#include <array>
#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/write.hpp>
#include <thread>
#include <utility>
#include <vector>

using asio::ip::tcp;

/* One connection; it deletes itself. */
class session
{
  public:
    explicit session(tcp::socket socket) : socket_(std::move(socket))
    {
    }

    void receive()
    {
        socket_.async_read_some(asio::buffer(buffer_),
                                [this](const std::error_code &error, size_t got) {
                                    if (error)
                                        delete this;
                                    else
                                        send(got);
                                });
    }

  private:
    void send(size_t size)
    {
        asio::async_write(socket_, asio::buffer(buffer_.data(), size),
                          [this](const std::error_code &error, size_t) {
                              if (error)
                                  delete this;
                              else
                                  receive();
                          });
    }

    tcp::socket socket_;
    std::array<char, BENCH_ECHO_MESSAGE_MAX> buffer_;
};

static void accept_next(tcp::acceptor &acceptor)
{
    acceptor.async_accept([&acceptor](const std::error_code &error, tcp::socket socket) {
        if (error && error != asio::error::connection_aborted)
            bench_echo_fail("async_accept", error.value());
        if (!error)
            (new session(std::move(socket)))->receive();
        accept_next(acceptor);
    });
}

static void serve(int listener)
{
    asio::io_context context(1);
    tcp::acceptor acceptor(context, tcp::v4(), listener);
    accept_next(acceptor);
    context.run();
}

int main(int argc, char **argv)
{
    struct bench_echo echo = bench_echo_parse("echo_asio", argc, argv);
    std::vector<int> listeners;
    for (unsigned i = 0; i < echo.workers; i++)
        listeners.push_back(bench_echo_listen(&echo, SOCK_NONBLOCK));
    bench_echo_ready(&echo);
    std::vector<std::thread> threads;
    for (unsigned i = 1; i < echo.workers; i++)
        threads.emplace_back(serve, listeners[i]);
    serve(listeners[0]);
}
