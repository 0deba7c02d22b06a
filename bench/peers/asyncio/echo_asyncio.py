#!/usr/bin/env python3
"""An echo server with asyncio's streams: a task for each connection; see common/bench_echo.h.

Usage: echo_asyncio.py [--port N] [--workers N]

One event loop is one thread, whatever --workers says. asyncio sets TCP_NODELAY and SO_REUSEADDR.
"""

import argparse
import asyncio

BACKLOG = 4096
MESSAGE_MAX = 16 * 1024


async def echo(reader, writer):
    try:
        while data := await reader.read(MESSAGE_MAX):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def serve(port):
    server = await asyncio.start_server(echo, "127.0.0.1", port, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main():
    parser = argparse.ArgumentParser(description="echo with asyncio's streams")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    asyncio.run(serve(parser.parse_args().port))


main()
