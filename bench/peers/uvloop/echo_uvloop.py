#!/usr/bin/env python3
"""An echo server with uvloop and a protocol, its fastest form; see common/bench_echo.h.

Usage: echo_uvloop.py [--port N] [--workers N]

One event loop is one thread, whatever --workers says. uvloop sets TCP_NODELAY and SO_REUSEADDR.
"""

import argparse
import asyncio

import uvloop

BACKLOG = 4096


class Echo(asyncio.Protocol):
    """Sends back what it receives; stops receiving while too much waits to be sent."""

    transport = None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


async def serve(port):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", port, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main():
    parser = argparse.ArgumentParser(description="echo with uvloop")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    uvloop.install()
    asyncio.run(serve(parser.parse_args().port))


main()
