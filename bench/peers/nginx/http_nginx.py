#!/usr/bin/env python3
"""nginx as a server of the workload http; see bench/http_bench.py.

Usage: http_nginx.py [--port N] [--workers N] [--root DIR]

Everything it writes goes into a directory of its own, which is removed at the end.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

CONFIG = """\
daemon off;
worker_processes {workers};
pid {folder}/pid;
error_log stderr crit;
events {{ worker_connections 20000; accept_mutex off; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    tcp_nodelay on;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} reuseport backlog=4096;
        root {root};
        location = /plaintext {{ default_type text/plain; return 200 "Hello, World!"; }}
    }}
}}
"""
START_S = 10


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_it_listens(process, port):
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    sys.exit("http_nginx: nginx does not listen")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--root")
    options = parser.parse_args()
    port = options.port or free_port()
    folder = tempfile.mkdtemp(prefix="skua-nginx-")
    process = None
    try:
        path = os.path.join(folder, "nginx.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(CONFIG.format(workers=options.workers, folder=folder, port=port,
                                     root=options.root or folder))
        process = subprocess.Popen(["nginx", "-c", path, "-p", folder, "-e", "stderr"])
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        wait_until_it_listens(process, port)
        print(port, flush=True)
        process.wait()
    finally:
        if process is not None and process.poll() is None:
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)


main()
